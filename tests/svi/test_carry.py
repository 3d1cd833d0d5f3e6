"""A chain without a host: what each window is given, and that it can be stopped and continued."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from handovers import make
from hypothesis import given, settings
from hypothesis import strategies as st

from wan2gp_svi.svi import carry
from wan2gp_svi.svi.carry import Carry, Source, left_by
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.windows import Chain, Size, layout, plan

ROOT = Path(__file__).parents[2]
SIDE = 32


def encode(video):
    """(3, F, H, W) -> (16, T, H/8, W/8): every fourth frame's means, in channels that differ."""
    small = video[:, ::4].unfold(2, 8, 8).unfold(3, 8, 8).mean((-1, -2))
    return torch.cat([small * (k + 1) for k in range(6)])[:16]


def decode(latents):
    frames = latents[:3].repeat_interleave(4, dim=1)[:, 3:]
    return frames.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)


def generate(window, y, seed):
    """Latents that depend on all of y and on the seed."""
    noise = torch.randn(y[4:].shape, generator=torch.Generator().manual_seed(seed))
    return noise * 0.1 + y[4:].mean((1, 2, 3), keepdim=True) + y[4:, 1:2]


def picture(number):
    """A new video starts on its start image, number 0."""
    return torch.full((3, 1, SIDE, SIDE), 0.1 * (max(number, 0) + 2))


def chain_of(frames, chain, **carried):
    """Every window's latents and new frames, and what the carry holds at the end."""
    held = Carry(chain, **carried)
    made = list(carry.run(plan(frames, chain), held, generate, encode, decode, picture))
    return made, held


def test_windows_see_their_anchor_the_last_latents_and_zeros():
    chain = Chain(Size(17, motion_latents=2), anchors=2)
    held = Carry(chain)
    first, second, *_ = plan(100, chain)
    y = carry.condition_window(held, first, encode, picture)
    assert torch.equal(y[4:, :1], encode(picture(0)))
    assert not y[4:, 1:].any()
    latents = generate(first, y, 1)
    kept = latents[:, carry.kept(first, 2)]
    assert torch.equal(kept, latents[:, -2:])
    held.left = carry.left_by(held, first, kept, decode(latents))
    y = carry.condition_window(held, second, encode, picture)
    assert second.anchor == 2
    assert torch.equal(y[4:, :1], encode(picture(2)))
    assert torch.equal(y[4:, 1:3], latents[:, -2:])
    assert not y[4:, 3:].any()
    assert torch.equal(y[:4].amax((0, 2, 3)), torch.eye(1, 5)[0])


@given(st.integers(1, 3), st.sampled_from(["pro", "tom", "film"]))
def test_in_place_are_the_first_latents_of_y(motion, mode):
    """What a model without channels for y is told is what y says of the first latents."""
    chain = Chain(Size(21, motion, motion_frames=MODES[mode].motion_frames), anchors=2)
    held = Carry(chain, MODES[mode], in_place=True)
    for window in plan(60, chain):
        known = carry.known_latents(held, window)
        y = carry.condition_window(held, window, encode, picture)
        first = carry.first_latents(held, window, encode, picture)
        assert torch.equal(first, y[4:, :known])
        latents = generate(window, y, window.seed)
        kept = latents[:, carry.kept(window, motion)]
        held.left = left_by(held, window, kept, decode(latents))


def test_words_alone_tell_nothing_of_the_first_window():
    chain = Chain(Size(17))
    held = Carry(chain, in_place=True, from_words=True)
    first, second, *_ = plan(60, chain)
    assert carry.known_latents(held, first) == 0
    assert carry.first_latents(held, first, encode, picture) is None
    begun = torch.randn(18, 5, 4, 4)
    held.anchors[0] = begun[:, :1]  # as the bridge does when it is made
    held.left = carry.Left(begun[:, -1:], torch.zeros(3, 9, SIDE, SIDE))
    told = carry.first_latents(held, second, encode, picture)
    assert torch.equal(told, torch.cat([begun[:, :1], begun[:, -1:]], dim=1))


