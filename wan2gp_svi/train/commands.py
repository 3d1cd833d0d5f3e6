"""`wan2gp-svi train base` and `wan2gp-svi train svi`."""

from __future__ import annotations

import argparse
import importlib.util
import os
from dataclasses import replace
from pathlib import Path

from wan2gp_svi.errors import UserError

WEIGHTS = Path(__file__).parent / "weights"
"""The bundled base model, high.safetensors and low.safetensors."""
OTHERS = ("window", "timed")
"""What `train evidence` measures besides chains: a single window, timed prompts."""
NEEDED = ("torch", "numpy", "safetensors", "PIL", "tqdm", "peft", "accelerate")


def _check_packages() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Training needs {', '.join(missing)}. Install what it needs with: pip install .[train]"
        )


def _threads(count: int) -> None:
    import torch

    torch.set_num_threads(count or os.cpu_count() or 1)


def base(args: argparse.Namespace) -> int:
    """Train the base model. `args`: out, seed, shared_steps, high_steps, low_steps, threads."""
    _check_packages()
    _threads(args.threads)
    from wan2gp_svi.train import base as training

    recipe = replace(
        training.Recipe(),
        seed=args.seed,
        **{
            f"{phase}_steps": steps
            for phase in training.PHASES
            if (steps := getattr(args, f"{phase}_steps")) is not None
        },
    )
    out = Path(args.out)
    training.train(out, recipe)
    print(f"trained: {out / 'high.safetensors'} and {out / 'low.safetensors'}")
    return 0


def svi(args: argparse.Namespace) -> int:
    """Train SVI's LoRA.

    `args`: base, out, mode, expert, steps, rank, seed, reference_only, threads.
    """
    _check_packages()
    _threads(args.threads)
    from wan2gp_svi.train import base as models
    from wan2gp_svi.train import svi as training

    folder = Path(args.base) if args.base else WEIGHTS
    settings = {k: v for k in ("steps", "rank") if (v := getattr(args, k)) is not None}
    for expert in ("low", "high") if args.expert == "both" else (args.expert,):
        recipe = training.recipe_of(
            args.mode,
            expert=expert,
            seed=args.seed,
            reference_only=args.reference_only,
            **settings,
        )
        model = models.load_model(folder / f"{expert}.safetensors")
        path = training.train(model, recipe, Path(args.out))
        print(f"trained: {path}")
    return 0


def evidence(args: argparse.Namespace) -> int:
    """Measure chains, or timed prompts. `args`: base, lora, out, windows, scenes, ways, threads."""
    _check_packages()
    _threads(args.threads)
    from wan2gp_svi.train import base as models
    from wan2gp_svi.train import evidence as chains
    from wan2gp_svi.train import svi as training
    from wan2gp_svi.train import timed

    unknown = [way for way in args.ways if way not in (*chains.WAYS_COMPARED, *OTHERS)]
    if unknown:
        names = ", ".join((*chains.WAYS_COMPARED, *OTHERS))
        raise UserError(f"There is no way {', '.join(unknown)}; there are {names}.")
    folder, loras = (Path(d) if d else WEIGHTS for d in (args.base, args.lora))
    high, low = (models.load_model(folder / f"{e}.safetensors") for e in ("high", "low"))
    with_lora = None
    if any(way not in OTHERS and chains.WAYS_COMPARED[way].lora for way in args.ways):
        with_lora = tuple(
            training.load_lora(model, loras / f"svi-pro-{e}-noise.safetensors")
            for model, e in ((high, "high"), (low, "low"))
        )
    out = Path(args.out)
    ways = [way for way in args.ways if way not in OTHERS]
    if ways:
        print(
            chains.compare(ways, (high, low), with_lora, out, args.windows, args.scenes)  # type: ignore[arg-type]
        )
    if "window" in args.ways:
        print(chains.one_window((high, low), args.scenes))
    if "timed" in args.ways:
        table = timed.compare((high, low), args.scenes)
        out.mkdir(parents=True, exist_ok=True)
        (out / "timed.md").write_text(table + "\n")
        print(table)
    return 0
