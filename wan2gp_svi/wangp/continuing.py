"""Going on with a video: its hand-over file is saved beside it, found again, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.fingerprint import fingerprint
from wan2gp_svi.svi.handover import HandOver, load, mismatch, path_beside, save
from wan2gp_svi.wangp.pipeline import MODEL_TYPE

if TYPE_CHECKING:
    from wan2gp_svi.wangp.run import Run


def find(video: str | Path, folders: Sequence[str | Path]) -> HandOver | None:
    """The hand-over of a video that is to be continued; says why where there is none."""
    beside = path_beside(video)
    if not beside.exists():
        print(f"[SVI] no hand-over file beside {Path(video).name}: its end is encoded again")
        return None
    try:
        return load(beside)
    except UserError as error:
        print(f"[SVI] {error} The end of the video is encoded again.")
        return None


def verify(run: Run) -> None:
    """Drop the run's hand-over unless it provably belongs to the frames that are continued."""
    if run.handover is None or run.source is None:
        return
    tail = run.source.tail
    reason = mismatch(
        run.handover,
        width=tail.shape[3],
        height=tail.shape[2],
        fps=run.chain.fps,
        model_type=MODEL_TYPE,
        frames=run.source.frames,
        tail=tail,
    )
    if reason is not None:
        print(f"[SVI] the hand-over file is not used: {reason}; the video's end is encoded again")
        run.handover = None


def remember(run: Run, video_path: str, configs: dict[str, Any]) -> None:
    """Save the hand-over of the window just generated beside its video, and its id in `configs`.

    Without write permission, or with a full disk, the video is saved all the same: say it.
    """
    if run.latents is None or run.tail is None or not run.windows:
        return
    window = run.windows[len(run.prompts) - 1]
    before = run.handover
    start = run.anchors.get(0, run.anchors.get(-1))
    if start is None and before is not None:
        start = before.start_anchor
    anchor = run.anchors.get(window.anchor)
    try:
        handover = HandOver(
            latents=run.latents.cpu(),
            start_anchor=torch.as_tensor(start).cpu(),
            anchor=None if anchor is None else anchor.cpu(),
            fingerprint=fingerprint(run.tail),
            width=run.tail.shape[3],
            height=run.tail.shape[2],
            fps=run.chain.fps,
            frames=window.stop,
            windows=window.index,
            window_frames=run.chain.size.frames,
            motion_latents=run.latents.shape[1],
            discard=run.chain.size.discard,
            base_seed=run.chain.seed,
            seeds="list" if not isinstance(run.chain.seeds, str) else run.chain.seeds,
            seeds_used=(
                *(before.seeds_used if before else ()),
                *(w.seed for w in run.windows[: window.number]),
            ),
            prompts=(*(before.prompts if before else ()), *run.prompts),
            anchor_strength=run.settings.anchor_strength,
            motion_strength=run.settings.motion_strength,
            model_type=MODEL_TYPE,
        )
        save(handover, path_beside(video_path))
    except UserError as error:
        print(f"[SVI] {error}")
        return
    configs["svi"] = {
        "id": handover.id,
        "windows": handover.windows,
        "seeds": list(handover.seeds_used),
    }
