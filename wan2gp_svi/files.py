"""A file is written whole or not at all.

What is to be written goes into a new file beside the target, to the disk, and only then gets the
target's name, which takes one step (rename(2); MoveFileEx on Windows). So whoever opens the target
finds what was there before or all that is new, also after a kill, a full disk or a power cut.

installer/journal.py stays with steps of its own: it changes many files as one, and after a kill
the next run must know the temporary names by heart, which here are drawn by chance.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wan2gp_svi.errors import UserError


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """The path to write to: beside `target`, whose place it takes at the end of the block.

    After any exception it is gone and `target` as it was. Raises the system's own OSError, which
    the caller puts into words. The path has no ending that says a format: a writer that goes by
    the name must be told it.
    """
    # A short name of its own: with the target's in it, it could be too long for the file system.
    part = target.with_name(f".svi-{uuid.uuid4().hex}.tmp")
    try:
        yield part
        with part.open("rb+") as file:  # Windows flushes no file that is open for reading only
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write(target: Path, fill: Callable[[Path], object]) -> None:
    """`target`, whole, as `fill` writes it to the path that it is given.

    Raises `UserError`, exit code 1, with the system's reason where it cannot be written.
    """
    try:
        with whole(target) as part:
            fill(part)
    except OSError as error:
        raise UserError(f"{target} could not be written: {error.strerror or error}.", 1) from error
