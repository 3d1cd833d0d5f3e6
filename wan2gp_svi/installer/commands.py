"""`wan2gp-svi install | uninstall | status | update`: what they do and what they say."""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import find, hooks, journal, manifest, payload, plan, proof
from wan2gp_svi.installer import status as condition
from wan2gp_svi.installer import update as updating
from wan2gp_svi.installer.find import WanGP
from wan2gp_svi.installer.journal import Disk
from wan2gp_svi.installer.plan import Plan

NEXT = (
    "Next: start WanGP as always (if it is running, stop it first). Choose Wan2.2, Image2video 14B,"
    " SVI 2 Pro, then a profile from the list above the settings, and press Apply. Give a start"
    " image and a prompt, and press Generate. To take it out again: install.sh uninstall (Windows:"
    " install.bat uninstall)."
)
"""What an installation ends with."""


class Report:
    """What a command has to say: lines for people as it goes, or one JSON object at the end."""

    def __init__(self, command: str, as_json: bool) -> None:
        self.as_json = as_json
        self.data: dict[str, object] = {"command": command, "extension": __version__}
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)
        if not self.as_json:
            print(text)

    def close(self, code: int) -> int:
        if self.as_json:
            print(json.dumps({**self.data, "exit": code, "said": self.lines}, indent=2))
        return code


def install(args: argparse.Namespace) -> int:
    """Hooks, package and profiles into WanGP; again, or over an older one, as well."""
    return _run("install", args, _install)


def uninstall(args: argparse.Namespace) -> int:
    """Everything out again, and WanGP as it was."""
    return _run("uninstall", args, _uninstall)


def status(args: argparse.Namespace) -> int:
    """0: installed and whole, 3: not installed, 4: damaged or lost to an update."""
    return _run("status", args, _status)


def update(args: argparse.Namespace) -> int:
    """WanGP's own update with the hooks out of its way."""
    return _run("update", args, _update)


_Work = Callable[[WanGP, argparse.Namespace, Report, Disk], int]


def _run(command: str, args: argparse.Namespace, work: _Work, disk: Disk | None = None) -> int:
    report, disk = Report(command, args.json), disk or Disk()
    root = None
    try:
        root = find.wangp_folder(args.wangp)
        payload.require_own_folder(root)
        with journal.locked(root):
            _recover(command, root, report, disk)
            wangp = find.look(root)
            report.data["wangp"] = wangp.as_json()
            native = "knows SVI 2 Pro" if wangp.native_svi else "does not know SVI 2 Pro by itself"
            report.say(f"{wangp}, in {root}; it {native}.")
            code = work(wangp, args, report, disk)
        return report.close(code)
    except OSError as error:
        failed = UserError(_sentence(error, root), exit_code=1)
    except UserError as error:
        failed = error
    if not report.as_json:
        raise failed
    report.data["error"] = str(failed)
    return report.close(failed.exit_code)


def _sentence(error: OSError, root: Path | None) -> str:
    where = f" ({error.filename})" if error.filename else ""
    after = "Nothing was changed"
    if root is not None and journal.unfinished(root):
        after = "It is half done, and the next call finishes it or takes it back"
    if error.errno == errno.ENOSPC:
        return f"The disk is full{where}. {after}; make room and try again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"WanGP's folder cannot be written{where}. {after}; close WanGP and any editor, make"
            " sure that the folder is yours, and try again."
        )
    return f"{error.strerror or error}{where}. {after}; try again."


def _commit(wangp: WanGP, work: Plan, report: Report, disk: Disk) -> bool:
    """Carries the plan out; returns whether there was anything to do."""
    changed = sum(change.old != change.new for change in work.changes)
    journal.commit(wangp.root, work.changes, work.empty, disk)
    for note in work.notes:
        report.say(note)
    for folder in (wangp.root / name for name in work.empty):
        if folder.is_dir() and not any(folder.iterdir()):
            report.say(f"{folder} is in use and stays, empty; delete it when it no longer is.")
    report.data["files_changed"] = changed
    return changed > 0


def _install(wangp: WanGP, args: argparse.Namespace, report: Report, disk: Disk) -> int:
    old = manifest.load(wangp.root)
    work = plan.install(wangp, payload.source_folder(), old)
    if getattr(args, "dry_run", False):
        report.data["patch"] = work.patch.decode("utf-8", "replace")
        if not report.as_json:
            sys.stdout.flush()
            sys.stdout.buffer.write(work.patch)
        report.say("Nothing was changed: this is the patch that install would apply.")
        return 0
    if not _commit(wangp, work, report, disk):
        report.say(f"wan2gp-svi {__version__} is installed already; nothing was changed.")
    elif old is not None and old.extension != __version__:
        report.say(f"wan2gp-svi {__version__} has taken the place of {old.extension}.")
    else:
        report.say(f"wan2gp-svi {__version__} is installed.")
    if getattr(args, "say_next", True):  # the demo goes on by itself
        report.say(NEXT)
    return 0


