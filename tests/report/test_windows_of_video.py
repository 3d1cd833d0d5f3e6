"""Which windows a video has: from what was asked, its hand-over file, its settings, or assumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from wan2gp_svi.errors import UserError
from wan2gp_svi.report.windows import Windows, windows_of
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.handover_file import path_beside, save

SETTINGS = {
    "model_type": "i2v_2_2_svi2pro",
    "prompt": "one\ntwo\ntwo",
    "sliding_window_size": 49,
    "sliding_window_overlap": 9,
    "sliding_window_discard_last_frames": 4,
}


def video(folder: Path, settings: object = None) -> Path:
    path = folder / "clip.mp4"
    path.write_bytes(b"not really a video")
    if settings is not None:
        path.with_suffix(".json").write_text(json.dumps(settings), encoding="utf-8")
    return path


def hand_over(**changes) -> HandOver:
    values = {
        "latents": torch.zeros(16, 1, 4, 4),
        "start_anchor": torch.zeros(16, 1, 4, 4),
        "fingerprint": torch.zeros(9, 4, 2, 2, dtype=torch.uint8),
        "width": 32,
        "height": 32,
        "fps": 16.0,
        "frames": 197,
        "windows": 3,
        "window_ends": (81, 157, 197),
        "window_frames": 81,
        "motion_latents": 1,
        "base_seed": 7,
        "seeds_used": (7, 49, 91),
        "prompts": ("one", "two", "three"),
        "model_type": "i2v_2_2_svi2pro",
    }
    return HandOver(**{**values, **changes})


def test_nothing_known(tmp_path: Path) -> None:
    found = windows_of(video(tmp_path))
    assert found.cut(240) == [(0, 81), (81, 157), (157, 233), (233, 240)]
    assert "assumed" in found.source


def test_the_settings(tmp_path: Path) -> None:
    found = windows_of(video(tmp_path, SETTINGS))
    assert found.cut(121) == [(0, 45), (45, 81), (81, 117), (117, 121)]
    assert (found.end(1), found.end(2), found.end(3)) == (45, 81, 117)
    assert found.prompts == ("one", "two", "two")
    assert found.apart is None
    assert found.new_words(2) and not found.new_words(3)


@pytest.mark.parametrize(
    ("mode", "ends"), [("film", (81, 157, 233)), ("shot", (81, 161, 241)), ("tom", (81, 161, 241))]
)
def test_the_modes_that_hand_over_frames(tmp_path: Path, mode: str, ends: tuple[int, ...]) -> None:
    """The page of Wan 2.1 shows an overlap of its own."""
    settings = {
        "model_type": "i2v",
        "sliding_window_size": 81,
        "sliding_window_overlap": 9,
        "custom_settings": {"svi_mode": mode},
    }
    found = windows_of(video(tmp_path, settings))
    assert tuple(map(found.end, (1, 2, 3))) == ends


def test_the_overlap_of_pro_is_its_own(tmp_path: Path) -> None:
    settings = {**SETTINGS, "sliding_window_size": 81, "sliding_window_overlap": 4}
    settings["sliding_window_discard_last_frames"] = 0
    assert windows_of(video(tmp_path, settings)).end(2) == 157  # 81 - 5, though the page says 4
    settings["custom_settings"] = {"svi_motion_latents": 2}
    assert windows_of(video(tmp_path, settings)).end(2) == 153
    settings |= {"model_type": "ti2v_2_2", "custom_settings": {"svi_mode": "pro"}}
    assert windows_of(video(tmp_path, settings)).end(2) == 157  # on Wan 2.2 5B, too


def test_the_hand_over_file(tmp_path: Path) -> None:
    path = video(tmp_path, SETTINGS)
    save(hand_over(settings={"apart": "- 1.25 x"}), path_beside(path))
    found = windows_of(path)
    assert found.cut(197) == [(0, 81), (81, 157), (157, 197)]
    assert found.seeds == (7, 49, 91)
    assert found.apart == {2: 1.25}


def test_a_damaged_hand_over_file_is_passed_over(tmp_path: Path) -> None:
    path = video(tmp_path)
    path_beside(path).write_bytes(b"damaged")
    assert windows_of(path).ends == (81,)


def test_a_part_of_unknown_windows(tmp_path: Path) -> None:
    path = video(tmp_path, SETTINGS)
    save(hand_over(window_ends=(157, 197)), path_beside(path))
    assert windows_of(path).end(1) == 45  # the settings then


def test_as_asked(tmp_path: Path) -> None:
    found = windows_of(video(tmp_path), 33)
    assert found.cut(89) == [(0, 33), (33, 61), (61, 89)]
    with pytest.raises(UserError, match="too short"):
        windows_of(video(tmp_path), 5)


def test_a_few_frames_at_the_end_are_no_window() -> None:
    assert Windows((81,), 76, "").cut(159) == [(0, 81), (81, 159)]
    assert Windows((81,), 76, "").cut(3) == [(0, 3)]


@pytest.mark.parametrize("settings", [[], "x", {"model_type": "m", "sliding_window_size": "?"}])
def test_odd_settings_are_passed_over(tmp_path: Path, settings: object) -> None:
    assert windows_of(video(tmp_path, settings)).ends == (81,)
