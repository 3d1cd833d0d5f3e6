"""Training the base model: what a plain Wan 2.2 i2v learns, in the small world.

The base sees what a real one has seen, and nothing of SVI: y = [first frame, 0, ...] with the mask
on that frame, whatever the clip is doing at its first frame. So a chain on the last frame asks it
for what it knows, a motion latent or a foreign anchor is as new to it as to the real model, and
whatever [A, Z, 0] gains or loses with a LoRA is the LoRA's. (A base that had been shown [A, Z, 0]
would make SVI's LoRA look needless.) A tenth of the clips come without words, for guidance.

Three phases: `shared`, one model for all noise levels, at a constant rate; then `high` and `low`,
each grown from it on its own noise levels; in their second half the rate falls to nothing. The high
expert trains longest: at high noise is decided what happens, and the words must be heard there.
What is saved is the running average of the weights. A run that was stopped goes on from its last
state and gives what it would have given: clips, noise and levels follow from the seed and the
number of the step alone.
"""

from __future__ import annotations

import csv
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole
from wan2gp_svi.svi.conditioning import mask
from wan2gp_svi.train import checkpoint, flow, tiny, words, world
from wan2gp_svi.train.tiny import Size, TinyWan

PHASES = ("shared", "high", "low")
BLOCK = 32
"""Batches of clips drawn at a time."""
TRIAL_SEED = 1_000_003
"""Clips of this seed are for looking at and measuring, never trained on."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that the weights depend on. `reuse`: how often a drawn clip is seen, with fresh noise."""

    seed: int = 0
    frames: int = 25
    side: int = 64
    batch: int = 16
    shared_steps: int = 8000
    high_steps: int = 18000
    low_steps: int = 9000
    rate: float = 2e-3
    warmup: int = 200
    average: float = 0.999
    shift: float = 3.0
    wordless: float = 0.1
    reuse: int = 2
    size: Size = tiny.DEFAULT

    def steps(self, phase: str) -> int:
        return {
            "shared": self.shared_steps,
            "high": self.high_steps,
            "low": self.low_steps,
        }[phase]

    def before(self, phase: str) -> int:
        """Steps that come before a phase."""
        return sum(self.steps(p) for p in PHASES[: PHASES.index(phase)])


@dataclass
class Progress:
    """Where a run is: the phase, its model, the averaged weights and the optimiser, the losses."""

    phase: str
    step: int
    model: TinyWan
    average: dict[str, Tensor]
    optimiser: torch.optim.AdamW
    seconds: float = 0.0


# --- data ----------------------------------------------------------------------------------------


def clips(seed: int, first: int, count: int, frames: int, side: int) -> tuple[Tensor, list[str]]:
    """Latents (count, 16, T, h, w) and words of the clips first..first+count-1 of a seed."""
    told = [
        world.tell(world.random_clip(np.random.default_rng([seed, i]), frames))
        for i in range(first, first + count)
    ]
    latents = []
    for k in range(0, count, 8):  # a few at a time stay in the processor's cache
        some = told[k : k + 8]
        rows = np.stack([clip.rows for clip in some])
        latents.append(tiny.encode(world.draw([clip.scene for clip in some], rows, side)))
    return torch.cat(latents), [clip.words() for clip in told]


def first_frame_y(latents: Tensor, frames: int) -> Tensor:
    """y (B, 20, T, h, w) of a plain image-to-video model: [first frame, 0, ...] and its mask."""
    marks = mask(frames, *latents.shape[3:]).expand(len(latents), -1, -1, -1, -1)
    given = torch.zeros_like(latents)
    given[:, :, :1] = latents[:, :, :1]
    return torch.cat([marks, given], dim=1)


