"""A film grown window by window: each frame compressed once, playing after each window."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import time
from pathlib import Path

import av
import numpy as np
import pytest
from films import RATE, boxes, decoded, film, packets, ready, sums
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.video import growing
from wan2gp_svi.video.encode import encoder
from wan2gp_svi.video.packets import describe, opened
from wan2gp_svi.video.writer import FORGOTTEN, MAKING, Writer

SHARED = [HealthCheck.function_scoped_fixture]
slow = pytest.mark.slow
KINDS = [  # setting of WanGP, container
    pytest.param("libx264_8", ".mp4"),
    pytest.param("libx264_10", ".mkv", marks=slow),
    pytest.param("libx265_28", ".mp4", marks=slow),
    pytest.param("libx265_8", ".mkv", marks=slow),
    pytest.param("libx264_lossless", ".mp4"),
    pytest.param("libx264_lossless", ".mkv"),
    pytest.param("libx264_8", ".mov", marks=slow),
]
encode = encoder("libx264_8", RATE)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Windows of 1 to 20 frames, encoded."""
    folder = tmp_path_factory.mktemp("parts")
    made = {n: folder / f"{n}.mp4" for n in range(1, 21)}
    for n, path in made.items():
        encode(film(n, 100 * n), path)
    return made


def grow(writer: Writer, *lengths: int) -> int:
    """Adds windows of these lengths, and returns how many frames the film has then."""
    for length in lengths:
        writer.add(film(length, writer.frames))
    return writer.frames


def in_order(path: Path) -> bool:
    """Whether each frame is there once, and times rise by one frame at a time."""
    found = packets(path)
    times = [decoded for _, decoded, _ in found if decoded is not None]
    steady = all(after - before == 1 for before, after in itertools.pairwise(times))
    early = all(decoded is None or decoded <= shown for shown, decoded, _ in found)
    return sorted(shown for shown, _, _ in found) == list(range(len(found))) and steady and early


@pytest.mark.parametrize(("setting", "ending"), KINDS)
def test_the_finished_film_is_the_windows_packets_and_plays_like_them(
    tmp_path: Path, setting: str, ending: str
) -> None:
    encode = encoder(setting, RATE)
    writer = Writer(tmp_path, ending, RATE, encode)
    alone, shown = [], tmp_path / f"shown{ending}"
    for number, length in enumerate((17, 12, 1, 12)):
        window = film(length, writer.frames)
        alone.append(tmp_path / f"alone{number}{ending}")
        encode(window, alone[-1])
        writer.add(window)
        writer.show(shown)
        assert sums(shown) == [s for path in alone for s in sums(path)]
        assert in_order(shown)
    done = tmp_path / f"done{ending}"
    assert writer.finish(done) is None
    writer.close()
    assert sums(done) == sums(shown) and in_order(done) and len(sums(done)) == 42
    assert np.array_equal(decoded(done), np.concatenate([decoded(path) for path in alone]))
    assert np.array_equal(decoded(done), decoded(shown))
    assert not list(tmp_path.glob(f"{MAKING}*"))


@pytest.mark.parametrize(("setting", "ending"), KINDS)
def test_the_finished_film_is_of_the_form_that_ffmpeg_gives_it(
    tmp_path: Path, setting: str, ending: str
) -> None:
    encode = encoder(setting, RATE)
    at_once, done = tmp_path / f"at_once{ending}", tmp_path / f"done{ending}"
    encode(film(29), at_once)
    writer = Writer(tmp_path, ending, RATE, encode)
    grow(writer, 17, 12)
    writer.finish(done)
    with opened(at_once) as one, opened(done) as other:
        assert describe(one) == describe(other)
        for what in ("time_base", "average_rate", "start_time", "duration", "frames"):
            a, b = getattr(one.streams.video[0], what), getattr(other.streams.video[0], what)
            assert a == b, what
    first, other_first = packets(at_once)[0], packets(done)[0]
    assert first[:2] == other_first[:2]
    if ending != ".mkv":
        assert boxes(at_once) == boxes(done)


