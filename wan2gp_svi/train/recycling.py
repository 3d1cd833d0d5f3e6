"""The loop of error recycling: an SVI LoRA on any Wan, small or real.

Who trains brings a model with a LoRA on it, samples, and a way to ask the model. A sample is one
window as a mode of the family sees it: clean latents, and y as a chain would hand it over, but
without a chain's errors. The condition's error goes where a chain's errors come from: in Pro on the
motion latents, for the anchor is a clean image in every window; in the other modes on the first k
latents, the motion frames and what is encoded behind them. With `reference_only` (small models,
V#79) there is that error and no other. Rank is alpha. The loss is weighted by a bell over the time
steps. High- and low-noise expert have LoRAs of their own; what the one got wrong serves as
condition errors for the other, if both are trained into one folder: E_y comes from all grids, and
what a chain hands over has been through both. Train low first.

A model without channels for y (Wan 2.2 5B) is given what is known `in_place`: the known latents of
y stand in x, at time step 0, and what the model says there is not asked for.

The loop is accelerate's, the LoRA peft's. Sources: error_bank.py; `train_svi.py`,
`scripts/train/*.sh`, `schedulers/flow_match.py` of vita-epfl/Stable-Video-Infinity. The training
code of 2.0 Pro is not public; of it only the authors' answers are known (V#36).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from tqdm import tqdm

from wan2gp_svi.errors import UserError
from wan2gp_svi.lora import keys
from wan2gp_svi.svi.conditioning import condition, pro_latents
from wan2gp_svi.svi.modes import MODES, Mode
from wan2gp_svi.svi.vae import MASK_CHANNELS, latents_of
from wan2gp_svi.train import base, checkpoint, error_bank, flow
from wan2gp_svi.train.error_bank import Bank, Odds

SHARED_ITERATIONS = 50
"""For so many iterations at first every process's errors enter the banks of all."""
CONDITION_LATENTS = 3
"""k of the pixel modes: Shot, Film, Talk."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a LoRA depends on, besides the model and the clips; the numbers are the authors'.

    `expert`: high, low, or shared (a model for all noise levels); `batch`: samples of a step and
    process; `opening`: how many of Pro's samples are first windows, [A, 0, ...]; `capacity`: errors
    a grid; `wordless`: how many samples come without words, for guidance. The rate falls in the
    second half.
    """

    mode: str = "pro"
    expert: str = "high"
    seed: int = 0
    steps: int = 5000
    batch: int = 1
    rank: int = 128
    rate: float = 1e-4
    motion_latents: int = 1
    opening: float = 0.2
    shift: float = flow.SHIFT
    wordless: float = 0.1
    odds: Odds = error_bank.AUTHORS
    reference_only: bool = False
    capacity: int = error_bank.CAPACITY


def mode_of(name: str) -> Mode:
    """The mode of a name. `UserError` if there is none."""
    if name not in MODES:
        raise UserError(f"There is no SVI mode {name}; there are {', '.join(MODES)}.")
    return MODES[name]


def odds_of(mode: str) -> Odds:
    """The authors' odds for a mode. `UserError` for another name."""
    mode_of(mode)
    return replace(error_bank.AUTHORS, clean=0.5) if mode == "film" else error_bank.AUTHORS


