"""Pictures and videos in and out: tensors (3, F, H, W), PIL images, H.264 files."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image, ImageOps


def open_image(path: str | Path) -> Image.Image:
    """An RGB picture, turned upright."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def fit(image: Image.Image, height: int, width: int) -> Image.Image:
    """The picture scaled and cropped around its middle to width x height."""
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def convert_image_to_tensor(image: Image.Image) -> torch.Tensor:
    """(3, H, W) in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).float().div_(127.5).sub_(1)


def convert_tensor_to_image(picture: torch.Tensor) -> Image.Image:
    """The inverse of `convert_image_to_tensor`; uint8 is taken as it is."""
    if picture.dtype != torch.uint8:
        picture = picture.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


def read_video(path: str | Path) -> tuple[torch.Tensor, float]:
    """All frames (3, F, H, W), uint8, and frames a second."""
    reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    meta = next(reader)
    width, height = meta["size"]
    frames = [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader]
    return torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2), float(meta["fps"])


def video_info(path: str | Path) -> tuple[int, int, int, int]:
    """Frames a second, width, height, number of frames (all of them are counted)."""
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    reader.close()
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    return round(meta["fps"]), *meta["size"], frames


def save_video(frames: torch.Tensor, path: str | Path, fps: float) -> None:
    """(3, F, H, W) uint8 -> H.264, yuv420p, playable while it loads; whole or not at all."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.part.mp4")
    height, width = frames.shape[-2:]
    writer = imageio_ffmpeg.write_frames(
        str(unfinished),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        quality=None,
        macro_block_size=2,
        output_params=["-crf", "16", "-preset", "veryfast", "-movflags", "+faststart"],
        ffmpeg_log_level="error",
    )
    try:
        writer.send(None)
        for frame in frames.permute(1, 2, 3, 0).contiguous().numpy():
            writer.send(frame)
        writer.close()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _ffmpeg(arguments: Iterable[str]) -> str:
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise RuntimeError(f"ffmpeg failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def write_metadata(path: str | Path, settings: dict) -> None:
    """Put the settings into the file's comment, as JSON; pictures are copied, not encoded again."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.meta.mp4")
    comment = f"comment={json.dumps(settings)}"
    try:
        _ffmpeg(
            [
                "-y",
                "-i",
                str(path),
                "-c",
                "copy",
                "-movflags",
                "+faststart",
                "-metadata",
                comment,
                str(unfinished),
            ]
        )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_metadata(path: str | Path) -> dict | None:
    """The settings that `write_metadata` put there, or None."""
    text = _ffmpeg(["-v", "error", "-i", str(path), "-f", "ffmetadata", "-"])
    found = re.search(r"^comment=(.*?)(?<!\\)$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        return None
    try:
        return json.loads(re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL))
    except ValueError:
        return None
