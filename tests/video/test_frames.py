"""The frames of a video, one after the other."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.video.frames import read


def write(path: Path, levels: list[int], size: tuple[int, int] = (48, 32), fps: int = 16) -> Path:
    writer = imageio_ffmpeg.write_frames(
        str(path), size, fps=fps, quality=None, macro_block_size=1, output_params=["-crf", "1"]
    )
    writer.send(None)
    for level in levels:
        writer.send(np.full((size[1], size[0], 3), level, np.uint8))
    writer.close()
    return path


def test_every_frame_in_its_order(tmp_path: Path) -> None:
    levels = [20, 40, 40, 40, 90, 120, 200, 30]
    shape, frames = read(write(tmp_path / "a clip.mp4", levels, fps=24))
    assert (shape.width, shape.height, shape.fps, shape.frames) == (48, 32, 24, 8)
    shown = list(frames)
    assert [f.shape for f in shown] == [(32, 48, 3)] * 8
    assert shown[0].dtype == np.uint8
    assert [round(float(f.mean())) for f in shown] == pytest.approx(levels, abs=2)


def test_it_can_be_left_early(tmp_path: Path) -> None:
    _, frames = read(write(tmp_path / "clip.mp4", [50] * 40))
    assert next(frames).mean() == pytest.approx(50, abs=2)
    frames.close()  # type: ignore[attr-defined]
    assert list(frames) == []


def test_what_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no video"):
        read(tmp_path / "none.mp4")
    with pytest.raises(UserError, match="There is no video"):
        read(tmp_path)
    text = tmp_path / "text.mp4"
    text.write_text("not really a video", encoding="utf-8")
    with pytest.raises(UserError, match="not a video"):
        read(text)


def test_a_video_that_is_cut_off(tmp_path: Path) -> None:
    whole = write(tmp_path / "clip.mkv", list(range(20, 220, 2)))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    _, frames = read(cut)
    assert 0 < sum(1 for _ in frames) < 100