class Drawn:
    """The clips of one block of batches, drawn when they are first asked for."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.number = recipe, -1
        self.latents, self.words = torch.empty(0), torch.empty(0)

    def batch(self, position: int) -> tuple[Tensor, Tensor]:
        """Latents and words of the batch of a step (counted over all phases)."""
        recipe = self.recipe
        number, within = divmod(position, BLOCK * recipe.reuse)
        if number != self.number:
            count = BLOCK * recipe.batch
            latents, texts = clips(recipe.seed, number * count, count, recipe.frames, recipe.side)
            self.number, self.latents, self.words = number, latents, words.encode_all(texts)
        seen, k = divmod(within, BLOCK)
        order = np.random.default_rng([recipe.seed, number, seen]).permutation(len(self.latents))
        chosen = torch.from_numpy(order[k * recipe.batch : (k + 1) * recipe.batch])
        return self.latents[chosen], self.words[chosen]


def noise_levels(phase: str, shift: float, u: Tensor) -> Tensor:
    """Levels for u in 0..1, spread as the shifted schedule is, of those that a phase is for."""
    edge = flow.unshifted(flow.BOUNDARY, shift)
    low, high = {"shared": (0.0, 1.0), "high": (edge, 1.0), "low": (0.0, edge)}[phase]
    return flow.shifted(low + (high - low) * u, shift)


# --- training ------------------------------------------------------------------------------------


def learning_rate(recipe: Recipe, phase: str, step: int) -> float:
    """Warm-up and constant; in an expert's second half it falls to nothing in a line."""
    if phase == "shared":
        return recipe.rate * min(1.0, (step + 1) / recipe.warmup)
    return recipe.rate * min(1.0, 2 * (1 - step / recipe.steps(phase)))


def _optimiser(model: TinyWan, rate: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )


def start(recipe: Recipe) -> Progress:
    model = tiny.new_model(recipe.size, recipe.seed)
    average = {name: p.detach().clone() for name, p in model.state_dict().items()}
    return Progress("shared", 0, model, average, _optimiser(model, recipe.rate))


def train_step(
    progress: Progress, recipe: Recipe, drawn: Drawn, velocity: Callable[..., Tensor]
) -> float:
    """One step of the optimiser; returns the loss. `velocity` is the model, compiled or not."""
    position = recipe.before(progress.phase) + progress.step
    generator = torch.Generator().manual_seed(recipe.seed * 10_000_019 + position)
    z, text = drawn.batch(position)
    sigma = noise_levels(
        progress.phase, recipe.shift, torch.rand(recipe.batch, generator=generator)
    )
    e = torch.randn(z.shape, generator=generator)
    wordless = torch.rand(recipe.batch, generator=generator) < recipe.wordless
    text = torch.where(wordless[:, None, None], words.encode(""), text)
    y = first_frame_y(z, recipe.frames)
    for group in progress.optimiser.param_groups:
        group["lr"] = learning_rate(recipe, progress.phase, progress.step)
    with torch.autocast("cpu", torch.bfloat16):
        v = velocity(flow.noised(z, e, sigma), sigma * 1000, text, y)
    loss = (v.float() - (e - z)).square().mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(progress.model.parameters(), 1.0)
    progress.optimiser.step()
    progress.optimiser.zero_grad()
    keep = min(recipe.average, (1 + position) / (10 + position))
    with torch.no_grad():
        for name, p in progress.model.state_dict().items():
            progress.average[name].lerp_(p, 1 - keep)
    progress.step += 1
    return float(loss.detach())


# --- the state of a run --------------------------------------------------------------------------


def save_state(path: Path, progress: Progress, recipe: Recipe) -> None:
    moments: dict[str, Tensor] = {}
    for name, p in progress.model.named_parameters():
        for key, value in progress.optimiser.state[p].items():
            moments[f"{key}.{name}"] = value
    tensors = {
        **checkpoint.named("model", progress.model.state_dict()),
        **checkpoint.named("average", progress.average),
        **checkpoint.named("optimiser", moments),
    }
    checkpoint.save(
        path,
        tensors,
        {
            "recipe": asdict(recipe),
            "phase": progress.phase,
            "step": progress.step,
            "seconds": progress.seconds,
        },
    )


def load_state(path: Path, recipe: Recipe) -> Progress:
    """The run as it was saved. `UserError` if it was another recipe's.

    The numbers of steps may differ in the shared phase: until it is done nothing depends on them.
    """
    tensors, about = checkpoint.load(path)
    shared = about["phase"] == "shared" and about["step"] <= recipe.shared_steps
    free = {f"{phase}_steps" for phase in PHASES} if shared else set()
    was, now = about["recipe"], asdict(recipe)
    other = sorted(key for key in now if key not in free and was.get(key) != now[key])
    if other:
        raise UserError(
            f"{path} was trained with another {', '.join(other)}; choose another folder, or the"
            " same settings."
        )
    model = TinyWan(recipe.size)
    model.load_state_dict(checkpoint.under("model", tensors))
    optimiser = _optimiser(model, recipe.rate)
    moments = checkpoint.under("optimiser", tensors)
    for name, p in model.named_parameters():
        keys = ("step", "exp_avg", "exp_avg_sq")
        if f"exp_avg.{name}" in moments:
            optimiser.state[p] = {key: moments[f"{key}.{name}"] for key in keys}
    return Progress(
        about["phase"],
        about["step"],
        model,
        checkpoint.under("average", tensors),
        optimiser,
        about["seconds"],
    )


