"""Is a profile right? Each mistake with its file, its key and a sentence."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wan2gp_svi.profiles.host import Takes
from wan2gp_svi.profiles.known import (
    ALWAYS,
    CUSTOM,
    LORAS,
    NUMBERS,
    OWN,
    TEXTS,
    WHOLE,
)
from wan2gp_svi.wangp.names import FOLDERS, MODELS, PREFIX, Model

Profile = Mapping[str, Any]
Finding = tuple[str, str]
"""A key and a sentence."""


@dataclass(frozen=True, slots=True)
class Mistake:
    file: str
    key: str
    sentence: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.key, self.sentence) if part)

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def mistakes(path: Path, takes: Takes, ours: bool = True) -> list[Mistake]:
    """What is wrong with the profile, or model definition, in a file.

    Of `ours` more is known, and asked, than of a profile of WanGP or of a user.
    """
    profile, problem = _read(path)
    if profile is None:
        return [Mistake(path.name, "", problem)]
    if "model" in profile:
        found = [*_definition(profile), *_settings({**profile, "model": None}, takes, {"model"})]
    else:
        found = [*_settings(profile, takes), *_loras(profile, takes), *_switches(profile)]
        if ours:
            found += _ours(path, profile)
    return [Mistake(path.name, key, sentence) for key, sentence in found]


def _read(path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        profile = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except OSError as error:
        return None, f"The file cannot be read: {error.strerror}."
    except UnicodeDecodeError:
        return None, "The file is not a text file in UTF-8."
    except ValueError as error:
        return None, f"The file is not JSON as WanGP reads it: {error}."
    if not isinstance(profile, dict):
        return None, 'The file must hold settings in braces, {"name": value, ...}.'
    return profile, ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"{key!r} is given twice")
    return dict(pairs)


# -- settings -----------------------------------------------------------------------------------


def _settings(profile: Profile, takes: Takes, more: set[str] | None = None) -> Iterator[Finding]:
    known = takes.settings | ALWAYS | (more or set())
    for key, value in profile.items():
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), 1)
            hint = f" Is {near[0]} meant?" if near else ""
            yield key, f"{takes.name} has no such setting, it would be ignored.{hint}"
        elif key in NUMBERS:
            yield from _number(key, value)
    solver = profile.get("sample_solver")
    if solver is not None and solver not in takes.solvers:
        choice = ", ".join(takes.solvers)
        yield "sample_solver", f"There is no solver {solver!r}; there are {choice}."
    window = profile.get("sliding_window_size")
    if isinstance(window, int) and window % 4 != 1:
        yield "sliding_window_size", f"A window has 4k+1 frames, such as 81; {window} has not."
    custom = profile.get(CUSTOM)
    if custom is not None:
        yield from _custom(custom)


def _number(key: str, value: Any) -> Iterator[Finding]:
    low, high = NUMBERS[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        yield key, f"It must be a number, not {value!r}."
    elif not low <= value <= high:
        yield key, f"It must lie between {low} and {high}, not be {value}."
    elif key in WHOLE and value != int(value):
        yield key, f"It must be a whole number, not {value}."


def _custom(custom: Any) -> Iterator[Finding]:
    if not isinstance(custom, dict):
        yield CUSTOM, 'It must hold settings in braces, {"svi_mode": "shot"}.'
        return
    for key, value in custom.items():
        if key.startswith(PREFIX) and key not in OWN:
            near = difflib.get_close_matches(key, OWN, 1)
            hint = f" Is {near[0]} meant?" if near else ""
            yield f"{CUSTOM}.{key}", f"This extension has no such setting.{hint}"
        elif key in TEXTS and not isinstance(value, str):
            yield f"{CUSTOM}.{key}", f"It must be text, not {value!r}."
        elif key in OWN and not OWN[key].fullmatch(str(value).strip().lower()):
            yield f"{CUSTOM}.{key}", f"{value!r} is none of its values."


def _switches(profile: Profile) -> Iterator[Finding]:
    """Each phase has its guidance, and the noise levels between them go down."""
    phases = profile.get("guidance_phases", 1)
    if not isinstance(phases, int) or phases not in (1, 2, 3):
        return
    names = ("guidance_scale", "guidance2_scale", "guidance3_scale")
    if "guidance_phases" in profile:
        for name in names[:phases]:
            if name not in profile:
                yield name, f"There are {phases} guidance phases, and this one's is missing."
    for name in ("switch_threshold", "switch_threshold2")[: phases - 1]:
        if name not in profile and "guidance_phases" in profile:
            yield name, f"There are {phases} guidance phases, and where one ends is missing."
    first, second = profile.get("switch_threshold"), profile.get("switch_threshold2")
    if phases == 3 and isinstance(first, int) and isinstance(second, int) and first < second:
        yield "switch_threshold2", f"Noise goes down: it must not be above {first}."


# -- LoRAs --------------------------------------------------------------------------------------


def _loras(profile: Profile, takes: Takes) -> Iterator[Finding]:
    loras = profile.get("activated_loras", [])
    text = profile.get("loras_multipliers", "")
    if not isinstance(loras, list) or not all(isinstance(lora, str) for lora in loras):
        yield "activated_loras", "It must be a list of addresses of LoRA files."
        return
    if not isinstance(text, str):
        yield "loras_multipliers", 'It must be text, such as "1;0 0;1".'
        return
    if "activated_loras" in profile and "loras_multipliers" not in profile:
        yield "loras_multipliers", 'It is missing; write one for each LoRA, or "".'
    if text.count("|") > 1:
        yield "loras_multipliers", "There can be one | in it at most."
    multipliers = [part for part in text.replace("|", " ").split() if part]
    if len(multipliers) != len(loras):
        yield "loras_multipliers", f"{len(multipliers)} multipliers for {len(loras)} LoRAs."
    for lora in loras:
        yield from _address(lora)
    names = [lora.rsplit("/", 1)[-1] for lora in loras]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "activated_loras", f"{name} is in it twice."
    phases = profile.get("guidance_phases", 1)
    for multiplier in multipliers:
        yield from _multiplier(multiplier, phases, takes)


def _address(lora: str) -> Iterator[Finding]:
    if not lora.startswith("https://"):
        yield "activated_loras", f"{lora} has no https:// address: it could not be downloaded."
    elif not lora.endswith(".safetensors"):
        yield "activated_loras", f"{lora} is no .safetensors file."
    elif "/blob/" in lora:
        yield "activated_loras", f"{lora} is a page, not the file: write /resolve/ for /blob/."


def _multiplier(multiplier: str, phases: Any, takes: Takes) -> Iterator[Finding]:
    """One LoRA's "a", "a;b" or "a;b;c", each a number or, for steps, numbers with commas."""
    parts = multiplier.split(";")
    for number in (number for part in parts for number in part.split(",")):
        try:
            float(number)
        except ValueError:
            yield "loras_multipliers", f"{number!r} in {multiplier!r} is not a number."
    if len(parts) == 1 or not isinstance(phases, int) or len(parts) == phases:
        return
    if phases == 3 and len(parts) == 2:
        if not takes.short_multipliers:
            yield (
                "loras_multipliers",
                f"WanGP before 10.0 does not take {multiplier!r} in 3 phases: write all three.",
            )
        return
    yield "loras_multipliers", f"{multiplier!r} is for {len(parts)} phases, there are {phases}."


