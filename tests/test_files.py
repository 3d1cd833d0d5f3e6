"""Written whole or not at all: by its writer, for its readers, after a kill, on a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wan2gp_svi.files import whole

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and permissions")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "a name ü.txt"
    path.write_text("before")
    return path


def test_the_target_is_the_earlier_file_until_the_end_of_the_block(target: Path) -> None:
    with whole(target) as part:
        part.write_text("after")
        assert target.read_text() == "before"
        assert part.parent == target.parent  # another drive would make of the rename a copy
    assert target.read_text() == "after"
    assert list(target.parent.iterdir()) == [target]


def test_a_target_that_does_not_exist_yet(tmp_path: Path) -> None:
    with whole(tmp_path / "new") as part:
        part.write_bytes(b"\r\n\0")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new").read_bytes() == b"\r\n\0"


def test_a_name_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    with whole(target) as part:
        part.write_text("x")
    assert target.read_text() == "x"


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), ValueError()]
)
@pytest.mark.parametrize("half", [True, False])
def test_an_error_leaves_the_earlier_file_and_nothing_else(target: Path, error, half) -> None:
    with pytest.raises(type(error)) as raised, whole(target) as part:
        if half:
            part.write_text("aft")
        raise error
    assert raised.value is error
    assert target.read_text() == "before"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end(target: Path, monkeypatch, step: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "bad disk")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises(OSError, match="bad disk"), whole(target) as part:
        part.write_text("after")
    assert target.read_text() == "before"
    assert list(target.parent.iterdir()) == [target]


def test_it_is_on_the_disk_before_it_gets_its_name(target: Path, monkeypatch) -> None:
    steps = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append(("synced", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def replaced(self: Path, other: Path) -> Path:
        steps.append(("replaced", self.stat().st_ino))
        return replace(self, other)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    with whole(target) as part:
        part.write_text("after")
    inode = target.stat().st_ino
    assert steps == [("synced", inode), ("replaced", inode)]


def test_nothing_written_is_an_error_and_no_empty_file(target: Path) -> None:
    with pytest.raises(FileNotFoundError), whole(target):
        pass
    assert target.read_text() == "before"


def test_a_folder_that_is_gone_is_the_systems_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, error in (("gone", FileNotFoundError), ("file", NotADirectoryError)):
        with pytest.raises(error), whole(tmp_path / folder / "x") as part:
            part.write_text("x")


@posix
def test_a_killed_process_leaves_the_earlier_file(target: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from wan2gp_svi.files import whole
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
with whole(Path(sys.argv[1])) as part:
    part.write_text("after")
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script, target], env=env).returncode == -9
    assert target.read_text() == "before"


@posix
def test_the_mode_is_that_of_any_new_file(target: Path) -> None:
    usual = target.parent / "usual"
    usual.touch()
    with whole(target) as part:
        part.write_text("after")
    assert target.stat().st_mode == usual.stat().st_mode


@posix
def test_two_writers_and_a_reader_never_meet_a_part(target: Path) -> None:
    """Each content is one letter throughout; the last one to finish stays."""
    contents = {letter * 200_000 for letter in "ab"}
    target.write_text("a" * 200_000)
    stop = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(target.read_text())

    def write(content: str) -> None:
        for _ in range(20):
            with whole(target) as part:
                part.write_text(content)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert seen <= contents and target.read_text() in contents
    assert list(target.parent.iterdir()) == [target]


def test_it_needs_the_standard_library_alone() -> None:
    """The installer runs before anything is installed."""
    script = "import sys; import wan2gp_svi.files; print({'torch', 'numpy'} & set(sys.modules))"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    said = subprocess.run(
        [sys.executable, "-S", "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert said.stdout == "set()\n"
