"""Long chains in the small world, measured against its truth; `wan2gp-svi train evidence`.

Every chain of a comparison makes the same unseen scenes under the same prompts, one direction a
window, chosen so that in the truth the object stays in the picture. The chains differ in what a
window is conditioned on, and in the LoRA.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm import tqdm

from wan2gp_svi.svi.conditioning import condition, pro_latents
from wan2gp_svi.train import flow, measure, tiny, words, world
from wan2gp_svi.train.tiny import TinyWan
from wan2gp_svi.train.world import SIDE, SPEED, WAYS

FRAMES, STEPS = 25, 10
FILM_SEED = 2_000_003
"""Scenes of this seed are never trained on."""
SEED_STEP = 42
SHOWN = 2
"""Films of which the picture shows frames."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of chaining. `by`: "last frame" or "latents"; `lora`: with SVI's; `one_seed`: the
    same noise in every window; `late`: the second window gets no motion latents, as in v12.60's own
    sliding windows."""

    name: str
    by: str = "latents"
    lora: bool = True
    motion_latents: int = 1
    anchor_strength: float = 1.0
    one_seed: bool = False
    late: bool = False


WAYS_COMPARED = {
    "a": Way("base model, chained on its last frame", by="last frame", lora=False),
    "b": Way("SVI's conditioning, no LoRA", lora=False),
    "c": Way("SVI's conditioning and LoRA"),
    "d": Way("as c, window 2 without motion latents, one seed", one_seed=True, late=True),
    "e-seed": Way("as c, one seed for all windows", one_seed=True),
    "e-two": Way("as c, 2 motion latents", motion_latents=2),
    "e-0.8": Way("as c, anchor strength 0.8", anchor_strength=0.8),
    "e-1.2": Way("as c, anchor strength 1.2", anchor_strength=1.2),
    "a-lora": Way("with the LoRA, chained on the last frame", by="last frame"),
}


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


def conditions(
    way: Way, window: int, anchors: Tensor, latents: Tensor | None, videos: Tensor | None
) -> Tensor:
    """y (B, 20, T, h, w) of a window (from 0), from what the window before left."""
    total = (FRAMES - 1) // 4 + 1
    ys = []
    for i, anchor in enumerate(anchors):
        if way.by == "last frame" and videos is not None:
            anchor = tiny.encode(videos[i : i + 1, :, -1:])[0]
        given = None
        if way.by == "latents" and latents is not None and not (way.late and window == 1):
            given = latents[i, :, -way.motion_latents :]
        ys.append(condition(pro_latents(anchor, given, total, way.anchor_strength), FRAMES))
    return torch.stack(ys)


def dropped(way: Way, window: int) -> int:
    """Leading frames of a window that repeat what is known."""
    if window == 0:
        return 0
    if way.by == "last frame" or (way.late and window == 1):
        return 1
    return 1 + 4 * way.motion_latents


def chain(
    way: Way,
    films: Sequence[Film],
    windows: int,
    experts: tuple[TinyWan, TinyWan],
    seed: int = 0,
) -> tuple[list[dict[str, float]], Tensor]:
    """Make the films window by window and measure each window.

    Returns a row of figures for each window, the means over the films, and the last frame of each
    window of the first films, (windows, films, 3, H, W).
    """
    high, low = experts
    anchors = tiny.encode(
        world.draw([f.scene for f in films], np.array([[f.start.row()] for f in films]))
    )
    grounds = [measure.ground_of(f.scene, 64) for f in films]
    latents = videos = None
    rows = []
    lasts: list[Tensor] = []
    for window in tqdm(range(windows), desc=way.name, unit="window", dynamic_ncols=True):
        y = conditions(way, window, anchors, latents, videos)
        noise = torch.stack(
            [
                torch.randn(
                    16,
                    *y.shape[2:],
                    generator=torch.Generator().manual_seed(
                        seed + 1000 * i + (0 if way.one_seed else SEED_STEP * window)
                    ),
                )
                for i in range(len(films))
            ]
        )
        text = words.encode_all([f.prompt(window) for f in films])
        with torch.autocast("cpu", torch.bfloat16):
            made = flow.denoise(high, low, noise, text, y, STEPS).float()
        frames = tiny.decode(made)
        new = frames[:, :, dropped(way, window) :]
        figures = []
        for i, f in enumerate(films):
            seen = measure.look(new[i], f.scene, f.start.colour, f.start.radius, grounds[i])
            join = math.nan
            if videos is not None:
                join = measure.seam(videos[i, :, -9:], new[i, :, :9])
            figures.append(
                {
                    "background": seen.background,
                    "sharpness": seen.sharpness,
                    "saturation": seen.saturation,
                    "present": seen.present,
                    "colour": seen.colour,
                    "seam": join,
                    "obeys": obeys(seen.places, f.moves[window], new.shape[2]),
                }
            )
        rows.append(
            {
                "window": float(window + 1),
                **{key: float(np.nanmean([x[key] for x in figures])) for key in figures[0]},
            }
        )
        lasts.append(frames[:SHOWN, :, -1])
        latents, videos = made, new
    return rows, torch.stack(lasts)


def obeys(places: np.ndarray, side: str, frames: int) -> float:
    """1 if the object went the way it was told, at least a third as far, and less far across."""
    there = np.flatnonzero(~np.isnan(places[:, 0]))
    if len(there) < 2:
        return 0.0
    went = places[there[-1]] - places[there[0]]
    along = float(went @ np.array(WAYS[side]))
    across = float(np.abs(went @ np.array(WAYS[side])[::-1]))
    return float(along > SPEED * frames / 3 and along > across)


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
            f" {np.mean([r['present'] for r in rows[-5:]]):.2f} |"
            f" {np.mean([r['obeys'] for r in rows]):.2f} |"
            f" {np.nanmean([r['seam'] for r in rows]):.2f} |"
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
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def compare(
    keys: Sequence[str],
    base: tuple[TinyWan, TinyWan],
    with_lora: tuple[TinyWan, TinyWan] | None,
    out: Path,
    windows: int,
    scenes: int,
) -> str:
    """Run the ways of these keys; write figures, table and picture into `out`; return the table."""
    out.mkdir(parents=True, exist_ok=True)
    results, lasts = {}, {}
    for key in keys:
        way = WAYS_COMPARED[key]
        experts = with_lora if way.lora else base
        if experts is None:
            continue
        films = [film(number, windows) for number in range(scenes)]
        results[key], lasts[key] = chain(way, films, windows, experts)
        with (out / f"{key}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(results[key][0]))
            writer.writeheader()
            writer.writerows(results[key])
        (out / "ways.json").write_text(
            json.dumps({k: asdict(WAYS_COMPARED[k]) for k in results}, indent=1) + "\n"
        )
        text = table(results)
        (out / "table.md").write_text(text + "\n")
        picture(lasts, out / "windows.png")
    return text
