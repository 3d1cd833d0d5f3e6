"""What a drift report says: a verdict in words, and everything as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from wan2gp_svi.report.drift import ENDS, Gathered
from wan2gp_svi.report.windows import Windows
from wan2gp_svi.svi import faults as faulty
from wan2gp_svi.svi.drift import histogram_distance
from wan2gp_svi.svi.faults import Fault
from wan2gp_svi.svi.overlap import seam_is_of

GUIDE = "docs/guide.md"
SYMPTOM = 'Symptom, cause, setting: "{}"'
HELP = {
    "exposure": "colours drift",
    "saturation": "colours drift",
    "tint": "colours drift",
    "detail": "blur, artefacts that grow",
    "motion": "motion too slow, or frozen",
    "doubled": "a jump or a repeated moment at a join",
    "lost": "a jump or a repeated moment at a join",
    "jump": "a jump or a repeated moment at a join",
    "flash": "flashes at a join",
    "returns": "the picture falls back to the start image",
    "scene": "the place becomes another, little by little",
}
"""The line of the guide's table that helps, by kind of fault (tests hold them together)."""
MANY = 2
"""Events a window, away from joins, from which on they are the whole video's."""
TRUSTED = 0.5
"""Share of frames that must be comparable, or the report says what it could not judge."""


@dataclass(frozen=True)
class Finding:
    """One line of the verdict: what, where (seconds; windows from 1), how much, what helps."""

    kind: str
    text: str
    start_seconds: float
    stop_seconds: float
    size: float
    windows: tuple[int, int] | None
    joins: tuple[int, ...]
    guide: str


