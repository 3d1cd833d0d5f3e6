"""What an install or an uninstall would change, worked out before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import config, hooks, journal, manifest, patchfile, payload, places, proof
from wan2gp_svi.installer.find import WanGP
from wan2gp_svi.installer.hooks import Hook
from wan2gp_svi.installer.journal import Change
from wan2gp_svi.installer.manifest import Manifest, digest

_EXCLUDE = ".git/info/exclude"


@dataclass
class Plan:
    """The changes to make as one, the folders to remove when empty, and what to tell about it."""

    changes: list[Change] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    patch: bytes = b""


def install(wangp: WanGP, source: Path, old: Manifest | None) -> Plan:
    """Hooks, package, profiles and manifest into WanGP, whatever of them is there already.

    Raises UserError when a place does not resolve, or a file is in the way.
    """
    root, plan, new = wangp.root, Plan(), Manifest(extension=__version__, wangp=str(wangp))
    known, wanted = old or _rebuilt(root), payload.files(source)
    if payload.is_copy_in(root):
        if old is not None:
            _require_whole_copy(root, old, plan)
        # What else lies in the copy's folder (desktop.ini, errors.py.edited) came from others.
        wanted = {name: data for name, data in wanted.items() if name in known.added}
    all_hooks = hooks.load(source / "patches")
    new.hooks = hooks.number(all_hooks)
    _add_files(root, wanted, known, plan, new)
    _put_hooks_in(wangp, all_hooks, plan, new)
    _drop_files(root, set(known.added) - set(new.added), known, plan)
    new.added = dict(sorted(new.added.items()))
    made = journal.missing_folders(root, list(new.added))
    new.folders = sorted({*known.folders, *made, *_own_folders(new.added)})
    _change_exclude(root, new.added, plan)
    _change_config(root, config.enable, plan)
    _change(root, manifest.PATCH, plan.patch, plan)
    _change(root, manifest.MANIFEST, new.dump(), plan)
    return plan


def uninstall(root: Path, old: Manifest | None) -> Plan:
    """Everything of ours out again; what its user has edited stays, and is named in the notes."""
    plan, known = Plan(), old or _rebuilt(root)
    for name in sorted({*known.patched, *patched_files()}):
        _take_hooks_out(root, name, known, plan)
    _drop_files(root, known.added, known, plan)
    plan.empty = list(known.folders)
    for name in sorted(_in_package(root) - set(known.added)):
        plan.notes.append(f"{name} is not from wan2gp-svi and stays.")
    _change_exclude(root, None, plan)
    _change_config(root, config.disable, plan)
    for name in (manifest.PATCH, proof.RECORD, config.WAITING, manifest.MANIFEST):
        _change(root, name, None, plan)
    return plan


def hooks_out(root: Path, old: Manifest) -> Plan:
    """Only the hooks out, for the time of an update; the manifest remembers that they go back."""
    plan = Plan()
    for name in sorted(old.patched):
        _take_hooks_out(root, name, old, plan)
    waiting = Manifest(**{**vars(old), "updating": True})
    _change(root, manifest.MANIFEST, waiting.dump(), plan)
    return plan


def patched_files() -> set[str]:
    """The files of WanGP that this version's hooks go into."""
    try:
        return {hook.file for hook in hooks.load(payload.source_folder() / "patches")}
    except UserError:
        return set()


def put_in(wangp: WanGP, file: str, base: bytes, file_hooks: list[Hook]) -> hooks.Patched:
    """hooks.put_in, with a refusal that names the place, the file, the WanGP and what to do."""
    try:
        return hooks.put_in(file, base, file_hooks)
    except places.PlaceError as error:
        raise UserError(
            f"{file} of {wangp} has no place for the hooks of wan2gp-svi {__version__}: {error}."
            " Nothing was changed. If you have edited that file, undo it there; otherwise get a"
            " newer wan2gp-svi, or an older WanGP."
        ) from error


