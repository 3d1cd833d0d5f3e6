"""Warnings about a choice of LoRAs, before a video is made with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wan2gp_svi.errors import UserError
from wan2gp_svi.lora.inspect import Base, base_model, read_plan


def phases(multipliers: str, count: int) -> list[list[bool]]:
    """For each of `count` files and each phase: is it on at any step?

    WanGP's notation (docs/LORAS.md there): files are separated by spaces, lines or |, phases by ;
    and steps by commas; # begins a comment line. One value is for all phases, a missing one is 1.
    What is no number counts as on: WanGP itself refuses it.
    """

    def is_on(text: str) -> bool:
        try:
            return any(float(step.split(":")[0]) != 0 for step in text.split(",") if step)
        except ValueError:
            return True

    lines = [line for line in multipliers.splitlines() if not line.startswith("#")]
    words = " ".join(lines).replace("|", " ").split()
    words += ["1"] * (count - len(words))
    return [[is_on(phase) for phase in word.split(";")] for word in words[:count]]


def _model(name: str) -> Base:
    """What WanGP's name of a model type says, e.g. i2v_2_2_svi2pro or t2v_1.3B."""
    lower = name.lower()
    if "5b" in lower or "ti2v" in lower:
        return Base(size="5B", version="2.2")
    if "1.3b" in lower:
        return Base(size="1.3B", version="2.1")
    task = next((task for task in ("i2v", "t2v") if task in lower), None)
    return Base(size="14B", version="2.2" if "2_2" in lower else "2.1", task=task)


def _warnings(path: Path, on: list[bool], model: Base) -> list[str]:
    name = path.name
    header, plan = read_plan(path)
    base = base_model(header, plan)
    if base.size and base.size != model.size:
        return [f"{name} is for {base}, but the chosen model is Wan {model.version} {model.size}."]
    if model.version != "2.2" or model.size != "14B" or not any(on):
        return []
    high, low = on[0], on[-1]
    if base.version == "2.1":
        return [
            f"{name} is for Wan 2.1, which seldom works on Wan 2.2's high-noise model: use it with "
            'the multiplier "0;1", for the low-noise model only.'
        ] * high
    if base.noise == "high" and low:
        return [
            f'{name} is for the high-noise model: give it the multiplier "1;0", not "{_text(on)}".'
        ]
    if base.noise == "low" and high:
        return [
            f'{name} is for the low-noise model: give it the multiplier "0;1", not "{_text(on)}".'
        ]
    return []


def _text(on: list[bool]) -> str:
    return ";".join(str(int(phase)) for phase in on)


def check_selection(files: Sequence[Path | str], multipliers: str, model: str) -> list[str]:
    """Sentences about what is probably wrong with a choice of LoRAs; none if it looks right.

    `files`: the LoRA files. `multipliers`: as in WanGP's field, e.g. "1;0 0;1". `model`: WanGP's
    name of the model type. Notices a high-noise file on the low-noise model and the reverse, a
    Wan 2.1 LoRA on Wan 2.2's high-noise model, one for a model of another size, and a file that is
    no LoRA or cannot be read. Reads headers only; never raises for a bad file.
    """
    result = []
    for path, on in zip(files, phases(multipliers, len(files)), strict=True):
        try:
            result += _warnings(Path(path), on, _model(model))
        except UserError as error:
            result.append(str(error))
    return result
