"""Notices, when WanGP starts, that it is another version than the self-test last passed with."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from wan2gp_svi.installer import find, proof


def sentence(root: Path) -> str | None:
    """What to tell the user, as Markdown, once for each version of WanGP; None otherwise."""
    known = proof.load(root)
    if known is None:
        return None
    try:
        version = find.look(root).version
    except OSError:
        return None
    if version is None or version in (known.wangp, known.told):
        return None
    with contextlib.suppress(OSError):  # then it is said once more at the next start
        proof.save(root, replace(known, told=version))
    return (
        f"WanGP is version {version} now; the self-test of wan2gp-svi last passed with"
        f" {known.wangp}. To see that SVI works with it, close WanGP and run"
        f" `{proof.COMMAND}` in the folder of wan2gp-svi. It takes a minute or two and changes"
        " nothing."
    )
