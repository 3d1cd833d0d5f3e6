"""`wan2gp-svi redo`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import write
from wan2gp_svi.svi.handover_file import load, path_beside
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.video.frames import shape
from wan2gp_svi.video.probe import read_settings
from wan2gp_svi.wangp.continuing import handover_at
from wan2gp_svi.wangp.redo import (
    hands_over_frames,
    mode_of,
    planned_by,
    redo_settings,
    told_by,
)


def redo(args: argparse.Namespace) -> int:
    """Write the settings file, and say what to do with it."""
    video = Path(args.video).absolute()
    if not video.is_file():
        raise UserError(f"There is no video {video}.")
    metadata, last = read_settings(video) or {}, None
    if hands_over_frames(metadata):  # the video has them
        found = shape(video)
        made = planned_by(_checked(metadata, video), found.frames, found.fps)
    else:
        last = load(path_beside(video))
        made = told_by(last, _checked(metadata, video))
    settings = redo_settings(video, made, metadata, args.window, args.seed, args.prompt)
    target = (
        Path(args.out) if args.out else video.with_name(f"{video.stem} {args.window} again.json")
    )
    text = json.dumps(settings, indent=1, ensure_ascii=False)
    write(target, lambda part: part.write_text(text, encoding="utf-8"))
    kept = int(settings["keep_frames_video_source"])
    if last is not None and handover_at(last, kept, [video.parent]).frames != kept:
        print(
            f"The hand-over file of window {args.window - 1} is not in {video.parent}: the end of"
            " that window will be encoded again, which is not as good."
        )
    print(
        f"Window {args.window} again, after frame {kept} of {video.name}:\n"
        f'  python wgp.py --process "{target}"\n'
        "or load that file on WanGP's page as settings, and press Generate. The result is a new"
        f" video; the old one stays.{_later(args.window, len(made.ends))}"
    )
    mode = MODES.get(mode_of(metadata))
    if mode is not None and (mode.skeleton or mode.sound):
        given = "control video" if mode.skeleton else "voice"
        print(f"Load it on the page and give it the {given} of the whole video again.")
    return 0


def _later(window: int, windows: int) -> str:
    """What becomes of the windows after the one that is made again."""
    if window == windows:
        return ""
    gone = (
        f"windows {window + 1} to {windows} are" if windows > window + 1 else f"window {windows} is"
    )
    return (
        f" It ends with window {window}: {gone} not in it, because they went on from the old window"
        f" {window}. Continue the new video to make them again."
    )


def _checked(settings: dict[str, Any], video: Path) -> dict[str, Any]:
    if "model_type" not in settings:
        raise UserError(f"{video.name} holds no settings of WanGP.")
    return settings
