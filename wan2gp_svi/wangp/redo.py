"""Settings with which WanGP makes a window of a video again (`wan2gp-svi redo`).

What WanGP is told is to continue the video from where the window before ends (its control "Truncate
Video beyond this number of frames"). The bridge then finds that window's hand-over file and goes on
from its latents (wangp/continuing.py); without it, the end of that part is encoded again. The modes
that hand over frames have no such file: there the plan is made again from the video's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.prompts import split, until
from wan2gp_svi.svi.schedule import prompts_for_windows, segments_of, serving
from wan2gp_svi.svi.vae import VAE_STRIDE, floor_frames
from wan2gp_svi.svi.windows import Chain, Size, Window, layout, plan, sizes
from wan2gp_svi.wangp.names import MODELS, OLD_KEY
from wan2gp_svi.wangp.settings import ours, read, read_mode

OLD = (OLD_KEY, "window_no", "image_start", "image_end", "image_refs", "video_guide", "video_mask")
"""What belongs to the video that was made and not to the next one."""


@dataclass(frozen=True, slots=True)
class Made:
    """How a video was made.

    `ends` are its frames after each window, `size` is what a full window generates. `seeds` is
    "new", "same" or "list", then `seeds_used` are those of its last windows; `seed` is what WanGP
    is told, -1 where the hand-over file has it. `prompts` has one for each window, or is empty
    where they are not known. `custom` are settings of ours that the metadata may lack.
    """

    ends: tuple[int, ...]
    fps: float
    size: Size
    seeds: str = "list"
    seeds_used: tuple[int, ...] = ()
    prompts: tuple[str, ...] = ()
    seed: int = -1
    custom: Mapping[str, Any] = field(default_factory=dict)


def told_by(last: HandOver, metadata: Mapping[str, Any]) -> Made:
    """How a video was made, by its hand-over file. Raises UserError where that does not say all."""
    if len(last.window_ends) != last.windows:
        raise UserError(
            "The video's hand-over file does not say where all its windows end (a part of it was"
            " made without one): continue the video on WanGP's page, truncated where you want."
        )
    return Made(
        last.window_ends,
        last.fps,
        Size(last.window_frames, last.motion_latents, _discard(metadata)),
        last.seeds,
        last.seeds_used,
        last.prompts if len(last.prompts) == last.windows else (),
        custom={
            "svi_motion_latents": last.motion_latents,
            "svi_anchor_strength": last.anchor_strength,
            "svi_motion_strength": last.motion_strength,
        },
    )


def mode_of(metadata: Mapping[str, Any]) -> str:
    """The SVI mode that a video's settings name, or that is all its model does; "" for neither."""
    custom = ours(metadata.get("custom_settings"))
    model = MODELS.get(str(metadata.get("model_type")))
    return read_mode(custom) or (model.own if model else "")


def hands_over_frames(metadata: Mapping[str, Any]) -> bool:
    """Whether a video was made in a mode that keeps no hand-over file."""
    name = mode_of(metadata)
    return bool(name) and (name not in MODES or MODES[name].motion_frames > 0)


