"""Git patches: read ours, write one with context from the user's own file, apply it either way.

Ours hold no context and remove nothing; where a hunk goes is said by its section heading
(`places.py`). What is written for the user is an ordinary patch that `git apply` reads as well.
Everything is bytes: line endings, byte order marks and odd characters stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)", re.DOTALL)
_NO_NEWLINE = b"\\ No newline at end of file\n"
_CONTEXT = 3


class PatchError(ValueError):
    """A patch that cannot be read, or that does not fit the file it is for."""


@dataclass(frozen=True)
class Insertion:
    """Lines of ours that go in after `line` (1-based; 0: at the top) of the file at hand."""

    line: int
    lines: tuple[bytes, ...]  # each with its ending
    place: str  # the section heading


@dataclass(frozen=True)
class Hunk:
    """One `@@` of a patch: `body` holds (sign, line) with sign one of b" ", b"-", b"+"."""

    old_start: int  # as in the header: the line before, when nothing is removed and no context
    new_start: int
    place: str
    body: tuple[tuple[bytes, bytes], ...]

    @property
    def added(self) -> tuple[bytes, ...]:
        return tuple(line for sign, line in self.body if sign == b"+")


@dataclass(frozen=True)
class FilePatch:
    """All hunks for one file; `path` is relative to the folder, with forward slashes."""

    path: str
    hunks: tuple[Hunk, ...]


def parse(text: bytes) -> list[FilePatch]:
    """Read a git patch. Raises PatchError when a hunk does not hold what its header counts."""
    patches: list[FilePatch] = []
    hunks: list[Hunk] = []
    lines = iter(text.split(b"\n"))
    line = next(lines, None)
    while line is not None:
        header = _HUNK.fullmatch(line.rstrip(b"\r"))
        if line.startswith(b"+++ b/"):
            hunks = []
            path = line[6:].strip().decode("utf-8")
            patches.append(FilePatch(path, ()))
        elif header:
            if not patches:
                raise PatchError("a patch has a hunk before it names a file")
            hunk, line = _hunk(header, lines)
            hunks.append(hunk)
            patches[-1] = FilePatch(patches[-1].path, tuple(hunks))
            continue
        line = next(lines, None)
    if not patches:
        raise PatchError("the patch names no file")
    return patches


def _hunk(header: re.Match[bytes], lines: Iterator[bytes]) -> tuple[Hunk, bytes | None]:
    left_old, left_new = (int(header[i]) if header[i] is not None else 1 for i in (2, 4))
    body: list[tuple[bytes, bytes]] = []
    line = next(lines, None)
    while left_old or left_new:
        if line is None or line[:1] not in (b" ", b"-", b"+"):
            raise PatchError(f"the hunk at line {int(header[1])} is cut short")
        body.append((line[:1], line[1:] + b"\n"))
        left_old -= line[:1] != b"+"
        left_new -= line[:1] != b"-"
        line = next(lines, None)
        if line is not None and line.startswith(_NO_NEWLINE[:2]):
            body[-1] = (body[-1][0], body[-1][1][:-1])
            line = next(lines, None)
    place = header[5].decode("utf-8").strip()
    return Hunk(int(header[1]), int(header[3]), place, tuple(body)), line


def insert(source: bytes, insertions: Sequence[Insertion]) -> bytes:
    """The file with the insertions in. A file without a final newline still has none after."""
    lines = source.splitlines(keepends=True)
    return b"".join(line for _, _, body in _edits(lines, insertions) for line in _new(body))


def write(path: str, source: bytes, insertions: Sequence[Insertion]) -> bytes:
    """The ordinary git patch, three lines of context, that makes these insertions in the file."""
    lines = source.splitlines(keepends=True)
    if any(line.endswith(b"\r") for line in lines):
        raise PatchError(f"{path} has lines that end in CR alone, which no patch can say")
    name = path.encode()
    out = [b"diff --git a/%s b/%s\n--- a/%s\n+++ b/%s\n" % (name, name, name, name)]
    grown = 0
    for group in _groups(_edits(lines, insertions)):
        start, place, body = group
        old, new = (sum(sign != skip for sign, _ in body) for skip in (b"+", b"-"))
        old_at, new_at = start + (old > 0), start + grown + (new > 0)
        heading = place.encode()
        out.append(b"@@ -%d,%d +%d,%d @@ %s\n" % (old_at, old, new_at, new, heading))
        for sign, line in body:
            out.append(sign + line if line.endswith(b"\n") else sign + line + b"\n" + _NO_NEWLINE)
        grown += new - old
    return b"".join(out)


_Body = list[tuple[bytes, bytes]]


def _edits(lines: list[bytes], insertions: Sequence[Insertion]) -> list[tuple[int, str, _Body]]:
    """The whole file as runs of (first line, place, body); untouched runs have no place."""
    runs: list[tuple[int, str, _Body]] = []
    at = 0
    for insertion in sorted(insertions, key=lambda i: i.line):
        runs.append((at, "", [(b" ", line) for line in lines[at : insertion.line]]))
        at = insertion.line
        body = [(b"+", line) for line in insertion.lines]
        if at and not lines[at - 1].endswith((b"\n", b"\r")):
            # The last line has no newline: it gets one, and the last of ours has none instead.
            ending = insertion.lines[-1][len(insertion.lines[-1].rstrip(b"\r\n")) :]
            runs[-1][2].pop()
            body = [(b"-", lines[at - 1]), (b"+", lines[at - 1] + ending), *body[:-1]]
            body.append((b"+", insertion.lines[-1].removesuffix(ending)))
            runs.append((at - 1, insertion.place, body))
        else:
            runs.append((at, insertion.place, body))
    runs.append((at, "", [(b" ", line) for line in lines[at:]]))
    return runs


def _groups(runs: list[tuple[int, str, _Body]]) -> list[tuple[int, str, _Body]]:
    """Hunks with context: insertions closer than two contexts share one."""
    groups: list[tuple[int, str, _Body]] = []
    for number, (start, place, body) in enumerate(runs):
        if not place:
            continue
        before, after = runs[number - 1][2], runs[number + 1][2]
        if groups and len(before) <= 2 * _CONTEXT:
            first, first_place, whole = groups[-1]
            whole = whole[: len(whole) - min(_CONTEXT, len(before))] + before
            groups[-1] = (first, first_place, whole + body + after[:_CONTEXT])
        else:
            head = before[-_CONTEXT:]
            groups.append((start - len(head), place, head + body + after[:_CONTEXT]))
    return groups


def apply(source: bytes, patch: FilePatch, reverse: bool = False) -> bytes:
    """The file with the patch applied (or taken back), exactly where the patch says.

    Raises PatchError when the file does not hold the lines that the patch expects.
    """
    lines = source.splitlines(keepends=True)
    out: list[bytes] = []
    at = 0
    for hunk in patch.hunks:
        body = [(_turned(sign) if reverse else sign, line) for sign, line in hunk.body]
        expected = [line for sign, line in body if sign != b"+"]
        start = (hunk.new_start if reverse else hunk.old_start) - (1 if expected else 0)
        if start < at or lines[start : start + len(expected)] != expected:
            raise PatchError(f"{patch.path} does not hold what the patch expects near {start + 1}")
        out += lines[at:start]
        out += _new(body)
        at = start + len(expected)
    return b"".join([*out, *lines[at:]])


def _new(body: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    return [line for sign, line in body if sign != b"-"]


def _turned(sign: bytes) -> bytes:
    return {b"+": b"-", b"-": b"+"}.get(sign, sign)