def _uninstall(wangp: WanGP, args: argparse.Namespace, report: Report, disk: Disk) -> int:
    work = plan.uninstall(wangp.root, manifest.load(wangp.root))
    for top in (payload.PACKAGE, payload.PLUGIN):
        _remove_bytecode(wangp.root / top, report, disk)
    if _commit(wangp, work, report, disk):
        report.say("wan2gp-svi has been taken out; WanGP is as it was before.")
    else:
        report.say("wan2gp-svi is not installed there; nothing was changed.")
    return 0


def _remove_bytecode(folder: Path, report: Report, disk: Disk) -> None:
    """What Python itself has put beside our files when they ran."""
    for cache in sorted(folder.rglob("__pycache__")):
        try:
            for path in cache.glob("*.pyc"):
                disk.unlink(path)
            if not any(cache.iterdir()):
                disk.rmdir(cache)
        except OSError:
            report.say(f"{cache} is in use and stays; delete it when it no longer is.")


def _status(wangp: WanGP, args: argparse.Namespace, report: Report, disk: Disk) -> int:
    found = condition.status(wangp, payload.source_folder())
    words = {
        condition.WHOLE: "wan2gp-svi is installed and whole.",
        condition.NOT_INSTALLED: "wan2gp-svi is not installed there.",
        condition.DAMAGED: "wan2gp-svi is damaged, or was lost to an update of WanGP:",
    }
    report.data.update(status=found.code, problems=found.problems, notes=found.notes)
    report.say(words[found.code])
    for text in (*found.problems, *found.notes):
        report.say(f"- {text}")
    if found.code != condition.NOT_INSTALLED:
        passed = proof.load(wangp.root)
        report.data["selftest"] = None if passed is None else vars(passed)
        report.say(proof.sentence(passed, wangp))
    if found.code == condition.DAMAGED:
        report.say("To mend it, run the install script (install.bat or install.sh) again.")
    return found.code


def _update(wangp: WanGP, args: argparse.Namespace, report: Report, disk: Disk) -> int:
    root, all_hooks = wangp.root, hooks.load(payload.source_folder() / "patches")
    old = manifest.load(root)
    if old is None:
        raise UserError("wan2gp-svi is not installed there. Install it first, then update.")
    updating.require_checkout(root)
    if not updating.fetch(root):
        _commit(wangp, plan.install(wangp, payload.source_folder(), old), report, disk)
        report.say("WanGP is the newest already, and wan2gp-svi is in it.")
        return 0
    updating.require_places(root, all_hooks)
    needed = updating.requirements(root)
    _commit(wangp, plan.hooks_out(root, old), report, disk)
    pulled = updating.pull(root)
    newer = _hooks_back(root, report, disk)
    if pulled.returncode:
        raise UserError(
            f"WanGP was not updated and is patched again as before. {updating.reason(pulled)}",
            exit_code=1,
        )
    report.data["wangp"] = newer.as_json()
    report.say(f"WanGP has been updated to {newer}, and the hooks are in again.")
    report.data["selftest"] = proof.COMMAND
    report.say(f"When all is in place, the self-test shows that SVI works with it: {proof.COMMAND}")
    if updating.requirements(root) != needed:
        report.data["pip"] = updating.pip_line(root)
        report.say(f"It needs other packages now. In WanGP's folder, run: {report.data['pip']}")
    return 0


def _hooks_back(root: Path, report: Report, disk: Disk) -> WanGP:
    wangp = find.look(root)
    work = plan.install(wangp, payload.source_folder(), manifest.load(root))
    _commit(wangp, work, report, disk)
    return wangp


def _recover(command: str, root: Path, report: Report, disk: Disk) -> None:
    """Finishes what a killed run has left, so that everyone finds WanGP untouched or whole."""
    recovered = journal.recover(root, disk)
    if recovered:
        report.say(recovered)
    left = manifest.load(root)
    if left is None or not left.updating or command == "uninstall":
        return
    try:
        _hooks_back(root, report, disk)
        report.say("An update was stopped half way; the hooks are in again.")
    except UserError as error:
        if command != "status":  # which says itself that the hooks are gone
            raise
        report.say(str(error))
