"""`wan2gp-svi drift`: whether a long video held, where it did not, and what helps."""

from __future__ import annotations

import argparse
import importlib.util
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole

if TYPE_CHECKING:
    from wan2gp_svi.report.verdict import Verdict

NEEDED = {
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "av": "av",
    "tqdm": "tqdm",
}
FOR_PLOT = {"matplotlib": "matplotlib"}


def drift(args: argparse.Namespace) -> int:
    """Read the video once, print the verdict, write what is asked for."""
    check_packages(NEEDED | (FOR_PLOT if args.plot else {}))
    video = Path(args.video)
    for name in (args.json, args.plot):
        if name and not Path(name).absolute().parent.is_dir():
            raise UserError(f"There is no folder {Path(name).absolute().parent} to write to.")
    if args.plot and Path(args.plot).suffix.lower() != ".png":
        raise UserError(f"The picture is a PNG: name it so, as in {Path(args.plot).stem}.png.")

    from tqdm import tqdm

    from wan2gp_svi.report import verdict as verdicts
    from wan2gp_svi.report.drift import gather
    from wan2gp_svi.report.windows import windows_of
    from wan2gp_svi.video.frames import read

    shape, frames = read(video)
    windows = windows_of(video, args.window)
    with tqdm(total=shape.frames or None, unit=" frames", desc=video.name, disable=None) as bar:
        gathered = gather(frames, shape.fps, windows, bar.update)
    if not gathered.frames:
        raise UserError(f"There is not one frame in {video.name}.")
    judged = verdicts.verdict(gathered, windows)
    seconds, count = gathered.frames / gathered.fps, len(gathered.spans)
    about = (
        f"{video.name}: {shape.width}x{shape.height}, {gathered.frames} frames,"
        f" {seconds:.1f} s, {count} window{'s' if count > 1 else ''}"
    )
    print("\n".join(told(judged, about, windows.source)))
    if args.json:
        values = {
            "video": video.name,
            "width": shape.width,
            "height": shape.height,
            **verdicts.values(gathered, windows, judged),
        }
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        _write(Path(args.json), lambda part: part.write_text(text, encoding="utf-8"))
    if args.plot:
        from wan2gp_svi.report.sheet_of_drift import draw, save

        figure = draw(gathered, judged, about)
        _write(Path(args.plot), lambda part: save(figure, part))
        print(f"The picture: {args.plot}")
    return 0


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


def one_line(video: str | Path) -> str:
    """The verdict of a video in one line, for WanGP's console; "" where none can be given.

    It never raises: a report must not cost anybody their video.
    """
    try:
        check_packages(NEEDED)
        from wan2gp_svi.report.drift import gather
        from wan2gp_svi.report.verdict import verdict
        from wan2gp_svi.report.windows import windows_of
        from wan2gp_svi.video.frames import read

        shape, frames = read(video)
        windows = windows_of(Path(video))
        gathered = gather(frames, shape.fps, windows)
        return verdict(gathered, windows).line if gathered.frames else ""
    except Exception:
        return ""


def check_packages(needed: dict[str, str]) -> None:
    """Raises `UserError` that names what is missing and how to get it."""
    missing = [package for name, package in needed.items() if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f"The drift report needs packages that are not here: {', '.join(missing)}. In WanGP's"
            " own Python they are: run it by install.bat or install.sh from WanGP's folder; or"
            " install this project with its extra, pip install '.[report]'."
        )


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        with whole(path) as part:
            write(part)
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror or error}.", 1) from error
