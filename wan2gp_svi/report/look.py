"""The drift report of one video, as a picture and as lines: for whoever shows both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from wan2gp_svi.errors import UserError
from wan2gp_svi.report import told


def looked_at(
    video: Path, tick: Callable[[int, int | None], object]
) -> tuple[np.ndarray, list[str]]:
    """The picture (H, W, 3), uint8, and the verdict's lines.

    `tick` is told how many frames are done, and of how many (None: the file does not say). Raises
    UserError where packages are missing, or there is no frame.
    """
    told.check_packages(told.NEEDED | told.FOR_PLOT)
    from wan2gp_svi.report.drift import gather
    from wan2gp_svi.report.sheet_of_drift import draw
    from wan2gp_svi.report.verdict import verdict
    from wan2gp_svi.report.windows import windows_of
    from wan2gp_svi.video.frames import read

    shape, frames = read(video)
    windows = windows_of(video)
    done = 0

    def one() -> None:
        nonlocal done
        done += 1
        if done % 8 == 0:
            tick(done, max(shape.frames, done) if shape.frames else None)

    gathered = gather(frames, shape.fps, windows, one)
    if not gathered.frames:
        raise UserError(f"There is not one frame in {video.name}.")
    judged = verdict(gathered, windows)
    about = told.about(video, shape, gathered)
    figure = draw(gathered, judged, about)
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    return picture, told.told(judged, about, windows.source)
