"""Hand-overs and frames for tests."""

from __future__ import annotations

import torch

from wan2gp_svi.svi.fingerprint import fingerprint
from wan2gp_svi.svi.handover import HandOver

WIDTH, HEIGHT = 64, 48


def film(frames: int = 20, height: int = HEIGHT, width: int = WIDTH, step: int = 3) -> torch.Tensor:
    """A moving pattern with soft edges, uint8 (3, F, H, W)."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [
        torch.stack(
            [
                128
                + 60 * torch.sin((x + step * i) / (5 + c))
                + 50 * torch.cos((y - step * i) / (7 - c))
                for i in range(frames)
            ]
        )
        for c in range(3)
    ]
    return torch.stack(waves).clamp(0, 255).to(torch.uint8)


def make(**changes) -> HandOver:
    random = torch.Generator().manual_seed(3)
    n = changes.get("motion_latents", 1)
    rows, columns = changes.get("height", HEIGHT) // 8, changes.get("width", WIDTH) // 8
    values = {
        "latents": torch.randn(16, n, rows, columns, generator=random),
        "start_anchor": torch.randn(16, 1, rows, columns, generator=random),
        "fingerprint": fingerprint(film(height=rows * 8, width=columns * 8)),
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 16.0,
        "frames": 157,
        "windows": 2,
        "window_frames": 81,
        "motion_latents": n,
        "base_seed": 7,
        "seeds_used": (7, 49),
        "prompts": ("a cat", "(at 3 seconds: sie lacht – 笑う)"),
        "model_type": "i2v_2_2_svi2pro",
        "settings": {"shift": 5.0, "steps": 8, "sampler": "euler", "tiled": False, "none": None},
        "wangp_version": "12.60",
    }
    return HandOver(**{**values, **changes})


def make_shown(**changes) -> HandOver:
    """Of a video that was enlarged twice, and given twice the frames a second."""
    large = film(height=2 * HEIGHT, width=2 * WIDTH)
    shown_as = (2 * WIDTH, 2 * HEIGHT, 32.0)
    return make(**{"shown": fingerprint(large), "shown_as": shown_as, **changes})
