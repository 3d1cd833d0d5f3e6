"""Which windows a video was made of: what its files tell, or what is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.video.probe import read_settings

WINDOW, OVERLAP = 81, 5
"""Of SVI 2.0 Pro: what a video without any word about it is taken to be made with."""


@dataclass(frozen=True)
class Windows:
    """The windows of a video, as far as known.

    `ends` are frames of the video after each known window; later ones add `adds` frames each.
    `seeds`, `prompts` and `anchors` (numbers of anchor images, 0 the start image) are of the first
    windows, and may be fewer. `apart` gives for windows, counted from 1, how far the frames that it
    and the one before both decoded are apart, in levels of 255 (svi/overlap.py). `source` says in
    words where this is from, and `known` whether it is more than an assumption.
    """

    ends: tuple[int, ...]
    adds: int
    source: str
    seeds: tuple[int, ...] = ()
    prompts: tuple[str, ...] = ()
    anchors: tuple[int, ...] = ()
    apart: Mapping[int, float] | None = None
    known: bool = True

    def end(self, number: int) -> int:
        """The frame of the video after window `number`, counted from 1."""
        if number <= len(self.ends):
            return self.ends[number - 1]
        return self.ends[-1] + self.adds * (number - len(self.ends))

    def cut(self, frames: int) -> list[tuple[int, int]]:
        """First frame and frame after the last of each window of a video of `frames` frames."""
        spans: list[tuple[int, int]] = []
        start = number = 0
        while start < frames:
            number += 1
            stop = min(self.end(number), frames)
            spans.append((start, stop))
            start = stop
        if len(spans) > 1 and frames - spans[-1][0] < 4:  # less than a latent: not a window
            spans[-2:] = [(spans[-2][0], frames)]
        return spans

    def new_words(self, number: int) -> bool:
        """Whether window `number` has another prompt or anchor than the one before."""

        def of(values: tuple[Any, ...], k: int) -> Any:
            return values[min(k, len(values)) - 1] if values else None

        return number > 1 and any(
            of(values, number) != of(values, number - 1) for values in (self.prompts, self.anchors)
        )


def windows_of(video: Path, asked: int | None = None) -> Windows:
    """From `asked` (frames of a window), the hand-over file, the metadata, in this order.

    A hand-over file that is damaged, or metadata that say nothing, are passed over.
    """
    settings = _settings(video)
    overlap = _overlap(settings)
    if asked is not None:
        if asked < overlap + 4:
            raise UserError(f"A window of {asked} frames is too short: use {overlap + 4} or more.")
        return Windows((asked,), asked - overlap, f"windows of {asked} frames, as asked")
    found = _from_handover(video)
    if found is not None:
        return found
    size = _whole(settings.get("sliding_window_size"), 0, 100_000)
    if size >= overlap + 4:
        discard = _whole(settings.get("sliding_window_discard_last_frames"), 0, size - overlap - 4)
        return Windows(
            (size - discard,),
            size - discard - overlap,
            "windows from the settings in the video",
            prompts=tuple(str(settings.get("prompt") or "").splitlines()),
        )
    return Windows(
        (WINDOW,),
        WINDOW - OVERLAP,
        f"nothing says which windows it has, so {WINDOW} frames and then {WINDOW - OVERLAP} each"
        " are assumed (--window says otherwise)",
        known=False,
    )


def _overlap(settings: Mapping[str, Any]) -> int:
    """Frames of a later window that repeat the one before: the mode's, whatever the page shows.

    1 + 4n for n motion latents of SVI 2 Pro, which is what a video is taken for that says nothing.
    """
    custom = settings.get("custom_settings")
    custom = custom if isinstance(custom, dict) else {}
    mode = MODES.get(str(custom.get("svi_mode") or "").strip().lower())
    if mode is not None and mode.motion_frames:
        return mode.motion_frames
    of_pro = mode is not None or "svi2pro" in str(settings.get("model_type") or "svi2pro")
    shown = _whole(settings.get("sliding_window_overlap"), OVERLAP, 100)
    if not of_pro:
        return shown
    return 1 + 4 * max(_whole(custom.get("svi_motion_latents"), shown // 4, 16), 1)


def _settings(video: Path) -> dict[str, Any]:
    try:
        return read_settings(video) or {}
    except ImportError:
        return {}


def _from_handover(video: Path) -> Windows | None:
    try:
        from wan2gp_svi.svi.handover_file import load, path_beside

        last = load(path_beside(video))
    except (UserError, ImportError):  # without torch a report is less, and still a report
        return None
    if not last.window_ends or len(last.window_ends) != last.windows:
        return None
    size = last.window_frames - last.discard - 1 - 4 * last.motion_latents
    return Windows(
        last.window_ends,
        size,
        "windows, seeds and prompts from the hand-over file",
        seeds=last.seeds_used,
        prompts=last.prompts if len(last.prompts) == last.windows else (),
        apart=last.apart,
    )


def _whole(value: Any, default: int, most: int) -> int:
    try:
        return min(max(int(value), 0), most)
    except (TypeError, ValueError):
        return min(default, most)
