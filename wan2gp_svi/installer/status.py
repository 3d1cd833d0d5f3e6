"""Whether the installation in a WanGP folder is whole, and if not, what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import config, hooks, manifest, payload, plan
from wan2gp_svi.installer.find import WanGP
from wan2gp_svi.installer.hooks import Hook
from wan2gp_svi.installer.manifest import Manifest, digest

WHOLE, NOT_INSTALLED, DAMAGED = 0, 3, 4


@dataclass
class Status:
    """`code` is the exit code; `problems` need mending, `notes` are only worth knowing."""

    code: int
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def status(wangp: WanGP, source: Path) -> Status:
    """Looks at every file that the manifest names; changes nothing."""
    known = manifest.load(wangp.root)
    all_hooks = hooks.load(source / "patches")
    found = Status(WHOLE)
    gone = 0
    names = list(dict.fromkeys([*(known.patched if known else ()), *(h.file for h in all_hooks)]))
    for name in names:
        said = _hooks_in(wangp, name, [h for h in all_hooks if h.file == name], known, found)
        gone += said
    if known is None:
        package = (wangp.root / payload.PACKAGE / "__init__.py").is_file()
        if gone == len(names) and not package:
            return Status(NOT_INSTALLED)
        found.problems.insert(
            0, "what was installed is not known: its manifest is missing, or cannot be read"
        )
    else:
        _files_in(wangp.root, known, found)
        _plugin_in(wangp.root, found)
        if known.extension != __version__ or known.hooks != hooks.number(all_hooks):
            found.notes.append(
                f"wan2gp-svi {known.extension} with hooks {known.hooks} is installed; this is"
                f" {__version__} with hooks {hooks.number(all_hooks)}"
            )
        elif _is_another(payload.files(source), known):
            found.notes.append(
                "the extension's folder holds other files than were installed; to have those, run"
                " the install script again"
            )
    if found.problems:
        found.code = DAMAGED
    return found


def _is_another(files: dict[str, bytes], known: Manifest) -> bool:
    """Whether the extension's own folder has other files than it had when they were copied."""
    both = ((known.added[name], data) for name, data in files.items() if name in known.added)
    return any(was != digest(data) for was, data in both)


def _hooks_in(
    wangp: WanGP, name: str, wanted: list[Hook], known: Manifest | None, found: Status
) -> bool:
    """Adds what is wrong with this file's hooks; returns whether it has none at all."""
    _, current = plan.read_inside(wangp.root, name)
    if current is None:
        found.problems.append(f"{name} is missing")
        return True
    hashes = known.patched.get(name) if known else None
    if hashes and digest(current) == hashes["after"]:
        return False
    if hooks.OPENS not in current:
        if hashes or known is None:
            found.problems.append(f"{name} has lost its hooks (an update or a reset took them)")
        return True
    try:
        base, _ = plan.without_hooks(wangp.root, name, current)
        if plan.put_in(wangp, name, base, wanted).new == current:
            if hashes:
                found.notes.append(f"{name} was edited since, around the hooks")
        else:
            found.problems.append(f"the hooks in {name} are not as they were put in")
    except UserError as error:
        found.problems.append(str(error))
    return False


def _plugin_in(root: Path, found: Status) -> None:
    try:
        _, settings = plan.read_inside(root, config.CONFIG)
    except UserError as error:
        found.notes.append(str(error))
        return
    if settings is not None and config.enable(settings) != settings:
        found.notes.append(
            "WanGP does not load the plugin that tells when an update takes the hooks; to let"
            " it, install again while WanGP is closed"
        )


def _files_in(root: Path, known: Manifest, found: Status) -> None:
    missing = []
    for name, was in known.added.items():
        try:
            _, current = plan.read_inside(root, name)
        except UserError as error:
            found.problems.append(str(error))
            continue
        if current is None:
            missing.append(name)
        elif digest(current) != was:
            edited = f"{name} was edited since it was installed"
            in_package = name.startswith(f"{payload.PACKAGE}/")
            (found.problems if in_package else found.notes).append(edited)
    if len(missing) > 3:
        missing[2:] = [f"{len(missing) - 2} more files"]
    if missing:
        found.problems.append(f"{', '.join(missing)}: missing")