def test_an_anchor_is_encoded_once():
    seen = []
    chain = Chain(Size(17))
    held = Carry(chain)

    def counting(video):
        seen.append(video.shape[1])
        return encode(video)

    for _ in carry.run(plan(100, chain), held, generate, counting, decode, picture):
        pass
    assert seen == [1]


@settings(max_examples=20, deadline=None)
@given(windows=st.integers(2, 6), stop=st.integers(1, 5), motion=st.integers(1, 2))
def test_continued_it_is_the_chain_that_never_stopped(windows, stop, motion):
    stop = min(stop, windows - 1)
    size = Size(17, motion_latents=motion)
    chain = Chain(size, seed=5)
    whole, _ = chain_of(17 + (windows - 1) * size.adds, chain)
    first, held = chain_of(17 + (stop - 1) * size.adds, chain)
    end = first[-1][0].stop
    handover = make(
        latents=held.left.latents,
        start_anchor=held.anchors[0],
        motion_latents=motion,
        frames=end,
        windows=stop,
        width=SIDE,
        height=SIDE,
    )
    later = replace(chain, source_frames=end, windows_before=stop)
    rest, _ = chain_of(1 + (windows - stop) * size.adds, later, handover=handover)
    latents = [part for _, part, _ in whole]
    assert len(latents) == len(first) + len(rest)
    for one, (_, other, _) in zip(latents, [*first, *rest], strict=True):
        assert torch.equal(one, other)


def test_what_is_delivered_is_what_was_planned():
    made, _ = chain_of(61, Chain(Size(17)))
    assert sum(frames.shape[1] for _, _, frames in made) == 61 == made[-1][0].stop
    assert [frames.shape[1] for _, _, frames in made] == [17, 12, 12, 12, 8]


@pytest.mark.parametrize("name", [name for name in MODES if MODES[name].motion_frames])
def test_the_other_modes_hand_over_their_last_frames(name):
    mode = MODES[name]
    chain = Chain(Size(17, motion_frames=mode.motion_frames))
    held = Carry(chain, mode)
    seen = []

    def watching(video):
        seen.append(video)
        return encode(video)

    made = list(carry.run(plan(60, chain), held, generate, watching, decode, picture))
    assert held.left.latents is None
    n = mode.motion_frames
    assert torch.equal(seen[0][:, :n], picture(0).expand(-1, n, -1, -1))
    assert torch.equal(seen[1][:, :n], made[0][2][:, -n:])


def test_a_video_without_a_hand_over_goes_on_from_its_tail():
    tail = torch.rand(3, 64, SIDE, SIDE) * 2 - 1
    chain = Chain(Size(17), source_frames=100, windows_before=2)
    held = Carry(chain, source=Source(picture(0), tail, 100))
    (window,) = plan(13, chain)
    y = carry.condition_window(held, window, encode, picture)
    frames = 4 * (1 + carry.TAIL_CONTEXT) + 1
    assert torch.equal(y[4:, 1:2], encode(tail[:, -frames:])[:, -1:])


def test_uint8_frames_become_pixels():
    frames = torch.tensor([0, 255], dtype=torch.uint8)
    assert carry.pixels(frames).tolist() == [-1, 1]
    assert carry.pixels(frames / 255).tolist() == [0, 1]


def test_the_script_of_the_docs_runs_and_is_short():
    script = ROOT / "docs" / "chain.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 40
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "window 1: seed 7, 33 new frames",
        "window 2: seed 49, 28 new frames",
        "window 3: seed 91, 28 new frames",
    ]


def test_windows_note_how_far_they_are_from_the_one_before() -> None:
    """Frames 1..4n of a window are the end of the one before, decoded again."""
    first, second = layout([Size(17), Size(17)], Chain(size=Size(17)))
    carry = Carry(Chain(size=Size(17)))
    frames = torch.randint(0, 200, (3, 17, 16, 16), dtype=torch.uint8)
    carry.left = left_by(carry, first, torch.zeros(16, 1, 2, 2), frames)
    assert carry.left.apart is None
    again = frames.clone()
    again[:, 1:5] = frames[:, -4:] + 3
    carry.left = left_by(carry, second, torch.zeros(16, 1, 2, 2), again)
    assert carry.left.apart == 3.0
