"""What the passes of the self-test found: plain numbers and arrays, so that checks need no WanGP.

A pass writes FOLDER/facts.json and, for each scenario, FOLDER/<name>.npz. The arrays of window k:

    y{k}         (20, T, h, w)      what the model was conditioned on: mask, then latents
    noise{k}     (1, 16, T, h, w)   the noise that it began with
    torch{k}     (1, 16, T, h, w)   what torch draws on that device for the documented seed
    latents{k}   (16, T, h, w)      the final latents
    decoded{k}   (3, F, H, W)       what the VAE made of them, 0..255
    seen{k}_{i}, encoding{k}_{i}    a picture (3, F, H, W), -1..1, and the latents it was encoded to
    attended{k}  (T*P, dim)         the first block's text attention in the first pass
    delivered    (3, F, H, W)       the frames of the whole video as they went to its file, 0..255
    anchor{i}    (3, H, W)          the start image (0) and the anchor images (1, ...), -1..1

All are float32. What a version of WanGP does not let us see is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray


@dataclass
class Made:
    """One scenario: whether WanGP made it, how many windows, frames in the file, and the arrays."""

    ok: bool = False
    error: str = ""
    windows: int = 0
    frames: int = 0
    prompts: list[str] = field(default_factory=list)
    arrays: Mapping[str, ndarray] = field(default_factory=dict)


@dataclass
class Facts:
    """One pass: `made` by scenario, `hooks` how often each was called, `host` versions."""

    made: dict[str, Made] = field(default_factory=dict)
    hooks: dict[str, int] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)

    def of(self, name: str) -> Made:
        """A scenario; one that was not made if the pass did not get to it."""
        return self.made.get(name, Made(error="it was not reached"))


def read(folder: Path) -> Facts:
    """What a pass has left in `folder`; as far as it got."""
    import numpy as np

    path = folder / "facts.json"
    if not path.is_file():
        return Facts()
    values = json.loads(path.read_text(encoding="utf-8"))
    made = {}
    for name, result in values["made"].items():
        arrays: Mapping[str, Any] = {}
        if (folder / f"{name}.npz").is_file():
            with np.load(folder / f"{name}.npz", allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        made[name] = Made(**result, arrays=arrays)
    return Facts(made, values["hooks"], values["host"])
