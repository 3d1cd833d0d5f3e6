"""What is out of line in a video: from its measures (drift.py), frame by frame, to faults.

Drift is a change that goes on: over three windows or more, in one direction, and not in one leap. A
change within one window that then holds (the sun goes down, a new anchor, another prompt) is the
scene's. Events (a frame shown twice, one that is missing, a flash, a jump) are judged against the
frames around them. Where each threshold is from: docs/drift.md, "Thresholds".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Span = tuple[int, int]


@dataclass(frozen=True)
class Series:
    """The measures of a video of F frames, each (F,) float32; see `drift.Look`, `drift.Change`.

    Changes are from the frame before, the first frame's are 0. `alike` is the likeness to the frame
    before, `to_first` to the first one; `step` and `sure` are NaN where no step can be told.
    """

    luma: np.ndarray
    saturation: np.ndarray
    spread: np.ndarray
    u: np.ndarray
    v: np.ndarray
    sharpness: np.ndarray
    to_first: np.ndarray
    alike: np.ndarray
    difference: np.ndarray
    residual: np.ndarray
    seen: np.ndarray
    d_exposure: np.ndarray
    d_quarter1: np.ndarray
    d_quarter2: np.ndarray
    d_quarter3: np.ndarray
    d_quarter4: np.ndarray
    d_saturation: np.ndarray
    d_u: np.ndarray
    d_v: np.ndarray
    d_detail: np.ndarray
    speed: np.ndarray
    zoom: np.ndarray
    turn: np.ndarray
    right: np.ndarray
    down: np.ndarray
    step: np.ndarray
    sure: np.ndarray

    def __len__(self) -> int:
        return len(self.luma)


NAMES = tuple(f.name for f in fields(Series))


@dataclass(frozen=True)
class Fault:
    """`kind` is one of KINDS. Frames `start` to `stop` (exclusive); for drift, from the middle of
    the first window that differs to that of the last. `size` in the kind's unit, `windows` its
    windows (from 0) where it is drift; `join` the window (from 0) that it begins, where it is at a
    join."""

    kind: str
    start: int
    stop: int
    size: float
    windows: Span | None = None
    join: int | None = None


DRIFT = ("exposure", "saturation", "tint", "detail", "motion")
EVENTS = ("doubled", "lost", "flash", "jump")
KINDS = (*DRIFT, *EVENTS, "returns", "scene")


@dataclass(frozen=True)
class Limit:
    """Drift is told from `total` on, in logarithms (tint: in u, v), at `rate` a window or more."""

    total: float
    rate: float


LIMITS = {
    "exposure": Limit(0.06, 0.015),
    "saturation": Limit(0.12, 0.025),
    "tint": Limit(0.07, 0.012),
    "detail": Limit(0.25, 0.05),
    "motion": Limit(math.log(2), 0.08),
}
STEPS = 3
"""Windows over which a change must go on, beyond the one it starts from."""
LEAP = 0.6
"""Share of a drift that one window may have: more is a change of scene."""
LEAP_OF_TWO = 0.85
"""The same of two windows in a row: a change that takes one may lie across a join."""
SHARE = 0.4
"""What the median window must have done, of what it would have, had all done the same."""
BACK = 0.2
"""Share of a drift that may go the other way in between."""
AS_LEVELS = {"exposure": "luma", "saturation": "saturation", "detail": "sharpness"}
"""Series that must tell of a slow drift, too: what is summed up has a little drift of its own."""
FLOORS = {"saturation": 0.02, "detail": 1e-3}
"""Levels below say nothing; of all others, 8 of luma."""
LONG, SLOW, SLOW_TOTAL = 8, 5.0, 2.0
"""Over this many windows a drift may be that many times slower, if it is so much larger in all."""
EVERYWHERE = 0.35
"""Of a change of exposure, what each quarter of the picture must have done."""
AS_SUCH, GRAIN = 0.25, 0.5
"""Of a change of detail or tint, what the frames as such must have changed by; and the least change
of detail that is grain."""
SPREAD, GREY = 0.5, 0.1
"""The same of saturation, by the spread of colour; and what is added to that, for twice as much of
next to none is none."""
NEXT_TO = 2
"""Frames next to a strange one that are strange, too."""
UNLIKE = 2.0
"""Residual, in medians of it, above which two frames do not show the same things."""
STILL = 0.02
"""Speed in per cent of the height a frame, below which nothing moves that could slow down."""

ANOTHER = Limit(0.5, 0.02)
"""What rests in the picture has become something else (drift.py, `changed`)."""
RESTS = {"right": 6.0, "down": 6.0, "zoom": 0.1, "turn": 0.2}
"""How far the camera may have gone in all, where what rests is compared with the first window."""

AROUND = 6
"""Frames to either side that an event is compared with."""
FLASH, FLASH_LEVELS = 0.02, 0.6
"""How far brightness is from that around it: its logarithm, and levels of luma."""
LIGHT = 0.5
"""Share of a flash's change that light alone may leave unexplained."""
SUDDEN = 0.5
"""Share of a flash that comes or goes from one frame to the next."""
REARRANGED = 0.1
"""Likeness to the first frame changes by more only where what is shown does."""
JUMP, JUMP_LEVELS = 3.0, 1.5
"""A jump: times the usual change (or the most speed) around it, and levels of luma."""
CUT = 0.6
"""Likeness to the frame before, below which it is another picture."""
STRANGER = 6.0
"""Residual of another picture, in medians of the video's."""
TWICE, MISSING, SURE = 0.35, 1.5, 0.8
"""Steps below and above which a frame is shown twice or missing; how sure a step must be."""
AWAY, NEAR, AGAIN, LOCKED = 0.15, 0.3, 3, 0.07
"""Falling back: 1 - likeness of a picture that has left its first; what is left of that when it is
back; windows in which it must be; deviation of their phases, in windows."""


