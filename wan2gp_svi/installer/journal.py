"""Several files changed as one: all of them, or none, also when the process is killed half way.

The changes, with the old and the new bytes of every file, are first written to one journal file.
Putting that file in place is the moment of decision: before it nothing has happened, after it
whoever comes next finishes what it says. Each file is replaced whole.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from wan2gp_svi.errors import UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

STATE = ".wan2gp_svi"  # git ignores it in every WanGP (`.*`), and `git reset --hard` leaves it
_JOURNAL = f"{STATE}/journal.json"
_TEMPORARY = ".wan2gp_svi-new"
_LOCK = ".wan2gp_svi-lock"
_TRIES, _PAUSE = 11, 0.2  # two seconds; a virus scanner rarely needs one


@dataclass(frozen=True)
class Change:
    """One file, by its path below the WanGP folder: bytes before and after, None for no file."""

    path: str
    old: bytes | None
    new: bytes | None
    mode: int | None = None  # what a file that was removed had, for when it is put back


class Disk:
    """Every step that changes the disk goes through here, so that a test can stop at any."""

    windows = os.name == "nt"
    wait = staticmethod(time.sleep)

    def write(self, path: Path, data: bytes, mode: int | None, sync: bool) -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if mode is not None:
            path.chmod(mode)

    def replace(self, source: Path, target: Path) -> None:
        self._until_free(lambda: source.replace(target), target)

    def unlink(self, path: Path) -> None:
        self._until_free(lambda: path.unlink(missing_ok=True), path)

    def mkdir(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def rmdir(self, path: Path) -> None:
        path.rmdir()

    def _until_free(self, step: Callable[[], object], path: Path) -> None:
        """Windows refuses while a scanner looks at the file, and when it is marked read-only."""
        if not self.windows:
            step()
            return
        mode = _mode(path)
        mark = mode if mode is not None and not mode & stat.S_IWRITE else None
        if mark is not None:
            path.chmod(mark | stat.S_IWRITE)
        for left in reversed(range(_TRIES)):
            try:
                step()
                return
            except PermissionError:
                if left:
                    self.wait(_PAUSE)
                    continue
                if mark is not None:
                    path.chmod(mark)
                raise


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """One run at a time in this WanGP folder; the lock ends with the process that holds it.

    Raises UserError when another run holds it. Where there can be no lock (the folder cannot be
    written, its drive knows none) the run goes on without: what it cannot do fails by itself.
    """
    path = root / _LOCK
    file = _open_locked(path)
    try:
        yield
    finally:
        if file is not None and os.name == "nt":
            file.close()  # Windows removes no open file, and none that the next run has opened
            with contextlib.suppress(OSError):
                path.unlink()
        elif file is not None:
            with contextlib.suppress(OSError):
                path.unlink()  # while it is locked: afterwards it could be the next run's
            file.close()


def _open_locked(path: Path) -> BinaryIO | None:
    for _ in range(_TRIES):
        try:
            file = path.open("ab")
        except OSError:
            return None
        if not _lock(file):
            file.close()
            raise UserError(
                f"Another run of wan2gp-svi is at work in {path.parent}. Wait until it is done,"
                " then try again.",
                exit_code=1,
            )
        if os.name == "nt" or _is_at(path, file):
            _keep_owner(path, path.parent)
            return file
        file.close()  # its holder removed it between our opening and our locking
    return None


def _lock(file: BinaryIO) -> bool:
    """False when another process has it; a drive that knows no locks refuses nobody."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def commit(root: Path, changes: Sequence[Change], empty: Sequence[str], disk: Disk) -> None:
    """Make all changes, then remove those of the folders `empty` that have become empty.

    When one change fails all are taken back, and its OSError is raised.
    """
    changes = [change for change in changes if change.old != change.new]
    if not changes:
        return
    _make(root / STATE, disk)
    plan = {
        "going": "forward",
        "make": missing_folders(root, [c.path for c in changes if c.new is not None]),
        "empty": sorted(empty, key=len),
        "changes": [_packed(change, _mode(root / change.path)) for change in changes],
    }
    _decide(root, plan, disk)
    recover(root, disk)


def missing_folders(root: Path, paths: Sequence[str]) -> list[str]:
    """The folders below `root` that these files need and that do not exist yet, outermost first."""
    needed = {parent for path in paths for parent in PurePosixPath(path).parents}
    names = [str(folder) for folder in needed if str(folder) not in (".", STATE)]
    return sorted((name for name in names if not (root / name).is_dir()), key=len)


