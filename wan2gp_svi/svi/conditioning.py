"""What a window is conditioned on: y = cat(mask, latents) along channels, 4 + 16 of them.

Wan's image-to-video models take 36 input channels: 16 of noise, and y. The members of the SVI
family differ only in what they put into y:

    2.0 Pro      latents [A, Z[-n:], 0, ...]: the anchor's latent, the last n latents of the window
                 before, zeros of the normalised latent space; nothing is decoded in between
    all others   latents = VAE(video [N motion frames, padding]), the padding being the reference
                 image, zeros, or the one and then the other (`ref_pad_num`)

The mask is 1 in all four channels of latent 0 and 0 elsewhere, motion latents included; only with
`ref_pad_cfg` does it cover all N motion frames.

Sources: `diffsynth/pipelines/wan_video_svi_pro.py` (2.0 Pro) and `svi_video.py`, `test_svi.py` (the
Wan 2.1 family) of vita-epfl/Stable-Video-Infinity; arXiv 2510.09212.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.vae import MASK_CHANNELS, VAE_STRIDE, latents_of, pixels_of


def mask(
    frames: int, height: int, width: int, known_frames: int = 1, *, device=None, dtype=None
) -> Tensor:
    """The mask channels (4, T, height, width) of a window of `frames` = 4k+1 frames.

    `height` and `width` are the latents'. 1 marks the first `known_frames` frames. Frame 0 is a
    latent of its own and fills all four channels; channel c of latent j >= 1 stands for frame
    4j-3+c.
    """
    known = torch.zeros(VAE_STRIDE - 1 + frames, device=device, dtype=dtype)
    known[: VAE_STRIDE - 1 + known_frames] = 1 if known_frames else 0
    return (
        known.view(latents_of(frames), MASK_CHANNELS)
        .T[:, :, None, None]
        .expand(-1, -1, height, width)
    )


def pro_latents(
    anchor: Tensor,
    motion: Tensor | None,
    latents: int,
    anchor_strength: float = 1.0,
    motion_strength: float = 1.0,
) -> Tensor:
    """The latent channels (C, T, h, w) of SVI 2.0 Pro: [anchor, motion, 0, ..., 0].

    `anchor` is (C, 1, h, w), `motion` the last n latents (C, n, h, w) of the window before, None in
    the first window of a video. A strength scales its latents: 1 is the authors', below 1 frees the
    picture from them, above 1 ties it closer. Raises `UserError` when the shapes do not fit.
    """
    channels, count, height, width = anchor.shape
    given = 0 if motion is None else motion.shape[1]
    if count != 1 or count + given > latents:
        raise UserError(
            f"{given} motion latents and {count} anchor latents do not fit into {latents} latents."
        )
    if motion is not None and (motion.shape[0], *motion.shape[2:]) != (channels, height, width):
        raise UserError(
            f"The motion latents are {_size(motion)}, the anchor is {_size(anchor)}:"
            " an anchor image must have the size of the video."
        )
    y = anchor.new_zeros(channels, latents, height, width)
    y[:, :1] = anchor if anchor_strength == 1 else anchor * anchor_strength
    if motion is not None:
        y[:, 1 : 1 + given] = motion if motion_strength == 1 else motion * motion_strength
    return y


def with_end(latents: Tensor, end: Tensor | None) -> Tensor:
    """The latent channels (C, T, h, w) with `end`, the latent (C, 1, h, w) of an end image, last.

    Like the motion latents it is given as a latent alone and stays out of the mask: a mask over one
    frame of its four (as for models that take an end image in pixels) is nothing SVI has seen.
    """
    return latents if end is None else torch.cat([latents[:, :-1], end.to(latents)], dim=1)


def _size(latent: Tensor) -> str:
    height, width = pixels_of(latent)
    return f"{width}x{height}"


def padded_video(
    motion_frames: Tensor, reference: Tensor | None, frames: int, ref_pad_num: int
) -> Tensor:
    """The video (3, frames, H, W) that the VAE encodes for every mode but Pro, values -1 to 1.

    `motion_frames` (3, N, H, W) lead; then come `ref_pad_num` frames of `reference` (3, 1, H, W)
    (-1: to the end), then zeros, which is mid-grey. Encode it in float32, as the authors do.
    """
    given = motion_frames.shape[1]
    remaining = frames - given
    if remaining < 0:
        raise UserError(f"{given} motion frames do not fit into a window of {frames} frames.")
    repeats = remaining if ref_pad_num == -1 else min(ref_pad_num, remaining)
    parts = [motion_frames]
    if repeats:
        if reference is None:
            raise UserError("This SVI mode needs a reference image, and none was given.")
        parts.append(reference.to(motion_frames).expand(-1, repeats, -1, -1))
    if remaining > repeats:
        parts.append(motion_frames.new_zeros(3, remaining - repeats, *motion_frames.shape[2:]))
    return torch.cat(parts, dim=1)


def condition(latents: Tensor, frames: int, known_frames: int = 1) -> Tensor:
    """y (4 + C, T, h, w): the mask in front of the latent channels (C, T, h, w)."""
    height, width = latents.shape[2:]
    marks = mask(frames, height, width, known_frames, device=latents.device, dtype=latents.dtype)
    return torch.cat([marks, latents])


def scale_motion(latents: Tensor, known: int, amplitude: float) -> Tensor:
    """Amplify what a window does with respect to its first latent; returns (C, T, h, w).

    With d = z - z0 and its mean m over channels and space of each latent frame,
    z' = z0 + a*(d - m) + m, clamped to +-6 (the amplitude formula of PainterI2V). Only latents from
    `known` on change: the anchor and the motion latents are facts, not motion. With amplitude 1 the
    very same tensor is returned.
    """
    if amplitude == 1 or known >= latents.shape[1]:
        return latents
    base = latents[:, :1]
    difference = latents[:, known:] - base
    mean = difference.mean(dim=(0, 2, 3), keepdim=True)
    scaled = (base + amplitude * (difference - mean) + mean).clamp(-6, 6)
    return torch.cat([latents[:, :known], scaled], dim=1)
