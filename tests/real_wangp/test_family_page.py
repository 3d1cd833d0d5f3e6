"""Talk, Dance and 5B on the real page: what they need is given as a user gives it.

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
from safetensors.torch import save_file
from test_continue_page import SETTINGS
from test_dance import adapter_tensors, skeleton

pytestmark = pytest.mark.slow
WORDS = "Good morning. This is a face that speaks for as long as its sound."


@pytest.fixture(scope="module", autouse=True)
def _files(svi_tree):
    """SVI-Dance's LoRA, whose adapter is read before anything is made."""
    if not version_of(svi_tree).startswith("12."):
        pytest.skip("the page of another WanGP has other labels")
    folder = svi_tree / "loras" / "wan_i2v"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter_tensors(), folder / "svi-dance.safetensors")


@pytest.fixture
def made(page: Path, svi_tree: Path, tmp_path: Path):
    """A film made on the page: (name, settings, {label: file}) -> its path, and the console."""

    def make(name: str, settings: dict, files: dict[str, Path]) -> tuple[Path, str]:
        known = {key: value for key, value in SETTINGS.items() if not key.startswith("image")}
        more = {"image_prompt_type": "S", "guidance_phases": 1}
        path, start = tmp_path / f"{name}.json", tmp_path / "start.png"
        path.write_text(json.dumps({**known, **more, **settings}))
        Image.new("RGB", (64, 64), "teal").save(start)
        script = Path(__file__).with_name("e2e_given.js")
        command = ["node", script, PORT, tmp_path, name, path, page]
        for label, file in {"Images as starting points": start, **files}.items():
            command += [label, file]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1800)
        keep_shots(tmp_path, svi_tree)
        assert done.returncode == 0, done.stderr[-2000:]
        videos = sorted(page.glob("*.mp4"), key=lambda video: video.stat().st_mtime_ns)
        said = (tmp_path / "log.txt").read_text()
        assert videos, said[-3000:]
        return videos[-1], said

    return make


def frames_of(video: Path) -> int:
    with av.open(str(video)) as file:
        return sum(1 for packet in file.demux(video=0) if packet.size)


def test_a_voice_that_is_given_on_the_page(made, tmp_path: Path) -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("needs espeak-ng")
    voice = tmp_path / "voice.wav"
    subprocess.run(["espeak-ng", "-w", str(voice), WORDS], check=True)
    settings = {
        "model_type": "multitalk",
        "audio_prompt_type": "A",
        "video_length": 49,
        "prompt": "a face speaks",
        "guidance_scale": 2,
        "audio_guidance_scale": 5,
        "custom_settings": {"svi_mode": "talk"},
    }
    video, said = made("talk", settings, {"Voice to follow": voice})
    with av.open(str(video)) as file:
        (sound,) = file.streams.audio
        assert sound.duration * sound.time_base == Fraction(49, 25)
    assert frames_of(video) == 49
    assert "[SVI] window 3/3: frames 34-49" in said


def test_a_skeleton_that_is_given_on_the_page(made, tmp_path: Path) -> None:
    settings = {
        "model_type": "i2v_svi_dance",
        "video_prompt_type": "V",
        "video_length": 49,
        "prompt": "a person dances",
        "guidance_scale": 2,
    }
    film = Path(skeleton(tmp_path / "skeleton.mp4", 40))
    video, said = made("dance", settings, {r"^\s*Control Video": film})
    assert frames_of(video) == 49
    assert "[SVI] window 3/3: frames 34-49" in said
    assert "starts over" in said


def test_5b_on_the_page(made) -> None:
    settings = {
        "model_type": "ti2v_2_2",
        "video_length": 41,
        "prompt": "one\ntwo\nthree",
        "custom_settings": {"svi_mode": "pro"},
    }
    video, said = made("5b", settings, {})
    assert frames_of(video) == 41
    assert "[SVI] window 3/3: frames 30-41, the start image as anchor" in said
    assert video.with_name(f"{video.stem}.svi.safetensors").is_file()
