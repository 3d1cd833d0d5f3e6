"""Load LoRA files into a tiny WanModel of the real WanGP through the real mmgp, and record.

  python drive_loras.py WANGP_DIR CASES_DIR OUT.pt [5b]

CASES_DIR/cases.json lists {name, files, multipliers, hooked}. For each case OUT.pt holds the
errors, and for each linear layer of modules.json what it makes of the unit vectors: [in, out],
that is (W + what mmgp adds) transposed, plus the bias. Nothing here judges: test_loras.py does.
Run in a process of its own, because WanGP wants to be the current folder.
"""

from __future__ import annotations

import json
import os
import sys
import types
from importlib.metadata import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
WANGP, CASES, OUT = (Path(argument).resolve() for argument in sys.argv[1:4])
sys.path[:0] = [str(WANGP), str(HERE.parents[1])]
sys.path.append(str(HERE / "host"))
os.chdir(WANGP)
FIVE_B = sys.argv[4:] == ["5b"]
sys.argv = sys.argv[:1]

from wan2gp_svi.selftest import cpu_shim, host  # noqa: E402

sys.path.append(str(host.ABSENT))
cpu_shim.install()

import tiny_5b  # noqa: E402
import torch  # noqa: E402
from mmgp import offload, safetensors2  # noqa: E402

from wan2gp_svi.selftest import tiny  # noqa: E402

torch.set_grad_enabled(False)
torch.set_num_threads(1)

model = tiny.tiny_transformer(seed=1, **(tiny_5b.TRANSFORMER if FIVE_B else {}))
import models.wan.modules.model as module  # noqa: E402
from models.wan import wan_handler  # noqa: E402

# WanModel.preprocess_loras imports this function from wgp, which would load all of WanGP
sys.modules["wgp"] = types.SimpleNamespace(test_class_i2v=wan_handler.test_class_i2v)  # type: ignore[assignment]
NATIVE = (WANGP / "defaults" / "i2v_2_2_svi2pro.json").exists()
MODEL_TYPE = "ti2v_2_2" if FIVE_B else "i2v_2_2_svi2pro" if NATIVE else "i2v_2_2"
names = json.loads((CASES / "modules.json").read_text())
layers = {name: model.get_submodule(name) for name in names}
generator = torch.Generator().manual_seed(99)
for layer in layers.values():
    for parameter in (layer.weight, layer.bias):
        numbers = torch.randint(-8, 9, parameter.shape, generator=generator)
        parameter.data = numbers.float() / 8
manager = offload.profile(
    {"transformer": model},
    profile_no=5,
    quantizeTransformer=False,
    loras="transformer",
    convertWeightsFloatTo=torch.float32,
    verboseLevel=0,
)
manager.ensure_model_loaded("transformer")

plain = module.WanModel.preprocess_loras
from wan2gp_svi.svi.carry import Carry  # noqa: E402
from wan2gp_svi.svi.windows import Chain  # noqa: E402
from wan2gp_svi.wangp import loras  # noqa: E402
from wan2gp_svi.wangp.run import Run, set_current  # noqa: E402
from wan2gp_svi.wangp.settings import Settings  # noqa: E402

set_current(Run(Settings(), Carry(Chain())))  # as in an SVI task

loras.attach(vars(module))
loras.attach(vars(module))  # a second time must not wrap the wrapper
hooked = module.WanModel.preprocess_loras
assert hooked is not plain and plain in [cell.cell_contents for cell in hooked.__closure__]


def preprocess(how):
    """As wgp.py's get_loras_preprocessor does it."""
    return lambda sd: how(model, MODEL_TYPE, sd)


results = {
    "mmgp": metadata("mmgp")["Version"],
    "weights": {name: (layer.weight.clone(), layer.bias.clone()) for name, layer in layers.items()},
    "cases": {},
}
for case in json.loads((CASES / "cases.json").read_text()):
    files = [str(CASES / file) for file in case["files"]]
    result: dict = {"raised": None, "errors": [], "outputs": {}}
    results["cases"][case["name"]] = result
    how = hooked if case["hooked"] else plain
    try:
        offload.load_loras_into_model(
            model, files, case["multipliers"], preprocess_sd=preprocess(how), verboseLevel=0
        )
    except Exception as error:
        result["raised"] = (type(error).__name__, str(error))
        continue
    result["errors"] = [message for _, message in model._loras_errors]
    manager.unload_all()
    manager.ensure_model_loaded("transformer")  # as WanGP does before a generation
    for name, layer in layers.items():
        result["outputs"][name] = layer(torch.eye(layer.in_features))
    sd = safetensors2.torch_load_file(files[0], writable_tensors=False)
    before = {tensor.data_ptr() for tensor in sd.values() if tensor.dim() > 1}
    try:
        after = {t.data_ptr() for t in how(model, MODEL_TYPE, sd).values() if t.dim() > 1}
        result["copied"] = len(after - before)
    except Exception as error:
        result["copied"] = repr(error)
torch.save(results, OUT)
