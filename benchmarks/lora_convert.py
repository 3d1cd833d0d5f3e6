"""Times `lora convert` against plain copying and against loading and saving with safetensors.

  python benchmarks/lora_convert.py [--blocks 40] [--rounds 3] [--folder DIR]

The file has the shapes of the published SVI LoRAs: rank 128, bfloat16, 10 linear layers a block of
the 14B model; 40 blocks are 1.2 GB. Every case runs in a process of its own, the rounds go through
all cases, and the table gives the medians. Seconds: within the process, imports included, with the
source in the page cache. CPU: user and system time, which other work on the machine does not
lengthen much. Memory: the peak resident size that Linux reports (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

RANK, DIM, FFN = 128, 5120, 13824
LAYERS = {
    **{f"{attn}_attn.{leaf}": (DIM, DIM) for attn in ("self", "cross") for leaf in "qkvo"},
    **{"ffn.0": (DIM, FFN), "ffn.2": (FFN, DIM)},
}

COPY = "import shutil, sys; shutil.copyfile(*sys.argv[1:])"
FLUSH = "import os; os.fsync(os.open(sys.argv[2], os.O_RDWR))"
CASES = {
    "copy (shutil.copyfile)": COPY,
    "copy, then flushed to the disk": f"{COPY}; {FLUSH}",
    "`lora convert` (checked, flushed)": (
        "import sys; from wan2gp_svi.cli import main;"
        "assert main(['lora', 'convert', *sys.argv[1:]]) == 0"
    ),
    "safetensors load_file, save_file": (
        "import sys; from safetensors.torch import load_file, save_file;"
        "sd = load_file(sys.argv[1]);"
        "rename = lambda k: k.replace('pipe.dit.', 'diffusion_model.').replace('.default', '');"
        "save_file({rename(k): v for k, v in sd.items()}, sys.argv[2])"
    ),
}
REPORT = "; s = open('/proc/self/status').read(); print('#', s.split('VmHWM:')[1].split()[0])"
TIMED = (
    "import time; begin = time.perf_counter(); {};"
    "print('#', time.perf_counter() - begin); print('#', time.process_time())"
)


def make(path: Path, blocks: int) -> None:
    """Write the source file: random bytes, DiffSynth's key names."""
    header: dict[str, object] = {}
    place = 0
    for block in range(blocks):
        for layer, (inputs, outputs) in LAYERS.items():
            for side, shape in (("A", [RANK, inputs]), ("B", [outputs, RANK])):
                name = f"pipe.dit.blocks.{block}.{layer}.lora_{side}.default.weight"
                end = place + 2 * math.prod(shape)
                header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place, end]}
                place = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = bytes(byte & 0xBF for byte in os.urandom(1 << 20))  # finite as bfloat16
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while place > 0:
            file.write(noise[: min(place, len(noise))])
            place -= len(noise)


def measure(code: str, source: Path, target: Path) -> list[float]:
    """Seconds, CPU seconds and peak megabytes of one case."""
    target.unlink(missing_ok=True)
    os.sync()
    root = str(Path(__file__).resolve().parents[1])
    said = subprocess.run(
        [sys.executable, "-c", TIMED.format(code) + REPORT, source, target],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = [float(line[2:]) for line in said.splitlines() if line.startswith("#")]
    if abs(target.stat().st_size - source.stat().st_size) > 1 << 20:
        raise SystemExit(f"wrong size: {target}")
    return [found[0], found[1], found[2] * 1024 / 1e6]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to write (default: the temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        make(source, args.blocks)
        results: dict[str, list[list[float]]] = {name: [] for name in CASES}
        for _ in range(args.rounds):
            for name, code in CASES.items():
                results[name].append(measure(code, source, target))
        print(f"{source.stat().st_size / 1e9:.2f} GB, median of {args.rounds} rounds\n")
    print("| | seconds | each round | CPU seconds | peak memory, MB |")
    print("| --- | --- | --- | --- | --- |")
    for name, runs in results.items():
        seconds, cpu, memory = zip(*runs, strict=True)
        each = ", ".join(f"{second:.2f}" for second in seconds)
        middle = f"{statistics.median(seconds):.2f} | {each} | {statistics.median(cpu):.2f}"
        print(f"| {name} | {middle} | {max(memory):.0f} |")


if __name__ == "__main__":
    main()