def planned_by(metadata: Mapping[str, Any], frames: int, fps: float) -> Made:
    """How a video of `frames` frames was made in a mode that hands over frames: by its settings.

    Raises UserError where they do not tell: after commands in its prompts, for a video that goes on
    from another one, and for one of another length.
    """
    name = mode_of(metadata)
    if name not in MODES:
        raise UserError(f"The video was made in {name!r}, which is no SVI mode.")
    mode, settings = MODES[name], read(ours(metadata.get("custom_settings")))
    by_hand = "continue it on WanGP's page, truncated where you want"
    text, how = str(metadata.get("prompt") or ""), metadata.get("multi_prompts_gen_type")
    if set(str(metadata.get("image_prompt_type") or "")) & set("VL"):
        raise UserError(f"The video goes on from another one, and {mode.name} keeps no file that"
                        f" tells its windows: {by_hand}.")  # fmt: skip
    if "[/" in text.replace(" ", ""):
        raise UserError(f"Commands in the prompts ([/...]) have changed its windows: {by_hand}.")
    try:
        size = Size(
            floor_frames(int(metadata["sliding_window_size"])),
            discard=_discard(metadata) // VAE_STRIDE * VAE_STRIDE,
            motion_frames=mode.motion_frames,
        )
        asked, seed = int(metadata["video_length"]), int(metadata["seed"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            "The video's settings do not say how long it and its windows are."
        ) from None
    chain = Chain(size, fps, seed, settings.seeds)
    if not isinstance(settings.seeds, str):  # a task's later videos: the list moved with the seed
        moved = (one + seed - settings.seeds[0] for one in settings.seeds)
        chain = replace(chain, seeds=tuple(moved))
    exact = settings.exact or mode.sound
    parts = sizes(asked, chain, exact)
    if (mode.sound or mode.skeleton) and layout(parts, chain)[-1].stop > frames:
        parts = sizes(frames, chain, exact)  # what moves the person has ended the video
    while layout(parts, chain)[-1].stop < frames:  # asked for while it ran
        parts.append(size)
    windows = [window for window in layout(parts, chain) if window.stop <= frames]
    if not windows or windows[-1].stop != frames:
        raise UserError(f"The video has {frames} frames, and its settings make no window end there:"
                        f" {by_hand}.")  # fmt: skip
    prompts = [text] if how in (2, "FG") else split(text, "P" in str(how))
    serves = [serving(k, len(prompts), mode.prompt_repeat) for k in range(len(windows))]
    return Made(
        tuple(window.stop for window in windows),
        fps,
        size,
        seeds_used=tuple(window.seed for window in windows),
        prompts=tuple(prompts[k] for k in serves) if prompts else (),
        seed=seed,
    )


def _discard(metadata: Mapping[str, Any]) -> int:
    return int(metadata.get("sliding_window_discard_last_frames") or 0)


def redo_settings(
    video: Path,
    made: Made,
    metadata: dict[str, Any],
    window: int,
    seed: int | None,
    prompt: str | None,
) -> dict[str, Any]:
    """WanGP's settings: the video's own, continued after window `window` - 1 for one window.

    Raises UserError for a window that cannot be made again, and for a timed prompt with a mistake
    or with a time that this window does not have.
    """
    ends = made.ends
    if not 2 <= window <= len(ends):
        ask = "make the video anew with another seed" if window == 1 else f"it has {len(ends)}"
        raise UserError(f"Window {window} of {video.name} cannot be made again: {ask}.")
    settings = {name: value for name, value in metadata.items() if name not in OLD}
    letters = str(settings.get("video_prompt_type") or "")
    custom = {**made.custom, **ours(settings.get("custom_settings"))}
    custom.pop("svi_anchor_schedule", None)  # of the images that served then
    if seed is not None:
        custom["svi_seeds"] = str(seed)
    elif made.seeds == "list":  # the list was the old run's: this window's entry of it
        custom["svi_seeds"] = str(made.seeds_used[window - 1 - len(ends)])
    else:
        custom["svi_seeds"] = made.seeds
    if prompt is None and made.prompts:
        end, length = ends[window - 1] / made.fps, (ends[window - 1] - ends[window - 2]) / made.fps
        prompt = until(made.prompts[window - 1], end, length)
    added = ends[window - 1] - ends[window - 2]
    full = made.size
    size, discard = full.frames, full.discard
    if added > full.frames - full.overlap:
        raise UserError(
            f"Window {window} of {video.name} is a new shot, which goes on from nothing: it cannot"
            " be made again after the window before. Make it as a video of its own."
        )
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
        seed=made.seed,
        repeat_generation=1,
        custom_settings=custom,
    )
    if prompt is not None:
        settings["prompt"] = prompt
        chain = Chain(
            replace(full, frames=size, discard=discard),
            made.fps,
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
