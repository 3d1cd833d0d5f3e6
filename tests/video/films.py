"""What the tests of video/ share: moving pictures, ways to encode them, a look into files."""

from __future__ import annotations

import hashlib
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from wan2gp_svi.video.encode import Encode

RATE = Fraction(16)


def film(frames: int, start: int = 0, width: int = 64, height: int = 48) -> np.ndarray:
    """A moving pattern with grain, uint8 (F, H, W, 3); frame i of a film that starts at `start`."""
    y, x = np.mgrid[0:height, 0:width]
    made = []
    for i in range(start, start + frames):
        grain = np.random.default_rng(i).integers(-8, 9, (height, width, 3))
        waves = [
            128 + 60 * np.sin((x + 3 * i) / (5 + c)) + 50 * np.cos((y - i) / (7 - c))
            for c in range(3)
        ]
        made.append((np.stack(waves, -1) + grain).clip(0, 255).astype(np.uint8))
    return np.stack(made)


def ready(part: Path) -> Encode:
    """An encoder that takes no time: it hands out a file that is there already."""
    return lambda frames, path: shutil.copyfile(part, path)


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    """Of each compressed frame, as it stands: shown and decoded at (in frames), and its bytes' sum.

    Times count from the first frame shown; Matroska has no decoding times.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [p for p in container.demux(stream) if p.size]
        origin = stream.start_time or 0
        return [
            (
                round((p.pts - origin) * p.time_base * RATE),
                None if p.dts is None else round((p.dts - origin) * p.time_base * RATE),
                hashlib.sha256(bytes(p)).digest(),
            )
            for p in found
        ]


def sums(path: Path) -> list[bytes]:
    """The packets' sums, in decoding order."""
    return [p[2] for p in packets(path)]


def decoded(path: Path) -> np.ndarray:
    """All frames, uint8 (F, H, W, 3)."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def boxes(path: Path) -> list[str]:
    """The kinds of the outermost boxes of an MP4 file, in their order."""
    data, kinds, at = path.read_bytes(), [], 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        kinds.append(kind.decode("latin-1"))
        at += int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size or len(data)
    return kinds
