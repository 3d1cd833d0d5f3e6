"""Videos to try the drift report on: clean ones of many kinds, and the same with a planted fault.

A scene is a function of time, so that a fault of time (a frame lost, motion that slows) is another
clock and a fault of the picture (exposure, blur) a change of what the clock shows. Everything is
drawn from a seed; photos are the demo's and those that scikit-image brings along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import skimage.data

from wan2gp_svi.demo.materials import PHOTO

FPS = 16
Scene = Callable[[float], np.ndarray]
"""Time, in frames -> picture (H, W, 3), float32, 0 to 255."""

PHOTOS = ("astronaut", "chelsea", "coffee", "motorcycle", "rocket", "hubble", "retina", "tissue")
MOVES = (
    "pan",
    "tilt",
    "zoom in",
    "zoom out",
    "shake",
    "to and fro",
    "object",
    "enters",
    "layers",
    "sways",
    "cut",
    "new anchor",
    "pauses",
    "moving light",
)


# -- pictures -------------------------------------------------------------------------------------


@cache
def photo(name: str) -> np.ndarray:
    """A photo (H, W, 3), uint8."""
    if name == "astronaut":
        return cv2.cvtColor(cv2.imread(str(PHOTO)), cv2.COLOR_BGR2RGB)
    if name == "motorcycle":
        return skimage.data.stereo_motorcycle()[0]
    if name == "hubble":
        return skimage.data.hubble_deep_field()
    if name == "tissue":
        return skimage.data.immunohistochemistry()
    return getattr(skimage.data, name)()[..., :3]


def drawn(seed: int, side: int = 720) -> np.ndarray:
    """A picture out of nothing: clouds of every size (1/f), shapes of one colour on them."""
    rng = np.random.default_rng(seed)
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    falling = 1 / np.maximum(np.hypot(fy, fx), 1 / side)
    planes = []
    for _ in range(3):
        wave = rng.standard_normal(fy.shape) + 1j * rng.standard_normal(fy.shape)
        planes.append(np.fft.irfft2(wave * falling, s=(side, side)))
    cloud = np.stack(planes, -1)
    cloud = 0.7 * cloud[..., :1] + 0.3 * cloud
    picture = 120 + 42 * cloud / cloud.std() + rng.uniform(-25, 25, 3)
    picture = np.ascontiguousarray(np.clip(picture, 8, 245), np.float32)
    for _ in range(14):
        at, r = rng.integers(0, side, 2), int(rng.integers(side // 40, side // 9))
        colour = tuple(float(c) for c in rng.uniform(30, 225, 3))
        if rng.random() < 0.5:
            cv2.circle(picture, tuple(int(v) for v in at), r, colour, -1, cv2.LINE_AA)
        else:
            end = tuple(int(v) for v in at + rng.integers(-2 * r, 2 * r, 2))
            cv2.line(picture, tuple(int(v) for v in at), end, colour, max(r // 6, 2), cv2.LINE_AA)
    return picture.astype(np.uint8)


def picture(source: str, seed: int) -> np.ndarray:
    return drawn(seed) if source == "drawn" else photo(source)


# -- scenes ---------------------------------------------------------------------------------------


class Camera:
    """A view (W, H) of a picture that goes on for ever (mirrored at its edges)."""

    def __init__(self, source: np.ndarray, size: tuple[int, int], fill: float = 0.75) -> None:
        width, height = size
        self.size, self.source = size, source.astype(np.float32)
        h, w = source.shape[:2]
        self.pixel = fill * min(w / width, h / height)  # of the source, for one of the video
        self.fine = max(1, min(4, math.ceil(self.pixel * 1.2)))
        self.centre = np.array([w / 2, h / 2])

    def look(self, dx: float = 0, dy: float = 0, zoom: float = 1, turn: float = 0) -> np.ndarray:
        """dx, dy: of the view's width and height to the right and down; `turn` in radians."""
        width, height = (v * self.fine for v in self.size)
        step = self.pixel / self.fine / zoom
        c, s = math.cos(turn) * step, math.sin(turn) * step
        moved = self.centre + np.array([dx * self.size[0], dy * self.size[1]]) * self.pixel
        start = moved - np.array([c * width - s * height, s * width + c * height]) / 2
        view = cv2.warpAffine(
            self.source,
            np.array([[c, -s, start[0]], [s, c, start[1]]]),
            (width, height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        if self.fine > 1:
            view = cv2.resize(view, self.size, interpolation=cv2.INTER_AREA)
        return np.clip(view, 0, 255)


def _blob(frame: np.ndarray, x: float, y: float, r: float, skin: np.ndarray) -> np.ndarray:
    """A round thing with a texture of its own, centre and radius in parts of the height."""
    h, w = frame.shape[:2]
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    cx, cy, radius = x * w, y * h, r * h
    inside = np.clip(radius - np.hypot(xx - cx, yy - cy) + 0.5, 0, 1)[..., None]
    side = min(skin.shape[:2]) / (2 * radius)
    worn = cv2.remap(
        skin,
        ((xx - cx + radius) * side).astype(np.float32),
        ((yy - cy + radius) * side).astype(np.float32),
        cv2.INTER_AREA if side > 2 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return frame * (1 - inside) + worn * inside


def scene(move: str, source: str, size: tuple[int, int], seed: int, ends: Sequence[int]) -> Scene:
    """A clean scene. `ends` are the windows' ends, in frames: cuts and new anchors go there."""
    rng = np.random.default_rng(seed + 1000)
    camera = Camera(picture(source, seed), size, float(rng.uniform(0.6, 0.8)))
    total, window = ends[-1], ends[0]
    way = float(rng.choice([-1, 1]))
    pace = float(rng.uniform(0.0018, 0.004)) * way  # of the picture's width, a frame
    skin = cv2.resize(drawn(seed + 7, 256), (96, 96), interpolation=cv2.INTER_AREA)
    skin = skin.astype(np.float32)
    middle = ends[len(ends) // 2 - 1] if len(ends) > 1 else total // 2
    other = PHOTOS[(seed + 3) % len(PHOTOS)] if source != "drawn" else "drawn"
    elsewhere = Camera(picture(other, seed + 5), size, 0.7)
    grade = np.array([1.12, 0.9, 0.72], np.float32) * float(rng.uniform(0.8, 1.05))
    phases = rng.uniform(0, 2 * math.pi, 6)

    def at(t: float) -> np.ndarray:
        drift = 0.0006 * way * t
        if move == "pan":
            return camera.look(pace * t)
        if move == "tilt":
            return camera.look(0.3 * pace * t, 0.8 * abs(pace) * t)
        if move == "zoom in":
            return camera.look(0.1 * pace * t, 0, 1.7 ** (t / total))
        if move == "zoom out":
            return camera.look(0.1 * pace * t, 0, 1.5 ** (1 - t / total))
        if move == "shake":
            x, y, r = (
                sum(
                    math.sin(t * 2 * math.pi / p + q) for p, q in zip(periods, phases, strict=False)
                )
                for periods in ((37, 23, 11), (41, 19, 13), (53, 29, 17))
            )
            return camera.look(0.004 * x + drift, 0.004 * y, 1.1, 0.004 * r)
        if move == "to and fro":
            return camera.look(0.22 * math.sin(2 * math.pi * t / (1.37 * window) + phases[0]))
        if move == "object":
            x = 0.5 + 0.42 * math.sin(t * 0.045 + phases[1])
            y = 0.5 + 0.3 * math.sin(t * 0.031 + phases[2])
            return _blob(camera.look(drift), x, y, 0.2, skin)
        if move == "enters":
            x = max(1.25 - 0.012 * max(t - 0.4 * total, 0), 0.55 + 0.05 * math.sin(t * 0.07))
            return _blob(camera.look(0.3 * pace * t), x, 0.6, 0.3, skin * 0.7)
        if move == "layers":
            near = camera.look(2.2 * pace * t, 0.3, 1.5)
            far = camera.look(0.8 * pace * t)
            h = far.shape[0]
            fade = np.clip((np.arange(h, dtype=np.float32)[:, None, None] - 0.62 * h) / 6, 0, 1)
            return far * (1 - fade) + near * fade
        if move == "sways":
            frame = camera.look(drift, 0, 1.1)
            h, w = frame.shape[:2]
            yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
            sway = 0.012 * w * np.sin(2 * math.pi * (yy / h * 1.5 + t / 29) + phases[3])
            moved = (xx + sway).astype(np.float32)
            return cv2.remap(frame, moved, yy, cv2.INTER_CUBIC, None, cv2.BORDER_REFLECT_101)
        if move == "cut":
            return camera.look(pace * t) if t < middle else elsewhere.look(-pace * (t - middle))
        if move == "new anchor":
            frame = camera.look(pace * t)
            share = float(np.clip((t - middle) / (0.7 * window), 0, 1))
            return np.clip(frame * (1 - share + share * grade), 0, 255)
        if move == "pauses":
            # speeds up and down again, with a rest between, in turns that no window knows of
            return camera.look(pace * (t - 21 * math.sin(t / 21)))
        if move == "moving light":
            frame = camera.look(pace * 0.5 * t)
            w = frame.shape[1]
            where = w * (0.5 + 0.5 * math.sin(t / 47 + phases[4]))
            lit = 1 + 0.35 * np.exp(-(((np.arange(w) - where) / (0.25 * w)) ** 2))
            return np.clip(frame * lit[None, :, None].astype(np.float32), 0, 255)
        raise ValueError(move)

    return at


# -- faults ---------------------------------------------------------------------------------------

FAULTS = (
    "exposure",
    "saturation",
    "tint",
    "blur",
    "doubled",
    "lost",
    "flash",
    "jump",
    "slows",
    "returns",
)


def frames(
    show: Scene,
    ends: Sequence[int],
    fault: str | None = None,
    strength: float = 1.0,
    grain: float = 1.0,
    seed: int = 0,
) -> Iterator[np.ndarray]:
    """The video, (H, W, 3), uint8, with at most one fault, at the join `fault_at` where it is one.

    At strength 1: exposure 4%, saturation 6%, tint 2% a window; blur 1.2 pixels a window, at 832
    pixels width; a flash of 10% for 2 frames; a jump by 3% of the width, aslant; motion slows by
    30% a window; the picture falls back to the first one at the start of every later window.
    """
    total, window = ends[-1], ends[0]
    rng = np.random.default_rng(seed)
    join = fault_at(ends)
    first = None
    clock = 0.0
    for i in range(total):
        late = max(i - window, 0) / window  # windows that have drifted so far
        t = float(i)
        if fault == "doubled" and i >= join:
            t = i - 1
        elif fault == "lost" and i >= join:
            t = i + 1
        elif fault == "slows":
            t, clock = clock, clock + (1 - 0.3 * strength) ** (i / window)
        frame = show(t)
        if first is None:
            first = frame
        width = frame.shape[1]
        if fault == "exposure":
            frame = frame * (1 - 0.04 * strength) ** late
        elif fault == "saturation":
            grey = frame @ np.array([0.299, 0.587, 0.114], np.float32)
            frame = grey[..., None] + (frame - grey[..., None]) * (1 + 0.06 * strength) ** late
        elif fault == "tint":
            shift = 0.02 * strength * late
            frame = frame * np.array([1 + shift, 1, 1 - shift], np.float32)
        elif fault == "blur" and late > 0:
            frame = cv2.GaussianBlur(frame, (0, 0), max(1.2 * strength * late * width / 832, 0.05))
        elif fault == "flash" and join <= i < join + 2:
            frame = frame * (1 + 0.10 * strength)
        elif fault == "jump" and i >= join:
            shift = round(0.03 * strength * width)
            frame = np.roll(frame, (shift, -shift), (0, 1))
        elif fault == "returns" and i >= window:
            start = max(e for e in ends if e <= i)
            since = (i - start) / window
            share = strength * math.sin(math.pi * min(since / 0.35, 1)) ** 2
            frame = frame * (1 - share) + first * share
        noisy = frame + rng.standard_normal(frame.shape, np.float32) * grain
        yield np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def fault_at(ends: Sequence[int]) -> int:
    """The frame that begins the window at whose join a fault of one join is planted."""
    return ends[len(ends) // 2 - (len(ends) == 2)]


def windows(count: int, first: int = 81, adds: int = 76) -> list[int]:
    """The ends of `count` windows."""
    return [first + adds * k for k in range(count)]


def save(path: Path, stream: Iterator[np.ndarray], fps: float = FPS, codec: str = "x264") -> Path:
    """As WanGP saves: x264 at CRF 10, yuv420p; "good" is what its users share, CRF 23."""
    first = next(stream)
    height, width = first.shape[:2]
    crf = {"x264": "10", "good": "23"}[codec]
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        quality=None,
        macro_block_size=1,
        output_params=["-crf", crf, "-threads", "1"],
    )
    writer.send(None)
    writer.send(np.ascontiguousarray(first))
    for frame in stream:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path
