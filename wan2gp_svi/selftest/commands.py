"""`wan2gp-svi selftest`: does SVI work in this WanGP, on this machine?"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from wan2gp_svi import __version__, files
from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import config, find, journal, manifest, proof, update
from wan2gp_svi.installer.find import WanGP
from wan2gp_svi.selftest import checks, copying, passes, report, running
from wan2gp_svi.selftest.checks import CANNOT_SAY, Passes
from wan2gp_svi.selftest.scenarios import WITH_SVI, WITHOUT_SVI

REPORT = "wan2gp-svi-selftest.json"
"""The file to attach to a report, in the current folder, where --json names no other."""
_ASK = (
    "import importlib.util as u, sys\n"
    "missing = [n for n in ('torch', 'gradio', 'mmgp') if u.find_spec(n) is None]\n"
    "if missing: sys.exit(', '.join(missing))\n"
    "import torch; print(torch.cuda.is_available())"
)


def selftest(args: argparse.Namespace) -> int:
    """Run the test; 0 if nothing has failed."""
    root = find.wangp_folder(args.wangp)
    wangp = find.look(root)
    _require_ready(root, args.device)
    python = update.python_of(root)
    cuda = _cuda(python, args.device)
    print(f"{wangp}, wan2gp-svi {__version__}, on the {'graphics card' if cuda else 'processor'}.")
    print("Tiny models make short videos; nothing of yours is read or changed.")
    with tempfile.TemporaryDirectory(prefix="wan2gp-svi-", ignore_cleanup_errors=True) as temporary:
        work = Path(temporary).resolve()
        found, traces = _passes(root, work, python, cuda, hidden := _hidden(root, work, python))
    findings = checks.check(found)
    print("\n" + "\n".join(report.table(findings)))
    passed, said = report.verdict(findings)
    print(f"\n{said}")
    whole = {**report.document(findings, found, wangp.commit, hidden), "traces": traces}
    if args.json or not passed:
        _write(Path(args.json or REPORT), whole)
        if not passed:
            print(f"Please attach {args.json or REPORT} to a report; it names nothing of yours.")
    if passed:
        undecided = sum(finding.verdict == CANNOT_SAY for finding in findings)
        _keep(root, wangp, found, undecided)
    return 0 if passed else 1


def _require_ready(root: Path, device: str) -> None:
    """Raises UserError unless the extension is installed there, and WanGP is closed or not in the
    way: it is the graphics card that two would share.
    """
    if manifest.load(root) is None:
        raise UserError(f"wan2gp-svi is not installed in {root}. Install it first, then test it.")
    if not (root / "wan2gp_svi" / "selftest" / "child.py").is_file():
        raise UserError(f"An older wan2gp-svi is installed in {root}. Install this one, then test.")
    if device != "cpu" and running.is_running(root):
        raise UserError("WanGP is running. Close it, then start the self-test again.")


def _cuda(python: Path, device: str) -> bool:
    """Whether the test is to run on the graphics card. Raises UserError where it cannot."""
    asked = subprocess.run([str(python), "-c", _ASK], capture_output=True, text=True)
    if asked.returncode:
        reason = " ".join(asked.stderr.split())[-200:]
        raise UserError(
            f"WanGP's Python was not found, or is not whole ({python}: {reason}). Run the test by"
            " install.bat or install.sh, with the environment that WanGP runs in."
        )
    available = asked.stdout.strip().endswith("True")
    if device == "cuda" and not available:
        raise UserError("There is no graphics card that WanGP's Python can use; see --device.")
    return available and device != "cpu"


def _passes(
    root: Path, work: Path, python: Path, cuda: bool, hidden: list[str]
) -> tuple[Passes, dict[str, list[str]]]:
    """All passes, one after the other, and the tracebacks in their consoles."""
    wanted: dict[str, list[str]] = {"svi": [], "plain": ["--without-svi"]}
    if cuda:
        wanted["again"] = ["--without-svi"]
        wanted["half"] = ["--bf16", "--attention", _attention(root)]
    lengths = {"svi": len(WITH_SVI), "half": 1}
    total = sum(lengths.get(name, len(WITHOUT_SVI)) + 1 for name in wanted)
    done = 0

    def step(text: str) -> None:
        nonlocal done
        if text and text != "done":
            done += 1
            text = "start WanGP" if text == "start" else text
            print(f"[{done:2}/{total}] {text} ...", flush=True)

    try:
        with journal.locked(root):
            copying.copy(root, work / "WanGP")
    except OSError as error:
        raise UserError(f"WanGP's code could not be copied: {error}.", exit_code=1) from error
    made: dict[str, Any] = {}
    for name, options in wanted.items():
        made[name] = passes.run(python, work / "WanGP", work / name, options, step, cuda)
    consoles = {name: work / name / "console.txt" for name in wanted}
    traces = {name: report.traces(console, hidden) for name, console in consoles.items()}
    return Passes(**made), traces


def _attention(root: Path) -> str:
    """The attention mode that the user has chosen in WanGP: all that is read of the configuration.

    "auto", WanGP's own choice, where there is no configuration.
    """
    try:
        values = json.loads((root / config.CONFIG).read_bytes())
        mode = values.get("attention_mode")
    except (OSError, ValueError, AttributeError):
        return "auto"
    return mode if isinstance(mode, str) and mode.isidentifier() else "auto"


def _hidden(root: Path, work: Path, python: Path) -> list[str]:
    """Folders whose names say something about the user."""
    folders = [root, work, python.parent, Path.home(), Path.cwd()]
    return [str(folder) for folder in folders if len(folder.parts) > 1]


def _write(path: Path, whole: dict[str, Any]) -> None:
    try:
        with files.whole(path) as part:
            part.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"The report could not be written to {path}: {reason}.", 1) from error


def _keep(root: Path, wangp: WanGP, found: Passes, undecided: int) -> None:
    """The record for `status` and for WanGP's page; without it the test has passed all the same."""
    day = datetime.now(timezone.utc).date().isoformat()
    device = str(found.svi.host.get("device", ""))
    version = wangp.version or ""
    try:
        proof.save(root, proof.Proof(day, version, __version__, device, undecided))
    except OSError as error:
        print(f"(That it passed could not be noted in WanGP's folder: {error.strerror}.)")
