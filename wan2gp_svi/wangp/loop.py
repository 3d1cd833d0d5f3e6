"""SVI's plan in place of WanGP's: what wgp.py's hooks lead to.

WanGP plans by an overlap, and books what a window adds as its frames less that. Inside a run it is
therefore told the overlap that SVI really has, 1 + 4n frames (anchor and motion latents), windows
without the frames that are discarded, and the number of frames that the plan delivers; then its own
loop, status, extra windows and trims come out right on every version. Users and metadata see what
was asked for.

Functions of wgp.py are looked up as globals when they are called, so they are wrapped there:

    generate_video / generate_media     begins and ends a `Run`
    compute_sliding_window_no           the number of windows (before 12.54)
    build_default_window_plan           the windows (12.54 on)
    build_frame_scheduler               the windows of prompts with slash commands (12.10 on)
    preprocess_video                    shows the video that is continued
    prepare_inputs_dict                 gives the metadata what was asked for
    collect_custom_settings_from_inputs keeps settings of ours that have no control on the page
    record_file_metadata                deletes a hand-over file with its video (12.0 on)
    get_settings_from_file              profiles leave what they do not speak of as it is
    save_inputs, set_model_settings     the page's form is kept: so are settings of ours without a
                                        field there (all of them before 10.80)
"""

from __future__ import annotations

import functools
import glob
import inspect
import math
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.conditioning import MODES, Mode
from wan2gp_svi.svi.prompts import TimedPrompt, segments_of, timetable
from wan2gp_svi.svi.windows import Chain, Size, check, floor_frames, layout, sizes
from wan2gp_svi.wangp import continuing
from wan2gp_svi.wangp import run as runs
from wan2gp_svi.wangp.handler import PROFILES, paragraphs
from wan2gp_svi.wangp.run import Run, Source
from wan2gp_svi.wangp.settings import MODES_OF, PREFIX, read, read_mode

TAIL = 64
"""Frames of a continued video that are kept at hand; only some of them are ever encoded."""
ROUNDING = 0.04
"""By how much a size that WanGP has rounded may miss what was asked, at 480p and more."""
_form = threading.local()


def attach(namespace: dict[str, Any]) -> None:
    """Wrap the functions named above in wgp.py's globals; those it does not have are left out."""
    generate = _generator(namespace)
    wrappers: dict[str, Callable[..., Any]] = {
        generate: _generate,
        "compute_sliding_window_no": _window_count,
        "build_default_window_plan": _default_plan,
        "build_frame_scheduler": _scheduled_plan,
        "preprocess_video": _source_read,
        "prepare_inputs_dict": _metadata,
        "collect_custom_settings_from_inputs": _custom_settings,
        "record_file_metadata": continuing.recorded,
        "get_settings_from_file": _settings_read,
        "save_inputs": _form_saved,
        "set_model_settings": _settings_kept,
    }
    for name, wrapper in wrappers.items():
        if name in namespace:
            original = namespace[name]
            namespace[name] = functools.wraps(original)(
                functools.partial(wrapper, namespace, original)
            )


def _generator(namespace: Mapping[str, Any]) -> str:
    """The name of the function that runs a task (another one since 12.21)."""
    return "generate_media" if "generate_media" in namespace else "generate_video"


# -- a run begins -------------------------------------------------------------------------------


def _generate(namespace: dict[str, Any], original: Callable[..., Any], *args, **kwargs) -> Any:
    signature = inspect.signature(original)
    if "custom_settings" not in signature.parameters:  # before 10.80; `task` has them (`_custom`)
        kwargs.pop("custom_settings", None)
    given = signature.bind(*args, **kwargs).arguments
    model_def = namespace["get_model_def"](given["model_type"]) or {}
    runs.set_current(None)
    edits = str(given.get("mode") or "").startswith("edit")
    if given.get("image_mode") or edits:
        return original(*args, **kwargs)
    try:
        mode = mode_of(model_def, namespace["get_base_model_type"](given["model_type"]), given)
        if mode is None:
            return original(*args, **kwargs)
        run = begin(namespace, given, mode)
    except UserError as error:
        raise _error(f"SVI: {error}") from error
    runs.set_current(run)
    try:
        return original(**given)
    finally:
        runs.set_current(None)


