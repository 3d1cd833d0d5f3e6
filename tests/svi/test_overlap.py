"""How far the frames that two windows both decoded are apart."""

from __future__ import annotations

import pytest
import torch

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.overlap import apart, seam_is_of


def test_the_same_frames_are_not_apart() -> None:
    frames = torch.randint(0, 256, (3, 4, 8, 8), dtype=torch.uint8)
    assert apart(frames, frames) == {"levels": 0, "offset": [0, 0, 0], "last": 0}


def test_in_levels_whatever_the_type() -> None:
    earlier = torch.full((3, 4, 8, 8), 100, dtype=torch.uint8)
    later = earlier.clone()
    later[0] += 6
    later[:, -1] += 3
    found = apart(earlier, later)
    assert found["offset"] == pytest.approx([6.75, 0.75, 0.75])
    assert found["levels"] == pytest.approx(2.75)
    assert found["last"] == pytest.approx(5)
    signed = (earlier.float() / 127.5 - 1, later.float() / 127.5 - 1)
    assert apart(*signed)["levels"] == pytest.approx(2.75, abs=1e-3)


def test_only_the_same_frames_can_be_compared() -> None:
    with pytest.raises(UserError, match="cannot be compared"):
        apart(torch.zeros(3, 4, 8, 8), torch.zeros(3, 5, 8, 8))


def test_whose_a_seam_is() -> None:
    assert seam_is_of(jump=4.0, apart_levels=3.0) == "decoder"
    assert seam_is_of(jump=4.0, apart_levels=0.5) == "model"
