"""A causal 3D autoencoder in the shape of Wan's: stride 4x8x8, 16 channels, 4k+1 frames <-> k+1.

Nothing is trained: every weight is computed. Space: a lapped orthonormal DCT, of which 16 terms of
192 (8x8 pixels, 3 colours) are kept. Time: the first frame alone; after it, each latent is the
value that a straight line fitted to its four frames has at the last of them, and decoding draws
straight lines from latent to latent. So `encode(decode(z)) == z` up to rounding, no latent sees a
later frame, and a decoded frame needs its own latent and the one before, no other.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch

STRIDE = (4, 8, 8)
# (colour, vertical, horizontal frequency) of each channel: 10 of brightness, 3 of each hue
TERMS = (
    [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 0, 2), (0, 2, 0), (0, 1, 2), (0, 2, 1)]
    + [(0, 2, 2), (0, 0, 3)]
    + [(hue, v, h) for hue in (1, 2) for v, h in ((0, 0), (0, 1), (1, 0))]
)
# Decoding, frame j of a group: (1 - w) * latent before + w * this latent.
DECODE_WEIGHTS = (0.25, 0.5, 0.75, 1.0)
# Encoding: the value at the last frame of the least-squares line through the four frames.
ENCODE_WEIGHTS = (-0.2, 0.1, 0.4, 0.7)


def dct2(n: int) -> torch.Tensor:
    """The orthonormal DCT-II, one basis vector a row, (n, n)."""
    k, j = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    rows = torch.cos(math.pi * (2 * j + 1) * k / (2 * n)) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows


def dct4(n: int) -> torch.Tensor:
    """The orthonormal DCT-IV, (n, n)."""
    k, j = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    return torch.cos(math.pi * (2 * j + 1) * (2 * k + 1) / (4 * n)) * math.sqrt(2 / n)


def lapping() -> torch.Tensor:
    """The orthogonal filter across a border between two 8-pixel blocks, (8, 8).

    Four pixels on either side of the border are mixed before the DCT, and parted after its inverse:
    block borders do not show. (Tran, Liang, Tu, "Lapped transform via time-domain pre- and
    post-filtering", IEEE Trans. Signal Processing 2003, the orthogonal case.)
    """
    eye, flip = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64).flip(0)
    butterfly = torch.cat([torch.cat([eye, flip], 1), torch.cat([flip, -eye], 1)]) / math.sqrt(2)
    rotation = flip @ dct2(4).T @ dct4(4) @ flip
    return butterfly @ torch.block_diag(eye, rotation) @ butterfly


def _across_borders(x: torch.Tensor, filter_: torch.Tensor) -> torch.Tensor:
    """Apply an (8, 8) filter over every block border of the last dimension; the ends stay."""
    inner = x[..., 4:-4].unflatten(-1, (-1, 8)) @ filter_.T
    return torch.cat([x[..., :4], inner.flatten(-2), x[..., -4:]], dim=-1)


class SpatialTransform:
    """Pictures (..., 3, H, W) in [-1, 1] <-> latents (..., 16, H/8, W/8), before normalisation."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        colours = dct2(3)  # brightness, warm-cold, green-magenta: an orthonormal opponent space
        basis = dct2(8)
        terms = [
            torch.einsum("c,y,x->cyx", colours[colour], basis[v], basis[h])
            for colour, v, h in TERMS
        ]
        self.rows = torch.stack(terms).reshape(len(TERMS), -1).to(dtype)  # (16, 192)
        self.lap = lapping().to(dtype)

    def analyse(self, picture: torch.Tensor) -> torch.Tensor:
        """(..., 3, H, W) -> (..., 16, H/8, W/8)."""
        x = _across_borders(picture, self.lap)
        x = _across_borders(x.transpose(-1, -2), self.lap).transpose(-1, -2)
        blocks = x.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8)).movedim((-3, -1), (-4, -3))
        return torch.einsum("kp,...phw->...khw", self.rows, blocks.flatten(-5, -3))

    def synthesise(self, latent: torch.Tensor) -> torch.Tensor:
        """(..., 16, h, w) -> (..., 3, 8h, 8w): the transpose of `analyse`."""
        blocks = torch.einsum("kp,...khw->...phw", self.rows, latent).unflatten(-3, (3, 8, 8))
        x = blocks.movedim((-4, -3), (-3, -1)).flatten(-4, -3).flatten(-2)
        x = _across_borders(x.transpose(-1, -2), self.lap.T).transpose(-1, -2)
        return _across_borders(x, self.lap.T)


