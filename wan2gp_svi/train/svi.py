"""Training an SVI LoRA for the small Wan, in the small world, for any mode of the family.

The loop is recycling.py's. Each sample is a piece of a longer clip of the small world, as the
mode's windows see it:

    Pro         [A, Z, 0, ...]: A is an anchor image from outside the piece, Z the n latents before
                it, as the causal VAE gives them within the longer clip. In a part of the samples
                [A, 0, ...], A being the first frame: that is how every chain begins.
    the others  VAE(N motion frames, padding), the reference being a frame from outside the piece
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.conditioning import padded_video
from wan2gp_svi.svi.modes import MODES, Mode
from wan2gp_svi.train import base, checkpoint, recycling, tiny, words, world
from wan2gp_svi.train.recycling import Model, Sample
from wan2gp_svi.train.tiny import TinyWan

TARGETS = ("q", "k", "v", "o", "ffn.0", "ffn.2")


@dataclass(frozen=True, slots=True)
class Recipe(recycling.Recipe):
    """The small world's numbers (500 errors a grid would be 1.4 GB here); `frames` of a window and
    `side` of its pictures."""

    steps: int = 8000
    batch: int = 8
    rank: int = 16
    rate: float = 1e-3
    capacity: int = 50
    frames: int = 25
    side: int = 64


def recipe_of(mode: str, **settings: object) -> Recipe:
    """The authors' odds for a mode; `settings` go before them. `UserError` for another name."""
    return replace(Recipe(mode=mode, odds=recycling.odds_of(mode)), **settings)  # type: ignore[arg-type]


# --- data ----------------------------------------------------------------------------------------


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
        return recycling.pro_sample(z, None, n, recipe.frames, told.words())
    lead = 4 * n + int(rng.integers(0, 9))
    new = recipe.frames - 1 - 4 * n
    clip = world.random_clip(rng, 1 + new, lead=lead)
    told = world.tell(clip)
    seen = told.rows[lead - 4 * n :]
    z = tiny.encode(world.draw([told.scene], seen[None], recipe.side))[0]
    a = tiny.encode(_anchor(rng, clip, recipe.side)[None])[0]
    return recycling.pro_sample(z, a, n, recipe.frames, told.words(lead))


def pixel_sample(rng: np.random.Generator, recipe: Recipe, mode: Mode) -> Sample:
    """A window of the modes that hand over frames: VAE(motion frames, padding)."""
    lead = int(rng.integers(0, 9))
    clip = world.random_clip(rng, recipe.frames, lead=lead)
    told = world.tell(clip)
    video = world.draw([told.scene], told.rows[None, lead:], recipe.side)
    reference = _anchor(rng, clip, recipe.side)
    given = video[0, :, : mode.motion_frames]
    shown = tiny.encode(padded_video(given, reference, recipe.frames, mode.ref_pad_num)[None])[0]
    z = tiny.encode(video)[0]
    return recycling.pixel_sample(z, shown, mode, recipe.frames, told.words(lead))


def sample_of(recipe: Recipe, number: int) -> Sample:
    """The sample of a number; the same number gives the same sample."""
    rng = np.random.default_rng([recipe.seed, 1, number])
    mode = MODES[recipe.mode]
    return pixel_sample(rng, recipe, mode) if mode.motion_frames else pro_sample(rng, recipe)


# --- the LoRA ------------------------------------------------------------------------------------


def velocity(
    model: Model,
    x: Tensor,
    t: Tensor,
    y: Tensor,
    samples: Sequence[Sample],
    told: Sequence[bool],
) -> Tensor:
    """What a small Wan says, in the words of recycling.Ask."""
    text = [str(s.text) if heard else "" for s, heard in zip(samples, told, strict=True)]
    return model(x, t, words.encode_all(text).to(x.device), y)


def train(
    model: TinyWan,
    recipe: Recipe,
    out: Path,
    about: dict[str, object] | None = None,
    sample: Callable[[Recipe, int], Sample] = sample_of,
    compile_model: bool = True,
    stop_after: int | None = None,
) -> Path | None:
    """Train the LoRA of one expert into folder `out`, or go on with what is there.

    `model` is that expert; it is changed. Returns the LoRA's file, None if stopped by `stop_after`
    steps. `about` goes into its metadata.
    """
    lora = recycling.add_lora(model, TARGETS, recipe.rank, recipe.seed)
    asked = base.compiled(model) if compile_model else model
    of = "the small world"
    return recycling.train(
        asked, lora, velocity, sample, recipe, out, of, about, stop_after=stop_after
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


def load_experts(
    weights: Path, loras: Path | None = None, mode: str = "pro"
) -> tuple[TinyWan, TinyWan]:
    """The high- and the low-noise expert of a folder, with the LoRA of a mode for each from
    `loras`. `UserError` where there is none."""

    def load(noise: str) -> TinyWan:
        model = base.load_model(weights / f"{noise}.safetensors")
        if loras is None:
            return model
        file = loras / f"svi-{mode}-{noise}-noise.safetensors"
        if not file.is_file():
            raise UserError(
                f"There is no {file}: train it with `wan2gp-svi train svi --mode {mode}`, and name"
                " its folder with --lora."
            )
        return load_lora(model, file)

    return load("high"), load("low")
