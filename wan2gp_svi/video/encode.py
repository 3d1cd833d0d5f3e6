"""Frames -> a video file, encoded as WanGP encodes at the same settings.

WanGP writes videos with imageio, which hands raw frames to ffmpeg; the same call with the same
settings gives the same packets. The table below holds the settings that its configuration page
offers (`video_output_codec`), as they were in versions 9 to 12.60.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from wan2gp_svi.errors import UserError

Encode = Callable[[np.ndarray, Path], None]
_QUIET = ["-hide_banner", "-nostats"]
_SETTINGS = {  # ffmpeg's encoder, its pixel format, its options
    "libx264_8": ("libx264", "yuv420p", ["-crf", "10"]),
    "libx264_10": ("libx264", "yuv420p", ["-crf", "0"]),
    "libx265_28": ("libx265", "yuv420p", ["-crf", "28", "-x265-params", "log-level=none"]),
    "libx265_8": ("libx265", "yuv420p", ["-crf", "8", "-x265-params", "log-level=none"]),
    "libx264_lossless": ("libx264", "yuv444p", ["-crf", "0"]),
    "prores_422": ("prores_ks", "yuv422p10le", ["-profile:v", "2"]),
    "dnxhr_hq": ("dnxhd", "yuv422p", ["-profile:v", "dnxhr_hq"]),
}
SETTINGS = tuple(_SETTINGS)
_LOSSLESS_MKV: tuple[str, str, list[str]] = ("ffv1", "rgb24", [])


def encoder(setting: str, rate: Fraction | float) -> Encode:
    """What writes frames, uint8 (F, H, W, 3), to a path whose ending names the container.

    `setting` is one of SETTINGS. As in WanGP a side that is no multiple of 16 is stretched to the
    next one. Raises UserError for another setting.
    """
    if setting not in _SETTINGS:
        raise UserError(
            f"{setting} is no way to encode a video; choose from {', '.join(SETTINGS)}."
        )

    def encode(frames: np.ndarray, path: Path) -> None:
        lossless_mkv = setting == "libx264_lossless" and path.suffix == ".mkv"
        codec, pixels, options = _LOSSLESS_MKV if lossless_mkv else _SETTINGS[setting]
        height, width = frames.shape[1:3]
        writer = imageio_ffmpeg.write_frames(
            str(path),
            (width, height),
            fps=float(rate),
            codec=codec,
            pix_fmt_out=pixels,
            quality=None,
            macro_block_size=16,
            ffmpeg_log_level="error",
            output_params=[*options, *_QUIET],
        )
        writer.send(None)
        try:
            for frame in frames:
                writer.send(np.ascontiguousarray(frame))
        finally:
            writer.close()

    return encode
