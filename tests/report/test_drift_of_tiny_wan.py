"""The report tells the trained tiny Wan's chains apart: without SVI the place becomes another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wan2gp_svi.report.drift import gather
from wan2gp_svi.report.verdict import Verdict, verdict
from wan2gp_svi.report.windows import Windows
from wan2gp_svi.train import evidence
from wan2gp_svi.train.commands import WEIGHTS
from wan2gp_svi.train.svi import load_experts

SCENES, WINDOWS = (100, 103), 24


def verdicts(key: str) -> list[Verdict]:
    """What the report says of a way's films (train/evidence.py)."""
    way = evidence.WAYS_COMPARED[key]
    films = [evidence.film(number, WINDOWS) for number in SCENES]
    parts = list(
        evidence.made(way, films, WINDOWS, load_experts(WEIGHTS, WEIGHTS if way.lora else None))
    )
    first, adds = parts[0][0].shape[1], parts[1][0].shape[1]
    told = []
    for k in range(len(films)):
        video = (torch.cat([part[k] for part in parts], dim=1) + 1) * 127.5
        frames = video.round().clamp(0, 255).byte().permute(1, 2, 3, 0).numpy()
        windows = Windows((first,), adds, "as made")
        told.append(verdict(gather(iter(np.ascontiguousarray(frames)), 16.0, windows), windows))
    return told


@pytest.mark.parametrize(("key", "drifts"), [("a", True), ("c", False)])
def test_with_svi_the_place_stays_and_without_it_becomes_another(key: str, drifts: bool) -> None:
    for told in verdicts(key):
        kinds = {finding.kind for finding in told.findings}
        assert ("scene" in kinds) == drifts, told.line
        assert drifts or not kinds & {"exposure", "detail", "returns"}, told.line
