"""A LoRA that was trained on diffusers' Wan: the real WanGP loads it, each layer acts by it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "train"))

import small_wan  # noqa: E402

from wan2gp_svi import cli  # noqa: E402
from wan2gp_svi.train import checkpoint  # noqa: E402

LEAVES = (*(f"{a}_attn.{leaf}" for a in ("self", "cross") for leaf in "qkvo"), "ffn.0", "ffn.2")
MODULES = [f"blocks.{block}.{leaf}" for block in range(2) for leaf in LEAVES]
NAMES = {
    "i2v-2.2": ("svi-pro-high-noise.safetensors", "svi-pro-low-noise.safetensors"),
    "ti2v-5b": ("svi-pro.safetensors",),
}
EACH = [(kind, name) for kind, names in NAMES.items() for name in names]


def train(kind, folder):
    """A folder with the LoRAs of a model's experts; it is as large as drive_loras.py's."""
    model = small_wan.save(folder / "a-Wan-Diffusers", kind)
    clips = small_wan.clips(folder / "clips", {"one": 30})
    cache, out = folder / "cache", folder / "loras"
    make = ["train", "cache", "--model", model, "--clips", clips, "--out", cache]
    make += ["--size", "64x64", "--frames", "13", "--threads", "1"]
    go = ["train", "svi", "--model", model, "--cache", cache, "--out", out, "--threads", "1"]
    go += ["--steps", "3", "--rank", "4", "--errors", "3"]
    for command in (make, go):
        assert cli.main([str(word) for word in command]) == 0
    return out


def load(kind, wangp_dir, trained):
    """What each layer of WanGP's model makes of the unit vectors with each of them."""
    cases = [
        {"name": f"{name} {hooked}", "files": [name], "multipliers": [1.0], "hooked": hooked}
        for name in NAMES[kind]
        for hooked in (True, False)
    ]
    (trained / "cases.json").write_text(json.dumps(cases))
    (trained / "modules.json").write_text(json.dumps(MODULES))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    python = os.environ.get("WANGP_PYTHON", sys.executable)
    command = [python, HERE / "drive_loras.py", wangp_dir, trained, trained / "out.pt"]
    command += ["5b"] * (kind == "ti2v-5b")
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=1800
    )
    if done.returncode:
        pytest.fail("WanGP did not run: " + done.stderr[-3000:])
    return torch.load(trained / "out.pt", weights_only=True)


@pytest.fixture(scope="module")
def made(wangp_dir, tmp_path_factory):
    """By kind of model: the folder of its LoRAs, and what WanGP does with them."""
    folders = {kind: train(kind, tmp_path_factory.mktemp("trained")) for kind in NAMES}
    return {kind: (folder, load(kind, wangp_dir, folder)) for kind, folder in folders.items()}


@pytest.mark.parametrize("hooked", [True, False], ids=["with the extension", "without"])
@pytest.mark.parametrize(("kind", "name"), EACH)
def test_each_layer_acts_with_w_plus_b_a(made, kind, name, hooked):
    trained, results = made[kind]
    case = results["cases"][f"{name} {hooked}"]
    assert case["raised"] is None and case["errors"] == []
    tensors, _ = checkpoint.load(trained / name)
    for module in MODULES:
        a, b = (tensors[f"diffusion_model.{module}.lora_{side}.weight"].double() for side in "AB")
        weight, bias = results["weights"][module]
        plain = weight.double().T + bias.double()
        added = (b @ a).T
        assert added.abs().max() > 1e-6
        got = case["outputs"][module].double() - plain
        assert torch.allclose(got, added, rtol=1e-3, atol=1e-6), module
