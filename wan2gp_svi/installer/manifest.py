"""What was installed: versions, and the hash of every file before and after."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from wan2gp_svi.installer.journal import STATE

MANIFEST = f"{STATE}/manifest.json"
PATCH = f"{STATE}/hooks.patch"
_FORMAT = 1


@dataclass
class Manifest:
    """Written into WanGP's folder by every install; paths are relative to it."""

    extension: str = ""  # version of wan2gp-svi
    hooks: int = 0  # version of the hooks
    wangp: str = ""  # version and commit at that time, for people
    patched: dict[str, dict[str, str]] = field(default_factory=dict)  # file -> before, after
    added: dict[str, str] = field(default_factory=dict)  # file -> hash as it was written
    folders: list[str] = field(default_factory=list)  # made by us, removed when empty
    updating: bool = False  # the hooks are out because WanGP is being updated

    def dump(self) -> bytes:
        return (json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n").encode()


def load(root: Path) -> Manifest | None:
    """The manifest of this WanGP folder; None when there is none, or none that can be read."""
    try:
        values = json.loads((root / MANIFEST).read_bytes())
        if values.pop("format") != _FORMAT:
            return None
        return Manifest(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
