"""Going on with a video: its hand-over file is saved beside it, found again, and checked.

    remember    after every window: the hand-over file beside the video, its id in the metadata
    find        when a run begins: beside the video or, where it was renamed, moved or copied
                (Gradio gives WanGP a copy of what is dropped on its page), by the id; where the
                video is kept up to the end of an earlier window only, it is that window's
    verify      when WanGP has read the video: does the hand-over belong to these frames?
    recorded    around WanGP's `record_file_metadata` (12.0 on), which deletes the video of the
                window before when the user keeps no intermediate ones: its hand-over goes as well

The metadata of a video may have been written by anyone. All that is taken of it is the id, 32
hexadecimal digits, which is compared with those in the files of known folders: no path in it is
ever opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import START, Left
from wan2gp_svi.svi.fingerprint import FRAMES, fingerprint
from wan2gp_svi.svi.handover import APART, UNKNOWN, HandOver, is_id, mismatch
from wan2gp_svi.svi.handover_file import HISTORY, SUFFIX, load, path_beside, read_id, save
from wan2gp_svi.svi.vae import pixels_of
from wan2gp_svi.video.probe import read_settings
from wan2gp_svi.wangp.console import say
from wan2gp_svi.wangp.film import in_file
from wan2gp_svi.wangp.names import OLD_KEY, VIDEO_ID
from wan2gp_svi.wangp.run import Run, current
from wan2gp_svi.wangp.wrapping import arguments, wrap

POST = {
    "spatial_upsampling": "enlarged",
    "temporal_upsampling": "given more frames a second",
    "film_grain_intensity": "given film grain",
}
"""WanGP's settings that change frames after the VAE, and what they do to a video."""
MATTER = (
    "num_inference_steps",
    "flow_shift",
    "sample_solver",
    "switch_threshold",
    "guidance_scale",
    "guidance2_scale",
)
"""WanGP's settings that are kept in a hand-over file, to look up how a window was made."""
MOST_FILES = 20_000

VideoInfo = Callable[[str], tuple[float, int, int, int]]
"""WanGP's `get_video_info`: frames a second, width, height and number of frames."""


def attach(wgp: dict[str, Any]) -> None:
    """Wrap `record_file_metadata` in wgp.py's globals (12.0 on)."""
    wrap(wgp, "record_file_metadata", recorded)


# -- saving -------------------------------------------------------------------------------------


def remember(run: Run, video_path: str, configs: dict[str, Any]) -> None:
    """Save the hand-over of the window just generated beside its video, and its id in `configs`.

    `configs` becomes the video's metadata. Without write permission, or with a full disk, the video
    is saved all the same: the console says so.
    """
    window, left = run.window, run.carry.left
    if window is None or left is None or left.latents is None:
        return  # modes that hand over frames need no file: the video has them
    changed, saved = post_processed(configs), run.saved
    if changed is not None and saved is None:
        say(f"no hand-over file: the video is {changed}, and how it looks was not to be seen")
        return
    end = _as_made(left)
    before, chain, anchors = run.carry.handover, run.chain, run.carry.anchors
    anchor = anchors.get(window.anchor, anchors.get(START))
    start = before.start_anchor if before else anchors.get(0, anchor)
    if start is None or anchor is None:
        return
    try:
        handover = HandOver(
            latents=left.latents.cpu(),
            start_anchor=start.cpu(),
            anchor=anchor.cpu(),
            fingerprint=fingerprint(end),
            **({} if changed is None or saved is None else _shown(*saved)),
            width=end.shape[3],
            height=end.shape[2],
            fps=chain.fps,
            frames=window.stop,
            windows=window.index,
            window_ends=(
                *(before.window_ends if before else ()),
                *(w.stop for w in run.windows[: window.number]),
            ),
            window_frames=chain.size.frames,
            motion_latents=left.latents.shape[1],
            discard=window.discard,
            base_seed=chain.seed,
            seeds=chain.seeds if isinstance(chain.seeds, str) else "list",
            seed_list=() if isinstance(chain.seeds, str) else tuple(chain.seeds),
            seeds_used=(
                *(before.seeds_used if before else ()),
                *(w.seed for w in run.windows[: window.number]),
            ),
            prompts=(*(before.prompts if before else ()), *run.prompts),
            anchors_used=window.anchor or (before.anchors_used if before else 0),
            anchor_strength=run.settings.anchor_strength,
            motion_strength=run.settings.motion_strength,
            model_type=run.model_type,
            settings=_settings(run, configs),
            wangp_version=str(configs.get("type", ""))[:100],
        )
        save(handover, path_beside(video_path))
    except UserError as error:
        say(str(error))
        return
    run.saved_id = handover.id
    run.orphans = [path for path in run.orphans if path != video_path]  # its name is used again
    configs["custom_settings"] = {**(configs.get("custom_settings") or {}), VIDEO_ID: handover.id}