# -- what is asked of ours ----------------------------------------------------------------------


def _ours(path: Path, profile: Profile) -> Iterator[Finding]:
    model_type = FOLDERS.get(path.parent.name)
    if model_type is None:
        listed = ", ".join(sorted(FOLDERS))
        yield "(folder)", f"No model's dropdown lists {path.parent.name}/; they list {listed}."
        return
    model = MODELS[model_type]
    for key in ("help", "num_inference_steps", "guidance_phases", "flow_shift", "sample_solver"):
        if key not in profile:
            yield key, "It is missing: a profile must not depend on what was set before it."
    steps = profile.get("num_inference_steps")
    named = path.stem.rsplit(" - ", 1)[-1]
    if named.endswith("Steps") and named != f"{steps} Steps":
        yield "num_inference_steps", f"The file's name says {named}, it is {steps}."
    if model.has_low_noise and profile.get("guidance_phases") == 1:
        yield "guidance_phases", f"{model.name} switches models: it needs 2 or 3 phases."
    if profile.get("sliding_window_color_correction_strength", 0) != 0:
        yield "sliding_window_color_correction_strength", "It must be 0: SVI keeps colours itself."
    yield from _mode(model_type, model, profile)


def _mode(model_type: str, model: Model, profile: Profile) -> Iterator[Finding]:
    custom = profile.get(CUSTOM) or {}
    mode = custom.get("svi_mode") if isinstance(custom, dict) else None
    if model.modes and mode is None:
        yield f"{CUSTOM}.svi_mode", f'It is missing: {", ".join(model.modes)}, or "" for none.'
    elif mode and mode not in model.modes:
        yield f"{CUSTOM}.svi_mode", f"{model.name} has no mode {mode!r}."
    loras = profile.get("activated_loras")
    if loras is None:
        yield "activated_loras", "It is missing; write [] for none."
    if not isinstance(loras, list) or not all(isinstance(lora, str) for lora in loras):
        return
    for address in loras:
        lora = LORAS.get(address)
        if lora is None:
            yield "activated_loras", f"{address} is none of the published files."
        elif model_type not in lora.models:
            yield "activated_loras", f"{address} does not fit {model.name}."
        elif model.own and lora.mode:
            yield "activated_loras", f"{address} comes with the model: it would act twice."
        elif lora.mode and lora.mode != mode:
            yield "activated_loras", f"{address} is for the mode {lora.mode!r}, not {mode!r}."
    published = any(lora.mode == mode and model_type in lora.models for lora in LORAS.values())
    if mode and published and not any(a in LORAS and LORAS[a].mode == mode for a in loras):
        yield "activated_loras", f"The mode {mode!r} needs its LoRA, and none is there."


def _definition(profile: Profile) -> Iterator[Finding]:
    """A model definition (WanGP's finetunes/)."""
    model = profile["model"]
    if not isinstance(model, dict):
        yield "model", "It must hold the definition in braces."
        return
    for key in ("name", "architecture", "description", "URLs"):
        if not model.get(key):
            yield f"model.{key}", "It is missing."
    loras, multipliers = model.get("loras", []), model.get("loras_multipliers", [])
    if not isinstance(loras, list) or not isinstance(multipliers, list):
        yield "model.loras", "LoRAs and their multipliers must be lists."
        return
    if len(loras) != len(multipliers):
        yield "model.loras_multipliers", f"{len(multipliers)} for {len(loras)} LoRAs."
    for address in loras:
        if not isinstance(address, str) or address not in LORAS:
            yield "model.loras", f"{address} is none of the published files."
