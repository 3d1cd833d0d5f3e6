"""Drive the real WanGP from a test or a benchmark: see host/drive.py for what a scenario is.

WANGP_PYTHON is the interpreter with WanGP's packages (host/requirements-*.txt say which), default
the one that runs this. WanGP's folder is copied and never changed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

PORT = int(os.environ.get("WANGP_PORT", "7878"))
HOST = Path(__file__).parent / "host"
ROOT = Path(__file__).parents[2]


def copy_of(source, target):
    """A copy of a WanGP folder, without its git directory, saved settings and an extension."""
    left_out = {".git", "settings", "wan2gp_svi"}

    def ignore(folder, names):
        return {"__pycache__"} | (left_out if Path(folder) == Path(source) else set())

    return Path(shutil.copytree(source, target, ignore=ignore))


def installed(tree):
    """`tree` with the extension put in by its own command."""
    command = [sys.executable, "-m", "wan2gp_svi", "install", "--wangp", str(tree)]
    subprocess.run(command, check=True, cwd=ROOT)
    return tree


class Outcome(dict):
    """One scenario's results: what drive.py writes, and its arrays."""

    def __init__(self, result, arrays):
        super().__init__(result)
        self.arrays = arrays

    def __getattr__(self, name):
        return self[name]

    @property
    def svi(self):
        """What the extension said in the console."""
        lines = self["said"].replace("\r", "\n").split("\n")
        return [line[line.index("[SVI]") :] for line in lines if "[SVI]" in line]

    @property
    def frames(self):
        """Frames of the last video."""
        return self["videos"][-1]["frames"]


def version_of(tree):
    """What WanGP calls itself, such as "12.60"."""
    lines = (tree / "wgp.py").read_text(encoding="utf-8-sig").splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("WanGP_version"))


def keep_shots(folder, tree):
    """Copy the screenshots in `folder` to the folder that WANGP_SHOTS names, if it names one."""
    if "WANGP_SHOTS" in os.environ:
        for shot in folder.glob("*.png"):
            target = Path(os.environ["WANGP_SHOTS"]) / f"{version_of(tree)}-{shot.name}"
            shutil.copy(shot, target)


def environment_for(tree):
    """The environment that lets this WanGP run on a CPU, without a network."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "OMP_NUM_THREADS": os.environ.get("WANGP_THREADS", "2"),
    }
    if version_of(tree).startswith("9."):
        environment["WANGP_MMGP_VERSION"] = "3.6.9"  # what 9.91 asks for; 3.6.10 serves it
    return environment


def command_for(tree, scenarios, out):
    """What drives WanGP through scenarios; `out` is made."""
    out.mkdir(parents=True, exist_ok=True)
    todo = out / "scenarios.json"
    todo.write_text(json.dumps(scenarios))
    python = os.environ.get("WANGP_PYTHON", sys.executable)
    command = [python, HOST / "drive.py", "--wangp", tree, "--out", out, todo]
    return [str(part) for part in command]


def drive(tree, scenarios, out):
    """Run scenarios in one process; returns {name: Outcome}."""
    command = command_for(tree, scenarios, out)
    with (out / "log.txt").open("w") as log:
        subprocess.run(
            command,
            env=environment_for(tree),
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=3000,
        )
    results = out / "results.json"
    if not results.exists():
        raise RuntimeError("WanGP did not run: " + (out / "log.txt").read_text()[-3000:])
    return {
        result["name"]: Outcome(result, np.load(out / f"{result['name']}.npz"))
        for result in json.loads(results.read_text())
    }
