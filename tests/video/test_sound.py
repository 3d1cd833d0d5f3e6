"""Sound that is cut where the pictures end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.video.sound import end_with_pictures

RATE, FPS = 16000, 25


def muxed(path: Path, frames: int, seconds: float, tracks: int = 1) -> Path:
    """Pictures and sound, as an encoder leaves them that is not told where to stop."""
    noise = f"anoisesrc=r={RATE}:d={seconds}:seed=3"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    command += ["-f", "lavfi", "-i", f"testsrc=s=64x64:r={FPS}:d={frames / FPS}"]
    for _ in range(tracks):
        command += ["-f", "lavfi", "-i", noise]
    for number in range(tracks + 1):
        command += ["-map", str(number)]
    command += ["-c:a", "aac", "-metadata", "comment=words", str(path)]
    subprocess.run(command, check=True)
    return path


def facts(path: Path) -> dict:
    with av.open(str(path)) as file:
        sounds = [stream.duration * stream.time_base * RATE for stream in file.streams.audio]
        comment = file.metadata.get("comment")
        pictures = [bytes(p) for p in file.demux(video=0) if p.size]
    return {"sounds": sounds, "comment": comment, "pictures": pictures}


def heard(path: Path) -> np.ndarray:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path)]
    made = subprocess.run([*command, "-f", "f32le", "-"], check=True, capture_output=True)
    return np.frombuffer(made.stdout, np.float32)


@pytest.mark.parametrize(("frames", "tracks"), [(49, 1), (17, 1), (33, 2), (81, 1)])
def test_the_sound_ends_with_the_pictures_to_the_sample(
    tmp_path: Path, frames: int, tracks: int
) -> None:
    path = muxed(tmp_path / "film.mp4", frames, frames / FPS + 0.3, tracks)
    before, sound = facts(path), heard(path)
    end_with_pictures(path)
    after = facts(path)
    assert all(length > frames * RATE / FPS for length in before["sounds"])
    assert after["sounds"] == [frames * RATE / FPS] * tracks
    assert after["pictures"] == before["pictures"]
    assert after["comment"] == "words"
    now = heard(path)
    shared = min(len(now), frames * RATE // FPS)
    assert np.array_equal(now[:shared], sound[:shared])
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]


def test_sound_that_is_not_too_long_and_films_without_stay(tmp_path: Path) -> None:
    short = muxed(tmp_path / "short.mp4", 50, 1.0)
    before = facts(short)
    end_with_pictures(short)
    assert facts(short) == before
    silent = muxed(tmp_path / "silent.mp4", 10, 1.0, tracks=0)
    content = silent.read_bytes()
    end_with_pictures(silent)
    assert silent.read_bytes() == content


def test_what_is_no_film_is_said_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no film")
    with pytest.raises(UserError, match="cannot be read"):
        end_with_pictures(path)
    assert path.read_bytes() == b"no film"
    other = muxed(tmp_path / "film.mkv", 10, 1.0)
    content = other.read_bytes()
    end_with_pictures(other)
    assert other.read_bytes() == content
