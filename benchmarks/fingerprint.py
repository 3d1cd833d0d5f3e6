"""How surely a fingerprint tells a video's own frames from others (wan2gp_svi/svi/fingerprint.py).

Photos become short clips that stand still, pan, zoom, fade or shake; each is encoded as WanGP
encodes (and at a lower rate), decoded, and offered: it must be accepted. Then it is edited before
it is encoded, or loses frames at its end, and must be refused. Frame counts, which a hand-over
compares too, are not looked at here: the pictures alone have to tell.

    python benchmarks/fingerprint.py FOLDER_OF_PHOTOS [--size 832x480]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import torch
from tqdm import tqdm

from wan2gp_svi.svi.fingerprint import difference, fingerprint

FRAMES = 33
CODECS = {
    "x264 crf 17": ["-c:v", "libx264", "-crf", "17"],
    "x264 crf 23": ["-c:v", "libx264", "-crf", "23"],
    "x264 crf 30": ["-c:v", "libx264", "-crf", "30"],
    "x264 quality 8": ["-c:v", "libx264", "-qp", "11"],  # WanGP's default, as imageio runs it
    "x265 crf 28": ["-c:v", "libx265", "-crf", "28", "-x265-params", "log-level=none"],
}
MOTIONS = ("still", "noise", "pan 0.1", "pan 0.5", "pan 3", "zoom", "ball", "fade", "shake")


def view(photo: np.ndarray, size: tuple[int, int], x: float, y: float, zoom: float) -> np.ndarray:
    """The middle of a photo, moved by x, y pixels and magnified, as (height, width, 3)."""
    (width, height), (rows, columns) = size, photo.shape[:2]
    matrix = np.array(
        [
            [zoom, 0, width / 2 - (columns / 2 + x) * zoom],
            [0, zoom, height / 2 - (rows / 2 + y) * zoom],
        ]
    )
    return cv2.warpAffine(
        photo, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def clip(photo: np.ndarray, motion: str, size: tuple[int, int]) -> np.ndarray:
    """A clip of 33 frames, uint8 (F, H, W, 3)."""
    random, frames = np.random.default_rng(0), []
    for i in range(FRAMES):
        x, y, zoom = 0.0, 0.0, 1.0
        if motion.startswith("pan"):
            x = float(motion[4:]) * i
            y = x / 3
        elif motion == "shake":
            x, y = random.normal(0, 0.8, 2)
        elif motion == "zoom":
            zoom = 1 + 0.004 * i
        frame = view(photo, size, x, y, zoom)
        if motion == "noise":
            frame = to_bytes(frame + random.normal(0, 3, (*frame.shape[:2], 1)))
        elif motion == "fade":
            frame = to_bytes(frame * (1 - 0.006 * i))
        elif motion == "ball":
            centre = (int(16 * (size[0] / 3 + i)), int(16 * (size[1] / 3 + i / 2)))
            cv2.circle(frame, centre, size[1], (200, 120, 60), -1, cv2.LINE_AA, 4)
        frames.append(frame)
    return np.stack(frames)


def to_bytes(frames: np.ndarray) -> np.ndarray:
    return np.clip(frames + 0.5, 0, 255).astype(np.uint8)


def edits(frames: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What people do to a video: filters, crops, titles."""
    light = frames.astype(np.float32)
    grey = light.mean(-1, keepdims=True)
    random = np.random.default_rng(1)
    height, width = frames.shape[1:3]

    def each(change):
        return np.stack([change(frame) for frame in frames])

    yield "brighter by 4", to_bytes(light + 4)
    yield "brighter by 8", to_bytes(light + 8)
    yield "contrast 1.05", to_bytes((light - 128) * 1.05 + 128)
    yield "gamma 1.1", to_bytes(255 * (light / 255) ** 1.1)
    yield "saturation 1.2", to_bytes(grey + (light - grey) * 1.2)
    yield "saturation 0.8", to_bytes(grey + (light - grey) * 0.8)
    yield "warmer by 3 %", to_bytes(light * (1.03, 1, 0.97))
    yield "blur, sigma 1", each(lambda f: cv2.GaussianBlur(f, (0, 0), 1))
    yield "blur, sigma 2", each(lambda f: cv2.GaussianBlur(f, (0, 0), 2))
    yield (
        "sharpened",
        each(lambda f: cv2.addWeighted(f, 1.5, cv2.GaussianBlur(f, (0, 0), 1.5), -0.5, 0)),
    )
    yield "grain 5", to_bytes(light + random.normal(0, 5, (*frames.shape[:3], 1)))
    yield "grain 10", to_bytes(light + random.normal(0, 10, (*frames.shape[:3], 1)))
    yield "mirrored", frames[:, :, ::-1]
    y, x = max(height // 100, 1), max(width // 100, 1)
    yield "cropped by 2 %", each(lambda f: cv2.resize(f[y:-y, x:-x], (width, height)))
    yield (
        "half size and back",
        each(lambda f: cv2.resize(cv2.resize(f, None, fx=0.5, fy=0.5), (width, height))),
    )
    titled = frames.copy()
    titled[:, -height // 12 : -height // 24, width // 20 : width // 4] = 255
    yield "a title", titled


def encoded(frames: np.ndarray, codec: str, folder: str) -> torch.Tensor:
    """The frames after encoding and decoding, uint8 (3, F, H, W)."""
    ffmpeg, file = imageio_ffmpeg.get_ffmpeg_exe(), f"{folder}/clip.mp4"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    size = ["-s", f"{frames.shape[2]}x{frames.shape[1]}", "-r", "16"]
    quiet = [ffmpeg, "-y", "-loglevel", "error"]
    subprocess.run(
        [*quiet, *raw, *size, "-i", "-", *CODECS[codec], "-pix_fmt", "yuv420p", file],
        input=np.ascontiguousarray(frames).tobytes(),
        check=True,
    )
    found = subprocess.run([*quiet, "-i", file, *raw, "-"], check=True, stdout=subprocess.PIPE)
    return tensor(np.frombuffer(bytearray(found.stdout), np.uint8).reshape(-1, *frames.shape[1:]))


def tensor(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)


def photos(folder: Path, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Colour photos of a folder, a quarter larger than the clip."""
    for file in sorted(folder.iterdir()):
        photo = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if photo is None or min(photo.shape[:2]) < 250:
            continue
        scale = 1.25 * max(size[0] / photo.shape[1], size[1] / photo.shape[0])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        yield cv2.resize(photo[:, :, ::-1], None, fx=scale, fy=scale, interpolation=how)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--size", default="832x480")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    torch.set_num_threads(1)
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    def offer(stored: torch.Tensor, frames: torch.Tensor, label: str) -> None:
        tried[label] += 1
        refused[label] += difference(stored, frames) is not None

    with tempfile.TemporaryDirectory() as folder:
        for photo in tqdm(list(photos(args.photos, (width, height)))):
            previous = None
            for motion in MOTIONS:
                frames = clip(photo, motion, (width, height))
                stored = fingerprint(tensor(frames))
                for codec in CODECS:
                    offered = encoded(frames, codec, folder)
                    offer(stored, offered, f"own frames, {codec}")
                    offer(stored, offered[:, :-1], f"one frame cut off, {motion}")
                    offer(stored, offered[:, :-2], f"two frames cut off, {motion}")
                for label, edited in edits(frames[-12:]):
                    offer(stored, encoded(edited, "x264 crf 23", folder), label)
                if previous is not None:
                    offer(stored, previous, "same photo, another motion")
                previous = encoded(frames[-12:], "x264 crf 23", folder)
    for label in tried:
        print(f"{label:32s} refused {refused[label]:3d} of {tried[label]}")


if __name__ == "__main__":
    main()
