"""What a generated window got right, against the truth of the world.

Pictures are (3, F, H, W) in [-1, 1]; every figure is in units of 0..1 of a colour channel, of the
picture's 64ths, or a ratio to the truth's own, and all of them leave the VAE out: the truth has
gone through it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wan2gp_svi.train import tiny, world
from wan2gp_svi.train.world import COLOURS, SIDE, Scene

SHADES = (0.64, 0.82, 1.0)
"""How dark and how light `world.draw` shades an object."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Figures of some frames.

    `background`: mean absolute error of the ground, `decibel`: its peak signal-to-noise ratio;
    `sharpness`: its variance of the Laplacian, `saturation`: its mean saturation, both over the
    truth's; `present`: in how many frames an object of the right colour and size is found;
    `colour`: its colour's mean absolute error; `places` (F, 2): where it is, NaN where it is not.
    """

    background: float
    decibel: float
    sharpness: float
    saturation: float
    present: float
    colour: float
    places: np.ndarray


def ground_of(scene: Scene, side: int, camera: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """The scene's ground without its object, through the VAE, (3, side, side)."""
    row = np.zeros((1, 1, world.ROW))
    row[0, 0, 7:9] = camera
    return tiny.decode(tiny.encode(world.draw([scene], row, side, with_object=False)))[0, :, 0]


def find_object(frames: Tensor, ground: Tensor, colour: str) -> Tensor:
    """Where the object's colour is nearer than the ground's, (F, H, W) of truth values."""
    away = (frames - ground[:, None]).abs().mean(dim=0) / 2
    return (distance(frames, colour) < away) & (away > 0.08)


def distance(frames: Tensor, colour: str) -> Tensor:
    """How far each pixel is from a colour in its nearest shade, (F, H, W) in 0..1."""
    shades = 2 * torch.tensor(COLOURS[colour])[:, None] * torch.tensor(SHADES) - 1
    return (frames[:, None] - shades[:, :, None, None, None]).abs().mean(dim=0).amin(dim=0) / 2


def look(frames: Tensor, scene: Scene, colour: str, radius: float, ground: Tensor) -> Seen:
    """Measure frames (3, F, H, W) that should show the scene's object in a colour on its ground."""
    side = frames.shape[-1]
    found = find_object(frames, ground, colour)
    counts = found.flatten(1).sum(dim=1).float()
    expected = 2.2 * (radius * side / SIDE) ** 2  # about the area of the four shapes
    there = (counts > 0.3 * expected) & (counts < 3.0 * expected)
    grid = (torch.arange(side) + 0.5) * (SIDE / side)
    weight = found.float()
    total = counts.clamp(min=1)
    x = (weight.sum(dim=1) * grid).sum(dim=1) / total
    y = (weight.sum(dim=2) * grid).sum(dim=1) / total
    places = torch.stack([x, y], dim=1)
    # The ground: all that is not near the object, wherever it was found.
    hidden = F.max_pool2d(weight[:, None], 7, 1, 3)[:, 0] > 0
    open_ = ~hidden
    error = (frames - ground[:, None]).abs().mean(dim=0) / 2
    background = float((error * open_).sum() / open_.sum().clamp(min=1))
    squares = ((frames - ground[:, None]) / 2).square().mean(dim=0)
    noise = (squares * open_).sum() / open_.sum().clamp(min=1)
    truth = ground[:, None].expand_as(frames)
    places[~there] = float("nan")
    rgb = (frames * weight).sum(dim=(2, 3)) / total  # (3, F)
    aim = 2 * torch.tensor(COLOURS[colour])[:, None] * SHADES[1] - 1
    colours = (rgb - aim).abs().mean(dim=0)[there] / 2
    return Seen(
        background,
        float(-10 * torch.log10(noise.clamp(min=1e-10))),
        _ratio(_sharpness(frames, open_), _sharpness(truth, open_)),
        _ratio(_saturation(frames, open_), _saturation(truth, open_)),
        float(there.float().mean()),
        float(colours.mean()) if there.any() else float("nan"),
        places.numpy(),
    )


def _ratio(a: Tensor, b: Tensor) -> float:
    return float(a / b.clamp(min=1e-6))


def _sharpness(frames: Tensor, where: Tensor) -> Tensor:
    luma = frames.mean(dim=0)[:, None]
    kernel = luma.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    edges = F.conv2d(luma, kernel)[:, 0]
    inner = where[:, 1:-1, 1:-1]
    return (edges.square() * inner).sum() / inner.sum().clamp(min=1)


def _saturation(frames: Tensor, where: Tensor) -> Tensor:
    spread = (frames.amax(dim=0) - frames.amin(dim=0)) / 2
    return (spread * where).sum() / where.sum().clamp(min=1)


def seam(before: Tensor, after: Tensor) -> float:
    """The step across a join over the usual step: frames (3, F, H, W) of both sides."""
    frames = torch.cat([before, after], dim=1)
    steps = (frames[:, 1:] - frames[:, :-1]).abs().mean(dim=(0, 2, 3))
    join = before.shape[1] - 1
    others = torch.cat([steps[:join], steps[join + 1 :]])
    return float(steps[join] / others.median().clamp(min=1e-4))
