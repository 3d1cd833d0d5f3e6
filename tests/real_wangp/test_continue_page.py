"""Continue Last Video, and Continue Video with an upload, on WanGP's real page, in Chromium.

Needs WANGP_DIR (v12), Debian's chromium, node, and NODE_PATH with playwright-core.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bench import PORT, keep_shots, version_of

from wan2gp_svi.svi.handover_file import load, path_beside

pytestmark = pytest.mark.slow
SETTINGS = {
    "type": "WanGP settings",
    "settings_version": 2.74,
    "model_type": "i2v_2_2_svi2pro",
    "resolution": "64x64",
    "num_inference_steps": 2,
    "seed": 7,
    "sliding_window_size": 17,
    "guidance_scale": 1,
    "guidance2_scale": 1,
    "guidance_phases": 2,
    "switch_threshold": 900,
    "flow_shift": 5,
    "sample_solver": "euler",
    "image_prompt_type": "S",
    "multi_prompts_gen_type": 1,
}


def test_continuing_on_the_page(page: Path, svi_tree: Path, tmp_path: Path) -> None:
    if not version_of(svi_tree).startswith("12."):
        pytest.skip("the page of another WanGP has other labels")
    four = {**SETTINGS, "video_length": 53, "prompt": "one\ntwo\nthree\nfour"}
    two = {**SETTINGS, "video_length": 29, "prompt": "one\ntwo"}
    files = [tmp_path / "four.json", tmp_path / "two.json"]
    for file, settings in zip(files, (four, two), strict=True):
        file.write_text(json.dumps(settings))
    script = Path(__file__).with_name("e2e_continue.js")
    command = ["node", script, PORT, tmp_path, *files, page]
    done = subprocess.run([str(p) for p in command], capture_output=True, text=True, timeout=1800)
    keep_shots(tmp_path, svi_tree)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    assert made["prompted"]
    assert len(made["whole"]) == len(made["parts"]) == 4
    assert len(made["uploaded"]) == 2
    later = [*zip(made["whole"], made["parts"], strict=True)]
    later += zip(made["whole"][2:], made["uploaded"], strict=True)
    for whole, part in later:
        one, other = load(path_beside(page / whole)), load(path_beside(page / part))
        assert np.array_equal(one.latents.numpy(), other.latents.numpy())
        assert np.array_equal(one.anchor_in_force.numpy(), other.anchor_in_force.numpy())
        for name in ("frames", "windows", "seeds_used", "prompts", "window_ends"):
            assert getattr(one, name) == getattr(other, name), name
