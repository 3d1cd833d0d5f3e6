"""The model type `i2v_2_2_svi2pro`: where WanGP has it, made right; where it has not, made.

WanGP asks `family_handler`, a class of static methods, everything about its models. Before 10.0 it
does not know this type: each method then answers for `i2v_2_2`, whose transformers SVI 2.0 Pro
uses, and what is special about it is added. The model's definition (its LoRAs, its name) is
finetunes/i2v_2_2_svi2pro.json.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.wangp.names import DANCE, FIVE_B, MODELS, MULTITALK, PARENT, PRO, modes_of
from wan2gp_svi.wangp.settings import CONTROLS, HELP, MODE_CONTROL
from wan2gp_svi.wangp.wrapping import arguments, wrap

INFOS = "\n".join(
    [
        "SVI chains windows: each sees an anchor (the start image, or an image of its own) and the"
        " end of the window before, and so a video can go on for ever.",
        "",
        "1. A profile from the list, and **Apply**: it sets steps and accelerators.",
        "2. A start image, a prompt for each window, the number of frames. A window is 81 frames"
        " (5 s), and each later one adds 76. The tab **SVI** shows the windows before you wait.",
        "3. **Generate**; later **Continue Last Video**.",
        "",
        *(f"- **{control['name']}**: {HELP[control['id']]}" for control in CONTROLS),
    ]
)
"""Help that WanGP shows behind the model's name (from 12 on)."""
IN_A_WORD = {
    "pro": "each window sees an anchor image and the last latent of the window before.",
    "2.0": "each window sees the last frame before it, and the start image behind that.",
    "shot": "one calm scene without an end. The first prompt serves all windows.",
    "film": "a story of many scenes. Each window goes on from the last five frames; nothing holds"
    " it.",
    "tom": "cartoons. Each window goes on from the last frame; nothing holds it.",
    "unified": "one lively scene, from the last five frames and the start image. A prompt serves"
    " two windows.",
    "dance": "the person of the start image moves as the control video does, as long as you like.",
    "talk": "the face of the start image speaks what it hears, as long as the sound lasts.",
}
"""What each mode is for."""
GIVEN = {
    DANCE: "A start image that shows the whole person, and a control video: a person who moves, or"
    " a skeleton that was drawn before.",
    MULTITALK: "A start image of the face, and a voice to follow.",
    FIVE_B: "A start image, or words alone. No weights of SVI for this model are public: choose the"
    " LoRA that you have trained under Loras.",
}
"""What a model needs that is not the same for all."""
PROMPT_INFOS = """One paragraph a window; the last one serves the rest.

Times inside a window act: `A woman in a kitchen. (at 0 s: she pours tea) (at 2.5 s: she laughs)`.
What stands outside the parentheses holds all the time. `(at 8 seconds of video: ...)` counts from
the start of the whole video.

The tab **SVI** shows which words act when, and marks mistakes."""
"""The same behind the prompt's label."""

