"""What a video file says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIDECAR_BYTES = 4 * 2**20
COMMENT = "comment"
"""The tag of a container that holds the settings (in Matroska its name is in capitals)."""


def read_settings(video: Path) -> dict[str, Any] | None:
    """The settings that made a video: in the file or, as some users have it, in a .json beside it.

    None where neither holds any. They may have been written by anyone.
    """
    return _parsed(_comment(video)) or _parsed(_sidecar(video))


def _comment(video: Path) -> str:
    """The comment in the container, by PyAV; "" for a file that is no video."""
    import av

    try:
        with av.open(str(video)) as container:
            tags = {name.lower(): text for name, text in container.metadata.items()}
    except (av.FFmpegError, OSError, ValueError):
        return ""
    return tags.get(COMMENT, "")


def _sidecar(video: Path) -> str:
    path = video.with_suffix(".json")
    try:
        if path.stat().st_size < SIDECAR_BYTES:
            return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        pass
    return ""


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
