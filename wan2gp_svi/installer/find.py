"""Finds the WanGP folder, and says which WanGP it is."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import places

# What a folder must hold to be WanGP, and where it lies in the folders people point at:
# itself, Pinokio's <pinokio>/api/wan.git/app, and a clone beside or below the one that is named.
_PROOF = ("wgp.py", "models/wan/any2video.py")
_INSIDE = ("", "app", "Wan2GP", "WanGP", "wan.git/app", "api/wan.git/app")


@dataclass(frozen=True)
class WanGP:
    """One WanGP folder: its path, version (of wgp.py), commit, and whether it knows SVI 2 Pro."""

    root: Path
    version: str | None
    commit: str | None
    native_svi: bool

    def __str__(self) -> str:
        version = f"WanGP {self.version}" if self.version else "WanGP of unknown version"
        return f"{version}, commit {self.commit[:8]}" if self.commit else f"{version}, no git"

    def as_json(self) -> dict[str, object]:
        return {
            "folder": str(self.root),
            "version": self.version,
            "commit": self.commit,
            "svi2pro_native": self.native_svi,
        }


def wangp_folder(asked: str | None) -> Path:
    """The WanGP folder: what was asked for, else WANGP_DIR, the parent or the current folder.

    Raises UserError when what was named is not WanGP, or nothing was and none is around.
    """
    for given, source in ((asked, "--wangp"), (os.environ.get("WANGP_DIR"), "WANGP_DIR")):
        named = (given or "").strip(' "')  # Windows hands "C:\Wan GP\" on as C:\Wan GP"
        if named:
            found = _wangp_in(Path(named).expanduser())
            if found is None:
                raise UserError(
                    f"{source} names {named}, which is no WanGP folder: it has no wgp.py with"
                    " models/wan beside it. Name the folder that holds wgp.py."
                )
            return found
    for folder in _around():
        found = _wangp_in(folder)
        if found is not None:
            return found
    raise UserError(
        "WanGP was not found. Put this folder into your WanGP folder (where wgp.py is), or name"
        " it: --wangp DIR."
    )


def _around() -> Iterator[Path]:
    inside, *above = Path(__file__).resolve().parent.parent.parents
    yield inside  # a package that was copied into WanGP
    yield from above[:1]  # this project's folder inside WanGP
    yield Path.cwd()
    yield from above[1:3]  # a zip unpacks it into a folder or two of its own


def _wangp_in(folder: Path) -> Path | None:
    for below in _INSIDE:
        root = folder / below
        if all((root / name).is_file() for name in _PROOF):
            return root.resolve()
    return None


def look(root: Path) -> WanGP:
    """What WanGP this is, read from its files alone; nothing of it is run."""
    return WanGP(
        root,
        _version((root / "wgp.py").read_bytes()),
        _commit(root),
        _native((root / "models/wan/any2video.py").read_bytes()),
    )


def paragraphs(root: Path) -> bool:
    """Whether this WanGP's page takes a paragraph as a prompt; else a line is one.

    Its shared/utils/prompt_parser.py has named the default since 11.77 ("PG"); before, there were
    lines only. The user's own choice for all models is in wgp_config.json.
    """
    try:
        parser = (root / "shared/utils/prompt_parser.py").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    default = re.search(r"^DEFAULT_MULTI_PROMPTS_MODE\s*=\s*[\"'](\w+)", parser, re.MULTILINE)
    if default is None:
        return False
    try:
        chosen = json.loads((root / "wgp_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        chosen = None
    mode = chosen.get("multi_prompts_gen_type") if isinstance(chosen, dict) else None
    return str(default[1] if mode is None else mode).upper().startswith("P")


def _version(source: bytes) -> str | None:
    # Parsing 14,000 lines for one of them costs half a second, so only that line is parsed.
    for line in re.findall(rb"^WanGP_version[ \t]*=.*", source, re.MULTILINE):
        try:
            value = ast.parse(line.strip()).body[0].value  # type: ignore[attr-defined]
        except (SyntaxError, ValueError, AttributeError, IndexError):
            continue
        if isinstance(value, ast.Constant):
            return str(value.value)
    return None


def _native(source: bytes) -> bool:
    """Whether WanAny2V.generate assigns svi_pro: version strings cannot be compared."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return any(
        isinstance(node, ast.Name) and node.id == "svi_pro" and isinstance(node.ctx, ast.Store)
        for function in places.find_function(tree, "WanAny2V.generate")
        for node in ast.walk(function)
    )


def git_folder(root: Path) -> Path | None:
    """The .git folder of a checkout, also where .git is a file that names it (a worktree)."""
    git = root / ".git"
    try:
        if git.is_file():
            named = git.read_text("utf-8").partition("gitdir:")[2].strip()
            git = (root / named) if named else git
    except (OSError, UnicodeDecodeError):
        return None
    return git if git.is_dir() else None


def _commit(root: Path) -> str | None:
    git = git_folder(root)
    if git is None:
        return None
    try:
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head
        ref = head[4:].strip()
        shared = git / "commondir"
        folders = [git]
        if shared.is_file():
            folders.append(git / shared.read_text("utf-8").strip())
        for folder in folders:
            if (folder / ref).is_file():
                return (folder / ref).read_text("utf-8").strip()
            packed = folder / "packed-refs"
            if packed.is_file():
                found = re.search(
                    rf"^([0-9a-f]+) {re.escape(ref)}$", packed.read_text("utf-8"), re.MULTILINE
                )
                if found:
                    return found[1]
    except (OSError, UnicodeDecodeError):
        pass
    return None
