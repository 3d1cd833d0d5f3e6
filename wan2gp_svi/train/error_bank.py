"""Error recycling: what a model gets wrong is kept, and given back to it as its input.

With z the clean latents of a clip, e noise, sigma a noise level in (0, 1], and errors E_z, E_e, E_y
drawn from the bank (or zero), a step of training is

    x  = (1-sigma) (z + E_z) + sigma (e + E_e)        the corrupted point
    v* = (e + E_e) - z                                from there to the *clean* latents
    y' = y + E_y on the latents that were handed over  the corrupted condition

and what the model then gets wrong, in one step to either end, goes into the bank:

    e_z = -sigma (v - v*)         at the clean end
    e_e = (1-sigma) (v - v*)      at the noise end

The bank has 50 grids, one for each time step of a 50-step run at shift 5; an error belongs to the
nearest. A grid holds at most 500 errors of a kind; in a full one a new error takes the place of the
one that is most like it (least L2), so that what is kept stays varied. E_z and E_e come from the
grid of the sample's own time step; E_y is some consecutive latents of any latent error.

Source: arXiv 2510.09212, and `train_svi.py` of vita-epfl/Stable-Video-Infinity (SVI 1.0). Samples
without any error are the October 2025 repair: what the model gets wrong on them enters the bank
with probability 0.1 only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from wan2gp_svi.train.flow import levels

GRIDS, CAPACITY = 50, 500
KINDS = ("latent", "noise")


@dataclass(frozen=True, slots=True)
class Odds:
    """Probabilities: of each error, of a sample without any, of that sample's errors being kept."""

    condition: float = 0.9
    latent: float = 0.9
    noise: float = 0.01
    clean: float = 0.2
    keep_clean: float = 0.1


AUTHORS = Odds()


@dataclass
class Bank:
    """Errors by (kind, grid), each a tensor (count, C, T, h, w). All that it does is below."""

    capacity: int = CAPACITY
    time_steps: Tensor = field(default_factory=lambda: 1000 * torch.tensor(levels(GRIDS)[:-1]))
    errors: dict[tuple[str, int], Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The errors of a batch: E_z, E_e (B, C, T, h, w), E_y (B, C, k, h, w); `clean` (B,): none."""

    latent: Tensor
    noise: Tensor
    condition: Tensor
    clean: Tensor


def grid_of(bank: Bank, time_step: float) -> int:
    """The grid whose time step is nearest."""
    return int((bank.time_steps - time_step).abs().argmin())


def add(bank: Bank, kind: str, time_step: float, error: Tensor) -> None:
    """Keep an error (C, T, h, w); a full grid loses the one that is most like it."""
    key = (kind, grid_of(bank, time_step))
    error = error.detach().float().cpu()[None]
    held = bank.errors.get(key)
    if held is None:
        bank.errors[key] = error.clone()
    elif len(held) < bank.capacity:
        bank.errors[key] = torch.cat([held, error])
    else:
        held[(held - error).flatten(1).square().sum(dim=1).argmin()] = error[0]


def size(bank: Bank, kind: str) -> int:
    """How many errors of a kind are kept."""
    return sum(len(held) for (of, _), held in bank.errors.items() if of == kind)


def _whole(n: int, generator: torch.Generator) -> int:
    """A whole number in 0..n-1."""
    return int(torch.randint(n, (), generator=generator))


def _of_grid(bank: Bank, kind: str, time_step: float, generator: torch.Generator) -> Tensor | None:
    held = bank.errors.get((kind, grid_of(bank, time_step)))
    return None if held is None else held[_whole(len(held), generator)]


def _of_any(bank: Bank, latents: int, generator: torch.Generator) -> Tensor | None:
    """`latents` consecutive latents (C, latents, h, w) of a latent error, each grid as likely."""
    grids = sorted(grid for kind, grid in bank.errors if kind == "latent")
    if not grids:
        return None
    held = bank.errors["latent", grids[_whole(len(grids), generator)]]
    error = held[_whole(len(held), generator)]
    first = _whole(error.shape[1] - latents + 1, generator)
    return error[:, first : first + latents]


def draw(
    bank: Bank,
    odds: Odds,
    time_steps: Tensor,
    shape: torch.Size | tuple[int, ...],
    condition_latents: int,
    generator: torch.Generator,
) -> Drawn:
    """Errors for a batch of latents of `shape` (B, C, T, h, w) at `time_steps` (B,) in 0..1000.

    E_y has `condition_latents` latents. What the bank does not have yet is zero.
    """
    latent, noise = torch.zeros(shape), torch.zeros(shape)
    condition = torch.zeros(*shape[:2], condition_latents, *shape[3:])
    chance = torch.rand(shape[0], 4, generator=generator).tolist()
    clean = torch.tensor([row[0] < odds.clean for row in chance])
    for i, (_, of_latent, of_noise, of_condition) in enumerate(chance):
        if clean[i]:
            continue
        t = float(time_steps[i])
        for wanted, found, into in (
            (of_latent < odds.latent, lambda: _of_grid(bank, "latent", t, generator), latent),  # noqa: B023
            (of_noise < odds.noise, lambda: _of_grid(bank, "noise", t, generator), noise),  # noqa: B023
            (
                of_condition < odds.condition and condition_latents > 0,
                lambda: _of_any(bank, condition_latents, generator),
                condition,
            ),
        ):
            error = found() if wanted else None
            if error is not None:
                into[i] = error
    return Drawn(latent, noise, condition, clean)


def corrupted(z: Tensor, e: Tensor, sigma: Tensor, drawn: Drawn) -> tuple[Tensor, Tensor]:
    """x and v* of clean latents z and noise e (B, C, T, h, w) at levels sigma (B,)."""
    s = sigma.view(-1, 1, 1, 1, 1)
    noise = e + drawn.noise
    return (1 - s) * (z + drawn.latent) + s * noise, noise - z


def made(v: Tensor, target: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """(e_z, e_e): what velocities v got wrong, in one step to the clean end and to the noise."""
    s = sigma.view(-1, 1, 1, 1, 1)
    wrong = v - target
    return -s * wrong, (1 - s) * wrong


def recycle(
    bank: Bank,
    odds: Odds,
    time_steps: Tensor,
    errors: tuple[Tensor, Tensor],
    clean: Tensor,
    generator: torch.Generator,
) -> None:
    """Keep a batch's errors (e_z, e_e); those of clean samples only now and then."""
    chance = torch.rand(len(time_steps), generator=generator)
    for i, t in enumerate(time_steps.tolist()):
        if not clean[i] or chance[i] < odds.keep_clean:
            for kind, of_batch in zip(KINDS, errors, strict=True):
                add(bank, kind, t, of_batch[i])


def tensors_of(bank: Bank) -> dict[str, Tensor]:
    """The bank's errors under names, for a file."""
    return {f"{kind}.{grid}": held for (kind, grid), held in bank.errors.items()}


def bank_of(tensors: dict[str, Tensor], capacity: int = CAPACITY) -> Bank:
    """The bank that `tensors_of` named."""
    bank = Bank(capacity)
    for name, held in tensors.items():
        kind, _, grid = name.partition(".")
        bank.errors[kind, int(grid)] = held
    return bank
