"""How long a profile takes: passes through the model for one window.

A step without guidance (scale 1) is one pass, one with guidance two: with the prompt and without.
Guidance by a sound (SVI-Talk) takes another one, without the sound.
Where a phase ends depends on the noise level of each step, and so on steps, shift and thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

PASSES_OF_50_STEPS = 100


def noise_levels(steps: int, shift: float) -> list[float]:
    """The timesteps of WanGP's Euler solver: 1000 down to 1, evenly, then shifted.

    t' = s*t / (1 + (s-1)*t) with t from 0 to 1, as in every flow model.
    """
    even = [1000.0] if steps == 1 else [1000 - 999 * i / (steps - 1) for i in range(steps)]
    return [shift * t / (1 + (shift - 1) * t / 1000) for t in even]


def steps_of_phases(profile: Mapping[str, Any]) -> list[int]:
    """How many steps each guidance phase has; a phase ends at the first level <= its threshold."""
    levels = noise_levels(profile["num_inference_steps"], profile["flow_shift"])
    phases = profile["guidance_phases"]
    ends = [profile["switch_threshold"]] if phases >= 2 else []
    ends += [profile["switch_threshold2"]] if phases >= 3 else []
    starts = [sum(level > end for level in levels) for end in ends]
    cuts = [0, *starts, len(levels)]
    return [end - start for start, end in pairwise(cuts)]


def passes(profile: Mapping[str, Any]) -> int:
    """Passes through the model that one window takes."""
    scales = [profile.get(key, 1) for key in ("guidance_scale", "guidance2_scale")]
    scales.append(profile.get("guidance3_scale", 1))
    heard = profile.get("audio_guidance_scale", 1) != 1
    return sum(
        steps * ((1 if scale == 1 else 2) + heard)
        for steps, scale in zip(steps_of_phases(profile), scales, strict=False)
    )
