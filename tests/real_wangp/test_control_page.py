"""Video to video on WanGP's real page: another control video is another film.

Needs what test_page.py needs. What the control video does in each window: test_control_video.py.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bench import PORT, keep_shots, version_of
from test_continue_page import SETTINGS
from test_control_video import controls

from wan2gp_svi.svi.handover_file import load, path_beside

pytestmark = pytest.mark.slow


def test_a_control_video_on_the_page(page: Path, svi_tree: Path, tmp_path: Path) -> None:
    if not version_of(svi_tree).startswith("12."):
        pytest.skip("the page of another WanGP has other labels")
    settings = {**SETTINGS, "video_length": 29, "prompt": "one\ntwo", "denoising_strength": 0.5}
    settings["num_inference_steps"] = 4
    file = tmp_path / "two.json"
    file.write_text(json.dumps(settings))
    one, other, _ = controls(tmp_path)
    script = Path(__file__).with_name("e2e_control.js")
    command = ["node", script, PORT, tmp_path, file, page, one, other]
    done = subprocess.run([str(p) for p in command], capture_output=True, text=True, timeout=1800)
    keep_shots(tmp_path, svi_tree)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert any("Video Mask" in choice for choice in said["offered"])
    first, second = said["made"]
    assert len(first) == len(second) == 2
    for mine, yours in zip(first, second, strict=True):
        latents = [load(path_beside(page / name)).latents.numpy() for name in (mine, yours)]
        assert not np.array_equal(*latents)
