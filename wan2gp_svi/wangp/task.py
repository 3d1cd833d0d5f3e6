"""A task of WanGP becomes a run of SVI, before a model is loaded.

WanGP plans by an overlap, and books what a window adds as its frames less that. Inside a run it is
therefore told the overlap that SVI really has, 1 + 4n frames (anchor and motion latents), windows
without the frames that are discarded, and the number of frames that the plan delivers; then its own
loop, status, extra windows and trims come out right on every version (loop.py does the rest). Users
and metadata see what was asked for.
"""

from __future__ import annotations

import functools
import glob
import inspect
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.modes import MODES, PRO, Mode
from wan2gp_svi.svi.prompts import TimedPrompt
from wan2gp_svi.svi.schedule import segments_of, timetable
from wan2gp_svi.svi.vae import VAE_STRIDE, floor_frames
from wan2gp_svi.svi.windows import Chain, Size, check, layout, sizes
from wan2gp_svi.wangp import continuing, dance, fit, progress, streaming, talk
from wan2gp_svi.wangp.console import say
from wan2gp_svi.wangp.names import FIVE_B, modes_of
from wan2gp_svi.wangp.run import Run, set_current
from wan2gp_svi.wangp.settings import Settings, ours, read, read_mode
from wan2gp_svi.wangp.wrapping import arguments, wrap

ROUNDING = 0.04
"""By how much a size that WanGP has rounded may miss what was asked, at 480p and more."""

SEVERAL = 3
"""Windows after which a drift report says something: fewer are too few to drift."""
WGP = dict[str, Any]
"""The globals of wgp.py."""


def attach(wgp: WGP) -> bool:
    """Wrap the function that runs a task: `generate_media`, before 12.21 `generate_video`."""
    return wrap(wgp, generator(wgp), functools.partial(run_task, wgp))


def generator(wgp: Mapping[str, Any]) -> str:
    """The name of the function that runs a task."""
    return "generate_media" if "generate_media" in wgp else "generate_video"


