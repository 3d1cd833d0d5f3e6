"""The small transformer and the prior under it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.wan.modules.model import WanModel, WanSelfAttention, rotary_angles, rotate
from models.wan.modules.prior import known_slots, prior
from models.wan.modules.vae import WanVAE
from shared.text_encoder import TEXT_LEN, TextEncoder

MODEL = WanModel(seed=7)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def words(prompt):
    (tokens,) = TextEncoder()([prompt])
    return torch.cat([tokens, tokens.new_zeros(TEXT_LEN - len(tokens), tokens.shape[1])])[None]


def svi_conditioning(latents=6, height=4, width=6, motion=1):
    """y of a later window: [A, M, 0 ...], the mask on latent 0 alone."""
    y = torch.zeros(20, latents, height, width)
    y[:4, 0] = 1
    y[4:, : 1 + motion] = noise(16, 1 + motion, height, width, seed=3)
    return y


def run(model=MODEL, prompt="a prompt", t=600.0, y=None, seed=0):
    y = svi_conditioning() if y is None else y
    x = noise(1, 16, *y.shape[1:], seed=seed)
    (out,) = model(x=[x], t=torch.tensor([t]), context=[words(prompt)], y=y)
    return out


def test_36_channels_come_in_and_16_go_out():
    assert MODEL.patch_embedding.in_channels == 36 == 16 + 4 + 16
    assert MODEL.patch_embedding.kernel_size == MODEL.patch_embedding.stride == (1, 2, 2)
    assert MODEL.head.head.out_features == 16 * 4
    assert run().shape == (1, 16, 6, 4, 6)


def test_all_inputs_matter_and_nothing_else_does():
    reference = run()
    assert torch.equal(reference, run())
    assert not torch.equal(reference, run(prompt="another prompt"))
    assert not torch.equal(reference, run(seed=1))
    assert not torch.equal(reference, run(t=601.0))
    assert not torch.equal(reference, run(y=svi_conditioning() * 1.1))
    assert not torch.equal(reference, run(model=WanModel(seed=8)))
    assert torch.equal(reference, run(model=WanModel(seed=7)))


def test_both_streams_in_one_call_are_the_two_calls():
    y, x, t = svi_conditioning(), noise(1, 16, 6, 4, 6), torch.tensor([600.0])
    both = MODEL(x=[x, x.clone()], t=t, context=[words("one"), words("two")], y=y)
    for prompt, out in zip(("one", "two"), both, strict=True):
        (alone,) = MODEL(x=[x], t=t, context=[words(prompt)], y=y)
        assert torch.equal(out, alone)


def test_without_conditioning_it_says_so():
    with pytest.raises(ValueError, match="conditioning"):
        MODEL(x=[noise(1, 16, 3, 4, 4)], t=torch.tensor([1.0]), context=[words("")])


def test_unpatchify_puts_each_patch_in_its_place():
    t, h, w = 2, 3, 2
    tokens = torch.arange(t * h * w * 4 * 16).float().reshape(1, t * h * w, 64)
    out = MODEL.unpatchify(tokens, (t, h, w))
    for frame, row, column, dy, dx in [(0, 0, 0, 0, 0), (1, 2, 1, 1, 0), (1, 0, 1, 0, 1)]:
        token = (frame * h + row) * w + column
        patch = tokens[0, token, (dy * 2 + dx) * 16 :][:16]
        assert torch.equal(out[0, :, frame, 2 * row + dy, 2 * column + dx], patch)


# -- rotary positions -----------------------------------------------------------------------------

GRID, DIM = (5, 6, 7), 48
ANGLES = rotary_angles(GRID, DIM)
position = st.tuples(*(st.integers(0, n - 1) for n in GRID))


def at(place):
    return (place[0] * GRID[1] + place[1]) * GRID[2] + place[2]


@given(position, position, position, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_attention_depends_on_the_distance_alone(a, b, shift, seed):
    moved = [tuple(p + s for p, s in zip(place, shift, strict=True)) for place in (a, b)]
    if any(p >= n for place in moved for p, n in zip(place, GRID, strict=True)):
        return
    q, k = noise(1, 1, 1, DIM, seed=seed).double(), noise(1, 1, 1, DIM, seed=seed + 1).double()

    def score(one, other):
        return (rotate(q, ANGLES[[at(one)]]) * rotate(k, ANGLES[[at(other)]])).sum()

    torch.testing.assert_close(score(a, b), score(*moved))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_axis_has_a_part_of_the_pairs(axis):
    origin, step = (0, 0, 0), tuple(int(i == axis) for i in range(3))
    turned = (ANGLES[at(step)] != ANGLES[at(origin)]).nonzero().flatten().tolist()
    side = DIM // 6
    parts = [range(DIM // 2 - 2 * side), range(DIM // 2 - 2 * side, DIM // 2 - side)]
    parts.append(range(DIM // 2 - side, DIM // 2))
    assert turned == list(parts[axis])


def test_turning_keeps_lengths_and_leaves_the_origin():
    x = noise(2, len(ANGLES), 3, DIM)
    turned = rotate(x, ANGLES)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, 0], x[:, 0])
    assert not torch.equal(turned[:, 1], x[:, 1])


# -- words ----------------------------------------------------------------------------------------


def test_text_attention_is_softmax_over_the_words():
    attention = WanSelfAttention(dim=12, num_heads=3, eps=1e-5).requires_grad_(False)
    x, context = noise(1, 5, 12), noise(1, 4, 12, seed=1)
    given_list = [x]
    out, queries = attention.text_cross_attention(given_list, context, return_q=True)
    assert given_list == []
    q = attention.norm_q(attention.q(x)).unflatten(2, (3, 4)).transpose(1, 2)
    k = attention.norm_k(attention.k(context)).unflatten(2, (3, 4)).transpose(1, 2)
    v = attention.v(context).unflatten(2, (3, 4)).transpose(1, 2)
    expected = (q @ k.transpose(-1, -2) / 4**0.5).softmax(-1) @ v
    torch.testing.assert_close(out, expected.transpose(1, 2).flatten(2))
    assert torch.equal(queries, q.transpose(1, 2))
    assert attention.text_cross_attention([x], context)[1] is None


def test_words_are_always_the_same_numbers():
    a, b = TextEncoder()(["Red sky, red sea", "red"])
    assert a.shape == (4, 64)
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[0], a[2])
    assert not torch.equal(a[0], a[1])
    (empty,), (endless,) = TextEncoder()([""]), TextEncoder()(["word " * 1000])
    assert empty.shape == (1, 64)
    assert endless.shape == (TEXT_LEN, 64)


# -- the prior ------------------------------------------------------------------------------------


@pytest.mark.parametrize("motion", [0, 1, 3])
def test_known_slots_stay_and_the_last_one_is_the_anchor(motion):
    y = svi_conditioning(motion=motion)
    assert known_slots(y) == (1 + motion, False)
    mean, freedom = prior(y, WanVAE())
    assert torch.equal(mean[:, : 1 + motion], y[4:, : 1 + motion])
    torch.testing.assert_close(mean[:, -1], y[4:, 0])
    assert freedom[: 1 + motion].eq(0).all()
    assert (freedom[1 + motion :].diff() > 0).all()
    assert 0 < freedom[-1] < 1


def test_an_end_image_is_where_it_goes():
    y = svi_conditioning()
    y[4:, -1] = noise(16, 4, 6, seed=9)
    assert known_slots(y) == (2, True)
    mean, freedom = prior(y, WanVAE())
    assert torch.equal(mean[:, -1], y[4:, -1])
    assert freedom[-1] == 0


def test_the_picture_moves():
    mean, _ = prior(svi_conditioning(latents=8, motion=0), WanVAE())
    assert not torch.equal(mean[:, 2], mean[:, 0])


def test_a_changed_y_is_looked_at_again():
    y, vae = svi_conditioning(), WanVAE()
    before, _ = prior(y, vae)
    assert prior(y, vae)[0] is before
    y[4:, 0] += 1
    after, _ = prior(y, vae)
    assert not torch.equal(before, after)
