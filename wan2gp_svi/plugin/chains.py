"""The videos that can be gone on with, how they hang together, and the form that goes on.

No Gradio here. A hand-over file names the one before it: so the files of a folder are a tree,
chains with branches where a window was made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin.form import Form, with_prompts
from wan2gp_svi.svi.handover_file import SUFFIX, load, path_beside, read_facts
from wan2gp_svi.svi.vae import VAE_STRIDE
from wan2gp_svi.svi.windows import SEED_STEP, Chain, Size, sizes
from wan2gp_svi.video.probe import read_settings
from wan2gp_svi.wangp.continuing import hand_overs
from wan2gp_svi.wangp.redo import OLD, redo_settings, told_by
from wan2gp_svi.wangp.settings import ours

VIDEOS = (".mp4", ".mkv", ".mov")
MOST = 400
"""Newest hand-over files of a folder that are looked at."""


@dataclass
class Video:
    """A video with its hand-over file; `children` go on from its last window."""

    path: Path
    facts: dict[str, Any]
    children: list[Video] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def windows(self) -> int:
        return int(self.facts["windows"])

    @property
    def told(self) -> str:
        """In one line."""
        seconds = self.facts["frames"] / self.facts["fps"]
        what = "1 window" if self.windows == 1 else f"{self.windows} windows"
        return f"{self.name} ({what}, {seconds:.1f} s)"


def videos_in(folder: Path) -> list[Video]:
    """Videos of a folder that have a hand-over file, the newest first, each with what goes on from
    it. Of a run whose windows were all kept each window's video is one.
    """
    found: list[Video] = []
    for file in hand_overs(folder)[:MOST]:
        stem = file.name.removesuffix(SUFFIX)
        path = next(
            (p for p in (file.with_name(stem + end) for end in VIDEOS) if p.is_file()), None
        )
        facts = read_facts(file) if path else None
        if path is not None and facts is not None:
            found.append(Video(path, facts))
    by_id = {video.facts["id"]: video for video in found}
    for video in found:
        before = by_id.get(dict(video.facts["settings"]).get("previous"))
        if before is not None and before.windows < video.windows:
            before.children.append(video)
    return found


def tree(videos: Sequence[Video]) -> list[tuple[int, Video]]:
    """The videos in the order of their chains, each with how deep its branch lies.

    A chain that only goes on stays in one column; where it branches, each branch is one deeper.
    """
    has_parent = {id(child) for video in videos for child in video.children}
    rows: list[tuple[int, Video]] = []
    for root in (video for video in videos if id(video) not in has_parent):
        rows += _below(root)
    return rows


def _below(root: Video) -> Iterator[tuple[int, Video]]:
    waiting = [(0, root)]
    while waiting:
        depth, video = waiting.pop()
        yield depth, video
        deeper = depth + (len(video.children) > 1)
        newest_first = sorted(video.children, key=lambda child: child.path.name, reverse=True)
        waiting += [(deeper, child) for child in newest_first]


def choices(videos: Sequence[Video]) -> list[tuple[str, str]]:
    """What a list of videos shows, and the path of each: the newest first, ends of chains before
    the videos that others go on from.
    """
    ordered = sorted(videos, key=lambda video: bool(video.children))
    return [(video.told, str(video.path)) for video in ordered]


def drawn(videos: Sequence[Video], chosen: Path | None) -> str:
    """The tree of the chain that a video belongs to, a line each, as HTML; "" where it has none."""
    rows = tree(videos)
    for start, end in _spans(rows):
        part = rows[start:end]
        if any(video.path == chosen for _, video in part):
            return "".join(_line(depth, video, chosen) for depth, video in part)
    return ""


def _spans(rows: Sequence[tuple[int, Video]]) -> Iterator[tuple[int, int]]:
    """Where each chain begins and ends in the rows."""
    has_parent = {id(child) for _, video in rows for child in video.children}
    starts = [k for k, (_, video) in enumerate(rows) if id(video) not in has_parent]
    yield from zip(starts, [*starts[1:], len(rows)], strict=True)


def _line(depth: int, video: Video, chosen: Path | None) -> str:
    """A video, as deep as its branch lies (Gradio's Markdown would show all in one column)."""
    seeds = list(video.facts["seeds_used"])
    seed = f", seed {seeds[-1]}" if seeds else ""
    text = f"window {video.windows}{seed}: <code>{escape(video.name)}</code>"
    branch = f" ({len(video.children)} takes go on from it)" if len(video.children) > 1 else ""
    weight = "bold" if video.path == chosen else "normal"
    return (
        f'<div style="margin-left:{1.5 * depth}em;padding:2px 0 2px 8px;font-weight:{weight};'
        f'border-left:3px solid var(--border-color-primary);overflow-wrap:anywhere">{text}{branch}'
        "</div>"
    )


# -- going on: the form, and what will happen ---------------------------------------------------


def going_on(path: Path) -> tuple[Form, str]:
    """One more window after the last."""
    facts, settings = _facts(path), _settings(path)
    added = facts["window_frames"] - 1 - VAE_STRIDE * facts["motion_latents"]
    prompts = list(facts["prompts"])
    form = {
        **_continued(settings, facts, path),
        **(with_prompts(prompts[-1:]) if prompts else {}),
        "video_length": 1 + added,
    }
    return form, (
        f"Window {facts['windows'] + 1} goes on from the last latents of {path.name}. The words are"
        " those of its last window: change them in the storyboard, and the length, too."
    )


def again(path: Path, window: int, seed: int | None, prompt: str | None) -> tuple[Form, str]:
    """A window once more, the ones before it as they are; without a seed: with another one.

    Raises UserError for a window that cannot be made again.
    """
    last, settings = load(path_beside(path)), _settings(path)
    if seed is None and 2 <= window <= last.windows and len(last.seeds_used) == last.windows:
        seed = last.seeds_used[window - 1] + SEED_STEP * 1000
    form = redo_settings(path, told_by(last, settings), settings, window, seed, prompt or None)
    if "prompt" in form:
        form |= with_prompts([form["prompt"]])
    after = ""
    if window < last.windows:
        after = f" Windows after it went on from the old window {window}, and are not in it."
    return form, (
        f"Window {window} of {path.name} is made again with seed {seed}, as a new video beside the"
        f" old one, which stays.{after}"
    )


def resumed(path: Path, split: Any) -> tuple[Form, str]:
    """The rest of a run that was stopped: the windows and prompts that were left.

    `split` takes the prompts of settings apart. Raises UserError where nothing was left.
    """
    facts, settings = _facts(path), _settings(path)
    made = int(settings.get("window_no") or 0)
    before = facts["windows"] - made
    ends = list(facts["window_ends"])
    if made < 1 or before < 0 or len(ends) != facts["windows"]:
        raise UserError(f"{path.name} does not say how many windows its run was to have.")
    source = ends[before - 1] if before else 0
    custom = ours(settings.get("custom_settings"))
    chain = Chain(
        Size(
            facts["window_frames"],
            facts["motion_latents"],
            int(settings.get("sliding_window_discard_last_frames") or 0) // VAE_STRIDE * VAE_STRIDE,
        ),
        facts["fps"],
        source_frames=source,
    )
    exact = custom.get("svi_length") == "exact"
    planned = sizes(int(settings.get("video_length") or 0), chain, exact)
    left = planned[made:]
    if not left:
        raise UserError(f"The run of {path.name} is done: it has all its {made} windows.")
    written = split(settings)
    prompts = written[made:] or written[-1:]
    form = {
        **_continued(settings, facts, path),
        **with_prompts(prompts),
        "video_length": 1 + sum(size.adds for size in left),
    }
    seeds = [part for part in str(custom.get("svi_seeds") or "").split(",") if part.strip()]
    if len(seeds) > 1:  # a list is of its run's windows: what is left of it
        rest = seeds[made:] or [str(facts["seeds_used"][-1] + SEED_STEP)]
        form["custom_settings"]["svi_seeds"] = ", ".join(part.strip() for part in rest)
    what = "1 window was" if len(left) == 1 else f"{len(left)} windows were"
    pictures = ""
    if facts["anchors_used"]:
        pictures = (
            " The anchor in force goes on; anchor images that were still to come are not in the"
            " video: give them again."
        )
    return form, f"{what} left of the run of {path.name}, with the prompts for them.{pictures}"


def _continued(settings: Mapping[str, Any], facts: Mapping[str, Any], path: Path) -> Form:
    """A video's own settings, to go on from its end."""
    kept = {name: value for name, value in settings.items() if name not in OLD}
    letters = str(kept.get("video_prompt_type") or "")
    custom = {
        "svi_motion_latents": facts["motion_latents"],
        "svi_anchor_strength": facts["anchor_strength"],
        "svi_motion_strength": facts["motion_strength"],
        **ours(kept.get("custom_settings")),
    }
    custom.pop("svi_anchor_schedule", None)  # of the images that served then
    if facts["seeds"] != "list":
        custom["svi_seeds"] = facts["seeds"]
    return {
        **kept,
        "image_prompt_type": "V",
        "video_prompt_type": letters.replace("K", "").replace("I", ""),
        "video_source": str(path),
        "keep_frames_video_source": "",
        "seed": -1,
        "repeat_generation": 1,
        "custom_settings": custom,
    }


def _facts(path: Path) -> dict[str, Any]:
    facts = read_facts(path_beside(path))
    if facts is None:
        raise UserError(f"{path.name} has no hand-over file: continue it on WanGP's own page.")
    return facts


def _settings(path: Path) -> dict[str, Any]:
    settings = read_settings(path)
    if settings is None or "model_type" not in settings:
        raise UserError(f"{path.name} holds no settings of WanGP.")
    return settings