def mode_of(model_def: Mapping[str, Any], base_type: str, given: Mapping[str, Any]) -> Mode | None:
    """The SVI mode that a task runs in, None if it does not.

    Raises `UserError` for a mode that this model cannot run.
    """
    if model_def.get("svi2pro"):
        return MODES["pro"]
    name = read_mode(_custom(given))
    if name and name not in MODES_OF.get(base_type, ()):
        fitting = ", ".join(MODES_OF.get(base_type, ())) or "none"
        raise UserError(
            f"The SVI mode {name!r} is not one of this model's ({fitting}): choose a profile made"
            " for it, or switch SVI off."
        )
    return MODES[name] if name else None


def begin(namespace: dict[str, Any], given: dict[str, Any], mode: Mode) -> Run:
    """The run for a task's arguments, which are changed to what WanGP is to be told.

    Raises `UserError` for what cannot be generated, before a model is loaded.
    """
    settings = read(_custom(given))
    ends = "E" in (given["image_prompt_type"] or "") and bool(given["image_end"])
    if ends and mode.motion_frames:
        print(f"[SVI] {mode.name} knows no end image: it is left out")
    named = [str(lora).lower() for lora in given["activated_loras"] or []]
    if mode.motion_frames and not any("svi" in lora for lora in named):
        print(
            f"[SVI] {mode.name} is on, but no LoRA has SVI in its name: apply one of its profiles,"
            " or the profile SVI Off"
        )
    size = Size(
        floor_frames(int(given["sliding_window_size"] or 81)),
        settings.motion_latents,
        # An end image is what a window ends on: it is not discarded.
        0 if ends else int(given["sliding_window_discard_last_frames"] or 0) // 4 * 4,
        mode.motion_frames,
    )
    path = _source_path(namespace, given)
    base_type = namespace["get_base_model_type"](given["model_type"])
    fps = float(
        namespace["get_computed_fps"](given["force_fps"], base_type, given["video_guide"], path)
    )
    source_frames = 0 if path is None else _frames(namespace, path, given, fps)
    handover = None
    if path is not None and not mode.motion_frames:
        handover = continuing.find(path, [namespace.get("save_path", "")], source_frames)
    with_anchors = "I" in (given["video_prompt_type"] or "") and given["image_refs"]
    with_anchors = with_anchors and not mode.motion_frames
    chain = Chain(
        size=size,
        fps=fps,
        seeds=settings.seeds,
        anchors=len(given["image_refs"]) if with_anchors else 0,
        anchor_schedule=settings.anchor_schedule,
        source_frames=source_frames,
        windows_before=handover.windows if handover else _windows_of(source_frames, size),
    )
    check(chain)
    run = Run(settings, chain, mode, sizes(int(given["video_length"]), chain, settings.exact))
    run.handover = handover
    run.custom = _ours(_custom(given))
    run.switch_phase = given.get("model_switch_phase")
    run.written = written_prompts(namespace, given)
    times: list[str] = []
    if not any("[/" in prompt.replace(" ", "") for prompt in run.written):
        times = times_of(run)  # slash commands may still move windows
    changed: dict[str, Any] = {
        "video_length": _told_length(run),
        "sliding_window_size": size.frames - size.discard,
        "sliding_window_overlap": size.overlap,
        "sliding_window_discard_last_frames": 0,
    }
    own_size = None if path is None else _own_size(namespace, given, path)
    if own_size is not None:
        changed["resolution"] = own_size
    run.asked = {name: given[name] for name in changed}
    if handover is not None and given["seed"] in (-1, None):
        changed["seed"] = handover.base_seed
    asked = given["video_length"]
    given.update(changed)
    _announce(run, asked)
    for line in times:
        print(f"[SVI] {line}")
    return run


