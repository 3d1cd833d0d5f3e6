"""Whether the frames of a video file are the frames that a hand-over was saved with.

The frames were fingerprinted before they were encoded; those offered later went through a lossy
codec and back, so equality is not to be had. Of each of the last nine frames a thumbnail is kept:
cells of at least 16 x 16 pixels, 18 x 32 of them at most, each with its mean luma, its mean colour
differences (ITU-R BT.601) and its mean luma gradient (how much detail it has). A codec moves those
means far less than an edit that one can see; and where anything moves, thumbnails of neighbouring
frames differ, so that frames cut off show too.

Measured on 54 clips of 832x480, made as benchmarks/fingerprint.py does (6 photos; still, noisy,
panned, zoomed, shaken, faded, with a ball that moves; pictures alone, frame counts not looked at):

    own frames refused, after x264 at WanGP's quality 8 and at crf 17        0 of 108
        x264 at crf 23 and 30, x265 at crf 28 (noise that the codec removed) 3 of 162
    other frames accepted: another photo 0 of 270, another motion of the same photo 15 of 432,
        mirrored 0, cropped by 2 % 0, a title 0, brighter by 4 steps 0 (by 2: 53), gamma 1.05 0,
        grain 5 2, blur of sigma 1 8, sharpened 9, half the size and back 39 of 54 each
    one frame cut off and accepted: still 30, noise 27, pan of 0.1 pixels 25, of 0.5 0, of 3 0,
        zoom 4, ball 1, fade 16, shake 0 of 30 each

So a cut in a picture that (almost) stands still does not show; the number of frames, which a
hand-over file has as well, tells it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FRAMES = 9
"""Frames fingerprinted, at most: the last ones of a video."""

# Limits, in steps of 0..255 unless said; measured as the module's text says.
LUMA, LUMA_CELL = 2.0, 4.5  # all cells on average, and the worst one
COLOUR, COLOUR_CELL = 1.0, 4.0
DETAIL = (0.80, 1.10)  # offered over stored, in the twentieth of the cells that has most of it
GRAIN = 1.10, 0.3  # all cells: at most this times the stored detail, plus this
FLAT, ROUNDING = 0.5, 1.0  # below this mean detail, that much more: see `_rounding`
SHIFT = 1.10  # squared difference in place, over that of the best match one or two frames off


def shape(height: int, width: int) -> tuple[int, int, int]:
    """Planes (luma, blue and red difference, detail), rows and columns of a thumbnail."""
    return 4, min(max(height // 16, 1), 18), min(max(width // 16, 1), 32)


def fingerprint(frames: Tensor) -> Tensor:
    """Thumbnails, uint8 (F', *shape(H, W)), of the last F' = min(F, 9) of `frames` (3, F, H, W).

    `frames` are uint8 (0..255) or floating point (-1..1), as WanGP has them before it encodes.
    """
    return _thumbnails(frames).round().to(torch.uint8)


def _thumbnails(frames: Tensor) -> Tensor:
    """The same, not rounded: float32."""
    tail = frames[:, -FRAMES:].detach().cpu().unbind(1)
    # One frame at a time: that fits the processor's cache, and no memory to speak of is taken.
    return torch.stack([_thumbnail(frame) for frame in tail])


def _thumbnail(frame: Tensor) -> Tensor:
    """Of one frame (3, H, W): float32, shape(H, W)."""
    if frame.is_floating_point():  # as the video's writer makes bytes of it: cut, not rounded
        frame = frame.float().add(1).mul(127.5).clamp(0, 255).to(torch.uint8)
    red, green, blue = frame.float()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    across = F.pad((luma[:, 1:] - luma[:, :-1]).abs(), (0, 1))
    down = F.pad((luma[1:] - luma[:-1]).abs(), (0, 0, 0, 1))
    planes = [luma, 128 + 0.564 * (blue - luma), 128 + 0.713 * (red - luma), across + down]
    return F.adaptive_avg_pool2d(torch.stack(planes), shape(*luma.shape)[1:]).clamp(0, 255)


def difference(stored: Tensor, frames: Tensor) -> str | None:
    """What tells `frames` (3, F, H, W) from those that `stored` was taken of; None: nothing.

    The last frames of both are compared, as many as both have. `frames` have the size that the
    fingerprinted ones had.
    """
    if not stored.shape[0] or not frames.shape[1]:
        return "there are no frames to compare"
    offered = _thumbnails(frames)
    count = min(len(stored), len(offered))
    before, now = stored[-count:].float(), offered[-count:]
    apart = ((now - before).abs() - _rounding(before)).clamp(min=0)
    if apart[:, 0].mean() > LUMA or apart[:, 0].mean(0).amax() > LUMA_CELL:
        return "its last frames are not those that it was made with"
    if apart[:, 1:3].mean((0, 2, 3)).amax() > COLOUR or apart[:, 1:3].mean(0).amax() > COLOUR_CELL:
        return "the colours of its last frames were changed"
    if not _detail_kept(before[:, 3], now[:, 3]):
        return "its last frames were sharpened, blurred or given grain"
    if _better_shifted(before[:, :3], now[:, :3]):
        return "frames were cut from its end, or put there"
    return None


def _rounding(before: Tensor) -> float:
    """What a codec's rounding may add to the limits, in steps.

    Every pixel of a flat picture is rounded alike, to up to 2.5 steps of luma and 1.6 of colour
    (measured on 5 colours at 33 levels, x264 at crf 17); else that averages out within a cell.
    """
    return ROUNDING if before[:, 3].mean() < FLAT else 0.0


def _detail_kept(before: Tensor, now: Tensor) -> bool:
    """Codecs smooth noise away but keep edges, and add next to no detail; filters do otherwise."""
    most, extra = GRAIN
    if now.mean() > most * before.mean() + extra:
        return False
    where = before.mean(0) >= before.mean(0).flatten().quantile(0.95)
    edges, edges_now = before.mean(0)[where].mean(), now.mean(0)[where].mean()
    low, high = DETAIL
    return bool(low * edges - extra <= edges_now <= high * edges + extra)


def _better_shifted(before: Tensor, now: Tensor) -> bool:
    """Whether the frames fit those before or after them clearly better than their own place."""
    for step in (1, 2):
        if len(now) - step < 2:
            break
        earlier, later = slice(None, -step), slice(step, None)
        for mine, other in ((later, earlier), (earlier, later)):
            in_place = _square(now[mine] - before[mine])
            if in_place > SHIFT * _square(now[mine] - before[other]) + 0.01:
                return True
    return False


def _square(apart: Tensor) -> Tensor:
    """Mean square, less what all cells of all frames share (decoders round colours down)."""
    return (apart - apart.mean((0, 2, 3), keepdim=True)).square().mean()
