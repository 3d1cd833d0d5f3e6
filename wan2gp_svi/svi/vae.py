"""Wan's VAE in numbers: how frames become latents, and pixels become cells of a latent.

A causal VAE (Wan's technical report, arXiv 2503.20314): the first frame is a latent of its own,
then every four frames are one. So 4k+1 frames are k+1 latents, frame 0 is latent 0, and latent
j >= 1 holds frames 4j-3..4j. A latent is an eighth as wide and high as the picture and has 16
channels (Wan 2.1's VAE, which Wan 2.2's 14B models use as well), or a sixteenth and 48 (the VAE of
Wan 2.2 5B).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

VAE_STRIDE = 4
"""Frames of one latent after the first."""
STRIDE = 8
"""Pixels that a cell of a latent is wide and high."""
CHANNELS = 16
"""Channels of a latent."""
STRIDES = {CHANNELS: STRIDE, 48: 16}
"""By a latent's channels, the pixels that a cell of it is wide and high."""
MASK_CHANNELS = VAE_STRIDE
"""Channels of the mask in y: one for each frame of a latent."""


def latents_of(frames: int) -> int:
    """Latents of `frames` = 4k+1 frames: (frames-1)/4 + 1."""
    return (frames - 1) // VAE_STRIDE + 1


def pixels_of(latents: Tensor) -> tuple[int, int]:
    """Height and width in pixels of what latents (C, T, h, w) decode to."""
    stride = STRIDES[latents.shape[0]]
    return latents.shape[2] * stride, latents.shape[3] * stride


def floor_frames(frames: int) -> int:
    """The largest 4k+1 that is not above `frames` (at least 1)."""
    return max(frames - 1, 0) // VAE_STRIDE * VAE_STRIDE + 1


def latent_of_frame(frame: int) -> int:
    """The latent of a window that holds its frame number `frame` (both from 0)."""
    return (frame + VAE_STRIDE - 1) // VAE_STRIDE


def first_frame(latent: int) -> int:
    """The first frame that a latent holds (both from 0)."""
    return max(VAE_STRIDE * (latent - 1) + 1, 0)
