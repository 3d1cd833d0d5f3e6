"""`wan2gp-svi plan`, `drift`, and `lora inspect` where the file is a hand-over."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import write
from wan2gp_svi.installer import find
from wan2gp_svi.report import told
from wan2gp_svi.report.look import look
from wan2gp_svi.report.plan import described, table
from wan2gp_svi.svi import prompts as writing
from wan2gp_svi.svi.modes import MODES, Mode
from wan2gp_svi.svi.schedule import notes, prompts_for_windows, segments_of
from wan2gp_svi.svi.vae import VAE_STRIDE
from wan2gp_svi.svi.windows import LARGEST_SEED, Chain, Size, seeds_in, whole_numbers
from wan2gp_svi.svi.windows import plan as plan_windows
from wan2gp_svi.tensor_file import read_header

T = TypeVar("T")

_VARIABLE = re.compile(r"\{[^{}\n]+\}")


def plan(args: argparse.Namespace) -> int:
    """Print the plan for `--frames`, as a table or as JSON."""
    mode = _mode(args)
    if args.overlap < VAE_STRIDE or args.overlap % VAE_STRIDE:
        raise UserError(
            f"An overlap of {args.overlap} frames is not possible: it must be a multiple of"
            f" {VAE_STRIDE}, as a latent holds that many frames."
        )
    if args.anchors < 0:
        raise UserError(f"{args.anchors} anchor images are not possible: use 0 or more.")
    chain = Chain(
        size=Size(args.window, args.overlap // VAE_STRIDE, motion_frames=mode.motion_frames),
        fps=mode.fps if args.fps is None else args.fps,
        seed=args.seed,
        seeds=_option(
            "--seeds", seeds_in, args.seeds, f"'new', 'same', or whole numbers up to {LARGEST_SEED}"
        ),
        anchors=args.anchors,
        anchor_schedule=_option(
            "--schedule", whole_numbers, args.schedule, "whole numbers such as '1, 1, 2'"
        ),
    )
    prompts = _read(args.prompts, _paragraphs(args.wangp)) if args.prompts else [""]
    windows = plan_windows(args.frames, chain, args.exact or mode.sound)
    spans = [window.seconds for window in windows]
    texts = prompts_for_windows(prompts, spans, mode.prompt_repeat)
    segments = [segments_of(*pair) for pair in zip(windows, texts, strict=True)]
    whole = described(args.frames, windows, segments)
    if not mode.has_anchor:
        for described_window in whole["windows"]:
            described_window["anchor"] = None
    whole["notes"] = notes(prompts, len(windows), mode.prompt_repeat)
    if args.json:
        print(json.dumps(whole, indent=1, ensure_ascii=False))
    else:
        print("\n".join(table(whole)))
    return 0


def _mode(args: argparse.Namespace) -> Mode:
    """The SVI mode asked for. Raises UserError for none, and for what it has no use for."""
    mode = MODES.get(args.mode)
    if mode is None:
        raise UserError(f"--mode can be {', '.join(MODES)}, not {args.mode!r}.")
    pro_only = {"--overlap": args.overlap != VAE_STRIDE, "--anchors": args.anchors}
    for option in (name for name, given in pro_only.items() if given and mode.motion_frames):
        raise UserError(f"{option} is for SVI 2 Pro: {mode.name} hands over frames.")
    return mode


def drift(args: argparse.Namespace) -> int:
    """Read the video once, print the verdict, write what is asked for."""
    told.check_packages(told.NEEDED | (told.FOR_PLOT if args.plot else {}))
    video = Path(args.video)
    for name in (args.json, args.plot):
        if name and not Path(name).absolute().parent.is_dir():
            raise UserError(f"There is no folder {Path(name).absolute().parent} to write to.")
    if args.plot and Path(args.plot).suffix.lower() != ".png":
        raise UserError(f"The picture is a PNG: name it so, as in {Path(args.plot).stem}.png.")

    from tqdm import tqdm  # what follows needs the extra

    from wan2gp_svi.report import verdict as verdicts

    with tqdm(unit=" frames", desc=video.name, disable=None) as bar:

        def tick(done: int, of: int | None) -> None:
            bar.total = of
            bar.update()

        shape, windows, gathered, judged = look(video, tick, args.window)
    about = told.about(video, shape, gathered)
    print("\n".join(told.told(judged, about, windows.source)))
    if args.json:
        values = {
            "video": video.name,
            "width": shape.width,
            "height": shape.height,
            **verdicts.values(gathered, windows, judged),
        }
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write(Path(args.json), lambda part: part.write_text(text, encoding="utf-8"))
    if args.plot:
        from wan2gp_svi.report.sheet_of_drift import draw, save

        figure = draw(gathered, judged, about)
        write(Path(args.plot), lambda part: save(figure, part))
        print(f"The picture: {args.plot}")
    return 0


def inspect(args: argparse.Namespace) -> int:
    """Say what a LoRA file is, or that it is a hand-over file and of what video."""
    path = Path(args.file)
    if not _is_handover(path):
        from wan2gp_svi.lora.commands import inspect as inspect_lora

        return inspect_lora(args)
    from wan2gp_svi.report.handover import as_lines, described_handover  # needs torch
    from wan2gp_svi.svi.handover_file import load

    found = described_handover(path, load(path))
    print(json.dumps(found, indent=1, ensure_ascii=False) if args.json else as_lines(found))
    return 0


def _is_handover(path: Path) -> bool:
    """By its header; a damaged one by its name."""
    try:
        return {"id", "format", "checksum"} <= set(read_header(path).metadata)
    except UserError:
        return path.is_file() and path.name.endswith(".svi.safetensors")


def _option(name: str, read: Callable[[Any], T], value: str, allowed: str) -> T:
    try:
        return read(value)
    except ValueError:
        raise UserError(f"{name} can be {allowed}, not {value!r}.") from None


def _paragraphs(wangp: str | None) -> bool:
    """Whether a prompt is a paragraph: as on the page of the WanGP named or found, else as today's.

    Raises UserError where a folder is named that is not WanGP.
    """
    try:
        root = find.wangp_folder(wangp)
    except UserError:
        if wangp:
            raise
        return True
    return find.paragraphs(root)


def _read(path: str, paragraphs: bool) -> list[str]:
    """The prompts of a text file, as WanGP's page takes what is pasted into it."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file in UTF-8"
        raise UserError(f"The prompts in {path} cannot be read: {reason}.") from error
    prompts = writing.split(text, paragraphs)
    if not prompts:
        raise UserError(f"There is no prompt in {path}: write one for the first window at least.")
    for line in (line for prompt in prompts for line in prompt.split("\n")):
        if line.startswith("!") or _VARIABLE.search(line):
            raise UserError(
                f"{path} has one of WanGP's templates ({line[:40]!r}): lines that begin with '!'"
                " and words in braces are filled in on its page only. Write the prompts out."
            )
    return prompts
