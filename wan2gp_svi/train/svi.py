"""Training an SVI LoRA by error recycling (error_bank.py), for any mode of the family.

Each sample is a piece of a longer clip of the small world, as the mode's windows see it:

    Pro         [A, Z, 0, ...]: A is an anchor image from outside the piece, Z the n latents before
                it, as the causal VAE gives them within the longer clip. In a part of the samples
                [A, 0, ...], A being the first frame: that is how every chain begins.
    the others  VAE(N motion frames, padding), the reference being a frame from outside the piece

The condition's error goes where a chain's errors come from: in Pro on the motion latents, for the
anchor is a clean image in every window; in the other modes on the first k latents, the motion
frames and what is encoded behind them. With `reference_only` (small models, V#79) there is that
error and no other. Rank is alpha, on q, k, v, o and both layers of the feed-forward part. The loss
is weighted by a bell over the time steps. High- and low-noise expert have LoRAs of their own; what
the one got wrong serves as condition errors for the other, if both are trained into one folder:
E_y comes from all grids, and what a chain hands over has been through both. Train low first.

The loop is accelerate's, the LoRA peft's. Sources: error_bank.py; `train_svi.py`,
`scripts/train/*.sh`, `schedulers/flow_match.py` of vita-epfl/Stable-Video-Infinity. The training
code of 2.0 Pro is not public; of it only the authors' answers are known (V#36).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor
from tqdm import tqdm

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.conditioning import condition, padded_video, pro_latents
from wan2gp_svi.svi.modes import MODES, Mode
from wan2gp_svi.train import base, checkpoint, error_bank, flow, tiny, words, world
from wan2gp_svi.train.error_bank import Bank, Odds
from wan2gp_svi.train.tiny import TinyWan

TARGETS = ("q", "k", "v", "o", "ffn.0", "ffn.2")
SHARED_ITERATIONS = 50
"""For so many iterations at first every process's errors enter the banks of all."""
CONDITION_LATENTS = 3
"""k of the pixel modes: Shot, Film, Talk."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a LoRA depends on, besides the base model.

    `opening`: how many of Pro's samples are first windows, [A, 0, ...]. `capacity`: errors a grid
    (the authors' 500 would be 1.4 GB here). The rate falls in the second half, as the base's does.
    """

    mode: str = "pro"
    expert: str = "high"
    seed: int = 0
    steps: int = 8000
    batch: int = 8
    rank: int = 16
    rate: float = 1e-3
    frames: int = 25
    side: int = 64
    motion_latents: int = 1
    opening: float = 0.2
    shift: float = flow.SHIFT
    wordless: float = 0.1
    odds: Odds = error_bank.AUTHORS
    reference_only: bool = False
    capacity: int = 50


def recipe_of(mode: str, **settings: object) -> Recipe:
    """The authors' numbers for a mode; `settings` go before them. `UserError` for another name."""
    if mode not in MODES:
        raise UserError(f"There is no SVI mode {mode}; there are {', '.join(MODES)}.")
    odds = replace(error_bank.AUTHORS, clean=0.5) if mode == "film" else error_bank.AUTHORS
    return replace(Recipe(mode=mode, odds=odds), **settings)  # type: ignore[arg-type]


