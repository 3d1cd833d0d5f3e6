"""SVI's plan in place of WanGP's: what its window loop asks of wgp.py's functions.

They are looked up as globals when they are called, so they are wrapped there:

    compute_sliding_window_no           the number of windows (before 12.54)
    build_default_window_plan           the windows (12.54 on)
    build_frame_scheduler               the windows of prompts with slash commands (12.10 on)
    image_prompt_types_allow_t2v        whether a window may be a new shot (12.10 on)
    preprocess_video                    shows the video that is continued
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import Source
from wan2gp_svi.svi.vae import VAE_STRIDE, floor_frames
from wan2gp_svi.svi.windows import Size, layout
from wan2gp_svi.wangp import continuing, source
from wan2gp_svi.wangp.run import Run, current
from wan2gp_svi.wangp.task import times_of
from wan2gp_svi.wangp.wrapping import arguments, wrap


def attach(wgp: dict[str, Any]) -> None:
    """Wrap the functions named above in wgp.py's globals; those it does not have are left out."""
    wrap(wgp, "compute_sliding_window_no", _window_count)
    wrap(wgp, "build_default_window_plan", _default_plan)
    wrap(wgp, "build_frame_scheduler", _scheduled_plan)
    wrap(wgp, "image_prompt_types_allow_t2v", _new_shots)
    wrap(wgp, "preprocess_video", _source_read)


def _window_count(original: Callable[..., int], *args, **kwargs) -> int:
    """How many windows WanGP counts: as many as are planned."""
    run = current()
    return original(*args, **kwargs) if run is None else len(run.sizes)


def _default_plan(original: Callable[..., list[dict]], *args, **kwargs) -> list[dict]:
    """The windows that WanGP plans without slash commands: the run's."""
    windows = original(*args, **kwargs)
    run = current()
    return windows if run is None else _as_host_windows(run, [windows[0]] * len(run.sizes))


def _new_shots(original: Callable[..., bool], model_def, *args, **kwargs) -> bool:
    """WanGP lets models that need no picture begin a new shot; SVI 2 Pro has one, the anchor."""
    return bool((model_def or {}).get("svi2pro")) or original(model_def, *args, **kwargs)


def _scheduled_plan(original: Callable[..., tuple], *args, **kwargs) -> tuple:
    """The windows of prompts with slash commands: the commands act on the run's windows."""
    scheduler, error = original(*args, **kwargs)
    run = current()
    if run is None or error is not None or not scheduler.get("active"):
        return scheduler, error
    windows = scheduler["windows"]
    prompts = kwargs.get("prompts") or args[0]
    shots = [bool(window.get("new_shot")) for window in windows]
    if any(shots) and run.mode.motion_frames:
        return scheduler, (
            f"SVI: [/new_shot] would start a window from nothing, and {run.mode.name} has only the"
            " window before to start from: take it out."
        )
    if shots[0] and run.chain.source_frames:
        return scheduler, (
            "SVI: [/new_shot] cannot be the first window of a continuation: take it out, or make"
            " that shot a video of its own."
        )
    if run.mode.motion_frames and any(_asks("overlap", prompt) for prompt in prompts):
        return scheduler, (
            f"SVI: [/overlap] is for SVI 2 Pro: {run.mode.name} always sees"
            f" {run.chain.size.overlap} frames of the window before. Take it out."
        )
    if any(_asks("duration", prompt) for prompt in prompts):
        run.sizes = [_size_for(run, number, window) for number, window in enumerate(windows, 1)]
    else:  # the plan holds; commands such as /overlap act on their windows
        count = max(len(run.planned), len(prompts))
        more = {k: v for k, v in windows[-1].items() if not k.startswith("loras_")}
        more["new_shot"] = False
        windows = [*windows, *[more] * (count - len(windows))][:count]
        grown = [*run.planned, *[run.chain.size] * (count - len(run.planned))]
        run.sizes = [
            replace(size, motion_latents=_motion(window, size), shot=_shot(number, window))
            for number, (size, window) in enumerate(zip(grown, windows, strict=True), 1)
        ]
    # Without the commands, as WanGP passes them on; their times can be checked now.
    run.written = [window["prompt"] for window in windows[: len(prompts)]]
    try:
        times_of(run)
    except UserError as failure:
        return scheduler, f"SVI: {failure}"
    windows = _as_host_windows(run, windows)
    scheduler = {
        **scheduler,
        "windows": windows,
        "prompts": [window["prompt"] for window in windows],
        "predicted_total_frames": sum(window["output_frames"] for window in windows),
    }
    return scheduler, None


def _asks(command: str, prompt: str) -> bool:
    """Whether a prompt has this slash command."""
    return re.search(rf"\[\s*/[^\]]*\b{command}\b", prompt) is not None


def _motion(window: Mapping[str, Any], size: Size) -> int:
    """Motion latents of an overlap that WanGP counts as 1 + 4n frames."""
    overlap = window["overlap_frames"]
    return max((overlap - 1) // VAE_STRIDE, 1) if overlap else size.motion_latents


def _shot(number: int, window: Mapping[str, Any]) -> bool:
    """Whether a window is a new shot: a video's first one starts on an image anyway."""
    return number > 1 and bool(window.get("new_shot"))


def _size_for(run: Run, number: int, window: Mapping[str, Any]) -> Size:
    """The nearest window that adds the frames which a /duration asks for."""
    motion, shot = _motion(window, run.chain.size), _shot(number, window)
    size = replace(run.chain.size, motion_latents=motion, shot=shot)
    drop = run.chain.drop_first(size) if number == 1 else size.overlap
    wanted = window["output_frames"] + drop + size.discard
    frames = max(floor_frames(wanted + 2), size.overlap + size.discard + VAE_STRIDE)
    return replace(size, frames=frames)


def _as_host_windows(run: Run, like: list[dict]) -> list[dict]:
    """The plan's windows as WanGP's dictionaries, with all else as in those of `like`."""
    planned = layout(run.sizes, run.chain)
    return [
        {
            **host,
            "output_frames": window.adds,
            "overlap_frames": size.overlap,
            "discard_last_frames": 0,
            "trim_last_frames": 0,
            "frame_num": run.host_frames(window.number),
            **({"new_shot": size.shot} if "new_shot" in host else {}),
            **(
                {"requested_output_frames": window.adds}
                if "requested_output_frames" in host
                else {}
            ),
        }
        for host, size, window in zip(like, run.sizes, planned, strict=True)
    ]


def _source_read(original: Callable[..., Any], *args, **kwargs) -> Any:
    """The video that is continued, as WanGP has resized and resampled it."""
    run = current()
    if (
        run is None
        or not run.chain.source_frames
        or not source.is_source(run, original, args, kwargs)
    ):
        return original(*args, **kwargs)
    frames, end, first, count = source.read_source(run, original, args, kwargs)
    if frames is not None and run.carry.source is None:
        start, tail = (part.permute(3, 0, 1, 2) for part in (first[:1], end[-source.TAIL :]))
        run.carry.source = Source(start.clone(), tail.clone(), count)
        run.carry.chain = replace(run.chain, source_frames=count)
        continuing.verify(run, arguments(original, args, kwargs)["video_in"])
    return frames