def read_inside(root: Path, name: str) -> tuple[str, bytes | None]:
    """The file's real path below the WanGP folder and its bytes (None: no such file).

    Raises UserError when a symbolic link leads out of the WanGP folder.
    """
    real = (root / name).resolve()
    if not real.is_relative_to(root):
        raise UserError(
            f"{name} in {root} is, or lies behind, a symbolic link that leads out of the WanGP"
            " folder, where wan2gp-svi changes nothing. Put the file itself there instead."
        )
    try:
        return real.relative_to(root).as_posix(), real.read_bytes()
    except FileNotFoundError:
        return real.relative_to(root).as_posix(), None
    except OSError as error:
        raise UserError(f"{root / name} cannot be read: {error.strerror}.") from error


def _change(root: Path, name: str, new: bytes | None, plan: Plan) -> None:
    path, old = read_inside(root, name)
    if old != new:
        plan.changes.append(Change(path, old, new))


def _put_hooks_in(wangp: WanGP, all_hooks: list[Hook], plan: Plan, new: Manifest) -> None:
    for name in dict.fromkeys(hook.file for hook in all_hooks):
        path, current = read_inside(wangp.root, name)
        if current is None:
            raise UserError(f"{wangp} in {wangp.root} has no {name}. Is its folder complete?")
        base, _ = without_hooks(wangp.root, name, current)
        patched = put_in(wangp, name, base, [hook for hook in all_hooks if hook.file == name])
        plan.patch += patched.patch
        plan.changes.append(Change(path, current, patched.new))
        new.patched[name] = {"before": digest(base), "after": digest(patched.new)}


def without_hooks(root: Path, name: str, current: bytes) -> tuple[bytes, list[bytes]]:
    try:
        return hooks.take_out(current)
    except places.PlaceError as error:
        raise UserError(
            f"{root / name}: {error}. Remove the lines of wan2gp-svi there by hand (they stand"
            f" between {hooks.OPENS.decode()!r} and {hooks.CLOSES.decode()!r}), then try again."
        ) from error


def _take_hooks_out(root: Path, name: str, old: Manifest, plan: Plan) -> None:
    path, current = read_inside(root, name)
    if current is None:
        return
    hashes = old.patched.get(name)
    if hashes and digest(current) == hashes["after"]:
        base = _reversed(root, name, current)
        if base is not None and digest(base) == hashes["before"]:
            plan.changes.append(Change(path, current, base))
            return
    base, blocks = without_hooks(root, name, current)
    plan.changes.append(Change(path, current, base))
    if hashes and blocks and digest(base) != hashes["before"]:
        plan.notes.append(f"{name} has changed since; only the lines of wan2gp-svi were taken out.")


def _reversed(root: Path, name: str, current: bytes) -> bytes | None:
    """The file with the kept patch taken back; None when that patch is gone or does not fit."""
    try:
        for patch in patchfile.parse((root / manifest.PATCH).read_bytes()):
            if patch.path == name:
                return patchfile.apply(current, patch, reverse=True)
    except (OSError, patchfile.PatchError):
        pass
    return None


def _add_files(
    root: Path, wanted: dict[str, bytes], old: Manifest, plan: Plan, new: Manifest
) -> None:
    for name, data in wanted.items():
        in_package = name.startswith((f"{payload.PACKAGE}/", f"{payload.PLUGIN}/"))
        try:
            path, current = read_inside(root, name)
        except UserError as error:
            if in_package:
                raise
            plan.notes.append(f"Not copied: {error}")
            continue
        known, in_own = old.added.get(name), _in_own_folder(name)
        if current is None or current == data:
            if current is None or known or in_own:
                new.added[name] = digest(data)
        elif known and digest(current) != known and not in_package:
            new.added[name] = known
            plan.notes.append(f"{name} has been edited and stays as it is.")
            continue
        elif known or in_own:
            new.added[name] = digest(data)
            if digest(current) != known:
                kept = f"{path}.edited"
                plan.changes.append(Change(kept, read_inside(root, kept)[1], current))
                plan.notes.append(f"{name} had been edited; that is kept as {kept}.")
        else:
            raise UserError(
                f"{root / name} exists and is not a file of wan2gp-svi. Nothing was changed."
                " Rename or move it, then install again."
            )
        if current != data:
            plan.changes.append(Change(path, current, data))


