"""Another scene in a chain, and a camera that pans; `wan2gp-svi train evidence scenes`.

A film of two scenes: so many windows of the one, then the anchor image and the words are another's,
whose ground and object differ. Ways to get there:

    handed over   [A2, Z, 0 ...]: the new anchor beside the last latent of the old scene
    new shot      [A2, 0 ...]: a cut (WanGP's [/new_shot]), and from there on as ever
    one anchor    the words change and the anchor does not

And a film whose words ask the camera to pan, on one anchor, the start image. Both are measured
against the truth: the new place's ground and the old one's; how far the camera goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from wan2gp_svi.svi.carry import Carry, Picture
from wan2gp_svi.svi.windows import Chain, Size, Window, layout
from wan2gp_svi.train import evidence, measure, world
from wan2gp_svi.train.evidence import FRAMES, Film, Way
from wan2gp_svi.train.tiny import TinyWan

BEFORE, BEHIND = 3, 5
"""Windows of the first scene, and of the second."""
WAYS = ("handed over", "new shot", "one anchor")
PLACES = torch.arange(-30.0, 50.0, 0.5)
"""Units that a camera may have gone."""
STEP, JOIN = 2.0, 13.0
"""At most so many between two frames, and across a join."""


def _frame(film: Film) -> Tensor:
    """(3, 1, 64, 64): a film's first frame."""
    return world.draw([film.scene], np.array([[film.start.row()]]))[0]


def _shown(start: Tensor, anchor: Tensor) -> Picture:
    """The start image, and anchor image 1."""
    return lambda number: anchor if number > 0 else start


def planned(way: str, seed: int) -> list[Window]:
    """The plan of a film of two scenes."""
    shot = way == "new shot"
    sizes = [Size(FRAMES)] * BEFORE + [Size(FRAMES, shot=shot)] + [Size(FRAMES)] * (BEHIND - 1)
    later = 0 if way == "one anchor" else 1
    schedule = (0,) * BEFORE + (later,) * BEHIND
    return layout(sizes, Chain(Size(FRAMES), seed=seed, anchors=1, anchor_schedule=schedule))


def two_scenes(
    way: str, pairs: Sequence[tuple[Film, Film]], experts: tuple[TinyWan, TinyWan]
) -> Iterator[list[Tensor]]:
    """The frames that each window adds to each film."""
    plans = [planned(way, 1000 * i) for i in range(len(pairs))]
    pictures = [_shown(_frame(first), _frame(second)) for first, second in pairs]
    told = [[a.prompt(k) for a, _ in pairs] for k in range(BEFORE)]
    told += [[b.prompt(k) for _, b in pairs] for k in range(BEHIND)]
    carries = [Carry(Chain(Size(FRAMES), anchors=1)) for _ in pairs]
    yield from evidence.chained(Way(way), plans, carries, pictures, told, experts)


def compare_scenes(experts: tuple[TinyWan, TinyWan], scenes: int) -> str:
    """A table: how far each window behind the change is from the new place and from the old one."""
    films = [evidence.film(number, BEFORE) for number in range(scenes)]
    others = [evidence.film(500 + number, BEHIND) for number in range(scenes)]
    pairs = list(zip(films, others, strict=True))
    rows = [
        "| way | window | ground's error, new place | old place | new object found | obeys |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way in WAYS:
        for number, added in enumerate(two_scenes(way, pairs, experts)):
            behind = number - BEFORE
            if behind < 0:
                continue
            figures = [
                _seen(new, first, second, behind)
                for new, (first, second) in zip(added, pairs, strict=True)
            ]
            new, old, found, obeys = (evidence.mean_of(f) for f in zip(*figures, strict=True))
            rows.append(
                f"| {way} | {behind + 1} behind the change | {new:.4f} | {old:.4f} | {found:.2f} |"
                f" {obeys:.2f} |"
            )
    return "\n".join(rows)


def _seen(new: Tensor, first: Film, second: Film, window: int) -> tuple[float, ...]:
    start = second.start
    there, before = (measure.ground_of(f.scene, 64) for f in (second, first))
    seen = measure.look(new, second.scene, start.colour, start.radius, there)
    old = measure.look(new, second.scene, start.colour, start.radius, before)
    obeys = evidence.obeys(seen.places, second.moves[window], new.shape[1])
    return seen.background, old.background, seen.present, obeys


def compare_pans(
    plain: tuple[TinyWan, TinyWan], with_lora: tuple[TinyWan, TinyWan], scenes: int
) -> str:
    """A table: how many units the camera goes along its way, in two windows and across their join;
    means over the films."""
    films = [evidence.film(number, 2) for number in range(scenes)]
    sides = [list(world.WAYS)[number % 4] for number in range(scenes)]
    grounds = [_along(f, side) for f, side in zip(films, sides, strict=True)]
    new = FRAMES - 1, Size(FRAMES).adds - 1
    rows = [
        "| way | in window 1 | across the join | in window 2 |",
        "| --- | --- | --- | --- |",
        f"| the truth | {world.PAN * new[0]:.1f} | {world.PAN:.1f} | {world.PAN * new[1]:.1f} |",
    ]
    for key in ("a", "b", "c", "e-0.8"):
        way = evidence.WAYS_COMPARED[key]
        first, second = panned(way, films, sides, with_lora if way.lora else plain)
        gone = [_travelled(*pair) for pair in zip(first, second, grounds, strict=True)]
        means = [evidence.mean_of(part) for part in zip(*gone, strict=True)]
        rows.append(f"| {way.name} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(rows)


def panned(
    way: Way, films: Sequence[Film], sides: Sequence[str], experts: tuple[TinyWan, TinyWan]
) -> Iterator[list[Tensor]]:
    """Films of two windows whose words ask the camera to pan."""
    told = [
        world.sentence(f.scene, ["rests"], f.start.colour, side)
        for f, side in zip(films, sides, strict=True)
    ]
    yield from evidence.made(way, films, 2, experts, told=[told, told])


def _along(film: Film, side: str) -> Tensor:
    """The ground from each place that the camera may have reached, (places, 3, 64, 64)."""
    x, y = world.WAYS[side]
    return torch.stack(
        [measure.ground_of(film.scene, 64, (at * x, at * y)) for at in PLACES.tolist()]
    )


def _travelled(first: Tensor, second: Tensor, grounds: Tensor) -> tuple[float, float, float]:
    """Units in the first window, across the join, and in the second: frame by frame, because the
    pattern repeats; a join may be a step of `JOIN`, any other one of `STEP`."""
    at, went = 0.0, []
    for new, across in ((first, STEP), (second, JOIN)):
        before = at
        at = _camera(new[:, 0], grounds, at, across)
        went.append(at - before)
        begun = at
        for frame in new[:, 1:].unbind(dim=1):
            at = _camera(frame, grounds, at, STEP)
        went.append(at - begun)
    return went[0] + went[1], went[2], went[3]


def _camera(frame: Tensor, grounds: Tensor, near: float, most: float) -> float:
    """Where the camera is in a frame (3, 64, 64), at most so far from where it was.

    By the ground that is most like it in the median pixel, so that the object does not matter.
    """
    away = (frame - grounds).abs().mean(dim=1).flatten(1).median(dim=1).values
    away = torch.where((PLACES - near).abs() <= most, away, torch.inf)
    return float(PLACES[int(away.argmin())])
