"""Several files changed as one: all of them, or none, also when the process is killed half way.

The changes, with the old and the new bytes of every file, are first written to one journal file.
Putting that file in place is the moment of decision: before it nothing has happened, after it
whoever comes next finishes what it says. Each file is replaced whole.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wan2gp_svi.errors import UserError

STATE = ".wan2gp_svi"  # git ignores it in every WanGP (`.*`), and `git reset --hard` leaves it
_JOURNAL = f"{STATE}/journal.json"
_TEMPORARY = ".wan2gp_svi-new"


@dataclass(frozen=True)
class Change:
    """One file, by its path below the WanGP folder: bytes before and after, None for no file."""

    path: str
    old: bytes | None
    new: bytes | None
    mode: int | None = None  # what a file that was removed had, for when it is put back


class Disk:
    """Every step that changes the disk goes through here, so that a test can stop at any."""

    def write(self, path: Path, data: bytes, mode: int | None, sync: bool) -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if mode is not None:
            path.chmod(mode)

    def replace(self, source: Path, target: Path) -> None:
        try:
            source.replace(target)
        except PermissionError:
            # Windows does not replace a file that is marked read-only; the new one keeps the mark.
            if os.name != "nt" or not target.exists():
                raise
            target.chmod(stat.S_IWRITE)
            source.replace(target)

    def unlink(self, path: Path) -> None:
        if os.name == "nt" and path.exists():
            path.chmod(stat.S_IWRITE)
        path.unlink(missing_ok=True)

    def mkdir(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def rmdir(self, path: Path) -> None:
        path.rmdir()


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
    except FileNotFoundError:
        _tidy(root, disk)
        return None
    except ValueError as error:
        raise UserError(
            f"{journal} is damaged, so what was begun cannot be finished from it. Delete that"
            " file, then run install or uninstall again: both mend what is half done."
        ) from error
    changes = [_unpacked(packed) for packed in plan["changes"]]
    make, empty = ([root / name for name in plan[key]] for key in ("make", "empty"))
    said = "A run that was stopped half way has been finished."
    failed: OSError | None = None
    if plan["going"] == "forward":
        try:
            if all(_read(root / c.path) in (c.old, c.new) for c in changes):
                for folder in make:
                    _make(folder, disk)
                _carry_out(root, changes, disk)
                _remove_empty(empty, disk)
                disk.unlink(journal)
            else:
                plan["going"] = "back"
        except OSError as error:
            failed, plan["going"] = error, "back"
        if plan["going"] == "back":
            _decide(root, plan, disk)
    if plan["going"] == "back":
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
    for folder in reversed(folders):
        if folder.is_dir() and not any(folder.iterdir()):
            disk.rmdir(folder)


def _tidy(root: Path, disk: Disk) -> None:
    """An empty folder of ours is a trace, too, but no reason to fail."""
    with contextlib.suppress(OSError):
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
