"""The demo's film: a chained video on a machine without WanGP, weights or a GPU.

The small host (`host/`) is copied, the extension is installed on it as it is on a user's WanGP, and
the host makes three windows in one run and the rest in another, which continues the first one's
video from its hand-over file. What is filmed, and with which weights, is materials.py's.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole

if TYPE_CHECKING:
    import numpy as np

    from wan2gp_svi.demo.materials import Film
    from wan2gp_svi.report.sheet import Row
    from wan2gp_svi.svi.schedule import Segment as TimedSegment
    from wan2gp_svi.svi.windows import Window

HOST = Path(__file__).parent / "host"
MARK = ".wan2gp-svi-demo"
MODEL = "i2v_2_2_svi2pro"
FPS = 16
MAX_WINDOW, MAX_FRAMES = 129, 2000
VIDEO, HANDOVER, BESIDE = "video.mp4", "video.svi.safetensors", "side-by-side.mp4"
SWITCH = 875  # Wan 2.2 i2v: the time step at which the low-noise model takes over
IN_DETAIL = 4
"""Windows that the contact sheet shows frame by frame; of all it shows one frame each."""
LARGER = 256  # pixels: sides of the pictures in BESIDE


def make(args: argparse.Namespace) -> dict[str, Any]:
    """Make the film, its contact sheet and its plan in `args.out`; returns the plan, and where."""
    from wan2gp_svi.demo import materials
    from wan2gp_svi.report.sheet import contact_sheet, save_png

    film = materials.of_world() if args.image is None else materials.of_photo(args.image)
    window = film.window if args.window is None else args.window
    runs = _plan(args.frames, window, args.prompt or film.prompts, args.seed, film.more)
    out = _folder(Path(args.out))
    host = _install(out)
    pictures = materials.write_pictures(film, host)
    if film.trained:
        materials.write_weights(host)
    else:
        materials.write_loras(host / "loras" / "wan")

    chain, more = runs
    print(f"\nRun 1: {_count(chain.windows)} from a picture, with two anchors")
    _run(host, _task(film, chain, window, args.seed), "chain")
    print(f"\nRun 2: {_count(more.windows)} more, from the hand-over file of the first run")
    _run(host, _task(film, more, window, -1), "video")

    windows = [*chain.windows, *more.windows]
    frames = _frames(host / "outputs" / VIDEO, windows[-1].stop)
    for name in (VIDEO, HANDOVER):
        with whole(out / name) as part:
            shutil.copyfile(host / "outputs" / name, part)
    strips: list[tuple[str, np.ndarray]] = []
    if film.plain and not args.prompt:
        print(f"\nThe same {_count(windows)} without SVI, each from the last frame before it")
        plain = _without_svi(host, film, len(windows), window, args.seed)
        ends = [window - 1 + k * (window - 1) for k in range(len(windows))]
        strips = [
            ("with SVI: the last frame of each window", frames[[w.stop - 1 for w in windows]]),
            ("without SVI, same model, words and start image", plain[ends]),
        ]
        _beside(frames, plain, host / "outputs" / BESIDE)
        with whole(out / BESIDE) as part:
            shutil.copyfile(host / "outputs" / BESIDE, part)
    seams = _seams(frames, windows)
    rows = _rows(runs, film.names, pictures, seams)
    notes = (
        film.says,
        f"{len(windows)} windows, {len(frames)} frames at {FPS} a second. Each window sees its"
        " anchor and the last latent of the window before; words act from their time on.",
        "Seam: the mean change of a pixel across the join, over the median of all changes from"
        " frame to frame.",
    )
    title = "wan2gp-svi: one video, window by window"
    sheet = contact_sheet(frames, rows, FPS, title, notes, IN_DETAIL, strips)
    save_png(sheet, out / "contact-sheet.png")
    description = _description(runs, rows, seams, film.size, args.seed)
    _write(out / "plan.json", json.dumps(description, indent=2, ensure_ascii=False) + "\n")
    return {**description, "out": out, "beside": bool(strips), "trained": film.trained}


# -- what is asked for ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Run:
    """One run of the host: its windows, the prompts it is given, and which words hold when."""

    windows: list[Window]
    prompts: list[str]
    segments: list[tuple[TimedSegment, ...]]


_Runs = tuple[_Run, _Run]


def _plan(frames: int | None, window: int, prompts: Sequence[str], seed: int, more: int) -> _Runs:
    """Both runs, the second one of `more` windows.

    Raises UserError for what cannot be made, before anything is.
    """
    from wan2gp_svi.svi.windows import Chain, Size, plan

    if window > MAX_WINDOW:
        raise UserError(
            f"A window of {window} frames takes too long without a GPU: use {MAX_WINDOW} at most."
        )
    if not 0 <= seed < 2**32:
        raise UserError(f"{seed} is no seed for the demo: use a whole number from 0 to 4294967295.")
    prompts = [" ".join(prompt.split()) for prompt in prompts]  # the host wants one a line
    if not all(prompts):
        raise UserError("A prompt is empty: write what is to be seen, or leave --prompt out.")
    chain = Chain(size=Size(window), fps=FPS, seed=seed, anchors=2, anchor_schedule=(0, 1, 2))
    if frames is None:
        frames = window + 2 * chain.size.adds
    if frames > MAX_FRAMES:
        raise UserError(
            f"{frames} frames take too long without a GPU: ask for {MAX_FRAMES} at most."
        )
    first = plan(frames, chain)
    rest = prompts[len(first) :] or prompts[-1:]
    continued = Chain(
        size=Size(window),
        fps=FPS,
        seed=seed,
        source_frames=first[-1].stop,
        windows_before=len(first),
    )
    second = plan(more * continued.size.adds + 1, continued)
    return _run_of(first, prompts[: len(first)]), _run_of(second, rest)


def _run_of(windows: list[Window], prompts: list[str]) -> _Run:
    from wan2gp_svi.svi.schedule import prompts_for_windows, segments_of

    texts = prompts_for_windows(prompts, [w.seconds for w in windows])
    segments = [segments_of(*pair) for pair in zip(windows, texts, strict=True)]
    return _Run(windows, prompts, segments)


def _folder(out: Path) -> Path:
    """The output folder, made if it is not there. Raises UserError if nothing can be put there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial = out / ".wan2gp-svi-trial"
        trial.write_bytes(b"")
        trial.unlink()
    except FileExistsError:
        raise UserError(f"{out} is a file: name a folder with --out.") from None
    except NotADirectoryError:
        raise UserError(f"{out} lies below a file: name a folder with --out.") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(
            f"Nothing can be written to {out} ({error.strerror}): name another folder with --out."
        ) from None
    return out.resolve()