def run_task(wgp: WGP, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A task of WanGP: a run of ours around it where its model is SVI's, else as it is."""
    set_current(None)
    takes = inspect.signature(original).parameters
    if "model_type" not in takes:  # a signature that is not known: SVI's models stop (pipeline.py)
        return original(*args, **kwargs)
    if "custom_settings" not in takes:  # before 10.80
        kwargs.pop("custom_settings", None)  # `task` has them (`custom_settings`)
    given = arguments(original, args, kwargs)
    model_def = wgp["get_model_def"](given["model_type"]) or {}
    edits = str(given.get("mode") or "").startswith("edit")
    if given.get("image_mode") or edits:
        return original(*args, **kwargs)
    try:
        mode = mode_of(model_def, wgp["get_base_model_type"](given["model_type"]), given)
        if mode is None:
            return original(*args, **kwargs)
        fit.check(wgp)
        run, told = begin(wgp, given, mode)
        streaming.begin(wgp, run, given)
    except UserError as error:
        raise _error(f"SVI: {error}") from error
    set_current(run)
    status = wgp.get("get_latest_status")
    told_status = None if status is None else functools.partial(status, given["state"])
    progress.begin(wgp["get_gen_info"](given["state"]), progress.work(given), told_status)
    try:
        with talk.aligned(run, given, told) as told_all:
            return original(**{**given, **told_all})
    except UserError as error:
        raise _error(f"SVI: {error}") from error
    finally:
        set_current(None)
        progress.end()
        streaming.end(run)
        _report(run)


def _report(run: Run) -> None:
    """The drift report of what was made, in one line, where the user asked for it."""
    long = run.window is not None and run.window.number > SEVERAL
    if run.settings.report and long and run.video is not None:
        from wan2gp_svi.report.look import one_line

        line = one_line(run.video)
        if line:
            say(line)


def mode_of(model_def: Mapping[str, Any], base_type: str, given: Mapping[str, Any]) -> Mode | None:
    """The SVI mode that a task runs in, None if it does not.

    Raises `UserError` for a mode that this model cannot run.
    """
    if model_def.get("svi2pro"):
        return PRO
    if model_def.get("svi_mode") in MODES:
        return MODES[model_def["svi_mode"]]
    name = read_mode(custom_settings(given))
    if name and name not in modes_of(base_type):
        fitting = ", ".join(modes_of(base_type)) or "none"
        raise UserError(
            f"The SVI mode {name!r} is not one of this model's ({fitting}): choose a profile made"
            " for it, or switch SVI off."
        )
    return MODES[name] if name else None


def begin(wgp: WGP, given: Mapping[str, Any], mode: Mode) -> tuple[Run, dict[str, Any]]:
    """The run for a task's arguments, and what of them WanGP is to be told instead.

    Raises `UserError` for what cannot be generated, before a model is loaded.
    """
    settings = read(custom_settings(given))
    model_type = wgp["get_base_model_type"](given["model_type"])
    in_place = model_type == FIVE_B
    _warn(given, settings, mode, in_place)
    size = _size(given, settings, mode, in_place)
    path = _source_path(wgp, given)
    from_words = _check_start(given, mode, path, in_place)
    chain, handover = _chain(wgp, given, settings, mode, size, path)
    check(chain)
    carry = Carry(
        chain,
        mode,
        settings.anchor_strength,
        settings.motion_strength,
        handover=handover,
        in_place=in_place,
        from_words=from_words,
    )
    asked = _asked(wgp, given, chain, mode)
    # The last words must not be cut off to spare a window.
    planned = sizes(asked, chain, settings.exact or mode.sound)
    told: dict[str, Any] = {
        "video_length": _told_length(planned, chain),
        "sliding_window_size": size.frames - size.discard,
        "sliding_window_overlap": size.overlap,
        "sliding_window_discard_last_frames": 0,
    }
    own_size = None if path is None else _own_size(wgp, given, path, handover)
    if own_size is not None:
        told["resolution"] = own_size
    run = Run(
        settings,
        carry,
        planned,
        windows_before=handover.windows if handover else 0,
        starts_on_anchor=path is None and _no_start(given) and _anchors(given, mode) > 0,
        written=written_prompts(wgp, given),
        custom=ours(custom_settings(given)),
        asked={name: given[name] for name in told},
        switch_phase=given.get("model_switch_phase"),
        source_path=path,
        model_type=model_type,
    )
    if handover is not None and given["seed"] in (-1, None):
        told["seed"] = handover.base_seed
    elif path is None and not isinstance(settings.seeds, str):
        told["seed"] = settings.seeds[0]  # the video is named after the seed that made it
    _obey_commands(wgp, given, run, told)
    if mode.skeleton:
        dance.begin(wgp, run, given)
    times = times_of(run)
    _announce(run, given["video_length"])
    for line in times:
        say(line)
    return run, told


def _asked(wgp: WGP, given: Mapping[str, Any], chain: Chain, mode: Mode) -> int:
    """The frames that are asked for: no more than what moves the person lasts."""
    if mode.skeleton:
        return dance.length(wgp, given, chain)
    return talk.length(given, chain) if mode.sound else int(given["video_length"])


def _check_start(given: Mapping[str, Any], mode: Mode, path: str | None, in_place: bool) -> bool:
    """Whether a task starts from words alone; says where it starts from black.

    Raises `UserError` where it has nothing to start from.
    """
    if in_place and set(str(given["video_prompt_type"] or "")) & set("VG"):
        raise UserError("SVI on Wan 2.2 5B is steered by no control video: take it out.")
    if path is None and "L" in (given["image_prompt_type"] or ""):
        raise UserError(
            "There is no video yet to continue: make one first, or choose a start image."
        )
    if path is not None or not _no_start(given) or _anchors(given, mode):
        return False
    if not given["image_start"] and in_place:
        say("there is no start image: words alone make window 1, its first frame is the anchor")
        return True
    if not given["image_start"]:
        raise UserError(
            f"{mode.name} starts from a picture, and there is none: give it a start image"
            f"{'' if mode.motion_frames else ', anchor images'} or a video to continue."
        )
    say("there is no start image: the video starts from black, which is its anchor too")
    return False


def _no_start(given: Mapping[str, Any]) -> bool:
    """Whether a task has no start image; WanGP puts a black one in the place of none."""
    images: Any = given["image_start"] or []
    single = isinstance(images, str) or hasattr(images, "getextrema")
    first: Any = images if single else next(iter(images), None)
    if not hasattr(first, "getextrema"):  # a file's name
        return first is None
    return not any(map(any, first.convert("RGB").getextrema()))


def _anchors(given: Mapping[str, Any], mode: Mode) -> int:
    """How many anchor images a task has; modes that hand over frames know none."""
    asked = "I" in (given["video_prompt_type"] or "") and not mode.motion_frames
    return len(given["image_refs"] or []) if asked else 0


def _obey_commands(wgp: WGP, given: Mapping[str, Any], run: Run, told: Mapping[str, Any]) -> None:
    """Let slash commands in the prompts ([/duration=4s], from 12.10 on) act on the plan already.

    WanGP reads them after the model is loaded; loop.py, which then listens, listens now.
    """
    build = wgp.get("build_frame_scheduler")
    if build is None or not any("[/" in prompt.replace(" ", "") for prompt in run.written):
        return
    minimum, step, _ = wgp["get_model_min_frames_and_step"](given["model_type"])
    model_def = wgp["get_model_def"](given["model_type"]) or {}
    known = {
        "total_frames": told["video_length"],
        "fps": run.chain.fps,
        "window_size": told["sliding_window_size"],
        "default_overlap": told["sliding_window_overlap"],
        "minimum": minimum,
        "step": step,
        "supported_model_commands": model_def.get("prompt_slash_commands", []),
        "allow_new_shot": True,  # loop.py refuses it by name where it cannot be
        "first_window_overlap_frames": run.chain.source_frames or 1,
    }
    takes = inspect.signature(build).parameters
    set_current(run)
    try:
        _, error = build(run.written, **{k: v for k, v in known.items() if k in takes})
    finally:
        set_current(None)
    if error is not None:
        raise UserError(str(error).removeprefix("SVI: "))


def _warn(given: Mapping[str, Any], settings: Settings, mode: Mode, in_place: bool) -> None:
    """Say what of a task this mode or this model cannot use, or seems to lack."""
    if not mode.motion_frames and not in_place:
        return
    if _ends(given):
        say(f"{mode.name} knows no end image{' here' * in_place}: it is left out")
    if mode.sound and int(given["sliding_window_discard_last_frames"] or 0) >= VAE_STRIDE:
        say(f"{mode.name} discards no frames: Discard Last Frames is left out")
    of_pro = ["anchor_strength", "motion_strength"]  # not in place either
    of_pro += ["motion_latents", "anchor_schedule"] if mode.motion_frames else []
    usual = Settings()
    unused = [f"svi_{name}" for name in of_pro if getattr(settings, name) != getattr(usual, name)]
    if unused:
        say(f"{mode.name} has no use for {', '.join(unused)}{' here' * in_place}: left out")
    with_model = mode.skeleton  # its LoRA comes with the model
    if not with_model and not any(
        "svi" in str(lora).lower() for lora in given["activated_loras"] or []
    ):
        take = "choose the one that you have trained" if in_place else "apply one of its profiles"
        say(f"{mode.name} is on, but no LoRA has SVI in its name: {take}, or the profile SVI Off")


def _ends(given: Mapping[str, Any]) -> bool:
    """Whether a task has an end image."""
    return "E" in (given["image_prompt_type"] or "") and bool(given["image_end"])


def _size(given: Mapping[str, Any], settings: Settings, mode: Mode, in_place: bool) -> Size:
    """What a full window generates."""
    discard = int(given["sliding_window_discard_last_frames"] or 0) // VAE_STRIDE * VAE_STRIDE
    if mode.sound or (_ends(given) and not mode.motion_frames and not in_place):
        discard = 0  # each window hears all its frames; an end image is what it ends on
    return Size(
        floor_frames(int(given["sliding_window_size"] or 81)),
        settings.motion_latents,
        discard,
        mode.motion_frames,
    )


def _chain(
    wgp: WGP, given: Mapping[str, Any], settings: Settings, mode: Mode, size: Size, path: str | None
) -> tuple[Chain, HandOver | None]:
    """What holds for all windows, and the hand-over of the video continued, if it has one."""
    base_type = wgp["get_base_model_type"](given["model_type"])
    fps = float(wgp["get_computed_fps"](given["force_fps"], base_type, given["video_guide"], path))
    source_frames = 0 if path is None else _frames(wgp, path, given, fps)
    handover = None
    if path is not None and not mode.motion_frames:
        handover = continuing.find(
            path, [wgp.get("save_path", "")], wgp["get_video_info"], source_frames
        )
    chain = Chain(
        size=size,
        fps=fps,
        seeds=settings.seeds,
        anchors=_anchors(given, mode),
        anchor_schedule=settings.anchor_schedule,
        source_frames=source_frames,
        windows_before=handover.windows if handover else _windows_of(source_frames, size),
    )
    return chain, handover


def times_of(run: Run) -> list[str]:
    """What the prompts' times come to in the windows planned, a line each.

    Raises UserError for whatever is wrong in a timed prompt, before a model is loaded.
    """
    run.windows = layout(run.sizes, run.chain)
    lines = []
    for window, text in zip(run.windows, run.texts(), strict=True):
        segments = segments_of(window, text)
        if len(segments) > 1:
            lines += [
                f"window {run.told_number(window)}, {line}" for line in timetable(window, segments)
            ]
        for part in text.left_out if isinstance(text, TimedPrompt) else ():
            lines.append(
                f"window {run.told_number(window)} ends before {part.seconds:g} s: no {part.text!r}"
            )
    return lines


def written_prompts(wgp: WGP, given: Mapping[str, Any]) -> list[str]:
    """The prompts of a task, one a window, taken apart as that version of WanGP does it."""
    text, kind = given["prompt"], given["multi_prompts_gen_type"]
    split = getattr(wgp.get("prompt_parser"), "split_prompt_units", None)
    if split is not None:
        return list(split(text, kind)) or [""]
    return [text] if kind == 2 else [line.strip() for line in text.split("\n")]


def _told_length(planned: list[Size], chain: Chain) -> int:
    """The length that makes WanGP count the frames which the plan delivers.

    To continue a video it adds overlap-1 to it, and takes off what the source overlaps.
    """
    added = sum(window.adds for window in layout(planned, chain))
    if not chain.source_frames:
        return added
    return added + min(chain.source_frames, chain.size.overlap) - (chain.size.overlap - 1)


def custom_settings(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """This run's custom settings; before 10.80 they are not an argument, but the task has them."""
    task = given.get("task")
    params = task.get("params", {}) if isinstance(task, dict) else {}
    found = given.get("custom_settings") or params.get("custom_settings")
    return found if isinstance(found, Mapping) else {}


def _source_path(wgp: WGP, given: Mapping[str, Any]) -> str | None:
    """The video that is continued: the one given or, for "L", the last one, as WanGP finds it."""
    if "L" not in (given["image_prompt_type"] or ""):
        return given["video_source"]
    made = wgp["get_gen_info"](given["state"]).get("file_list") or []
    if made:
        return made[-1]
    folder = wgp["save_path"]
    host = inspect.unwrap(wgp[generator(wgp)])
    every = ("*.mp4", "*.mov", "*.mkv")  # .mp4 only, in older versions
    kinds = [kind for kind in every if kind in host.__code__.co_consts] or every
    found = [
        path
        for kind in kinds
        for path in glob.glob(os.path.join(folder, kind))  # noqa: PTH118, PTH207 (as WanGP)
    ]
    return max(found, key=os.path.getmtime) if found else None


def _frames(wgp: WGP, path: str, given: Mapping[str, Any], fps: float) -> int:
    """How many frames WanGP will have of the video continued, at `fps`; exact at an equal rate."""
    source_fps, _, _, count = wgp["get_video_info"](path)
    frames = -(-int(count) * round(fps) // max(round(source_fps), 1))
    keep = str(given.get("keep_frames_video_source") or "").strip()
    if keep.removeprefix("-").isdigit():  # a negative number is counted from the end
        kept = int(keep) if int(keep) > 0 else frames + int(keep)
        if not 1 <= kept <= frames:
            raise UserError(
                f"The video to continue has {frames} frames at {fps:g} a second: it cannot be kept"
                f" up to frame {kept} (Truncate Video beyond this number of frames)."
            )
        frames = kept
    return max(frames, 1)


def _own_size(
    wgp: WGP, given: Mapping[str, Any], path: str, handover: HandOver | None = None
) -> str | None:
    """The size of the video continued where WanGP would give it another by rounding only.

    By default it takes the resolution as a number of pixels, keeps the picture's proportions and
    rounds both sides to multiples of 16; doing that to a video that was made so changes it again
    (a 16:9 picture at 832x480 makes 848x480, which would go on as 832x480). `fit_canvas` 1 takes it
    as a box, 2 crops to it. A video that was enlarged has the size that its hand-over was made at.
    """
    fit = wgp.get("server_config", {}).get("fit_canvas", 0)
    _, width, height, _ = wgp["get_video_info"](path)
    if handover is not None:
        width, height = handover.width, handover.height
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
    """Say in the console what the plan delivers."""
    windows = layout(run.sizes, run.chain)
    delivered = sum(window.adds for window in windows)
    what = "1 window" if len(windows) == 1 else f"{len(windows)} windows"
    more = " more" if run.chain.source_frames else ""
    say(f"{asked} frames asked: {delivered}{more} in {what}")


def _error(text: str) -> Exception:
    """What WanGP shows on its page as a sentence."""
    try:
        import gradio
    except ImportError:
        return RuntimeError(text)
    return gradio.Error(text)
