"""Settings with which WanGP makes a window of a video again (`wan2gp-svi redo`).

What WanGP is told is to continue the video from where the window before ends (its control "Truncate
Video beyond this number of frames"). The bridge then finds that window's hand-over file and goes on
from its latents (wangp/continuing.py); without it, the end of that part is encoded again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.prompts import until
from wan2gp_svi.svi.schedule import prompts_for_windows, segments_of
from wan2gp_svi.svi.windows import Chain, Size, Window, plan
from wan2gp_svi.wangp.names import OLD_KEY
from wan2gp_svi.wangp.settings import ours

OLD = (OLD_KEY, "window_no", "image_start", "image_end", "image_refs", "video_guide", "video_mask")
"""What belongs to the video that was made and not to the next one."""


def redo_settings(
    video: Path,
    last: HandOver,
    metadata: dict[str, Any],
    window: int,
    seed: int | None,
    prompt: str | None,
) -> dict[str, Any]:
    """WanGP's settings: the video's own, continued after window `window` - 1 for one window.

    Raises UserError for a window that cannot be made again, and for a timed prompt with a mistake
    or with a time that this window does not have.
    """
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
        **ours(settings.get("custom_settings")),
    }
    custom.pop("svi_anchor_schedule", None)  # of the images that served then
    if seed is not None:
        custom["svi_seeds"] = str(seed)
    elif last.seeds == "list":  # the list was the old run's: this window's entry of it
        custom["svi_seeds"] = str(last.seeds_used[window - 1 - last.windows])
    else:
        custom["svi_seeds"] = last.seeds
    if prompt is None and len(last.prompts) == last.windows:
        end, length = ends[window - 1] / last.fps, (ends[window - 1] - ends[window - 2]) / last.fps
        prompt = until(last.prompts[window - 1], end, length)
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
        chain = Chain(
            replace(full, frames=size, discard=discard),
            last.fps,
            source_frames=ends[window - 2],
            windows_before=window - 1,
        )
        _check_times(prompt, plan(settings["video_length"], chain))
    return settings


def _check_times(prompt: str, windows: list[Window]) -> None:
    """Refuse now what WanGP would be refused later."""
    spans = [window.seconds for window in windows]
    texts = prompts_for_windows([prompt], spans, windows_before=windows[0].index - 1)
    for window, text in zip(windows, texts, strict=True):
        segments_of(window, text)
