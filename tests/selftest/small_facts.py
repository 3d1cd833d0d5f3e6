"""Facts as a right pass would find them, small: 2x2 latents, invented numbers."""

from __future__ import annotations

import numpy as np

from wan2gp_svi.selftest.checks import DROPPED, WINDOW, Passes
from wan2gp_svi.selftest.facts import Facts, Made

T = 5


def windows(count: int, first: int = 1) -> dict[str, np.ndarray]:
    """The arrays of windows `first`... of a chain, numbered from 1."""
    arrays: dict[str, np.ndarray] = {}
    for i in range(3):
        arrays[f"anchor{i}"] = np.random.default_rng(i).uniform(-1, 1, (3, 16, 16)).astype("f4")
    for index in range(1, 5):
        rng = np.random.default_rng(100 + index)
        noise, latents = (rng.normal(size=(16, T, 2, 2)).astype("f4") for _ in range(2))
        decoded = rng.integers(0, 255, (3, WINDOW, 16, 16)).astype("f4")
        arrays |= {f"noise{index}": noise[None], f"torch{index}": noise[None].copy()}
        arrays |= {f"latents{index}": latents, f"decoded{index}": decoded}
        arrays[f"attended{index}"] = rng.normal(size=(T * 4, 8)).astype("f4")
        y = np.zeros((20, T, 2, 2), "f4")
        y[:4, 0] = 1
        picture = arrays["anchor0" if index == 1 else "anchor2"]
        encoding = picture.reshape(-1)[: 16 * 4].reshape(16, 1, 2, 2)
        y[4:, 0] = encoding[:, 0]
        if index > 1:
            y[4:, 1] = arrays[f"latents{index - 1}"][:, -1]
        if index in (1, 2):
            arrays[f"seen{index}_0"] = picture[:, None]
            arrays[f"encoding{index}_0"] = encoding
        arrays[f"y{index}"] = y
    shift = first - 1
    kept: dict[str, np.ndarray] = {}
    parts = []
    for k in range(1, count + 1):
        for name in ("y", "noise", "torch", "latents", "decoded", "attended"):
            kept[f"{name}{k}"] = arrays[f"{name}{k + shift}"].copy()
        for name in ("seen", "encoding"):
            if f"{name}{k + shift}_0" in arrays:
                kept[f"{name}{k}_0"] = arrays[f"{name}{k + shift}_0"].copy()
        parts.append(kept[f"decoded{k}"][:, 0 if k == 1 else DROPPED :])
    kept["delivered"] = np.concatenate(parts, axis=1)
    return kept | {name: array for name, array in arrays.items() if name.startswith("anchor")}


def made(count: int, frames: int, arrays: dict[str, np.ndarray]) -> Made:
    return Made(ok=True, windows=count, frames=frames, prompts=["x"] * count, arrays=arrays)


def right() -> Passes:
    """Passes in which everything is as it must be."""
    timed, other = windows(2), windows(2)
    other["attended2"][12:20] += 1
    other["latents2"][:, 3:] += 1
    acts = windows(1)
    acts["latents1"] = acts["latents1"] + 1
    scenarios = {
        "four": made(4, 53, windows(4)),
        "two": made(2, 29, windows(2)),
        "continued": made(2, 53, windows(2, first=3)),
        "timed": made(2, 29, timed),
        "timed other": made(2, 29, other),
        "without lora": made(1, 17, windows(1)),
        "lora": made(1, 17, acts),
        "lora renamed": made(1, 17, {name: array.copy() for name, array in acts.items()}),
        "image": made(2, 33, windows(2)),
    }
    names = ("attach_wgp", "conditioning", "window_frames", "window_saved")
    host = {"wangp": "12.60", "device": "CPU"}
    svi = Facts(scenarios, dict.fromkeys(names, 20), host)
    return Passes(svi, Facts({"image": made(2, 33, windows(2))}, {}, host))
