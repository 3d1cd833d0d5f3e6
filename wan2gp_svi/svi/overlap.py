"""How far the frames that two windows both decoded are apart.

A later window decodes the end of the one before again (its frames 1..4n). Where the latents are
handed over, both come from the same latents, and what differs is the VAE's: it is causal, and saw
other latents before them. So this is the seam that the decoder makes by itself. A join that jumps
further than that is the model's.
"""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor

from wan2gp_svi.errors import UserError


class Apart(TypedDict):
    """In levels of 255. `levels`: mean |difference|; `offset`: mean difference of R, G, B, later
    less earlier; `last`: mean |difference| of the last frame alone, the one at the join."""

    levels: float
    offset: list[float]
    last: float


def apart(earlier: Tensor, later: Tensor) -> Apart:
    """Two decodings of the same frames, (3, F, H, W), uint8 or floating point in -1..1."""
    if earlier.shape != later.shape or earlier.ndim != 4 or not earlier.numel():
        raise UserError(
            f"Frames of the shapes {tuple(earlier.shape)} and {tuple(later.shape)} cannot be"
            " compared: they must be (3, F, height, width) and the same."
        )
    totals, offset = [], torch.zeros(earlier.shape[0], dtype=torch.float64)
    for a, b in zip(earlier.unbind(1), later.unbind(1), strict=True):  # one frame at a time
        difference = _levels(b) - _levels(a)
        totals.append(float(difference.abs().mean()))
        offset += difference.mean((1, 2)).double().cpu()
    return {
        "levels": round(sum(totals) / len(totals), 3),
        "offset": [round(float(v) / len(totals), 3) for v in offset],
        "last": round(totals[-1], 3),
    }


def _levels(frame: Tensor) -> Tensor:
    if frame.dtype == torch.uint8:
        return frame.float()
    return frame.float().clamp(-1, 1).add(1).mul(127.5)


def seam_is_of(jump: float, apart_levels: float) -> str:
    """Whose a join's jump is: "decoder" where both windows' decodings of the same frame differ by
    at least half of it, "model" otherwise. Both in levels of 255, mean |difference|."""
    return "decoder" if apart_levels >= jump / 2 else "model"
