"""What drift is measured by. Needs no model; frames are (H, W, 3), uint8, RGB.

Two kinds of measures. *Levels* look at one frame: luma, saturation, sharpness, colours as a Lab
histogram. They are what is published (FramePack, VBench), and they move with what is shown: a
camera that pans to a window brightens the picture. So drift is judged by *changes*, which follow
the picture: optical flow tells where each point of a frame is in the next one, and only points seen
in both are compared. A pan, a thing that enters, a cut change no point, so they add nothing; summed
up over the video, what is left is the change of the picture itself.

Both frames are looked at half-way, the earlier one moved by half the flow forward and the later one
by half of it back, the flow being that of both directions. So the video backwards would give the
same with the other sign. Whatever is not so adds a trace of blur each time, say, and thousands of
traces are a drift of the measure's own.

Brightness scales pixels, so changes are logarithms of ratios (0.01 is 1%) and colours are taken
relative to luma, u = (R-Y)/Y and v = (B-Y)/Y: a change of exposure leaves them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

AREA = 37_000
"""Pixels of the small picture on which frames are compared (254x146 for 832x480)."""
DETAIL_AREA = 100_000
"""Pixels of the picture on which detail is measured: finer than that is mostly grain and codec."""
RIM = 4
"""Pixels at the small picture's rim that are left out: there are no second derivatives there."""
SAME = 0.25
"""Points whose luma differs by more than this share (log) are not the same thing seen twice."""
DARK, BRIGHT = 24.0, 250.0
"""Luma outside says nothing about exposure or colour: it is clipped, or noise."""
SEEN = 0.3
"""Share of points that must be seen in both frames, or the frames are not comparable (a cut)."""
LIT = 0.2
"""Share of the picture that must be neither, or nothing is said about exposure and colour."""
MOVES = 0.15
"""Pixels of the small picture that flow must have, or steps cannot be counted."""
SLACK = 2
"""Cells of a plate, each a 24th of the height, by which a resting camera may have moved."""
BINS = (8, 8, 8)


@dataclass(frozen=True, slots=True)
class Look:
    """A frame, as much of it as is needed for comparing it with the next.

    luma (h, w) uint8, small; maps (h, w, 4) float32: Y 0..255, u, v, detail (mean |Laplacian| of
    the full picture's luma, in levels); rgb (h, w, 3) uint8, small.
    """

    luma: np.ndarray
    maps: np.ndarray
    rgb: np.ndarray


def look(frame: np.ndarray) -> Look:
    """A frame made small. Detail is taken before: that is where blur shows."""
    height, width = frame.shape[:2]
    size, middle = (_size(width, height, area) for area in (AREA, DETAIL_AREA))
    rgb = cv2.resize(frame, middle, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    edges = cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S, ksize=1))
    detail = cv2.resize(edges, size, interpolation=cv2.INTER_AREA)
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split(rgb.astype(np.float32))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    base = np.maximum(luma, 16)
    maps = cv2.merge([luma, (red - luma) / base, (blue - luma) / base, detail.astype(np.float32)])
    return Look(np.rint(luma).astype(np.uint8), maps, rgb)


def _size(width: int, height: int, area: int) -> tuple[int, int]:
    scale = min((area / (height * width)) ** 0.5, 1.0)
    return max(round(width * scale), 16), max(round(height * scale), 16)


# -- levels: of one frame -------------------------------------------------------------------------


def luma(one: Look) -> float:
    """Mean luma (BT.601), 0 to 255."""
    return float(one.maps[..., 0].mean())


def saturation(one: Look) -> float:
    """Saturation in per cent of what is possible: sum(max - min) / sum(max) over R, G, B.

    HSV's, weighted by value, so that noise in the dark counts little and exposure not at all.
    """
    high = one.rgb.max(2).sum(dtype=np.int64)
    low = one.rgb.min(2).sum(dtype=np.int64)
    return float(100 * (high - low) / max(high, 1))


def colours(one: Look) -> tuple[float, float, float]:
    """Spread of u and v, mean u, mean v: 0 and more; about -1 to 5 each."""
    deviations = cv2.meanStdDev(one.maps)
    mean, std = (values[1:3, 0] for values in deviations)
    return float(np.hypot(*std)), float(mean[0]), float(mean[1])


def sharpness(one: Look) -> float:
    """Detail over contrast: mean |Laplacian| of the full luma / deviation of the small one."""
    return float(one.maps[..., 3].mean() / max(one.maps[..., 0].std(), 1))


def histogram(one: Look) -> np.ndarray:
    """Lab histogram, 8x8x8 bins, float32, sum 1 (FramePack, arXiv 2504.12626, its colour drift)."""
    lab = cv2.cvtColor(one.rgb, cv2.COLOR_RGB2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], None, BINS, [0, 256] * 3)
    return counts / counts.sum()