class WanVAE:
    """Encodes lists of videos and decodes lists of latents, as the pipeline asks for them."""

    z_dim = len(TERMS)

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype, self.device = dtype, torch.device("cpu")
        self.transform = SpatialTransform(dtype)
        # What one unit of a normalised latent is worth: a brightness term falls off with its
        # frequency as photographs do (about 1/f), hues have a quarter of it.
        std = [
            (3.2 if colour == 0 else 0.8) / (1 + 1.6 * math.hypot(v, h)) for colour, v, h in TERMS
        ]
        self.mean = torch.zeros(self.z_dim, dtype=dtype)
        self.std = torch.tensor(std, dtype=dtype)

    def _to_latent(self, picture: torch.Tensor) -> torch.Tensor:
        z = self.transform.analyse(picture)
        return (z - self.mean[:, None, None]) / self.std[:, None, None]

    def _to_picture(self, latent: torch.Tensor) -> torch.Tensor:
        return self.transform.synthesise(
            latent * self.std[:, None, None] + self.mean[:, None, None]
        )

    def encode(
        self, videos: list[torch.Tensor], tile_size: int = 0, any_end_frame: bool = False
    ) -> list[torch.Tensor]:
        """Videos (3, 4k+1, H, W) in [-1, 1], H and W multiples of 8 -> latents (16, k+1, H/8, W/8).

        `tile_size` and `any_end_frame` are there for the callers; nothing here needs tiles.
        Raises ValueError for a video of another shape.
        """
        return [self._encode(video.to(self.dtype)) for video in videos]

    def _encode(self, video: torch.Tensor) -> torch.Tensor:
        colours, frames, height, width = video.shape
        if colours != 3 or frames % 4 != 1 or height % 8 or width % 8:
            raise ValueError(
                f"a video of shape {tuple(video.shape)} cannot be encoded: 3 colours, 4k+1 frames,"
                " height and width multiples of 8 are needed"
            )
        latents = [self._to_latent(video[:, 0])]
        for first in range(1, frames, 4):
            group = [w * video[:, first + j] for j, w in enumerate(ENCODE_WEIGHTS)]
            latents.append(self._to_latent(group[0] + group[1] + group[2] + group[3]))
        return torch.stack(latents, dim=1)

    def decode(
        self, zs: list[torch.Tensor], tile_size: int = 0, any_end_frame: bool = False
    ) -> list[torch.Tensor]:
        """Latents (16, k+1, h, w) -> videos (3, 4k+1, 8h, 8w), clamped to [-1, 1]."""
        return [self._decode(z.to(self.dtype)).clamp_(-1, 1) for z in zs]

    def decode_to_cpu_uint8(self, zs: list[torch.Tensor], tile_size: int = 0) -> list[torch.Tensor]:
        """As `decode`, in whole numbers 0..255 (uint8)."""
        return [
            video.add_(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
            for video in self.decode(zs, tile_size)
        ]

    def _decode(self, z: torch.Tensor) -> torch.Tensor:
        pictures = [self._to_picture(z[:, t]) for t in range(z.shape[1])]
        frames = [pictures[0]]
        for before, this in pairwise(pictures):
            frames += [(1 - w) * before + w * this for w in DECODE_WEIGHTS]
        return torch.stack(frames, dim=1)