def _install(out: Path) -> Path:
    """A fresh copy of the small host in OUT/host, with the extension on it."""
    from wan2gp_svi.installer import commands

    host = out / "host"
    if host.exists():
        if not (host / MARK).is_file():
            raise UserError(
                f"{host} is there already and not from the demo: move it, or name another --out."
            )
        shutil.rmtree(host)
    host.mkdir()
    (host / MARK).write_text("made by wan2gp-svi demo, and replaced by the next one\n")
    shutil.copytree(
        HOST, host, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), dirs_exist_ok=True
    )
    print("Installing the extension on a copy of the small host")
    commands.install(argparse.Namespace(wangp=str(host), json=False, dry_run=False, say_next=False))
    return host


def _settings(film: Film, window: int, seed: int) -> dict[str, Any]:
    """What all tasks of a film have in common."""
    return {
        "resolution": f"{film.size[0]}x{film.size[1]}",
        "sliding_window_size": window,
        "num_inference_steps": film.steps,
        "guidance_scale": film.guidance,
        "guidance2_scale": film.guidance,
        "switch_threshold": SWITCH,
        "seed": seed,
    }


def _task(film: Film, run: _Run, window: int, seed: int) -> dict[str, Any]:
    """The host's settings file of one run."""
    windows, new = run.windows, run.windows[0].start == 0
    task = _settings(film, window, seed) | {
        "model_type": MODEL,
        "prompt": "\n".join(run.prompts),
        "video_length": windows[-1].stop - windows[0].start + (not new),
    }
    if new:
        task |= {
            "image_prompt_type": "S",
            "image_start": "start.png",
            "video_prompt_type": "KI",
            "image_refs": ["anchor-1.png", "anchor-2.png"],
            "custom_settings": {"svi_anchor_schedule": "0, 1, 2"},
        }
    else:
        task |= {"image_prompt_type": "V", "video_source": "outputs/chain.mp4"}
    return task


# -- the host at work -----------------------------------------------------------------------------


def _run(host: Path, task: dict[str, Any], name: str) -> None:
    """One run of the host, in a process of its own; its progress is shown as it comes."""
    settings = host / f"{name}.json"
    _write(settings, json.dumps({**task, "output_filename": name}, indent=2, ensure_ascii=False))
    sys.stdout.flush()
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "wgp.py", "--process", settings.name], cwd=host, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"the small host stopped with exit code {done.returncode}")


def _frames(video: Path, planned: int) -> np.ndarray:
    """All frames of a video, (F, H, W, 3), uint8."""
    import numpy as np

    from wan2gp_svi.video.frames import read

    frames = np.stack(list(read(video)[1]))
    if len(frames) != planned:
        raise RuntimeError(f"{len(frames)} frames were made, {planned} were planned")
    return frames


def _without_svi(host: Path, film: Film, count: int, window: int, seed: int) -> np.ndarray:
    """The same film by the same model, each window from the last frame of the one before."""
    frames = window + (count - 1) * (window - 1)
    task = _settings(film, window, seed) | {
        "model_type": "i2v_2_2",
        "prompt": "\n".join(film.plain[:count]),
        "video_length": frames,
        "image_prompt_type": "S",
        "image_start": "start.png",
    }
    _run(host, task, "without-svi")
    return _frames(host / "outputs" / "without-svi.mp4", frames)