# --- data ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of a clip: clean latents (16, T, h, w), y without errors (20, T, h, w), its words.

    `handed_over`: the latents of y that a chain would have made itself, first and one past last.
    """

    latents: Tensor
    y: Tensor
    text: str
    handed_over: tuple[int, int]


def _frame(scene: world.Scene, state: world.State, side: int) -> Tensor:
    """(3, 1, side, side) of one state."""
    return world.draw([scene], np.array([[state.row()]]), side)[0]


def _anchor(rng: np.random.Generator, clip: world.Clip, side: int) -> Tensor:
    """A clean picture of the clip's scene at another time: the object elsewhere, now and then in
    another colour."""
    colour = "" if rng.random() < 0.15 else clip.start.colour
    return _frame(clip.scene, world.random_state(rng, clip.scene, colour), side)


def pro_sample(rng: np.random.Generator, recipe: Recipe) -> Sample:
    """A window of SVI 2.0 Pro: [A, Z, 0, ...], or [A, 0, ...]."""
    n = recipe.motion_latents
    if rng.random() < recipe.opening:
        told = world.tell(world.random_clip(rng, recipe.frames))
        z = tiny.encode(world.draw([told.scene], told.rows[None], recipe.side))[0]
        y = pro_latents(z[:, :1], None, z.shape[1])
        return Sample(z, condition(y, recipe.frames), told.words(), (1, 1))
    lead = 4 * n + int(rng.integers(0, 9))
    new = recipe.frames - 1 - 4 * n
    clip = world.random_clip(rng, 1 + new, lead=lead)
    told = world.tell(clip)
    seen = told.rows[lead - 4 * n :]
    z = tiny.encode(world.draw([told.scene], seen[None], recipe.side))[0]
    a = tiny.encode(_anchor(rng, clip, recipe.side)[None])[0]
    latents = torch.cat([a, z[:, 1:]], dim=1)
    y = pro_latents(a, z[:, 1 : 1 + n], latents.shape[1])
    return Sample(latents, condition(y, recipe.frames), told.words(lead), (1, 1 + n))


def pixel_sample(rng: np.random.Generator, recipe: Recipe, mode: Mode) -> Sample:
    """A window of the modes that hand over frames: VAE(motion frames, padding)."""
    lead = int(rng.integers(0, 9))
    clip = world.random_clip(rng, recipe.frames, lead=lead)
    told = world.tell(clip)
    video = world.draw([told.scene], told.rows[None, lead:], recipe.side)
    reference = _anchor(rng, clip, recipe.side)
    shown = padded_video(
        video[0, :, : mode.motion_frames], reference, recipe.frames, mode.ref_pad_num
    )
    known = mode.motion_frames if mode.ref_pad_cfg else 1
    y = condition(tiny.encode(shown[None])[0], recipe.frames, known)
    return Sample(tiny.encode(video)[0], y, told.words(lead), (0, CONDITION_LATENTS))


def sample_of(recipe: Recipe, number: int) -> Sample:
    """The sample of a number; the same number gives the same sample."""
    rng = np.random.default_rng([recipe.seed, 1, number])
    mode = MODES[recipe.mode]
    return pixel_sample(rng, recipe, mode) if mode.motion_frames else pro_sample(rng, recipe)


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


def with_errors(y: Tensor, errors: Tensor, samples: list[Sample]) -> Tensor:
    """y (B, 20, T, h, w) with E_y (B, 16, k, h, w) added where latents were handed over.

    The mask stays; of k errors a sample takes as many as it has such latents, the first of them.
    """
    y = y.clone()
    for i, sample in enumerate(samples):
        first, stop = sample.handed_over
        y[i, tiny.MASK :, first:stop] += errors[i, :, : stop - first]
    return y


def draw_errors(
    bank: Bank, recipe: Recipe, time_steps: Tensor, shape: torch.Size, generator: torch.Generator
) -> error_bank.Drawn:
    odds = replace(recipe.odds, latent=0.0, noise=0.0) if recipe.reference_only else recipe.odds
    k = CONDITION_LATENTS if MODES[recipe.mode].motion_frames else recipe.motion_latents
    return error_bank.draw(bank, odds, time_steps, shape, k, generator)


# --- the LoRA ------------------------------------------------------------------------------------


def add_lora(model: TinyWan, rank: int, seed: int) -> dict[str, torch.nn.Parameter]:
    """Put a LoRA on the model's linear layers; its parameters by their names in a LoRA file."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(
            LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS)), model
        )
    named = {}
    for name, p in model.named_parameters():
        p.requires_grad_("lora_" in name)
        if "lora_" in name:
            named["diffusion_model." + name.replace(".default.", ".")] = p
    return named


