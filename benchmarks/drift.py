"""How fast the drift report reads a video, and how much memory it takes.

    taskset -c 0 python benchmarks/drift.py [--size 832x480] [--seconds 30] [--hour]

A drawn video that moves is encoded as WanGP saves it (x264, CRF 10) and read back: decoding alone,
and the whole report. CPU seconds of this process and of ffmpeg are counted beside the clock, which
on a busy machine says little. `--hour` feeds an hour of frames (57,600) through the report at the
given size, without a file, and says how memory grew; a small size will do, as what is kept does not
depend on it.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "tests/report")]

import drifting  # noqa: E402

from wan2gp_svi.report.drift import gather  # noqa: E402
from wan2gp_svi.report.verdict import verdict  # noqa: E402
from wan2gp_svi.report.windows import Windows  # noqa: E402
from wan2gp_svi.video.frames import read  # noqa: E402

WINDOWS = Windows((81,), 76, "as drawn")
FPS = 16


def cpu() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    own, children = (
        resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def memory() -> float:
    """Resident memory now, in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def moving(size: tuple[int, int], count: int) -> Iterator[np.ndarray]:
    """Frames of a pan over a drawn picture that goes on and on."""
    width, height = size
    picture = np.tile(cv2.resize(drifting.drawn(1), (width, max(height, 64))), (1, 2, 1))
    for k in range(count):
        x = round(k * width * 0.003) % width
        yield np.ascontiguousarray(picture[:height, x : x + width])


def speed(size: tuple[int, int], seconds: float) -> None:
    count = round(seconds * FPS)
    with tempfile.TemporaryDirectory() as folder:
        path = drifting.save(Path(folder) / "clip.mp4", moving(size, count))
        for name in ("decoding alone", "the report"):
            shape, frames = read(path)
            began, used = time.perf_counter(), cpu()
            if name == "the report":
                found = verdict(gather(frames, shape.fps, WINDOWS), WINDOWS)
            else:
                for _ in frames:
                    pass
            took, used = time.perf_counter() - began, cpu() - used
            print(
                f"{name}: {count} frames of {size[0]}x{size[1]}: {count / took:.0f} frames/s by the"
                f" clock, {1000 * used / count:.1f} ms of CPU a frame = {count / used:.0f} frames/s"
                f" on a core of its own ({count / used / FPS:.1f} times real time)"
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    print(f"verdict: {found.line}")


def hour(size: tuple[int, int]) -> None:
    total = 3600 * FPS
    marks: list[tuple[int, float]] = []
    ticks = itertools.count(1)

    def tick() -> None:
        number = next(ticks)
        if number % (total // 6) == 0 or number == 1000:
            marks.append((number, memory()))
            print(f"{number / FPS / 60:.0f} min: {marks[-1][1]:.0f} MB", flush=True)

    began, used = time.perf_counter(), cpu()
    seen = gather(moving(size, total), FPS, WINDOWS, tick)
    used = cpu() - used
    judging = time.perf_counter()
    line = verdict(seen, WINDOWS).line
    judging = time.perf_counter() - judging
    grown = marks[-1][1] - marks[0][1]
    print(
        f"an hour at {size[0]}x{size[1]}: {len(seen.spans)} windows, memory grew by {grown:.1f} MB"
        f" ({2**20 * grown / total:.0f} bytes a frame), {used:.0f} s of CPU,"
        f" {time.perf_counter() - began:.0f} s by the clock, judged in {judging:.1f} s"
    )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB; {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--hour", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    width, height = (int(side) for side in args.size.split("x"))
    if args.hour:
        hour((width, height))
    else:
        speed((width, height), args.seconds)


if __name__ == "__main__":
    main()
