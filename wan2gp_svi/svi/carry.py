"""Carrying a chain from window to window: what each is conditioned on, and what it leaves.

    window 1             y = [A | 0 0 ... 0]        -> latents Z1
    window k >= 2        y = [A | Z(k-1)[-n:] | 0]  -> latents Zk

A is the latent of the window's anchor image, Z[-n:] the last n latents whose frames are kept of the
window before. Decoded frames never go back into the model (SVI 2.0 Pro,
`inference_svi_2.0_pro.py`); the other modes of the family hand over their last N frames instead,
encoded with the reference image behind them (`test_svi.py`): conditioning.py has both formulas.

A whole chain, without a host, is `run`: it needs a plan (windows.py), a VAE, the anchor images and
a function that makes a window's latents from its y and its seed. docs/chain.py is one.

A model without channels for y (Wan 2.2 5B) is told the first latents alone, [A | Z(k-1)[-n:]] or
the motion frames', which stand in its x, clean, at time step 0 (`first_latents`). It can also begin
with words alone: then its own first latent is the anchor from there on.

Continued, a chain goes on from the hand-over of its last window (handover.py); a video without one
from its own last frames, encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from wan2gp_svi.svi.conditioning import condition, padded_video, pro_latents, scale_motion, with_end
from wan2gp_svi.svi.fingerprint import FRAMES
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.modes import PRO, Mode
from wan2gp_svi.svi.overlap import apart
from wan2gp_svi.svi.vae import VAE_STRIDE, floor_frames, latents_of
from wan2gp_svi.svi.windows import Chain, Window

START = -1
"""Number of the picture that a run's first window starts on; 0 is the whole video's start image."""
TAIL_CONTEXT = 7
"""Latents encoded before the ones that are kept, when a video's tail has to be encoded again.

The causal VAE looks back: the first latents after a cut differ from those of the whole video.
"""

Encode = Callable[[Tensor], Tensor]
"""(3, F, H, W), -1 to 1 -> (16, (F-1)/4+1, H/8, W/8), in the pipeline's own precision."""
Decode = Callable[[Tensor], Tensor]
"""(16, T, H/8, W/8) -> (3, 4T-3, H, W), uint8 or -1 to 1."""
Picture = Callable[[int], Tensor]
"""The anchor image of a number, or of `START`: (3, 1, H, W), -1 to 1."""
Generate = Callable[[Window, Tensor, int], Tensor]
"""A window, its y (20, T, h, w) and its seed -> its latents (16, T, h, w)."""


@dataclass
class Source:
    """The video that is continued, in the size and rate in which it goes on.

    `first` is its first frame and `tail` its last ones, (3, F, H, W), uint8 or -1 to 1; `frames`
    its length.
    """

    first: Tensor
    tail: Tensor
    frames: int


@dataclass(frozen=True, slots=True)
class Left:
    """What a window leaves to the next one.

    `latents` are its last kept ones, (16, n, h, w); None in the modes that hand over frames. `tail`
    are the last frames that it delivers, (3, F, H, W), nine at most: the motion frames of those
    modes, and what a hand-over file knows the video by. `apart` says how far the window's decoding
    of frames that the one before had decoded too is from that (overlap.py), in levels of 255; None
    where there are none such.
    """

    latents: Tensor | None
    tail: Tensor
    apart: float | None = None


@dataclass
class Carry:
    """What a run starts from, and what its last window left.

    `handover` and `source` belong to a video that is continued: its hand-over, and its frames.
    `anchor_strength` and `motion_strength` scale the latents of that name (1: the authors').
    `in_place`: the model has no channels for y; `from_words`: it begins without a picture.
    `anchors` are the latents (16, 1, h, w) of the anchor images encoded so far, by number.
    """

    chain: Chain
    mode: Mode = PRO
    anchor_strength: float = 1.0
    motion_strength: float = 1.0
    handover: HandOver | None = None
    source: Source | None = None
    in_place: bool = False
    from_words: bool = False
    anchors: dict[int, Tensor] = field(default_factory=dict)
    left: Left | None = None


def condition_window(
    carry: Carry,
    window: Window,
    encode: Encode,
    picture: Picture,
    end: Tensor | None = None,
    amplitude: float = 1.0,
) -> Tensor:
    """y (20, T, h, w) of a window.

    Nothing is encoded twice: an anchor that serves many windows is encoded for the first one.
    `end` is the picture (3, 1, H, W) that the window is to end on, which the modes that hand over
    frames do not know; `amplitude` that of its motion (`scale_motion`).
    """
    if carry.mode.motion_frames:
        video = padded_video(
            motion_frames(carry, window, picture),
            picture(0),
            window.frames,
            carry.mode.ref_pad_num,
        )
        known = carry.mode.motion_frames if carry.mode.ref_pad_cfg else 1
        latents = scale_motion(encode(video), known_latents(carry, window), amplitude)
        return condition(latents, window.frames, known)
    latents = anchor(carry, anchor_of(window), encode, picture)
    given = None if window.on_image else motion(carry, window, encode).to(latents)
    known = known_latents(carry, window)
    latents = pro_latents(
        latents, given, window.latents, carry.anchor_strength, carry.motion_strength
    )
    latents = scale_motion(latents, known, amplitude)
    latents = with_end(latents, None if end is None else encode(end))
    return condition(latents, window.frames)


def anchor_of(window: Window) -> int:
    """The number of a window's anchor image: a run's first window may start on one of its own."""
    return START if window.on_image and window.number == 1 else window.anchor


