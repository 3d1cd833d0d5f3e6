"""`wan2gp-svi redo`: settings with which WanGP makes a window of a video again.

What WanGP is told is to continue the video from where the window before ends (its control "Truncate
Video beyond this number of frames"). The bridge then finds that window's hand-over file and goes on
from its latents (wangp/continuing.py); without it, the end of that part is encoded again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.handover_file import load, path_beside
from wan2gp_svi.svi.prompts import until
from wan2gp_svi.svi.windows import Size
from wan2gp_svi.wangp.continuing import before

WANGPS_OWN = os.pathsep.join(
    str(folder / "ffmpeg_bins") for folder in (*Path(__file__).parents[1:3], Path.cwd())
)
"""Where WanGP puts ffmpeg on a machine that has none: in its folder, which may be one of these."""

OLD = ("svi", "window_no", "image_start", "image_end", "image_refs", "video_guide", "video_mask")
"""What belongs to the video that was made and not to the next one."""


def redo(args: argparse.Namespace) -> int:
    """Write the settings file, and say what to do with it."""
    video = Path(args.video).absolute()
    if not video.is_file():
        raise UserError(f"There is no video {video}.")
    last = load(path_beside(video))
    metadata = read_settings(video)
    settings = redo_settings(video, last, metadata, args.window, args.seed, args.prompt)
    target = (
        Path(args.out) if args.out else video.with_name(f"{video.stem} {args.window} again.json")
    )
    _write(target, settings)
    kept = int(settings["keep_frames_video_source"])
    if before(last, kept, [video.parent]).frames != kept:
        print(
            f"The hand-over file of window {args.window - 1} is not in {video.parent}: the end of"
            " that window will be encoded again, which is not as good."
        )
    print(
        f"Window {args.window} again, after frame {kept} of {video.name}:\n"
        f'  python wgp.py --process "{target}"\n'
        "or load that file on WanGP's page as settings, and press Generate. The result is a new"
        " video; the old one stays."
    )
    return 0


def redo_settings(
    video: Path,
    last: HandOver,
    metadata: dict[str, Any],
    window: int,
    seed: int | None,
    prompt: str | None,
) -> dict[str, Any]:
    """WanGP's settings: the video's own, continued after window `window` - 1 for one window."""
    ends = last.window_ends
    if len(ends) != last.windows:
        raise UserError(
            "The video's hand-over file does not say where all its windows end (a part of it was"
            " made without one): continue the video on WanGP's page, truncated where you want."
        )
    if not 2 <= window <= last.windows:
        ask = "make the video anew with another seed" if window == 1 else f"it has {last.windows}"
        raise UserError(f"Window {window} of {video.name} cannot be made again: {ask}.")
    settings = {name: value for name, value in metadata.items() if name not in OLD}
    letters = str(settings.get("video_prompt_type") or "")
    custom = {
        "svi_motion_latents": last.motion_latents,
        "svi_anchor_strength": last.anchor_strength,
        "svi_motion_strength": last.motion_strength,
        **(settings.get("custom_settings") or {}),
    }
    custom.pop("svi_anchor_schedule", None)  # of the images that served then
    if seed is not None:
        custom["svi_seeds"] = str(seed)
    elif last.seeds == "list":  # the list was the old run's: this window's entry of it
        custom["svi_seeds"] = str(last.seeds_used[window - 1 - last.windows])
    else:
        custom["svi_seeds"] = last.seeds
    if prompt is None and len(last.prompts) == last.windows:
        prompt = until(last.prompts[window - 1], ends[window - 1] / last.fps)
    added = ends[window - 1] - ends[window - 2]
    discard = int(settings.get("sliding_window_discard_last_frames") or 0)
    full = Size(last.window_frames, last.motion_latents, discard)
    size = full.frames
    if added > full.adds:  # it fitted one window by itself, which then discards nothing
        discard = 0
    elif discard:
        size -= full.adds - added
    settings.update(
        image_prompt_type="V",
        video_prompt_type=letters.replace("K", "").replace("I", ""),
        video_source=str(video),
        keep_frames_video_source=str(ends[window - 2]),
        video_length=1 + added,  # the source's last frame counts
        sliding_window_size=size,
        sliding_window_discard_last_frames=discard,
        seed=-1,
        repeat_generation=1,
        custom_settings=custom,
    )
    if prompt is not None:
        settings["prompt"] = prompt
    return settings


def read_settings(video: Path) -> dict[str, Any]:
    """WanGP's settings of a video: in the file (ffprobe reads them), or in a .json beside it."""
    sidecar = video.with_suffix(".json")
    text = ""
    ffprobe = shutil.which("ffprobe") or shutil.which("ffprobe", path=WANGPS_OWN)
    if ffprobe is not None:
        command = [ffprobe, "-v", "error", "-show_entries", "format_tags=comment", "-of", "json"]
        found = subprocess.run([*command, str(video)], capture_output=True, encoding="utf-8")
        if found.returncode == 0:
            text = json.loads(found.stdout).get("format", {}).get("tags", {}).get("comment", "")
    try:
        settings = json.loads(text or sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or "model_type" not in settings:
        how = "" if ffprobe else " (ffprobe, of ffmpeg, which reads them, was not found)"
        raise UserError(f"{video.name} holds no settings of WanGP{how}.")
    return settings


def _write(target: Path, settings: dict[str, Any]) -> None:
    try:
        with whole(target) as part:
            part.write_text(json.dumps(settings, indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{target} could not be written: {error.strerror or error}.", 1) from error
