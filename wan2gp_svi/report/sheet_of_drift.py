"""The drift report as one picture: what is out of line is in colour, the rest is grey."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wan2gp_svi.report.drift import Gathered
from wan2gp_svi.report.verdict import Verdict
from wan2gp_svi.svi import faults as faulty

PAPER, INK, GREY, LINE, BLOCK = "#fbfaf6", "#1d2330", "#6b7280", "#d4d2ca", "#efece3"
CALM, OUT, GOOD = "#64748b", "#c2410c", "#15803d"
WIDTH, DPI = 16.0, 100  # inches, pixels an inch
LEFT, RIGHT = 2.15, 2.75  # inches beside the plots
ROW, GAP = 0.95, 0.16
SMALLEST = 53  # pixels of a thumbnail's column, the least that shows anything
ROWS = 5
POINTS = 1500


@dataclass(frozen=True)
class Panel:
    """One measure over time. `kinds` of faults colour it; `least` is the range shown at least."""

    name: str
    unit: str
    kinds: tuple[str, ...]
    values: np.ndarray
    least: tuple[float, float]
    calm: str
    dots: bool = False


def draw(gathered: Gathered, judged: Verdict, title: str) -> Figure:
    """The sheet of a video. Made without pyplot: nothing of the caller's matplotlib changes."""
    panels = _panels(gathered)
    words = _words(judged)
    strip = _strip(gathered)
    head = 0.66 + 0.33 * len(words)
    under = strip.rows * strip.height + 0.34
    height = head + under + len(panels) * (ROW + GAP) + 0.62
    with mpl.rc_context({"font.family": "DejaVu Sans", "axes.linewidth": 0.6}):
        figure = Figure((WIDTH, height), dpi=DPI, facecolor=PAPER)
        FigureCanvasAgg(figure)
        _head(figure, height, title, words)
        seconds = gathered.frames / gathered.fps
        _thumbnails(figure, height, head, strip, gathered, judged)
        top = height - head - under
        for number, panel in enumerate(panels):
            y = top - (number + 1) * (ROW + GAP) + GAP
            axes = _axes(figure, height, y, ROW)
            last = number == len(panels) - 1
            _panel(axes, panel, gathered, judged, seconds, last)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the PNG."""
    figure.savefig(path, format="png", facecolor=PAPER)


# -- head -----------------------------------------------------------------------------------------


def _words(judged: Verdict) -> list[tuple[str, str, str]]:
    """Lines of text: mark, words, colour."""
    lines: list[tuple[str, str, str]] = []
    if judged.holds:
        lines.append(("✓", "The video holds: nothing is out of line.", GOOD))
    for finding in judged.findings[:6]:
        text = finding.text[0].upper() + finding.text[1:]
        helps = finding.guide.split(": ", 1)[-1].strip('"')
        for k, part in enumerate(textwrap.wrap(f"{text}.   → guide: “{helps}”", 135)):
            lines.append(("" if k else "●", part, OUT))
    if len(judged.findings) > 6:
        lines.append(("", f"and {len(judged.findings) - 6} more, in the text", OUT))
    for note in judged.notes[:3]:
        lines.append(("", textwrap.shorten(note[0].upper() + note[1:] + ".", 150), GREY))
    return lines


def _head(figure: Figure, height: float, title: str, words: list[tuple[str, str, str]]) -> None:
    figure.text(0.3 / WIDTH, 1 - 0.36 / height, title, color=GREY, size=12, va="center")
    for k, (mark, text, colour) in enumerate(words):
        y = 1 - (0.78 + 0.33 * k) / height
        big = colour != GREY
        figure.text(0.3 / WIDTH, y, mark, color=colour, size=15, va="center")
        figure.text(
            0.58 / WIDTH,
            y,
            text,
            color=INK if colour == OUT else colour,
            size=15 if big else 12,
            va="center",
        )


# -- thumbnails -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strip:
    """Every `every`-th window is shown, in columns of `rows`, in pictures of so many inches."""

    every: int
    rows: int
    width: float
    height: float


def _strip(gathered: Gathered) -> Strip:
    """As large as the pictures can be; where there are too many windows, some are left out."""
    count = max(len(gathered.spans), 1)
    room = WIDTH - LEFT - RIGHT
    columns = int(room * DPI // SMALLEST)
    every = -(-count // (columns * ROWS))
    shown = -(-count // every)
    rows = -(-shown // columns)
    first = _decode(gathered.thumbs[0]) if gathered.thumbs else np.zeros((9, 16, 3), np.uint8)
    ratio = first.shape[0] / first.shape[1]
    width = min(room / -(-shown // rows) - 0.04, 1.9, 1.35 / ratio)
    return Strip(every, rows, width, width * ratio)


def _thumbnails(
    figure: Figure, height: float, head: float, strip: Strip, gathered: Gathered, judged: Verdict
) -> None:
    """One a window, above its place on the time axis; many are stacked, the first one on top."""
    count = min(len(gathered.spans), len(gathered.thumbs))
    wide, high, rows = strip.width, strip.height, strip.rows
    chosen = list(range(0, count, strip.every))
    bad = _bad_windows(judged)
    scale = (WIDTH - LEFT - RIGHT) / max(gathered.frames, 1)
    small = wide < 0.9
    for column in range(0, len(chosen), rows):
        group = chosen[column : column + rows]
        ends = [gathered.spans[group[0]][0], gathered.spans[group[-1]][1]]
        if column and len(group) < rows:  # the last column: in step with those before
            ends[1] = ends[0] + (gathered.spans[chosen[rows]][0] if rows > 1 else ends[1] - ends[0])
        x = LEFT + sum(ends) / 2 * scale - wide / 2
        for row, k in enumerate(group):
            y = height - head - (row + 1) * high
            axes = figure.add_axes((x / WIDTH, y / height, wide / WIDTH, high / height))
            axes.imshow(_decode(gathered.thumbs[k]), aspect="auto")
            axes.set_xticks([])
            axes.set_yticks([])
            out = k in bad
            for spine in axes.spines.values():
                spine.set(color=OUT if out else PAPER, linewidth=3 if out else 1.5)
            axes.text(
                0.04,
                0.93,
                str(k + 1),
                transform=axes.transAxes,
                color="white",
                size=7.5 if small else 10,
                va="top",
                weight="bold",
                bbox={"facecolor": OUT if out else INK, "alpha": 0.8, "pad": 1.4, "lw": 0},
            )
    label = "windows" if strip.every == 1 else f"one window in {strip.every}"
    figure.text(
        (LEFT - 0.15) / WIDTH, 1 - (head + 0.14) / height, label, color=GREY, size=11, ha="right"
    )


def _decode(jpeg: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        return np.full((9, 16, 3), 200, np.uint8)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _bad_windows(judged: Verdict) -> set[int]:
    """Windows (from 0) that a fault begins in, or drift runs through."""
    bad: set[int] = set()
    for finding in judged.findings:
        if finding.windows:
            bad |= set(range(finding.windows[0], finding.windows[1]))
        bad |= {join - 1 for join in finding.joins}
    return bad


# -- panels ---------------------------------------------------------------------------------------


def _panels(gathered: Gathered) -> list[Panel]:
    series, sums = gathered.series, faulty.tracked(gathered.series)
    smooth = _smoother(max(round(gathered.fps / 4), 1))

    def percent(name: str) -> np.ndarray:
        return np.expm1(smooth(sums[name])) * 100

    ratios = faulty.seam_ratios(series)
    tint = np.hypot(*(smooth(sums["tint"][:, k]) for k in (0, 1))) * 100
    speed = smooth(np.append(series.speed[:2][-1:], series.speed[1:]))
    return [
        Panel("Brightness", "%", ("exposure", "flash"), percent("exposure"), (-15, 15), "in line"),
        Panel("Saturation", "%", ("saturation",), percent("saturation"), (-30, 30), "in line"),
        Panel("Tint", "", ("tint",), tint, (0, 20), "in line"),
        Panel("Detail", "%", ("detail",), percent("detail"), (-50, 50), "in line"),
        Panel("Motion", "%/frame", ("motion",), speed, (0, 0.1), "in line"),
        Panel(
            "Like the\nfirst picture",
            "",
            ("returns", "scene"),
            np.clip(smooth(series.to_first), 0, 1),
            (0, 1),
            "in line",
        ),
        Panel(
            "Step from\nframe to frame",
            "× usual",
            ("doubled", "lost", "jump", "flash"),
            ratios,
            (0, 4),
            "in line",
            dots=True,
        ),
    ]


def _smoother(width: int) -> Callable[[np.ndarray], np.ndarray]:
    def smooth(values: np.ndarray) -> np.ndarray:
        if width < 2 or len(values) < 2 * width:
            return np.asarray(values, np.float64)
        padded = np.pad(values.astype(np.float64), (width // 2, width - 1 - width // 2), "edge")
        return np.convolve(padded, np.ones(width) / width, "valid")

    return smooth


def _axes(figure: Figure, height: float, y: float, high: float) -> Axes:
    box = (LEFT / WIDTH, y / height, (WIDTH - LEFT - RIGHT) / WIDTH, high / height)
    axes = figure.add_axes(box)
    axes.set_facecolor(PAPER)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(colors=GREY, labelsize=9, length=2.5, width=0.6)
    return axes


def _panel(
    axes: Axes, panel: Panel, gathered: Gathered, judged: Verdict, seconds: float, last: bool
) -> None:
    fps, spans = gathered.fps, gathered.spans
    times = np.arange(gathered.frames) / fps
    mine = [f for f in judged.findings if f.kind in panel.kinds]
    low = min(panel.least[0], float(np.percentile(panel.values, 0.5)))
    high = max(panel.least[1], float(np.percentile(panel.values, 99.5)))
    if panel.dots:
        high = min(max(panel.least[1], float(panel.values.max()) * 1.1), 12)
    pad = 0.06 * (high - low)
    axes.set_xlim(0, seconds)
    axes.set_ylim(low - pad, high + pad)
    for k, (start, stop) in enumerate(spans):
        if k % 2:
            axes.axvspan(start / fps, stop / fps, color=BLOCK, lw=0, zorder=0)
        if start and len(spans) <= 60:
            axes.axvline(start / fps, color=LINE, lw=0.8, zorder=1)
    if panel.least[0] < 0:
        axes.axhline(0, color=LINE, lw=0.8, zorder=1)
    if panel.dots:
        _stems(axes, panel, gathered, judged, high)
    else:
        x, y = _thin(times, panel.values)
        axes.plot(x, y, color=CALM, lw=1.4, zorder=3)
        for finding in mine:
            if finding.kind == "flash":
                continue
            part = (x >= finding.start_seconds) & (x <= finding.stop_seconds)
            axes.axvspan(
                finding.start_seconds, finding.stop_seconds, color=OUT, alpha=0.10, lw=0, zorder=0
            )
            axes.plot(x[part], y[part], color=OUT, lw=2.8, zorder=4)
    flashes = [f for f in judged.faults if f.kind == "flash" and "flash" in panel.kinds]
    if not panel.dots:
        for fault in flashes:
            axes.axvline(fault.start / fps, color=OUT, lw=1.6, zorder=4)
    axes.locator_params(axis="y", nbins=3)
    out = bool(mine)
    axes.text(
        -0.05,
        0.5,
        panel.name,
        transform=axes.transAxes,
        ha="right",
        va="center",
        size=12,
        color=OUT if out else INK,
        weight="bold" if out else "normal",
    )
    said = _short(mine) if out else panel.calm
    axes.text(
        1.01,
        0.5,
        said,
        transform=axes.transAxes,
        ha="left",
        va="center",
        size=11,
        color=OUT if out else GREY,
        weight="bold" if out else "normal",
    )
    if panel.unit:
        axes.text(0, 1.0, panel.unit, transform=axes.transAxes, size=8, color=GREY, va="bottom")
    if last:
        axes.set_xlabel("seconds", color=GREY, size=10)
    else:
        axes.set_xticklabels([])


def _stems(axes: Axes, panel: Panel, gathered: Gathered, judged: Verdict, high: float) -> None:
    """Every step a thin line; those at joins darker; those out of line with a dot and a word."""
    fps = gathered.fps
    times = np.arange(gathered.frames) / fps
    x, y = _thin(times, panel.values, np.max)
    axes.fill_between(x, 0, np.minimum(y, high), color="#cbd5e1", lw=0, step="mid", zorder=2)
    joins = [start for start, _ in gathered.spans if start]
    axes.vlines(
        [j / fps for j in joins],
        0,
        [min(float(panel.values[j]), high) for j in joins],
        color=CALM,
        lw=1.6 if len(joins) <= 60 else 0.8,
        zorder=3,
    )
    shown = [f for f in judged.faults if f.kind in panel.kinds]
    for number, fault in enumerate(shown):
        at = fault.start / fps
        value = min(float(panel.values[fault.start : fault.stop].max()), high)
        axes.vlines(at, 0, max(value, 0.06 * high), color=OUT, lw=2.4, zorder=4)
        axes.plot([at], [value], "o", color=OUT, ms=5, zorder=5, clip_on=False)
        if len(shown) <= 12:
            word = {"doubled": "twice", "lost": "missing"}.get(fault.kind, fault.kind)
            axes.annotate(
                word,
                (at, value),
                xytext=(5, -2 if value > 0.5 * high else 3 + 9 * (number % 2)),
                textcoords="offset points",
                color=OUT,
                size=9.5,
                zorder=5,
                annotation_clip=False,
            )


def _short(findings: list) -> str:
    """What stands at a panel's right side."""
    parts = []
    for finding in findings:
        text = finding.text
        for start, short in (
            ("the picture grows ", ""),
            ("saturation ", ""),
            ("the picture blurs: detail ", ""),
            ("colours shift ", ""),
            ("motion ", ""),
            ("the picture falls back to its first composition again and again", "falls back"),
            ("the place becomes another, little by little: ", ""),
        ):
            text = text.replace(start, short)
        parts.append(textwrap.fill(text.split(" (")[0], 28))
    return "\n".join(parts[:2])


def _thin(
    x: np.ndarray, y: np.ndarray, reduce: Callable[..., np.ndarray] = np.mean
) -> tuple[np.ndarray, np.ndarray]:
    """At most `POINTS` points: as many as can be told apart."""
    step = -(-len(x) // POINTS)
    if step < 2:
        return x, np.asarray(y)
    count = len(x) // step
    return (
        x[: count * step].reshape(count, step).mean(1),
        reduce(np.asarray(y)[: count * step].reshape(count, step), axis=1),
    )
