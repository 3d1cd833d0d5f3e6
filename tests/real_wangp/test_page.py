"""SVI 2 Pro on WanGP's real page, from choosing the model to the video that plays.

Needs WANGP_DIR, Debian's chromium, node, and NODE_PATH with playwright-core. Screenshots go to the
folder that WANGP_SHOTS names, if it names one.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bench import PORT, keep_shots
from PIL import Image

pytestmark = pytest.mark.slow


def test_three_windows_with_anchors_and_prompts(page, svi_tree, tmp_path):
    pictures = []
    for seed in range(3):
        values = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        pictures.append(tmp_path / f"picture{seed}.png")
        Image.fromarray(values).resize((64, 64), Image.BICUBIC).save(pictures[-1])
    script = Path(__file__).with_name("e2e_pro.js")
    command = ["node", script, PORT, tmp_path, page, *pictures]
    done = subprocess.run([str(p) for p in command], capture_output=True, text=True, timeout=1800)
    keep_shots(tmp_path, svi_tree)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    assert len([name for name in made["models"] if name.rstrip(" *").endswith("SVI 2 Pro")]) == 1
    assert made["seen"] == [f"Sliding Window {k}/3" for k in (1, 2, 3)]
    assert made["played"]["duration"] == pytest.approx(41 / 16, abs=0.07)
    assert made["played"]["time"] > 0.5
    videos = sorted(page.glob("*.mp4"), key=lambda video: video.stat().st_mtime)
    probe = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
    probe += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(videos[-1])]
    counted = subprocess.run(probe, capture_output=True, text=True).stdout.strip()
    assert counted == "41"
