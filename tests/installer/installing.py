"""Runs the installer's commands in this process, and looks at what they did."""

import argparse
from pathlib import Path

import wan2gp_svi
from wan2gp_svi.installer import commands
from wan2gp_svi.installer.journal import Disk

HOST = Path(wan2gp_svi.__file__).parent / "demo" / "host"
HOOKED = (
    "wgp.py",
    "models/wan/any2video.py",
    "models/wan/wan_handler.py",
    "models/wan/modules/model.py",
)


def run(command: str, root: Path, disk: Disk | None = None, **options) -> int:
    """One command of the installer, as the command line calls it."""
    args = argparse.Namespace(wangp=str(root), **{"json": False, "dry_run": False, **options})
    return commands._run(command, args, getattr(commands, f"_{command}"), disk)


def tree(root: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every file and folder with its mode and bytes; the .git folder's own data left out."""
    return {
        path.relative_to(root).as_posix(): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in root.rglob("*")
        if ".git/" not in path.relative_to(root).as_posix() or path.name == "exclude"
    }
