"""What each measure of the drift report does for each fault, and how often it is wrong.

    python benchmarks/drift_table.py [--clean 50] [--each 4] [--write docs/drift.md]

Draws videos that the thresholds were not made on (other seeds, other pairs of move, picture and
size), encodes each as WanGP does, and reads it back. `--write` puts the tables between the marks of
that file. tests/report/drifting.py draws the videos; this takes about 20 minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "tests/report")]

import drifting  # noqa: E402

from wan2gp_svi.report.drift import Gathered, gather  # noqa: E402
from wan2gp_svi.report.verdict import verdict  # noqa: E402
from wan2gp_svi.report.windows import Windows  # noqa: E402
from wan2gp_svi.svi import faults as faulty  # noqa: E402
from wan2gp_svi.video.frames import read  # noqa: E402

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
SOURCES = (*drifting.PHOTOS, "drawn")
SIZES = ((416, 240), (192, 112), (256, 144), (240, 416), (320, 320))
LARGE = (832, 480)
FAULTS = drifting.FAULTS
OWN = {
    "exposure": "brightness",
    "saturation": "saturation",
    "tint": "tint",
    "blur": "detail",
    "slows": "motion",
    "doubled": "step",
    "lost": "step",
    "flash": "flash",
    "jump": "seam",
    "returns": "returns",
}
SAME = {"blur": "detail", "slows": "motion"}
"""How faulty.KINDS call a planted fault, where otherwise."""


@dataclass
class Result:
    """A video's measures, and the kinds of fault that were found in it."""

    name: str
    kinds: list[str]
    measures: dict[str, float]
    judged: bool


def make(number: int, fault: str | None, folder: Path, strength: float = 1.0) -> Result:
    """Video `number`, with the fault planted: drawn, encoded, read back, measured."""
    moves = drifting.MOVES
    if fault == "returns":  # a view that never leaves its first picture cannot fall back to it
        moves = tuple(m for m in moves if m not in ("shake", "moving light", "sways", "to and fro"))
    move, source = moves[(number * 5 + 2) % len(moves)], SOURCES[(number * 4 + 3) % len(SOURCES)]
    large = number % 16 == 3
    size = LARGE if large else SIZES[(number * 2 + 1) % len(SIZES)]
    ends = drifting.windows(7, 25, 20)
    codec, grain = ("good" if number % 5 == 2 else "x264"), (0.5, 1.2, 0.0)[number % 3]
    seed = 9000 + number
    scene = drifting.scene(move, source, size, seed, ends)
    stream = drifting.frames(scene, ends, fault, strength, grain, seed)
    path = drifting.save(folder / "video.mp4", stream, codec=codec)
    shape, frames = read(path)
    windows = Windows(tuple(ends), ends[1] - ends[0], "as drawn")
    gathered = gather(frames, shape.fps, windows)
    found = verdict(gathered, windows).findings
    name = f"{move}, {source}, {size[0]}x{size[1]}, {codec}"
    judged = float((gathered.series.d_exposure != 0).mean()) > 0.5
    result = Result(name, [f.kind for f in found], measures(gathered), judged)
    print(f"{fault or 'clean'} {number}: {name}: {result.kinds}", file=sys.stderr, flush=True)
    return result


def measures(gathered: Gathered) -> dict[str, float]:
    """Each measure as one number: from the first window to the last, or where it is at its most."""
    series, spans = gathered.series, gathered.spans
    sums = faulty.tracked(series)

    def total(name: str) -> float:
        level = faulty.levels(sums[name], spans)
        return float(level[-1] - level[0])

    tint = faulty.levels(sums["tint"], spans)
    cut = np.convolve(faulty.cuts(series), np.ones(7))[3:-3] > 0
    speed = np.maximum(faulty.levels(series.speed, spans), 1e-3)
    steps = np.where((series.sure > faulty.SURE) & ~cut, series.step, 1.0)
    odd = np.abs(np.log(np.maximum(steps, 0.05)))
    spikes = np.where(cut, 0, faulty.spikes(faulty.brightness(series)))
    fallen = faulty.returns(series, spans)
    return {
        "brightness": 100 * np.expm1(total("exposure")),
        "saturation": 100 * np.expm1(total("saturation")),
        "tint": 100 * float(np.hypot(*(tint[-1] - tint[0]))),
        "detail": 100 * np.expm1(total("detail")),
        "motion": float(speed[-1] / speed[0]),
        "step": float(steps[np.argmax(odd)]),
        "seam": float(np.where(cut, 1, faulty.seam_ratios(series))[1:].max()),
        "flash": 100 * float(np.abs(spikes).max()),
        "returns": fallen.size if fallen else 0.0,
    }


