"""A video looked at from end to end, once: for the command, WanGP's page and its console."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wan2gp_svi.errors import UserError
from wan2gp_svi.report import told

if TYPE_CHECKING:
    import numpy as np

    from wan2gp_svi.report.drift import Gathered
    from wan2gp_svi.report.verdict import Verdict
    from wan2gp_svi.report.windows import Windows
    from wan2gp_svi.video.frames import Shape

Tick = Callable[[int, "int | None"], object]
"""Told after each frame how many are done, and of how many (None: the file does not say)."""


class Looked(NamedTuple):
    """What was seen of a video, and what it comes to."""

    shape: Shape
    windows: Windows
    gathered: Gathered
    judged: Verdict


def look(video: Path, tick: Tick = lambda done, of: None, window: int | None = None) -> Looked:
    """Read a video; `window` is the frames of a window, where the user says so.

    Raises UserError where packages are missing, it is no video, or there is no frame.
    """
    told.check_packages(told.NEEDED)
    from wan2gp_svi.report.drift import gather
    from wan2gp_svi.report.verdict import verdict
    from wan2gp_svi.report.windows import windows_of
    from wan2gp_svi.video.frames import read

    shape, frames = read(video)
    windows = windows_of(video, window)
    done = 0

    def one() -> None:
        nonlocal done
        done += 1
        tick(done, max(shape.frames, done) if shape.frames else None)

    gathered = gather(frames, shape.fps, windows, one)
    if not gathered.frames:
        raise UserError(f"There is not one frame in {video.name}.")
    return Looked(shape, windows, gathered, verdict(gathered, windows))


def looked_at(video: Path, tick: Tick) -> tuple[np.ndarray, list[str]]:
    """The report's picture (H, W, 3), uint8, and the verdict's lines; `tick` at every 8th frame.

    Raises UserError as `look` does.
    """
    told.check_packages(told.NEEDED | told.FOR_PLOT)
    import numpy as np

    from wan2gp_svi.report.sheet_of_drift import draw

    seen = look(video, lambda done, of: done % 8 or tick(done, of))
    about = told.about(video, seen.shape, seen.gathered)
    figure = draw(seen.gathered, seen.judged, about)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    return picture, told.told(seen.judged, about, seen.windows.source)


def one_line(video: str | Path) -> str:
    """The verdict of a video in one line, for WanGP's console; "" where none can be given.

    It never raises: a report must not cost anybody their video.
    """
    try:
        return look(Path(video)).judged.line
    except Exception:
        return ""
