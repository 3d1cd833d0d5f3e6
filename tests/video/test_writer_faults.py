"""Kills, full disks, damaged videos: the film before stays, and it can be continued."""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from films import RATE, film, ready, sums
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.video import growing
from wan2gp_svi.video import writer as module
from wan2gp_svi.video.encode import encoder
from wan2gp_svi.video.writer import MAKING, Writer

SHARED = [HealthCheck.function_scoped_fixture]
encode = encoder("libx264_8", RATE)
FULL = OSError(errno.ENOSPC, "No space left on device")


def window(frames: int = 9) -> np.ndarray:
    return np.zeros((frames, 48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("part") / "part.mp4"
    encode(film(9), path)
    return path


@pytest.fixture(scope="module")
def mkv_part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lossless: several keyframes a window, so several clusters."""
    path = tmp_path_factory.mktemp("part") / "part.mkv"
    encoder("libx264_lossless", RATE)(film(30), path)
    return path


RUN = """
import shutil, sys
from pathlib import Path
import numpy as np
from wan2gp_svi.video.writer import Writer
folder, part, frames = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
writer = Writer(folder, part.suffix, 16, lambda _, path: shutil.copyfile(part, path))
print("ready", flush=True)
window = np.zeros((frames, 48, 64, 3), np.uint8)
for number in range(10000):
    writer.add(window)
    print(writer.frames, flush=True)
    writer.show(folder / f"film{part.suffix}")
    if number % 5 == 4:
        writer.finish(folder / f"finished{part.suffix}")
"""


def kill_and_look(folder: Path, part: Path, frames: int, seconds: float) -> None:
    """Runs a writer that does nothing but write, kills it, and looks at what is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), str(part), str(frames)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.kill()
    said = [int(line) for line in process.stdout.read().split()]
    process.wait()
    shown = folder / f"film{part.suffix}"
    expected = sums(part)
    if shown.exists():
        found = sums(shown)
        assert found == expected * (len(found) // frames)  # whole windows, and nothing else
        # What was announced is there, but for a first window that was not shown yet.
        assert len(found) >= (said[-1] if said else 0)
        again = Writer(folder, part.suffix, RATE, ready(part), shown)
        assert again.add(window(frames)) == len(found) + frames
        assert again.converted is None
        done = folder / f"done{part.suffix}"
        again.finish(done)
        assert sums(done) == [*found, *expected]
        again.close()
    finished = folder / f"finished{part.suffix}"
    if finished.exists():
        assert len(sums(finished)) % (5 * frames) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_leaves_whole_windows(part: Path, mkv_part: Path, tmp_path: Path, seed: int) -> None:
    one, frames = [(part, 9), (mkv_part, 30)][seed % 2]
    kill_and_look(tmp_path, one, frames, random.Random(seed).uniform(0.0, 0.3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 150))
def test_a_kill_at_any_moment_leaves_whole_windows(
    part: Path, mkv_part: Path, tmp_path: Path, seed: int
) -> None:
    one, frames = [(part, 9), (mkv_part, 30)][seed % 2]
    kill_and_look(tmp_path, one, frames, random.Random(seed).uniform(0.0, 0.6))


@settings(max_examples=30, deadline=None, suppress_health_check=SHARED)
@given(share=st.floats(0, 1), lossless=st.booleans())
def test_a_window_that_is_half_on_the_disk_is_not_seen(
    part: Path, mkv_part: Path, tmp_path: Path, share: float, lossless: bool
) -> None:
    """The states that the file is in while it is written, and those a power cut may leave."""
    one, frames = (mkv_part, 30) if lossless else (part, 9)
    shown, states = tmp_path / f"shown{one.suffix}", []
    growing_to_disk = growing._to_disk

    def look(file) -> None:
        growing_to_disk(file)
        states.append(Path(file.name).read_bytes())

    writer = Writer(tmp_path, one.suffix, RATE, ready(one))
    writer.add(window(frames))
    writer.show(shown)
    before = shown.read_bytes()
    growing._to_disk = look
    try:
        writer.add(window(frames))
    finally:
        growing._to_disk = growing_to_disk
    written, opened = states
    assert len(sums(shown)) == 2 * frames and opened == shown.read_bytes()
    head = len(growing._empty_element(writer._form, 0))
    for at in range(head + 1):  # the head of the empty element
        (keep := tmp_path / f"state{one.suffix}").write_bytes(written[: len(before) + at])
        assert len(sums(keep)) == frames
    # The file has its full length before the fragment's first byte is written.
    cut = len(before) + head + round(share * (len(written) - len(before) - head))
    keep.write_bytes(written[:cut] + bytes(len(written) - cut))
    assert len(sums(keep)) == frames
    writer.close()


def fails_at(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """The disk is full when something goes to it the `call`th time."""
    real, calls = growing._to_disk, iter(range(1, 1000))

    def full(file) -> None:
        if next(calls) == call:
            raise FULL
        real(file)

    monkeypatch.setattr(growing, "_to_disk", full)


def test_a_full_disk_keeps_the_film_and_says_what_to_do(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, shown = Writer(tmp_path, ".mp4", RATE, ready(part)), tmp_path / "shown.mp4"
    writer.add(window())
    writer.show(shown)
    size = shown.stat().st_size
    with monkeypatch.context() as patch:
        fails_at(patch, 1)
        with pytest.raises(UserError, match=r"disk of .* is full\. The 9 frames .* Make room"):
            writer.add(window())
    assert shown.stat().st_size == size and sums(shown) == sums(part)
    assert writer.add(window()) == 18  # there is room again
    assert sums(shown) == sums(part) * 2


def test_a_full_disk_while_a_video_is_copied_leaves_nothing_behind(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.mp4"
    encode(film(40), source)
    writer = Writer(tmp_path, ".mp4", RATE, ready(part), source)
    monkeypatch.setattr(module, "FRAGMENT", (9, 1 << 20))
    with monkeypatch.context() as patch:
        fails_at(patch, 3)
        with pytest.raises(UserError, match="is full"):
            writer.add(window())
    assert writer.frames == 0 and not writer._film.exists()
    assert writer.add(window()) == 49


def test_an_encoder_that_finds_no_room_is_a_full_disk(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(frames: np.ndarray, path: Path) -> None:
        path.write_bytes(part.read_bytes()[:700])

    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"is full"):
        Writer(tmp_path, ".mp4", RATE, torn).add(window())
    assert [p for room in tmp_path.glob(f"{MAKING}*") for p in room.iterdir()] == []


@pytest.mark.parametrize("what", ["nothing", "torn", "too few"])
def test_an_encoder_that_fails_is_told_and_the_film_stays(
    part: Path, tmp_path: Path, what: str
) -> None:
    now = {"encode": ready(part)}
    writer = Writer(tmp_path, ".mp4", RATE, lambda frames, path: now["encode"](frames, path))
    shown = tmp_path / "shown.mp4"
    writer.add(window())
    writer.show(shown)
    now["encode"] = {
        "nothing": lambda frames, path: None,
        "torn": lambda frames, path: path.write_bytes(part.read_bytes()[:-200]),
        "too few": lambda frames, path: encode(film(3), path),
    }[what]
    with pytest.raises(UserError, match=r"could not be written .*The 9 frames"):
        writer.add(window())
    assert sums(shown) == sums(part)


def test_a_film_that_cannot_be_finished_still_stands_under_its_name(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, done = Writer(tmp_path, ".mp4", RATE, ready(part)), tmp_path / "done.mp4"
    writer.add(window())

    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(Writer, "_rewrite", full)
    said = writer.finish(done)
    assert said is not None and "plays" in said
    writer.close()
    assert sums(done) == sums(part)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("grown", [True, False])
def test_a_torn_source_is_refused_in_words_and_nothing_changes(
    tmp_path: Path, share: float, grown: bool
) -> None:
    """A grown film that is cut still holds its whole windows, so it goes on; others are refused."""
    whole, source = tmp_path / "whole.mp4", tmp_path / "source.mp4"
    first = Writer(tmp_path, ".mp4", RATE, encode)
    for _ in range(5):
        first.add(film(20, first.frames))
    (first.show if grown else first.finish)(whole)
    first.close()
    source.write_bytes(whole.read_bytes()[: round(share * whole.stat().st_size)])
    data = source.read_bytes()
    writer = Writer(tmp_path, ".mp4", RATE, encode, source)
    with pytest.raises(UserError, match=r"damaged.*nothing was changed"):
        writer.add(film(9))
    assert source.read_bytes() == data and writer.frames == 0
    writer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source.mp4", "whole.mp4"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "There is no video"), (b"", "cannot be read"), (b"no video at all" * 99, "cannot be")],
)
def test_a_source_that_is_no_video_is_refused_in_words(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    source = tmp_path / "source.mp4"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(UserError, match=words):
        Writer(tmp_path, ".mp4", RATE, encode, source).add(film(3))


def test_a_source_with_fewer_frames_than_asked_for_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    encode(film(20), source)
    with pytest.raises(UserError, match=r"has 20 frames .* and 30 were asked for"):
        Writer(tmp_path, ".mp4", RATE, encode, source, kept=30).add(film(3))


@pytest.mark.skipif(sys.platform == "win32", reason="needs links to count")
def test_while_a_film_grows_the_disk_holds_it_once(part: Path, tmp_path: Path) -> None:
    writer = Writer(tmp_path, ".mp4", RATE, ready(part))
    for number in range(20):
        writer.add(window())
        writer.show(tmp_path / f"{number}.mp4")
    files = {p.stat().st_ino: p.stat().st_blocks for p in tmp_path.rglob("*") if p.is_file()}
    assert len(files) == 1
    assert (tmp_path / "0.mp4").stat().st_size < 1.1 * 20 * part.stat().st_size + 20_000
