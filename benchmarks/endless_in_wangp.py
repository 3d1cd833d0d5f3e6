"""What a window costs in the real WanGP when the video is long already, with and without us.

    WANGP_DIR=... [WANGP_PYTHON=...] python benchmarks/endless_in_wangp.py

WanGP's own queue and window loop make a video of that many windows of 17 frames, 64x64, with models
that give zeros: what is left is all that is not the model. First with the extension, then WanGP's
own SVI 2 Pro as it comes, before WanGP 10 its Image2video (`--plain` windows of it, for its cost
grows with the square; 0 leaves it out). Intermediate videos are not kept.

Printed for some windows (the median of nine around each): milliseconds from one saved video to the
next, milliseconds of that in WanGP's `save_video`, frames encoded, resident memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real_wangp"))
import bench

FIRST, ADDS, NATIVE_ADDS = 17, 12, 13
AROUND = 4
PRO = "i2v_2_2_svi2pro"


def run(tree: Path, out: Path, windows: int, adds: int, model: str = PRO) -> list[dict]:
    """What was noted at each video saved."""
    scenario = {
        "name": "long",
        "model": model,
        "fake": True,
        "forget": True,
        "set": {"video_length": FIRST + (windows - 1) * adds, "prompt": "one"},
        "config": {"keep_intermediate_sliding_windows": 0},
    }
    made = bench.drive(tree, [scenario], out)["long"]
    if not made.ok:
        raise SystemExit(made.said[-3000:])
    return made["saves"]


def table(name: str, saves: list[dict], shown: list[int]) -> None:
    print(f"{name}: {len(saves)} windows")
    print(f"{'window':>8} {'ms':>8} {'saving ms':>10} {'encoded':>8} {'resident MB':>12}")
    for number in [n for n in shown if n <= len(saves)]:
        low, high = max(number - 1 - AROUND, 1), min(number + AROUND, len(saves))
        some = range(low, high)
        took = statistics.median(saves[k]["at"] - saves[k - 1]["at"] for k in some)
        saving = statistics.median(saves[k]["seconds"] for k in some)
        one = saves[number - 1]
        print(
            f"{number:>8} {took * 1000:>8.0f} {saving * 1000:>10.1f} {one['encoded']:>8}"
            f" {one['resident_mb']:>12.1f}"
        )
    print(f"encoded in all: {sum(one['encoded'] for one in saves)} frames\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=500)
    parser.add_argument("--plain", type=int, default=200)
    args = parser.parse_args()
    shown = [6, 50, 100, 200, 300, 400, 496]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        out = Path(folder)
        tree = bench.installed(bench.copy_of(os.environ["WANGP_DIR"], out / "ours"))
        print(f"WanGP {bench.version_of(tree)}")
        table("with the extension", run(tree, out / "with", args.windows, ADDS), shown)
        if args.plain:
            tree = bench.copy_of(os.environ["WANGP_DIR"], out / "plain")
            model = PRO if int(bench.version_of(tree).split(".")[0]) >= 10 else "i2v_2_2"
            saves = run(tree, out / "without", args.plain, NATIVE_ADDS, model)
            table(f"WanGP alone, {model}", saves, shown)


if __name__ == "__main__":
    main()
