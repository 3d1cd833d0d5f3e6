"""A folder of captioned clips: the frames of each, and the pieces to train on.

Beside each clip.mp4 lies clip.txt with its words. A piece is one window of a clip; the pictures
that serve it as anchor or reference come from the same clip, outside the piece (V#36).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.video.convert import pictures
from wan2gp_svi.video.packets import describe, opened

REFERENCES = 3
"""Pictures from outside of a piece that it is kept with."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a piece of a clip starts, and which frames may serve it as anchor or reference."""

    start: int
    references: tuple[int, ...]


def captioned(folder: Path) -> list[tuple[Path, str]]:
    """The clips of a folder, by name, and their words. `UserError` if one has none."""
    clips = sorted(p for p in folder.glob("*") if p.suffix.lower() == ".mp4")
    if not clips:
        raise UserError(f"There are no clips (*.mp4) in {folder}.")
    wordless = [clip.name for clip in clips if not clip.with_suffix(".txt").is_file()]
    if wordless:
        raise UserError(
            f"{', '.join(wordless[:5])} in {folder} have no words:"
            " beside each clip.mp4 must lie a clip.txt that says what happens."
        )
    texts = [clip.with_suffix(".txt").read_text(encoding="utf-8-sig") for clip in clips]
    return [(clip, " ".join(text.split())) for clip, text in zip(clips, texts, strict=True)]


def frames(path: Path, fps: float, width: int, height: int) -> Tensor:
    """All frames of a clip, uint8 (3, F, height, width), at `fps`, its middle filling the size."""
    with opened(path) as container:
        own = describe(container)
        scale = max(width / own.width, height / own.height)
        wide, high = (max(round(own.width * scale), width), max(round(own.height * scale), height))
        left, top = (wide - width) // 2, (high - height) // 2
        parts = [
            part[:, top : top + height, left : left + width]
            for part in pictures(container, Fraction(fps).limit_denominator(1001), wide, high)
        ]
    return torch.from_numpy(np.concatenate(parts)).permute(3, 0, 1, 2)


def pieces(count: int, window: int) -> list[Piece]:
    """The pieces of `window` frames of a clip of `count`; none if nothing would lie outside.

    They begin where the one before ends, and the last ends with the clip: so references come from
    before it, as a chain's anchor does.
    """
    found = []
    for start in range(count - window, -1, -(window - 1)):
        outside = [*range(start), *range(start + window, count)]
        if outside:
            chosen = np.linspace(0, len(outside) - 1, min(REFERENCES, len(outside)))
            found.append(Piece(start, tuple(outside[i] for i in chosen.round().astype(int))))
    return found[::-1]
