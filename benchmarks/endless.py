"""What a window costs when the film is long already: memory, time, bytes encoded.

    python benchmarks/endless.py [--minutes 60] [--size 832x480] [--window 81] [--setting libx264_8]

The writer (wan2gp_svi/video/writer.py) gets windows of synthetic frames: a wide picture that moves,
with grain. A window's time is split into the encoder's (ffmpeg, at WanGP's settings) and the rest.
Every few windows the encoder is also given a window's frames outside the writer, so that both
speeds stand in one run. Beside it: what encoding the whole film again after every window would
have encoded, which is what WanGP does; its time is not measured but follows from the encoder's.

In the end the finished film is looked at: frames counted, times even, the packets of the first
window those that the encoder made.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from wan2gp_svi.video.encode import SETTINGS, encoder
from wan2gp_svi.video.packets import opened, units
from wan2gp_svi.video.writer import Writer

RATE = 16
OVERLAP = 5  # frames of a window that the one before has already


def resident() -> float:
    """MB of this process that are in memory now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # its highest, elsewhere


class Panorama:
    """Frames of a wide picture with soft shapes and grain that passes by; cheap to make."""

    def __init__(self, width: int, height: int) -> None:
        random = np.random.default_rng(1)
        y, x = np.mgrid[0:height, 0 : 3 * width]
        waves = [
            128 + 50 * np.sin(x / (23 + 9 * c) + y / 31) + 40 * np.cos(y / (17 + 5 * c) - x / 47)
            for c in range(3)
        ]
        picture = np.stack(waves, -1) + random.normal(0, 3, (height, 3 * width, 3))
        self.picture = picture.clip(0, 255).astype(np.uint8)
        self.width, self.shown = width, 0

    def window(self, frames: int) -> np.ndarray:
        made = []
        for i in range(self.shown, self.shown + frames):
            left = (2 * i) % (2 * self.width)
            made.append(self.picture[:, left : left + self.width])
        self.shown += frames
        return np.stack(made)


def sums(path: Path, frames: int) -> list[bytes]:
    """Sums of the packets of the first `frames` frames."""
    found: list[bytes] = []
    with opened(path) as container:
        for unit in units(container, RATE):
            found += [hashlib.sha256(bytes(packet)).digest() for _, packet in unit]
            if len(found) >= frames:
                break
    return found[:frames]


def count(path: Path) -> int:
    """All packets of a film; raises when a frame is missing or its time is not even."""
    with opened(path) as container:
        return sum(len(unit) for unit in units(container, RATE))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--window", type=int, default=81)
    parser.add_argument("--setting", choices=SETTINGS, default="libx264_8")
    parser.add_argument("--ending", choices=[".mp4", ".mkv"], default=".mp4")
    parser.add_argument("--out", type=Path, help="keep the finished film there")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    new = arguments.window - OVERLAP
    windows = max(1, round(arguments.minutes * 60 * RATE / new))
    encode = encoder(arguments.setting, RATE)
    inside = 0.0  # seconds of the encoder within the writer

    def timed(frames: np.ndarray, path: Path) -> None:
        nonlocal inside
        began = time.perf_counter()
        encode(frames, path)
        inside += time.perf_counter() - began

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        panorama = Panorama(width, height)
        writer = Writer(folder, arguments.ending, RATE, timed)
        print(f"{windows} windows of {new} new frames, {width}x{height}, {arguments.setting}")
        print("window   resident   encoder   the rest   shown   film on disk")
        encoder_alone, alone_frames, total, rest = 0.0, 0, 0.0, []
        first: list[bytes] = []
        shown = folder / f"shown{arguments.ending}"
        for number in range(1, windows + 1):
            frames = panorama.window(new)
            before = inside
            began = time.perf_counter()
            writer.add(frames)
            added = time.perf_counter()
            writer.show(shown)
            took, seen = time.perf_counter() - began, time.perf_counter() - added
            total += took
            rest.append(took - (inside - before))
            if number == 1:
                first = sums(shown, new)
            if number % 25 == 0:
                alone = folder / f"alone{arguments.ending}"
                began = time.perf_counter()
                encode(frames, alone)
                encoder_alone += time.perf_counter() - began
                alone_frames += new
                alone.unlink()
            if number in (1, 2, 5, 50, 500, windows) or number % 100 == 0:
                print(
                    f"{number:6d} {resident():7.1f} MB {inside - before:7.2f} s {rest[-1]:8.3f} s"
                    f" {seen:7.3f} s {shown.stat().st_size / 1e6:10.1f} MB",
                    flush=True,
                )
        done = arguments.out or folder / f"done{arguments.ending}"
        began = time.perf_counter()
        said = writer.finish(done)
        finishing = time.perf_counter() - began
        writer.close()
        planned = windows * new
        print(f"finish: {finishing:.2f} s{f' ({said})' if said else ''}")
        for place in (5, 50, 500):
            if place <= windows - 4:
                around = sorted(rest[max(0, place - 5) : place + 4])
                print(
                    f"beside the encoder, median of the 9 windows around window {place}:"
                    f" {1000 * around[len(around) // 2]:.1f} ms"
                )
        print(
            f"writer {planned / total:.1f} frames/s, its encoder {planned / inside:.1f} frames/s:"
            f" the writer adds {100 * (total - inside) / inside:.2f} %"
        )
        if alone_frames:
            alone_rate = alone_frames / encoder_alone
            print(f"encoder outside the writer, every 25th window: {alone_rate:.1f} frames/s")
        again = sum(new * k for k in range(1, windows + 1))
        print(
            f"frames encoded: {planned}; encoding all again after each window: {again}"
            f" ({again / planned:.0f} times as many)"
        )
        same = "unchanged" if sums(done, new) == first else "CHANGED"
        print(
            f"film: {done.stat().st_size / 1e6:.1f} MB, {count(done)} of {planned} frames, packets"
            f" of the first window {same}; PyAV {av.__version__}"
        )


if __name__ == "__main__":
    main()
