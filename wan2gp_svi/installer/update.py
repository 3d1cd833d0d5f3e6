"""WanGP's own update, with the hooks out of its way while it runs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import hooks, places
from wan2gp_svi.installer.hooks import Hook

# Where the Python that runs WanGP lies, as seen from WanGP's folder; install.sh and install.bat
# look in the same places.
_ENVIRONMENTS = (
    *("venv", ".venv", "env", "../env", "env_venv", "env_uv", "env_conda"),
    *("python_embeded", "../python_embeded"),
)
_PYTHONS = ("bin/python", "Scripts/python.exe", "python.exe")


def require_checkout(root: Path) -> None:
    """Raises UserError when `git pull` cannot work in this folder, and says why."""
    if not (root / ".git").exists():
        raise UserError(
            f"WanGP in {root} is not a git checkout (a zip download?), so it cannot be updated"
            " with git. Update it the way it was installed, then install wan2gp-svi again."
        )
    if shutil.which("git") is None:
        raise UserError("git was not found, and WanGP is updated with it. Install git first.")
    asked = git(root, "rev-parse", "--abbrev-ref", "@{upstream}")
    if b"no upstream" in asked.stderr or b"HEAD does not point" in asked.stderr:
        raise UserError(
            f"WanGP in {root} follows no branch of a remote repository, so there is nothing to"
            " pull. Choose its branch first: git checkout main"
        )
    if asked.returncode:
        raise UserError(f"WanGP in {root} cannot be updated. {reason(asked)}", exit_code=1)


def fetch(root: Path) -> bool:
    """Gets what is new, without touching the files; returns whether there is anything.

    Raises UserError with git's own reason when it fails.
    """
    got = git(root, "fetch", "--quiet")
    if got.returncode:
        raise UserError(f"WanGP was not updated and is as before. {reason(got)}", exit_code=1)
    behind = git(root, "rev-list", "--count", "HEAD..@{upstream}")
    return behind.returncode == 0 and behind.stdout.strip() != b"0"


def require_places(root: Path, all_hooks: list[Hook]) -> None:
    """Raises UserError when the WanGP that a pull would bring has no place for a hook."""
    for name in dict.fromkeys(hook.file for hook in all_hooks):
        shown = git(root, "show", f"@{{upstream}}:{name}")
        try:
            if shown.returncode:
                raise places.PlaceError("the file is gone")
            hooks.put_in(name, shown.stdout, [hook for hook in all_hooks if hook.file == name])
        except places.PlaceError as error:
            raise UserError(
                f"The newest WanGP has no place for the hooks of wan2gp-svi {__version__} in"
                f" {name}: {error}. WanGP was not updated and works as before; get a newer"
                " wan2gp-svi first, then update.",
                exit_code=1,
            ) from error


def pull(root: Path) -> subprocess.CompletedProcess[bytes]:
    return git(root, "pull", "--ff-only", "--quiet")


def requirements(root: Path) -> bytes:
    """WanGP's list of the packages it needs."""
    path = root / "requirements.txt"
    return path.read_bytes() if path.is_file() else b""


def pip_line(root: Path) -> str:
    """What a terminal in WanGP's folder runs to get those packages for WanGP's own Python."""
    path = str(python_of(root))
    with contextlib.suppress(ValueError):  # on another drive
        path = min(path, os.path.relpath(path, root), key=len)
    # Seen from there it seldom has a space: PowerShell would not run it between quotes.
    if not re.fullmatch(r"[\w./\\:~-]+", path):
        path = f'"{path}"'
    return f"{path} -m pip install -r requirements.txt"


def python_of(root: Path) -> Path:
    """The Python of WanGP's environment; the one that runs this where it is one, or none is."""
    running = Path(os.path.normpath(sys.executable))
    everywhere = [root / folder / name for folder in _ENVIRONMENTS for name in _PYTHONS]
    own = [Path(os.path.normpath(path)) for path in everywhere if path.is_file()]
    return running if running in own or not own else own[0]


def reason(failed: subprocess.CompletedProcess[bytes]) -> str:
    """What git said, in one line."""
    said = (failed.stderr or failed.stdout).decode("utf-8", "replace")
    return "git says: " + " ".join(said.split())


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    plain = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # no questions, and words we can pass on
    return subprocess.run(
        ["git", *arguments], cwd=root, env={**os.environ, **plain}, capture_output=True
    )
