"""The hand-over: what may be in one, and whether it belongs to the frames that are continued."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from handovers import HEIGHT, WIDTH, film, make

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.fingerprint import FRAMES, difference, fingerprint, shape
from wan2gp_svi.svi.handover import mismatch
from wan2gp_svi.svi.handover_file import load, save


def warmer(frames: torch.Tensor) -> torch.Tensor:
    """More red and less green, so that luma stays."""
    change = torch.tensor([12.0, -12 * 0.299 / 0.587, 0]).view(3, 1, 1, 1)
    return (frames + change).clamp(0, 255).to(torch.uint8)


def test_ids_are_fresh() -> None:
    assert make().id != make().id


# -- what is refused when one is made -----------------------------------------------------------

NAN = torch.full((16, 1, HEIGHT // 8, WIDTH // 8), torch.nan)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 65}, "multiple of 8"),
        ({"width": 72}, "shape"),
        ({"width": 10**6}, "from 8 to 4096"),
        ({"height": 0}, "from 8"),
        ({"fps": 0}, "frame rate"),
        ({"fps": float("nan")}, "frame rate"),
        ({"fps": float("inf")}, "frame rate"),
        ({"fps": "16"}, "frame rate"),
        ({"frames": 0}, "number of frames"),
        ({"frames": True}, "number of frames"),
        ({"frames": 3}, "fingerprint"),
        ({"windows": -1}, "number of windows"),
        ({"window_frames": 80}, "4k"),
        ({"motion_latents": 0}, "motion latents"),
        ({"motion_latents": 2, "latents": torch.zeros(16, 1, HEIGHT // 8, WIDTH // 8)}, "shape"),
        ({"latents": NAN}, "latents holds values"),
        ({"start_anchor": NAN * float("inf")}, "start_anchor holds values"),
        ({"anchor": NAN}, "anchor holds values"),
        ({"latents": None}, "latents must be a tensor"),
        ({"latents": torch.zeros(16, 1, HEIGHT // 8, WIDTH // 8).double()}, "float64"),
        ({"latents": torch.zeros(16, 1, HEIGHT // 8, WIDTH // 8, dtype=torch.uint8)}, "uint8"),
        ({"fingerprint": torch.zeros(9, 4, 3, 4)}, "float32"),
        ({"fingerprint": torch.zeros(9, 4, 3, 5, dtype=torch.uint8)}, "shape"),
        ({"fingerprint": torch.zeros(0, 4, 3, 4, dtype=torch.uint8)}, "shape"),
        ({"base_seed": -1}, "base seed"),
        ({"base_seed": 2**63}, "base seed"),
        ({"seeds": "random"}, "seeds"),
        ({"seeds_used": (1, "2")}, "a seed in seeds_used"),
        ({"window_ends": (81, -5)}, "end of a window"),
        ({"prompts": "a cat"}, "prompts"),
        ({"prompts": (3,)}, "a prompt"),
        ({"prompts": ("\ud800",)}, "characters"),
        ({"anchors_used": -1}, "anchors"),
        ({"anchor_strength": float("nan")}, "anchor_strength"),
        ({"model_type": 3}, "model_type"),
        ({"mode": "x" * 300}, "mode"),
        ({"settings": {"path": ["x"]}}, "setting"),
        ({"settings": {str(k): k for k in range(65)}}, "settings"),
        ({"settings": {"x": float("inf")}}, "setting"),
        ({"id": "../../etc/passwd"}, "id"),
        ({"id": "A" * 32}, "id"),
        ({"format": 0}, "format"),
    ],
)
def test_wrong_fields_are_refused_by_name(change: dict, sentence: str) -> None:
    good = make()
    with pytest.raises(UserError, match=sentence):
        dataclasses.replace(good, **change)


# -- does it belong to these frames? ------------------------------------------------------------

OFFER = {
    "width": WIDTH,
    "height": HEIGHT,
    "fps": 16,
    "model_type": "i2v_2_2_svi2pro",
    "frames": 157,
}


def test_its_own_frames_are_accepted() -> None:
    frames = film()
    noise = torch.randint(-3, 4, frames.shape, generator=torch.Generator().manual_seed(1))
    coded = (frames.int() + noise).clamp(0, 255).to(torch.uint8)
    for tail in (frames, coded, coded[:, -9:], coded[:, -1:], coded.float() / 127.5 - 1):
        assert mismatch(make(), **OFFER, tail=tail) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 80}, "64x48"),
        ({"fps": 15}, "16 frames a second"),
        ({"model_type": "i2v_2_2"}, "the model i2v_2_2_svi2pro"),
        ({"frames": 156}, "157 frames"),
        ({"tail": film()[:, :, :, :32]}, "frames are 32x48"),
        ({"tail": film()[:, :0]}, "no frames"),
        ({"tail": film().flip(3)}, "last frames"),
        ({"tail": film()[:, :-1]}, "last frames|cut from its end"),
        ({"tail": film(step=2)}, "last frames"),
        ({"tail": (film().int() + 8).clamp(0, 255).to(torch.uint8)}, "last frames"),
        ({"tail": warmer(film())}, "colours"),
    ],
)
def test_other_frames_are_refused_with_the_reason(change: dict, reason: str) -> None:
    found = mismatch(make(), **{**OFFER, "tail": film(), **change})
    assert found is not None
    assert re.search(reason, found), found


def test_thumbnails_of_slow_motion_show_a_cut() -> None:
    """Every frame within the limits of the one before: only the better match tells."""
    frames = film(step=1, height=480, width=832).float()
    slow = torch.lerp(frames[:, :1], frames[:, -1:], torch.linspace(0, 0.4, 20).view(1, -1, 1, 1))
    stored = fingerprint(slow.to(torch.uint8))
    assert difference(stored, slow.to(torch.uint8)) is None
    assert difference(stored, slow[:, :-1].to(torch.uint8)) is not None


@pytest.mark.parametrize("frames", [1, 2, 5, 30])
def test_short_videos_have_short_fingerprints(frames: int, tmp_path: Path) -> None:
    video = film(frames)
    print_ = fingerprint(video)
    assert print_.shape == (min(frames, FRAMES), *shape(HEIGHT, WIDTH))
    save(make(frames=frames, fingerprint=print_), tmp_path / "x")
    assert mismatch(load(tmp_path / "x"), **{**OFFER, "frames": frames}, tail=video) is None


def test_latents_of_5b_fit_a_sixteenth_of_the_picture() -> None:
    """Wan 2.2 5B: 48 channels; and one hand-over is of one model."""
    large = {"latents": torch.zeros(48, 1, 3, 4), "start_anchor": torch.ones(48, 1, 3, 4)}
    assert make(**large).latents.shape[0] == 48
    with pytest.raises(UserError, match="of two models"):
        make(latents=large["latents"])
    with pytest.raises(UserError, match="does not have the shape"):
        make(latents=torch.zeros(48, 1, 6, 8), start_anchor=torch.ones(48, 1, 6, 8))
    with pytest.raises(UserError, match="does not have the shape"):
        make(latents=torch.zeros(32, 1, 6, 8))
