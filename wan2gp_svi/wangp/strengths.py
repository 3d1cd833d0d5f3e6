"""How strong each LoRA of the form is in each window, by WanGP's own reading of the form.

WanGP takes the multipliers apart (`preparse_loras_multipliers`: "1;0" is high noise;low noise, what
is not given is 1) and says what is wrong with them (`parse_loras_multipliers`). From 12.10 on a
prompt's [/loras_mult=...] holds for its window alone (`build_frame_scheduler`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any


def names(given: Mapping[str, Any]) -> list[str]:
    """The LoRAs of a form, by the names of their files."""
    chosen = given.get("activated_loras") or []
    return [PurePosixPath(str(lora).replace("\\", "/")).stem for lora in chosen]


def of_windows(
    wgp: Mapping[str, Any], given: Mapping[str, Any], prompts: Sequence[str], windows: int
) -> list[list[str]]:
    """For each window the strength of each LoRA, as it is written: "1;0", "0.8".

    given: a task's arguments. prompts: one a window, as written; the windows after the last prompt
    have the form's strengths, for a command holds for its own window only.
    """
    count = len(names(given))
    if not count:
        return [[] for _ in range(windows)]
    usual = _split(wgp, given.get("loras_multipliers"), count)
    found = []
    for place in range(windows):
        own = _commanded(wgp, prompts[place]) if place < len(prompts) else ""
        found.append(_split(wgp, own, count) if own else usual)
    return found


def mistake(wgp: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What WanGP has against the form's multipliers; "" where it has nothing."""
    parse, count = wgp.get("parse_loras_multipliers"), len(names(given))
    text = given.get("loras_multipliers") or ""
    if parse is None or not count or not text:
        return ""
    most = (wgp["get_model_def"](given["model_type"]) or {}).get("guidance_max_phases", 0)
    phases = max(min(int(given.get("guidance_phases") or 1), most or 3), 1)
    steps = int(given.get("num_inference_steps") or 1)
    error = parse(text, count, steps, nb_phases=phases)[2]
    return str(error)


def _split(wgp: Mapping[str, Any], text: Any, count: int) -> list[str]:
    split = wgp.get("preparse_loras_multipliers")
    parts = [] if split is None or not text else [str(part) for part in split(text) if str(part)]
    return [*parts, *["1"] * count][:count]


def _commanded(wgp: Mapping[str, Any], prompt: str) -> str:
    """What a prompt's [/loras_mult=...] says, "" without one or where WanGP refuses it."""
    build = wgp.get("build_frame_scheduler")
    if build is None or "[/" not in prompt.replace(" ", ""):
        return ""
    small = {"total_frames": 81, "fps": 16, "window_size": 81, "default_overlap": 5}
    scheduler, error = build([prompt], **small, minimum=5, step=4, allow_new_shot=True)
    if error is not None or not scheduler.get("active"):
        return ""
    return str(scheduler["windows"][0].get("loras_multipliers") or "")