def save_lora(
    path: Path, lora: dict[str, torch.nn.Parameter], recipe: Recipe, about: dict[str, object]
) -> None:
    """The file that WanGP loads (`lora inspect` reads it), and in it how it was made."""
    mode = MODES[recipe.mode]
    checkpoint.save(
        path,
        checkpoint.as_type(lora, torch.bfloat16),
        {
            "modelspec.title": f"{mode.name}, {recipe.expert} noise, of the small world",
            "ss_network_dim": recipe.rank,
            "ss_network_alpha": recipe.rank,
            "svi_training": {"recipe": asdict(recipe), **about},
        },
    )


def load_lora(model: TinyWan, path: Path) -> TinyWan:
    """The model with a LoRA of ours merged in, at strength 1."""
    tensors, _ = checkpoint.load(path)
    state = dict(model.state_dict())
    for name, down in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removeprefix("diffusion_model.").removesuffix(".lora_A.weight")
        up = tensors[name.replace("lora_A", "lora_B")]
        weight = f"{module}.weight"
        if weight not in state or state[weight].shape != (len(up), down.shape[1]):
            raise UserError(f"{path.name} does not fit this model: {module}.")
        state[weight] = state[weight] + up.float() @ down.float()
    merged = TinyWan(model.size)
    merged.load_state_dict(state)
    return merged.eval().requires_grad_(False)


# --- the run -------------------------------------------------------------------------------------


def _gathered(accelerator: Accelerator, iteration: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    if accelerator.num_processes == 1 or iteration >= SHARED_ITERATIONS:
        return tensors
    return tuple(accelerator.gather(tensors))


def train(
    model: TinyWan,
    recipe: Recipe,
    out: Path,
    about: dict[str, object] | None = None,
    sample: Callable[[Recipe, int], Sample] = sample_of,
    every: int = 25,
    state_every: int = 500,
    compile_model: bool = True,
    stop_after: int | None = None,
) -> Path | None:
    """Train the LoRA of one expert into folder `out`, or go on with what is there.

    `model` is that expert; it is changed. Returns the LoRA's file, None if stopped by `stop_after`
    steps. `about` goes into its metadata.
    """
    accelerator = Accelerator(mixed_precision="bf16", cpu=not torch.cuda.is_available())
    lora = add_lora(model, recipe.rank, recipe.seed)
    optimiser = torch.optim.AdamW(lora.values(), lr=recipe.rate, weight_decay=0.01)
    state = out / f"{recipe.mode}-{recipe.expert}.state.safetensors"
    target = out / f"svi-{recipe.mode}-{recipe.expert}-noise.safetensors"
    bank, done = _others_bank(out, recipe), 0
    losses: list[tuple[int, float]] = []
    if state.exists():
        bank, done, losses = _load_state(state, recipe, lora, optimiser)
    velocity, optimiser = accelerator.prepare(
        base.compiled(model) if compile_model else model, optimiser
    )
    rank, world_size = accelerator.process_index, accelerator.num_processes
    bar = tqdm(
        total=recipe.steps,
        initial=done,
        desc=f"{recipe.mode}, {recipe.expert} noise",
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
        text = words.encode_all(
            [
                "" if chance < recipe.wordless else s.text
                for s, chance in zip(samples, torch.rand(len(z), generator=generator), strict=True)
            ]
        )
        device = accelerator.device
        x, t_there, text, y, target_v = (a.to(device) for a in (x, t, text, y, target_v))
        with accelerator.autocast():
            v = velocity(x, t_there, text, y).float()
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
        save_lora(target, lora, recipe, {**(about or {}), "losses": losses})
        checkpoint.save(_bank_file(out, recipe), error_bank.tensors_of(bank), {})
        state.unlink(missing_ok=True)
    return target


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