def times_of(run: Run) -> list[str]:
    """What the prompts' times come to in the windows planned, a line each.

    Raises UserError for whatever is wrong in a timed prompt, before a model is loaded.
    """
    run.windows = layout(run.sizes, run.chain)
    lines = []
    for window, text in zip(run.windows, run.texts(), strict=True):
        segments = segments_of(window, text)
        if len(segments) > 1:
            lines += [f"window {window.number}, {line}" for line in timetable(window, segments)]
        for part in text.left_out if isinstance(text, TimedPrompt) else ():
            lines.append(f"window {window.number} ends before {part.seconds:g} s: no {part.text!r}")
    return lines


def written_prompts(namespace: dict[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The prompts of a task, one a window, taken apart as that version of WanGP does it."""
    text, kind = given["prompt"], given["multi_prompts_gen_type"]
    split = getattr(namespace.get("prompt_parser"), "split_prompt_units", None)
    if split is not None:
        return list(split(text, kind)) or [""]
    return [text] if kind == 2 else [line.strip() for line in text.split("\n")]


def _told_length(run: Run) -> int:
    """The length that makes WanGP count the frames which the plan delivers.

    To continue a video it adds overlap-1 to it, and takes off what the source overlaps.
    """
    chain = run.chain
    added = sum(window.adds for window in layout(run.sizes, chain))
    if not chain.source_frames:
        return added
    return added + min(chain.source_frames, chain.size.overlap) - (chain.size.overlap - 1)


def _custom(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """This run's custom settings; before 10.80 they are not an argument, but the task has them."""
    task = given.get("task")
    params = task.get("params", {}) if isinstance(task, dict) else {}
    found = given.get("custom_settings") or params.get("custom_settings")
    return found if isinstance(found, Mapping) else {}


def _source_path(namespace: dict[str, Any], given: Mapping[str, Any]) -> str | None:
    """The video that is continued: the one given or, for "L", the last one, as WanGP finds it."""
    if "L" not in (given["image_prompt_type"] or ""):
        return given["video_source"]
    made = namespace["get_gen_info"](given["state"]).get("file_list") or []
    if made:
        return made[-1]
    folder = namespace["save_path"]
    host = inspect.unwrap(namespace[_generator(namespace)])
    every = ("*.mp4", "*.mov", "*.mkv")  # .mp4 only, in older versions
    kinds = [kind for kind in every if kind in host.__code__.co_consts] or every
    found = [
        path
        for kind in kinds
        for path in glob.glob(os.path.join(folder, kind))  # noqa: PTH118, PTH207 (as WanGP)
    ]
    return max(found, key=os.path.getmtime) if found else None


def _frames(namespace: dict[str, Any], path: str, given: Mapping[str, Any], fps: float) -> int:
    """How many frames WanGP will have of the video continued, at `fps`; exact at an equal rate."""
    source_fps, _, _, count = namespace["get_video_info"](path)
    frames = -(-int(count) * round(fps) // max(round(source_fps), 1))
    keep = str(given.get("keep_frames_video_source") or "").strip()
    if keep.removeprefix("-").isdigit():  # a negative number is counted from the end
        frames = min(frames, int(keep)) if int(keep) > 0 else frames + int(keep)
    return max(frames, 1)


def _own_size(namespace: dict[str, Any], given: Mapping[str, Any], path: str) -> str | None:
    """The size of the video continued where WanGP would give it another by rounding only.

    By default it takes the resolution as a number of pixels, keeps the picture's proportions and
    rounds both sides to multiples of 16; doing that to a video that was made so changes it again
    (a 16:9 picture at 832x480 makes 848x480, which would go on as 832x480). `fit_canvas` 1 takes it
    as a box, 2 crops to it.
    """
    fit = namespace.get("server_config", {}).get("fit_canvas", 0)
    _, width, height, _ = namespace["get_video_info"](path)
    asked = [int(side) for side in str(given.get("resolution") or "").split("x") if side.isdigit()]
    if fit == 2 or len(asked) != 2 or width % 16 or height % 16 or not width * height:
        return None
    scale = math.sqrt(math.prod(asked) / (width * height))
    if fit == 1:
        scale = max(
            min(asked[0] / width, asked[1] / height), min(asked[0] / height, asked[1] / width)
        )
    return f"{width}x{height}" if abs(scale - 1) < ROUNDING else None


def _windows_of(frames: int, size: Size) -> int:
    """About how many windows a video was made of; so its first noise does not come again."""
    return 0 if not frames else 1 + max(-(-(frames - size.frames) // size.adds), 0)


def _announce(run: Run, asked: int) -> None:
    windows = layout(run.sizes, run.chain)
    delivered = sum(window.adds for window in windows)
    what = "1 window" if len(windows) == 1 else f"{len(windows)} windows"
    more = " more" if run.chain.source_frames else ""
    print(f"[SVI] {asked} frames asked: {delivered}{more} in {what}")


def _error(text: str) -> Exception:
    try:
        import gradio
    except ImportError:
        return RuntimeError(text)
    return gradio.Error(text)


# -- the plan -----------------------------------------------------------------------------------


def _window_count(namespace: dict[str, Any], original: Callable[..., int], *args, **kwargs) -> int:
    run = runs.current()
    return original(*args, **kwargs) if run is None else len(run.sizes)


def _default_plan(
    namespace: dict[str, Any], original: Callable[..., list[dict]], *args, **kwargs
) -> list[dict]:
    windows = original(*args, **kwargs)
    run = runs.current()
    return windows if run is None else _as_host_windows(run, [windows[0]] * len(run.sizes))


def _scheduled_plan(
    namespace: dict[str, Any], original: Callable[..., tuple], *args, **kwargs
) -> tuple:
    scheduler, error = original(*args, **kwargs)
    run = runs.current()
    if run is None or error is not None or not scheduler.get("active"):
        return scheduler, error
    windows = scheduler["windows"]
    prompts = kwargs.get("prompts") or args[0]
    if any(re.search(r"\[\s*/[^\]]*\bduration\b", prompt) for prompt in prompts):
        run.sizes = [_size_for(run, number, window) for number, window in enumerate(windows, 1)]
    else:  # the plan holds; commands such as /overlap act on their windows
        windows = [
            windows[min(k, len(windows) - 1)] for k in range(max(len(run.sizes), len(prompts)))
        ]
        grown = [*run.sizes, *[run.chain.size] * (len(windows) - len(run.sizes))]
        run.sizes = [
            replace(size, motion_latents=_motion(window, size))
            for size, window in zip(grown, windows, strict=True)
        ]
    # Without the commands, as WanGP passes them on; their times can be checked now.
    run.written = [window["prompt"] for window in windows[: len(prompts)]]
    try:
        lines = times_of(run)
    except UserError as failure:
        return scheduler, f"SVI: {failure}"
    for line in lines:
        print(f"[SVI] {line}")
    windows = _as_host_windows(run, windows)
    scheduler = {
        **scheduler,
        "windows": windows,
        "prompts": [window["prompt"] for window in windows],
        "predicted_total_frames": sum(window["output_frames"] for window in windows),
    }
    return scheduler, None


def _motion(window: Mapping[str, Any], size: Size) -> int:
    """Motion latents of an overlap that WanGP counts as 1 + 4n frames."""
    overlap = window["overlap_frames"]
    return max((overlap - 1) // 4, 1) if overlap else size.motion_latents


def _size_for(run: Run, number: int, window: Mapping[str, Any]) -> Size:
    """The nearest window that adds the frames which a /duration asks for."""
    size = replace(run.chain.size, motion_latents=_motion(window, run.chain.size))
    drop = run.chain.drop_first if number == 1 else size.overlap
    wanted = window["output_frames"] + drop + size.discard
    frames = max(floor_frames(wanted + 2), size.overlap + size.discard + 4)
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
            "frame_num": run.host_frames(window.number, window.frames),
        }
        for host, size, window in zip(like, run.sizes, planned, strict=True)
    ]


# -- what passes by -----------------------------------------------------------------------------


def _source_read(namespace: dict[str, Any], original: Callable[..., Any], *args, **kwargs) -> Any:
    frames = original(*args, **kwargs)
    run = runs.current()
    if run is not None and frames is not None and run.chain.source_frames and run.source is None:
        video = frames.permute(3, 0, 1, 2)
        run.source = Source(video[:, :1].clone(), video[:, -TAIL:].clone(), video.shape[1])
        run.chain = replace(run.chain, source_frames=video.shape[1])
        continuing.verify(run)
    return frames


def _metadata(namespace: dict[str, Any], original: Callable[..., Any], *args, **kwargs) -> Any:
    run = runs.current()
    target = args[0] if args else kwargs.get("target")
    inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
    if run is not None and target == "metadata" and isinstance(inputs, dict):
        inputs.update({name: value for name, value in run.asked.items() if name in inputs})
    return original(*args, **kwargs)


def _custom_settings(
    namespace: dict[str, Any], original: Callable[..., tuple], model_def, inputs, *args, **kwargs
) -> tuple:
    before = inputs.get("custom_settings")
    found, error = original(model_def, inputs, *args, **kwargs)
    if error is None and _may_be_svi(model_def):
        found = {**_ours(before), **(found or {})} or None
    return found, error


def _settings_read(
    namespace: dict[str, Any], original: Callable[..., tuple], state, file_path, *args, **kwargs
) -> tuple:
    try:
        model_type = namespace["get_state_model_type"](state)
        current = namespace["get_model_settings"](state, model_type) or {}
    except (KeyError, TypeError):  # no model has been chosen yet
        current = {}
    before, prompts = current.get("custom_settings"), current.get("multi_prompts_gen_type")
    found, *rest = original(state, file_path, *args, **kwargs)
    if not isinstance(found, dict):
        return found, *rest
    path = Path(str(getattr(file_path, "name", file_path)))
    if path.parent.name in PROFILES.values():
        # 1 and 0 in our profiles, W and G from 12.0 on: a prompt a window, or a video. A paragraph
        # stays one prompt, or a line, as it was.
        per = found.get("multi_prompts_gen_type")
        if per in ("W", "G") and str(prompts or paragraphs()).startswith("P"):
            found["multi_prompts_gen_type"] = f"P{per}"
        found["custom_settings"] = {**_ours(before), **(found.get("custom_settings") or {})}
    elif path.suffix != ".json" and found.get("custom_settings") is before and before:
        # What a video was made with: before 10.80, no word of SVI there means that it was off.
        found["custom_settings"] = {k: v for k, v in before.items() if not k.startswith(PREFIX)}
    return found, *rest


def _form_saved(namespace: dict[str, Any], original: Callable[..., Any], *args, **kwargs) -> Any:
    _form.is_saved = True
    try:
        return original(*args, **kwargs)
    finally:
        _form.is_saved = False


def _settings_kept(
    namespace: dict[str, Any], original: Callable[..., Any], state, model_type, settings, *rest
) -> Any:
    model_def = namespace["get_model_def"](model_type)
    if getattr(_form, "is_saved", False) and isinstance(settings, dict) and _may_be_svi(model_def):
        before = namespace["get_model_settings"](state, model_type) or {}
        shown = namespace.get("get_model_custom_settings", lambda model_def: [])(model_def)
        fields = {setting.get("id") for setting in shown}
        kept = {k: v for k, v in _ours(before.get("custom_settings")).items() if k not in fields}
        if kept:
            settings["custom_settings"] = {**kept, **(settings.get("custom_settings") or {})}
    return original(state, model_type, settings, *rest)


def _may_be_svi(model_def: Mapping[str, Any] | None) -> bool:
    """Whether a model has settings of ours (handler.py gives them to it)."""
    return bool(model_def and (model_def.get("svi2pro") or model_def.get("svi_modes")))


def _ours(custom: Any) -> dict[str, Any]:
    if not isinstance(custom, Mapping):
        return {}
    return {key: value for key, value in custom.items() if key.startswith(PREFIX)}
