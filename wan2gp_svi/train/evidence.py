"""Long chains in the small world, measured against its truth; `wan2gp-svi train evidence`.

Every chain of a comparison makes the same unseen scenes under the same prompts, one direction a
window, chosen so that in the truth the object stays in the picture. The chains differ in what a
window is conditioned on, and in the LoRA.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

from wan2gp_svi.files import whole
from wan2gp_svi.svi.carry import Carry, Picture, condition_window, delivered, kept, left_by
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.windows import Chain, Size, Window, plan
from wan2gp_svi.train import base, flow, measure, tiny, words, world
from wan2gp_svi.train.tiny import TinyWan
from wan2gp_svi.train.world import SIDE, SPEED, WAYS

FRAMES, STEPS, GUIDANCE = 25, 10, 1.5
"""Frames of a window; denoising steps; guidance, without which the words are hardly heard."""
FILM_SEED = 2_000_003
"""Scenes of this seed are never trained on."""
SHOWN = 2
"""Films of which the picture shows frames."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of chaining. `mode`: of svi/modes.py ("tom" without a LoRA is what any i2v model does
    that goes on from its last frame); `lora`: the mode whose LoRA acts, "" for none; `one_seed`:
    the same noise in every window; `late`: the second window gets no motion latents, as in v12.60's
    own windows."""

    name: str
    mode: str = "pro"
    lora: str = "pro"
    motion_latents: int = 1
    anchor_strength: float = 1.0
    one_seed: bool = False
    late: bool = False


WAYS_COMPARED = {
    "a": Way("base model, chained on its last frame", mode="tom", lora=""),
    "b": Way("SVI's conditioning, no LoRA", lora=""),
    "c": Way("SVI's conditioning and LoRA"),
    "d": Way("as c, window 2 without motion latents, one seed", one_seed=True, late=True),
    "e-seed": Way("as c, one seed for all windows", one_seed=True),
    "e-two": Way("as c, 2 motion latents", motion_latents=2),
    "e-0.8": Way("as c, anchor strength 0.8", anchor_strength=0.8),
    "e-1.2": Way("as c, anchor strength 1.2", anchor_strength=1.2),
    "a-lora": Way("with the LoRA, chained on the last frame", mode="tom"),
    **{
        f"{mode}{'' if lora else '-plain'}": Way(
            f"{MODES[mode].name}{'' if lora else ', no LoRA'}", mode=mode, lora=mode if lora else ""
        )
        for mode in ("unified", "shot", "film", "tom")
        for lora in (True, False)
    },
}
"""Those of other modes want their LoRAs, which are not bundled: `wan2gp-svi train svi --mode`."""


@dataclass(frozen=True, slots=True)
class Film:
    """A scene, its object at the beginning, and the way it moves in each window."""

    scene: world.Scene
    start: world.State
    moves: tuple[str, ...]

    def prompt(self, window: int) -> str:
        return world.sentence(self.scene, [f"moves {self.moves[window]}"], self.start.colour)


def film(number: int, windows: int, adds: int = 20) -> Film:
    """The film of a number: a window moves the object `adds` frames' worth, away from walls."""
    rng = np.random.default_rng([FILM_SEED, number])
    scene = world.random_scene(rng)
    state = world.random_state(rng, scene)
    x, y = SIDE / 2 + rng.uniform(-8, 8, 2)  # room on all sides to begin with
    start = world.State(float(x), float(y), state.radius, state.angle, state.colour, state.rgb)
    moves, before = [], ""
    step = SPEED * adds
    for _ in range(windows):
        fits = [
            side
            for side, (dx, dy) in WAYS.items()
            if side != before
            and state.radius <= x + dx * step <= SIDE - state.radius
            and state.radius <= y + dy * step <= SIDE - state.radius
        ]
        before = fits[rng.integers(len(fits))] if fits else world.OPPOSITE[before]
        moves.append(before)
        x, y = x + WAYS[before][0] * step, y + WAYS[before][1] * step
    return Film(scene, start, tuple(moves))


def size_of(way: Way) -> Size:
    """What a window of a way generates."""
    return Size(FRAMES, way.motion_latents, motion_frames=MODES[way.mode].motion_frames)


def planned(way: Way, windows: int, seed: int) -> list[Window]:
    """The plan of a chain of so many windows (svi/windows.py)."""
    size = size_of(way)
    chain = Chain(size, seed=seed, seeds="same" if way.one_seed else "new", anchors=1)
    return plan(FRAMES + (windows - 1) * size.adds, chain)


def conditions(
    way: Way, window: Window, carries: Sequence[Carry], pictures: Sequence[Picture]
) -> Tensor:
    """y (B, 20, T, h, w) of a window of each chain."""
    ys = []
    for carry, picture in zip(carries, pictures, strict=True):
        y = condition_window(carry, window, _encode, picture)
        if way.late and window.number == 2:
            y[tiny.MASK :, 1:] = 0
        ys.append(y)
    return torch.stack(ys)