def first_latents(carry: Carry, window: Window, encode: Encode, picture: Picture) -> Tensor | None:
    """What a model that is told in place is given: (C, k, h, w), the first k latents of a window.

    None for a window that words alone make. Strengths do not act: at time step 0 a latent is taken
    for what it is, and stays in the window.
    """
    if known_latents(carry, window) == 0:
        return None
    if carry.mode.motion_frames:
        return encode(motion_frames(carry, window, picture))
    first = anchor(carry, anchor_of(window), encode, picture)
    if window.on_image:
        return first
    return torch.cat([first, motion(carry, window, encode).to(first)], dim=1)


def anchor(carry: Carry, number: int, encode: Encode, picture: Picture) -> Tensor:
    """The latent (16, 1, h, w) of an anchor image; 0 is the start image of the whole video."""
    if number == START and carry.chain.source_frames == 0:
        number = 0  # a new video starts on its start image
    if number not in carry.anchors:
        if carry.handover is None or number != 0:
            carry.anchors[number] = encode(picture(number))
        elif carry.chain.anchors:  # a schedule asks for the start image
            carry.anchors[number] = carry.handover.start_anchor
        else:
            carry.anchors[number] = carry.handover.anchor_in_force
    return carry.anchors[number]


def motion(carry: Carry, window: Window, encode: Encode) -> Tensor:
    """The last n latents (16, n, h, w) of the window before, or of the video continued."""
    n = window.motion_latents
    if window.number > 1:
        latents = None if carry.left is None else carry.left.latents
        if latents is None or latents.shape[1] < n:
            raise RuntimeError(f"the window before did not leave {n} latents")
        return latents[:, -n:]
    if carry.handover is not None and carry.handover.motion_latents >= n:
        return carry.handover.latents[:, -n:]
    if carry.source is None:
        raise RuntimeError("there is no video to continue")
    tail = carry.source.tail
    frames = floor_frames(min(tail.shape[1], VAE_STRIDE * (n + TAIL_CONTEXT) + 1))
    return encode(pixels(tail[:, -frames:]))[:, -n:]


def motion_frames(carry: Carry, window: Window, picture: Picture) -> Tensor:
    """The N frames (3, N, H, W), -1 to 1, that a window of the pixel modes starts from.

    The first window of a video starts from its start image, N times (`test_svi.py`).
    """
    count = carry.mode.motion_frames
    if window.on_image:
        return picture(START).expand(-1, count, -1, -1)
    before = carry.source if window.number == 1 and carry.source else carry.left
    if before is None:
        raise RuntimeError("the window before left no frames")
    return pixels(before.tail[:, -count:]).to(picture(0))


def known_latents(carry: Carry, window: Window) -> int:
    """How many leading latents of a window repeat what is known: anchor and motion, or frames."""
    if carry.from_words and window.on_image:
        return 0
    if carry.mode.motion_frames:
        return latents_of(carry.mode.motion_frames)
    return 1 + window.motion_latents


def shown(carry: Carry, window: Window, picture: Picture) -> Tensor:
    """The frame (3, 1, H, W) that a host may show its model as the window's start.

    For Pro it is the anchor and never the window before: whatever compares with it (colour
    matching) would accumulate. For the pixel modes it is also what CLIP sees: the first motion
    frame.
    """
    if carry.mode.motion_frames:
        return motion_frames(carry, window, picture)[:, :1]
    return picture(anchor_of(window))


def left_by(carry: Carry, window: Window, latents: Tensor | None, frames: Tensor) -> Left:
    """What a window leaves: `latents` (16, n, h, w), its last kept ones, and its last frames.

    `frames` (3, W, H, W') are all that it generated, dropped and discarded ones included.
    """
    tail = delivered(window, frames)[:, -FRAMES:].clone()
    if carry.mode.motion_frames:
        return Left(None, tail)
    return Left(latents, tail, _apart(carry.left, window, frames))


def _apart(before: Left | None, window: Window, frames: Tensor) -> float | None:
    """How far frames 1..4n of a window are from the end of the one before, of which they are."""
    count = VAE_STRIDE * window.motion_latents
    if before is None or window.on_image or not count:
        return None
    seen = before.tail[:, -count:]
    again = frames[:, 1 : 1 + count][:, -seen.shape[1] :].to(seen.device)
    return apart(seen, again)["levels"] if seen.shape == again.shape else None


def kept(window: Window, next_motion_latents: int) -> slice:
    """Which of a window's latents the next one may need: the last whose frames are kept."""
    return slice(max(window.kept_latents - next_motion_latents, 0), window.kept_latents)


def delivered(window: Window, frames: Tensor) -> Tensor:
    """Of all frames (3, F, H, W) of a window those that it adds to the video."""
    return frames[:, window.drop_front : frames.shape[1] - window.discard]


def pixels(frames: Tensor) -> Tensor:
    """uint8 frames as -1 to 1; frames that are floating point already stay as they are."""
    if frames.dtype != torch.uint8:
        return frames
    return frames.float().div_(127.5).sub_(1.0)


def run(
    windows: Sequence[Window],
    carry: Carry,
    generate: Generate,
    encode: Encode,
    decode: Decode,
    picture: Picture,
) -> Iterator[tuple[Window, Tensor, Tensor]]:
    """A whole chain: each window with its latents (16, T, h, w) and the frames that it adds.

    `windows` is the plan of `carry.chain` (windows.py). The windows are made as they are asked for.
    """
    for window in windows:
        y = condition_window(carry, window, encode, picture)
        latents = generate(window, y, window.seed)
        frames = decode(latents)
        last = latents[:, kept(window, carry.chain.size.motion_latents)]
        carry.left = left_by(carry, window, last, frames)
        yield window, latents, delivered(window, frames)
