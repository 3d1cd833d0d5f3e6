"""The video that a run makes, as it stands: streaming.py keeps it, `Run` carries it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

RESIZES = ("spatial_upsampling", "temporal_upsampling")
"""WanGP's settings that give the frames another size or rate before they are saved."""


@dataclass
class Film:
    """What is known of a run's video.

    wgp        the globals of wgp.py
    resized    WanGP's settings that give the frames another size or rate before they are saved
    processed  whether WanGP changes frames between the VAE and the file
    end        then the last frames as the file shows them, (3, F, H, W), uint8
    short      whether WanGP can do with the end of a source, not needing all its frames
    held       why WanGP has to keep all frames in memory; None where it has not
    source     the video that is put in front, with the frames of its file that are kept
    pieces     reads it as WanGP does, where its packets cannot be copied
    in_front   frames of that source that WanGP puts before the first window
    left_out   seconds of the source that WanGP knows nothing of
    writer     what the video is written with (video.writer.Writer)
    taken      of what WanGP hands over: how much was there the time before
    shown      the name that the video so far was given last
    part       that window's own part, to be left in its place
    """

    wgp: dict[str, Any]
    resized: Mapping[str, Any] = field(default_factory=dict)
    processed: bool = False
    end: Tensor | None = None
    short: bool = True
    held: str | None = None
    source: Path | None = None
    kept: int | None = None
    pieces: Callable[[int, int | None], Iterator[Any]] | None = None
    in_front: int = 0
    left_out: float = 0.0
    writer: Any = None
    taken: int = 0
    shown: Path | None = None
    part: Path | None = None


def in_file(frames: int, times: int) -> int:
    """Frames of a file of so many of the model's, with `times` as many a second: between two."""
    return times * (frames - 1) + 1
