"""A small world in which everything is known: an object moves over a textured ground, as told.

A *scene* is a ground (pattern, colours, place of its texture) and an object (shape, colour). A
*part* is what happens for some frames: the object moves, spins, grows, changes its colour, leaves
or comes back; the camera may pan. A *clip* is a scene, a state to begin with and parts one after
the other, and the world says what each of its frames shows, before and behind any window, in
pictures and in words ("a red disc moves right, then moves down over green stripes").

Lengths are in units of a 64th of the picture's side, at whatever size it is drawn; y points down.
Everything follows from a seed: the same seed gives the same clip on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

SIDE = 64.0
SPEED, FAST = 0.8, 1.6
"""Units a frame: of an object that moves, and of one that leaves or comes back."""
SPIN, PAN, GROWTH, FADE = 0.12, 0.5, 0.25, 8
"""Radians a frame, units a frame, units of radius a frame, frames of a change of colour."""
SMALLEST, LARGEST = 6.0, 12.0
OUTSIDE = LARGEST + 2
"""How far outside the picture an object stays that has left."""

COLOURS = {
    "red": (0.85, 0.12, 0.12),
    "orange": (0.95, 0.55, 0.10),
    "yellow": (0.95, 0.90, 0.20),
    "green": (0.15, 0.65, 0.20),
    "blue": (0.15, 0.30, 0.90),
    "purple": (0.60, 0.20, 0.75),
    "white": (0.97, 0.97, 0.97),
    "black": (0.06, 0.06, 0.06),
}
SHAPES = ("disc", "square", "triangle", "ring")
PATTERNS = ("stripes", "checks", "waves", "dots")
WAYS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


@dataclass(frozen=True, slots=True)
class Scene:
    """The ground and the shape. `texture`: period, angle, two phases of the pattern, two of a slow
    change of brightness over the whole ground; `ground`: two colours (3,) of it."""

    shape: str
    pattern: str
    ground_colour: str
    texture: tuple[float, ...]
    ground: tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class State:
    """What one frame shows: the object's centre, radius, angle and colour, the camera's place."""

    x: float
    y: float
    radius: float
    angle: float
    colour: str
    rgb: tuple[float, float, float]
    camera: tuple[float, float] = (0.0, 0.0)

    def row(self) -> tuple[float, ...]:
        return (self.x, self.y, self.radius, self.angle, *self.rgb, *self.camera)


ROW = 9
"""Numbers that `State.row` gives: x, y, radius, angle, 3 of colour, 2 of the camera."""


@dataclass(frozen=True, slots=True)
class Part:
    """What happens for `frames` frames. `move`: "left" ..., "leaves left" ..., "returns left" ...,
    or "rests"; `size`: "grows", "shrinks" or nothing; `colour`: the colour it turns to."""

    frames: int
    move: str = "rests"
    spins: bool = False
    size: str = ""
    colour: str = ""
    pan: str = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """A scene, the state of frame 0, and the parts; frame 0 is before any of them."""

    scene: Scene
    start: State
    parts: tuple[Part, ...]

    @property
    def frames(self) -> int:
        return 1 + sum(part.frames for part in self.parts)


def _reflected(position: np.ndarray, low: float, high: float) -> np.ndarray:
    """Positions of something that bounces between two walls."""
    if high <= low:
        return np.full_like(position, (low + high) / 2)
    folded = np.mod(position - low, 2 * (high - low))
    return low + np.minimum(folded, 2 * (high - low) - folded)


def _inside(state: State) -> bool:
    r = state.radius
    return r <= state.x <= SIDE - r and r <= state.y <= SIDE - r


def go_on(state: State, part: Part) -> tuple[np.ndarray, State, bool]:
    """(rows (frames, ROW) of the frames after `state`, the last state, whether it bounced)."""
    n = part.frames
    t = np.arange(1, n + 1, dtype=np.float64)
    rows = np.tile(np.array(state.row()), (n, 1))
    if part.size:
        change = GROWTH if part.size == "grows" else -GROWTH
        rows[:, 2] = np.clip(state.radius + change * t, SMALLEST, LARGEST)
    bounced = False
    what, _, side = part.move.rpartition(" ")
    if side in WAYS:
        way = WAYS[side]
        for axis, place in enumerate((state.x, state.y)):
            if not way[axis]:
                continue
            if what == "leaves":
                rows[:, axis] = np.clip(place + FAST * way[axis] * t, -OUTSIDE, SIDE + OUTSIDE)
            elif what == "returns":  # from outside to a quarter of the way in
                goal = SIDE * (0.3 if way[axis] < 0 else 0.7)
                step = -FAST * way[axis] * t
                rows[:, axis] = (
                    np.minimum(place + step, goal)
                    if way[axis] < 0
                    else np.maximum(place + step, goal)
                )
            else:
                straight = place + SPEED * way[axis] * t
                rows[:, axis] = _reflected(straight, state.radius, SIDE - state.radius)
                bounced = bool(np.abs(rows[:, axis] - straight).max() > SPEED)
    if part.size and what not in ("leaves", "returns"):  # what grows is pushed off the walls
        rows[:, :2] = np.clip(rows[:, :2], rows[:, 2:3], SIDE - rows[:, 2:3])
    if part.spins:
        rows[:, 3] = state.angle + SPIN * t
    colour = part.colour or state.colour
    goal_rgb = np.array(COLOURS[colour])
    if part.colour:
        rows[:, 4:7] += np.clip(t / FADE, 0, 1)[:, None] * (goal_rgb - rows[:, 4:7])
    if part.pan:
        rows[:, 7:9] += PAN * t[:, None] * np.array(WAYS[part.pan])
    x, y, radius, angle, r, g, b, cx, cy = rows[-1].tolist()
    return rows, State(x, y, radius, angle, colour, (r, g, b), (cx, cy)), bounced


def _phrase(part: Part, bounced: bool) -> str:
    what, _, side = part.move.rpartition(" ")
    said = []
    if side in WAYS:
        said.append(
            f"leaves to the {side}"
            if what == "leaves"
            else f"comes back from the {side}"
            if what == "returns"
            else f"moves {side}" + (" and bounces" if bounced else "")
        )
    if part.spins:
        said.append("spins")
    if part.size:
        said.append(part.size)
    if part.colour:
        said.append(f"turns {part.colour}")
    return " and ".join(said or ["rests"])


@dataclass(frozen=True, slots=True)
class Told:
    """A clip worked out: its rows (frames, ROW), and what is said of each part, with its frames.

    `spans`: (first frame, one past the last, phrase, colour at its beginning, pan) of each part.
    """

    scene: Scene
    rows: np.ndarray
    spans: tuple[tuple[int, int, str, str, str], ...]

    def words(self, first: int = 0, stop: int | None = None) -> str:
        """What happens in frames first..stop-1, in plain words; parts under 3 frames go unsaid.

        If all are so short, the longest are said.
        """
        stop = len(self.rows) if stop is None else stop

        def frames(span: tuple[int, int, str, str, str]) -> int:
            return min(span[1], stop) - max(span[0], first + 1)

        longest = max(frames(span) for span in self.spans)
        seen = [span for span in self.spans if frames(span) >= min(3, longest)]
        return sentence(self.scene, [s[2] for s in seen], seen[0][3], seen[-1][4])

    def window(self, first: int, frames: int) -> np.ndarray:
        return self.rows[first : first + frames]


def sentence(scene: Scene, phrases: Sequence[str], colour: str, pan: str = "") -> str:
    """The words for phrases one after the other, told as people tell it."""
    article = "an" if colour[0] in "aeiou" else "a"
    text = f"{article} {colour} {scene.shape} {', then '.join(phrases)}"
    text += f" over {scene.ground_colour} {scene.pattern}"
    return text + (f", the camera pans {pan}" if pan else "")


def tell(clip: Clip) -> Told:
    """Work a clip out: every frame of it, and its words."""
    rows, spans, state = [np.array([clip.start.row()])], [], clip.start
    first = 1
    for part in clip.parts:
        colour = state.colour
        more, state, bounced = go_on(state, part)
        rows.append(more)
        spans.append((first, first + part.frames, _phrase(part, bounced), colour, part.pan))
        first += part.frames
    return Told(clip.scene, np.concatenate(rows), tuple(spans))


def random_scene(rng: np.random.Generator) -> Scene:
    """A ground and a shape; texture and shades are continuous, so no two scenes are alike."""
    name = list(COLOURS)[rng.integers(len(COLOURS))]
    base = 0.55 * np.array(COLOURS[name]) + 0.45 * 0.5 + rng.uniform(-0.06, 0.06, 3)
    contrast = rng.uniform(0.14, 0.26) * (1 if base.mean() < 0.5 else -1)
    other = base + contrast + rng.uniform(-0.05, 0.05, 3)
    period, angle = rng.uniform(14, 26), rng.uniform(0, math.pi)
    phases = rng.uniform(0, 2 * math.pi, 4)
    shades = [tuple(np.clip(c, 0.02, 0.98).tolist()) for c in (base, other)]
    return Scene(
        SHAPES[rng.integers(len(SHAPES))],
        PATTERNS[rng.integers(len(PATTERNS))],
        name,
        (float(period), float(angle), *phases.tolist()),
        (shades[0], shades[1]),  # type: ignore[arg-type]
    )


def random_state(rng: np.random.Generator, scene: Scene, colour: str = "") -> State:
    """An object somewhere inside the picture, of a colour that is not the ground's."""
    names = [name for name in COLOURS if name != scene.ground_colour]
    colour = colour or names[rng.integers(len(names))]
    radius = rng.uniform(7.0, 11.0)
    x, y = rng.uniform(radius, SIDE - radius, 2)
    return State(
        float(x),
        float(y),
        float(radius),
        float(rng.uniform(0, 2 * math.pi)),
        colour,
        COLOURS[colour],
    )


