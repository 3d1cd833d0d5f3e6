"""What SVI costs around the transformer: the real WanGP with and without the extension, in one run.

    WANGP_DIR=... WANGP_PYTHON=... python benchmarks/loop.py [--frames 157] [--window 81]

Both run the same task (64x64, tiny models, 2 steps, their real VAE code) in processes of their own,
in turn, and the best of the rounds counts. A WanGP without SVI of its own (before 10.0) is measured
with i2v_2_2, whose window of as many frames is what SVI would otherwise be built on.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real_wangp"))
from bench import copy_of, drive, installed


def measure(tree, model, frames, window, out):
    scenario = {
        "name": "run",
        "model": model,
        "set": {"video_length": frames, "sliding_window_size": window},
    }
    run = drive(tree, [scenario], out)["run"]
    assert run.ok, run.said[-1000:]
    windows = run.windows
    return {
        "around": [w["seconds"] - w["transformer"] for w in windows],
        "encodes": [w["encoded"] for w in windows],
        "frames": run.frames,
        "peak": run["peak_mb"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=157)
    parser.add_argument("--window", type=int, default=81)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    source = Path(os.environ["WANGP_DIR"])
    svi = "i2v_2_2_svi2pro"
    native = svi if (source / "defaults" / f"{svi}.json").exists() else "i2v_2_2"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        plain = copy_of(source, folder / "plain")
        patched = installed(copy_of(source, folder / "patched"))
        best = {}
        for number in range(args.rounds):
            for name, tree, model in (("without", plain, native), ("with", patched, svi)):
                out = folder / f"{name}{number}"
                run = measure(tree, model, args.frames, args.window, out)
                if name not in best or sum(run["around"]) < sum(best[name]["around"]):
                    best[name] = run
    print(f"{args.frames} frames asked, windows of {args.window}, 64x64, best of {args.rounds}")
    print(f"{'':>8}  {'model':<16} {'frames':>6}  {'peak MB':>7}  seconds a window around the")
    print(f"{'':>8}  {'':<16} {'':>6}  {'':>7}  transformer; frames of each VAE encode")
    for name, model in (("without", native), ("with", svi)):
        run = best[name]
        shown = "  ".join(
            f"{seconds:.2f} {encodes}"
            for seconds, encodes in zip(run["around"], run["encodes"], strict=True)
        )
        print(f"{name:>8}  {model:<16} {run['frames']:>6}  {run['peak']:>7}  {shown}")


if __name__ == "__main__":
    main()
