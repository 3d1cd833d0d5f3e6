"""Flow matching: noise levels, noised latents and their targets, and the way back in Euler steps.

x = (1-sigma) z + sigma e with clean latents z and noise e; the model's velocity is e - z (Lipman et
al., arXiv 2210.02747). Levels are shifted, sigma = shift u / (1 + (shift-1) u) (Esser et al., arXiv
2403.03206, eq. 23); a time step is 1000 sigma. Above `BOUNDARY` the high-noise expert is asked,
below it the low-noise one, as in Wan 2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

BOUNDARY = 0.875
"""Noise level at which Wan 2.2 i2v changes from its high-noise to its low-noise expert."""
SHIFT = 5.0

Velocity = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x (B, 16, T, h, w), time steps (B,), words (B, L, D), y (B, 20, T, h, w)) -> velocities."""


def shifted(u: Tensor, shift: float) -> Tensor:
    """Noise levels of u in 0..1."""
    return shift * u / (1 + (shift - 1) * u)


def unshifted(sigma: float, shift: float) -> float:
    """The u whose level is sigma."""
    return sigma / (shift - (shift - 1) * sigma)


def noised(z: Tensor, e: Tensor, sigma: Tensor) -> Tensor:
    """x of clean latents z and noise e (B, ...) at levels sigma (B,)."""
    s = sigma.view(-1, *[1] * (z.dim() - 1))
    return (1 - s) * z + s * e


def levels(steps: int, shift: float = SHIFT) -> list[float]:
    """The noise levels of a run of `steps` steps, steps + 1 of them, from 1 down to 0."""
    return shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift).tolist()


@torch.no_grad()
def denoise(
    high: Velocity,
    low: Velocity,
    noise: Tensor,
    words: Tensor,
    y: Tensor,
    steps: int = 10,
    shift: float = SHIFT,
    guidance: float = 1.0,
    no_words: Tensor | None = None,
) -> Tensor:
    """Latents (B, 16, T, h, w) from noise of that shape, conditioned on words and y.

    With `guidance` other than 1 each step asks twice, with `words` and with `no_words`.
    """
    x = noise
    for sigma, following in pairwise(levels(steps, shift)):
        model = high if sigma > BOUNDARY else low
        t = torch.full((len(x),), sigma * 1000)
        v = model(x, t, words, y)
        if guidance != 1:
            if no_words is None:
                raise ValueError("guidance needs the embedding of no words")
            without = model(x, t, no_words, y)
            v = without + guidance * (v - without)
        x = x + (following - sigma) * v
    return x
