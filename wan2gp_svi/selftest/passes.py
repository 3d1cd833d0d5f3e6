"""A pass of the self-test: child.py in a process of its own, with WanGP's Python."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from wan2gp_svi.selftest import facts
from wan2gp_svi.selftest.facts import Facts

ENTRY = ("-m", "wan2gp_svi.selftest.child")
"""What Python runs. The package is the one in WanGP's folder: it is what the user runs."""
SECONDS = 1800
"""Time after which a pass is taken to hang."""


def run(
    python: Path,
    wangp: Path,
    out: Path,
    options: Sequence[str],
    step: Callable[[str], None],
    cuda: bool = False,
) -> Facts:
    """Run a pass on the copy `wangp`, into the new folder `out`; what it found, as far as it got.

    `step` is called with what the pass is about to do.
    """
    out.mkdir()
    command = [str(python), *ENTRY, "--wangp", str(wangp), "--out", str(out), *options]
    process = subprocess.Popen(
        command + ["--cuda"] * cuda,
        cwd=wangp,
        env=_environment(wangp, out, cuda),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        for line in process.stdout or ():
            step(line.strip())
        process.wait(SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return facts.read(out)


def _environment(wangp: Path, out: Path, cuda: bool) -> dict[str, str]:
    """No network, no file outside of the private folder, no other WanGP."""
    home = out / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(wangp),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HOME": str(home / "huggingface"),
        "TORCHINDUCTOR_CACHE_DIR": str(home / "inductor"),
        "GRADIO_TEMP_DIR": str(home / "gradio"),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
    }
    for name in ("TMPDIR", "TEMP", "TMP"):
        environment[name] = str(home)
    if not cuda:
        environment["CUDA_VISIBLE_DEVICES"] = environment["HIP_VISIBLE_DEVICES"] = ""
    return environment
