"""SVI-Talk on the real page: a voice that is given as a user gives it, and heard in the file.

Needs WANGP_DIR (v12), Debian's chromium, node, NODE_PATH with playwright-core, and espeak-ng.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from bench import PORT, keep_shots, version_of
from PIL import Image
from test_continue_page import SETTINGS

pytestmark = pytest.mark.slow
WORDS = "Good morning. This is a face that speaks for as long as its sound."


def test_a_voice_that_is_given_on_the_page(page: Path, svi_tree: Path, tmp_path: Path) -> None:
    if not version_of(svi_tree).startswith("12."):
        pytest.skip("the page of another WanGP has other labels")
    if not shutil.which("espeak-ng"):
        pytest.skip("needs espeak-ng")
    voice, start = tmp_path / "voice.wav", tmp_path / "start.png"
    subprocess.run(["espeak-ng", "-w", str(voice), WORDS], check=True)
    Image.new("RGB", (64, 64), "teal").save(start)
    settings = tmp_path / "talk.json"
    settings.write_text(
        json.dumps(
            {
                **{name: value for name, value in SETTINGS.items() if not name.startswith("image")},
                "model_type": "multitalk",
                "image_prompt_type": "S",
                "audio_prompt_type": "A",
                "video_length": 49,
                "prompt": "a face speaks",
                "guidance_scale": 2,
                "guidance_phases": 1,
                "audio_guidance_scale": 5,
                "custom_settings": {"svi_mode": "talk"},
            }
        )
    )
    script = Path(__file__).with_name("e2e_talk.js")
    command = ["node", script, PORT, tmp_path, settings, start, voice, page]
    done = subprocess.run([str(p) for p in command], capture_output=True, text=True, timeout=1800)
    keep_shots(tmp_path, svi_tree)
    assert done.returncode == 0, done.stderr[-2000:]
    videos = sorted(page.glob("*.mp4"), key=lambda video: video.stat().st_mtime_ns)
    with av.open(str(videos[-1])) as file:
        (sound,) = file.streams.audio
        heard = sound.duration * sound.time_base
        frames = sum(1 for packet in file.demux(video=0) if packet.size)
    assert frames == 49
    assert heard == Fraction(49, 25)
    said = (tmp_path / "log.txt").read_text()
    assert "[SVI] window 3/3: frames 34-49" in said