def recover(root: Path, disk: Disk) -> str | None:
    """Finish what a killed run began; says in words what was done, None when nothing was.

    A file that somebody else has changed in between is left as it is, and the others are taken
    back: half of the changes must not stay.
    """
    journal = root / _JOURNAL
    undecided = journal.with_name(journal.name + _TEMPORARY)
    if undecided.exists():
        disk.unlink(undecided)  # the decision was never made
    try:
        plan = json.loads(journal.read_bytes())
        going = plan["going"]
        changes = [_unpacked(packed) for packed in plan["changes"]]
        make, empty = ([root / name for name in plan[key]] for key in ("make", "empty"))
    except FileNotFoundError:
        _tidy(root, disk)
        return None
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise UserError(
            f"{journal} is damaged, so what was begun cannot be finished from it. Delete that"
            " file, then run install or uninstall again: both mend what is half done."
        ) from error
    said = "A run that was stopped half way has been finished."
    failed: OSError | None = None
    if going == "forward":
        try:
            if all(_read(root / c.path) in (c.old, c.new) for c in changes):
                for folder in make:
                    _make(folder, disk)
                _carry_out(root, changes, disk)
                _remove_empty(empty, disk)
                disk.unlink(journal)
            else:
                going = "back"
        except OSError as error:
            failed, going = error, "back"
        if going == "back":
            _decide(root, {**plan, "going": going}, disk)
    if going == "back":
        for folder in empty:
            _make(folder, disk)
        back = [Change(c.path, c.new, c.old, c.mode) for c in reversed(changes)]
        _carry_out(root, [c for c in back if _read(root / c.path) in (c.old, c.new)], disk)
        _remove_empty(make, disk)
        disk.unlink(journal)
        said = "A run that was stopped half way has been taken back."
    _tidy(root, disk)
    if failed is not None:
        raise failed
    return said


def _decide(root: Path, plan: dict, disk: Disk) -> None:
    journal = root / _JOURNAL
    undecided = journal.with_name(journal.name + _TEMPORARY)
    try:
        disk.write(undecided, json.dumps(plan).encode(), None, sync=True)
        disk.replace(undecided, journal)
    except OSError:
        with contextlib.suppress(OSError):
            disk.unlink(undecided)
            _tidy(root, disk)
        raise


def _carry_out(root: Path, changes: Sequence[Change], disk: Disk) -> None:
    for change in changes:
        path = root / change.path
        temporary = path.with_name(path.name + _TEMPORARY)
        if _read(path) == change.new:
            if temporary.exists():
                disk.unlink(temporary)
        elif change.new is None:
            disk.unlink(path)
        else:
            mode = _mode(path)
            mode = change.mode if mode is None else mode
            disk.write(temporary, change.new, mode, sync=change.old is not None)
            _keep_owner(temporary, path if path.exists() else path.parent)
            disk.replace(temporary, path)


def _make(folder: Path, disk: Disk) -> None:
    if not folder.is_dir():
        disk.mkdir(folder)
        _keep_owner(folder, folder.parent)


def _remove_empty(folders: Sequence[Path], disk: Disk) -> None:
    """An empty folder is a trace, too, but one that a terminal stands in is no reason to fail."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            if folder.is_dir() and not any(folder.iterdir()):
                disk.rmdir(folder)


def _tidy(root: Path, disk: Disk) -> None:
    _remove_empty([root / STATE], disk)


def unfinished(root: Path) -> bool:
    """Whether the next call has something to finish or to take back."""
    return (root / _JOURNAL).exists()


def _keep_owner(path: Path, like: Path) -> None:
    """Run as root (in Docker, with sudo), what is new belongs to whom WanGP belongs."""
    if hasattr(os, "chown") and os.geteuid() == 0:
        owner = like.stat()
        with contextlib.suppress(OSError):  # some file systems have no owners
            os.chown(path, owner.st_uid, owner.st_gid)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _mode(path: Path) -> int | None:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


def _packed(change: Change, mode: int | None) -> dict:
    def pack(data: bytes | None) -> str | None:
        return None if data is None else base64.b64encode(zlib.compress(data, 1)).decode("ascii")

    return {"path": change.path, "old": pack(change.old), "new": pack(change.new), "mode": mode}


def _unpacked(packed: dict) -> Change:
    def unpack(text: str | None) -> bytes | None:
        return None if text is None else zlib.decompress(base64.b64decode(text))

    return Change(packed["path"], unpack(packed["old"]), unpack(packed["new"]), packed["mode"])