# -- drift ----------------------------------------------------------------------------------------


def levels(values: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """The median of each window, (windows, ...)."""
    return np.array([np.median(values[a:b], axis=0) for a, b in spans])


def segments(spans: Sequence[Span]) -> list[Span]:
    """The windows; where there are fewer than four, their thirds (drift shows within one, too)."""
    if len(spans) > STEPS:
        return list(spans)
    parts: list[Span] = []
    for a, b in spans:
        edges = [a + (b - a) * k // 3 for k in range(4)]
        parts += [(p, q) for p, q in pairwise(edges) if q - p >= 4]
    return parts or list(spans)


def going_on(
    level: np.ndarray, limit: Limit, least: int = STEPS, to_the_end: bool = False
) -> tuple[int, int, float] | None:
    """The largest change of window levels that goes on: its first and last window and its size.

    None where there is none from `limit` on, over `least` windows, without a leap or a way back.
    """
    best: tuple[int, int, float] | None = None
    steps = np.diff(level)
    for first in range(len(level) - least):
        part = steps[first:]
        total = np.cumsum(part)
        up, down = np.cumsum(np.maximum(part, 0)), np.cumsum(np.maximum(-part, 0))
        leap = np.maximum.accumulate(np.abs(part))
        two = np.maximum.accumulate(np.abs(part + np.append(0, part[:-1])))
        against = np.minimum(up, down)
        size = np.abs(total)
        length = np.arange(1, len(part) + 1)
        good = (length >= least) & (size >= limit.total) & (size >= limit.rate * length)
        good &= (leap <= LEAP * size) & (two <= LEAP_OF_TWO * size) & (against <= BACK * size)
        good &= np.sign(part) == np.sign(total)  # ends where it ends
        good &= np.sign(part[0]) == np.sign(total)
        if to_the_end:
            good[:-1] = False
        for k in np.flatnonzero(good)[np.argsort(-size[good])]:
            if best is not None and size[k] <= abs(best[2]):
                break
            usual = abs(float(np.median(part[: k + 1])))
            if usual * (k + 1) >= SHARE * size[k]:
                best = first, first + int(k) + 1, float(total[k])
                break
    return best


def strange(series: Series) -> np.ndarray:
    """Frames (F,), bool, that motion and light do not explain, and those next to them."""
    unlike = series.residual > UNLIKE * max(float(np.median(series.residual)), 0.5)
    return np.convolve(unlike, np.ones(2 * NEXT_TO + 1))[NEXT_TO:-NEXT_TO] > 0


def summed(series: Series, name: str) -> np.ndarray:
    """A change summed up, (F,). Strange frames are not compared: around a jump the level's change
    counts instead, in a dissolve or at a cut nothing does.

    Without the levels, what a window gains and the jump to the next takes back would sum up.
    """
    odd = strange(series)
    jump = np.zeros(len(series), bool)
    for start, stop in _runs(odd):
        jump[start:stop] = stop - start <= 2 * NEXT_TO + 1
    jump &= np.convolve(cuts(series), np.ones(2 * NEXT_TO + 1))[NEXT_TO:-NEXT_TO] == 0
    level = _level(series, name)
    steps = np.where(jump, np.diff(level, prepend=level[:1]), 0)
    return np.cumsum(np.where(odd, steps, getattr(series, f"d_{name}")), dtype=np.float64)


def _level(series: Series, name: str) -> np.ndarray:
    """The level (F,), of each frame alone, whose change from frame to frame is called `name`."""
    if name in ("u", "v"):
        return getattr(series, name).astype(np.float64)
    level = {"saturation": series.spread, "detail": series.sharpness}.get(name, series.luma)
    return np.log(np.maximum(level, FLOORS.get(name, 8)), dtype=np.float64)


def tracked(series: Series) -> dict[str, np.ndarray]:
    """The changes summed up: (F,) each, 0 at the first frame; tint (F, 2)."""
    names = ("exposure", "saturation", "detail", "u", "v")
    sums = {name: summed(series, name) for name in names}
    sums["tint"] = np.stack([sums.pop("u"), sums.pop("v")], -1)
    return sums


def drifts(series: Series, spans: Sequence[Span]) -> list[Fault]:
    """What goes on changing: exposure, saturation, tint, detail; motion that dies down."""
    sums, parts = tracked(series), segments(spans)
    middle = [(a + b) // 2 for a, b in parts]
    scale = len(parts) / len(spans)  # segments of a window
    told: list[Fault] = []
    for kind in DRIFT:
        if kind == "tint":
            saturation = any(f.kind == "saturation" for f in told)
            level = _tint(
                levels(sums["tint"], parts), levels(sums["saturation"], parts), saturation
            )
        elif kind == "motion":
            level = _speed(series.speed, parts)
        else:
            level = levels(sums[kind], parts)
        found = _drift(
            kind, level, Limit(LIMITS[kind].total, LIMITS[kind].rate / scale), series, parts
        )
        if found is not None:
            first, last, size = found
            windows = int(first / scale), int(last / scale)
            told.append(Fault(kind, middle[first], middle[last], size, windows))
    return told


def _drift(
    kind: str, level: np.ndarray, limit: Limit, series: Series, parts: Sequence[Span]
) -> tuple[int, int, float] | None:
    """`going_on`, and what else must hold for a kind of drift."""
    if kind == "motion":
        # Something that comes in while the camera comes to rest is no motion that lasts.
        camera = _speed(np.hypot(series.right, series.down), parts)
        slower = _dies_down(level, limit)
        if slower is None and level[-1] <= level[0] - limit.total:
            slower = _dies_down(camera, limit)
        return slower
    found = going_on(level, limit)
    if kind != "tint" and len(parts) > LONG:
        slow = going_on(level, Limit(SLOW_TOTAL * limit.total, limit.rate / SLOW), LONG)
        known = slow and found and slow[0] <= found[0] and found[1] <= slow[1]
        if slow and (known or _moved(_as_such(kind, series, parts), *slow[:2]) / slow[2] > AS_SUCH):
            found = max(found or slow, slow, key=lambda one: abs(one[2]))
    return found if found is not None and _shows(kind, found, series, parts) else None


def _speed(speeds: np.ndarray, parts: Sequence[Span]) -> np.ndarray:
    """Log of the speed of each part, (parts,); what stands still has one, too."""
    return np.log(np.maximum(levels(speeds, parts), STILL / 4))


def _dies_down(level: np.ndarray, limit: Limit) -> tuple[int, int, float] | None:
    """Motion comes and goes: it must have slowed down for longer, and not have recovered."""
    if level.max() <= math.log(STILL):
        return None
    found = going_on(level, limit, STEPS + 1, to_the_end=True)
    return found if found is not None and found[2] < 0 else None


def _as_such(kind: str, series: Series, parts: Sequence[Span]) -> np.ndarray:
    """Log of the level of the frames as such, (parts,)."""
    return np.log(np.maximum(levels(getattr(series, AS_LEVELS[kind]), parts), 1e-3))


def _shows(kind: str, found: tuple[int, int, float], series: Series, parts: Sequence[Span]) -> bool:
    """Whether the frames as such tell of a drift, too: what is summed up has a little of its own,
    and does not see what joins take back."""
    first, last, size = found

    def along(level: np.ndarray) -> float:
        return float(level[last] - level[first]) / size

    if kind == "tint":
        way = levels(np.stack([series.u, series.v], -1), parts)
        return float(np.hypot(*(way[last] - way[first]))) >= AS_SUCH * abs(size)
    if kind == "saturation":
        return along(np.log(levels(series.spread, parts) + GREY)) >= SPREAD
    as_such = along(_as_such(kind, series, parts))
    if kind == "detail":  # grain comes with what is shown
        return as_such >= AS_SUCH and not 0 < size < GRAIN
    odd = strange(series)
    if np.mean([odd[start] for start, _ in parts[1:]]) > 0.5 and as_such < AS_SUCH:
        return False
    # A light that moves brightens one side and not the other.
    quarters = [levels(summed(series, f"quarter{k}"), parts) for k in (1, 2, 3, 4)]
    return min(along(one) for one in quarters) >= EVERYWHERE


def _tint(tint: np.ndarray, saturation: np.ndarray, known: bool) -> np.ndarray:
    """The tint (n, 2) along the way that it goes most, (n,); less what a known saturation does."""
    if known:
        tint = tint - _explained(tint, np.exp(saturation) - 1)
    way = _main_way(tint)
    return tint @ way


def _moved(level: np.ndarray, first: int, last: int) -> float:
    """What a level has moved by between two windows, each taken with the two around it."""
    return float(
        level[max(last - 2, 0) : last + 3].mean() - level[max(first - 2, 0) : first + 3].mean()
    )


def _main_way(points: np.ndarray) -> np.ndarray:
    """The direction (2,), of length 1, in which points (n, 2) lie apart most."""
    centred = points - points.mean(0)
    return np.linalg.svd(centred, full_matrices=False)[2][0]


def _explained(tint: np.ndarray, grown: np.ndarray) -> np.ndarray:
    """The part of the tint (n, 2) that follows how much the saturation has grown (n,)."""
    square = float(grown @ grown)
    return np.outer(grown, grown @ tint / square) if square > 1e-9 else np.zeros_like(tint)


# -- events ---------------------------------------------------------------------------------------


def _around(
    values: np.ndarray, reduce: Callable[..., np.ndarray], reach: int = AROUND
) -> np.ndarray:
    """`reduce` over the frames around each, itself left out; NaN counts for nothing."""
    padded = np.pad(values.astype(np.float64), reach, constant_values=np.nan)
    near = sliding_window_view(padded, 2 * reach + 1)
    others = np.delete(near, reach, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # there is nothing around a lone frame
        return reduce(others, axis=1)


def spikes(values: np.ndarray) -> np.ndarray:
    """How far each value is from the median of those around it, itself among them."""
    if len(values) < 2 * AROUND + 1:
        return np.zeros(len(values))
    padded = np.pad(values.astype(np.float64), AROUND, mode="reflect")
    return values - np.median(sliding_window_view(padded, 2 * AROUND + 1), axis=1)


def brightness(series: Series) -> np.ndarray:
    """Log brightness (F,): as tracked, and where nothing is tracked, that of the mean luma."""
    level = np.diff(np.log(np.maximum(series.luma, 8)), prepend=np.log(max(series.luma[0], 8)))
    return np.cumsum(np.where(series.d_exposure == 0, level, series.d_exposure), dtype=np.float64)


def cuts(series: Series) -> np.ndarray:
    """Frames that show another picture than the one before, by no motion either (F,), bool."""
    usual = max(float(np.median(series.residual)), 0.5)
    return (series.alike < CUT) & (series.residual > STRANGER * usual)


def seam_ratios(series: Series) -> np.ndarray:
    """The change to each frame over the median of those around it (F,): 1 is usual."""
    usual = np.fmax(_around(_inner(series.difference), np.nanmedian), 0.25)
    return series.difference / usual


def _dips(series: Series) -> np.ndarray:
    """Changes that are nearly none, between even ones: motion that turns back slows down first."""
    even = np.ones(len(series), bool)
    low = np.zeros(len(series))
    for changes in (series.speed, series.difference):
        padded = np.pad(changes.astype(np.float64), 2)
        near = np.stack([np.roll(padded, k)[2:-2] for k in (-2, -1, 1, 2)])
        low = near.min(0)
        even &= (changes < 0.3 * low) & (near.max(0) < 1.6 * low)
    return even & (low > 0.5)


def _inner(changes: np.ndarray) -> np.ndarray:
    """Changes as float64; the first frame has none."""
    copy = changes.astype(np.float64)
    copy[0] = np.nan
    return copy


def events(series: Series, spans: Sequence[Span]) -> list[Fault]:
    """Frames shown twice, missing, flashes and jumps. A cut is none, nor is what is near one."""
    if len(series) < 2 * AROUND + 2:
        return []
    last = len(series) - 1
    joins = {start: k for k, (start, _) in enumerate(spans) if start}
    cut = cuts(series)
    near_cut = np.convolve(cut, np.ones(7))[3:-3] > 0
    light = brightness(series)
    bright = spikes(light)
    flash = (np.abs(bright) > FLASH) & (np.abs(spikes(series.luma)) > FLASH_LEVELS)
    found: list[Fault] = []
    taken = near_cut.copy()

    def join_near(frame: int, reach: int) -> int | None:
        near = [j for j in joins if abs(j - frame) <= reach]
        return joins[min(near, key=lambda j: abs(j - frame))] if near else None

    for start, stop in _runs(flash & ~near_cut):
        during = slice(start, stop + 1)
        moved = series.residual[during].sum() > LIGHT * series.difference[during].sum()
        shown = series.to_first[start:stop] - series.to_first[max(start - 1, 0)]
        size = float(bright[start:stop][np.argmax(np.abs(bright[start:stop]))])
        edges = light[start] - light[max(start - 1, 0)], light[min(stop, last)] - light[stop - 1]
        slow = np.abs(edges).max() < SUDDEN * abs(size)
        if not 0 < start < stop <= last or moved or slow or np.abs(shown).max() > REARRANGED:
            continue  # what differs is not the light, or no flash
        found.append(Fault("flash", start, stop, size, join=join_near(start, 4)))
        taken[max(start - 1, 0) : stop + 2] = True
    sure = np.nan_to_num(series.sure, nan=0.0) > SURE
    step = np.nan_to_num(series.step, nan=1.0)
    ratios = seam_ratios(series)
    twice = (sure & (step < TWICE) & (ratios < 0.8)) | _dips(series)
    twice &= ~strange(series)
    faster = series.speed / np.maximum(_around(_inner(series.speed), np.nanmax, 3), 1e-6)
    bolder = series.difference / np.maximum(_around(_inner(series.difference), np.nanmax, 3), 0.5)
    leaps = (np.minimum(faster, bolder) > MISSING) & (faster < JUMP) & ~strange(series)
    leaps[:4] = leaps[-3:] = False  # there is nothing on one side
    missing = (sure & (step > MISSING) & (ratios > 1.15)) | leaps
    most, fastest = (_around(_inner(c), np.nanmax) for c in (series.difference, series.speed))
    jump = (ratios > JUMP) & (series.difference > 2 * most)
    jump |= (series.speed > JUMP * np.maximum(fastest, STILL)) & (series.difference > 1.3 * most)
    jump &= series.difference > JUMP_LEVELS
    for kind, where, sizes in (
        ("doubled", twice, None),
        ("lost", missing, step),
        ("jump", jump, ratios),
    ):
        for start, stop in _runs(where & ~taken):
            if kind != "doubled" and stop - start > 1:
                start += int(np.argmax(ratios[start:stop]))
                stop = start + 1
            size = float(stop - start if sizes is None else sizes[start])
            if kind == "lost":
                size = float(max(round(max(size, float(faster[start]))) - 1, 1))
            found.append(Fault(kind, start, stop, size, join=join_near(start, 1)))
            taken[max(start - 1, 0) : stop + 1] = True
    return sorted(found, key=lambda f: f.start)


def _runs(where: np.ndarray) -> list[Span]:
    """Where a bool array is true, as spans."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], where.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


# -- falling back to the anchor -------------------------------------------------------------------


def returns(series: Series, spans: Sequence[Span]) -> Fault | None:
    """The picture falls back to its first composition again and again, where it does at the
    same place of its window each time: a camera that pans to and fro keeps no window's time.
    """
    away = 1 - series.to_first
    back: list[tuple[int, float]] = []
    candidates = 0
    for (a, b), (c, d) in pairwise(spans):
        before = float(np.median(away[b - max((b - a) // 4, 1) : b]))
        after = float(np.median(away[d - max((d - c) // 4, 1) : d]))
        if min(before, after) < AWAY:
            continue
        candidates += 1
        nearest = c + int(np.argmin(away[c:d]))
        if away[nearest] <= NEAR * min(before, after):
            back.append((nearest, (nearest - c) / (d - c)))
    if len(back) < AGAIN or len(back) < candidates / 2:
        return None
    angles = np.array([2 * math.pi * phase for _, phase in back])
    length = min(float(np.hypot(np.cos(angles).mean(), np.sin(angles).mean())), 1.0)
    if math.sqrt(-2 * math.log(max(length, 1e-9))) / (2 * math.pi) > LOCKED:
        return None
    return Fault("returns", back[0][0], back[-1][0] + 1, float(len(back)))


# -- becoming another -----------------------------------------------------------------------------


def scene(series: Series, spans: Sequence[Span], changed: Sequence[float]) -> Fault | None:
    """What rests becomes another picture, window after window, while the camera rests, too.

    `changed` is how much of each window's resting picture is not the first's (drift.py).
    """
    path = np.stack([np.cumsum(getattr(series, name)) / far for name, far in RESTS.items()])
    left = np.flatnonzero(np.abs(path).max(0) > 1)
    here = sum(stop <= (left[0] if len(left) else len(series)) for _, stop in spans)
    level = np.asarray(changed[:here], np.float64)
    if len(level) <= LONG:
        return None
    level = np.median(sliding_window_view(np.pad(level, 1, "edge"), 3), axis=1)
    found = going_on(level, ANOTHER, LONG)
    if found is None or found[2] < 0:
        return None
    first, last, size = found
    start, stop = (sum(spans[k]) // 2 for k in (first, last))
    return Fault("scene", start, stop, size, (first, last))


def faults(series: Series, spans: Sequence[Span], changed: Sequence[float] = ()) -> list[Fault]:
    """Everything that is out of line, drift first; `changed` as `scene` has it."""
    whole = [scene(series, spans, changed), returns(series, spans)]
    found = [*drifts(series, spans), *(fault for fault in whole if fault)]
    return [*found, *events(series, spans)]