def random_part(
    rng: np.random.Generator, scene: Scene, state: State, frames: int, pan: str | None = None
) -> Part:
    """Something that can happen from `state` on. `pan`: the camera's way, None: it may choose."""
    if pan is None:
        pan = list(WAYS)[rng.integers(4)] if rng.random() < 0.12 else ""
    if not _inside(state) and max(abs(state.x - SIDE / 2), abs(state.y - SIDE / 2)) > SIDE / 2:
        dx, dy = state.x - SIDE / 2, state.y - SIDE / 2
        side = ("left" if dx < 0 else "right") if abs(dx) > abs(dy) else "up" if dy < 0 else "down"
        return Part(frames, f"returns {side}" if rng.random() < 0.8 else "rests", pan=pan)
    kind = rng.random()
    side = list(WAYS)[rng.integers(4)]
    room = {
        "left": state.x - state.radius,
        "right": SIDE - state.radius - state.x,
        "up": state.y - state.radius,
        "down": SIDE - state.radius - state.y,
    }
    if kind < 0.05:
        return Part(frames, f"leaves {max(WAYS, key=lambda s: -room[s])}", pan=pan)
    if kind < 0.12:
        move = "rests"
    else:
        if room[side] < SPEED * frames * 0.5 and rng.random() < 0.7:  # most turn before a wall
            side = OPPOSITE[side]
        move = side
    names = [n for n in COLOURS if n not in (scene.ground_colour, state.colour)]
    colour = names[rng.integers(len(names))] if rng.random() < 0.15 else ""
    size = ""
    if rng.random() < 0.15:
        size = "grows" if state.radius < (SMALLEST + LARGEST) / 2 else "shrinks"
    return Part(frames, move, bool(rng.random() < 0.25), size, colour, pan)