def histogram_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Bhattacharyya distance of two histograms (OpenCV): 0 the same colours, 1 none in common."""
    return float(cv2.compareHist(a, b, cv2.HISTCMP_BHATTACHARYYA))


def composition(one: Look) -> np.ndarray:
    """What is where, and nothing finer: (12, 20, 3), float32, mean 0 and length 1."""
    tiny = cv2.resize(one.rgb, (20, 12), interpolation=cv2.INTER_AREA).astype(np.float32)
    tiny -= tiny.mean((0, 1))
    return tiny / max(float(np.linalg.norm(tiny)), 1e-6)


def plate(lumas: Sequence[np.ndarray]) -> np.ndarray:
    """What rests in some frames (see `cells`), (24, 40), float32: the median of each cell, over the
    deviation of all cells, less their median. Light as a whole and contrast leave it as it is."""
    resting = np.median(np.stack(lumas), axis=0)
    return ((resting - np.median(resting)) / max(float(resting.std()), 1)).astype(np.float32)


def cells(one: Look) -> np.ndarray:
    """Mean luma of 24 rows and 40 columns of cells, float32."""
    return cv2.resize(one.luma, (40, 24), interpolation=cv2.INTER_AREA).astype(np.float32)


def changed(a: np.ndarray, b: np.ndarray) -> float:
    """How much of the resting picture of two plates has changed: the median over the cells, where
    they fit best within `SLACK` cells of each other.

    0 nothing; two pictures that have nothing in common are about 0.8 apart. A thing that moves
    changes fewer than half of the cells, and so nothing.
    """
    inner = a[SLACK:-SLACK, SLACK:-SLACK]
    height, width = inner.shape
    return min(
        float(np.median(np.abs(inner - b[y : y + height, x : x + width])))
        for y in range(2 * SLACK + 1)
        for x in range(2 * SLACK + 1)
    )


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two compositions, -1 to 1.

    A long video that falls back to its anchor's composition again and again ("sink collapse",
    arXiv 2601.16914) comes near 1 again and again.
    """
    return float((a * b).sum())


def similarity(a: Look, b: Look) -> float:
    """SSIM of two small lumas; over growing distance it shows what neighbours hide (VBench #206).

    Implementation: scikit-image.
    """
    return float(structural_similarity(a.luma, b.luma))