def next_phase(progress: Progress, shared: Progress, recipe: Recipe) -> Progress:
    """The expert that comes next, grown from the end of the shared phase."""
    phase = PHASES[PHASES.index(progress.phase) + 1]
    model = TinyWan(recipe.size)
    model.load_state_dict(shared.model.state_dict())
    optimiser = _optimiser(model, recipe.rate)
    for mine, theirs in zip(model.parameters(), shared.model.parameters(), strict=True):
        moments = shared.optimiser.state[theirs].items()
        optimiser.state[mine] = {key: value.clone() for key, value in moments}
    average = {name: tensor.clone() for name, tensor in shared.average.items()}
    return Progress(phase, 0, model, average, optimiser, progress.seconds)


# --- what can be looked at -----------------------------------------------------------------------


def averaged(progress: Progress, recipe: Recipe) -> TinyWan:
    model = TinyWan(recipe.size)
    model.load_state_dict(progress.average)
    return model.eval().requires_grad_(False)


def experts(out: Path, progress: Progress, recipe: Recipe) -> tuple[TinyWan, TinyWan]:
    """High- and low-noise expert as they are by now; the shared model is one until it has grown."""
    now = averaged(progress, recipe)
    if progress.phase == "shared":
        return now, now
    if progress.phase == "low":
        return load_model(out / "high.safetensors"), now
    return now, averaged(load_state(out / "shared.safetensors", recipe), recipe)


def sample_sheet(high: TinyWan, low: TinyWan, recipe: Recipe, path: Path, count: int = 6) -> float:
    """Write a picture: each unseen clip's truth above what the experts make of its first frame.

    Returns the peak signal-to-noise ratio in dB of the last latent's frames against the truth.
    """
    z, texts = clips(TRIAL_SEED, 0, count, recipe.frames, recipe.side)
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(TRIAL_SEED))
    y = first_frame_y(z, recipe.frames)
    made = flow.denoise(high, low, noise, words.encode_all(texts), y)
    truth, seen = tiny.decode(z), tiny.decode(made)
    rows = torch.stack([truth, seen], dim=1).flatten(0, 1)[:, :, ::4]
    strip = rows.permute(0, 3, 2, 4, 1).flatten(0, 1).flatten(1, 2)
    image = Image.fromarray(((strip + 1) * 127.5).round().byte().numpy())
    write_image(image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST), path)
    error = ((truth[:, :, -4:] - seen[:, :, -4:]) / 2).square().mean()
    return float(-10 * torch.log10(error))