HEADS = {
    "brightness": "brightness, %",
    "saturation": "saturation, %",
    "tint": "tint, 100 u, v",
    "detail": "detail, %",
    "motion": "speed, last / first window",
    "step": "oddest step",
    "seam": "largest seam ratio",
    "flash": "largest spike, %",
    "returns": "falls back",
}
DIGITS = {"motion": 2, "step": 2, "seam": 1, "returns": 0}


def table(rows: dict[str, list[Result]]) -> list[str]:
    """The median of each measure for each fault; a fault's own in bold."""
    lines = [
        "| planted | found | anything else found | " + " | ".join(HEADS.values()) + " |",
        "| --- | --- | --- |" + " --- |" * len(HEADS),
    ]
    for fault, results in rows.items():
        cells = []
        for measure in HEADS:
            middle = float(np.median([r.measures[measure] for r in results]))
            text = f"{middle:.{DIGITS.get(measure, 1)}f}"
            cells.append(f"**{text}**" if OWN.get(fault) == measure else text)
        name = SAME.get(fault, fault)
        found = sum(name in r.kinds for r in results)
        others = sum(any(k != name for k in r.kinds) for r in results)
        told = "-" if fault == "nothing" else f"{found} of {len(results)}"
        lines.append(
            f"| {fault} | {told} | {others} of {len(results)} | " + " | ".join(cells) + " |"
        )
    return lines


def exceptions(rows: dict[str, list[Result]]) -> list[str]:
    """Every video where what was found is not just what was planted."""
    lines = []
    for fault, results in rows.items():
        wanted = [] if fault == "nothing" else [SAME.get(fault, fault)]
        for r in results:
            if r.kinds != wanted:
                dark = "" if r.judged else " (the report says that it cannot judge its colours)"
                lines.append(f"- {fault}, {r.name}: found {', '.join(r.kinds) or 'nothing'}{dark}")
    return lines or ["- none"]


def margins(rows: dict[str, list[Result]]) -> list[str]:
    """How far clean videos stay below a limit, and planted faults above it."""
    limits: dict[str, tuple[float, Callable[[Result], float], Sequence[str]]] = {
        "brightness, %": (
            100 * np.expm1(faulty.LIMITS["exposure"].total),
            lambda r: abs(r.measures["brightness"]),
            ("exposure",),
        ),
        "saturation, %": (
            100 * np.expm1(faulty.LIMITS["saturation"].total),
            lambda r: abs(r.measures["saturation"]),
            ("saturation",),
        ),
        "tint, 100 u, v": (
            100 * faulty.LIMITS["tint"].total,
            lambda r: r.measures["tint"],
            ("tint",),
        ),
        "detail, % either way": (
            -100 * np.expm1(-faulty.LIMITS["detail"].total),
            lambda r: abs(r.measures["detail"]),
            ("blur",),
        ),
        "step, missing": (faulty.MISSING, lambda r: r.measures["step"], ("lost",)),
        "seam ratio": (faulty.JUMP, lambda r: r.measures["seam"], ("jump",)),
        "spike, %": (100 * faulty.FLASH, lambda r: r.measures["flash"], ("flash",)),
    }
    lines = [
        "| measure | clean: median | clean: 95% | clean: most | limit | planted: least |"
        " planted: median |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    clean = [r for r in rows["nothing"] if "new anchor" not in r.name and r.judged]
    for name, (limit, value, planted) in limits.items():
        calm = [value(r) for r in clean]
        odd = [value(r) for fault in planted for r in rows[fault] if r.judged]
        lines.append(
            f"| {name} | {np.median(calm):.1f} | {np.percentile(calm, 95):.1f} | {max(calm):.1f} |"
            f" {limit:.1f} | {min(odd):.1f} | {np.median(odd):.1f} |"
        )
    return lines


def report(rows: dict[str, list[Result]]) -> str:
    """All tables, in Markdown."""
    clean = rows["nothing"]
    alarms = sum(bool(r.kinds) for r in clean)
    lines = [
        f"False alarms: {alarms} of {len(clean)} clean videos.",
        "",
        *table(rows),
        "",
        "Where what was found is not just what was planted:",
        "",
        *exceptions(rows),
        "",
        *margins(rows),
    ]
    return "\n".join(lines)


def write(path: str, text: str) -> None:
    """Put the tables between the marks of a file."""
    old = Path(path).read_text(encoding="utf-8")
    before, rest = old.split(BEGIN)
    whole = f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"
    Path(path).write_text(whole, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clean", type=int, default=50)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--write", metavar="FILE")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rows: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for fault in FAULTS:
            rows[fault] = [make(n, fault, Path(folder)) for n in range(args.each)]
        rows["nothing"] = [make(n, None, Path(folder)) for n in range(args.clean)]
    text = report(rows)
    print(text)
    if args.write:
        write(args.write, text)


if __name__ == "__main__":
    main()