@settings(max_examples=30, deadline=None, suppress_health_check=SHARED)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    ending=st.sampled_from([".mp4", ".mkv"]),
)
def test_windows_of_any_length_stand_behind_each_other(
    parts: dict[int, Path],
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    ending: str,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    writer = Writer(
        folder, ending, RATE, lambda frames, path: shutil.copyfile(parts[len(frames)], path)
    )
    for length in lengths:
        writer.add(np.zeros((length, 48, 64, 3), np.uint8))
    shown, done = folder / f"shown{ending}", folder / f"done{ending}"
    writer.show(shown)
    writer.finish(done)
    expected = [s for length in lengths for s in sums(parts[length])]
    assert sums(shown) == sums(done) == expected
    assert in_order(shown) and in_order(done)


def test_a_continued_video_keeps_its_packets_through_twenty_continuations(
    parts: dict[int, Path], tmp_path: Path
) -> None:
    source, lengths = tmp_path / "0.mp4", [17]
    shutil.copyfile(parts[17], source)
    for number in range(1, 21):
        length = 1 + number % 20
        writer = Writer(tmp_path, ".mp4", RATE, ready(parts[length]), source)
        lengths.append(length)
        assert writer.add(np.zeros((length, 48, 64, 3), np.uint8)) == sum(lengths)
        assert writer.converted is None
        source = tmp_path / f"{number}.mp4"
        # A film that was killed or stopped while it grew is continued as well as a finished one.
        (writer.finish if number % 2 else writer.show)(source)
        writer.close()
    assert sums(source) == [s for length in lengths for s in sums(parts[length])]
    assert in_order(source)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_video_goes_on_in_the_other_container_without_a_frame_encoded_again(
    tmp_path: Path, ending: str
) -> None:
    other = {".mp4": ".mkv", ".mkv": ".mp4"}[ending]
    source, done = tmp_path / f"source{other}", tmp_path / f"done{ending}"
    encode(film(30), source)
    writer = Writer(tmp_path, ending, RATE, encode, source)
    assert grow(writer, 12) == 42
    writer.finish(done)
    assert writer.converted is None and sums(done)[:30] == sums(source) and in_order(done)


@settings(max_examples=8, deadline=None, suppress_health_check=SHARED)
@given(kept=st.integers(1, 300))
def test_only_the_first_frames_of_a_video_are_kept(long: Path, tmp_path: Path, kept: int) -> None:
    """All but the few that refer to later ones are copied."""
    done = tmp_path / "done.mp4"
    writer = Writer(tmp_path, ".mp4", RATE, encode, long, kept)
    assert grow(writer, 5) == kept + 5
    writer.finish(done)
    writer.close()
    assert in_order(done)
    whole, copied = sums(long), 0
    for copied, (one, other) in enumerate(zip(whole, sums(done), strict=False)):  # noqa: B007
        if one != other:
            break
    assert kept - copied <= 4
    near = decoded(done)[:kept].astype(int) - decoded(long)[:kept]
    assert np.abs(near).mean() < 2


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames: more than x264 puts between two keyframes."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    encode(film(300), path)
    return path


@pytest.mark.parametrize(
    ("reason", "setting", "rate", "width"),
    [
        ("hevc, not h264", "libx265_28", 16, 64),
        ("96x48, not 64x48", "libx264_8", 16, 96),
        ("another rate or quality", "libx264_8", 25, 64),
        ("another rate or quality", "libx264_10", 16, 64),
    ],
)
def test_a_video_of_another_kind_is_encoded_again_once_and_the_reason_is_said(
    tmp_path: Path, reason: str, setting: str, rate: int, width: int
) -> None:
    source, done = tmp_path / "source.mp4", tmp_path / "done.mp4"
    encoder(setting, rate)(film(100, width=width), source)
    writer = Writer(tmp_path, ".mp4", RATE, encode, source)
    frames = {16: 100, 25: 64}[rate] + 5
    assert grow(writer, 5) == frames
    assert writer.converted is not None and reason in writer.converted
    writer.finish(done)
    assert in_order(done) and len(sums(done)) == frames
    if width == 64:
        shown = [round(i * rate / 16) for i in range(frames - 5)]
        near = decoded(done)[: frames - 5].astype(int) - decoded(source)[shown]
        assert np.abs(near).mean() < 4
    again = Writer(tmp_path, ".mp4", RATE, encode, done)
    grow(again, 5)
    assert again.converted is None


def test_a_window_that_keeps_its_part_leaves_it_as_a_video_of_its_own(tmp_path: Path) -> None:
    writer, part = Writer(tmp_path, ".mp4", RATE, encode), tmp_path / "part.mp4"
    grow(writer, 17)
    writer.add(film(12, 17), keep=part)
    shown = tmp_path / "shown.mp4"
    writer.show(shown)
    assert sums(part) == sums(shown)[17:]


def test_a_drive_without_hard_links_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    writer, shown = Writer(tmp_path, ".mp4", RATE, encode), tmp_path / "shown.mp4"
    for length in (9, 5):
        grow(writer, length)
        writer.show(shown)
        assert len(sums(shown)) == writer.frames and in_order(shown)


def test_a_player_that_lets_nobody_write_to_the_film_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows a player may open a file so; the film then goes on in a file of its own."""
    writer, shown = Writer(tmp_path, ".mp4", RATE, encode), tmp_path / "shown.mp4"
    grow(writer, 9, 5)
    writer.show(shown)
    append, held = growing.append, writer._film

    def closed(path: Path, *rest: object, **more: object) -> None:
        if path == held:
            raise PermissionError(errno.EACCES, "held by a player")
        append(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(growing, "append", closed)
    assert grow(writer, 12) == 26
    assert len(sums(shown)) == 14
    writer.show(shown)
    assert in_order(shown) and len(sums(shown)) == 26


def test_what_a_killed_run_left_is_taken_away_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / f"{MAKING}old", tmp_path / f"{MAKING}new"
    for room in (old, new):
        room.mkdir()
        (room / "film").write_bytes(b"x")
    day_before = time.time() - FORGOTTEN - 60
    for path in (old / "film", old):
        os.utime(path, (day_before, day_before))
    Writer(tmp_path, ".mp4", RATE, encode)
    assert not old.exists() and new.exists()


def test_the_comment_has_room_so_that_settings_are_written_in_place(tmp_path: Path) -> None:
    writer, shown = Writer(tmp_path, ".mp4", RATE, encode), tmp_path / "shown.mp4"
    grow(writer, 9)
    writer.show(shown)
    with av.open(str(shown)) as container:
        assert len(container.metadata["comment"]) == growing.ROOM_FOR_COMMENT


def test_an_ending_that_no_video_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.gif is no ending.*\.mp4"):
        Writer(tmp_path, ".gif", RATE, encode)