# --- samples -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One window of a clip: clean latents (C, T, h, w), y without errors (4 + C, T, h, w), words.

    `text`: the words, or their embedding (L, D). `handed_over`: the latents of y that a chain would
    have made itself, first and one past last; `known`: how many leading ones y tells whole.
    `picture`: what CLIP says of the picture that the model is shown (tokens, D), if it is asked.
    """

    latents: Tensor
    y: Tensor
    text: str | Tensor
    handed_over: tuple[int, int]
    known: int
    picture: Tensor | None = None


def pro_sample(z: Tensor, anchor: Tensor | None, motion: int, frames: int, text: Any) -> Sample:
    """A window of SVI 2.0 Pro of latents z (C, T, h, w): [A, Z, 0, ...], or [A, 0, ...].

    `anchor` (C, 1, h, w) stands in the place of z's first latent, the next `motion` ones are Z;
    without it the window is a video's first: it begins on its own first frame.
    """
    if anchor is None:
        y = pro_latents(z[:, :1], None, z.shape[1])
        return Sample(z, condition(y, frames), text, (1, 1), 1)
    y = pro_latents(anchor, z[:, 1 : 1 + motion], z.shape[1])
    latents = torch.cat([anchor, z[:, 1:]], dim=1)
    return Sample(latents, condition(y, frames), text, (1, 1 + motion), 1 + motion)


def pixel_sample(z: Tensor, shown: Tensor, mode: Mode, frames: int, text: Any) -> Sample:
    """A window of the modes that hand over frames; `shown` (C, T, h, w): its padded video."""
    y = condition(shown, frames, mode.motion_frames if mode.ref_pad_cfg else 1)
    k = min(CONDITION_LATENTS, z.shape[1])
    return Sample(z, y, text, (0, k), latents_of(mode.motion_frames))


# --- one step ------------------------------------------------------------------------------------


def bell(time_steps: Tensor, shift: float) -> Tensor:
    """Weights of the loss: exp(-2 ((t-500)/1000)^2), 0 at its least, mean 1 over the schedule."""

    def curve(t: Tensor) -> Tensor:
        return torch.exp(-2 * ((t - 500) / 1000) ** 2)

    schedule = 1000 * flow.shifted(torch.linspace(1, 0, 1001, dtype=torch.float64)[:-1], shift)
    heights = curve(schedule)
    return ((curve(time_steps.double()) - heights.min()) / (heights - heights.min()).mean()).to(
        time_steps.dtype
    )


def with_errors(y: Tensor, errors: Tensor, samples: Sequence[Sample]) -> Tensor:
    """y (B, 4 + C, T, h, w) with E_y (B, C, k, h, w) added where latents were handed over.

    The mask stays; of k errors a sample takes as many as it has such latents, the first of them.
    """
    y = y.clone()
    for i, sample in enumerate(samples):
        first, stop = sample.handed_over
        y[i, MASK_CHANNELS:, first:stop] += errors[i, :, : stop - first]
    return y


def draw_errors(
    bank: Bank, recipe: Recipe, time_steps: Tensor, shape: torch.Size, generator: torch.Generator
) -> error_bank.Drawn:
    odds = replace(recipe.odds, latent=0.0, noise=0.0) if recipe.reference_only else recipe.odds
    k = CONDITION_LATENTS if MODES[recipe.mode].motion_frames else recipe.motion_latents
    return error_bank.draw(bank, odds, time_steps, shape, min(k, shape[2]), generator)


def put_in_place(
    x: Tensor, t: Tensor, y: Tensor, samples: Sequence[Sample]
) -> tuple[Tensor, Tensor, Tensor]:
    """(x with what is known in it, each latent's time step (B, T), where the model is asked).

    The last is (B, 1, T, 1, 1), True where x is noised.
    """
    known = torch.tensor([sample.known for sample in samples])[:, None]
    asked = torch.arange(x.shape[2]) >= known
    where = asked[:, None, :, None, None]
    return torch.where(where, x, y[:, MASK_CHANNELS:]), t[:, None] * asked, where


# --- the LoRA ------------------------------------------------------------------------------------


def add_lora(
    model: nn.Module, targets: Sequence[str], rank: int, seed: int
) -> dict[str, torch.nn.Parameter]:
    """Put a LoRA on the model's linear layers; its parameters by their names in a LoRA file.

    The model's own parameters are frozen as they are, the LoRA's are float32.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(
            LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets)), model
        )
    named = {}
    for name, p in model.named_parameters():
        key = keys.parse(name) if "lora_" in name else None
        p.requires_grad_(key is not None)
        if key is not None:
            p.data = p.data.float()
            named[key.common] = p
    return named


