"""The small world: the same from a seed, and what it says is what it shows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wan2gp_svi.train import world
from wan2gp_svi.train.world import COLOURS, SIDE, SPEED, WAYS, Clip, Part, State

seeds = st.integers(0, 2**32)


def rng(seed):
    return np.random.default_rng(seed)


def still(colour="red", x=32.0, y=32.0, radius=8.0):
    return State(x, y, radius, 0.0, colour, COLOURS[colour])


def clip_of(*parts, start=None, seed=0):
    return world.tell(Clip(world.random_scene(rng(seed)), start or still(), parts))


@given(seeds, st.integers(9, 49))
@settings(max_examples=20, deadline=None)
def test_a_clip_follows_from_its_seed(seed, frames):
    one, two = (world.tell(world.random_clip(rng(seed), frames)) for _ in range(2))
    assert np.array_equal(one.rows, two.rows) and one.words() == two.words()
    assert len(one.rows) == frames


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_an_object_stays_inside_unless_it_is_said_to_leave_or_come_back(seed):
    told = world.tell(world.random_clip(rng(seed), 25))
    if "leaves" in told.words() or "comes back" in told.words():
        return
    x, y, radius = told.rows[:, 0], told.rows[:, 1], told.rows[:, 2]
    outside = max(abs(x[0] - SIDE / 2), abs(y[0] - SIDE / 2)) > SIDE / 2
    if not outside:  # one that rests outside all the time is said to rest
        assert (np.minimum(x, y) >= radius - 1e-6).all()
        assert (np.maximum(x, y) <= SIDE - radius + 1e-6).all()


@pytest.mark.parametrize("side", WAYS)
def test_it_moves_the_way_it_is_told(side):
    told = clip_of(Part(10, side))
    went = told.rows[-1, :2] - told.rows[0, :2]
    assert went == pytest.approx(10 * SPEED * np.array(WAYS[side]))
    assert f"moves {side} over" in told.words()


def test_a_bounce_is_told_and_turns_it_round():
    told = clip_of(Part(30, "left"), start=still(x=14.0))
    assert "moves left and bounces" in told.words()
    assert told.rows[:, 0].min() >= 8.0 - 1e-9 and told.rows[-1, 0] > told.rows[:, 0].min() + 5


def test_it_leaves_and_comes_back():
    told = clip_of(Part(30, "leaves left"), Part(40, "returns left"))
    assert told.rows[30, 0] < -told.rows[30, 2]
    assert 0 < told.rows[-1, 0] < SIDE / 2
    assert "leaves to the left, then comes back from the left" in told.words()
    empty = world.draw([told.scene], told.rows[None, 30:31])
    ground = world.draw([told.scene], told.rows[None, 30:31], with_object=False)
    assert torch.equal(empty, ground)


def test_colour_size_angle_and_camera_change_as_told():
    told = clip_of(Part(12, "rests", True, "grows", "blue", "right"))
    assert "spins and grows and turns blue" in told.words()
    assert told.words().endswith(", the camera pans right")
    assert told.rows[-1, 4:7] == pytest.approx(COLOURS["blue"])
    assert told.rows[-1, 2] > told.rows[0, 2] and told.rows[-1, 3] > told.rows[0, 3]
    assert told.rows[-1, 7] == pytest.approx(12 * world.PAN)


def test_words_of_a_window_tell_its_own_parts_only():
    told = clip_of(Part(12, "right"), Part(12, "down"), Part(12, "left", colour="green"))
    assert "moves right, then moves down, then moves left and turns green" in told.words()
    assert "moves right, then moves down over" in told.words(0, 25)
    assert "moves down over" in told.words(12, 25) and "right" not in told.words(12, 25)
    assert told.words(24).startswith("a red") and "turns green" in told.words(24)


def test_a_later_window_says_the_colour_that_it_has_turned_to():
    told = clip_of(Part(12, "right", colour="blue"), Part(12, "down"))
    assert told.words(12).startswith("a blue")


@pytest.mark.parametrize("size", [64, 128])
def test_drawn_at_any_size_it_is_the_same_picture(size):
    told = clip_of(Part(8, "right", pan="down"), seed=3)
    small = world.draw([told.scene], told.rows[None], 64)
    large = world.draw([told.scene], told.rows[None], size)
    assert large.shape == (1, 3, 9, size, size)
    back = torch.nn.functional.avg_pool3d(large, (1, size // 64, size // 64))
    assert (back - small).abs().mean() < 0.02


def test_each_scene_of_a_batch_is_drawn_as_it_is_alone():
    told = [world.tell(world.random_clip(rng(k), 9)) for k in range(6)]
    together = world.draw([t.scene for t in told], np.stack([t.rows for t in told]))
    for k, t in enumerate(told):
        alone = world.draw([t.scene], t.rows[None])[0]
        assert torch.allclose(together[k], alone, atol=1e-5)


def test_a_clip_can_begin_in_the_middle_of_something():
    clip = world.random_clip(rng(1), 21, lead=8)
    told = world.tell(clip)
    assert len(told.rows) == 29 and told.spans[0][1] == 9
