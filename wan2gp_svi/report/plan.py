"""A plan as people and programs read it: the windows of a video, and which words hold when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wan2gp_svi.svi.schedule import Segment, delivered
from wan2gp_svi.svi.windows import Window

MOST = 24
"""Lines of windows that a table shows at most."""
WORDS = 72
"""Characters of a prompt that a shortened table shows."""
LEAST = (6, 9, 13, 15, 10)
"""Widths of the columns, but the last, where nothing needs more."""


def describe(window: Window, segments: Sequence[Segment]) -> dict[str, Any]:
    """A window as plain values; frames and latents count from 1, as people do."""
    start, end = window.seconds
    return {
        "window": window.index,
        "generates": window.frames,
        "latents": window.latents,
        "motion_latents": window.motion_latents,
        "dropped": window.drop_front,
        "discarded": window.discard,
        "delivers": window.adds,
        "first_frame": window.start + 1,
        "last_frame": window.stop,
        "start_seconds": round(start, 4),
        "end_seconds": round(end, 4),
        "seed": window.seed,
        "anchor": window.anchor,
        "words": [
            {
                "text": segment.words,
                "first_frame": delivered(window, segment)[0],
                "last_frame": delivered(window, segment)[1],
                "start_seconds": round(segment.start_seconds, 4),
                "end_seconds": round(segment.stop_seconds, 4),
                "first_latent": segment.first_latent + 1,
                "last_latent": segment.stop_latent,
            }
            for segment in segments
        ],
    }


def described(
    asked: int, windows: Sequence[Window], segments: Sequence[Sequence[Segment]]
) -> dict[str, Any]:
    """The plan for `asked` frames as plain values: what `plan --json` prints, plan.json holds."""
    described_windows = [describe(*pair) for pair in zip(windows, segments, strict=True)]
    return {"asked": asked, "delivered": windows[-1].stop, "windows": described_windows}


def table(plan: dict[str, Any]) -> list[str]:
    """The plan as lines of text.

    Of more than MOST windows, those in a row that only go on counting share a line; where that is
    still too long, the middle is left out and said to be.
    """
    windows = plan["windows"]
    seconds = windows[-1]["end_seconds"] - windows[0]["start_seconds"]
    delivered = windows[-1]["last_frame"] - windows[0]["first_frame"] + 1
    count = "1 window" if len(windows) == 1 else f"{len(windows)} windows"
    long = len(windows) > MOST
    groups = _alike(windows) if long else [[window] for window in windows]
    gone = groups[MOST * 2 // 3 : -(MOST // 3)] if len(groups) > MOST else []
    rows: list[tuple[str, ...]] = [
        ("window", "generates", "frames", "time" if long else "seconds", "seed", "anchor")
    ]
    for group in groups:
        if gone and group is gone[0]:
            rows.append((f"... windows {group[0]['window']} to {gone[-1][-1]['window']}: --json",))
        if not any(group is other for other in gone):
            rows += _rows(group, long)
    columns = list(zip(*(row[:-1] for row in rows if len(row) == len(rows[0])), strict=True))
    widths = [max(least, *map(len, column)) for least, column in zip(LEAST, columns, strict=True)]
    lines = [f"{plan['asked']} frames asked: {delivered} in {count}, {_length(seconds)}"]
    for *cells, end in rows:
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))
        lines.append("  ".join([*padded, end]))
    return [*lines, *(f"Note: {note}." for note in plan.get("notes", ()))]


def _alike(windows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Windows in a row that differ only in where they stand and by an equal step in their seeds."""
    groups: list[list[dict[str, Any]]] = []
    for window in windows:
        group = groups[-1] if groups else []
        if group and _kind(group[0]) == _kind(window):
            step = group[1]["seed"] - group[0]["seed"] if len(group) > 1 else None
            if step in (None, window["seed"] - group[-1]["seed"]):
                group.append(window)
                continue
        groups.append([window])
    return groups


def _kind(window: dict[str, Any]) -> tuple[Any, ...]:
    words = ((part["text"], part["start_seconds"], part["end_seconds"]) for part in window["words"])
    return (window["generates"], window["delivers"], window["anchor"], *words)


def _rows(group: Sequence[dict[str, Any]], long: bool) -> Iterator[tuple[str, ...]]:
    """A window's row, or that of several, and one for each of its words."""
    first, last = group[0], group[-1]
    show = clock if long else "{:.2f}".format
    numbers, seeds = str(first["window"]), str(first["seed"])
    if len(group) > 1:
        numbers += f"-{last['window']}"
        step = group[1]["seed"] - first["seed"]
        seeds += f" +{step} each" if step else ""
    yield (
        numbers,
        str(first["generates"]),
        f"{first['first_frame']}-{last['last_frame']}",
        f"{show(first['start_seconds'])}-{show(last['end_seconds'])}",
        seeds,
        "none" if first["anchor"] is None else str(first["anchor"] or "start image"),
    )
    for words in first["words"]:
        if words["text"]:
            text = " ".join(words["text"].split())
            if long and len(text) > WORDS:
                text = text[: WORDS - 3] + "..."
            frames = f"{words['first_frame']}-{words['last_frame']}"
            when = f"{words['start_seconds']:.2f}-{words['end_seconds']:.2f} s"
            yield "", "", "each" if len(group) > 1 else frames, when, text


def clock(seconds: float) -> str:
    """35992.56 -> "9:59:52.56"."""
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:05.2f}" if hours else f"{minutes}:{rest:05.2f}"


def _length(seconds: float) -> str:
    """A length as people say it."""
    if seconds < 120:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return " ".join([*([f"{hours} h"] if hours else []), f"{minutes} min", f"{rest} s"])
