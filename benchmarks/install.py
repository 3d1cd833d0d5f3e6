"""How long `install` takes on a WanGP folder, in processes of their own, as a user starts them.

    python benchmarks/install.py WANGP_DIR [--times 5]

WANGP_DIR is copied first and never changed. Each time: install into the bare copy, install again,
status, uninstall. Prints the median and the slowest of each; the promise is install under 2 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("install", "install again", "status", "uninstall")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wangp", metavar="WANGP_DIR")
    parser.add_argument("--times", type=int, default=5, metavar="N")
    args = parser.parse_args()
    wall: dict[str, list[float]] = {step: [] for step in STEPS}
    cpu: dict[str, list[float]] = {step: [] for step in STEPS}
    with tempfile.TemporaryDirectory() as folder:
        wangp = Path(folder) / "WanGP"
        left_out = shutil.ignore_patterns("__pycache__", "ckpts", "outputs")
        shutil.copytree(args.wangp, wangp, ignore=left_out)
        for _ in range(args.times):
            for step in STEPS:
                seconds, processor = timed(step.split()[0], wangp)
                wall[step].append(seconds)
                cpu[step].append(processor)
        lines = (wangp / "wgp.py").read_bytes().count(b"\n")
    print(f"wgp.py of {lines} lines, {args.times} times, {os.cpu_count()} cores\n")
    print("| step | median | slowest | processor time |")
    print("| --- | ---: | ---: | ---: |")
    for step in STEPS:
        median, processor = statistics.median(wall[step]), statistics.median(cpu[step])
        print(f"| {step} | {median:.2f} s | {max(wall[step]):.2f} s | {processor:.2f} s |")
    return 0


def timed(command: str, wangp: Path) -> tuple[float, float]:
    """Seconds on the clock and on the processor of one command."""
    before, began = os.times(), time.perf_counter()
    line = [sys.executable, "-m", "wan2gp_svi", command, "--wangp", str(wangp)]
    subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system
    return seconds, used - before.children_user - before.children_system


if __name__ == "__main__":
    raise SystemExit(main())
