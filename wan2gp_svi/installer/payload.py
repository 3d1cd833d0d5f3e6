"""The files that go into WanGP: the package, its patches, the profiles, the plugin's entry."""

from __future__ import annotations

from pathlib import Path

from wan2gp_svi.errors import UserError

PACKAGE = "wan2gp_svi"
PLUGIN = "plugins/wan2gp-svi"
GUIDE = "docs/prompt-guide.md"
"""What prompts are drafted by (wangp/drafting.py)."""
OWN_FOLDERS = (
    PACKAGE,
    PLUGIN,
    *(
        f"profiles/svi_{name}"
        for name in ("2_pro", "wan_2_1", "fun_inp", "wan_2_2", "wan_2_2_5b", "dance", "talk")
    ),
)
_PACKAGE_FOLDER = Path(__file__).resolve().parent.parent
_LEFT_OUT = {"__pycache__", "demo", "train", "payload"}  # not for use inside WanGP


def source_folder() -> Path:
    """Where `patches/` and `profiles/` are: this project's folder, or a copy inside WanGP.

    Raises UserError when the package came without them.
    """
    for folder in (_PACKAGE_FOLDER / "payload", _PACKAGE_FOLDER.parent):
        if (folder / "patches" / "series").is_file():
            return folder
    raise UserError(
        "The folder patches/ of wan2gp-svi is missing, so nothing can be installed. Run the"
        " install script from the whole folder of wan2gp-svi."
    )


def require_own_folder(root: Path) -> None:
    """Raises UserError when this project lies where its copy goes: one would eat the other."""
    project = _PACKAGE_FOLDER.parent
    copied = (_PACKAGE_FOLDER / "payload" / "patches" / "series").is_file()
    loose = project == root and not copied and (root / "patches" / "series").is_file()
    if loose or any(project.is_relative_to(root / name) for name in (PACKAGE, PLUGIN)):
        raise UserError(
            f"wan2gp-svi lies in {project}, where its files and those that it installs would mix."
            f" Put it in a folder of its own inside WanGP ({root / 'wan2gp-svi'}), and run the"
            " install script there."
        )


def is_copy_in(root: Path) -> bool:
    """Whether the package that runs is the one that was copied into this WanGP folder."""
    return root / PACKAGE == _PACKAGE_FOLDER


def files(source: Path) -> dict[str, bytes]:
    """Every file to add: its path in the WanGP folder, and its bytes."""
    found: dict[str, bytes] = {}
    for path in sorted(_PACKAGE_FOLDER.rglob("*")):
        below = path.relative_to(_PACKAGE_FOLDER)
        if path.is_file() and not _LEFT_OUT & set(below.parts) and path.suffix != ".pyc":
            found[f"{PACKAGE}/{below.as_posix()}"] = path.read_bytes()
    if (source / "LICENSE").is_file():
        found[f"{PACKAGE}/LICENSE"] = (source / "LICENSE").read_bytes()
    for folder in ("patches", "profiles"):
        for path in sorted((source / folder).rglob("*")):
            if path.is_file():
                below = path.relative_to(source)
                found[f"{PACKAGE}/payload/{below.as_posix()}"] = path.read_bytes()
    guide = source / GUIDE
    if guide.is_file():
        found[f"{PACKAGE}/payload/{GUIDE}"] = guide.read_bytes()
    found |= profiles(source / "profiles")
    for path in sorted((_PACKAGE_FOLDER / "plugin" / "entry").glob("*")):
        if path.is_file():
            found[f"{PLUGIN}/{path.name}"] = path.read_bytes()
    return found


def profiles(folder: Path) -> dict[str, bytes]:
    """The profiles and finetunes of a folder `profiles/`, by the paths that they have in WanGP."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.glob("*/**/*.json"))
    }
