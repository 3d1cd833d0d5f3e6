"""`lora inspect` of a hand-over file says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from wan2gp_svi.cli import main
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.handover_file import save


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "clip.svi.safetensors"
    handover = HandOver(
        latents=torch.zeros(16, 1, 4, 4),
        start_anchor=torch.zeros(16, 1, 4, 4),
        fingerprint=torch.zeros(9, 4, 2, 2, dtype=torch.uint8),
        width=32,
        height=32,
        fps=16.0,
        frames=233,
        windows=3,
        window_ends=(81, 157, 233),
        window_frames=81,
        motion_latents=1,
        base_seed=7,
        seeds_used=(7, 49, 91),
        prompts=("one", "two", "three\nand more"),
        model_type="i2v_2_2_svi2pro",
    )
    save(handover, path)
    return path


def test_it_is_told_from_a_lora(saved: Path, capsys) -> None:
    assert main(["lora", "inspect", str(saved)]) == 0
    said = capsys.readouterr().out
    for words in (
        "a hand-over file: what a video needs to be continued, no LoRA",
        "clip.*, which must lie beside it",
        "233 frames (14.56 s at 16 a second), 32x32",
        "3 of 81 frames, ending at frame 81, 157, 233",
        "the video's start image",
        "7, 49, 91 (new)",
        "three and more",
    ):
        assert words in said
    assert main(["lora", "inspect", str(saved), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["windows"], found["prompts"][0]) == ("hand-over", 3, "one")


def test_by_another_name_too(saved: Path, capsys) -> None:
    other = saved.rename(saved.with_name("some lora.safetensors"))
    assert main(["lora", "inspect", str(other)]) == 0
    assert "no LoRA" in capsys.readouterr().out


def test_a_damaged_one_is_a_sentence(saved: Path, capsys) -> None:
    saved.write_bytes(saved.read_bytes()[:-9])
    assert main(["lora", "inspect", str(saved)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "clip.svi.safetensors: The hand-over is not usable" in err