def _always(start: Tensor) -> Picture:
    """One picture for every number: a chain with one anchor, its start image."""
    return lambda _number: start


def _encode(video: Tensor) -> Tensor:
    return tiny.encode(video[None])[0]


def made(
    way: Way,
    films: Sequence[Film],
    windows: int,
    experts: tuple[TinyWan, TinyWan],
    seed: int = 0,
    told: Sequence[Sequence[str]] | None = None,
) -> Iterator[list[Tensor]]:
    """Make the films side by side, each on its start image: `chained`. Without `told` the words are
    the films' own."""
    starts = world.draw([f.scene for f in films], np.array([[f.start.row()] for f in films]))
    plans = [planned(way, windows, seed + 1000 * i) for i in range(len(films))]
    chain = Chain(size_of(way), anchors=1)
    carries = [Carry(chain, MODES[way.mode], way.anchor_strength) for _ in films]
    pictures = [_always(start) for start in starts]
    told = told or [[f.prompt(number) for f in films] for number in range(windows)]
    yield from chained(way, plans, carries, pictures, told, experts)


def chained(
    way: Way,
    plans: Sequence[Sequence[Window]],
    carries: Sequence[Carry],
    pictures: Sequence[Picture],
    told: Sequence[Sequence[str]],
    experts: tuple[TinyWan, TinyWan],
) -> Iterator[list[Tensor]]:
    """Chains side by side, of windows that differ in seeds only: for each window, the frames
    (3, F, H, W) that it adds to each. `told`: the words of a window, for each chain."""
    for number in tqdm(range(len(told)), desc=way.name, unit="window", dynamic_ncols=True):
        window = plans[0][number]
        y = conditions(way, window, carries, pictures)
        noise = torch.stack([_noise(p[number].seed, y.shape[2:]) for p in plans])
        latents = denoised(experts, noise, words.encode_all(list(told[number])), y)
        frames = tiny.decode(latents)
        for i, carry in enumerate(carries):
            last = latents[i, :, kept(window, way.motion_latents)]
            carry.left = left_by(carry, window, last, frames[i])
        yield [delivered(window, video) for video in frames]


def chain(
    way: Way, films: Sequence[Film], windows: int, experts: tuple[TinyWan, TinyWan], seed: int = 0
) -> tuple[list[dict[str, float]], Tensor]:
    """Make the films window by window and measure each window.

    Returns a row of figures for each window, the means over the films, and the last frame of each
    window of the first films, (windows, films, 3, H, W).
    """
    grounds = [measure.ground_of(f.scene, 64) for f in films]
    before: list[Tensor] = []
    rows, lasts = [], []
    for number, added in enumerate(made(way, films, windows, experts, seed)):
        figures = [
            _figures(f, number, new, before[i] if before else None, grounds[i])
            for i, (f, new) in enumerate(zip(films, added, strict=True))
        ]
        before = [new[:, -9:] for new in added]
        lasts.append(torch.stack([new[:, -1] for new in added[:SHOWN]]))
        means = {key: mean_of([f[key] for f in figures]) for key in figures[0]}
        rows.append({"window": float(number + 1), **means})
    return rows, torch.stack(lasts)


def denoised(
    experts: tuple[flow.Velocity, flow.Velocity], noise: Tensor, text: Tensor, y: Tensor
) -> Tensor:
    """Latents (B, 16, T, h, w) as all comparisons make them."""
    no_words = words.encode("").expand(len(noise), -1, -1)
    with torch.autocast("cpu", torch.bfloat16):
        out = flow.denoise(*experts, noise, text, y, STEPS, guidance=GUIDANCE, no_words=no_words)
    return out.float()


def _noise(seed: int, shape: Sequence[int]) -> Tensor:
    return torch.randn(tiny.CHANNELS, *shape, generator=torch.Generator().manual_seed(seed))


def _figures(
    film_: Film, window: int, new: Tensor, before: Tensor | None, ground: Tensor
) -> dict[str, float]:
    start = film_.start
    seen = measure.look(new, film_.scene, start.colour, start.radius, ground)
    return {
        "background": seen.background,
        "sharpness": seen.sharpness,
        "saturation": seen.saturation,
        "present": seen.present,
        "colour": seen.colour,
        "seam": math.nan if before is None else measure.seam(before, new[:, :9]),
        "obeys": obeys(seen.places, film_.moves[window], new.shape[1]),
    }


