"""The video that a run makes, as it stands: streaming.py keeps it, `Run` carries it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Film:
    """What is known of a run's video.

    wgp        the globals of wgp.py
    plain      whether the model's frames are saved as they are: no upsampling, no film grain
    short      whether WanGP can do with the end of a source, not needing all its frames
    held       why WanGP has to keep all frames in memory; None where it has not
    source     the video whose packets are copied, with the frames of it that are kept
    in_front   frames of that source that WanGP puts before the first window
    writer     what the video is written with (video.writer.Writer)
    taken      of what WanGP hands over: how much was there the time before
    shown      the name that the video so far was given last
    part       that window's own part, to be left in its place
    """

    wgp: dict[str, Any]
    plain: bool = True
    short: bool = True
    held: str | None = None
    source: Path | None = None
    kept: int | None = None
    in_front: int = 0
    writer: Any = None
    taken: int = 0
    shown: Path | None = None
    part: Path | None = None