# -- changes: from one frame to the next ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """What happened between two frames.

    difference   mean |difference| of luma in levels, as it is (VBench's flicker is 255 less this)
    residual     the same with motion and the usual change of brightness taken out
    seen         share of points seen in both, 0 to 1; below `SEEN` the four changes are 0
    exposure     log of the ratio of luma, over points seen in both
    quarters     the same for each quarter of the picture; as a whole's where one shows too little
    saturation   log of the ratio of the spread of u and v
    tint         change of mean u and v
    detail       log of the ratio of detail, less that of contrast: below 0, it blurs
    speed        mean length of the flow, in per cent of the picture's height
    camera       how the camera moved (see `_camera`)
    flow         (h, w, 2), pixels of the small picture
    """

    difference: float
    residual: float
    seen: float
    exposure: float
    quarters: tuple[float, ...]
    saturation: float
    tint: tuple[float, float]
    detail: float
    speed: float
    camera: np.ndarray
    flow: np.ndarray


@lru_cache(maxsize=1)
def _flow_finder() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)


def change(a: Look, b: Look) -> Change:
    """From frame a to frame b, the next one. Flow: DIS (Kroeger 2016), OpenCV.

    At its medium preset: the fast one sees a pan as a slight zoom, which sums up.
    """
    height, width = a.luma.shape
    nowhere: Any = None  # to write to: OpenCV's type hints do not know that it may be left out
    find = _flow_finder().calc
    flow = (find(a.luma, b.luma, nowhere) - find(b.luma, a.luma, nowhere)) / 2
    grid, half = _grid(height, width), flow / 2
    where_a, where_b = grid - half, grid + half
    one, two = (
        cv2.remap(maps, where, nowhere, cv2.INTER_LINEAR)
        for maps, where in ((a.maps, where_a), (b.maps, where_b))
    )
    y1, y2 = one[..., 0], two[..., 0]
    inside = np.ones((height, width), bool)
    for where in (where_a, where_b):
        inside &= (where >= RIM).all(2) & (where <= (width - 1 - RIM, height - 1 - RIM)).all(2)
    plain = float(cv2.absdiff(a.maps[..., 0], b.maps[..., 0]).mean())
    ratio = np.log(np.maximum(y2, 1) / np.maximum(y1, 1))
    usual = float(np.median(ratio[inside])) if inside.any() else 0.0
    unlike = np.abs(y2 * np.exp(-usual / 2) - y1 * np.exp(usual / 2))[inside]
    residual = float(unlike.mean()) if unlike.size else plain
    low, high = np.minimum(y1, y2), np.maximum(y1, y2)
    same = inside & (np.abs(ratio - usual) < SAME) & (low > DARK) & (high < BRIGHT)
    seen = float(same.sum() / max(((a.maps[..., 0] > DARK) & (a.maps[..., 0] < BRIGHT)).sum(), 1))
    camera = _camera(flow, grid, a.maps[..., 3] + b.maps[..., 3])
    exposure = colours = detail = 0.0
    tint = (0.0, 0.0)
    quarters: tuple[float, ...] = (0.0,) * 4
    enough = int(same.sum()) > LIT * height * width
    if seen >= SEEN and enough:
        p, q = one[same], two[same]
        mean_p, mean_q = p.mean(0, dtype=np.float64), q.mean(0, dtype=np.float64)
        std_p, std_q = p.std(0, dtype=np.float64), q.std(0, dtype=np.float64)
        exposure = float(np.log(mean_q[0] / mean_p[0]))
        quarters = _quarters(y1, y2, same, exposure)
        spread_p, spread_q = float(np.hypot(*std_p[1:3])), float(np.hypot(*std_q[1:3]))
        if min(spread_p, spread_q) > 0.02:
            colours = float(np.log(spread_q / spread_p))
        tint = (float(mean_q[1] - mean_p[1]), float(mean_q[2] - mean_p[2]))
        if min(std_p[0], std_q[0]) > 4 and min(mean_p[3], mean_q[3]) > 0.2:
            # Edges twice as large are half as many: a zoom is no blur.
            detail = float(np.log(mean_q[3] / mean_p[3]) - np.log(std_q[0] / std_p[0]))
            detail += float(camera[0])
    speed = float(np.hypot(flow[..., 0], flow[..., 1]).mean() / height * 100)
    return Change(
        difference=plain,
        residual=residual,
        seen=seen,
        exposure=exposure,
        quarters=quarters,
        saturation=colours,
        tint=tint,
        detail=detail,
        speed=speed,
        camera=camera,
        flow=flow,
    )


def _quarters(y1: np.ndarray, y2: np.ndarray, same: np.ndarray, whole: float) -> tuple[float, ...]:
    """Log of the ratio of luma in each quarter of the picture."""
    middle, centre = same.shape[0] // 2, same.shape[1] // 2
    found = []
    for rows in (slice(middle), slice(middle, None)):
        for columns in (slice(centre), slice(centre, None)):
            seen = same[rows, columns]
            enough = seen.sum() > LIT * seen.size
            sums = (float(y[rows, columns][seen].sum()) for y in (y2, y1))
            found.append(float(np.log(next(sums) / next(sums))) if enough else whole)
    return tuple(found)


def _camera(flow: np.ndarray, grid: np.ndarray, detail: np.ndarray) -> np.ndarray:
    """How the camera moved, by the similarity that most points with detail follow; zeros if none.

    (4,): log of the scale, turn in radians, the centre's way in per cent of the height.
    """
    points, ends = grid[4::8, 4::8].reshape(-1, 2), (grid + flow)[4::8, 4::8].reshape(-1, 2)
    weight = detail[4::8, 4::8].reshape(-1)
    clear = weight >= np.median(weight)
    if clear.sum() < 8:
        return np.zeros(4)
    found, _ = cv2.estimateAffinePartial2D(
        points[clear], ends[clear], None, cv2.RANSAC, 0.3, 200, 0.99, 10
    )
    if found is None:
        return np.zeros(4)
    height, width = flow.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    way = (found[:, :2] @ centre + found[:, 2] - centre) / height * 100
    scale = np.log(max(np.hypot(found[0, 0], found[1, 0]), 0.5))
    return np.array([scale, np.arctan2(found[1, 0], found[0, 0]), *way])


def step(flows: list[np.ndarray]) -> tuple[float, float] | None:
    """How far the middle one of five flows goes, in steps of its neighbours, and how sure that is.

    With n the mean of the two flows before and the two after, <f, n> / <n, n> over that of the
    longest neighbour where it is above 1, of the shortest where it is below: 1 is usual, 0 a frame
    shown twice, 2 one that is missing. The second number is the least of the cosines between the
    flows before, those after and f (f's counts only where it moves). None where the neighbours do
    not move enough, or not alike: nobody could tell there.
    """
    before, middle, after = (flows[0] + flows[1]) / 2, flows[2], (flows[3] + flows[4]) / 2
    usual = (before + after) / 2
    square = float((usual * usual).mean())
    if square < MOVES**2:
        return None
    b, a = (float((flow * flow).mean()) ** 0.5 for flow in (before, after))
    if not 0.6 < b / max(a, 1e-9) < 1.67:
        return None
    alike = float((before * after).mean()) / (b * a)
    near = [float((f * usual).mean()) / square for f in (*flows[:2], *flows[3:])]
    if min(near) < 0.5:
        return None
    along = float((middle * usual).mean()) / square
    straight = along * square**0.5 / max(float((middle * middle).mean()) ** 0.5, 1e-9)
    along /= max(near) if along > 1 else min(near)
    return along, min(alike, straight) if along > 0.5 else alike
