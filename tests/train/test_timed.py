"""Timed prompts in the small world: the ways of telling a change do what they say."""

import math

import pytest
import torch

from wan2gp_svi.train import measure, timed, tiny, world
from wan2gp_svi.train.tiny import softmax_attention

LATENTS, PATCHES = 7, 2


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_split_gives_each_latent_its_own_words_alone():
    q = rand(1, 2, LATENTS * PATCHES, 8)
    k, v = rand(1, 2, 10, 8, seed=1), rand(1, 2, 10, 8, seed=2)
    out = timed.blended("split", LATENTS)(q, k, v)
    at = timed.CHANGE * PATCHES
    assert torch.allclose(out[:, :, :at], softmax_attention(q, k[:, :, :5], v[:, :, :5])[:, :, :at])
    assert torch.allclose(out[:, :, at:], softmax_attention(q, k[:, :, 5:], v[:, :, 5:])[:, :, at:])


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_softened_change_passes_through_the_middle(width):
    share = timed.weights(f"soft {width}", LATENTS)
    between = share[(share > 0) & (share < 1)]
    assert len(between) == width and float(between.mean()) == pytest.approx(0.5)
    assert (share.diff() >= 0).all()


def test_the_penalty_leaves_each_part_to_its_latents():
    attend = timed.relay([3, 4], [7, 8], LATENTS)
    q, k = torch.zeros(1, 1, LATENTS, 8), torch.zeros(1, 1, 32, 8)
    v = torch.zeros(1, 1, 32, 8)
    v[..., [3, 4], 0], v[..., [7, 8], 1] = 1, 1
    out = attend(q, k, v)[0, 0]
    assert out[1, 0] > 0.05 and out[1, 1] < 1e-6
    assert out[4, 1] > 100 * out[4, 0]


@pytest.mark.parametrize("kind", timed.KINDS)
def test_the_truth_acts_in_time_and_without_a_jump(kind):
    for number in range(3):
        clip = timed.change(kind, number)
        z = tiny.encode(world.draw([clip.told.scene], clip.told.rows[None]))
        ground = measure.ground_of(clip.told.scene, 64)
        figures = timed.judge(clip, tiny.decode(z)[0], ground)
        assert figures["acts"] == 1 and abs(figures["late"]) < 1.1
        assert math.isnan(figures["jump"]) or figures["jump"] < 2


@pytest.mark.parametrize("kind", timed.KINDS)
def test_what_does_not_change_does_not_act(kind):
    clip = timed.change(kind, 0)
    same = clip.told.rows.copy()
    same[:, :7] = same[:1, :7]
    z = tiny.encode(world.draw([clip.told.scene], same[None]))
    ground = measure.ground_of(clip.told.scene, 64)
    assert timed.judge(clip, tiny.decode(z)[0], ground)["acts"] == 0
