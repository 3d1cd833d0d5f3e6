"""A plan as people and programs read it: the windows of a video, and which words hold when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wan2gp_svi.svi.schedule import Segment, delivered
from wan2gp_svi.svi.windows import Window


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
    """The plan as lines of text."""
    windows = plan["windows"]
    delivered = windows[-1]["last_frame"] - windows[0]["first_frame"] + 1
    count = "1 window" if len(windows) == 1 else f"{len(windows)} windows"
    lines = [
        f"{plan['asked']} frames asked: {delivered} in {count}",
        f"{'window':>6}  {'generates':>9}  {'frames':>13}  {'seconds':>15}  {'seed':>10}  anchor",
    ]
    for window in windows:
        frames = f"{window['first_frame']}-{window['last_frame']}"
        seconds = f"{window['start_seconds']:.2f}-{window['end_seconds']:.2f}"
        anchor = window["anchor"] or "start image"
        lines.append(
            f"{window['window']:>6}  {window['generates']:>9}  {frames:>13}  {seconds:>15}"
            f"  {window['seed']:>10}  {anchor}"
        )
        for words in window["words"]:
            if words["text"]:
                frames = f"{words['first_frame']}-{words['last_frame']}"
                when = f"{words['start_seconds']:.2f}-{words['end_seconds']:.2f} s"
                lines.append(f"{'':>19}{frames:>13}  {when:>15}  {words['text']}")
    return lines
