"""Load a model of `wan2gp-svi train base` into WanGP's real WanModel and ask it.

    python drive_tiny_wan.py WANGP_DIR MODEL.safetensors QUESTION.pt OUT.pt

Started by test_tiny_wan.py in a process of its own, with WanGP's packages. Nothing here judges.
"""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

HERE = Path(__file__).resolve().parent
WANGP, MODEL, QUESTION, OUT = (Path(argument).resolve() for argument in sys.argv[1:5])
sys.path[:0] = [str(WANGP), str(HERE.parents[1])]
os.chdir(WANGP)
sys.argv = sys.argv[:1]

from wan2gp_svi.selftest import cpu_shim, host  # noqa: E402

sys.path.append(str(host.ABSENT))
cpu_shim.install()

import torch  # noqa: E402
from mmgp import offload  # noqa: E402
from models.wan.modules.model import WanModel  # noqa: E402
from models.wan.modules.posemb_layers import get_rotary_pos_embed  # noqa: E402
from safetensors import safe_open  # noqa: E402

torch.set_grad_enabled(False)
torch.set_num_threads(1)
offload.shared_state["_attention"] = "sdpa"

with safe_open(MODEL, framework="pt") as file:
    config = json.loads(file.metadata()["config"])
    state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118

model = WanModel(patch_size=(1, 2, 2), **config)
model.load_state_dict(state, strict=True)
# In double: WanGP's norm of queries and keys squares its input in place if that is float32 already
# (x.float() is then x itself). It never runs so: there the weights are of 16 bits.
model.lock_layers_dtypes(torch.float64)
model.apply_post_init_changes()
model = model.double().eval()
model.cache = None

PIPELINE = types.SimpleNamespace(_interrupt=False)  # all that forward asks of it
question = torch.load(QUESTION, weights_only=True)
answers = []
for x, t, words, y in question:
    freqs = get_rotary_pos_embed(tuple(x.shape[2:]))
    asked = {"t": t, "context": [words.double()], "y": y[0].double()}
    answers.append(model([x.double()], **asked, freqs=freqs, pipeline=PIPELINE)[0])
torch.save(answers, OUT)
