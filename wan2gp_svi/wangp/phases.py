"""Three guidance phases before WanGP 10.0, for a model that brings LoRAs of its own.

SVI 2 Pro's two LoRAs have the multipliers "1;0" and "0;1": high noise and low noise. In a schedule
of three phases one transformer serves two of them. From 10.0 on WanGP reads the two numbers so;
before, it wants three and refuses to generate. Here the two are written out as three.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from wan2gp_svi.wangp.run import current
from wan2gp_svi.wangp.wrapping import wrap


def attach(wgp: dict[str, Any]) -> None:
    """Wrap `parse_loras_multipliers` in wgp.py's globals, where it does not take two numbers."""
    parse = wgp.get("parse_loras_multipliers")
    if parse is not None and "model_switch_phase" not in inspect.signature(parse).parameters:
        wrap(wgp, "parse_loras_multipliers", _parsed)


def _parsed(original: Callable[..., Any], multipliers: Any, *args: Any, **kwargs: Any) -> Any:
    """What WanGP makes of multipliers, in a run of ours written out for it before."""
    run, phases = current(), kwargs.get("nb_phases")
    if run is not None and phases == 3 and isinstance(multipliers, list):
        multipliers = in_three_phases(multipliers, run.switch_phase)
    return original(multipliers, *args, **kwargs)


def in_three_phases(multipliers: Sequence[Any], switch_phase: Any) -> list[Any]:
    """Each "high;low" as "high;high;low", or "high;low;low" where the models switch after phase 1.

    `switch_phase` 1 or 2 is the phase after which the low-noise model takes over. All else, numbers
    and multipliers with another count of phases, stays as it is.
    """
    found = []
    for multiplier in multipliers:
        parts = multiplier.split(";") if isinstance(multiplier, str) else []
        if len(parts) == 2:
            parts.insert(1, parts[0] if switch_phase == 2 else parts[1])
            multiplier = ";".join(parts)
        found.append(multiplier)
    return found