def _require_whole_copy(root: Path, old: Manifest, plan: Plan) -> None:
    """A copy in WanGP can mend hooks, but not files of its own that are missing."""
    for name, was in old.added.items():
        if not name.startswith(f"{payload.PACKAGE}/"):
            continue
        _, current = read_inside(root, name)
        if current is None:
            raise UserError(
                f"{root / name} is missing, and the copy of wan2gp-svi in WanGP cannot bring back"
                " its own files. Run the install script in wan2gp-svi's own folder."
            )
        if digest(current) != was:
            plan.notes.append(f"{name} was edited since it was installed, and is left so.")


def _rebuilt(root: Path) -> Manifest:
    """What a lost manifest said of the files added, read from the copy; empty without a copy.

    The package's files are ours as they are. A profile is ours as the copy of it in the package
    is: where they differ its user has edited it.
    """
    copy = root / payload.PACKAGE
    added = {
        name: digest((root / name).read_bytes())
        for name in _in_package(root)
        if not name.endswith(".edited")
    }
    if added:
        for name, data in payload.profiles(copy / "payload" / "profiles").items():
            added[name] = digest(data)
    return Manifest(added=added, folders=_own_folders(added))


def _in_package(root: Path) -> set[str]:
    """All files in the folder of our package, and those in the plugin's that the package brings."""
    copy = root / payload.PACKAGE
    if not any((copy / name).is_file() for name in ("__init__.py", "payload/patches/series")):
        return set()  # not our package, or what somebody kept of it
    found = {*copy.rglob("*")}
    found |= {root / payload.PLUGIN / path.name for path in (copy / "plugin/entry").glob("*")}
    return {
        path.relative_to(root).as_posix()
        for path in found
        if path.is_file() and path.suffix != ".pyc"
    }


def _in_own_folder(name: str) -> bool:
    return any(name == own or name.startswith(f"{own}/") for own in payload.OWN_FOLDERS)


def _own_folders(added: Iterable[str]) -> list[str]:
    """The folders of these files that are certainly ours, whoever has made them."""
    folders = {str(folder) for name in added for folder in PurePosixPath(name).parents}
    return sorted(filter(_in_own_folder, folders))


def _drop_files(root: Path, names: Iterable[str], old: Manifest, plan: Plan) -> None:
    for name in sorted(names):
        try:
            path, current = read_inside(root, name)
        except UserError as error:
            if name.startswith(f"{payload.PACKAGE}/"):
                raise
            plan.notes.append(f"Not removed: {error}")
            continue
        if current is None:
            continue
        if digest(current) == old.added[name]:
            plan.changes.append(Change(path, current, None))
        else:
            plan.notes.append(f"{name} has been edited and stays; delete it if you do not want it.")


def _change_exclude(root: Path, added: Iterable[str] | None, plan: Plan) -> None:
    """Our paths into git's own list of what `git status` leaves out; None: out of it again."""
    git = root / ".git"
    if git.is_symlink() or not git.is_dir():
        return  # no checkout, or one whose data lies elsewhere
    path, current = read_inside(root, _EXCLUDE)
    if current is None:
        return
    new, _ = without_hooks(root, _EXCLUDE, current)
    if added is not None:
        tops = (payload.PACKAGE, payload.PLUGIN)
        names = [f"/{top}/" for top in (*tops, journal.STATE)]
        names += [f"/{name}" for name in sorted(added) if not name.startswith(tops)]
        block = [hooks.OPENS, *(name.encode() for name in names), hooks.CLOSES]
        lines = tuple(line + b"\n" for line in block)
        end = len(new.splitlines())
        new = patchfile.insert(new, [patchfile.Insertion(end, lines, "end")])
    plan.changes.append(Change(path, current, new))


def _change_config(root: Path, edit: Callable[[bytes], bytes], plan: Plan) -> None:
    """SVI works without its tab, so a configuration out of reach stops nothing."""
    try:
        path, current = read_inside(root, config.CONFIG)
    except UserError as error:
        switched = "on" if edit is config.enable else "off"
        plan.notes.append(f"The plugin with the tab SVI was not switched {switched}: {error}")
        return
    if current is not None:
        plan.changes.append(Change(path, current, edit(current)))
    elif edit is config.enable:  # WanGP has never been started here (wangp/enabling.py)
        _change(root, config.WAITING, b"", plan)
