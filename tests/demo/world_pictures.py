"""The pictures that the demo's film starts from, drawn by train/world.py: python THIS FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from wan2gp_svi.train import world

SCENE = 3  # of some tried, one whose disc is clear of its ground


def drawn() -> list[Image.Image]:
    """The start image and two anchors: the disc elsewhere, and yellow."""
    rng = np.random.default_rng(SCENE)
    scene = world.random_scene(rng)
    first = world.random_state(rng, scene)
    states = [
        world.State(20.0, 24.0, 9.0, 0.0, first.colour, first.rgb),
        world.State(44.0, 40.0, 9.0, 0.0, first.colour, first.rgb),
        world.State(40.0, 40.0, 9.0, 0.0, "yellow", world.COLOURS["yellow"]),
    ]
    frames = world.draw([scene] * 3, np.array([[s.row()] for s in states]))[:, :, 0]
    levels = ((frames + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    return [Image.fromarray(picture) for picture in levels.numpy()]


if __name__ == "__main__":
    for number, picture in enumerate(drawn()):
        name = "start" if number == 0 else f"anchor-{number}"
        picture.save(Path(sys.argv[1]) / f"world-{name}.png")
