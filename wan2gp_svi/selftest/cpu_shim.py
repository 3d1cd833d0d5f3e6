"""Runtime shims that let WanGP (which assumes one CUDA GPU) import and run on a CPU-only torch.
Never edits WanGP. `install()` comes before anything of WanGP is imported.

Shims:
 S1 torch.cuda.* queries (capability, properties, memory, streams, synchronize, ...) answer harmlessly
 S2 device "cuda" -> "cpu" in every torch call (TorchFunctionMode, entered in every thread), in
    torch.Generator(device=...), in Tensor.cuda/Module.cuda, in Tensor.is_cuda-free ways
 S3 torchvision: where its _C.so needs CUDA libs and is not loaded, its operator schemas are
    declared so that `import torchvision` works (nms etc. are then not callable)
 S4 importlib.metadata.version("mmgp") can be spoofed with WANGP_MMGP_VERSION (only v9.91 needs it)
 S5 pin_memory -> no-op
"""

import os
import sys
import threading
import types

_installed = False
_TORCHVISION = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qroi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) -> (Tensor, Tensor)",
    "ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio) -> (Tensor, Tensor)",
    "ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) -> (Tensor, Tensor)",
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor",
)


def _import_torchvision():
    """S3"""
    import torch

    try:
        import torchvision  # noqa: F401

        return
    except Exception:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
    install._tv_lib = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _TORCHVISION:
        try:
            install._tv_lib.define(schema)
        except RuntimeError as error:  # already defined
            print("cpu_shim: torchvision schemas:", error, file=sys.stderr)


