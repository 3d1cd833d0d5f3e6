"""`wan2gp-svi train base`, `cache`, `svi` and `evidence`."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan2gp_svi.errors import UserError

if TYPE_CHECKING:
    from wan2gp_svi.train.error_bank import Odds
    from wan2gp_svi.train.tiny import TinyWan

WEIGHTS = Path(__file__).parent / "weights"
"""The bundled base model, high.safetensors and low.safetensors."""
OTHERS = ("window", "timed", "scenes")
"""What `train evidence` measures besides chains: a single window, timed prompts, changes of scene
and pans."""
NEEDED = ("torch", "numpy", "safetensors", "PIL", "tqdm", "peft", "accelerate")
NEEDED_FOR_WAN = (*NEEDED, "diffusers", "transformers", "av")
ERRORS = 20
"""Errors a grid for a real Wan: of 81 frames at 832x480 that is 17 GB (the authors' 500: 420)."""


def _check_packages(needed: tuple[str, ...] = NEEDED, extra: str = "train") -> None:
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Training needs {', '.join(missing)}."
            f" Install what it needs with: pip install .[{extra}]"
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


def cache(args: argparse.Namespace) -> int:
    """Encode clips for a real Wan.

    `args`: model, clips, out, mode, size, frames, fps, threads.
    """
    _check_packages(NEEDED_FOR_WAN, "train-wan")
    _threads(args.threads)
    from wan2gp_svi.train import cache as caching

    width, _, height = args.size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size {args.size} is no size: it is like 832x480.")
    model, out = Path(args.model), Path(args.out)
    settings = caching.settings_of(model, args.mode, args.frames, int(width), int(height), args.fps)
    short = caching.make(model, Path(args.clips), out, settings)
    if short:
        print(f"left out, not longer than {args.frames} frames: {', '.join(short)}")
    print(f"cached: {len(caching.open_cache(out).pieces)} pieces in {out}")
    return 0


def svi(args: argparse.Namespace) -> int:
    """Train SVI's LoRA, for the small Wan or a real one.

    `args`: base or model and cache, out, mode, expert, steps, batch, rank, errors, clean, seed,
    reference_only, threads.
    """
    if (args.model is None) != (args.cache is None) or (args.model and args.base):
        raise UserError("--model and --cache go together (a real Wan), without --base.")
    return _svi_of_wan(args) if args.model else _svi_of_small_wan(args)


def _settings(args: argparse.Namespace, odds: Odds) -> dict[str, Any]:
    """What the command line says of a recipe; `odds` are the mode's."""
    names = {"steps": "steps", "batch": "batch", "rank": "rank", "errors": "capacity"}
    said = {of: v for name, of in names.items() if (v := getattr(args, name)) is not None}
    said["odds"] = odds if args.clean is None else replace(odds, clean=args.clean)
    return {**said, "seed": args.seed, "reference_only": args.reference_only}


def _svi_of_small_wan(args: argparse.Namespace) -> int:
    _check_packages()
    _threads(args.threads)
    from wan2gp_svi.train import base as models
    from wan2gp_svi.train import recycling
    from wan2gp_svi.train import svi as training

    folder, mode = Path(args.base) if args.base else WEIGHTS, args.mode or "pro"
    settings = _settings(args, recycling.odds_of(mode))
    for expert in ("low", "high") if args.expert == "both" else (args.expert,):
        recipe = training.recipe_of(mode, expert=expert, **settings)
        model = models.load_model(folder / f"{expert}.safetensors")
        path = training.train(model, recipe, Path(args.out))
        print(f"trained: {path}")
    return 0


def _svi_of_wan(args: argparse.Namespace) -> int:
    _check_packages(NEEDED_FOR_WAN, "train-wan")
    _threads(args.threads)
    from wan2gp_svi.train import cache as caching
    from wan2gp_svi.train import recycling, wan

    folder, held = Path(args.model), caching.open_cache(Path(args.cache))
    kind, mode = wan.kind_of(folder), held.settings.mode
    if kind != held.settings.kind:
        raise UserError(f"{args.cache} was made for another kind of model than {folder}.")
    if args.mode not in (None, mode):
        raise UserError(f"{args.cache} was made for mode {mode}: leave --mode out.")
    there = wan.experts(folder)
    if args.expert != "both" and args.expert not in there:
        raise UserError(f"{folder} has one model for all noise levels: leave --expert out.")
    settings = {"capacity": ERRORS, **_settings(args, recycling.odds_of(mode))}
    for expert in there if args.expert == "both" else (args.expert,):
        recipe = recycling.Recipe(mode=mode, expert=expert, **settings)
        path = caching.train(folder, held, recipe, Path(args.out))
        print(f"trained: {path}")
    return 0


def evidence(args: argparse.Namespace) -> int:
    """Measure chains, or timed prompts. `args`: base, lora, out, windows, scenes, ways, threads."""
    _check_packages()
    _threads(args.threads)
    from wan2gp_svi.train import evidence as chains
    from wan2gp_svi.train import scenes, timed
    from wan2gp_svi.train import svi as training

    unknown = [way for way in args.ways if way not in (*chains.WAYS_COMPARED, *OTHERS)]
    if unknown:
        names = ", ".join((*chains.WAYS_COMPARED, *OTHERS))
        raise UserError(f"There is no way {', '.join(unknown)}; there are {names}.")
    folder, loras = (Path(d) if d else WEIGHTS for d in (args.base, args.lora))

    @functools.cache
    def experts_of(lora: str) -> tuple[TinyWan, TinyWan]:
        return training.load_experts(folder, loras if lora else None, lora)

    plain, out = experts_of(""), Path(args.out)
    ways = [way for way in args.ways if way not in OTHERS]
    for way in ways:
        experts_of(chains.WAYS_COMPARED[way].lora)  # a missing file is told before hours of work
    if ways:
        print(chains.compare(ways, experts_of, out, args.windows, args.scenes))
    if "window" in args.ways:
        print(chains.one_window(plain, args.scenes))
    if "timed" in args.ways:
        table = timed.compare(plain, args.scenes)
        out.mkdir(parents=True, exist_ok=True)
        (out / "timed.md").write_text(table + "\n")
        print(table)
    if "scenes" in args.ways:
        print(scenes.compare_scenes(experts_of("pro"), args.scenes), end="\n\n")
        print(scenes.compare_pans(plain, experts_of("pro"), args.scenes))
    return 0