def _as_made(left: Left) -> Tensor:
    """The last frames (3, F, H, W) in the size that the latents have.

    One of WanGP's upsamplers enlarges in the VAE's decoder: then nobody sees them so.
    """
    assert left.latents is not None
    height, width = pixels_of(left.latents)
    if left.tail.shape[2:] == (height, width):
        return left.tail
    frames = left.tail.movedim(1, 0).float()
    frames = F.interpolate(frames, (height, width), mode="area").movedim(0, 1)
    return frames if left.tail.is_floating_point() else frames.round().to(torch.uint8)


def _shown(frames: Tensor, fps: float) -> dict[str, Any]:
    """What a hand-over says of a video whose frames were changed before they were saved."""
    height, width = frames.shape[2:]
    return {"shown": fingerprint(frames), "shown_as": (int(width), int(height), float(fps))}


def _settings(run: Run, configs: Mapping[str, Any]) -> dict[str, Any]:
    """The hand-over of the window before, and the plain settings that made this one."""
    previous = run.saved_id
    if run.window is not None and run.window.number == 1:
        previous = run.carry.handover.id if run.carry.handover else None
    kept = {name: configs.get(name) for name in MATTER}
    return {
        "previous": previous,
        APART: _apart(run),
        **{n: v for n, v in kept.items() if isinstance(v, (int, float, str))},
    }


def _apart(run: Run) -> str:
    """How far each window is from the one before (svi/overlap.py): the newest one's last."""
    before = run.carry.handover
    known = str(before.settings.get(APART) or "").split() if before else []
    if before and not known:
        known = [UNKNOWN]
    here = run.apart[: run.window.number if run.window else 0]
    return " ".join([*known, *(UNKNOWN if a is None else f"{a:g}" for a in here)][-HISTORY:])


def post_processed(configs: Mapping[str, Any]) -> str | None:
    """What WanGP did to the frames after the VAE made them, in words; None: nothing."""
    done = [words for name, words in POST.items() if configs.get(name) not in (None, "", 0, "0")]
    return " and ".join(done) or None


# -- finding ------------------------------------------------------------------------------------


def find(
    video: str | Path,
    folders: Sequence[str | Path],
    video_info: VideoInfo,
    frames: int | None = None,
) -> HandOver | None:
    """The hand-over of a video that is to be continued; the console says why where there is none.

    `folders` are those where WanGP saves: there it is looked for by its id. `frames` of the video
    are kept (None: all); where a window ends just there, it is that window's hand-over.
    """
    handover, reason = search(video, folders, video_info, frames)
    if handover is None:
        say(f"{reason}: the end of the video is encoded again")
    return handover


def search(
    video: str | Path,
    folders: Sequence[str | Path],
    video_info: VideoInfo,
    frames: int | None = None,
) -> tuple[HandOver | None, str]:
    """`find`, but silent: the hand-over, or None and the reason (no full stop)."""
    video = Path(video)
    if not video.is_file():
        return None, f"{video.name} is not a file of its own"
    metadata = read_settings(video) or {}
    changed = post_processed(metadata)
    wanted = _id_in(metadata)
    problem = f"there is no hand-over file of {video.name}"
    for file in _candidates(video, wanted, folders):
        if wanted is not None and read_id(file) not in (wanted, None):
            problem = f"{file.name} belongs to another video"
            continue
        try:
            handover = load(file)
        except UserError as error:
            problem = str(error).rstrip(".")
            continue
        if changed is not None and handover.shown is None:
            problem = f"{video.name} was {changed} after it was made"
            continue
        odd = _differs(handover, _shape(video, video_info))
        if odd is not None:
            problem = f"{video.name} {odd}"
            continue
        return handover_at(handover, frames, [file.parent, *_places(video, folders)]), ""
    return None, problem


def _id_in(metadata: Mapping[str, Any]) -> str | None:
    """The id of the hand-over that a video's metadata name, None where there is none."""
    for place, name in (("custom_settings", VIDEO_ID), (OLD_KEY, "id")):
        entries = metadata.get(place)
        if isinstance(entries, dict) and is_id(entries.get(name)):
            return entries[name]
    return None


def handover_at(handover: HandOver, frames: int | None, folders: Sequence[Path]) -> HandOver:
    """The hand-over of the window that ends after `frames` frames: to make the next one again.

    Each names the one before it. The anchor is the one that served the next window. Where the chain
    is broken, or no window ends there, it is `handover` itself, and `verify` finds out.
    """
    if frames is None or frames not in handover.window_ends or frames == handover.frames:
        return handover
    known: dict[str | None, Path] = {}
    for folder in dict.fromkeys(folders):
        for file in hand_overs(folder):
            known.setdefault(read_id(file), file)
    earlier = later = handover
    while earlier.frames > frames and earlier.settings.get("previous") in known:
        try:
            one = load(known[str(earlier.settings["previous"])])
        except UserError:
            break
        if one.frames >= earlier.frames:  # not a chain: it would go round for ever
            break
        earlier, later = one, earlier
    if earlier.frames != frames:
        return handover
    return replace(earlier, anchor=later.anchor, anchors_used=later.anchors_used)


