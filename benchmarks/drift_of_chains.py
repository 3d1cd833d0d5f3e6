"""Whether the drift report alone tells the tiny Wan's chains with and without SVI apart.

    python benchmarks/drift_of_chains.py [--scenes 8] [--windows 50]

Films 100 and on of train/evidence.py: a is the base model chained on its last frame, b has SVI's
conditioning, c its LoRA, too. For each way: in how many films the report found each kind of fault.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from wan2gp_svi.report.drift import gather
from wan2gp_svi.report.verdict import verdict
from wan2gp_svi.report.windows import Windows
from wan2gp_svi.svi.faults import KINDS
from wan2gp_svi.train import evidence
from wan2gp_svi.train.commands import WEIGHTS
from wan2gp_svi.train.svi import load_experts

FIRST = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--windows", type=int, default=50)
    args = parser.parse_args()
    print("| | " + " | ".join(KINDS) + " |\n| --- |" + " --- |" * len(KINDS))
    for key in "abc":
        way = evidence.WAYS_COMPARED[key]
        films = [evidence.film(FIRST + k, args.windows) for k in range(args.scenes)]
        parts = list(
            evidence.made(
                way, films, args.windows, load_experts(WEIGHTS, WEIGHTS if way.lora else None)
            )
        )
        windows = Windows((parts[0][0].shape[1],), parts[1][0].shape[1], "as made")
        found: Counter[str] = Counter()
        for k in range(args.scenes):
            video = (torch.cat([part[k] for part in parts], dim=1) + 1) * 127.5
            frames = video.round().clamp(0, 255).byte().permute(1, 2, 3, 0).numpy()
            told = verdict(gather(iter(np.ascontiguousarray(frames)), 16.0, windows), windows)
            found.update({finding.kind for finding in told.findings})
        print(f"| {key} | " + " | ".join(str(found[kind]) for kind in KINDS) + " |", flush=True)


if __name__ == "__main__":
    main()
