"""The frames of a video of another size, rate or codec, a few at a time.

What is written must be of one kind. A video that is of another is decoded here, to be encoded once
more, with never more than a piece of it in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from typing import Any

import av
import numpy as np

from wan2gp_svi.errors import UserError
from wan2gp_svi.video.packets import damaged

PIECE = 64  # frames in memory


def pictures(
    container: Any, rate: Fraction, width: int, height: int, start: int = 0, stop: int | None = None
) -> Iterator[np.ndarray]:
    """Frames start..stop-1 of the film at `rate`, uint8 (up to PIECE, height, width, 3) each time.

    At another rate than the file's, frame i is the one whose time is nearest to i / rate.
    Raises UserError when the file is damaged, or ends before `stop`.
    """
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    if start:  # to the keyframe before it
        container.seek(
            (stream.start_time or 0) + int(start / rate / stream.time_base), stream=stream
        )
    piece: list[np.ndarray] = []
    wanted = 0  # the next frame of the film
    for frame, end in _lasting(container, stream, rate):
        while wanted < end and wanted != stop:
            if wanted >= start:
                piece.append(frame.to_ndarray(format="rgb24", width=width, height=height))
            wanted += 1
            if len(piece) == PIECE:
                yield np.stack(piece)
                piece = []
        if wanted == stop:
            break
    if piece:
        yield np.stack(piece)
    if stop is not None and wanted < stop:
        raise UserError(
            f"{container.name} has {wanted} frames at {float(rate):.5g} a second, and {stop} were"
            " asked for; nothing was changed."
        )


def _lasting(container: Any, stream: Any, rate: Fraction) -> Iterator[tuple[Any, int]]:
    """Each frame, and the first frame of the film that shows it no more."""
    origin = (stream.start_time or 0) * stream.time_base
    before = None
    begins = begun = Fraction(0)
    for frame in _decoded(container, stream):
        begins = (frame.pts * frame.time_base - origin) * rate
        if before is not None:
            yield before, ceil((begun + begins) / 2)
        before, begun = frame, begins
    if before is not None:
        lasts = (getattr(before, "duration", None) or 0) * before.time_base  # PyAV 15 and later
        yield before, max(round(begins + lasts * rate), 1)


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    read = 0
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise damaged(container, read)
            read += 1
            if frame.pts is not None:
                yield frame
    except (av.error.FFmpegError, OSError) as error:
        raise damaged(container, read, error) from error
