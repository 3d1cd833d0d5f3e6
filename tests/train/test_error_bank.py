"""The error bank keeps to the equations of error recycling, and to its odds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wan2gp_svi.train import error_bank
from wan2gp_svi.train.error_bank import AUTHORS, Bank, Drawn, Odds
from wan2gp_svi.train.flow import levels

SHAPE = (3, 2, 4, 2, 2)
ALWAYS = Odds(condition=1, latent=1, noise=1, clean=0, keep_clean=1)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def one_step(x, v, sigma, to):
    """Where the straight line from x at level sigma along v is at level `to`."""
    return x + (to - sigma.view(-1, 1, 1, 1, 1)) * v


def filled(of, capacity=10):
    bank = Bank(capacity)
    for kind, t, error in of:
        error_bank.add(bank, kind, t, error)
    return bank


@given(st.integers(0, 1000), st.floats(0.01, 1))
@settings(max_examples=25, deadline=None)
def test_the_target_leads_from_the_corrupted_point_to_the_clean_latents(seed, level):
    z, e = rand(*SHAPE, seed=seed), rand(*SHAPE, seed=seed + 1)
    errors = Drawn(
        rand(*SHAPE, seed=seed + 2),
        rand(*SHAPE, seed=seed + 3),
        torch.zeros(3, 2, 1, 2, 2),
        torch.zeros(3, dtype=torch.bool),
    )
    sigma = torch.full((3,), level)
    x, target = error_bank.corrupted(z, e, sigma, errors)
    mixed = (1 - level) * (z + errors.latent) + level * (e + errors.noise)
    assert torch.allclose(x, mixed, atol=1e-5)
    assert torch.allclose(target, (e + errors.noise) - z)
    # with no latent error that is the straight line, and the errors are the ends' differences
    straight, _ = error_bank.corrupted(z, e, sigma, Drawn(0 * z, errors.noise, z, errors.clean))
    assert torch.allclose(one_step(straight, target, sigma, 0), z, atol=1e-4)
    v = target + rand(*SHAPE, seed=seed + 4)
    e_z, e_e = error_bank.made(v, target, sigma)
    for error, end in ((e_z, 0), (e_e, 1)):
        difference = one_step(x, v, sigma, end) - one_step(x, target, sigma, end)
        assert torch.allclose(error, difference, atol=1e-4)


def test_the_grids_are_the_steps_of_a_50_step_run_at_shift_5():
    bank = Bank()
    assert len(bank.time_steps) == 50 and float(bank.time_steps[0]) == 1000
    assert bank.time_steps.tolist() == pytest.approx([1000 * s for s in levels(50, 5.0)[:-1]])


@given(st.floats(0, 1000))
@settings(max_examples=25, deadline=None)
def test_an_error_goes_to_the_nearest_grid(t):
    bank = filled([("latent", t, torch.zeros(2, 4, 2, 2))])
    ((_, grid),) = bank.errors
    assert abs(float(bank.time_steps[grid]) - t) <= float((bank.time_steps - t).abs().min()) + 1e-4


@given(st.integers(0, 500), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_a_full_grid_loses_the_error_most_like_the_new_one(seed, capacity):
    old = [rand(2, 4, 2, 2, seed=seed + k) for k in range(capacity)]
    bank = filled([("latent", 500.0, error) for error in old], capacity)
    new = rand(2, 4, 2, 2, seed=seed + 999)
    lost = min(range(capacity), key=lambda k: float((old[k] - new).square().sum()))
    error_bank.add(bank, "latent", 500.0, new)
    (held,) = bank.errors.values()
    assert len(held) == capacity
    for k in range(capacity):
        assert torch.equal(held[k], new if k == lost else old[k])


def test_what_is_drawn_comes_from_the_samples_own_grid():
    of = [
        (kind, t, torch.full((2, 4, 2, 2), value))
        for kind, t, value in (
            ("latent", 1000.0, 1.0),
            ("latent", 500.0, 2.0),
            ("noise", 1000.0, 3.0),
            ("noise", 500.0, 4.0),
        )
    ]
    bank = filled(of)
    drawn = error_bank.draw(
        bank, ALWAYS, torch.tensor([1000.0, 500.0]), (2, 2, 4, 2, 2), 1, generator()
    )
    assert drawn.latent[0].unique().tolist() == [1] and drawn.latent[1].unique().tolist() == [2]
    assert drawn.noise[0].unique().tolist() == [3] and drawn.noise[1].unique().tolist() == [4]


@given(st.integers(0, 200), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_a_conditions_error_is_some_consecutive_latents_of_a_latent_error(seed, k):
    errors = [rand(2, 4, 2, 2, seed=n) for n in range(5)]
    bank = filled([("latent", 1000.0 - 100 * n, error) for n, error in enumerate(errors)])
    drawn = error_bank.draw(bank, ALWAYS, torch.tensor([3.0]), (1, 2, 4, 2, 2), k, generator(seed))
    assert any(
        torch.equal(drawn.condition[0], error[:, first : first + k])
        for error in errors
        for first in range(4 - k + 1)
    )


def test_an_empty_bank_gives_nothing():
    drawn = error_bank.draw(Bank(), ALWAYS, torch.full((3,), 500.0), SHAPE, 2, generator())
    assert not drawn.latent.any() and not drawn.noise.any() and not drawn.condition.any()


def test_the_odds_are_the_authors():
    bank = filled([(kind, 500.0, torch.ones(1, 2, 1, 1)) for kind in ("latent", "noise")])
    count = 8000
    drawn = error_bank.draw(
        bank, AUTHORS, torch.full((count,), 500.0), (count, 1, 2, 1, 1), 1, generator()
    )
    dirty = ~drawn.clean
    assert float(drawn.clean.float().mean()) == pytest.approx(0.2, abs=0.015)
    for error, odds in ((drawn.latent, 0.9), (drawn.noise, 0.01), (drawn.condition, 0.9)):
        given_ = error.flatten(1).any(dim=1)
        assert not given_[drawn.clean].any()
        assert float(given_[dirty].float().mean()) == pytest.approx(odds, abs=0.015)


def test_a_clean_samples_errors_are_kept_one_time_in_ten():
    bank, count = Bank(10000), 5000
    errors = (torch.ones(count, 1, 1, 1, 1), torch.ones(count, 1, 1, 1, 1))
    clean = torch.arange(count) % 2 == 0
    error_bank.recycle(bank, AUTHORS, torch.full((count,), 500.0), errors, clean, generator())
    for kind in error_bank.KINDS:
        kept = error_bank.size(bank, kind)
        assert kept - count / 2 == pytest.approx(0.1 * count / 2, abs=50)


def test_a_bank_survives_a_file():
    bank = filled([("latent", 1000.0, rand(2, 4, 2, 2)), ("noise", 20.0, rand(2, 4, 2, 2, seed=1))])
    again = error_bank.bank_of(error_bank.tensors_of(bank), 10)
    assert again.errors.keys() == bank.errors.keys() and again.capacity == 10
    assert all(torch.equal(again.errors[key], held) for key, held in bank.errors.items())
