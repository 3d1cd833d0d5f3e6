"""Whether a video held: gathered from its frames as they come, and said in words.

Memory: a frame leaves 108 bytes, a window a thumbnail, every two seconds a histogram. An hour of
video is about 10 MB; the frames themselves are gone with the next ones.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from wan2gp_svi.report.windows import Windows
from wan2gp_svi.svi import drift as measures
from wan2gp_svi.svi.faults import NAMES, Series

THUMB = 168
"""Pixels that a thumbnail is wide or high, whichever is more."""
DISTANCES = (2, 5, 10, 20, 50, 100, 200)
"""Frames over which similarity is measured."""
ENDS = 0.15
"""Share of the video at either end that is compared (FramePack, arXiv 2504.12626)."""


@dataclass
class Gathered:
    """What is kept of a video. `changed`: of each window, how much of what rests is not the first
    window's (svi/drift.py); empty for a video of one window."""

    fps: float
    series: Series
    spans: list[tuple[int, int]]
    changed: list[float] = field(default_factory=list)
    thumbs: list[bytes] = field(default_factory=list)
    histograms: list[np.ndarray] = field(default_factory=list)
    histogram_step: int = 1
    similarity: dict[int, float] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return len(self.series)


def gather(
    frames: Iterable[np.ndarray],
    fps: float,
    windows: Windows,
    tick: Callable[[], object] = lambda: None,
) -> Gathered:
    """Look at the frames (H, W, 3), uint8, of a video, one after the other, each once.

    `tick` is called after each.
    """
    columns: dict[str, array[float]] = {name: array("f") for name in NAMES}
    thumbs: list[bytes] = []
    histograms: list[np.ndarray] = []
    every = max(round(2 * fps), 1)
    past: deque[measures.Look] = deque(maxlen=DISTANCES[-1] + 1)
    flows: deque[np.ndarray] = deque(maxlen=5)
    sums = {distance: [0.0, 0] for distance in DISTANCES}
    before: tuple[measures.Look, np.ndarray] | None = None
    first = np.zeros(0)
    next_thumb, window = windows.end(1) // 2, 1
    changed: list[float] = []
    resting: list[np.ndarray] = []
    plate: np.ndarray | None = None
    for number, frame in enumerate(frames):
        one = measures.look(frame)
        tiny = measures.composition(one)
        if number == windows.end(len(changed) + 1):
            now = measures.plate(resting)
            plate = now if plate is None else plate
            changed.append(measures.changed(plate, now))
            resting = []
        resting.append(measures.cells(one))
        if before is None:
            before, first = (one, tiny), tiny
        row = {
            "luma": measures.luma(one),
            "saturation": measures.saturation(one),
            **dict(zip(("spread", "u", "v"), measures.colours(one), strict=True)),
            "sharpness": measures.sharpness(one),
            "to_first": measures.likeness(first, tiny),
            "alike": measures.likeness(before[1], tiny),
            "step": np.nan,
            "sure": np.nan,
        }
        if number:
            seen = measures.change(before[0], one)
            row |= {name: getattr(seen, name) for name in ("difference", "residual", "seen")}
            row |= {f"d_quarter{k}": v for k, v in enumerate(seen.quarters, 1)}
            row |= {"d_exposure": seen.exposure, "d_saturation": seen.saturation}
            row |= {"d_u": seen.tint[0], "d_v": seen.tint[1], "d_detail": seen.detail}
            row["speed"] = seen.speed
            row |= dict(zip(("zoom", "turn", "right", "down"), seen.camera, strict=True))
            flows.append(seen.flow)
            if len(flows) == 5:
                told = measures.step(list(flows))
                if told is not None:  # of the flow in the middle, two frames ago
                    columns["step"][number - 2], columns["sure"][number - 2] = told
        for name, column in columns.items():
            column.append(row.get(name, 0.0))
        if number % every == 0:
            histograms.append(measures.histogram(one))
        if number == next_thumb:
            thumbs.append(thumbnail(one))
            window += 1
            next_thumb = (windows.end(window - 1) + windows.end(window)) // 2
        past.append(one)
        if number % (DISTANCES[-1] // 2) == 0:
            for distance, entry in sums.items():
                if len(past) > distance:
                    entry[0] += measures.similarity(past[-1 - distance], one)
                    entry[1] += 1
        before = one, tiny
        tick()
    series = Series(**{n: np.frombuffer(c, np.float32).copy() for n, c in columns.items()})
    spans = windows.cut(len(series))
    if before is not None and len(thumbs) < len(spans):  # the last window was shorter than planned
        thumbs.append(thumbnail(before[0]))
    if plate is not None and len(changed) < len(spans):
        changed.append(measures.changed(plate, measures.plate(resting)))
    similarity = {d: total / count for d, (total, count) in sums.items() if count}
    return Gathered(fps, series, spans, changed, thumbs, histograms, every, similarity)


def thumbnail(one: measures.Look) -> bytes:
    """A small picture, as JPEG."""
    height, width = one.rgb.shape[:2]
    scale = THUMB / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(one.rgb, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    return data.tobytes() if done else b""
