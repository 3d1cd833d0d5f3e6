"""Timed prompts judged in the small world: a change at a time, told in several ways.

A clip changes its direction, colour or size at a latent c. The ways differ in which words each
latent frame attends to:

    then        the whole sentence, "moves right, then moves down", for all: no time is told
    split       the first part's words before latent c, the second's from it on (what we do)
    soft k      the same, the outputs blended over k latents around the change
    kept        as split, the first part's words kept in behind the change at a quarter
    relay       the whole sentence with Prompt Relay's penalty on its parts (arXiv 2604.10030)

Measured against the truth: whether it acts (what should change does, by the end), how late it is in
latents, and the jump at the change over the clip's usual step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wan2gp_svi.train import base, evidence, flow, measure, tiny, words, world
from wan2gp_svi.train.tiny import Attend, TinyWan, softmax_attention
from wan2gp_svi.train.world import Clip, Part

KINDS = ("direction", "colour", "size")
CHANGE = 3
"""The latent from which the second part holds: frames 9 to 12 of 25."""
SIGMA = 0.1448  # Prompt Relay's, 1/ln(1/eps) with eps = 1e-3
OURS = ("then", "split", "soft 1", "soft 2", "soft 3", "kept", "relay")


@dataclass(frozen=True, slots=True)
class Change:
    """A clip with one change, and its three texts."""

    told: world.Told
    kind: str
    first: str
    second: str
    both: str


def change(kind: str, number: int) -> Change:
    """The clip of a number, of 25 frames, that changes at latent `CHANGE`."""
    rng = np.random.default_rng([evidence.FILM_SEED, 7, number])
    scene = world.random_scene(rng)
    state = world.random_state(rng, scene)
    x, y = world.SIDE / 2 + rng.uniform(-6, 6, 2)
    radius = 7.0 if kind == "size" else state.radius
    start = world.State(float(x), float(y), radius, state.angle, state.colour, state.rgb)
    sides = list(world.WAYS)
    one = sides[rng.integers(4)]
    frames = 4 * (CHANGE - 1)
    turned = [s for s in sides if s not in (one, world.OPPOSITE[one])]
    two = turned[rng.integers(2)] if kind == "direction" else one
    names = [n for n in world.COLOURS if n not in (scene.ground_colour, start.colour)]
    colour = names[rng.integers(len(names))] if kind == "colour" else ""
    size = "grows" if kind == "size" else ""
    parts = (Part(frames, one), Part(24 - frames, two, colour=colour, size=size))
    told = world.tell(Clip(scene, start, parts))
    phrases = [span[2] for span in told.spans]
    first, second = (world.sentence(scene, [p], start.colour) for p in phrases)
    return Change(told, kind, first, second, world.sentence(scene, phrases, start.colour))


def weights(way: str, latents: int) -> Tensor:
    """How much of each latent's output comes from the second part's words, (latents,) in 0..1."""
    f = torch.arange(latents, dtype=torch.float32)
    if way.startswith("soft"):
        width = int(way.split()[1])
        return ((f - CHANGE + width // 2 + 1) / (width + 1)).clamp(0, 1)
    hard = (f >= CHANGE).float()
    return hard * 0.75 if way == "kept" else hard


def blended(way: str, latents: int) -> Attend:
    """Cross-attention whose context is both texts, one behind the other, blended by `weights`."""
    share = weights(way, latents)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        half = k.shape[2] // 2
        one = softmax_attention(q, k[:, :, :half], v[:, :, :half])
        two = softmax_attention(q, k[:, :, half:], v[:, :, half:])
        each = share.repeat_interleave(q.shape[2] // latents)[:, None].to(one.dtype)
        return (1 - each) * one + each * two

    return attend


def relay(first_tokens: list[int], second_tokens: list[int], latents: int) -> Attend:
    """Cross-attention with Prompt Relay's penalty on the tokens of either part."""
    f = torch.arange(latents, dtype=torch.float32)
    penalty = torch.zeros(latents, words.TEXT_LEN)
    for tokens, start, stop in ((first_tokens, 0, CHANGE), (second_tokens, CHANGE, latents)):
        middle, wide = (start + stop - 1) / 2, max((stop - start) / 2 - 2, 0)
        cost = torch.relu((f - middle).abs() - wide) ** 2 / (2 * SIGMA**2)
        penalty[:, tokens] = cost[:, None]

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
        scores = scores - penalty.repeat_interleave(q.shape[2] // latents, dim=0)
        return torch.softmax(scores, dim=-1).to(v.dtype) @ v

    return attend


def _part_tokens(clip: Change) -> tuple[list[int], list[int]]:
    """Which tokens of the whole sentence tell the first part, and which the second."""
    tokens = clip.both.split()
    cut = next(i for i, word in enumerate(tokens) if word == "then")
    over = next(i for i, word in enumerate(tokens) if word == "over")
    return list(range(3, cut)), list(range(cut + 1, over))


def made(
    way: str, clip: Change, z: Tensor, noise: Tensor, experts: tuple[TinyWan, TinyWan]
) -> Tensor:
    """Latents (1, 16, T, h, w) of a clip whose change is told in a way."""
    latents = z.shape[2]
    attend: Attend
    if way == "then":
        text, attend = words.encode(clip.both)[None], softmax_attention
    elif way == "relay":
        text, attend = words.encode(clip.both)[None], relay(*_part_tokens(clip), latents)
    else:
        text = torch.cat([words.encode(clip.first), words.encode(clip.second)])[None]
        attend = blended(way, latents)

    def of(model: TinyWan) -> flow.Velocity:
        """Only the pass with words is steered; the one without is as ever."""
        return lambda x, t, w, y: model(x, t, w, y, attend if w is text else softmax_attention)

    y = base.first_frame_y(z, evidence.FRAMES)
    return evidence.denoised((of(experts[0]), of(experts[1])), noise, text, y)


def judge(clip: Change, video: Tensor, ground: Tensor) -> dict[str, float]:
    """acts (0, 1), late (latents, NaN if it does not act), jump (over the usual step)."""
    rows, scene = clip.told.rows, clip.told.scene
    before, after = rows[0, 4:7], rows[-1, 4:7]
    colour = _name(before)
    radius = float(rows[0, 2])
    seen = measure.look(video, scene, colour, radius, ground)
    places = seen.places
    at = 4 * (CHANGE - 1)
    if clip.kind == "direction":
        way = np.sign(rows[-1, :2] - rows[at, :2])
        progress = (places - places[: at + 1][-1]) @ way
        goal = float((rows[-1, :2] - rows[at, :2]) @ way)
    elif clip.kind == "colour":
        turned = _name(after)
        either = measure.find_object(video, ground, colour)
        either |= measure.find_object(video, ground, turned)
        new = either & (measure.distance(video, turned) < measure.distance(video, colour))
        counts = [mask.flatten(1).sum(dim=1).numpy() for mask in (new, either)]
        share = counts[0] / np.maximum(counts[1], 1)
        progress, goal = share - share[0], max(1.0 - float(share[0]), 0.1)
    else:
        area = measure.find_object(video, ground, colour).flatten(1).sum(dim=1).numpy()
        progress = np.sqrt(area / max(float(area[0]), 1.0)) - 1
        goal = float(rows[-1, 2] / rows[0, 2] - 1)
    progress = np.nan_to_num(progress / goal, nan=0.0)
    acts = bool(progress[-3:].mean() > 0.5)
    reached = np.flatnonzero(progress > 0.4)
    truth = {"direction": 0.4 * (24 - at), "colour": 0.4 * world.FADE, "size": 0.4 * 16}[clip.kind]
    late = (float(reached[0]) - at - truth) / 4 if acts and len(reached) else math.nan
    steps = np.linalg.norm(np.diff(seen.places[::4], axis=0), axis=1)
    usual = (
        np.nanmedian(np.delete(steps, [CHANGE - 1])) if np.isfinite(steps).sum() > 2 else math.nan
    )
    jump = float(steps[CHANGE - 1] / usual) if usual and np.isfinite(usual) else math.nan
    return {"acts": float(acts), "late": late, "jump": jump, "background": seen.background}


def _name(rgb: np.ndarray) -> str:
    return min(world.COLOURS, key=lambda n: float(np.abs(np.array(world.COLOURS[n]) - rgb).sum()))


def compare(experts: tuple[TinyWan, TinyWan], count: int) -> str:
    """A table in Markdown: every kind of change told in every way, means over `count` scenes."""
    lines = [
        "| change | way | acts | late, latents | jump at the change | ground's error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        clips = [change(kind, number) for number in range(count)]
        truth = [tiny.encode(world.draw([c.told.scene], c.told.rows[None])) for c in clips]
        grounds = [measure.ground_of(c.told.scene, 64) for c in clips]
        for way in ("truth", *OURS):
            rows = []
            for k, (clip, z, ground) in enumerate(zip(clips, truth, grounds, strict=True)):
                noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(k))
                latents = z if way == "truth" else made(way, clip, z, noise, experts)
                rows.append(judge(clip, tiny.decode(latents)[0], ground))
            mean = {key: evidence.mean_of([row[key] for row in rows]) for key in rows[0]}
            lines.append(
                f"| {kind} | {way} | {mean['acts']:.2f} | {mean['late']:+.1f} |"
                f" {mean['jump']:.2f} | {mean['background']:.4f} |"
            )
    return "\n".join(lines)
