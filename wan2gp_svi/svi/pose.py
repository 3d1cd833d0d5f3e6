"""The pose adapter of SVI-Dance: tokens of a skeleton video, added to the patch tokens.

It is UniAnimate-DiT's: seven 3D convolutions with SiLU between them. In: the skeleton (3, W, H, W')
in 0..1, drawn on black, its first frame three times more in front, so that W = 4k+1 frames become
4(k+1). Four convolutions of stride 1 in time, two of stride 2, and a last one that makes patches:
k+1 latents of (H/16) x (W'/16) tokens, which are added to what the patch embedding of the model
makes of noise and y, in the conditional and in the unconditional pass.

Source: `svi_video_dance.py`, `test_svi_dance.py` of vita-epfl/Stable-Video-Infinity; their
weights lie in the file of the SVI-Dance LoRA, beside the LoRA's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.vae import VAE_STRIDE, latents_of

PREFIX = "dwpose_embedding."
"""What the names of the adapter's tensors begin with; `<layer>.weight`, `<layer>.bias` follow."""
PATCH = 16
"""Pixels to a side of what one token stands for."""
CHUNK, HALO = 4, 2
"""Latents made at a time, and those on either side whose frames they depend on: 7 frames."""

_Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution; `place` is its number among the modules of the file (SiLU has one, too)."""

    place: int
    kernel: _Triple
    stride: _Triple
    padding: int


_LAYERS = (
    _Layer(0, (3, 3, 3), (1, 1, 1), 1),
    _Layer(2, (3, 3, 3), (1, 1, 1), 1),
    _Layer(4, (3, 3, 3), (1, 1, 1), 1),
    _Layer(6, (3, 3, 3), (1, 2, 2), 1),
    _Layer(8, (3, 3, 3), (2, 2, 2), 1),
    _Layer(10, (3, 3, 3), (2, 2, 2), 1),
    _Layer(12, (1, 2, 2), (1, 2, 2), 0),
)
_CHANNELS = 16

Adapter = tuple[tuple[Tensor, Tensor], ...]
"""Weight and bias of each convolution."""


def shapes(dim: int) -> dict[str, tuple[int, ...]]:
    """The adapter's tensors by name, with `PREFIX`, for a model of `dim` channels (14B: 5120)."""
    found: dict[str, tuple[int, ...]] = {}
    last = len(_LAYERS) - 1
    for number, layer in enumerate(_LAYERS):
        into, out = 3 if number == 0 else _CHANNELS, dim if number == last else _CHANNELS
        found[f"{PREFIX}{layer.place}.weight"] = (out, into, *layer.kernel)
        found[f"{PREFIX}{layer.place}.bias"] = (out,)
    return found


def adapter(tensors: Mapping[str, Tensor], dim: int, where: str = "the file") -> Adapter:
    """The adapter in a file's tensors, those under `PREFIX`: all of them, and no other.

    Raises `UserError`, naming `where`, for one that is missing, not known, or of another shape.
    """
    wanted = shapes(dim)
    given = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    missing, strange = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if not given:
        raise UserError(f"{where} holds no pose adapter: SVI-Dance needs the file svi-dance.")
    if missing or strange:
        what = f"lacks {missing[0]}" if missing else f"has {strange[0]}, which is not known"
        raise UserError(f"The pose adapter in {where} {what}.")
    for name, shape in wanted.items():
        if tuple(given[name].shape) != shape:
            raise UserError(
                f"The pose adapter in {where} is for another model: {name} is"
                f" {tuple(given[name].shape)}, and {shape} is needed."
            )
    ends = (f"{PREFIX}{layer.place}." for layer in _LAYERS)
    return tuple((given[end + "weight"], given[end + "bias"]) for end in ends)


def tokens(pose: Adapter, skeleton: Tensor) -> Tensor:
    """The tokens (1, dim, T, H/16, W/16) of a skeleton (3, 4k+1, H, W) in 0..1.

    A few latents are made at a time, so that memory does not grow with the window; what each needs
    of its neighbours is in its part, so the result is that of the whole. Device and dtype are those
    of `skeleton`. Raises `UserError` for a size that has no whole tokens.
    """
    _, frames, height, width = skeleton.shape
    if frames % VAE_STRIDE != 1 or height % PATCH or width % PATCH:
        raise UserError(
            f"A skeleton of {frames} frames of {width}x{height} is not possible: frames must be"
            f" 4k+1, the sides multiples of {PATCH}."
        )
    whole = torch.cat([skeleton[:, :1].expand(-1, VAE_STRIDE - 1, -1, -1), skeleton], dim=1)
    count = latents_of(frames)
    parts = []
    for start in range(0, count, CHUNK):
        before, stop = max(start - HALO, 0), min(start + CHUNK, count)
        part = whole[:, VAE_STRIDE * before : VAE_STRIDE * (stop + HALO)]
        parts.append(_convolved(pose, part[None])[:, :, start - before : stop - before])
    return torch.cat(parts, dim=2)


def _convolved(pose: Adapter, x: Tensor) -> Tensor:
    for number, (layer, (weight, bias)) in enumerate(zip(_LAYERS, pose, strict=True)):
        if number:
            F.silu(x, inplace=True)
        x = F.conv3d(x, weight.to(x), bias.to(x), stride=layer.stride, padding=layer.padding)
    return x


Read = Callable[[int, int], Tensor | None]
"""Up to so many frames (C, F, H, W) of a video from a place on, None past its end."""


def repeated(read: Read, start: int, count: int, length: int) -> Tensor:
    """`count` frames from `start` on of a video of `length` frames that starts over at its end.

    Frame i of a window whose first frame is `start` of the whole video sees frame
    (start + i) mod `length`: so a later window begins with the last frames of the one before
    (`test_svi_dance.py`, whose loop shows one frame twice at the first join: from there on its
    skeleton is a frame late). Frames before 0 are the first one. Raises `UserError` where `read`
    has none.
    """
    parts: list[Tensor] = []
    if start < 0:
        first = read(0, 1)
        if first is not None:
            parts.append(first.expand(-1, min(-start, count), -1, -1))
        count, start = count + start, 0
    place = start % max(length, 1)
    while count > 0:
        part = read(place, min(count, max(length - place, 1)))
        if part is None or not part.shape[1]:
            if place == 0:
                raise UserError("The skeleton video has no frames.")
            place = 0  # it is shorter than was said
            continue
        parts.append(part[:, :count])
        count -= parts[-1].shape[1]
        place = (place + part.shape[1]) % max(length, 1)
    return torch.cat(parts, dim=1)
