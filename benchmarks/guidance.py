"""Which guidance the tiny Wan's chains are made with, chosen on scenes that no table is made of.

    python benchmarks/guidance.py [--scenes 16] [--windows 12]

Chains of `wan2gp-svi train evidence` (way c: SVI's conditioning and LoRA), films 500 and on: the
tables of docs/evidence.md are of films 0 to 15. Printed for each guidance: how often the object
goes where it is told, in how many frames it is found, and the ground's error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from wan2gp_svi.train import evidence
from wan2gp_svi.train.commands import WEIGHTS
from wan2gp_svi.train.svi import load_experts

FIRST = 500
GUIDANCES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--windows", type=int, default=12)
    args = parser.parse_args()
    experts = load_experts(WEIGHTS, WEIGHTS)
    films = [evidence.film(FIRST + k, args.windows) for k in range(args.scenes)]
    print(f"{'guidance':>8} {'obeys':>6} {'found':>6} {'ground':>7}")
    for guidance in GUIDANCES:
        evidence.GUIDANCE = guidance
        rows, _ = evidence.chain(evidence.WAYS_COMPARED["c"], films, args.windows, experts)
        obeys, found, ground = (
            evidence.mean_of([row[name] for row in rows])
            for name in ("obeys", "present", "background")
        )
        print(f"{guidance:>8} {obeys:>6.2f} {found:>6.2f} {ground:>7.4f}", flush=True)


if __name__ == "__main__":
    main()