def _beside(ours: np.ndarray, plain: np.ndarray, path: Path) -> None:
    """Both films side by side, enlarged, as a video."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    from wan2gp_svi.video.encode import encoder

    canvas = Image.new("RGB", (2 * LARGER + 16, LARGER + 32), "#fbfaf6")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(18)
    lefts = (0, LARGER + 16)
    for left, words in zip(lefts, ("with SVI", "without SVI"), strict=True):
        pen.text((left + 8, 5), words, "#1d2330", font)
    shots = []
    for pair in zip(ours, plain, strict=False):
        for left, frame in zip(lefts, pair, strict=True):
            large = Image.fromarray(frame).resize((LARGER, LARGER), Image.Resampling.BICUBIC)
            canvas.paste(large, (left, 32))
        shots.append(np.asarray(canvas))
    encoder("libx264_8", FPS)(np.stack(shots), path)


def _seams(frames: np.ndarray, windows: list[Window]) -> list[float | None]:
    """For each window: the change across its join over the median change between neighbours."""
    import numpy as np

    levels = frames.astype(np.int16)
    changes = [float(np.abs(b - a).mean()) for a, b in pairwise(levels)]
    usual = float(np.median(changes)) or 1.0
    return [changes[w.start - 1] / usual if w.start else None for w in windows]


# -- what is shown --------------------------------------------------------------------------------


def _rows(
    runs: _Runs, names: Sequence[str], pictures: list[Path], seams: list[float | None]
) -> list[Row]:
    from PIL import Image

    from wan2gp_svi.report.sheet import Row, Segment

    images: list[Image.Image] = [Image.open(path).convert("RGB") for path in pictures]
    rows: list[Row] = []
    for number, run in enumerate(runs, 1):
        for w, parts in zip(run.windows, run.segments, strict=True):
            goes_on = number == 2
            anchor = rows[-1].anchor_number if goes_on and rows else w.anchor
            named = names[anchor]
            seam = seams[len(rows)]
            rows.append(
                Row(
                    number=w.index,
                    run=number,
                    start=w.start,
                    stop=w.stop,
                    generated=w.frames,
                    motion_latents=w.motion_latents,
                    seed=w.seed,
                    anchor_number=anchor,
                    anchor=f"{named}, still in force" if goes_on else named,
                    anchor_picture=images[anchor],
                    join=_join(w, goes_on and w.number == 1, seam),
                    segments=[
                        Segment(
                            start=s.start_seconds,
                            stop=s.stop_seconds,
                            words=s.words,
                            timed=s.part is not None,
                            label=_label(s),
                        )
                        for s in parts
                    ],
                )
            )
    return rows


def _join(window: Window, new_run: bool, seam: float | None) -> str:
    if seam is None:
        return "starts on the picture"
    source = "the file that run 1 left, in a new run" if new_run else f"window {window.index - 1}"
    return (
        f"join at {window.seconds[0]:.2f} s: {latents(window.motion_latents)} handed over from"
        f" {source}; seam {seam:.1f}"
    )


def latents(count: int) -> str:
    """A number of latents, in words."""
    return "1 latent" if count == 1 else f"{count} latents"


def _label(segment: TimedSegment) -> str:
    """What the sheet shows of a segment: the words outside, or a timed part with its time."""
    part = segment.part
    if part is None:
        return segment.words
    return f"at {part.seconds:g} s: {part.text}" if part.seconds >= 0 else part.text


def _description(
    runs: _Runs,
    rows: list[Row],
    seams: list[float | None],
    size: tuple[int, int],
    seed: int,
) -> dict[str, Any]:
    """The plan as it is written to plan.json: that of `wan2gp-svi plan --json`, and what was made
    of it."""
    from wan2gp_svi.report.plan import described

    windows = [w for run in runs for w in run.windows]
    segments = [s for run in runs for s in run.segments]
    plan = described(windows[-1].stop, windows, segments)
    for window, row, seam in zip(plan["windows"], rows, seams, strict=True):
        window["run"] = row.run
        window["anchor"] = row.anchor_number
        window["anchor_name"] = row.anchor
        window["seam_ratio"] = None if seam is None else round(seam, 3)
    return {
        "video": VIDEO,
        "handover": HANDOVER,
        "width": size[0],
        "height": size[1],
        "fps": FPS,
        "seconds": windows[-1].stop / FPS,
        "base_seed": seed,
        "prompts": [_prompt(run, w) for run in runs for w in run.windows],
        **plan,
    }


def _prompt(run: _Run, window: Window) -> str:
    """The prompt that serves a window."""
    from wan2gp_svi.svi.schedule import serving

    return run.prompts[serving(window.number - 1, len(run.prompts))]


def _count(windows: list[Window]) -> str:
    return "1 window" if len(windows) == 1 else f"{len(windows)} windows"


def _write(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
