"""A film written window by window: every frame is compressed once, and it plays after each window.

A window's frames are encoded alone, into a part: a small file that begins with a keyframe. Its
packets are copied behind what is there already (growing.py), so a window costs the same however
long the film is. The film so far lies in a hidden folder; what is shown is a second name of the
same file (a hard link), so nothing is copied for that either. When the last window is in, the
packets are copied once more, into a file with one index, as WanGP writes them.

To continue a video, its packets are copied; it is encoded again only if it is of another kind than
the windows are (size, rate, codec, settings of the codec), and then a piece at a time.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole
from wan2gp_svi.video import growing
from wan2gp_svi.video.convert import pictures
from wan2gp_svi.video.encode import Encode
from wan2gp_svi.video.packets import NotAlike, Packet, Stream, describe, opened, units

Pieces = Callable[[int, int | None], Iterator[np.ndarray]]
"""The frames from one on up to another (None: to the end), uint8 (F, H, W, 3) each time."""
MAKING = ".svi-making-"  # how the hidden folder's name begins
FORGOTTEN = 24 * 3600  # seconds: a hidden folder that nobody wrote to for so long is a dead run's
FRAGMENT = 480, 32 << 20  # frames, bytes of a continued video that are copied at a time
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LITTLE = 1 << 20  # bytes: a disk with less is full


class Writer:
    """Grows a film that is to stand in `folder`.

    `ending` names the container (.mp4, .mov, .mkv), `rate` is frames a second, and `encode` writes
    a window's frames to a path with that ending (encode.py, or WanGP's own). `source` is a video to
    continue, of which the first `kept` frames are taken (None: all of them). `pieces` reads its
    frames from one on up to another, a few at a time, where they have to be encoded again (None:
    convert.py does). `close` when done.
    """

    def __init__(
        self,
        folder: Path,
        ending: str,
        rate: Fraction | float,
        encode: Encode,
        source: Path | None = None,
        kept: int | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        if ending not in growing.FORMATS:
            raise UserError(
                f"{ending} is no ending of a video that can be written; choose from"
                f" {', '.join(growing.FORMATS)}."
            )
        self.rate = Fraction(rate).limit_denominator(1001)
        self.frames = 0  # in the film so far, those of the source included
        self.converted: str | None = None  # why the source had to be encoded again
        self._folder, self._ending, self._encode = folder, ending, encode
        self._form = growing.FORMATS[ending]
        self._source, self._kept, self._pieces = source, kept, pieces
        self.room = folder / f"{MAKING}{uuid.uuid4().hex}"  # hidden; parts may be kept there
        self._film = self.room / "film"
        self._begun = False
        self._fragments = 0
        self._delay = 0  # frames a decoder may hold back
        _forget(folder)

    def add(self, frames: np.ndarray, keep: Path | None = None) -> int:
        """Adds a window's frames, (F, H, W, 3), and returns how many the film has now.

        `keep` is where the window's own part is to stay. Raises UserError, the film being as it was
        before, when the disk is full, the encoder fails, or the source is damaged.
        """
        try:
            self.room.mkdir(exist_ok=True)
            with self._part(frames, "window") as (part, like, packets):
                if not self._begun:
                    self._begin(like, packets)
                try:
                    self._append(like, packets)
                except PermissionError:  # Windows: a player holds the film and lets nobody write
                    self._begin_anew(like, packets)
                    self._append(like, packets)
            if keep is not None:
                part.replace(keep)
        except OSError as error:
            raise self._refusal(error) from error
        finally:
            (self.room / f"window{self._ending}").unlink(missing_ok=True)
        return self.frames

    def show(self, target: Path) -> None:
        """Gives the film so far the name `target` too; whatever is added shows there as well."""
        try:
            with whole(target) as name:
                try:
                    os.link(self._film, name)
                except OSError:  # a drive without hard links (exFAT, some network drives)
                    shutil.copyfile(self._film, name)
        except OSError as error:
            raise self._refusal(error) from error

    def finish(self, target: Path) -> str | None:
        """Writes the film to `target` as WanGP would have: one index, behind the frames.

        Should that fail, the film as it grew stands there, which plays as well, and what to tell
        the user is returned.
        """
        try:
            with whole(target) as part, opened(self._film) as film:
                self._rewrite(film, part)
        except (OSError, av.error.FFmpegError, UserError, NotAlike) as error:
            if not self.is_growing(target):
                self.show(target)
            return f"{target} plays, but could not be put into its final form ({error})."
        return None

    def is_growing(self, path: Path) -> bool:
        """Whether what stands at `path` is the film as it grows, not a finished one."""
        return path.exists() and self._film.exists() and path.samefile(self._film)

    def close(self) -> None:
        """Takes the hidden folder away; what was shown or finished stays."""
        shutil.rmtree(self.room, ignore_errors=True)

    @contextmanager
    def _part(
        self, frames: np.ndarray, name: str
    ) -> Iterator[tuple[Path, Any, list[tuple[int, Packet]]]]:
        """The frames encoded alone: the file, the same opened, and all its packets."""
        path = self.room / f"{name}{self._ending}"
        path.unlink(missing_ok=True)
        self._encode(frames, path)
        with ExitStack() as stack:
            try:
                like = stack.enter_context(opened(path))
                packets = [pair for unit in units(like, self.rate) for pair in unit]
            except (UserError, NotAlike) as error:
                raise OSError("the encoder stopped") from error
            if len(packets) != len(frames):
                raise OSError(f"the encoder wrote {len(packets)} of {len(frames)} frames")
            yield path, like, packets

    def _begin(self, like: Any, packets: list[tuple[int, Packet]]) -> None:
        """The film as it is before the first window: its head, and the source."""
        held_back = max(place - frame for place, (frame, _) in enumerate(packets))
        reorders = like.streams.video[0].codec_context.has_b_frames
        self._delay = max(held_back, 2 if reorders else 0)
        wanted = describe(like)
        try:
            self._restart(like)
            try:
                self._copy(wanted)
            except NotAlike as reason:
                self._restart(like)
                self.converted = str(reason)
                self._convert(wanted)
        except BaseException:
            self._film.unlink(missing_ok=True)
            self.frames = 0
            raise
        self._begun = True

    def _begin_anew(self, like: Any, packets: list[tuple[int, Packet]]) -> None:
        """The same film in a file of its own."""
        before = self._film, self.frames, self._fragments
        self._source, self._kept, self._pieces = self._film, self.frames, None
        self._film = self.room / f"film-{uuid.uuid4().hex}"
        try:
            self._begin(like, packets)
        except BaseException:
            self._film, self.frames, self._fragments = before
            raise

    def _restart(self, like: Any) -> None:
        growing.begin(self._film, like, self._form, self.rate)
        self.frames = self._fragments = 0

    def _copy(self, wanted: Stream) -> None:
        """The source's packets. Raises NotAlike when they cannot stand before the windows'."""
        if self._source is None:
            return
        with opened(self._source) as source:
            difference = wanted.difference(describe(source))
            if difference is not None:
                raise NotAlike(difference)
            batch: list[tuple[int, Packet]] = []
            size = 0
            for unit in units(source, self.rate):
                if self._kept is not None and self.frames + len(batch) + len(unit) > self._kept:
                    break
                batch += unit
                size += sum(packet.size for _, packet in unit)
                if len(batch) >= FRAGMENT[0] or size >= FRAGMENT[1]:
                    self._append(source, batch)
                    batch, size = [], 0
            if batch:
                self._append(source, batch)
        if self._kept is not None and self.frames < self._kept:
            self._convert(wanted)  # cut between frames that refer to each other: a few

    def _convert(self, wanted: Stream) -> None:
        """The source's frames from where the film ends, encoded again."""
        assert self._source is not None
        with opened(self._source) as source:
            size = wanted.width, wanted.height
            if self._pieces is not None:
                read = self._pieces(self.frames, self._kept)
            else:
                read = pictures(source, self.rate, *size, self.frames, self._kept)
            for piece in read:
                with self._part(piece, "piece") as (path, like, packets):
                    self._append(like, packets)
                path.unlink(missing_ok=True)

    def _append(self, like: Any, packets: list[tuple[int, Packet]]) -> None:
        growing.append(
            self._film,
            like,
            self._form,
            self.rate,
            packets,
            first=self.frames,
            delay=self._delay,
            number=self._fragments + 1,
        )
        self.frames += len(packets)
        self._fragments += 1

    def _rewrite(self, film: Any, path: Path) -> None:
        """The film's packets in one file with one index."""
        with av.open(str(path), "w", format=self._form) as container:
            stream = growing.add_stream(container, film.streams.video[0], self.rate)
            comment = film.metadata.get("comment", "").strip()
            if comment:  # what was written into the film while it grew
                container.metadata["comment"] = comment
            place = 0
            for unit in units(film, self.rate):
                for frame, packet in unit:
                    decoded = place - self._delay
                    growing.put(container, stream, packet, frame, decoded, self.rate)
                    place += 1

    def _refusal(self, error: OSError) -> UserError:
        full = error.errno in _FULL or shutil.disk_usage(self._folder).free < _LITTLE
        what = (
            f"The disk of {self._folder} is full"
            if full
            else f"The video could not be written to {self._folder} ({error})"
        )
        todo = "Make room, then continue the video." if full else ""
        return UserError(
            f"{what}. The {self.frames} frames made before are kept and play. {todo}".rstrip(), 1
        )


def _forget(folder: Path) -> None:
    """Takes away what killed runs left in `folder`."""
    for room in folder.glob(f"{MAKING}*"):
        with suppress(OSError):
            newest = max(path.stat().st_mtime for path in [room, *room.iterdir()])
            if time.time() - newest > FORGOTTEN:
                shutil.rmtree(room)