def _noise(recipe: Recipe) -> str:
    return "" if recipe.expert == "shared" else f", {recipe.expert} noise"


def save_lora(
    path: Path,
    lora: dict[str, torch.nn.Parameter],
    recipe: Recipe,
    of: str,
    about: dict[str, object],
) -> None:
    """The file that WanGP loads (`lora inspect` reads it), and in it how it was made.

    `of` names the model.
    """
    checkpoint.save(
        path,
        checkpoint.as_type(lora, torch.bfloat16),
        {
            "modelspec.title": f"{MODES[recipe.mode].name}{_noise(recipe)}, of {of}",
            "ss_network_dim": recipe.rank,
            "ss_network_alpha": recipe.rank,
            "svi_training": {"recipe": asdict(recipe), **about},
        },
    )


# --- the run -------------------------------------------------------------------------------------

Model = Callable[..., Tensor]
"""A model that was made ready for its device."""
Ask = Callable[[Model, Tensor, Tensor, Tensor, Sequence[Sample], Sequence[bool]], Tensor]
"""(model, x (B, C, T, h, w), time steps (B,) or (B, T), y (B, 4 + C, T, h, w), samples, which are
told their words) -> velocities like x."""


def _gathered(accelerator: Accelerator, iteration: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    if accelerator.num_processes == 1 or iteration >= SHARED_ITERATIONS:
        return tensors
    return tuple(accelerator.gather(tensors))


def train(
    model: Model,
    lora: dict[str, torch.nn.Parameter],
    ask: Ask,
    sample: Callable[[Any, int], Sample],
    recipe: Recipe,
    out: Path,
    of: str,
    about: dict[str, object] | None = None,
    in_place: bool = False,
    every: int = 25,
    state_every: int = 500,
    stop_after: int | None = None,
) -> Path | None:
    """Train the LoRA of one expert into folder `out`, or go on with what is there.

    `model` is that expert with `lora` on it (add_lora). Returns the LoRA's file, None if stopped by
    `stop_after` steps. `of` and `about` go into its metadata.
    """
    accelerator = Accelerator(mixed_precision="bf16", cpu=not torch.cuda.is_available())
    optimiser = torch.optim.AdamW(lora.values(), lr=recipe.rate, weight_decay=0.01)
    state = out / f"{recipe.mode}-{recipe.expert}.state.safetensors"
    target = lora_file(out, recipe)
    bank, done = _others_bank(out, recipe), 0
    losses: list[tuple[int, float]] = []
    if state.exists():
        bank, done, losses = _load_state(state, recipe, lora, optimiser)
    model, optimiser = accelerator.prepare(model, optimiser)
    rank, world_size = accelerator.process_index, accelerator.num_processes
    bar = tqdm(
        total=recipe.steps,
        initial=done,
        desc=recipe.mode + _noise(recipe),
        unit="step",
        disable=not accelerator.is_local_main_process,
        dynamic_ncols=True,
    )
    recent: list[float] = []
    for iteration in range(done, recipe.steps):
        if stop_after is not None and iteration - done >= stop_after:
            _save_state(state, recipe, lora, optimiser, bank, iteration, losses)
            return None
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * min(1.0, 2 * (1 - iteration / recipe.steps))
        generator = torch.Generator().manual_seed(
            (recipe.seed * 10_000_019 + iteration) * 1009 + rank
        )
        first = (iteration * world_size + rank) * recipe.batch
        samples = [sample(recipe, first + i) for i in range(recipe.batch)]
        z = torch.stack([s.latents for s in samples])
        sigma = base.noise_levels(
            recipe.expert, recipe.shift, torch.rand(len(z), generator=generator)
        )
        t = 1000 * sigma
        e = torch.randn(z.shape, generator=generator)
        drawn = draw_errors(bank, recipe, t, z.shape, generator)
        x, target_v = error_bank.corrupted(z, e, sigma, drawn)
        y = with_errors(torch.stack([s.y for s in samples]), drawn.condition, samples)
        told = (torch.rand(len(z), generator=generator) >= recipe.wordless).tolist()
        asked_at, where = t, None
        if in_place:
            x, asked_at, where = put_in_place(x, t, y, samples)
        device = accelerator.device
        x, t_there, asked_at, y, target_v = (a.to(device) for a in (x, t, asked_at, y, target_v))
        with accelerator.autocast():
            v = ask(model, x, asked_at, y, samples, told).float()
        if where is not None:
            v = torch.where(where.to(device), v, target_v)
        weight = bell(t_there, recipe.shift).view(-1, 1, 1, 1, 1)
        loss = (weight * (v - target_v).square()).mean()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(lora.values(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        e_z, e_e = error_bank.made(v.detach(), target_v, sigma.to(device))
        ts, e_z, e_e, clean = _gathered(
            accelerator, iteration, t_there, e_z, e_e, drawn.clean.to(device)
        )
        error_bank.recycle(bank, recipe.odds, ts.cpu(), (e_z, e_e), clean.cpu(), generator)
        recent.append(float(loss.detach()))
        bar.update()
        if (iteration + 1) % every == 0:
            losses.append((iteration + 1, math.fsum(recent) / len(recent)))
            bar.set_postfix_str(
                f"loss {losses[-1][1]:.3f}, {error_bank.size(bank, 'latent')} errors"
            )
            recent = []
        if (iteration + 1) % state_every == 0 and accelerator.is_main_process:
            _save_state(state, recipe, lora, optimiser, bank, iteration + 1, losses)
    bar.close()
    if accelerator.is_main_process:
        save_lora(target, lora, recipe, of, {**(about or {}), "losses": losses})
        checkpoint.save(_bank_file(out, recipe), error_bank.tensors_of(bank), {})
        state.unlink(missing_ok=True)
    accelerator.wait_for_everyone()  # the other expert begins with what was written here
    return target


def lora_file(out: Path, recipe: Recipe) -> Path:
    """What a recipe's LoRA is called."""
    expert = "" if recipe.expert == "shared" else f"-{recipe.expert}-noise"
    return out / f"svi-{recipe.mode}{expert}.safetensors"


def _bank_file(out: Path, recipe: Recipe) -> Path:
    return out / f"{recipe.mode}-{recipe.expert}.bank.safetensors"


def _others_bank(out: Path, recipe: Recipe) -> Bank:
    """A bank that begins with the latent errors of the other expert, if it has been trained."""
    other = replace(recipe, expert="low" if recipe.expert == "high" else "high")
    if not _bank_file(out, other).exists():
        return Bank(recipe.capacity)
    tensors, _ = checkpoint.load(_bank_file(out, other))
    latent = {name: held for name, held in tensors.items() if name.startswith("latent")}
    return error_bank.bank_of(latent, recipe.capacity)


def _save_state(path, recipe, lora, optimiser, bank, step, losses) -> None:
    moments = {
        f"{key}.{name}": value
        for name, p in lora.items()
        for key, value in optimiser.state[p].items()
    }
    tensors = {
        **checkpoint.named("lora", lora),
        **checkpoint.named("optimiser", moments),
        **checkpoint.named("bank", error_bank.tensors_of(bank)),
    }
    checkpoint.save(path, tensors, {"recipe": asdict(recipe), "step": step, "losses": losses})


def _load_state(path, recipe, lora, optimiser) -> tuple[Bank, int, list]:
    tensors, about = checkpoint.load(path)
    if about["recipe"] != asdict(recipe):
        raise UserError(f"{path} was begun with other settings; choose another folder.")
    moments = checkpoint.under("optimiser", tensors)
    for name, p in lora.items():
        p.data.copy_(tensors[f"lora.{name}"])
        if f"exp_avg.{name}" in moments:
            optimiser.state[p] = {
                key: moments[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
            }
    bank = error_bank.bank_of(checkpoint.under("bank", tensors), recipe.capacity)
    return bank, about["step"], [tuple(row) for row in about["losses"]]
