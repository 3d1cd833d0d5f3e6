"""`wan2gp-svi plan`: the windows of a video, and which words hold when, before it is made."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.prompts import Segment, delivered, prompts_for_windows, segments_of
from wan2gp_svi.svi.windows import VAE_STRIDE, Chain, Size, Window
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
    chain = Chain(size=size, fps=args.fps, seed=args.seed, prompts=tuple(prompts))
    windows = plan_windows(args.frames, chain)
    texts = prompts_for_windows(prompts, [window.seconds for window in windows])
    described = [
        describe(window, segments_of(window, text))
        for window, text in zip(windows, texts, strict=True)
    ]
    if args.json:
        whole = {"asked": args.frames, "delivered": windows[-1].stop, "windows": described}
        print(json.dumps(whole, indent=1, ensure_ascii=False))
    else:
        print("\n".join(table(args.frames, described)))
    return 0


def describe(window: Window, segments: tuple[Segment, ...]) -> dict[str, Any]:
    """A window as plain values; frames and latents count from 1, as people do."""
    start, end = window.seconds
    return {
        "window": window.index,
        "generates": window.frames,
        "latents": window.latents,
        "motion_latents": window.motion_latents,
        "dropped": window.drop_front,
        "discarded": window.discard,
        "delivers": window.adds,
        "first_frame": window.start + 1,
        "last_frame": window.stop,
        "start_seconds": round(start, 4),
        "end_seconds": round(end, 4),
        "seed": window.seed,
        "anchor": window.anchor,
        "words": [
            {
                "text": segment.words,
                "first_frame": delivered(window, segment)[0],
                "last_frame": delivered(window, segment)[1],
                "start_seconds": round(segment.start_seconds, 4),
                "end_seconds": round(segment.stop_seconds, 4),
                "first_latent": segment.first_latent + 1,
                "last_latent": segment.stop_latent,
            }
            for segment in segments
        ],
    }


def table(asked: int, windows: list[dict[str, Any]]) -> list[str]:
    """The plan as lines of text."""
    delivered = windows[-1]["last_frame"] - windows[0]["first_frame"] + 1
    count = "1 window" if len(windows) == 1 else f"{len(windows)} windows"
    lines = [
        f"{asked} frames asked: {delivered} in {count}",
        f"{'window':>6}  {'generates':>9}  {'frames':>13}  {'seconds':>15}  {'seed':>10}  anchor",
    ]
    for window in windows:
        frames = f"{window['first_frame']}-{window['last_frame']}"
        seconds = f"{window['start_seconds']:.2f}-{window['end_seconds']:.2f}"
        anchor = window["anchor"] or "start image"
        lines.append(
            f"{window['window']:>6}  {window['generates']:>9}  {frames:>13}  {seconds:>15}"
            f"  {window['seed']:>10}  {anchor}"
        )
        for words in window["words"]:
            if words["text"]:
                frames = f"{words['first_frame']}-{words['last_frame']}"
                when = f"{words['start_seconds']:.2f}-{words['end_seconds']:.2f} s"
                lines.append(f"{'':>19}{frames:>13}  {when:>15}  {words['text']}")
    return lines


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
