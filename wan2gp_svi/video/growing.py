"""A video file that only ever grows at its end, and plays at any moment, also after a kill.

A finished MP4 or MKV has one index of all its frames, so to add frames means to write it anew. The
form here has none: a head with the codec's parameter sets, then fragments, each with the index of
its own frames (MP4: movie fragments, ISO/IEC 14496-12, section 8.8; MKV: clusters in a segment of
unknown size, RFC 9559, sections 5.1 and 25). Browsers and players read it like any other.

A fragment is written *inside an empty element* (MP4: `free`, MKV: `Void`), which players skip. When
all of it is on the disk, that element's size is set to nothing, in one write of a few bytes: from
then on the fragment is part of the film. So a killed writer leaves the film as it was before.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from wan2gp_svi.video.packets import NotAlike, Packet

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
# WanGP's settings go into the comment (mutagen for MP4): with room there they are written in place.
ROOM_FOR_COMMENT = 10_000
_FRAGMENTS = "frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer"
_OPTIONS = {
    "mp4": {"movflags": f"{_FRAGMENTS}+negative_cts_offsets"},
    "mov": {"movflags": f"{_FRAGMENTS}+negative_cts_offsets"},
    "matroska": {"live": "1"},
}


def begin(path: Path, like: Any, form: str, rate: Fraction) -> None:
    """Writes the head of a film whose packets are like those of `like`, an opened file."""
    sink, container, _ = _muxer(like, form, rate, 1)
    path.write_bytes(sink.head)
    container.close()


def append(
    path: Path,
    like: Any,
    form: str,
    rate: Fraction,
    packets: Sequence[tuple[int, Packet]],
    first: int,
    delay: int,
    number: int,
) -> None:
    """Adds one fragment, which players see whole or not at all.

    `packets` are (frame's number in `like`, packet) in decoding order, a unit or more; they become
    the film's frames from `first` on. `delay` (frames) is how long the film's decoder may hold a
    frame back; `number` counts the fragments from 1. Raises NotAlike when a frame would come later
    than `delay` allows, OSError as the system does; the film is then as it was.
    """
    fragment = _fragment(like, form, rate, packets, first, delay, number)
    with path.open("r+b") as file:
        start = file.seek(0, os.SEEK_END)
        try:
            file.write(_empty_element(form, len(fragment)))
            file.truncate(file.tell() + len(fragment))  # the element never ends behind the file
            file.write(fragment)
            _to_disk(file)
        except BaseException:
            file.truncate(start)
            raise
        file.seek(start)
        file.write(_empty_element(form, 0))
        _to_disk(file)


class _Sink:
    """Where the muxer writes: its head apart from what follows."""

    def __init__(self) -> None:
        self.head = b""
        self.body = bytearray()

    def write(self, data: bytes) -> int:
        self.body += data
        return len(data)

    def head_is_whole(self) -> None:
        self.head, self.body = bytes(self.body), bytearray()


def _muxer(like: Any, form: str, rate: Fraction, number: int) -> tuple[_Sink, Any, Any]:
    options = dict(_OPTIONS[form])
    if form != "matroska":
        options["fragment_index"] = str(number)
    sink = _Sink()
    container = av.open(sink, "w", format=form, options=options)
    stream = add_stream(container, like.streams.video[0], rate)
    container.metadata["comment"] = " " * ROOM_FOR_COMMENT
    container.start_encoding()
    sink.head_is_whole()
    return sink, container, stream


def _fragment(
    like: Any,
    form: str,
    rate: Fraction,
    packets: Sequence[tuple[int, Packet]],
    first: int,
    delay: int,
    number: int,
) -> bytes:
    sink, container, stream = _muxer(like, form, rate, number)
    with container:
        origin = min(frame for frame, _ in packets)
        for place, (frame, packet) in enumerate(packets):
            shown, decoded = first + frame - origin, first + place - delay
            if shown < decoded:
                raise NotAlike("holds its frames back for longer")
            put(container, stream, packet, shown, decoded, rate)
    return bytes(sink.body)


def add_stream(container: Any, like: Any, rate: Fraction) -> Any:
    """A stream in `container` for packets like those of the stream `like`."""
    stream = container.add_stream_from_template(like, opaque=True)  # as it is: no encoder is opened
    stream.time_base = 1 / rate
    return stream


def put(
    container: Any, stream: Any, packet: Packet, shown: int, decoded: int, rate: Fraction
) -> None:
    """Writes one packet whose frame is number `shown`, decoded at the time of frame `decoded`."""
    packet.stream = stream
    packet.time_base = 1 / rate
    packet.pts, packet.dts, packet.duration = shown, decoded, 1
    container.mux_one(packet)


def _empty_element(form: str, size: int) -> bytes:
    """The start of an element that players skip, with `size` bytes in it."""
    if form == "matroska":
        return b"\xec" + ((1 << 56) + size).to_bytes(8, "big")
    return struct.pack(">I4sQ", 1, b"free", 16 + size)  # 1: the size follows, in eight bytes


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
