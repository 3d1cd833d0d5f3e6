"""When the self-test last passed in a WanGP folder, and with which WanGP.

Written by wan2gp_svi/selftest, read here: the installer needs nothing of what the test needs.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from wan2gp_svi import files
from wan2gp_svi.installer.find import WanGP
from wan2gp_svi.installer.journal import STATE

RECORD = f"{STATE}/selftest.json"
COMMAND = "install.bat selftest" if os.name == "nt" else "bash install.sh selftest"
"""What runs the test, in this project's folder."""
_FORMAT = 1


@dataclass(frozen=True)
class Proof:
    """The last time that the self-test passed.

    `day`: UTC, as 2026-11-24. `wangp`, `extension`: versions. `undecided`: how many of its lines
    could not be decided. `told`: the version of WanGP that the page has spoken of since.
    """

    day: str
    wangp: str
    extension: str
    device: str
    undecided: int = 0
    told: str = ""


def load(root: Path) -> Proof | None:
    """The record in this WanGP folder; None where there is none, or none that can be read."""
    try:
        values = json.loads((root / RECORD).read_bytes())
        if values.pop("format") != _FORMAT:
            return None
        found = Proof(**values)
        texts = (found.day, found.wangp, found.extension, found.device, found.told)
        whole = all(isinstance(text, str) for text in texts)
        return found if whole and isinstance(found.undecided, int) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(root: Path, proof: Proof) -> None:
    """Write the record, whole or not at all. Raises OSError."""
    path = root / RECORD
    path.parent.mkdir(exist_ok=True)
    with files.whole(path) as part:
        part.write_text(json.dumps({"format": _FORMAT, **asdict(proof)}, indent=2) + "\n", "utf-8")


def sentence(proof: Proof | None, wangp: WanGP) -> str:
    """What `status` says of it."""
    if proof is None:
        return f"It has not passed its self-test here yet: {COMMAND}"
    with_what = f"with WanGP {proof.wangp} and wan2gp-svi {proof.extension} ({proof.device})"
    left = f"; {proof.undecided} of its lines could not be decided" if proof.undecided else ""
    said = f"It last passed its self-test on {proof.day} {with_what}{left}."
    if wangp.version != proof.wangp:
        said += f" WanGP is another version now; to test it again: {COMMAND}"
    return said
