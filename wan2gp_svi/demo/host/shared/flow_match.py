"""The flow-matching sampler: x_s = (1-s) x0 + s noise, s from 1 to 0 in Euler steps.

(Lipman et al., arXiv 2210.02747; the shift is that of Esser et al., "Scaling Rectified Flow
Transformers", arXiv 2403.03206, eq. 23, s' = shift s / (1 - s + shift s).)
"""

from __future__ import annotations

import torch


def sigmas(steps: int, shift: float) -> torch.Tensor:
    """The noise levels, steps + 1 of them, from 1 down to 0."""
    s = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return shift * s / (1 - s + shift * s)  # at s = 1 exactly 1


def euler_step(
    x: torch.Tensor, velocity: torch.Tensor, sigma: float, sigma_next: float
) -> torch.Tensor:
    """One step along dx/ds = v."""
    return x + (sigma_next - sigma) * velocity
