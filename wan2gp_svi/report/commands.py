"""`wan2gp-svi plan`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from wan2gp_svi.errors import UserError
from wan2gp_svi.report.plan import described, table
from wan2gp_svi.svi.schedule import prompts_for_windows, segments_of
from wan2gp_svi.svi.vae import VAE_STRIDE
from wan2gp_svi.svi.windows import Chain, Size
from wan2gp_svi.svi.windows import plan as plan_windows


def plan(args: argparse.Namespace) -> int:
    """Print the plan for `--frames`, as a table or as JSON."""
    if args.overlap < VAE_STRIDE or args.overlap % VAE_STRIDE:
        raise UserError(
            f"An overlap of {args.overlap} frames is not possible: it must be a multiple of"
            f" {VAE_STRIDE}, as a latent holds that many frames."
        )
    size = Size(args.window, args.overlap // VAE_STRIDE)
    prompts = _read(args.prompts) if args.prompts else [""]
    chain = Chain(size=size, fps=args.fps, seed=args.seed)
    windows = plan_windows(args.frames, chain)
    texts = prompts_for_windows(prompts, [window.seconds for window in windows])
    segments = [segments_of(*pair) for pair in zip(windows, texts, strict=True)]
    whole = described(args.frames, windows, segments)
    if args.json:
        print(json.dumps(whole, indent=1, ensure_ascii=False))
    else:
        print("\n".join(table(whole)))
    return 0


def _read(path: str) -> list[str]:
    """The prompts of a text file, one a line; empty lines and those that start with # are not."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file in UTF-8"
        raise UserError(f"The prompts in {path} cannot be read: {reason}.") from error
    lines = [line.strip() for line in text.splitlines()]
    prompts = [line for line in lines if line and not line.startswith("#")]
    if not prompts:
        raise UserError(f"There is no prompt in {path}: write one a line.")
    return prompts
