"""The verdict on a video, told as lines for a terminal; and what a report needs."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from wan2gp_svi.errors import UserError

if TYPE_CHECKING:
    from wan2gp_svi.report.drift import Gathered
    from wan2gp_svi.report.verdict import Verdict
    from wan2gp_svi.video.frames import Shape

NEEDED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "av": "av",
    "tqdm": "tqdm",
}
FOR_PLOT = {"matplotlib": "matplotlib"}


def told(judged: Verdict, about: str, source: str) -> list[str]:
    """The verdict, as lines for a terminal."""
    lines = [about, ""]
    if judged.holds:
        lines.append("The video holds: nothing is out of line.")
    for finding in judged.findings:
        text = finding.text[0].upper() + finding.text[1:] + "."
        lines += textwrap.wrap(text, 96, initial_indent="- ", subsequent_indent="  ")
        lines.append(f"  What helps: {finding.guide} (docs/guide.md)")
    lines += [""] if judged.notes else []
    for note in judged.notes:
        text = f"Note: {note}."
        lines += textwrap.wrap(text, 98, subsequent_indent="  ")
    return [*lines, "", *textwrap.wrap(source[0].upper() + source[1:] + ".", 98)]


def about(video: Path, shape: Shape, gathered: Gathered) -> str:
    """A video in one line: its name, size and length."""
    seconds, count = gathered.frames / gathered.fps, len(gathered.spans)
    return (
        f"{video.name}: {shape.width}x{shape.height}, {gathered.frames} frames,"
        f" {seconds:.1f} s, {count} window{'s' if count > 1 else ''}"
    )


def check_packages(needed: dict[str, str]) -> None:
    """Raises `UserError` that names what is missing and how to get it."""
    missing = [package for name, package in needed.items() if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"The drift report needs packages that are not here: {', '.join(missing)}. In WanGP's"
            " own Python they are: run it by install.bat or install.sh from WanGP's folder; or"
            " install this project with its extra, pip install '.[report]'."
        )
