"""The sound of a finished video, cut where its pictures end.

ffmpeg's `-shortest` stops a sound that is encoded along with copied pictures some packets late: up
to a fifth of a second of speech behind the last frame. Here packets behind the end are left out and
the last one is given the samples that are left of it, which a MOV or MP4 file holds to the sample
(ISO/IEC 14496-12, 8.6.1.2: the time-to-sample table). Nothing is encoded again.
"""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole
from wan2gp_svi.video.packets import opened

ENDINGS = (".mp4", ".mov")


def end_with_pictures(path: Path) -> None:
    """Cut all sound tracks of the file at `path` to the length of its pictures.

    A file of another kind than ENDINGS stays as it is, as does one without sound. Raises UserError
    where the file cannot be read, OSError where it cannot be written; then it is as it was.
    """
    if path.suffix.lower() not in ENDINGS:
        return
    with opened(path) as file:
        pictures, sounds = file.streams.video[0], list(file.streams.audio)
        if not sounds:
            return
        end = Fraction(pictures.duration or 0) * pictures.time_base
    # The muxer goes by the name's ending, which the name of a file that is not whole has not.
    with whole(path) as part:
        made = part.with_suffix(path.suffix)
        try:
            _cut(path, made, end)
            shutil.move(made, part)
        except av.error.FFmpegError as error:
            raise UserError(f"The sound of {path.name} could not be cut: {error}.", 1) from error
        finally:
            made.unlink(missing_ok=True)


def _cut(path: Path, made: Path, end: Fraction) -> None:
    """Copy the packets of a file, those of sound up to `end` seconds."""
    with av.open(str(path)) as file, av.open(str(made), "w") as out:
        for name, value in file.metadata.items():
            out.metadata[name] = value
        kept = [*file.streams.video, *file.streams.audio]
        streams = {stream.index: out.add_stream_from_template(stream) for stream in kept}
        for packet in file.demux(*kept):
            if not packet.size or packet.pts is None:
                continue
            if packet.stream.type == "audio":
                left = round(end / packet.time_base) - packet.pts
                if left <= 0:
                    continue
                packet.duration = min(packet.duration, left)
            packet.stream = streams[packet.stream.index]
            out.mux(packet)
