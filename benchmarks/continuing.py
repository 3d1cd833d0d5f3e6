"""What is left of the first minute of a video that was continued again and again.

    WANGP_DIR=... [WANGP_PYTHON=...] python benchmarks/continuing.py [--times 20]

WanGP's own queue makes a video of two windows with tiny models and continues it by a window, that
one by another, and so on, in one process; first with the extension, then WanGP's own SVI 2 Pro as
it comes (left out where it has none). Printed after some of them: how many packets of the first
video are still there, unchanged; and the PSNR of its decoded frames to what they were, the mean
change of luma beside it. 64x64, textures in motion: harder to compress than most films.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real_wangp"))
import bench

FIRST, ADDED = 29, 13


def frames(path: str) -> np.ndarray:
    """The first video's frames, decoded, (FIRST, H, W, 3), uint8."""
    with av.open(path) as container:
        decoded = zip(container.decode(video=0), range(FIRST), strict=False)
        return np.stack([frame.to_ndarray(format="rgb24") for frame, _ in decoded])


def packets(path: str) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def run(tree: Path, out: Path, times: int) -> list[str]:
    """The videos: the first one, and that after each continuation."""
    scenarios: list[dict] = [{"name": "0", "set": {"video_length": FIRST, "prompt": "one\n\ntwo"}}]
    for k in range(1, times + 1):
        more = {"video_length": ADDED, "prompt": f"more {k}", "seed": 100 + k}
        scenarios.append({"name": str(k), "continue": str(k - 1), "set": more})
    made = bench.drive(tree, scenarios, out)
    failed = [name for name, one in made.items() if not one.ok]
    if failed:
        raise SystemExit(f"{failed[0]} failed: {made[failed[0]].said[-2000:]}")
    return [made[one["name"]].videos[-1]["path"] for one in scenarios]


def table(name: str, videos: list[str]) -> None:
    first, then = frames(videos[0]).astype(float), packets(videos[0])
    print(
        f"{name}\n{'continued':>10} {'frames':>7} {'packets kept':>13} {'PSNR, dB':>9} {'luma':>6}"
    )
    for k in sorted({1, 2, 3, 5, 10, len(videos) - 1}):
        if k >= len(videos):
            continue
        now, seen = packets(videos[k]), frames(videos[k]).astype(float)
        kept = sum(a == b for a, b in zip(then, now, strict=False))
        error = float(((seen - first) ** 2).mean())
        decibel = 10 * math.log10(255**2 / error) if error else math.inf
        luma = float(((seen - first) @ [0.299, 0.587, 0.114]).mean())
        share = f"{kept} of {len(then)}"
        print(f"{k:>10} {len(now):>7} {share:>13} {decibel:>9.1f} {luma:>6.2f}")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        out = Path(folder)
        tree = bench.installed(bench.copy_of(os.environ["WANGP_DIR"], out / "ours"))
        version = bench.version_of(tree)
        print(f"WanGP {version}", flush=True)
        table("with the extension", run(tree, out / "with", args.times))
        if int(version.split(".")[0]) >= 10:
            tree = bench.copy_of(os.environ["WANGP_DIR"], out / "plain")
            table("WanGP alone", run(tree, out / "without", args.times))


if __name__ == "__main__":
    main()
