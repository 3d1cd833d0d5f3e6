"""The sampler against what can be solved on paper."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models.wan.modules.prior import velocity
from shared.flow_match import euler_step, sigmas

steps, shifts = st.integers(1, 60), st.floats(0.2, 12)


@given(steps, shifts)
def test_levels_fall_from_one_to_zero(count, shift):
    levels = sigmas(count, shift)
    assert len(levels) == count + 1
    assert levels[0] == 1
    assert levels[-1] == 0
    assert (levels.diff() < 0).all()


@given(steps, shifts)
def test_the_shift_multiplies_the_odds(count, shift):
    """s'/(1-s') = shift * s/(1-s)."""
    plain, shifted = sigmas(count, 1.0)[1:-1], sigmas(count, shift)[1:-1]
    torch.testing.assert_close(plain, torch.linspace(1, 0, count + 1).double()[1:-1])
    torch.testing.assert_close(shifted / (1 - shifted), shift * plain / (1 - plain))


def sample(mean, spread, noise, count, shift):
    x, levels = noise.clone(), sigmas(count, shift).tolist()
    for sigma, after in pairwise(levels):
        x = euler_step(x, velocity(x, sigma, mean, spread), sigma, after)
    return x


@given(steps, shifts, st.integers(0, 2**31))
@settings(max_examples=40)
def test_without_spread_any_number_of_steps_ends_on_the_mean(count, shift, seed):
    """The path from a noise to a point is straight, so Euler's steps are exact."""
    generator = torch.Generator().manual_seed(seed)
    mean, noise = (torch.randn(7, generator=generator).double() for _ in range(2))
    found = sample(mean, torch.zeros(7).double(), noise, count, shift)
    torch.testing.assert_close(found, mean, atol=1e-9, rtol=0)


@given(st.floats(0.02, 0.98), st.floats(0.05, 3), st.floats(-2, 2), st.floats(-2, 2))
def test_the_velocity_is_that_of_the_exact_path(sigma, spread, mean, start):
    """x(s) = (1-s) mean + sqrt((1-s)^2 spread^2 + s^2) start solves dx/ds = v for a Gaussian."""

    def path(s):
        return (1 - s) * mean + ((1 - s) ** 2 * spread**2 + s**2) ** 0.5 * start

    h = 1e-5
    slope = (path(sigma + h) - path(sigma - h)) / (2 * h)
    at = torch.tensor(path(sigma), dtype=torch.float64)
    exact = velocity(at, sigma, torch.tensor(mean).double(), torch.tensor(spread).double())
    assert float(exact) == pytest.approx(slope, abs=1e-5, rel=1e-5)


def test_more_steps_come_closer_to_the_closed_form():
    """x(0) = mean + spread * noise, and Euler's error halves when the steps double."""
    generator = torch.Generator().manual_seed(5)
    mean, noise = (torch.randn(1000, generator=generator).double() for _ in range(2))
    spread = torch.linspace(0.1, 2, 1000).double()
    exact = mean + spread * noise
    errors = [
        float((sample(mean, spread, noise, count, 3.0) - exact).abs().mean())
        for count in (100, 200, 400)
    ]
    assert errors[2] < 0.01
    assert 1.7 < errors[0] / errors[1] < 2.3
    assert 1.7 < errors[1] / errors[2] < 2.3
