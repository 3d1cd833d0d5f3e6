"""Profiles on WanGP's real page, in headless Chromium: chosen, applied, read back, generated with.

Needs what test_continue_page.py needs. One screenshot of each mode goes to WANGP_SHOTS.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from bench import PORT, ROOT, keep_shots, version_of
from PIL import Image

from wan2gp_svi.profiles.commands import profile_files
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.video.probe import read_settings

pytestmark = pytest.mark.slow

CHOOSE = {
    "svi_2_pro": [r"Wan2\.2", "Image2video 14B", "SVI 2 Pro"],
    "svi_wan_2_2": [r"Wan2\.2", "Image2video 14B", "Default"],
    "svi_wan_2_1": [r"Wan2\.1", "Image2video 14B", "480p"],
}
LABELS = {
    "num_inference_steps": "Number of Inference Steps",
    "guidance_scale": "Guidance (CFG)",
    "guidance2_scale": "Guidance2 (CFG)",
    "guidance3_scale": "Guidance3 (CFG)",
    "switch_threshold2": "Phase 2-3",
    "flow_shift": "Shift Scale",
    "sample_solver": "Sampler Solver / Scheduler",
    "sliding_window_size": "Sliding Window Size",
    "sliding_window_discard_last_frames": "Discard Last Frames of a Window",
    "sliding_window_color_correction_strength": "Color Correction Strength",
    "sliding_window_overlap": "Windows Frames Overlap",
    "loras_multipliers": "LoRAs Multipliers (1.0 by default)",
}
PHASES = {1: "One Phase", 2: "Two Phases", 3: "Three Phases"}
FILES = profile_files(ROOT / "profiles")


def differences(profile, fields):
    """Fields of the page that do not show what the profile says."""

    def shown(label):
        return next((v for k, v in fields.items() if k.startswith(label)), None)

    wrong = {}
    for key, label in LABELS.items():
        if key not in profile:
            continue
        wanted, found = profile[key], shown(label)
        if isinstance(wanted, str):
            same = found is not None and found.rstrip("|") == wanted
        else:
            same = found not in (None, "") and float(found) == wanted
        if not same:
            wrong[key] = (wanted, found)
    if profile["guidance_phases"] > 1:
        two = profile["guidance_phases"] == 2  # the label tells what the page has come to
        level = shown("Model / Guidance Switch Threshold" if two else "Phase 1-2")
        if float(level or -1) != profile["switch_threshold"]:
            wrong["switch_threshold"] = (profile["switch_threshold"], level)
    if shown("Guidance Phases") != PHASES[profile["guidance_phases"]]:
        wrong["guidance_phases"] = shown("Guidance Phases")
    mode = profile.get("custom_settings", {}).get("svi_mode")
    if mode is not None and shown("SVI mode") != (MODES[mode].name if mode else "Off"):
        wrong["svi_mode"] = (mode, shown("SVI mode"))
    return wrong


def test_each_profile_shows_what_it_says(page: Path, svi_tree: Path, tmp_path: Path) -> None:
    if not version_of(svi_tree).startswith("12."):
        pytest.skip("the page of another WanGP has other labels")
    plan = []
    for folder, choose in CHOOSE.items():
        names = [path.stem for path in FILES if path.parent.name == folder]
        profiles = [{"name": name, "shot": name if "50" in name else ""} for name in names]
        plan.append({"choose": choose, "profiles": profiles})
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    script = Path(__file__).with_name("e2e_profiles.js")
    command = ["node", script, str(PORT), tmp_path, tmp_path / "plan.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    keep_shots(tmp_path, svi_tree)
    assert done.returncode == 0, done.stderr[-2000:]
    applied = {result["name"] + folder_of(result): result for result in json.loads(done.stdout)}
    for path in FILES:
        profile = json.loads(path.read_text())
        result = applied[path.stem + path.parent.name]
        assert not differences(profile, result["fields"]), path.name
        assert len(result["told"]) == 1
        assert profile["help"] in result["told"][0]
        assert path.stem in result["options"]


@pytest.fixture
def own_profile(svi_tree: Path) -> str:
    """A profile with settings that the page has no field for (before 10.80: all of ours)."""
    folder = svi_tree / "profiles/svi_wan_2_1"
    profile = json.loads((folder / "SVI-Shot Infinite - 50 Steps.json").read_text())
    profile.update(num_inference_steps=2, sliding_window_size=17, video_length=21)
    profile.update(resolution="64x64", prompt="one", activated_loras=[], loras_multipliers="")
    profile["custom_settings"] = {**profile["custom_settings"], "svi_length": "exact"}
    (folder / "My own.json").write_text(json.dumps(profile))
    return "My own"


def test_what_a_profile_says_is_what_generate_does(
    own_profile: str, page: Path, svi_tree: Path, tmp_path: Path
) -> None:
    start = tmp_path / "start.png"
    Image.new("RGB", (64, 64), "teal").save(start)
    script = Path(__file__).with_name("e2e_mode.js")
    command = ["node", script, str(PORT), tmp_path, page, own_profile, start]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    keep_shots(tmp_path, svi_tree)
    assert done.returncode == 0, done.stderr[-2000:]
    videos = sorted(page.glob("*.mp4"), key=lambda video: video.stat().st_mtime_ns)
    settings = read_settings(videos[-1])
    assert settings["custom_settings"]["svi_mode"] == "shot"
    assert settings["custom_settings"]["svi_length"] == "exact"
    assert settings["video_length"] == 21
    said = (tmp_path / "log.txt").read_text()
    assert "[SVI] 21 frames asked: 21 in 2 windows" in said


def folder_of(result):
    """Two models have a profile of the same name: the others in its list tell them apart."""
    listed = set(result["options"])
    return next(
        folder
        for folder in CHOOSE
        if {path.stem for path in FILES if path.parent.name == folder} <= listed
    )
