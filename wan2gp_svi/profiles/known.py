"""What a profile may hold: the LoRA files, the names of settings and their ranges.

Names of files and settings are facts of Hugging Face and of WanGP 9.3 to 12.60. The models and
their modes are those of wangp/names.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.wangp.names import DANCE, FUN_INP, MODELS, MULTITALK, PRO, WAN_2_1, WAN_2_2


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA file: the models it fits, and SVI's mode or, for an accelerator, its name."""

    models: tuple[str, ...]
    mode: str = ""
    accelerator: str = ""


_HUB = "https://huggingface.co/{}.safetensors"
_MEEP_2_1 = "DeepBeepMeep/Wan2.1/resolve/main/loras_accelerators/"
_MEEP_2_2 = "DeepBeepMeep/Wan2.2/resolve/main/"
_VITA = "vita-video-gen/svi-model/resolve/main/"
_BOTH_2_2 = (PRO, WAN_2_2)
_ALL_2_1 = (WAN_2_1, FUN_INP, DANCE, MULTITALK)
_HIGH_2_2 = _MEEP_2_2 + "loras_accelerators/Wan2.2_I2V_A14B_HIGH_"
_LOW_2_2 = _MEEP_2_2 + "loras_accelerators/Wan2.2_I2V_A14B_LOW_"
_RANK_64 = "Wan21_I2V_14B_lightx2v_cfg_step_distill_lora_rank64"

_ACCELERATORS = {
    _MEEP_2_1 + "Wan2.1_I2V_14B_FusionX_LoRA": Lora(_ALL_2_1, accelerator="FusioniX"),
    _MEEP_2_1 + _RANK_64: Lora(_ALL_2_1, accelerator="lightx2v"),
    _HIGH_2_2 + "4steps_lora_rank64_Seko_V1_forKJ": Lora(_BOTH_2_2, accelerator="Lightning"),
    _LOW_2_2 + "4steps_lora_rank64_Seko_V1_forKJ": Lora(_BOTH_2_2, accelerator="Lightning"),
    _HIGH_2_2 + "lightx2v_MoE_distill_lora_rank_64_bf16": Lora(_BOTH_2_2, accelerator="lightx2v"),
}


def _model_of(mode: str) -> str:
    """The model type that runs an SVI mode."""
    return next(name for name, model in MODELS.items() if mode in (*model.modes, model.own))


def _published() -> dict[str, Lora]:
    """The authors' LoRA files; those of Pro lie in WanGP's own place as well."""
    found = {}
    for name, mode in MODES.items():
        for file in mode.files:
            places = [_VITA + file]
            if _model_of(name) == PRO:
                places.append(_MEEP_2_2 + file.rsplit("/", 1)[-1])
            also = (FUN_INP,) if name in MODELS[FUN_INP].modes else ()
            found.update(dict.fromkeys(places, Lora((_model_of(name), *also), name)))
    return found


LORAS = {_HUB.format(name): lora for name, lora in {**_published(), **_ACCELERATORS}.items()}
"""The LoRA files that this extension's own profiles name, by address."""

SETTINGS = frozenset(
    """
    NAG_alpha NAG_scale NAG_tau activated_loras apg_switch audio_guidance_scale
    cfg_star_switch cfg_zero_step denoising_strength embedded_guidance_scale flow_shift force_fps
    guidance2_scale guidance3_scale guidance_phases guidance_scale image_prompt_type
    loras_multipliers model_switch_phase multi_prompts_gen_type
    negative_prompt num_inference_steps prompt prompt_enhancer remove_background_images_ref
    repeat_generation resolution sample_solver seed skip_steps_cache_type skip_steps_multiplier
    skip_steps_start_step_perc sliding_window_color_correction_strength
    sliding_window_discard_last_frames sliding_window_overlap sliding_window_overlap_noise
    sliding_window_size switch_threshold switch_threshold2 video_length video_prompt_type
    """.split()  # noqa: SIM905
)
"""Settings that every WanGP from 9.3 to 12.60 takes; which ones one takes is read from it."""
ALWAYS = frozenset({"help", "model_type", "base_model_type", "settings_version", "type"})
"""Keys that describe a profile and are no settings."""
CUSTOM = "custom_settings"
"""Ours; WanGP has it since 10.80, and the bridge reads it before."""
SOLVERS = ("unipc", "euler", "dpm++", "causvid", "lcm")
"""Solvers of WanGP's Wan models."""

NUMBERS = {
    "num_inference_steps": (1, 100),
    "guidance_scale": (1, 20),
    "guidance2_scale": (1, 20),
    "guidance3_scale": (1, 20),
    "guidance_phases": (1, 3),
    "audio_guidance_scale": (1, 20),
    "model_switch_phase": (1, 2),
    "switch_threshold": (0, 1000),
    "switch_threshold2": (0, 1000),
    "flow_shift": (1, 25),
    "sliding_window_size": (5, 1000),
    "sliding_window_overlap": (0, 97),
    "sliding_window_discard_last_frames": (0, 20),
    "sliding_window_color_correction_strength": (0, 1),
    "multi_prompts_gen_type": (0, 2),
    "remove_background_images_ref": (0, 1),
}
"""Settings that are numbers, and the ranges of the page's controls."""
WHOLE = frozenset(
    """
    num_inference_steps guidance_phases model_switch_phase sliding_window_size
    sliding_window_overlap sliding_window_discard_last_frames multi_prompts_gen_type
    remove_background_images_ref
    """.split()  # noqa: SIM905
)
"""Those of them that are whole numbers."""
_SWITCHED = [mode for model in MODELS.values() for mode in model.modes]
OWN = {
    "svi_mode": re.compile("|".join(["", *map(re.escape, _SWITCHED)])),
    "svi_seeds": re.compile(r"|new|same|\d+(\s*[,; ]\s*\d+)*"),
    "svi_anchor_strength": re.compile(r"[01](\.\d+)?|2(\.0+)?"),
    "svi_motion_latents": re.compile(r"[1-4]"),
    "svi_motion_strength": re.compile(r"[01](\.\d+)?|2(\.0+)?"),
    "svi_anchor_schedule": re.compile(r"|\d+(\s*[,; ]\s*\d+)*"),
    "svi_keep": re.compile(r"\d{1,4}|10000"),
    "svi_report": re.compile(r"[01]"),
    "svi_length": re.compile(r"|exact|whole windows"),
}
"""This extension's settings and what their values look like (wan2gp_svi/wangp/settings.py)."""
TEXTS = frozenset({"svi_mode", "svi_seeds", "svi_anchor_schedule", "svi_length"})
"""Those whose values are text also where they look like a number."""
