"""The video that is continued: copied, packet for packet, where it is of the kind written now.

Where it is not, WanGP's own reader gives it in pieces, in its size and rate, which are encoded once
more (video/writer.py does both). WanGP is given as many of the last frames as it shares with the
first window: it needs no others, but for a control video, a mask or a sound track (`Film.short`).

A video whose frames were enlarged, or given more frames a second, before they were saved is copied
where the same is asked for again: only new windows are processed then.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wan2gp_svi.errors import UserError
from wan2gp_svi.wangp.console import say
from wan2gp_svi.wangp.film import RESIZES, Film, in_file
from wan2gp_svi.wangp.run import Run, current, set_current
from wan2gp_svi.wangp.wrapping import arguments

TAIL = 64
"""Frames of a continued video that are kept at hand; only some of them are ever encoded."""
PIECE = 64
"""Frames of a continued video that are in memory when it is encoded once more."""


def is_source(run: Run, original: Callable[..., Any], args: Sequence, kwargs: Mapping) -> bool:
    """Whether WanGP reads the video to continue: the first it reads; again in each repetition."""
    if run.carry.source is None:
        return True
    path = arguments(original, args, kwargs)["video_in"]
    return run.film is not None and run.film.source is not None and path == str(run.film.source)


def read_source(
    run: Run, original: Callable[..., Any], args: Sequence, kwargs: Mapping
) -> tuple[Any, Any, Any, int]:
    """The video to continue, as WanGP reads it: for WanGP; its end; its first frame; its length.

    Frames are (F, H, W, 3). WanGP gets all of them, or as many of the last ones as it shares with
    the first window, where it can do without the rest.
    """
    given, film, frames = arguments(original, args, kwargs), run.film, run.chain.source_frames
    from_start = not given.get("start_frame")
    path = given["video_in"]
    if film is None or not from_start or not isinstance(path, str) or given.get("preserve_hdr"):
        whole = original(*args, **kwargs)
        return whole, whole, whole, 0 if whole is None else len(whole)
    long = frames > TAIL
    end = original(**{**given, "start_frame": frames - TAIL, "max_frames": TAIL}) if long else None
    whole = None if end is not None and len(end) == TAIL else original(**given)
    like = end if whole is None else whole
    if like is None:
        return None, None, None, 0
    if whole is not None:
        frames = len(whole)
    times, reason = _not_alike(film, Path(path), like, frames, run.chain.fps)
    if reason is not None:
        say(f"{Path(path).name} {reason}: it is encoded once more")
    if whole is None and (not film.short or (reason is not None and film.resized)):
        whole = original(**given)
        frames = len(whole)
    if reason is None:
        film.source, film.kept = Path(path), in_file(frames, times)
    elif whole is None:
        film.source, film.kept, film.pieces = Path(path), frames, _pieces(original, given)
    short = film.source is not None and film.short
    host = like[-run.size(1).overlap :] if short else whole
    film.in_front = len(host)
    film.left_out = (frames - len(host)) / run.chain.fps
    if whole is not None:
        return host, whole, whole, frames
    return host, end, original(**{**given, "max_frames": 1}), frames


def _pieces(original: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Reads the source as WanGP does, in its size and rate, a few frames at a time."""

    def pieces(start: int, stop: int | None) -> Iterator[np.ndarray]:
        while stop is None or start < stop:
            count = PIECE if stop is None else min(PIECE, stop - start)
            frames = original(**{**given, "start_frame": start, "max_frames": count})
            if frames is None or not len(frames):
                raise UserError(
                    f"{given['video_in']} ends after {start} frames, and {stop} were announced."
                    " Choose an earlier video to continue; nothing was changed."
                )
            yield frames.cpu().numpy()
            start += len(frames)

    return pieces


def _not_alike(
    film: Film, path: Path, frames: Any, count: int, fps: float
) -> tuple[int, str | None]:
    """Frames of the file for one of the model's; why its packets cannot be copied (None: they can).

    `frames` (F, H, W, 3) are the source's as the model takes them, `count` how many there are.
    """
    from wan2gp_svi.video.packets import NotAlike, describe, opened, units
    from wan2gp_svi.video.probe import read_settings

    size, rate = (frames.shape[2], frames.shape[1]), Fraction(fps).limit_denominator(1001)
    try:
        with opened(path) as source:
            stream = describe(source)
            times = 1
            if film.resized:
                made = read_settings(path) or {}
                if any((made.get(n) or "") != film.resized.get(n, "") for n in RESIZES):
                    return 1, "was not enlarged, or given more frames a second, as is asked now"
                size = stream.width, stream.height
                times = max(round(float(source.streams.video[0].average_rate or rate) / rate), 1)
            if (stream.width, stream.height) != size:
                return 1, f"is {stream.width}x{stream.height}, not {size[0]}x{size[1]}"
            found = sum(len(unit) for unit in units(source, rate * times))
            if found < in_file(count, times):
                return 1, f"has {found} frames, of which {in_file(count, times)} are read"
        return times, _sample(film, *size, float(rate * times)).difference(stream)
    except NotAlike as error:
        return 1, str(error)
    except UserError:
        return 1, "cannot be copied"


def _sample(film: Film, width: int, height: int, fps: float) -> Any:
    """What WanGP's encoder makes at its present settings."""
    from wan2gp_svi.video.packets import describe, opened

    config = film.wgp["server_config"]
    container = config.get("video_container", "mp4")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / f"sample.{container}"
        run = current()
        set_current(None)  # it is no window
        try:
            film.wgp["save_video"](
                tensor=torch.zeros(1, 3, 2, height, width),
                save_file=str(path),
                fps=fps,
                nrow=1,
                codec_type=config.get("video_output_codec", None),
                container=container,
            )
        finally:
            set_current(run)
        with opened(path) as sample:
            return describe(sample)
