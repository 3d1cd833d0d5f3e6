"""What the hooks are, and a WanGP file with them in or out.

Each block of ours stands between two marker comments, so that it is found again in a file that
its user or an update has changed since: nothing but the file itself is needed to take it out.
"""

from __future__ import annotations

import ast
import builtins
import gc
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import patchfile, places
from wan2gp_svi.installer.patchfile import Insertion

OPENS = b"# >>> wan2gp-svi"
CLOSES = b"# <<< wan2gp-svi"


@dataclass(frozen=True)
class Hook:
    """One block of ours: the file and the place it goes to, and its lines without indentation."""

    file: str
    place: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Patched:
    """A WanGP file without our blocks (`base`), with them (`new`), and the patch between."""

    base: bytes
    new: bytes
    patch: bytes


def load(folder: Path) -> list[Hook]:
    """The hooks of `patches/`, in the order of its `series`.

    Raises UserError when a patch is damaged, or holds a line that is not ours to insert.
    """
    hooks: list[Hook] = []
    try:
        for name in (folder / "series").read_text("utf-8").split():
            text = (folder / name).read_bytes().replace(b"\r\n", b"\n")
            for patch in patchfile.parse(text):
                for hunk in patch.hunks:
                    if len(hunk.added) != len(hunk.body):
                        raise patchfile.PatchError(f"{name} holds a line that it does not insert")
                    block = textwrap.dedent(b"".join(hunk.added).decode("utf-8"))
                    hooks.append(Hook(patch.path, hunk.place, tuple(block.splitlines())))
    except (OSError, ValueError) as error:
        raise UserError(
            f"The patches of wan2gp-svi are damaged ({error}). Get it again."
        ) from error
    return hooks


def number(hooks: list[Hook]) -> int:
    """The version of the hooks: the number that every module hook hands to the package."""
    found = re.findall(r"hooks=(\d+)", "\n".join(line for h in hooks for line in h.lines))
    if len(set(found)) != 1:
        raise UserError("The patches of wan2gp-svi do not agree on their version. Get it again.")
    return int(found[0])


def put_in(path: str, base: bytes, hooks: list[Hook]) -> Patched:
    """The file with the hooks in, and the patch that puts them there.

    Raises places.PlaceError when a place does not resolve exactly once, a name that a hook uses
    does not exist there, or the file is not Python.
    """
    with _no_collection():
        try:
            tree = ast.parse(base)
        except (SyntaxError, ValueError) as error:
            raise places.PlaceError(f"it does not parse as Python: {error}") from error
        insertions = [_insertion(base, tree, hook) for hook in hooks]
        try:
            patch = patchfile.write(path, base, insertions)
            new = patchfile.apply(base, patchfile.parse(patch)[0])
            compile(new, path, "exec", dont_inherit=True)
            if new != patchfile.insert(base, insertions) or take_out(new)[0] != base:
                raise patchfile.PatchError("the patch does not come out as it went in")
        except (SyntaxError, ValueError) as error:
            raise places.PlaceError(f"the hooks do not fit: {error}") from error
    return Patched(base, new, patch)


def _insertion(base: bytes, tree: ast.Module, hook: Hook) -> Insertion:
    spot = places.resolve(base, tree, hook.place)
    if spot.names:
        missing = sorted(_names_used(hook) - spot.names)
        if missing:
            raise places.PlaceError(f"at '{hook.place}' there is no {', '.join(missing)}")
    ending = _ending(places.split_lines(base), spot.line)
    block = tuple((spot.indent + line if line else "").encode() + ending for line in hook.lines)
    return Insertion(spot.line, block, hook.place)


def _ending(lines: list[bytes], line: int) -> bytes:
    """How the neighbour of a new line ends; the file's first line where that has no ending."""
    for near in (*lines[max(line - 1, 0) :][:1], *lines[:1]):
        ending = near[len(near.rstrip(b"\r\n")) :]
        if ending:
            return ending
    return b"\n"


def _names_used(hook: Hook) -> set[str]:
    used = {
        node.id
        for node in ast.walk(ast.parse("\n".join(hook.lines)))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return {name for name in used if not name.startswith("_wan2gp_svi")} - set(dir(builtins))


def take_out(source: bytes) -> tuple[bytes, list[bytes]]:
    """The file without our blocks, and the blocks that were in it.

    Raises places.PlaceError when a block was opened and never closed: which lines are ours is not
    certain then.
    """
    if OPENS not in source:
        return source, []
    kept: list[bytes] = []
    blocks: list[bytes] = []
    block: list[bytes] | None = None
    for number_, line in enumerate(source.splitlines(keepends=True), 1):
        text = line.strip()
        if text.startswith(OPENS):
            if block is not None:
                raise places.PlaceError(f"line {number_} opens a block of ours inside another")
            block = []
        if block is None:
            kept.append(line)
            continue
        block.append(line)
        if text.startswith(CLOSES):
            blocks.append(b"".join(block))
            if not line.endswith((b"\n", b"\r")) and kept:
                kept[-1] = kept[-1].rstrip(b"\r\n")  # the newline before the block was ours
            block = None
    if block is not None:
        opened = block[0].decode("utf-8", "replace").strip()
        raise places.PlaceError(f"the end of our block '{opened}' is missing")
    return b"".join(kept), blocks


@contextmanager
def _no_collection() -> Iterator[None]:
    """Building a syntax tree of a million nodes is twice as fast without the cycle collector."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
