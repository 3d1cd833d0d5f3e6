"""This extension's own settings: on WanGP's page since 10.80, in the tab "SVI", in profiles.

WanGP keeps them in `custom_settings`, {"svi_seeds": "new", ...}. Its page shows five of them at
most and no help beside them, so only those that many need stand there (`CONTROLS`); the tab shows
all, with what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.windows import LARGEST_SEED, seeds_in, whole_numbers
from wan2gp_svi.wangp.names import PREFIX, VIDEO_ID

WHOLE, EXACT = "whole windows", "exact"
CONTROLS: list[dict[str, Any]] = [
    {
        "id": "svi_seeds",
        "name": "Seeds",
        "label": "Seeds (new, same, or 7, 49, 91)",
        "type": "text",
        "default": "new",
    },
    {
        "id": "svi_length",
        "name": "Length",
        "label": "Length",
        "type": "dropdown",
        "choices": [("Whole windows", WHOLE), ("Exact", EXACT)],
        "default": WHOLE,
    },
    {
        "id": "svi_anchor_strength",
        "name": "Anchor strength",
        "label": "Anchor strength (lower: freer motion)",
        "type": "float",
        "default": 1.0,
        "min": 0.0,
        "max": 2.0,
        "inc": 0.05,
    },
    {
        "id": "svi_anchor_schedule",
        "name": "Anchor schedule",
        "label": "Anchor schedule (empty, or 1, 1, 2)",
        "type": "text",
        "default": "",
    },
]
"""What WanGP's page shows of a model that runs SVI 2 Pro."""
IN_TAB: list[dict[str, Any]] = [
    {
        "id": "svi_motion_latents",
        "name": "Motion latents",
        "label": "Motion latents",
        "type": "int",
        "default": 1,
        "min": 1,
        "max": 4,
        "inc": 1,
    },
    {
        "id": "svi_motion_strength",
        "name": "Motion latent strength",
        "label": "Motion latent strength",
        "type": "float",
        "default": 1.0,
        "min": 0.0,
        "max": 2.0,
        "inc": 0.05,
    },
    {
        "id": "svi_keep",
        "name": "Hand-over files kept",
        "label": "Hand-over files kept",
        "type": "int",
        "default": 0,
        "min": 0,
        "max": 100,
        "inc": 1,
    },
    {
        "id": "svi_report",
        "name": "Report at the end",
        "label": "Report at the end",
        "type": "dropdown",
        "choices": [("No", 0), ("Yes", 1)],
        "default": 0,
    },
]
"""What only the tab and files have."""
HELP = {
    "svi_seeds": "The seed of each window. new (advised): another one for each, because repeated"
    " noise leaves marks that grow; same: one for all; or a list such as 7, 49, 91.",
    "svi_length": "Whole windows: a last window that would be hardly begun is left out. Exact: the"
    " video is as long as was asked, to within 3 frames.",
    "svi_anchor_strength": "1 is the authors' way. Below 1 frees the camera and the motion, above 1"
    " holds the likeness (character sheets).",
    "svi_anchor_schedule": "Which anchor image serves each window, such as 1, 1, 2 (0: the start"
    " image). Empty: image 1, 2, 3 ..., and the last one serves the rest.",
    "svi_motion_latents": "How much of the window before is seen. 1 is what SVI was trained with;"
    " more follows a motion longer, and each adds 4 frames fewer a window.",
    "svi_motion_strength": "1 is the authors' way; below 1 loosens the join between windows.",
    "svi_keep": "How many hand-over files stay of videos that WanGP deletes (where it is configured"
    " to keep no intermediate windows): with them, these windows can be made again.",
    "svi_report": "A run of several windows ends with the drift report's line in the console: the"
    " whole video is read once more for it.",
}
"""What each setting does, for the tab."""


MODE_CONTROL: dict[str, Any] = {
    "id": "svi_mode",
    "name": "SVI mode",
    "label": "SVI mode (the profiles set it)",
    "type": "dropdown",
    "default": "",
}
"""On models that run SVI beside other things; `choices` are added for each."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may set; the defaults are the authors' way."""

    seeds: str | tuple[int, ...] = "new"
    anchor_strength: float = 1.0
    motion_latents: int = 1
    motion_strength: float = 1.0
    anchor_schedule: tuple[int, ...] = ()
    exact: bool = False
    keep: int = 0
    """Hand-over files of intermediate videos that stay when WanGP deletes those (continuing.py)."""
    report: bool = False
    """Whether a run of several windows ends with the drift report's one line (task.py)."""


def read(custom: Mapping[str, Any] | None) -> Settings:
    """The settings in WanGP's `custom_settings`; other models' keys there are not looked at.

    Raises `UserError` with the control's name for a value that cannot be used.
    """
    values = {
        key.removeprefix(PREFIX): value
        for key, value in ours(custom).items()
        if value not in (None, "")
    }
    length = str(values.get("length", WHOLE)).strip().lower()
    if length not in (EXACT, WHOLE):
        raise UserError(f"{called('length')} can be '{EXACT}' or '{WHOLE}', not {length!r}.")
    return Settings(
        seeds=_seeds(values.get("seeds", "new")),
        anchor_strength=_number("anchor_strength", values.get("anchor_strength", 1.0), 0, 2),
        motion_latents=int(_number("motion_latents", values.get("motion_latents", 1), 1, 4)),
        motion_strength=_number("motion_strength", values.get("motion_strength", 1.0), 0, 2),
        anchor_schedule=_whole_numbers("anchor_schedule", values.get("anchor_schedule", ())),
        exact=length == EXACT,
        keep=int(_number("keep", values.get("keep", 0), 0, 10_000)),
        report=bool(_number("report", values.get("report", 0), 0, 1)),
    )


def ours(custom: Any) -> dict[str, Any]:
    """The settings of ours in WanGP's `custom_settings`; none where it holds something else."""
    if not isinstance(custom, Mapping):
        return {}
    return {k: v for k, v in custom.items() if k.startswith(PREFIX) and k != VIDEO_ID}


def read_mode(custom: Mapping[str, Any] | None) -> str:
    """The SVI mode in `custom_settings`, "" where there is none."""
    return str((custom or {}).get(PREFIX + "mode") or "").strip().lower()


def called(name: str) -> str:
    """What the page and the tab call a setting, and its name in files."""
    key = PREFIX + name
    named = {control["id"]: control["name"] for control in (*CONTROLS, *IN_TAB)}
    return f"{named[key]} ({key})"


def _seeds(value: Any) -> str | tuple[int, ...]:
    try:
        return seeds_in(value)
    except ValueError:
        raise UserError(
            f"{called('seeds')} can be 'new', 'same', or whole numbers up to {LARGEST_SEED},"
            f" not {value!r}."
        ) from None


def _number(name: str, value: Any, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        raise UserError(f"{called(name)} must be a number from {low} to {high}, not {value!r}.")
    return number


def _whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    try:
        return whole_numbers(value)
    except ValueError:
        raise UserError(
            f"{called(name)} must be whole numbers such as '1, 2, 3', not {value!r}."
        ) from None