LONGEST = {"frames_selection_maximum": 57_601}
"""Where the page's slider ends: an hour at 16 frames a second."""
ANCHORS: dict[str, Any] = {
    "image_ref_choices": {
        "choices": [("No Anchor Image", ""), ("Anchor Images For Each Window", "KI")],
        "letters_filter": "KI",
        "show_label": False,
    },
    "all_image_refs_are_background_ref": True,
    "no_background_removal": True,
}
"""Anchor images on the page."""
MODEL_DEF: dict[str, Any] = {
    "infos": INFOS,
    "prompt_infos": PROMPT_INFOS,
    "svi2pro": True,
    "parent_model_type": PARENT,
    "image_prompt_types_allowed": "SEVL",
    **ANCHORS,
    **LONGEST,
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
VIDEO_TO_VIDEO = (
    "i2v_v2v",
    "extract_guide_from_window_start",
    "guide_custom_choices",
    "mask_preprocessing",
)
"""What i2v_2_2 offers and WanGP's own SVI 2 Pro does not: a control video that steers it."""
V2V_DEFAULTS = ("denoising_strength", "masking_strength")
"""Settings of it that i2v_2_2 proposes values for."""

SKELETONS: dict[str, Any] = {
    "guide_preprocessing": {
        "selection": ["PV", "V"],
        "labels": {"PV": "Pose of the person in it", "V": "A skeleton, as it is"},
        "label": "Control Video",
    },
    # Each window is handed the control video from its own first frame on.
    "extract_guide_from_window_start": True,
    **LONGEST,
}
"""What SVI-Dance offers and Wan 2.1 Image2video does not."""

NO_PROFILES = ("profiles_dir", "profile_dirs", "settings_dir")

DEFAULTS: dict[str, Any] = {
    "video_length": 157,  # two windows: a newcomer sees SVI act
    "sliding_window_size": 81,
    "sliding_window_overlap": 4,
    "sliding_window_color_correction_strength": 0,
    "remove_background_images_ref": 0,
}
"""Settings that a fresh WanGP proposes for this type."""


def attach(namespace: dict[str, Any]) -> None:
    """Wrap the static methods of `family_handler` in wan_handler.py."""
    handler = namespace["family_handler"]
    if PRO not in handler.query_supported_types():
        for name, method in list(vars(handler).items()):
            if isinstance(method, staticmethod) and _asks_type(method.__func__):
                wrap(handler, name, _as_parent)
        wrap(handler, "query_supported_types", _types)
        wrap(handler, "query_family_maps", _related)
    wrap(handler, "query_model_def", _model_def)
    wrap(handler, "update_default_settings", _default_settings)
    wrap(handler, "fix_settings", _fixed_settings)


def _asks_type(method: Callable[..., Any]) -> bool:
    return "base_model_type" in inspect.signature(method).parameters


# -- where WanGP does not know this type (before 10.0) ------------------------------------------


def _as_parent(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a method says of i2v_2_2, where it is asked about this type."""
    given = inspect.signature(method).bind(*args, **kwargs)
    if given.arguments.get("base_model_type") == PRO:
        given.arguments["base_model_type"] = PARENT
    return method(*given.args, **given.kwargs)


def _types(method: Callable[..., list], *args: Any, **kwargs: Any) -> list:
    """The types that there are, and this one."""
    return [*method(*args, **kwargs), PRO]


def _related(method: Callable[..., tuple[dict, dict]], *args: Any, **kwargs: Any) -> tuple:
    """Settings pass between this type and i2v_2_2 when the user changes from one to the other."""
    equivalent, compatible = method(*args, **kwargs)
    compatible = {**compatible, PARENT: [*compatible.get(PARENT, []), PRO]}
    return {**equivalent, PRO: PARENT}, compatible


# -- on every version ---------------------------------------------------------------------------


def _model_def(method: Callable[..., dict], *args: Any, **kwargs: Any) -> dict:
    """What is special about this type; the SVI modes of the others that run SVI."""
    found = method(*args, **kwargs)
    given = arguments(method, args, kwargs)
    base_type = str(given.get("base_model_type"))
    if base_type == PRO:
        parent = method(**{**given, "base_model_type": PARENT})
        control = {name: parent[name] for name in VIDEO_TO_VIDEO if name in parent}
        folders = _profile_folders(PRO, given, found)
        return {**found, **control, **MODEL_DEF, "profiles_dir": folders}
    if given["model_def"].get("svi_mode") == MODELS[DANCE].own:
        folders = _profile_folders(DANCE, given, found)
        settings = [*found.get("custom_settings", []), CONTROLS[0]]
        help_ = {"infos": infos(DANCE), "prompt_infos": PROMPT_INFOS}
        told = {**SKELETONS, **help_, "custom_settings": settings}
        return {**found, **told, "profiles_dir": folders}
    if modes_of(base_type):
        return {**found, **_modes(base_type, given, found)}
    return found


def infos(model_type: str) -> str:
    """Help behind the name of a model that runs SVI beside other things, or one mode of it."""
    model = MODELS[model_type]
    takes = "" if model.own else " **SVI Off** takes both away."
    return "\n".join(
        [
            "SVI chains windows, and so a video can go on for ever.",
            "",
            f"1. A profile from the list, and **Apply**: it sets the mode and its LoRA.{takes}",
            f"2. {GIVEN.get(model_type, 'A start image.')} A prompt for each window, the number of"
            " frames. The tab **SVI** shows the windows before you wait.",
            "3. **Generate**; later **Continue Last Video**.",
            "",
            *(
                f"- **{MODES[name].name}**: {IN_A_WORD[name]}"
                for name in model.modes or (model.own,)
            ),
        ]
    )


def _modes(base_type: str, given: Mapping[str, Any], found: dict) -> dict[str, Any]:
    """A switch for the SVI modes of a type, and the folder of their profiles."""
    modes = modes_of(base_type)
    choices = [("Off", ""), *((MODES[name].name, name) for name in modes)]
    switch = [{**MODE_CONTROL, "choices": choices}, CONTROLS[0]]
    anchored = not all(MODES[name].motion_frames for name in modes)
    if anchored:  # all but strengths, which do not act in place
        switch += [control for control in CONTROLS[1:] if "strength" not in control["id"]]
    speaks = any(MODES[name].sound for name in modes)
    return {
        **(ANCHORS if anchored else {}),
        **(LONGEST if speaks or anchored else {}),
        "svi_modes": modes,
        "infos": found.get("infos") or infos(base_type),
        "custom_settings": [*found.get("custom_settings", []), *switch],
        "profiles_dir": _profile_folders(base_type, given, found),
    }


def _profile_folders(base_type: str, given: Mapping[str, Any], found: dict) -> list[str]:
    """The folders whose profiles are listed for a model: WanGP's, and ours.

    Models that come with an accelerator ask for none (under three names, in WanGP's definitions): a
    second one on top would burn the picture.
    """
    none = any(given["model_def"].get(name) == [""] for name in NO_PROFILES)
    return [*found.get("profiles_dir", []), *([] if none else [MODELS[base_type].folder])]


def _default_settings(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a fresh WanGP proposes for this type."""
    result = method(*args, **kwargs)
    given = arguments(method, args, kwargs)
    if given.get("base_model_type") == PRO:
        a_prompt_a_window = paragraphs().replace("G", "W") or 1
        proposed: dict[str, Any] = {}
        method(**{**given, "base_model_type": PARENT, "ui_defaults": proposed})
        given["ui_defaults"].update(
            {name: proposed[name] for name in V2V_DEFAULTS if name in proposed},
            **DEFAULTS,
            multi_prompts_gen_type=a_prompt_a_window,
        )
    return result


def _fixed_settings(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Settings of another type, or of an old version, never bring an overlap of their own."""
    result = method(*args, **kwargs)
    given = arguments(method, args, kwargs)
    settings = given.get("ui_defaults") or {}
    if given.get("base_model_type") == PRO and "sliding_window_overlap" in settings:
        settings["sliding_window_overlap"] = DEFAULTS["sliding_window_overlap"]
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
