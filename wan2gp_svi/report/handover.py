"""A hand-over file as people and programs read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.handover_file import SUFFIX


def described_handover(path: Path, handover: HandOver) -> dict[str, Any]:
    """What a hand-over file says, as plain values; frames and windows count from 1."""
    return {
        "file": str(path),
        "kind": "hand-over",
        "bytes": path.stat().st_size,
        "id": handover.id,
        "format": handover.format,
        "frames": handover.frames,
        "fps": handover.fps,
        "width": handover.width,
        "height": handover.height,
        "windows": handover.windows,
        "window_frames": handover.window_frames,
        "window_ends": list(handover.window_ends),
        "motion_latents": handover.motion_latents,
        "own_anchor": handover.anchor is not None,
        "anchors_used": handover.anchors_used,
        "anchor_strength": handover.anchor_strength,
        "motion_strength": handover.motion_strength,
        "seeds": handover.seeds,
        "base_seed": handover.base_seed,
        "seeds_used": list(handover.seeds_used),
        "prompts": list(handover.prompts),
        "model_type": handover.model_type,
        "wangp_version": handover.wangp_version,
        "extension_version": handover.extension_version,
    }


def as_lines(found: dict[str, Any]) -> str:
    """The same as a table for people."""
    name = Path(found["file"]).name
    video = f"{name.removesuffix(SUFFIX)}.*" if name.endswith(SUFFIX) else "not told by its name"
    ends = found["window_ends"]
    latents, seeds = found["motion_latents"], found["seeds_used"]
    rows = [
        ("file", f"{found['file']} ({found['bytes'] / 1e6:.2f} MB)"),
        ("kind", "a hand-over file: what a video needs to be continued, no LoRA"),
        ("video", f"{video}, which must lie beside it"),
        (
            "it has",
            f"{found['frames']} frames ({found['frames'] / found['fps']:.2f} s at {found['fps']:g}"
            f" a second), {found['width']}x{found['height']}",
        ),
        (
            "windows",
            f"{found['windows']} of {found['window_frames']} frames"
            + (f", ending at frame {_some(ends)}" if ends else ""),
        ),
        ("latents", f"{latents}, of the end of window {found['windows']}"),
        ("anchor", "one of its own" if found["own_anchor"] else "the video's start image"),
        ("seeds", f"{_some(seeds)} ({found['seeds']})"),
        *((("last prompt", " ".join(found["prompts"][-1].split())),) if found["prompts"] else ()),
        ("made by", f"wan2gp-svi {found['extension_version']}, {found['model_type']}"),
    ]
    return "\n".join(f"{label + ':':<14}{text}" for label, text in rows)


def _some(values: list[int]) -> str:
    """Numbers, the first of many left out."""
    shown = ", ".join(map(str, values[-6:]))
    return f"..., {shown}" if len(values) > 6 else shown or "unknown"