def mean_of(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return math.fsum(known) / len(known) if known else math.nan


def obeys(places: np.ndarray, side: str, frames: int) -> float:
    """1 if the object went the way it was told, at least a third as far, and less far across."""
    there = np.flatnonzero(~np.isnan(places[:, 0]))
    if len(there) < 2:
        return 0.0
    went = places[there[-1]] - places[there[0]]
    along = float(went @ np.array(WAYS[side]))
    across = float(np.abs(went @ np.array(WAYS[side])[::-1]))
    return float(along > SPEED * frames / 3 and along > across)


def one_window(experts: tuple[TinyWan, TinyWan], scenes: int) -> str:
    """What a single window reaches on unseen scenes: the figures of the weights' card."""
    decibels, near, colours, found = [], [], [], []
    for number in range(scenes):
        f = film(number, 1)
        told = world.tell(world.Clip(f.scene, f.start, (world.Part(FRAMES - 1, f.moves[0]),)))
        z = tiny.encode(world.draw([f.scene], told.rows[None]))
        y = base.first_frame_y(z, FRAMES)
        noise = _noise(number, z.shape[2:])[None]
        text = words.encode(told.words())[None]
        made = denoised(experts, noise, text, y)
        video, ground = tiny.decode(made)[0], measure.ground_of(f.scene, 64)
        seen = measure.look(video, f.scene, f.start.colour, f.start.radius, ground)
        decibels.append(seen.decibel)
        found.append(seen.present)
        colours.append(seen.colour)
        off = np.linalg.norm(seen.places[-1] - told.rows[-1, :2])
        near.append(float(off <= 2))  # an object that is not found is not near: NaN <= 2 is false
    within = [float(c <= 0.05) for c in colours]
    return (
        f"One window of {FRAMES} frames, {scenes} unseen scenes: ground"
        f" {mean_of(decibels):.1f} dB; object found in {mean_of(found):.0%} of the frames, at the"
        f" window's end within 2 units of its place in {mean_of(near):.0%} of the scenes; its"
        f" colour off by {mean_of(colours):.3f}, at most 0.05 in {mean_of(within):.0%}."
    )


# --- what comes out ------------------------------------------------------------------------------


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """A table in Markdown: each way's figures in windows 2 and the last, and over all of them."""
    lines = [
        "| | way | ground's error, window 2 | last window | ratio | sharpness, last | saturation,"
        " last | object found, last five | obeys, all | jump at joins, all |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, rows in results.items():
        second, last = rows[min(1, len(rows) - 1)], rows[-1]
        lines.append(
            f"| {key} | {WAYS_COMPARED[key].name} | {second['background']:.4f} |"
            f" {last['background']:.4f} | {last['background'] / second['background']:.2f} |"
            f" {last['sharpness']:.2f} | {last['saturation']:.2f} |"
            f" {mean_of([r['present'] for r in rows[-5:]]):.2f} |"
            f" {mean_of([r['obeys'] for r in rows]):.2f} |"
            f" {mean_of([r['seam'] for r in rows]):.2f} |"
        )
    return "\n".join(lines)


def picture(lasts: dict[str, Tensor], path: Path) -> None:
    """Last frames of some windows: a row for each film and way, the ways beside their names."""
    rows, names = [], []
    for name, frames in lasts.items():
        windows = len(frames)
        chosen = sorted({0, 1, *np.linspace(0, windows - 1, 8).round().astype(int).tolist()})
        for k in range(frames.shape[1]):
            rows.append(torch.cat(list(frames[chosen, k]), dim=2))
            names.append(f"{name}" if k == 0 else "")
    strip = torch.cat(rows, dim=1).permute(1, 2, 0)
    shot = Image.fromarray(((strip + 1) * 127.5).round().clamp(0, 255).byte().numpy())
    sheet = Image.new("RGB", (shot.width + 40, shot.height + 16), "white")
    sheet.paste(shot, (40, 16))
    pen = ImageDraw.Draw(sheet)
    for k, window in enumerate(chosen):
        pen.text((44 + 64 * k, 2), f"{window + 1}", fill="black")
    for k, name in enumerate(names):
        pen.text((2, 40 + 64 * k), name, fill="black")
    base.write_image(sheet, path)


def compare(
    keys: Sequence[str],
    experts_of: Callable[[str], tuple[TinyWan, TinyWan]],
    out: Path,
    windows: int,
    scenes: int,
) -> str:
    """Run the ways of these keys; write figures, table and picture into `out`; return the table.

    `experts_of`: both experts with the LoRA of a mode, with none for "".
    """
    out.mkdir(parents=True, exist_ok=True)
    results, lasts = {}, {}
    for key in keys:
        way = WAYS_COMPARED[key]
        experts = experts_of(way.lora)
        films = [film(number, windows) for number in range(scenes)]
        results[key], lasts[key] = chain(way, films, windows, experts)
        with whole(out / f"{key}.csv") as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(results[key][0]))
            writer.writeheader()
            writer.writerows(results[key])
        text = table(results)
        with whole(out / "table.md") as part:
            part.write_text(text + "\n")
        picture(lasts, out / "windows.png")
    return text
