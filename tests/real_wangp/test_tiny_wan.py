"""A model of `wan2gp-svi train base` is a Wan: WanGP's real WanModel loads it and says the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wan2gp_svi.train import base, checkpoint, commands, tiny, words

HERE = Path(__file__).parent
SHAPES = [(7, 8, 8), (3, 4, 6)]


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_model(folder):
    """A model of another size, every weight random: no layer may hide behind a zero."""
    size = tiny.Size(dim=128, ffn_dim=192, num_heads=1, num_layers=2, freq_dim=64)
    model = tiny.new_model(size, 3)
    for k, p in enumerate(model.parameters()):
        p.data += 0.1 * rand(*p.shape, seed=k)
    path = folder / "random.safetensors"
    checkpoint.save(path, model.state_dict(), {"config": size.config()})
    return path


@pytest.mark.parametrize("which", ["random", "high", "low"])
def test_the_same_file_gives_the_same_there(wangp_dir, tmp_path, which):
    path = commands.WEIGHTS / f"{which}.safetensors"
    if which == "random":
        path = random_model(tmp_path)
    question = [
        (
            rand(1, 16, *shape, seed=k),
            torch.tensor([t]),
            words.encode("a red disc moves left, then turns blue over green stripes")[None],
            rand(1, 20, *shape, seed=k + 9),
        )
        for k, (shape, t) in enumerate(zip(SHAPES, (981.5, 300.0), strict=True))
    ]
    torch.save(question, tmp_path / "question.pt")
    environment = {
        **os.environ,
        "WANGP_CPU_SHIM": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if 'WanGP_version = "9.' in (wangp_dir / "wgp.py").read_text(encoding="utf-8-sig"):
        environment["WANGP_MMGP_VERSION"] = "3.6.9"  # what 9.91 asks for; 3.6.10 serves it
    out = tmp_path / "answers.pt"
    command = [os.environ.get("WANGP_PYTHON", sys.executable), HERE / "drive_tiny_wan.py"]
    command += [wangp_dir, path, tmp_path / "question.pt", out]
    ran = subprocess.run(
        [str(c) for c in command], env=environment, capture_output=True, text=True, timeout=600
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    model = base.load_model(path)
    for (x, t, text, y), theirs in zip(question, torch.load(out, weights_only=True), strict=True):
        with torch.no_grad():
            ours = model(x, t, text, y)
        assert ours.std() > 0.1
        assert (ours - theirs).abs().max() < 1e-4
