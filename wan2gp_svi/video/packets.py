"""A video file as compressed frames: which kind they are, and where each of them is shown.

A packet is one compressed frame. Packets come in decoding order; a frame that others refer to comes
before them, so the numbers of the frames (0 is the first one shown) do not simply rise. A run of
packets that holds the frames a..b-1 and no other can be played without any that follow: such a run
is called a unit here, and a film may be cut behind each of them (ISO/IEC 14496-10, section 3: a
picture refers to pictures that precede it in decoding order).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from wan2gp_svi.errors import UserError

TOLERANCE = 0.2  # of a frame: Matroska rounds times to milliseconds
REORDER = 64  # more frames than any codec holds back (H.264 and H.265 allow 16)
Packet = Any  # av.Packet; PyAV's types differ between the versions that WanGP's users have


class NotAlike(Exception):
    """These packets cannot stand beside others: the reason, to follow "the video ..."."""


@dataclass(frozen=True)
class Stream:
    """What must be the same for packets of two files to stand in one."""

    codec: str
    width: int
    height: int
    pixels: str | None
    header: bytes  # the codec's parameter sets; decoders get them once, before all packets

    def difference(self, other: Stream) -> str | None:
        """Why packets of `other` cannot follow, in words; None when they can."""
        if self.codec != other.codec:
            return f"is {other.codec}, not {self.codec}"
        if (self.width, self.height) != (other.width, other.height):
            return f"is {other.width}x{other.height}, not {self.width}x{self.height}"
        if self.pixels != other.pixels:
            return f"has pixels of the kind {other.pixels}, not {self.pixels}"
        if self.header != other.header:
            return "was encoded at another rate or quality, or by another version of the encoder"
        return None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file at `path` for reading. Raises UserError when it is no video that can be read."""
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if not path.is_file():
            raise UserError(f"There is no video {path}.") from error
        raise UserError(
            f"{path} cannot be read as a video ({_words(error)}). It is damaged or not a video;"
            " nothing was changed."
        ) from error
    with container:
        if not container.streams.video:
            raise UserError(f"{path} has no pictures; nothing was changed.")
        yield container


def describe(container: Any) -> Stream:
    """Of the first stream of pictures in an opened file."""
    context = container.streams.video[0].codec_context
    return Stream(
        codec=context.name,
        width=context.width,
        height=context.height,
        pixels=context.pix_fmt,
        header=bytes(context.extradata or b""),
    )


def units(container: Any, rate: Fraction) -> Iterator[list[tuple[int, Packet]]]:
    """All compressed frames at `rate` frames a second, in decoding order, cut into units.

    Each is (number of the frame, packet). Raises NotAlike when the frames do not follow each other
    at that rate without gap, and UserError when the file is damaged; what was yielded is good.
    """
    stream = container.streams.video[0]
    origin = stream.start_time or 0
    unit: list[tuple[int, Packet]] = []
    done = 0  # frames yielded
    seen: set[int] = set()
    try:
        for packet in container.demux(stream):
            if not packet.size:  # PyAV's sign for the end
                continue
            if packet.is_corrupt:
                raise damaged(container, done)
            if packet.pts is None:
                raise NotAlike("does not say when its frames are shown")
            time = (packet.pts - origin) * packet.time_base * rate
            number = round(time)
            if abs(time - number) > TOLERANCE or number < done or number in seen:
                raise NotAlike(f"does not have {_plain(rate)} frames a second throughout")
            seen.add(number)
            unit.append((number, packet))
            if len(seen) > REORDER:
                raise NotAlike(f"does not have {_plain(rate)} frames a second throughout")
            if max(seen) == done + len(seen) - 1:
                yield unit
                done, unit = done + len(unit), []
                seen.clear()
    except av.error.FFmpegError as error:
        raise damaged(container, done, error) from error
    if unit:
        raise NotAlike(f"does not have {_plain(rate)} frames a second throughout")


def damaged(container: Any, done: int, error: Exception | None = None) -> UserError:
    """What to say of an opened file of which only the first `done` frames can be read."""
    why = f" ({_words(error)})" if error else ""
    return UserError(
        f"{container.name} is damaged after frame {done}{why}. Choose an earlier video to continue,"
        " or cut this one before that frame; nothing was changed."
    )


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _plain(rate: Fraction) -> str:
    return f"{float(rate):.5g}"
