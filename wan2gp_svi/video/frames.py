"""The frames of a video file, one after the other: memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from wan2gp_svi.errors import UserError


@dataclass(frozen=True)
class Shape:
    """What the file says: pixels, frames a second, and about how many frames there are (0: it does
    not say); how many there really are, only reading tells."""

    width: int
    height: int
    fps: float
    frames: int


def read(path: str | Path) -> tuple[Shape, Iterator[np.ndarray]]:
    """The shape of a video, and its frames (H, W, 3), uint8, RGB, each as it was stored.

    No frame is repeated or left out to keep a rate. Raises `UserError` where there is no such file,
    or no video in it.
    """
    path = Path(path)
    container = _opened(path)
    container.streams.video[0].thread_type = "AUTO"
    return _shape(container), _frames(container, path.name)


def shape(path: str | Path) -> Shape:
    """The shape of a video alone; raises what `read` does."""
    with _opened(Path(path)) as container:
        return _shape(container)


def _opened(path: Path) -> av.container.InputContainer:
    if not path.is_file():
        raise UserError(f"There is no video {path}.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{path.name} is not a video that can be read.") from error
    if not container.streams.video or not container.streams.video[0].width:
        container.close()
        raise UserError(f"There is no picture in {path.name}.")
    return container


def _shape(container: av.container.InputContainer) -> Shape:
    stream = container.streams.video[0]
    fps = float(stream.average_rate or 0) or 16.0
    frames = stream.frames or round((container.duration or 0) / 1_000_000 * fps)
    return Shape(stream.width, stream.height, fps, frames)


def _frames(container: av.container.InputContainer, name: str) -> Iterator[np.ndarray]:
    with container:
        try:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
        except av.FFmpegError as error:
            raise UserError(f"{name} is damaged: {error.strerror}.", 1) from error
