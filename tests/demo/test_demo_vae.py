"""The autoencoder of the small host: shapes, causality, and that it is a good linear one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.wan.modules.vae import STRIDE, TERMS, SpatialTransform, WanVAE, lapping

VAE = WanVAE()
sizes = st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))


def video(frames, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, frames, height, width, generator=generator) * 2 - 1


def test_stride_and_channels():
    assert STRIDE == (4, 8, 8)
    assert WanVAE.z_dim == len(TERMS) == len(set(TERMS)) == 16


@given(sizes)
@settings(max_examples=30, deadline=None)
def test_shapes_both_ways(size):
    k, h, w, seed = size
    (z,) = VAE.encode([video(4 * k + 1, 8 * h, 8 * w, seed)])
    assert z.shape == (16, k + 1, h, w)
    (x,) = VAE.decode([z])
    assert x.shape == (3, 4 * k + 1, 8 * h, 8 * w)
    assert x.abs().max() <= 1


@given(sizes, st.data())
@settings(max_examples=30, deadline=None)
def test_no_latent_sees_a_later_frame(size, data):
    k, h, w, seed = size
    frames = 4 * k + 1
    x = video(frames, 8 * h, 8 * w, seed)
    first_changed = data.draw(st.integers(1, frames), label="first frame changed")
    y = x.clone()
    y[:, first_changed:] = video(frames - first_changed, 8 * h, 8 * w, seed + 1)
    (a,), (b,) = VAE.encode([x]), VAE.encode([y])
    untouched = (first_changed - 1) // 4 + 1  # latents that end before the first changed frame
    assert torch.equal(a[:, :untouched], b[:, :untouched])
    for later in range(untouched, k + 1):
        assert not torch.equal(a[:, later], b[:, later])


@given(sizes)
@settings(max_examples=30, deadline=None)
def test_the_first_latent_is_the_first_frame_alone(size):
    k, h, w, seed = size
    x = video(4 * k + 1, 8 * h, 8 * w, seed)
    (whole,), (alone,) = VAE.encode([x]), VAE.encode([x[:, :1]])
    assert torch.equal(whole[:, :1], alone)


@pytest.mark.parametrize("frame", [1, 2, 3, 4])
def test_every_frame_of_a_group_counts(frame):
    x = video(5, 16, 16, 3)
    y = x.clone()
    y[:, frame] = -y[:, frame]
    (a,), (b,) = VAE.encode([x]), VAE.encode([y])
    assert not torch.equal(a[:, 1], b[:, 1])


@given(sizes)
@settings(max_examples=20, deadline=None)
def test_encoding_what_was_decoded_gives_the_latents_back(size):
    k, h, w, seed = size
    z = torch.randn(16, k + 1, h, w, generator=torch.Generator().manual_seed(seed))
    (again,) = VAE.encode([VAE._decode(z)])  # not clamped: clamping is not linear
    torch.testing.assert_close(again, z, atol=2e-5, rtol=0)


@given(sizes, st.data())
@settings(max_examples=20, deadline=None)
def test_a_frame_needs_its_latent_and_the_one_before(size, data):
    k, h, w, seed = size
    changed = data.draw(st.integers(0, k), label="latent changed")
    z = torch.randn(16, k + 1, h, w, generator=torch.Generator().manual_seed(seed))
    other = z.clone()
    other[:, changed] += 1
    differs = (VAE._decode(z) != VAE._decode(other)).flatten(2).any(2).any(0).tolist()
    first = max(4 * changed - 3, 0)
    last = min(4 * changed + 3, 4 * k)  # where the next latent takes over completely
    assert differs == [first <= frame <= last for frame in range(4 * k + 1)]


def test_zeros_are_zeros_of_the_latent_space():
    (z,) = VAE.encode([torch.zeros(3, 9, 16, 24)])
    assert torch.equal(z, torch.zeros(16, 3, 2, 3))


def test_the_transform_is_orthonormal():
    transform = SpatialTransform(torch.float64)
    torch.testing.assert_close(transform.rows @ transform.rows.T, torch.eye(16).double())
    torch.testing.assert_close(lapping() @ lapping().T, torch.eye(8).double())
    # what is kept of a picture and what is not are at right angles
    picture = video(1, 40, 24, 5)[:, 0].double()
    kept = transform.synthesise(transform.analyse(picture))
    assert abs(float((kept * (picture - kept)).sum())) < 1e-9
    torch.testing.assert_close(transform.synthesise(transform.analyse(kept)), kept)


def quality(picture, vae=VAE):
    """dB of a decoded picture, and its steps across block borders over those inside."""
    (x,) = vae.decode(vae.encode([picture[:, None]]))
    steps = (x[:, 0, :, 1:] - x[:, 0, :, :-1]).abs()
    border = (
        steps[:, :, 7::8].mean() / torch.stack([steps[:, :, i::8].mean() for i in (2, 3, 4)]).mean()
    )
    return 10 * math.log10(4 / float(((x[:, 0] - picture) ** 2).mean())), float(border)


def test_a_photo_is_recognisable(photo):
    assert quality(photo)[0] > 21  # dB; 16 numbers stand for 192


def test_lapping_hides_the_blocks(photo):
    plain = WanVAE()
    plain.transform.lap = torch.eye(8)
    (lapped_db, lapped), (plain_db, blocks) = quality(photo), quality(photo, plain)
    assert lapped_db > plain_db + 0.3
    assert abs(lapped - 1) < abs(blocks - 1) / 2


def test_bytes_are_the_decoded_frames_rounded():
    z = torch.randn(16, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    (x,), (levels,) = VAE.decode([z]), VAE.decode_to_cpu_uint8([z])
    assert levels.dtype == torch.uint8
    assert float((levels / 127.5 - 1 - x).abs().max()) <= 0.5 / 127.5 + 1e-6


@pytest.mark.parametrize("shape", [(3, 4, 16, 16), (3, 5, 12, 16), (3, 5, 16, 20), (1, 5, 16, 16)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="cannot be encoded"):
        VAE.encode([torch.zeros(shape)])
