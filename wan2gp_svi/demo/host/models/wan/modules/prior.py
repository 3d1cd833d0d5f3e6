"""What takes the place of training: where each latent lies before the transformer has its say.

A trained model turns conditioning into a picture. With seeded weights it cannot, so the small
model adds to its transformer a prior in closed form: each latent x0 is Gaussian around a mean that
is made of the conditioning. Known slots stay as they are; behind them the picture sways gently and
goes over from the last known slot to the anchor (or to the end image, where there is one). The
transformer shifts that mean; the noise, and so the seed, shows as grain of the size of the spread.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from models.wan.modules.vae import WanVAE

GRAIN = 0.10  # spread of a latent where nothing is known, in units of normalised latents
SWAY = 0.018  # how far the picture sways, as a part of its size


def known_slots(y: torch.Tensor) -> tuple[int, bool]:
    """Of conditioning (20, T, h, w): how many leading latents are given, and whether the last is.

    Latents 1.. are given where they are not the zeros of the latent space, whatever the mask says:
    SVI's motion latents lie under a mask of 0.
    """
    given = (y[4:].abs().amax(dim=(0, 2, 3)) > 0).tolist()
    given[0] = True
    leading = given.index(False) if False in given else len(given)
    return leading, leading < len(given) and given[-1]


def flow_field(height: int, width: int) -> torch.Tensor:
    """A smooth field of displacements (height, width, 2), at most 1 in size: a slow swirl."""
    v = torch.linspace(-1, 1, height)[:, None].expand(height, width)
    u = torch.linspace(-1, 1, width).expand(height, width)
    dx = 0.6 * torch.cos(math.pi * v / 2) + 0.4 * torch.sin(math.pi * (u + v))
    dy = 0.5 * torch.sin(math.pi * u / 2) + 0.3 * torch.cos(math.pi * (u - 2 * v) / 2)
    edge = (1 - u**4) * (1 - v**4)  # the border stays where it is
    return torch.stack([dx * edge, dy * edge], dim=-1)


def moved(latent: torch.Tensor, vae: WanVAE, amount: float) -> torch.Tensor:
    """The latent (16, h, w) of the same picture, moved along the flow; a linear map of latents."""
    if amount == 0:
        return latent
    picture = vae._to_picture(latent)[None]
    height, width = picture.shape[-2:]
    still = F.affine_grid(torch.eye(2, 3)[None], [1, 3, height, width], align_corners=False)
    # a displacement of 1 in the grid is half the picture
    grid = still + 2 * amount * flow_field(height, width)[None]
    picture = F.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)
    return vae._to_latent(picture[0])


_last: tuple = (None, -1, None)  # all steps of a window share one y: it is looked at once


def prior(y: torch.Tensor, vae: WanVAE) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (16, T, h, w) and freedom (T,) of the latents, from conditioning y (20, T, h, w).

    Freedom is 0 in known slots and rises to 1 behind them; it scales grain and transformer.
    """
    global _last
    if _last[0] is not y or _last[1] != y._version:
        _last = (y, y._version, _prior(y, vae))
    return _last[2]


def _prior(y: torch.Tensor, vae: WanVAE) -> tuple[torch.Tensor, torch.Tensor]:
    latents, total = y[4:], y.shape[1]
    leading, has_end = known_slots(y)
    start, goal = latents[:, leading - 1], latents[:, -1 if has_end else 0]
    mean = [latents[:, slot] for slot in range(leading)]
    freedom = [0.0] * leading
    for slot in range(leading, total):
        way = (slot - leading + 1) / (total - leading)  # 0: the last known slot, 1: the last slot
        blend = way * way * (3 - 2 * way)
        sway = 0.0 if slot == total - 1 else SWAY * math.sin(2 * math.pi * way)
        mean.append(moved((1 - blend) * start + blend * goal, vae, sway))
        freedom.append(1 - 0.5 ** (slot - leading + 1))
    if has_end:
        freedom[-1] = 0.0
    return torch.stack(mean, dim=1), torch.tensor(freedom, dtype=y.dtype)


def velocity(
    x: torch.Tensor, sigma: float, mean: torch.Tensor, spread: torch.Tensor
) -> torch.Tensor:
    """The exact flow-matching velocity E[noise - x0 | x] for x0 ~ N(mean, spread^2), any shape.

    x = (1 - sigma) x0 + sigma noise, 0 < sigma <= 1, so E[x0 | x] = mean + g (x - (1-sigma) mean)
    with g = (1-sigma) spread^2 / ((1-sigma)^2 spread^2 + sigma^2), and v = (x - E[x0 | x]) / sigma.
    (Lipman et al., "Flow Matching for Generative Modeling", arXiv 2210.02747, Gaussian paths.)
    """
    keep = 1 - sigma
    g = keep * spread**2 / (keep**2 * spread**2 + sigma**2)
    x0 = mean + g * (x - keep * mean)
    return (x - x0) / sigma
