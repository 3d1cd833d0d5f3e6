"""What the bridge says in WanGP's console."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_told: set[str] = set()
_listening = threading.local()


def say(text: str) -> None:
    """One line."""
    heard = getattr(_listening, "lines", None)
    if heard is None:
        print(f"[SVI] {text}")
    else:
        heard.append(text)


def say_once(text: str) -> None:
    """One line, once in the life of this WanGP."""
    if text not in _told:
        _told.add(text)
        say(text)


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is said in this thread goes into the list that this gives, and not to the console."""
    before = getattr(_listening, "lines", None)
    lines: list[str] = []
    _listening.lines = lines
    try:
        yield lines
    finally:
        _listening.lines = before
