"""Whether the frames of a video file are the frames that a hand-over was saved with.

The frames were fingerprinted before they were encoded; those offered later went through a lossy
codec and back, so equality is not to be had. Of each of the last nine frames a thumbnail is kept:
18 x 32 cells with the mean of luma, of the two colour differences (ITU-R BT.601), and of the
luma's gradient (how much detail a cell has). Encoding moves those means far less than any edit
that one can see.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FRAMES = 9
"""Frames fingerprinted, at most: the last ones of a video."""
SHAPE = (4, 18, 32)
"""Luma, blue and red difference, detail; rows; columns."""


def fingerprint(frames: Tensor) -> Tensor:
    """Thumbnails, uint8 (F', 4, 18, 32), of the last F' = min(F, 9) of `frames` (3, F, H, W).

    `frames` are uint8 (0..255) or floating point (-1..1), as WanGP has them before it encodes.
    """
    tail = frames[:, -FRAMES:].detach().cpu()
    if tail.is_floating_point():
        tail = tail.float().add(1).mul(127.5).clamp(0, 255)
    red, green, blue = tail.float().unbind(0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    across = F.pad((luma[:, :, 1:] - luma[:, :, :-1]).abs(), (0, 1))
    down = F.pad((luma[:, 1:] - luma[:, :-1]).abs(), (0, 0, 0, 1))
    planes = [luma, 128 + 0.564 * (blue - luma), 128 + 0.713 * (red - luma), across + down]
    cells = F.adaptive_avg_pool2d(torch.stack(planes, dim=1), SHAPE[1:])
    return cells.round().clamp(0, 255).to(torch.uint8)


def difference(stored: Tensor, frames: Tensor) -> str | None:
    """What tells `frames` (3, F, H, W) from the video that `stored` was taken of; None: nothing.

    The last frames of both are compared, as many as both have.
    """
    offered = fingerprint(frames)
    if not len(offered):
        return "no frames were offered to compare"
    count = min(len(stored), len(offered))
    apart = (stored[-count:].float() - offered[-count:].float()).abs()
    if apart.mean(dim=(0, 2, 3)).amax() > 3:
        return "its last frames look different"
    return None
