"""WanGP's names for the models that run SVI, and ours in its settings. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from wan2gp_svi.svi.modes import MODES

PRO, WAN_2_1, WAN_2_2 = "i2v_2_2_svi2pro", "i2v", "i2v_2_2"
"""Model types: SVI 2.0 Pro, Wan 2.1 and Wan 2.2 Image2video 14B."""
FUN_INP = "fun_inp"
"""Model type: Wan 2.1 Fun InP 14B, which is told of a window as `WAN_2_1` is."""
MULTITALK = "multitalk"
"""Model type: Wan 2.1 Image2video with the MultiTalk module."""
FIVE_B = "ti2v_2_2"
"""Model type: Wan 2.2 TextImage2video 5B. It has no channels for y: it is told in place."""
DANCE = "i2v_svi_dance"
"""The model of SVI-Dance: a definition of ours (profiles/finetunes/) of the type `WAN_2_1`."""
PARENT = WAN_2_2
"""The type that SVI 2.0 Pro is in all that is not special about it."""
PREFIX = "svi_"
"""What the names of our entries in `custom_settings` begin with."""
VIDEO_ID = PREFIX + "id"
"""Entry in a video's `custom_settings` that names its hand-over: a fact of the video, no setting.

There every WanGP accepts it. Before 0.2 it was a setting of its own, `OLD_KEY`: {"id": ...}.
"""
OLD_KEY = "svi"
"""From 13.14 on WanGP refuses tasks with a setting that it does not know, such as this one."""


@dataclass(frozen=True, slots=True)
class Model:
    """A WanGP model that runs SVI.

    `name` is the page's; `modes` are those of svi/modes.py that it can be put into, none where SVI
    is all that it does: then `own` is its mode, whose LoRA comes with it. `has_low_noise`: a
    second transformer takes the low noise (Wan 2.2); `folder`, under WanGP's profiles/, holds the
    profiles that its dropdown lists.
    """

    name: str
    modes: tuple[str, ...]
    has_low_noise: bool
    folder: str
    own: str = ""


def _modes(wan: str) -> tuple[str, ...]:
    """The modes of a version of Wan that hand over frames."""
    return tuple(
        name
        for name, mode in MODES.items()
        if mode.wan == wan and mode.motion_frames and not mode.skeleton
    )


MODELS = {
    PRO: Model("Wan2.2 SVI 2 Pro", (), True, "svi_2_pro", own="pro"),
    WAN_2_1: Model("Wan2.1 Image2video 14B", _modes("2.1"), False, "svi_wan_2_1"),
    WAN_2_2: Model("Wan2.2 Image2video 14B", _modes("2.2"), True, "svi_wan_2_2"),
    FUN_INP: Model("Fun InP image2video 14B", ("shot", "film"), False, "svi_fun_inp"),
    MULTITALK: Model("Wan2.1 Multitalk 480p", _modes("2.1 MultiTalk"), False, "svi_talk"),
    FIVE_B: Model(
        "Wan2.2 TextImage2video 5B",
        tuple(name for name, mode in MODES.items() if mode.in_place),
        False,
        "svi_wan_2_2_5b",
    ),
    DANCE: Model("Wan2.1 SVI Dance 480p", (), False, "svi_dance", own="dance"),
}
FOLDERS = {model.folder: model_type for model_type, model in MODELS.items()}
"""The model type of each folder of profiles."""


def modes_of(model_type: str) -> tuple[str, ...]:
    """The SVI modes that a base model type can be put into; none for a type that is not SVI's."""
    return MODELS[model_type].modes if model_type in MODELS else ()
