"""Notices, when WanGP starts, that the package is there and its hooks are not.

`git reset --hard` and some of WanGP's own update paths put WanGP's files back as they were; the
package, which git does not know, stays. Only a plugin runs then.
"""

from __future__ import annotations

import json
from pathlib import Path

_MARK = b"# >>> wan2gp-svi"


def files_without_hooks(root: Path) -> list[str]:
    """The files of this WanGP folder that were patched and hold no hook of ours any more."""
    try:
        manifest = json.loads((root / ".wan2gp_svi" / "manifest.json").read_bytes())
        patched = list(manifest["patched"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    lost = []
    for name in patched:
        try:
            if _MARK not in (root / name).read_bytes():
                lost.append(name)
        except OSError:
            lost.append(name)
    return lost


def sentence(root: Path) -> str | None:
    """What to tell the user, as Markdown, and what mends it; None when all is well."""
    lost = files_without_hooks(root)
    if not lost:
        return None
    files = ", ".join(f"`{name}`" for name in lost)  # between backticks a backslash stays
    return (
        "wan2gp-svi is here, but WanGP has lost its hooks, probably to an update, so SVI does not"
        " work. To mend it: close WanGP, run `install.bat` (Windows) or `install.sh` (Linux) again"
        f" in the folder of wan2gp-svi that you put into `{root}`, and start WanGP again."
        f" (Without hooks: {files}.)"
    )
