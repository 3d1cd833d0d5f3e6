"""A tiny but real WanGP pipeline (its WanModel, WanVAE_, WanAny2V) with seeded random weights.

host.py puts it behind wgp.py's own loop. Only attributes are set: no file of WanGP is edited.
"""

import hashlib

import torch


class NullOffload:
    """stands in for the mmgp offload object wgp.py keeps in `offloadobj`"""

    _loaded = True

    def __getattr__(self, n):
        if n.startswith("__"):
            raise AttributeError(n)
        return lambda *a, **k: None


class FakeTextEncoder:
    """deterministic pseudo-embeddings: seed = sha256(prompt); 8..24 tokens"""

    def __init__(self, dim):
        self.dim = dim
        self.calls = []

    def __call__(self, prompts, device=None, *a, **k):
        out = []
        for p in prompts:
            self.calls.append(p)
            h = int.from_bytes(hashlib.sha256(p.encode()).digest()[:7], "big")
            tokens = torch.randn(8 + h % 17, self.dim, generator=torch.Generator().manual_seed(h))
            out.append(tokens if device is None else tokens.to(device))
        return out


def randomise(module, seed, gain=1.0):
    """Seeded, roughly variance-preserving values (WanModel zero-initialises its head)."""
    g = torch.Generator().manual_seed(seed)
    for name, p in sorted(module.named_parameters()):
        if p.dim() >= 2 and "norm" not in name and "gamma" not in name and "modulation" not in name:
            fan_in = p[0].numel()
            p.data = (torch.randn(p.shape, generator=g) * gain / fan_in**0.5).to(p.dtype)
        elif "bias" in name or "modulation" in name:
            p.data = (torch.randn(p.shape, generator=g) * 0.02).to(p.dtype)
        else:
            p.data = (1 + torch.randn(p.shape, generator=g) * 0.02).to(p.dtype)


def tiny_vae(vae_dim=16, seed=11, device="cpu"):
    from models.wan.modules import vae as V

    w = object.__new__(V.WanVAE)
    w.dtype, w.device, w.z_dim = torch.float32, torch.device(device), 16
    mean = [
        -0.7571,
        -0.7089,
        -0.9113,
        0.1075,
        -0.1745,
        0.9653,
        -0.1517,
        1.5508,
        0.4134,
        -0.0715,
        0.5517,
        -0.3632,
        -0.1922,
        -0.9497,
        0.2503,
        -0.2921,
    ]
    std = [
        2.8184,
        1.4541,
        2.3275,
        2.6558,
        1.2196,
        1.7708,
        2.6052,
        2.0743,
        3.2687,
        2.1526,
        2.8652,
        1.5579,
        1.6382,
        1.1253,
        2.8251,
        1.9160,
    ]
    w.mean, w.std = torch.tensor(mean, device=device), torch.tensor(std, device=device)
    w.scale = [w.mean, 1.0 / w.std]
    m = V.WanVAE_(
        dim=vae_dim,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        upsampler_factor=1,
        dropout=0.0,
    )
    randomise(m, seed)
    w.model = m.float().eval().requires_grad_(False).to(device)
    w.model._model_dtype = torch.float32
    w.upsampling_set = None
    return w


def floats_are_copies():
    """Let `x.float()` copy what is in 32 bits already, as it does with 16, which WanGP runs in.

    Its norms square that copy in place: in 32 bits they would square their own input, and what is
    compared with 16 bits would be another function.
    """
    torch.Tensor.float = lambda self, **known: self.to(  # type: ignore[method-assign]
        torch.float32, copy=True, **known
    )


def locked_as_told(model):
    """Each layer's parameters in the precision that WanGP has locked it to."""
    for layer in model.modules():
        locked = vars(layer).get("_lock_dtype")
        if locked is not None:
            for parameter in layer.parameters(recurse=False):
                parameter.data = parameter.data.to(locked)


def tiny_transformer(
    seed,
    model_type="i2v2_2",
    in_dim=36,
    out_dim=16,
    dim=256,
    ffn=256,
    heads=2,
    layers=2,
    text_dim=64,
    text_len=32,
    dtype=torch.float32,
    **more,
):
    from models.wan.modules.model import WanModel

    m = WanModel(
        model_type=model_type,
        patch_size=(1, 2, 2),
        text_len=text_len,
        in_dim=in_dim,
        out_dim=out_dim,
        dim=dim,
        ffn_dim=ffn,
        freq_dim=64,
        text_dim=text_dim,
        num_heads=heads,
        num_layers=layers,
        **more,
    )  # head_dim must stay 128 (rope)
    randomise(m, seed)
    m.to(dtype).lock_layers_dtypes(dtype)
    if m.patch_embedding.weight.dtype == dtype:  # later versions leave that to mmgp's loading
        locked_as_told(m)
    m.apply_post_init_changes()
    return m.eval().requires_grad_(False)


def tiny_any2v(
    model_def,
    two_models=True,
    seed=1,
    vae_dim=16,
    device="cpu",
    dtype=torch.float32,
    attention="sdpa",
    **transformer,
):
    """WanAny2V without __init__ (no weight files): every attribute generate() and wgp.py read.

    `dtype` is the transformers' and what surrounds them; the VAE stays in 32 bits.
    """
    from models.wan import any2video as A
    from models.wan.configs import WAN_CONFIGS

    cfg = WAN_CONFIGS["i2v-14B"] if "i2v-14B" in WAN_CONFIGS else next(iter(WAN_CONFIGS.values()))
    o = object.__new__(A.WanAny2V)
    o.device = torch.device(device)
    o.config = cfg
    o.VAE_dtype = torch.float32
    o.dtype = dtype
    o.num_train_timesteps = cfg.num_train_timesteps
    o.param_dtype = dtype
    o.model_def = model_def
    o.transformer_switch = two_models
    o.is_mocha = False
    o.alpha2 = False
    o.text_encoder = FakeTextEncoder(64)
    try:
        from shared.utils.text_encoder_cache import TextEncoderCache

        o.text_encoder_cache = TextEncoderCache()
    except ImportError:
        o.text_encoder_cache = None
    o.vae_stride = cfg.vae_stride
    o.patch_size = cfg.patch_size
    o.vae = tiny_vae(vae_dim, device=device)
    o.vae2 = None
    o.model = tiny_transformer(100 + seed, dtype=dtype, **transformer).to(device)
    o.model2 = None
    if two_models:
        o.model2 = tiny_transformer(200 + seed, dtype=dtype, **transformer).to(device)
    o.sample_neg_prompt = cfg.sample_neg_prompt
    o.num_timesteps = 1000
    o.use_timestep_transform = True
    o._interrupt = False
    o.kiwi_mllm = None
    o.kiwi_source_embedder_file = o.kiwi_ref_embedder_file = None
    if hasattr(A, "set_use_fp32_rope_freqs"):
        o.use_fp32_rope_freqs = True
        A.set_use_fp32_rope_freqs(True)
        A.set_rope_freqs_dtype(dtype)
    from mmgp import offload

    offload.shared_state["_attention"] = attention
    for m in (o.model, o.model2):
        if m is not None:
            m._loras_active_adapters, m._loras_scaling, m._loras_errors, m.cache = [], {}, [], None
    return o