def random_clip(rng: np.random.Generator, frames: int, change: float = 0.45, lead: int = 0) -> Clip:
    """A clip of `frames` frames: one part, or with probability `change` two.

    The change falls between a third and two thirds. `lead` more frames come before, of a part of
    their own, so that the clip begins in the middle of something.
    """
    scene = random_scene(rng)
    start = random_state(rng, scene)
    parts: list[Part] = []
    state = start
    lengths = [frames - 1]
    if rng.random() < change:
        first = int(rng.integers(frames // 3, 2 * frames // 3 + 1))
        lengths = [first, frames - 1 - first]
    if lead:
        lengths = [lead, *lengths]
    if not lead and rng.random() < 0.04:  # it begins outside
        side = list(WAYS)[rng.integers(4)]
        way = WAYS[side]
        state = start = replace(
            start,
            x=start.x if not way[0] else SIDE / 2 + way[0] * (SIDE / 2 + OUTSIDE),
            y=start.y if not way[1] else SIDE / 2 + way[1] * (SIDE / 2 + OUTSIDE),
        )
    pan = None
    for n in lengths:
        part = random_part(rng, scene, state, n, pan)
        pan = part.pan
        parts.append(part)
        _, state, _ = go_on(state, part)
    return Clip(scene, start, tuple(parts))


# --- drawing -------------------------------------------------------------------------------------


def draw(
    scenes: Sequence[Scene], rows: np.ndarray, size: int = 64, with_object: bool = True
) -> Tensor:
    """Videos (B, 3, F, size, size) in [-1, 1] of rows (B, F, ROW), each over its scene's ground."""
    state = torch.from_numpy(rows).float()
    batch, frames = state.shape[:2]
    still = (state[:, :, 7:9] == state[:, :1, 7:9]).all(dim=2).all(dim=1)
    video = torch.empty(batch, 3, frames, size, size)
    for group, seen in ((still, 1), (~still, frames)):
        chosen = group.nonzero()[:, 0]
        if len(chosen):
            camera = state[chosen, :seen, 7:9]
            video[chosen] = _ground([scenes[i] for i in chosen.tolist()], camera, size)
    if with_object:
        alpha, shade = _object([scene.shape for scene in scenes], state, size)
        colour = state[:, :, 4:7].permute(0, 2, 1)[..., None, None]
        video += alpha[:, None] * (colour * shade[:, None] - video)
    return video.mul_(2).sub_(1).clamp_(-1, 1)


def _grid(size: int) -> tuple[Tensor, Tensor]:
    centres = (torch.arange(size, dtype=torch.float32) + 0.5) * (SIDE / size)
    return centres[None, :].expand(size, size), centres[:, None].expand(size, size)


def _ground(scenes: Sequence[Scene], camera: Tensor, size: int) -> Tensor:
    """Grounds (B, 3, F, size, size) in 0..1, seen from camera (B, F, 2)."""
    texture = torch.tensor([scene.texture for scene in scenes])
    period, angle, p, q, a, b = (c[:, None, None, None] for c in texture.unbind(dim=1))
    gx, gy = _grid(size)
    x, y = gx + camera[..., 0, None, None], gy + camera[..., 1, None, None]
    w = 2 * math.pi / period
    u = (torch.cos(angle) * x + torch.sin(angle) * y) * w + p
    v = (torch.cos(angle) * y - torch.sin(angle) * x) * w + q
    wave = torch.empty_like(u)
    of = {
        "stripes": lambda u, v: torch.sin(u),
        "checks": lambda u, v: torch.sin(u) * torch.sin(v),
        "waves": lambda u, v: torch.sin(u + 1.2 * torch.sin(v / 2)),
        "dots": lambda u, v: torch.cos(u) + torch.cos(v) - 0.9,
    }
    for pattern, function in of.items():
        chosen = [i for i, scene in enumerate(scenes) if scene.pattern == pattern]
        if chosen:
            wave[chosen] = function(u[chosen], v[chosen])
    part = 0.5 + 0.5 * torch.tanh(2.5 * wave)
    light = 0.07 * (torch.sin(x * (2 * math.pi / 97) + a) + torch.sin(y * (2 * math.pi / 83) + b))
    shades = torch.tensor([scene.ground for scene in scenes])[..., None, None, None]
    return shades[:, 0] + part[:, None] * (shades[:, 1] - shades[:, 0]) + light[:, None]


def _object(shapes: Sequence[str], state: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cover (B, F, size, size) in 0..1 of the objects, and shading: one half is darker."""
    gx, gy = _grid(size)
    dx, dy = gx - state[..., 0, None, None], gy - state[..., 1, None, None]
    radius, angle = state[..., 2, None, None], state[..., 3, None, None]
    x = torch.cos(angle) * dx + torch.sin(angle) * dy
    y = torch.cos(angle) * dy - torch.sin(angle) * dx
    distance = torch.empty_like(x)
    of = {
        "disc": lambda x, y, r: torch.hypot(x, y) - r,
        "square": lambda x, y, r: torch.maximum(x.abs(), y.abs()) - 0.85 * r,
        "triangle": lambda x, y, r: torch.maximum(0.866 * x.abs() + 0.5 * y, -y) - 0.6 * r,
        "ring": lambda x, y, r: (torch.hypot(x, y) - 0.7 * r).abs() - 0.3 * r,
    }
    for shape, function in of.items():
        chosen = [i for i, s in enumerate(shapes) if s == shape]
        if chosen:
            distance[chosen] = function(x[chosen], y[chosen], radius[chosen])
    cover = (0.5 - distance * (size / SIDE)).clamp_(0, 1)
    return cover, 0.82 + 0.18 * torch.tanh(x / 1.5)
