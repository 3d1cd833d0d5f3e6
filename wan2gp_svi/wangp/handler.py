"""The model type `i2v_2_2_svi2pro`: where WanGP has it, made right; where it has not, made.

WanGP asks `family_handler`, a class of static methods, everything about its models. Before 10.0 it
does not know this type: each method then answers for `i2v_2_2`, whose transformers SVI 2.0 Pro
uses, and what is special about it is added. The model's definition (its LoRAs, its name) is
finetunes/i2v_2_2_svi2pro.json.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from wan2gp_svi.svi.conditioning import MODES
from wan2gp_svi.wangp.pipeline import MODEL_TYPE
from wan2gp_svi.wangp.settings import CONTROLS, MODE_CONTROL, MODES_OF

PARENT = "i2v_2_2"

MODEL_DEF: dict[str, Any] = {
    "svi2pro": True,
    "parent_model_type": PARENT,
    "image_prompt_types_allowed": "SEVL",
    "image_ref_choices": {
        "choices": [("No Anchor Image", ""), ("Anchor Images For Each Window", "KI")],
        "letters_filter": "KI",
        "show_label": False,
    },
    "all_image_refs_are_background_ref": True,
    "no_background_removal": True,
    # 4 on the page; the loop is told the overlap that SVI really has (loop.py).
    "sliding_window_defaults": {
        "overlap_min": 4,
        "overlap_max": 4,
        "overlap_step": 0,
        "overlap_default": 4,
    },
    "custom_settings": CONTROLS,
}
"""What `query_model_def` says of this type beside what it says of i2v_2_2."""
ABSENT = (
    "i2v_v2v",
    "extract_guide_from_window_start",
    "guide_custom_choices",
    "mask_preprocessing",
)
"""What i2v_2_2 offers and this type does not: video to video."""

PROFILES = {
    MODEL_TYPE: "svi_2_pro",
    "i2v": "svi_wan_2_1",
    "i2v_2_2": "svi_wan_2_2",
}
"""Folders, under WanGP's profiles/, of this extension's profiles: a list of its own each."""

NO_PROFILES = ("profiles_dir", "profile_dirs", "settings_dir")

DEFAULTS: dict[str, Any] = {
    "sliding_window_size": 81,
    "sliding_window_overlap": 4,
    "sliding_window_color_correction_strength": 0,
    "remove_background_images_ref": 0,
}
"""Settings that a fresh WanGP proposes for this type."""


def attach(namespace: dict[str, Any]) -> None:
    """Wrap the static methods of `family_handler` in wan_handler.py."""
    cls = namespace["family_handler"]
    native = MODEL_TYPE in cls.query_supported_types()
    for name, method in list(vars(cls).items()):
        if isinstance(method, staticmethod) and not native:
            function = method.__func__
            if "base_model_type" in inspect.signature(function).parameters:
                setattr(cls, name, staticmethod(_as_parent(function)))
    if not native:
        _wrap(cls, "query_supported_types", lambda types: [*types, MODEL_TYPE])
        _wrap(cls, "query_family_maps", _related)
    _wrap_ours(cls, "query_model_def", _model_def)
    _wrap_other(cls, "query_model_def", _with_modes)
    _wrap_ours(cls, "update_default_settings", _default_settings)
    _wrap_ours(cls, "fix_settings", _fixed_settings)


def _as_parent(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, answering for i2v_2_2 where it is asked about this type."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        if bound.arguments.get("base_model_type") == MODEL_TYPE:
            bound.arguments["base_model_type"] = PARENT
        return function(*bound.args, **bound.kwargs)

    return call


def _wrap(cls: type, name: str, change: Callable[[Any], Any]) -> None:
    """Pass what a static method returns through `change`."""
    function = getattr(cls, name)

    @functools.wraps(function)
    def call(*args, **kwargs):
        return change(function(*args, **kwargs))

    setattr(cls, name, staticmethod(call))


def _wrap_ours(cls: type, name: str, change: Callable[..., Any]) -> None:
    """Let `change(original, base_model_type, ...)` answer where this type is asked about."""
    function = getattr(cls, name, None)
    if function is None:
        return
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        if bound.arguments.get("base_model_type") != MODEL_TYPE:
            return function(*args, **kwargs)
        return change(function, bound)

    setattr(cls, name, staticmethod(call))


def _wrap_other(cls: type, name: str, change: Callable[..., dict]) -> None:
    """Pass what a static method says of another type that can run SVI through `change`."""
    function = getattr(cls, name)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        found = function(*args, **kwargs)
        given = signature.bind(*args, **kwargs).arguments
        base = given.get("base_model_type")
        return change(base, given["model_def"], found) if base in MODES_OF else found

    setattr(cls, name, staticmethod(call))


def _profile_folders(base_model_type: str, model_def: dict[str, Any], found: dict) -> list[str]:
    """The folders whose profiles are listed for a model: WanGP's, and ours.

    Models that come with an accelerator ask for none (under three names, in WanGP's definitions): a
    second one on top would burn the picture.
    """
    none = any(model_def.get(name) == [""] for name in NO_PROFILES)
    return [*found.get("profiles_dir", []), *([] if none else [PROFILES[base_model_type]])]


def _with_modes(base_model_type: str, model_def: dict[str, Any], found: dict) -> dict:
    """A switch for the SVI modes of this type, and the folder of their profiles."""
    modes = MODES_OF[base_model_type]
    choices = [("Off", ""), *((MODES[name].name, name) for name in modes)]
    ours = [{**MODE_CONTROL, "choices": choices}, CONTROLS[0]]
    return {
        **found,
        "svi_modes": modes,
        "custom_settings": [*found.get("custom_settings", []), *ours],
        "profiles_dir": _profile_folders(base_model_type, model_def, found),
    }


def _related(maps: tuple[dict, dict]) -> tuple[dict, dict]:
    """Settings pass between this type and i2v_2_2 when the user changes from one to the other."""
    equivalent, compatible = maps
    compatible = {**compatible, PARENT: [*compatible.get(PARENT, []), MODEL_TYPE]}
    return {**equivalent, MODEL_TYPE: PARENT}, compatible


def _model_def(function: Callable[..., dict], bound: inspect.BoundArguments) -> dict:
    found = function(*bound.args, **bound.kwargs)
    for name in ABSENT:
        found.pop(name, None)
    folders = _profile_folders(MODEL_TYPE, bound.arguments["model_def"], found)
    return {**found, **MODEL_DEF, "profiles_dir": folders}


def _default_settings(function: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
    result = function(*bound.args, **bound.kwargs)
    a_prompt_a_window = paragraphs().replace("G", "W") or 1
    bound.arguments["ui_defaults"].update(DEFAULTS, multi_prompts_gen_type=a_prompt_a_window)
    return result


def paragraphs() -> str:
    """What WanGP makes of a prompt with several lines ("PG": a video of each paragraph); "" before
    12.0, where it has numbers for it, and lines only.
    """
    try:
        from shared.utils.prompt_parser import DEFAULT_MULTI_PROMPTS_MODE
    except ImportError:
        return ""
    return str(DEFAULT_MULTI_PROMPTS_MODE)


def _fixed_settings(function: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
    """Settings of another type, or of an old version, never bring an overlap of their own."""
    result = function(*bound.args, **bound.kwargs)
    settings = bound.arguments["ui_defaults"]
    if "sliding_window_overlap" in settings:
        settings["sliding_window_overlap"] = DEFAULTS["sliding_window_overlap"]
    return result