def loss_curve(losses: list[tuple[int, str, float]], path: Path) -> None:
    """Write a picture of the losses (step, phase, loss), the loss in powers of ten."""
    image = Image.new("RGB", (900, 420), "white")
    pen = ImageDraw.Draw(image)
    if losses:
        steps = np.array([step for step, _, _ in losses], float)
        height = np.log10([loss for *_, loss in losses])
        low, high = np.floor(height.min() * 5) / 5, np.ceil(height.max() * 5) / 5
        x = 60 + 820 * steps / max(steps.max(), 1)
        y = 390 - 370 * (height - low) / max(high - low, 1e-9)
        for mark in np.arange(low, high + 0.01, 0.2):
            at = 390 - 370 * (mark - low) / max(high - low, 1e-9)
            pen.line([(60, at), (880, at)], fill="#dddddd")
            pen.text((8, at - 6), f"{10**mark:.3f}", fill="black")
        for phase, colour in zip(PHASES, ("#1f4e9c", "#b03a2e", "#1e8449"), strict=True):
            points = [(a, b) for a, b, loss in zip(x, y, losses, strict=True) if loss[1] == phase]
            if len(points) > 1:
                pen.line(points, fill=colour, width=2)
                pen.text(points[len(points) // 2], phase, fill=colour)
        pen.text((820, 400), f"step {int(steps.max())}", fill="black")
    write_image(image, path)


def write_image(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        image.save(part, "PNG")


def _read_losses(path: Path, before: int) -> list[tuple[int, str, float]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [(int(r["step"]), r["phase"], float(r["loss"])) for r in csv.DictReader(file)]
    return [row for row in rows if row[0] <= before]


def _write_losses(losses: list[tuple[int, str, float]], path: Path) -> None:
    with whole(path) as part, part.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("step", "phase", "loss"))
        table.writerows((step, phase, f"{loss:.5f}") for step, phase, loss in losses)


# --- the run -------------------------------------------------------------------------------------


def compiled(model: TinyWan) -> Callable[..., Tensor]:
    """The model, compiled if there is a compiler: a third quicker."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        return model
    return torch.compile(model)


def train(
    out: Path,
    recipe: Recipe,
    every: int = 50,
    sample_every: int = 500,
    compile_model: bool = True,
    stop_after: int | None = None,
) -> bool:
    """Train into folder `out`, or go on with what is there; True when both experts are done.

    Writes high.safetensors and low.safetensors (bfloat16), and on the way state.safetensors,
    loss.csv, loss.png and samples/. The loss is noted every `every` steps; the state and a sample
    are written every `sample_every`. `stop_after`: stop after this many steps, as if interrupted.
    """
    state, shared_state = out / "state.safetensors", out / "shared.safetensors"
    progress = load_state(state, recipe) if state.exists() else start(recipe)
    done = recipe.before(progress.phase) + progress.step
    losses = _read_losses(out / "loss.csv", done)
    total = sum(recipe.steps(phase) for phase in PHASES)
    drawn, steps_here = Drawn(recipe), 0
    prepare = compiled if compile_model else (lambda model: model)
    with tqdm(total=total, initial=done, desc="base", unit="step", dynamic_ncols=True) as bar:
        while True:
            velocity, recent = prepare(progress.model), []
            while progress.step < recipe.steps(progress.phase):
                if stop_after is not None and steps_here >= stop_after:
                    save_state(state, progress, recipe)
                    _write_losses(losses, out / "loss.csv")
                    return False
                began = time.monotonic()
                recent.append(train_step(progress, recipe, drawn, velocity))
                progress.seconds += time.monotonic() - began
                steps_here += 1
                bar.update()
                position = recipe.before(progress.phase) + progress.step
                if position % every == 0:
                    losses.append((position, progress.phase, float(np.mean(recent))))
                    bar.set_postfix_str(f"{progress.phase}, loss {losses[-1][2]:.3f}")
                    recent = []
                if position % sample_every == 0:
                    save_state(state, progress, recipe)
                    _write_losses(losses, out / "loss.csv")
                    loss_curve(losses, out / "loss.png")
                    sheet = out / "samples" / f"{progress.phase}-{position:06d}.png"
                    decibel = sample_sheet(*experts(out, progress, recipe), recipe, sheet)
                    bar.write(f"step {position}: loss {losses[-1][2]:.3f}, {decibel:.1f} dB")
            if progress.phase == "shared":
                save_state(shared_state, progress, recipe)
            else:
                checkpoint.save(
                    out / f"{progress.phase}.safetensors",
                    checkpoint.as_type(progress.average, torch.bfloat16),
                    {
                        "config": recipe.size.config(),
                        "expert": f"{progress.phase} noise",
                        "recipe": asdict(recipe),
                        "seconds": progress.seconds,
                    },
                )
            if progress.phase == PHASES[-1]:
                _write_losses(losses, out / "loss.csv")
                loss_curve(losses, out / "loss.png")
                return True
            progress = next_phase(progress, load_state(shared_state, recipe), recipe)
            save_state(state, progress, recipe)


def load_model(path: Path) -> TinyWan:
    """A model that `train` wrote, in float32. `UserError` if the file is not one."""
    tensors, about = checkpoint.load(path)
    if "config" not in about:
        raise UserError(f"{path} is not a model made by `wan2gp-svi train base`.")
    sizes = {key: about["config"][key] for key in asdict(Size())}
    model = TinyWan(Size(**sizes))
    model.load_state_dict(checkpoint.as_type(tensors, torch.float32))
    return model.eval().requires_grad_(False)
