"""y equals METHOD's formulas to the bit, for every mode of the family."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.conditioning import (
    condition,
    mask,
    padded_video,
    pro_latents,
    scale_motion,
    with_end,
)
from wan2gp_svi.svi.modes import MODES

CHANNELS = 16


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mask_of_frames(frames, known, height, width):
    """The mask as it is defined: a 1 or 0 a frame, frame 0 four times, four to a latent."""
    of_frame = [1.0 if frame < known else 0.0 for frame in range(frames)]
    of_frame = [of_frame[0]] * 4 + of_frame[1:]
    out = torch.zeros(4, len(of_frame) // 4, height, width)
    for i, value in enumerate(of_frame):
        out[i % 4, i // 4] = value
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 20), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
def test_mask(k, known, height, width):
    frames = 4 * k + 1
    known = min(known, frames)
    assert torch.equal(
        mask(frames, height, width, known), mask_of_frames(frames, known, height, width)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 21), st.integers(0, 4), st.integers(1, 6), st.integers(1, 6))
def test_pro_is_anchor_motion_zeros(latents, motion_latents, height, width):
    motion_latents = min(motion_latents, latents - 1)
    anchor = rand(CHANNELS, 1, height, width, seed=1)
    before = rand(CHANNELS, latents, height, width, seed=2)
    motion = before[:, -motion_latents:] if motion_latents else None
    frames = 4 * (latents - 1) + 1
    y = condition(pro_latents(anchor, motion, latents), frames)

    expected = torch.zeros(4 + CHANNELS, latents, height, width)
    expected[:4, 0] = 1  # the mask: latent 0 in all four channels, motion latents not
    expected[4:, 0] = anchor[:, 0]
    for n in range(motion_latents):
        expected[4:, 1 + n] = before[:, latents - motion_latents + n]
    assert torch.equal(y, expected)
    assert y.dtype == torch.float32


def test_strengths_scale_what_they_name_and_one_changes_nothing():
    anchor, motion = rand(CHANNELS, 1, 2, 2), rand(CHANNELS, 2, 2, 2, seed=3)
    y = pro_latents(anchor, motion, 6, anchor_strength=0.5, motion_strength=0.25)
    assert torch.equal(y[:, :1], anchor * 0.5)
    assert torch.equal(y[:, 1:3], motion * 0.25)
    assert not y[:, 3:].any()


def test_an_end_image_takes_the_last_latent_and_leaves_the_mask():
    anchor, end = rand(CHANNELS, 1, 2, 2), rand(CHANNELS, 1, 2, 2, seed=4)
    latents = pro_latents(anchor, None, 5)
    y = condition(with_end(latents, end), 17)
    assert torch.equal(y[4:, -1:], end)
    assert with_end(latents, None) is latents
    assert not y[:4, 1:].any()


@pytest.mark.parametrize("name", [n for n, mode in MODES.items() if mode.motion_frames])
@pytest.mark.parametrize("frames", [17, 81])
def test_the_padded_video_of_every_pixel_mode(name, frames):
    mode = MODES[name]
    motion = rand(3, mode.motion_frames, 8, 8, seed=5)
    reference = rand(3, 1, 8, 8, seed=6)
    video = padded_video(motion, reference, frames, mode.ref_pad_num)
    for frame in range(frames):
        if frame < mode.motion_frames:
            expected = motion[:, frame]
        elif mode.ref_pad_num == -1:
            expected = reference[:, 0]
        else:
            expected = torch.zeros(3, 8, 8)
        assert torch.equal(video[:, frame], expected)


def test_the_modes_are_those_of_the_authors_scripts():
    table = {n: (m.motion_frames, m.ref_pad_num, m.prompt_repeat) for n, m in MODES.items()}
    assert table == {
        "pro": (0, 0, 1),
        "2.0": (1, -1, 1),
        "unified": (5, -1, 2),
        "dance": (1, -1, 1),
        "talk": (1, -1, 1),
        "shot": (1, -1, 0),
        "film": (5, 0, 1),
        "tom": (1, 0, 1),
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(-1, 30), st.integers(2, 8))
def test_ref_pad_num_counts_reference_frames(motion_frames, ref_pad_num, k):
    frames = 4 * k + 1
    motion, reference = rand(3, motion_frames, 2, 2), rand(3, 1, 2, 2, seed=7)
    video = padded_video(motion, reference, frames, ref_pad_num)
    shown = sum(torch.equal(video[:, i], reference[:, 0]) for i in range(frames))
    remaining = frames - motion_frames
    assert shown == (remaining if ref_pad_num == -1 else min(ref_pad_num, remaining))
    assert video.shape[1] == frames


def test_ref_pad_cfg_masks_all_motion_frames():
    y = condition(rand(CHANNELS, 5, 2, 2), 17, known_frames=5)
    assert torch.equal(y[:4], mask_of_frames(17, 5, 2, 2))


def test_amplitude_leaves_the_known_latents_and_one_returns_the_same_tensor():
    latents = rand(CHANNELS, 6, 3, 3)
    assert scale_motion(latents, 2, 1.0) is latents
    scaled = scale_motion(latents, 2, 1.15)
    assert torch.equal(scaled[:, :2], latents[:, :2])
    d = latents[:, 2:] - latents[:, :1]
    m = d.mean(dim=(0, 2, 3), keepdim=True)
    assert torch.allclose(
        scaled[:, 2:], (latents[:, :1] + 1.15 * (d - m) + m).clamp(-6, 6), atol=1e-6
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pro_latents(rand(16, 1, 2, 2), rand(16, 5, 2, 2), 5), "do not fit"),
        (lambda: pro_latents(rand(16, 1, 2, 2), rand(16, 1, 3, 2), 5), "must have the size"),
        (lambda: padded_video(rand(3, 9, 2, 2), None, 5, 0), "do not fit"),
        (lambda: padded_video(rand(3, 1, 2, 2), None, 5, -1), "needs a reference image"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(call, words):
    with pytest.raises(UserError, match=words):
        call()
