"""Compressed frames and where they are shown; frames of another rate or size, in pieces."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from films import RATE, decoded, film, packets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.video import convert
from wan2gp_svi.video.convert import pictures
from wan2gp_svi.video.encode import SETTINGS, encoder
from wan2gp_svi.video.packets import NotAlike, opened, units

SHARED = [HealthCheck.function_scoped_fixture]


@pytest.fixture(scope="module")
def lossless(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """60 frames at 16, 25 and 30 frames a second; frame i is as bright as 4 i."""
    folder = tmp_path_factory.mktemp("lossless")
    frames = np.stack([np.full((48, 64, 3), 4 * i, np.uint8) for i in range(60)])
    made = {rate: folder / f"{rate}.mkv" for rate in (16, 25, 30)}
    for rate, path in made.items():
        encoder("libx264_lossless", rate)(frames, path)
    return made


@pytest.mark.parametrize("setting", ["libx264_8", "libx265_28"])
def test_units_hold_consecutive_frames_and_all_packets(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "film.mp4"
    encoder(setting, RATE)(film(40), path)
    with opened(path) as container:
        found = list(units(container, RATE))
    done = 0
    for unit in found:
        numbers = sorted(number for number, _ in unit)
        assert numbers == list(range(done, done + len(unit)))
        done += len(unit)
    assert done == 40
    assert [number for unit in found for number, _ in unit] == [p[0] for p in packets(path)]


def test_frames_that_are_not_evenly_spaced_are_not_taken(lossless: dict[int, Path]) -> None:
    with opened(lossless[25]) as container, pytest.raises(NotAlike, match="16 frames a second"):
        list(units(container, RATE))


@settings(max_examples=25, deadline=None, suppress_health_check=SHARED)
@given(start=st.integers(0, 59), more=st.integers(1, 60))
def test_a_piece_of_a_film_is_its_frames(lossless: dict[int, Path], start: int, more: int) -> None:
    stop = min(60, start + more)
    with opened(lossless[16]) as container:
        got = np.concatenate(list(pictures(container, RATE, 64, 48, start, stop)))
    assert got.shape == (stop - start, 48, 64, 3)
    assert [int(frame[0, 0, 0]) for frame in got] == [4 * i for i in range(start, stop)]


@pytest.mark.parametrize("rate", [25, 30])
@pytest.mark.parametrize("wanted", [Fraction(16), Fraction(24000, 1001), Fraction(60)])
def test_at_another_rate_the_film_lasts_as_long(
    lossless: dict[int, Path], rate: int, wanted: Fraction
) -> None:
    with opened(lossless[rate]) as container:
        got = np.concatenate(list(pictures(container, wanted, 64, 48)))
    assert abs(len(got) / wanted - Fraction(60, rate)) <= 1 / wanted
    for i, frame in enumerate(got):
        assert abs(int(frame[0, 0, 0]) / 4 - min(59, i * rate / wanted)) <= 0.55


def test_never_more_than_a_piece_is_in_memory(
    lossless: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "PIECE", 7)
    with opened(lossless[16]) as container:
        assert [len(piece) for piece in pictures(container, RATE, 32, 32)] == [7] * 8 + [4]


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_that_the_container_takes_gives_the_frames_back(
    tmp_path: Path, setting: str, ending: str
) -> None:
    if ending == ".mp4" and setting in ("prores_422", "dnxhr_hq"):
        pytest.skip("MP4 has no place for it; WanGP refuses it too")
    frames, path = film(5, width=256, height=128), tmp_path / f"film{ending}"
    encoder(setting, RATE)(frames, path)
    near = np.abs(decoded(path).astype(int) - frames)
    exact = setting == "libx264_lossless" and ending == ".mkv"
    assert near.max() == 0 if exact else near.mean() < 8


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UserError, match=r"vp9 is no way.*libx264_8"):
        encoder("vp9", RATE)
