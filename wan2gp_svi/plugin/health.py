"""Is everything in place? What the tab says of it, and what it can start to mend it. No Gradio."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import find, payload, proof
from wan2gp_svi.installer import status as condition
from wan2gp_svi.plugin import hooks_lost

_STEP = re.compile(r"\[\s*(\d+)/(\d+)\] (.*?)(?: \.\.\.)?$")
RESTART = "Now stop WanGP and start it again: the hooks act from then on."


def told(root: Path) -> list[str]:
    """What is in this WanGP folder and how it is, a line of Markdown each."""
    try:
        wangp = find.look(root)
        found = condition.status(wangp, payload.source_folder())
    except (UserError, OSError) as error:
        return [f"**It cannot be told:** {error}"]
    lines = [f"{wangp}, wan2gp-svi {__version__}, Python {sys.version.split()[0]}."]
    lost = hooks_lost.files_without_hooks(root)
    if lost:
        files = ", ".join(f"`{name}`" for name in lost)
        lines.append(
            f"**The hooks are lost** in {files}, probably to an update of WanGP. SVI does not work"
            " until they are back."
        )
    elif found.problems:
        lines.append("**Something is wrong:**")
    else:
        lines.append("**All is in place**: hooks, package, profiles.")
    lines += [f"- {problem}" for problem in (*found.problems, *found.notes)]
    lines.append(proof.sentence(proof.load(root), wangp))
    return lines


def put_hooks_back(root: Path) -> str:
    """Install again, from the copy in WanGP's folder; what to do next. Raises UserError."""
    done = _command(root, "install")
    if done.returncode:
        raise UserError(_last(done.stderr) or _last(done.stdout) or "It could not be installed.")
    return f"{_told_last(done.stdout)} {RESTART}"


def _told_last(text: str) -> str:
    """What the installer says it did: the line before what comes next."""
    said = [line for line in text.splitlines() if line.startswith("wan2gp-svi ")]
    return said[-1] if said else "The hooks are back."


def test(root: Path, tick: Callable[[float, str], object]) -> str:
    """Run the self-test on the processor, beside this WanGP; its table.

    `tick` is told how much is done, 0 to 1, and with what.
    """
    lines: list[str] = []
    with _started(root, "selftest", "--device", "cpu") as process:
        for line in process.stdout or ():
            step = _STEP.match(line.strip())
            if step is None:
                lines.append(line.rstrip())
            else:
                tick(int(step[1]) / max(int(step[2]), 1), step[3])
    return "\n".join(line for line in lines if line.strip())


def _arguments(root: Path, command: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "wan2gp_svi", command, "--wangp", str(root), *options]


def _environment() -> dict[str, str]:
    """Of this process; what is said comes at once, and in UTF-8."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def _command(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _arguments(root, command),
        cwd=root,
        env=_environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


@contextmanager
def _started(root: Path, command: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        _arguments(root, command, *options),
        cwd=root,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        yield process
    finally:
        if process.poll() is None and process.stdout is not None:
            process.stdout.close()
            process.terminate()
        process.wait()


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


# -- LoRA files ---------------------------------------------------------------------------------


def lora_files(folder: Path) -> list[Path]:
    """The LoRA files of a folder and those below it, those of SVI first."""
    files = [path for path in folder.rglob("*.safetensors") if path.is_file()]
    return sorted(files, key=lambda path: ("svi" not in path.name.lower(), path.name.lower()))


def inspected(path: Path) -> str:
    """What a LoRA file is, as a table of text. Raises UserError."""
    from wan2gp_svi.lora.inspect import inspect_file

    return inspect_file(path).as_text()


def converted(path: Path) -> Path:
    """A copy of a LoRA file beside it as WanGP and ComfyUI read it; its path. Raises UserError."""
    from wan2gp_svi.lora.convert import convert_file

    target = path.with_name(f"{path.stem} converted.safetensors")
    if target.exists():
        raise UserError(f"There is {target.name} already: it stays as it is.")
    convert_file(path, target)
    return target
