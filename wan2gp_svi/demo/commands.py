"""`wan2gp-svi demo`."""

from __future__ import annotations

import argparse
import errno
import importlib.util
import time
from typing import Any

from wan2gp_svi.demo.film import BESIDE, VIDEO, latents, make
from wan2gp_svi.errors import UserError

NEEDED = ("torch", "numpy", "PIL", "safetensors", "imageio_ffmpeg", "tqdm", "av")


def demo(args: argparse.Namespace) -> int:
    """Make the video, the contact sheet and the plan in `args.out`."""
    _check_packages()
    began = time.monotonic()
    try:
        made = make(args)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                "The disk is full: make room, or name a folder on another disk with --out.", 1
            ) from None
        raise
    _show(made, time.monotonic() - began)
    return 0


def _check_packages() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"The demo needs packages that are not here: {', '.join(missing)}. Run"
            " 'bash install.sh --demo', which brings them."
        )


def _show(made: dict[str, Any], seconds: float) -> None:
    head = ("window", "frames", "new", "from", "to", "seed", "handed over", "anchor", "seam")
    table: list[tuple[str, ...]] = [head]
    for w in made["windows"]:
        over = latents(w["motion_latents"]) if w["motion_latents"] else "-"
        seam = "-" if w["seam_ratio"] is None else f"{w['seam_ratio']:.2f}"
        table.append(
            (
                *map(str, (w["window"], w["generates"], w["delivers"])),
                *(f"{w[edge]:.2f} s" for edge in ("start_seconds", "end_seconds")),
                *map(str, (w["seed"], over, w["anchor_name"], seam)),
            )
        )
    widths = [max(len(line[i]) for line in table) for i in range(len(head))]
    print()
    for i, line in enumerate(table):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
        if i == 0:
            print("  ".join("-" * width for width in widths))
    length = f"{made['delivered']} frames, {made['seconds']:.2f} s of video"
    print(f"\n{length}, made in {seconds:.0f} s.")
    print(f"The video:         {made['out'] / VIDEO}")
    print(f"The contact sheet: {made['out'] / 'contact-sheet.png'}")
    if made["beside"]:
        print(f"Beside it, without SVI: {made['out'] / BESIDE}")
    print(f"The plan:          {made['out'] / 'plan.json'}")
    if not made["trained"]:
        print("Weights are constructed and seeded, not trained: look at the joins, not at the art.")
