"""What the bridge says in WanGP's console."""

from __future__ import annotations

_told: set[str] = set()


def say(text: str) -> None:
    """One line."""
    print(f"[SVI] {text}")


def say_once(text: str) -> None:
    """One line, once in the life of this WanGP."""
    if text not in _told:
        _told.add(text)
        say(text)