@dataclass(frozen=True)
class Verdict:
    """`findings` are faults; `notes` are what was seen and is no fault, or could not be judged."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def holds(self) -> bool:
        return not self.findings

    @property
    def line(self) -> str:
        """The verdict in one line, for a console."""
        if self.holds:
            return "The video holds."
        texts = [finding.text for finding in self.findings]
        more = f"; and {len(texts) - 3} more" if len(texts) > 3 else ""
        line = "; ".join(texts[:3]) + more + "."
        return line[0].upper() + line[1:]


def verdict(gathered: Gathered, windows: Windows) -> Verdict:
    """Judge what was gathered."""
    found = faulty.faults(gathered.series, gathered.spans, gathered.changed)
    drifts = [f for f in found if f.kind in faulty.DRIFT]
    findings = [_drift(f, gathered) for f in drifts]
    notes: list[str] = []
    for fault in found:
        if fault.kind == "scene":
            findings.append(_scene(fault, gathered))
        elif fault.kind == "returns":
            findings.append(_returns(fault, gathered))
    for kind in faulty.EVENTS:
        at_joins = [f for f in found if f.kind == kind and f.join is not None]
        inside = [f for f in found if f.kind == kind and f.join is None]
        if len(inside) > MANY * len(gathered.spans):  # of the whole video, not of its joins
            every = gathered.frames / (len(inside) + len(at_joins))
            at_joins, inside = [], [f for f in found if f.kind == kind]
            findings.append(_event(kind, inside, gathered, windows, round(every)))
            continue
        if at_joins:
            findings.append(_event(kind, at_joins, gathered, windows))
        if not inside:
            continue
        if kind in ("doubled", "lost") and not windows.known:
            findings.append(_event(kind, inside, gathered, windows))
        else:
            notes.append(
                f"{_named(kind, inside, gathered)}, inside a window: the scene's, the encoder's,"
                " or that of a join which is not known"
            )
    notes += _notes(gathered, windows)
    return Verdict(tuple(findings), tuple(notes), tuple(found))


# -- words ----------------------------------------------------------------------------------------


def _drift(fault: Fault, gathered: Gathered) -> Finding:
    assert fault.windows is not None
    first, last = fault.windows
    fps, spans = gathered.fps, gathered.spans
    window = sum(b - a for a, b in spans) / len(spans)
    each = fault.size / max((fault.stop - fault.start) / window, 1e-9)
    whole, by = math.expm1(fault.size), math.expm1(each)
    since = (
        f"from window {first + 1} on"
        if last >= len(spans) - 1
        else (f"from window {first + 1} to {last + 1}")
    )
    if len(spans) == 1:
        since = f"from {fault.start / fps:.1f} s on"
    much = f"by {_percent(by)} a window {since} ({_percent(whole)} in all)"
    if fault.kind == "exposure":
        text = f"the picture grows {'brighter' if whole > 0 else 'darker'} {much}"
    elif fault.kind == "saturation":
        text = f"saturation {'rises' if whole > 0 else 'falls'} {much}"
    elif fault.kind == "tint":
        text = f"colours shift towards {_hue(fault, gathered)} {since}"
    elif fault.kind == "detail":
        how = "the picture blurs: detail falls" if whole < 0 else "detail grows (grain, artefacts)"
        text = f"{how} {much}"
    else:
        text = f"motion slows down {since}, to {_percent(math.exp(fault.size))} of what it was"
    return Finding(
        fault.kind,
        text,
        fault.start / fps,
        fault.stop / fps,
        round(fault.size, 4),
        (first + 1, last + 1),
        (),
        SYMPTOM.format(HELP[fault.kind]),
    )


def _hue(fault: Fault, gathered: Gathered) -> str:
    """Where the tint goes: the nearest of six names, by its direction in u (red), v (blue)."""
    sums = faulty.tracked(gathered.series)["tint"]
    du, dv = sums[min(fault.stop, len(sums)) - 1] - sums[fault.start]
    names = {
        "red": (1.0, 0.0),
        "magenta": (0.7, 0.7),
        "blue": (0.0, 1.0),
        "green": (-0.6, -0.8),
        "cyan": (-1.0, 0.3),
        "orange": (0.7, -0.7),
        "yellow": (0.2, -1.0),
    }
    return max(names, key=lambda n: (names[n][0] * du + names[n][1] * dv) / math.hypot(*names[n]))


def _scene(fault: Fault, gathered: Gathered) -> Finding:
    assert fault.windows is not None
    first, last = fault.windows
    return Finding(
        "scene",
        f"the place becomes another, little by little: by window {last + 1} next to nothing of"
        f" what rests is as it was in window {first + 1}",
        fault.start / gathered.fps,
        fault.stop / gathered.fps,
        round(fault.size, 4),
        (first + 1, last + 1),
        (),
        SYMPTOM.format(HELP["scene"]),
    )


def _returns(fault: Fault, gathered: Gathered) -> Finding:
    fps = gathered.fps
    return Finding(
        "returns",
        f"the picture falls back to its first composition again and again ({fault.size:.0f} times"
        f" from {fault.start / fps:.1f} s on)",
        fault.start / fps,
        fault.stop / fps,
        fault.size,
        None,
        (),
        SYMPTOM.format(HELP["returns"]),
    )


def _event(
    kind: str, events: Sequence[Fault], gathered: Gathered, windows: Windows, every: int = 0
) -> Finding:
    fps = gathered.fps
    worst = max(events, key=lambda f: abs(f.size))
    text = _named(kind, events, gathered)
    if every:
        what = {"doubled": "a frame is shown twice", "lost": "a frame is missing"}
        text = (
            f"{what.get(kind, f'there is a {kind}')} every {every} frames or so: was the video"
            " given another frame rate?"
        )
    elif kind == "jump":
        text += _whose(worst, gathered, windows)
    return Finding(
        kind,
        text,
        events[0].start / fps,
        events[-1].stop / fps,
        round(worst.size, 3),
        None,
        () if every else tuple(f.join + 1 for f in events if f.join is not None),
        SYMPTOM.format(HELP[kind]),
    )


def _named(kind: str, events: Sequence[Fault], gathered: Gathered) -> str:
    fps = gathered.fps
    worst = max(events, key=lambda f: abs(f.size))
    times = [f"{f.start / fps:.1f} s" for f in events]
    when = ", ".join(times[:4]) + (f" and {len(times) - 4} more" if len(times) > 4 else "")
    joins = all(f.join is not None for f in events)
    one = len(events) == 1
    place = ("the join at " if one else f"{len(events)} joins, at ") if joins else ""
    if kind == "doubled":
        count = sum(round(f.size) for f in events)
        shown = "a frame is" if count == 1 else f"{count} frames are"
        return f"{shown} shown twice at {place}{when}"
    if kind == "lost":
        count = sum(round(f.size) for f in events)
        gone = "a frame is" if count == 1 else f"{count} frames are"
        return f"{gone} missing at {place}{when}"
    if kind == "flash":
        what = "a flash" if worst.size > 0 else "a dark flash"
        much = f"{'' if one else 'up to '}{_percent(math.expm1(worst.size))}"
        return f"{what} of {much} at {place}{when}"
    much = f"{worst.size:.1f} times the usual step"
    if joins:
        start = f"the join at {when} jumps" if one else f"{len(events)} joins jump ({when}), up to"
        return f"{start} {much}"
    return f"the picture jumps at {when}, {much}"


def _whose(fault: Fault, gathered: Gathered, windows: Windows) -> str:
    """Whether the model or the decoder made a jump, where the bridge has noted the latter."""
    noted = (windows.apart or {}).get((fault.join or 0) + 1)
    if noted is None:
        return ""
    usual = float(gathered.series.difference[fault.start]) / max(fault.size, 1)
    whose = seam_is_of(float(gathered.series.difference[fault.start]) - usual, noted)
    return f" (made by the {whose})"


def _percent(share: float) -> str:
    value = abs(share) * 100
    return f"{value:.0f}%" if value >= 9.5 else f"{value:.1f}%"


def _notes(gathered: Gathered, windows: Windows) -> list[str]:
    series, fps = gathered.series, gathered.fps
    notes = []
    for frame in np.flatnonzero(faulty.cuts(series)):
        known = [
            k for k, (start, _) in enumerate(gathered.spans) if start and abs(start - frame) < 2
        ]
        why = (
            ", where prompt or anchor changes"
            if (known and windows.new_words(known[0] + 1))
            else ""
        )
        notes.append(f"another picture from {frame / fps:.1f} s on{why}: a cut is no drift")
    if len(notes) > 3:
        notes = [*notes[:3], f"and {len(notes) - 3} more cuts"]
    judged = float((series.d_exposure[1:] != 0).mean()) if len(series) > 1 else 0.0
    if judged < TRUSTED:
        notes.append(
            f"only {_percent(judged)} of the frames could be compared in brightness and colour"
            " (too dark, too bright, or too different)"
        )
    if len(series) > 1 and np.isnan(series.step).mean() > 1 - TRUSTED / 2:
        notes.append("little moves, so frames shown twice or missing would not be seen")
    return notes


# -- values ---------------------------------------------------------------------------------------


def values(gathered: Gathered, windows: Windows, judged: Verdict) -> dict[str, Any]:
    """Everything that was measured, as plain values; frames and windows count from 1."""
    series, fps = gathered.series, gathered.fps
    ratios, sums = faulty.seam_ratios(series), faulty.tracked(series)
    return {
        "frames": gathered.frames,
        "fps": fps,
        "seconds": round(gathered.frames / fps, 3),
        "holds": judged.holds,
        "verdict": judged.line,
        "findings": [{**asdict(f), "guide": f"{GUIDE}, {f.guide}"} for f in judged.findings],
        "notes": list(judged.notes),
        "windows_from": windows.source,
        "windows": [_window(k, gathered, windows, sums) for k in range(len(gathered.spans))],
        "joins": [
            {
                "window": k + 1,
                "seconds": round(start / fps, 3),
                "seam_ratio": round(float(ratios[start]), 3),
                "apart_levels": (windows.apart or {}).get(k + 1),
            }
            for k, (start, _) in enumerate(gathered.spans)
            if start
        ],
        "start_end": start_end(gathered),
        "drift_error": drift_error(gathered),
        "similarity": {str(d): round(v, 4) for d, v in gathered.similarity.items()},
        "flicker": round(float(255 - series.difference[1:].mean()) / 255, 5)
        if len(series) > 1
        else None,
    }


def _window(
    k: int, gathered: Gathered, windows: Windows, sums: dict[str, np.ndarray]
) -> dict[str, Any]:
    start, stop = gathered.spans[k]
    series, fps = gathered.series, gathered.fps

    def middle(column: np.ndarray, digits: int) -> Any:
        found = np.median(column[start:stop].astype(np.float64), axis=0)
        return np.round(found, digits).tolist()

    return {
        "window": k + 1,
        "first_frame": start + 1,
        "last_frame": stop,
        "start_seconds": round(start / fps, 3),
        "end_seconds": round(stop / fps, 3),
        "seed": windows.seeds[k] if k < len(windows.seeds) else None,
        "prompt": windows.prompts[k] if k < len(windows.prompts) else None,
        "anchor": windows.anchors[k] if k < len(windows.anchors) else None,
        "luma": middle(series.luma, 2),
        "saturation": middle(series.saturation, 2),
        "sharpness": middle(series.sharpness, 4),
        "exposure_change": middle(sums["exposure"], 4),
        "saturation_change": middle(sums["saturation"], 4),
        "tint_change": middle(sums["tint"], 4),
        "detail_change": middle(sums["detail"], 4),
        "speed": middle(series.speed, 4),
        "likeness_to_first": middle(series.to_first, 4),
        "resting_changed": round(gathered.changed[k], 4) if k < len(gathered.changed) else None,
    }


def start_end(gathered: Gathered) -> dict[str, float]:
    """|M(first 15%) - M(last 15%)| of each level (FramePack, arXiv 2504.12626); Lab histograms by
    their Bhattacharyya distance."""
    series, part = gathered.series, max(round(ENDS * gathered.frames), 1)
    found = {
        name: round(float(abs(column[:part].mean() - column[-part:].mean())), 4)
        for name in ("luma", "saturation", "sharpness")
        for column in [getattr(series, name)]
    }
    count = max(round(ENDS * len(gathered.histograms)), 1)
    first, last = (
        np.asarray(np.mean(part, axis=0), np.float32)
        for part in (gathered.histograms[:count], gathered.histograms[-count:])
    )
    return {**found, "histogram": round(histogram_distance(first, last), 4)}


def drift_error(gathered: Gathered) -> dict[str, float]:
    """Video drift error: the mean over windows i > 1 of |m_i - m_1| / m_1, for each level."""
    found = {}
    for name in ("luma", "saturation", "sharpness"):
        m = faulty.levels(getattr(gathered.series, name), gathered.spans)
        error = np.abs(m[1:] - m[0]).mean() / max(m[0], 1e-6) if len(m) > 1 else 0.0
        found[name] = round(float(error), 4)
    return found