def install():
    global _installed
    if _installed:
        return
    _installed = True
    import importlib.metadata as im

    spoof = os.environ.get("WANGP_MMGP_VERSION")
    if spoof:
        real_version = im.version
        im.version = lambda name: spoof if name == "mmgp" else real_version(name)

    import torch

    if torch.cuda.is_available():  # a real GPU: nothing to do
        return
    _import_torchvision()

    # ---- S1 torch.cuda
    c = torch.cuda
    total = int(float(os.environ.get("WANGP_FAKE_VRAM_GB", "24")) * 1073741824)
    props = types.SimpleNamespace(
        name="CPU shim (no CUDA)",
        major=8,
        minor=0,
        total_memory=total,
        multi_processor_count=1,
        gcnArchName="",
        warp_size=32,
        L2_cache_size=0,
        shared_memory_per_block=0,
        shared_memory_per_block_optin=0,
        max_threads_per_multi_processor=1,
        is_integrated=0,
    )

    def nop(*a, **k):
        return None

    class FakeStream:
        def __init__(self, *a, **k):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *a):
            return False

        def synchronize(self):
            pass

        def wait_stream(self, *a):
            pass

        def wait_event(self, *a):
            pass

        def record_event(self, *a):
            return FakeEvent()

        def query(self):
            return True

        cuda_stream = 0

    class FakeEvent:
        def __init__(self, *a, **k):
            pass

        def record(self, *a):
            pass

        def synchronize(self):
            pass

        def wait(self, *a):
            pass

        def query(self):
            return True

        def elapsed_time(self, o):
            return 0.0

    class FakeCtx:
        def __init__(self, *a, **k):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *a):
            return False

    for n, f in {
        "_lazy_init": nop,
        "init": nop,
        "synchronize": nop,
        "empty_cache": nop,
        "ipc_collect": nop,
        "set_device": nop,
        "reset_peak_memory_stats": nop,
        "reset_max_memory_allocated": nop,
        "get_device_capability": lambda d=None: (8, 0),
        "get_device_properties": lambda d=None: props,
        "get_device_name": lambda d=None: props.name,
        "current_device": lambda: 0,
        "memory_allocated": lambda d=None: 0,
        "memory_reserved": lambda d=None: 0,
        "max_memory_allocated": lambda d=None: 0,
        "max_memory_reserved": lambda d=None: 0,
        "mem_get_info": lambda d=None: (total, total),
        "memory_stats": lambda d=None: {},
        "current_stream": lambda d=None: FakeStream(),
        "default_stream": lambda d=None: FakeStream(),
        "stream": lambda s=None: FakeCtx(),
        "Stream": FakeStream,
        "Event": FakeEvent,
        "manual_seed": nop,
        "manual_seed_all": nop,
        "is_bf16_supported": lambda *a, **k: True,
    }.items():
        # a distinct plain function per name: torch._dynamo refuses one object under two names
        setattr(c, n, f if isinstance(f, type) else (lambda g: lambda *a, **k: g(*a, **k))(f))
    c.device = FakeCtx

    # ---- S2 device mapping
    cpu = torch.device("cpu")

    def m(v):
        if isinstance(v, torch.device):
            return cpu if v.type == "cuda" else v
        if isinstance(v, str) and (v == "cuda" or v.startswith("cuda:")):
            return "cpu"
        return v

    from torch.overrides import TorchFunctionMode

    class CudaToCpu(TorchFunctionMode):
        def __torch_function__(self, func, types_, args=(), kwargs=None):
            kwargs = kwargs or {}
            if "device" in kwargs:
                kwargs = dict(kwargs, device=m(kwargs["device"]))
            if len(args) > 1 and any(type(a) in (str, torch.device) for a in args[1:3]):
                name = getattr(func, "__name__", "")
                if name in ("to", "_to_copy", "type"):
                    args = args[:1] + tuple(m(a) for a in args[1:])
            return func(*args, **kwargs)

    torch.Tensor.cuda = lambda self, *a, **k: self
    torch.nn.Module.cuda = lambda self, *a, **k: self
    torch.Tensor.pin_memory = lambda self, *a, **k: self  # S5
    torch.Tensor.is_pinned = lambda self, *a, **k: False
    RealGen = torch.Generator

    class _GenMeta(type):
        def __call__(cls, device=None):
            return RealGen() if device is None else RealGen(device=m(device))

        def __instancecheck__(cls, o):
            return isinstance(o, RealGen)

    class Generator(metaclass=_GenMeta):
        pass

    torch.Generator = Generator

    real_mto = torch.nn.Module.to

    def mto(self, *a, **k):
        if "device" in k:
            k["device"] = m(k["device"])
        return real_mto(self, *[m(x) for x in a], **k)

    torch.nn.Module.to = mto

    real_sdd = torch.set_default_device  # mmgp ends profile() with set_default_device("cuda")
    torch.set_default_device = lambda d: real_sdd(m(d))

    install._modes = []

    def enter():
        md = CudaToCpu()
        md.__enter__()
        install._modes.append(md)

    enter()
    real_boot = threading.Thread._bootstrap_inner

    def boot(self):
        md = CudaToCpu()
        with md:
            real_boot(self)

    threading.Thread._bootstrap_inner = boot


# ---- S6 WanGP 5c2b11c1^ lists models.longcat.longcat_handler although that folder was committed later (96e34389)
class _MissingHandlers:
    _src = """
class family_handler:
    @staticmethod
    def query_model_family(): return "longcat"
    @staticmethod
    def query_family_infos(): return {}
    @staticmethod
    def query_supported_types(): return []
    @staticmethod
    def query_family_maps(): return {}, {}
    @staticmethod
    def register_lora_cli_args(parser, *a): pass
    @staticmethod
    def get_lora_dir(*a, **k): return "loras/longcat"
"""

    def find_spec(self, name, path=None, target=None):
        if name in ("models.longcat", "models.longcat.longcat_handler"):
            import importlib.abc
            import importlib.machinery

            src = self._src

            class L(importlib.abc.Loader):
                def create_module(s, spec):
                    return None

                def exec_module(s, mod):
                    if mod.__name__.endswith("_handler"):
                        exec(src, mod.__dict__)

            return importlib.machinery.ModuleSpec(name, L(), is_package=name == "models.longcat")
        return None


sys.meta_path.append(_MissingHandlers())
