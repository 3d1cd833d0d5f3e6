"""Closed instead of wrong: is this WanGP the one that the bridge was written for?

Asked before a model of SVI's is loaded. What is missing, or has other parameters, stops SVI with
one sentence; all other models run on. For each name: where it is, the parameters that the bridge
needs, and when it may be absent (then something else stands in, or there is nothing to do).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.wangp.wrapping import is_wrapped

WGP, PIPELINE, MODEL, HANDLER = (
    "wgp",
    "models.wan.any2video",
    "models.wan.modules.model",
    "models.wan.wan_handler",
)


@dataclass(frozen=True, slots=True)
class Needed:
    """A function of WanGP that the bridge wraps or calls.

    `name` is a function of the module `where`, or "Class.method". `parameters` are those that the
    bridge gives or reads by name. `wrapped`: the bridge stands around it. `absent`, in words, says
    in which versions it is not there and what stands in; "" where it always is.
    """

    where: str
    name: str
    parameters: tuple[str, ...] = ()
    wrapped: bool = True
    absent: str = ""


NO_PAGE = "in a host without a page, such as the demo's: all five are"
TASK = (
    "model_type image_mode prompt image_prompt_type image_start image_end image_refs video_source"
    " video_prompt_type video_guide video_length keep_frames_video_source force_fps resolution seed"
    " sliding_window_size sliding_window_overlap sliding_window_discard_last_frames"
    " multi_prompts_gen_type activated_loras state"
)
WINDOW = (
    "input_prompt seed frame_num input_video input_ref_images image_end height width window_no"
    " overlapped_latents return_latent_slice"
)
NEEDED = (
    Needed(WGP, "generate_media", tuple(TASK.split()), absent="before 12.21: generate_video"),
    Needed(WGP, "generate_video", tuple(TASK.split()), absent="from 12.21 on: generate_media"),
    Needed(WGP, "build_default_window_plan", absent="before 12.54: compute_sliding_window_no"),
    Needed(WGP, "compute_sliding_window_no", absent="may go: build_default_window_plan plans"),
    Needed(WGP, "build_frame_scheduler", ("prompts",), absent="before 12.10: no slash commands"),
    Needed(
        WGP,
        "image_prompt_types_allow_t2v",
        ("model_def",),
        absent="before 12.10; where it goes, WanGP itself refuses [/new_shot] in SVI 2 Pro",
    ),
    Needed(WGP, "preprocess_video"),
    Needed(
        WGP,
        "preprocess_video_with_mask",
        ("input_video_path", "max_frames", "start_frame"),
        absent="in a host without control videos",
    ),
    Needed(WGP, "get_lora_dir", wrapped=False),
    Needed(WGP, "save_video", absent="in a host that writes videos its own way"),
    Needed(
        WGP,
        "combine_and_concatenate_video_with_audio_tracks",
        ("source_audio_duration",),
        absent="in a host that writes videos its own way",
    ),
    Needed(WGP, "prepare_inputs_dict"),
    Needed(WGP, "collect_custom_settings_from_inputs", absent="before 10.80: no custom settings"),
    Needed(WGP, "record_file_metadata", absent="before 12.0: no video is replaced"),
    Needed(WGP, "get_settings_from_file", absent=NO_PAGE),
    Needed(
        WGP,
        "validate_settings",
        ("state", "model_type", "inputs"),
        absent="in a host that queues nothing: mistakes are told when the run begins",
    ),
    Needed(
        WGP,
        "get_latest_status",
        ("state", "context"),
        absent="in a host without a page: SVI's words are not in the status",
    ),
    Needed(
        WGP,
        "process_prompt_enhancer",
        absent="in a host without a prompt enhancer: nothing is drafted",
    ),
    Needed(WGP, "compute_lset_choices", absent="in a host without a page: no profiles are listed"),
    Needed(WGP, "save_inputs", absent=NO_PAGE),
    Needed(WGP, "set_model_settings", absent=NO_PAGE),
    Needed(WGP, "get_model_settings", wrapped=False, absent=NO_PAGE),
    Needed(WGP, "get_state_model_type", wrapped=False, absent=NO_PAGE),
    Needed(WGP, "get_model_def", wrapped=False),
    Needed(WGP, "get_base_model_type", wrapped=False),
    Needed(WGP, "get_computed_fps", wrapped=False),
    Needed(WGP, "get_video_info", wrapped=False),
    Needed(WGP, "get_gen_info", wrapped=False),
    Needed(WGP, "get_model_min_frames_and_step", wrapped=False, absent="without slash commands"),
    Needed(PIPELINE, "WanAny2V.generate", tuple(WINDOW.split())),
    Needed(MODEL, "WanModel.preprocess_loras"),
    Needed(MODEL, "WanModel.forward", ("x", "context", "t", "y")),
    Needed(MODEL, "WanSelfAttention.text_cross_attention"),
    Needed(HANDLER, "family_handler.query_model_def"),
)
ONE_OF = (
    ("generate_media", "generate_video"),
    ("build_default_window_plan", "compute_sliding_window_no"),
)
"""Of these names of wgp.py at least one must be there, whatever the version."""
ALL_OR_NONE = tuple(needed.name for needed in NEEDED if needed.absent == NO_PAGE)
"""Names of wgp.py that are all there, or none is."""
CALLS = {
    WGP: ("attach_wgp", "window_frames", "window_saved"),
    PIPELINE: ("attach_pipeline", "conditioning"),
    MODEL: ("attach_model",),
    HANDLER: ("attach_handler",),
}
"""What the hooks in each file call (patches/README.md)."""


def check(wgp: Mapping[str, Any]) -> None:
    """Raise `UserError`, naming what was not found, unless this WanGP fits. `wgp`: its globals."""
    found = problems(wgp, importlib.import_module)
    if found:
        version = str(wgp.get("WanGP_version", "of an unknown version"))
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(
            f"This WanGP ({version}) is not one that the extension knows: {found[0]}{more}. SVI"
            " stays off, all else works. Run the extension's install script again; if that does not"
            " help, get the newest extension or tell its authors this sentence."
        )


def problems(wgp: Mapping[str, Any], module: Callable[[str], Any]) -> list[str]:
    """What of `NEEDED` is not as the bridge needs it, and which hooks are gone; a sentence part
    each. `module` imports one of WanGP's modules by name.
    """
    names: dict[str, Mapping[str, Any]] = {WGP: wgp}
    for where in (PIPELINE, MODEL, HANDLER):
        try:
            names[where] = vars(module(where))
        except ImportError as error:
            return [f"{where} cannot be imported ({error})"]
    said = [_missing_calls(where, space) for where, space in names.items()]
    said += [f"wgp.py has no {' and no '.join(one)}" for one in ONE_OF if not set(one) & set(wgp)]
    lost = [name for name in ALL_OR_NONE if name not in wgp]
    if 0 < len(lost) < len(ALL_OR_NONE):
        said.append(f"wgp.py has no {lost[0]}")
    said += [_problem(needed, names[needed.where]) for needed in NEEDED]
    return [sentence for sentence in said if sentence]


def _missing_calls(where: str, space: Mapping[str, Any]) -> str:
    """The hooks that are not in a file, "" where all are."""
    try:
        text = Path(str(space["__file__"])).read_text(encoding="utf-8-sig")
    except (KeyError, OSError, ValueError):
        return ""  # wgp.py run by another program; what it calls is wrapped, or is not
    gone = [call for call in CALLS[where] if f"_wan2gp_svi.{call}(" not in text]
    return f"the hook {gone[0]} is not in {where.replace('.', '/')}.py" if gone else ""


def _problem(needed: Needed, space: Mapping[str, Any]) -> str:
    file = f"{needed.where.replace('.', '/')}.py"
    owner, _, name = needed.name.rpartition(".")
    function = space.get(name) if not owner else getattr(space.get(owner), name, None)
    if function is None:
        return "" if needed.absent else f"{file} has no {needed.name}"
    if needed.wrapped and not is_wrapped(function):
        return f"the extension could not get between {file} and its {needed.name}"
    try:
        takes = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return ""
    lacks = [parameter for parameter in needed.parameters if parameter not in takes]
    return f"{needed.name} in {file} takes no {lacks[0]}" if lacks else ""