def _places(video: Path, folders: Sequence[str | Path]) -> list[Path]:
    """Where hand-over files of a video may lie: by it, and where WanGP saves."""
    return list(dict.fromkeys([video.parent, *map(Path, folders)]))


def _candidates(video: Path, wanted: str | None, folders: Sequence[str | Path]) -> Iterator[Path]:
    """The file beside the video; then, where its id is known, those files that have it."""
    beside = path_beside(video)
    if beside.exists():
        yield beside
    if wanted is not None:
        for folder in _places(video, folders):
            for file in hand_overs(folder):
                if file != beside and read_id(file) == wanted:
                    yield file


def hand_overs(folder: Path) -> list[Path]:
    """The hand-over files of a folder, newest first."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.endswith(SUFFIX) and entry.is_file()]
            found.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    except OSError:
        return []
    return [Path(entry.path) for entry in found[:MOST_FILES]]


def _shape(video: Path, video_info: VideoInfo) -> tuple[int, int, int] | None:
    """Whole frames a second, width and height; None for a video that WanGP cannot read."""
    try:
        rate, width, height, _ = video_info(str(video))
    except Exception:  # a host's reader of files that may be anything
        return None
    return round(rate), int(width), int(height)


def _differs(handover: HandOver, shape: tuple[int, int, int] | None) -> str | None:
    """What a video is and its hand-over file is not, before WanGP changes its size and rate."""
    made = handover.shown_as or (handover.width, handover.height, handover.fps)
    rate, width, height = shape or (round(made[2]), *made[:2])
    if (width, height) != made[:2]:
        return f"is {width}x{height}, its hand-over file {made[0]:g}x{made[1]:g}"
    if rate != round(made[2]):
        return f"has {rate} frames a second, its hand-over file {made[2]:g}"
    return None


# -- checking -----------------------------------------------------------------------------------


def verify(run: Run, path: str | Path = "") -> None:
    """Drop the run's hand-over unless it provably belongs to the frames that are continued.

    `path` is their file: a hand-over may know them by what they were made into before they were
    saved, which WanGP has undone when it reads them.
    """
    saved, source = run.carry.handover, run.carry.source
    if saved is None or source is None:
        return
    tail = source.tail
    wanted = run.size(1).motion_latents
    if saved.motion_latents < wanted:
        reason: str | None = f"it has {saved.motion_latents} motion latents, and {wanted} are asked"
    else:
        reason = mismatch(
            saved,
            width=tail.shape[3],
            height=tail.shape[2],
            fps=run.chain.fps,
            model_type=run.model_type,
            frames=source.frames,
            tail=tail,
            shown=_end_of(path, saved, source.frames) if saved.shown is not None else None,
        )
    if reason is None:
        say(f"going on after window {saved.windows} from its latents, as if never stopped")
    else:
        say(f"the hand-over file is not used: {reason}; the video's end is encoded again")
        run.carry.handover, run.unused = None, reason


def _end_of(path: str | Path, saved: HandOver, frames: int) -> Tensor | None:
    """The last frames (3, F, H, W), uint8, of a video as it is in its file; None if unreadable."""
    from wan2gp_svi.video.convert import pictures
    from wan2gp_svi.video.packets import opened

    rate = Fraction(saved.shown_as[2]).limit_denominator(1001)
    stop = in_file(frames, round(saved.shown_as[2] / saved.fps))
    try:
        with opened(Path(path)) as file:
            stream = file.streams.video[0]
            start = max(stop - FRAMES, 0)
            read = list(pictures(file, rate, stream.width, stream.height, start, stop))
    except UserError:
        return None
    return torch.from_numpy(np.concatenate(read)).permute(3, 0, 1, 2)


# -- deleting -----------------------------------------------------------------------------------


def recorded(original: Callable[..., Any], *args, **kwargs) -> Any:
    """WanGP's `record_file_metadata`; where it deleted the video before, its hand-over goes too.

    The newest `Settings.keep` of them stay: from each, the window after it can be made again.
    """
    given = arguments(original, args, kwargs)
    gen = given.get("gen")
    last = list(gen.get("file_list") or [])[-1:] if isinstance(gen, dict) else []
    # A video that its user has moved away before is not WanGP's to delete, nor its hand-over ours.
    before = [video for video in last if isinstance(video, str) and Path(video).exists()]
    result = original(*args, **kwargs)
    run = current()
    orphans, keep = (run.orphans, run.settings.keep) if run is not None else ([], 0)
    for video in before:
        if not Path(video).exists():
            orphans.append(video)
            while len(orphans) > keep:
                forget(orphans.pop(0))
    return result


def forget(video: str | Path) -> None:
    """Delete the hand-over file of a video that is no more."""
    beside = path_beside(video)
    try:
        if not Path(video).exists() and read_id(beside) is not None:
            beside.unlink()
    except OSError as error:
        say(f"{beside.name} could not be deleted: {error.strerror or error}")
