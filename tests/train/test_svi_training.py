"""SVI's training: what a sample of a mode is, where its errors go, and the file that comes out."""

from dataclasses import replace

import pytest
import torch

from wan2gp_svi.errors import UserError
from wan2gp_svi.lora.inspect import inspect_file
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.train import checkpoint, flow, recycling, svi, tiny, words
from wan2gp_svi.train.error_bank import Bank, Odds, add
from wan2gp_svi.train.svi import Recipe, recipe_of
from wan2gp_svi.train.tiny import Size

SMALL = Size(dim=128, ffn_dim=64, num_heads=1, num_layers=1, freq_dim=32)
QUICK = Recipe(steps=6, batch=2, rank=2, side=16, frames=17, capacity=4)


def model(seed=0):
    made = tiny.new_model(SMALL, seed)
    made.head.head.weight.data = 0.1 * rand(*made.head.head.weight.shape, seed=seed)
    return made


def train(model, recipe, out, *about, **settings):
    return svi.train(model, recipe, out, *about, compile_model=False, **settings)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_pro_hands_over_the_latents_that_the_target_has_there():
    recipe = replace(QUICK, opening=0.0, motion_latents=2)
    for number in range(6):
        sample = svi.sample_of(recipe, number)
        given = sample.y[4:]
        assert sample.handed_over == (1, 3)
        assert torch.equal(given[:, :3], sample.latents[:, :3]) and not given[:, 3:].any()
        assert sample.y[:4, 0].eq(1).all() and not sample.y[:4, 1:].any()


def test_pros_anchor_lies_outside_the_piece():
    recipe = replace(QUICK, opening=0.0, side=64)
    samples = [svi.sample_of(recipe, number) for number in range(8)]
    away = [float((s.latents[:, 0] - s.latents[:, 1]).abs().mean()) for s in samples]
    assert min(away) > 0.05


def test_some_of_pros_samples_are_first_windows():
    samples = [svi.sample_of(replace(QUICK, opening=0.5), number) for number in range(40)]
    opening = [s for s in samples if s.handed_over == (1, 1)]
    assert 8 < len(opening) < 32
    for sample in opening:
        assert torch.equal(sample.y[4:, :1], sample.latents[:, :1]) and not sample.y[4:, 1:].any()


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if mode.motion_frames])
def test_the_other_modes_start_from_frames(mode):
    recipe = recipe_of(mode, **{k: getattr(QUICK, k) for k in ("side", "frames")})
    sample = svi.sample_of(recipe, 3)
    known = 1 + (MODES[mode].motion_frames - 1) // 4
    given = sample.y[4:]
    assert torch.allclose(given[:, :known], sample.latents[:, :known], atol=1e-5)
    assert bool(given[:, known + 1 :].any()) == (MODES[mode].ref_pad_num != 0)


def test_the_authors_numbers_of_a_mode():
    assert recipe_of("film").odds.clean == 0.5 and recipe_of("shot").odds.clean == 0.2
    with pytest.raises(UserError, match="no SVI mode"):
        recipe_of("pr0")


def test_errors_go_where_latents_were_handed_over_and_nowhere_else():
    samples = [svi.sample_of(replace(QUICK, opening=0.0), 0), svi.sample_of(QUICK, 1)]
    samples[1] = replace(samples[1], handed_over=(1, 1))
    y = torch.stack([s.y for s in samples])
    errors = rand(2, 16, 1, *y.shape[3:])
    out = recycling.with_errors(y, errors, samples)
    assert torch.allclose(out[0, 4:, 1], y[0, 4:, 1] + errors[0, :, 0])
    out[0, 4:, 1] = y[0, 4:, 1]
    assert torch.equal(out, y)


def test_small_models_may_have_errors_in_the_condition_alone():
    bank = Bank()
    for kind in ("latent", "noise"):
        add(bank, kind, 500.0, torch.ones(16, 5, 2, 2))
    always = Odds(1, 1, 1, 0, 1)
    t, shape = torch.full((4,), 500.0), torch.Size((4, 16, 5, 2, 2))
    for only in (False, True):
        recipe = replace(QUICK, odds=always, reference_only=only)
        drawn = recycling.draw_errors(bank, recipe, t, shape, torch.Generator().manual_seed(0))
        assert drawn.condition.any() and bool(drawn.latent.any()) != only
        assert bool(drawn.noise.any()) != only


def test_the_bell_is_zero_at_its_least_one_on_average_and_highest_in_the_middle():
    schedule = 1000 * flow.shifted(torch.linspace(1, 0, 1001)[:-1], 5.0)
    weights = recycling.bell(schedule, 5.0)
    assert float(weights.min()) == pytest.approx(0, abs=1e-6)
    assert float(weights.mean()) == pytest.approx(1, abs=1e-4)
    assert abs(float(schedule[weights.argmax()]) - 500) < 5


def test_a_lora_file_is_one_that_wangp_reads_and_says_how_it_was_made(tmp_path):
    path = train(model(), QUICK, tmp_path, {"base": "test"})
    report = inspect_file(path)
    assert report.ranks == [2] and report.formats == ["ComfyUI"]
    tensors, about = checkpoint.load(path)
    assert about["svi_training"]["recipe"]["steps"] == 6
    assert about["svi_training"]["base"] == "test"
    assert {name.rsplit(".lora_")[0] for name in tensors} == {
        f"diffusion_model.blocks.0.{module}"
        for module in (
            *(f"{attention}_attn.{leaf}" for attention in ("self", "cross") for leaf in "qkvo"),
            "ffn.0",
            "ffn.2",
        )
    }
    assert not list(tmp_path.glob("*.state.safetensors"))


def test_a_merged_lora_is_the_trained_one(tmp_path):
    trained = model()
    path = train(trained, replace(QUICK, rate=0.05), tmp_path)
    x, y = rand(1, 16, 3, 2, 2), rand(1, 20, 3, 2, 2, seed=1)
    arguments = (x, torch.tensor([700.0]), words.encode_all(["a red disc"]), y)
    with torch.no_grad():
        merged = svi.load_lora(model(), path)(*arguments)
        assert torch.allclose(merged, trained(*arguments), atol=0.05)  # the file is bfloat16
        assert not torch.allclose(merged, model()(*arguments), atol=0.05)


def test_a_lora_of_another_model_is_refused(tmp_path):
    path = train(model(), QUICK, tmp_path)
    with pytest.raises(UserError, match="does not fit"):
        svi.load_lora(tiny.new_model(replace(SMALL, ffn_dim=96), 0), path)


def test_training_that_was_stopped_gives_what_it_would_have_given(tmp_path):
    torch.set_num_threads(1)
    whole, _ = checkpoint.load(train(model(), QUICK, tmp_path / "whole"))
    assert train(model(), QUICK, tmp_path / "parts", stop_after=4) is None
    parts, _ = checkpoint.load(train(model(), QUICK, tmp_path / "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_training_goes_on_only_with_the_same_settings(tmp_path):
    assert train(model(), QUICK, tmp_path, stop_after=1) is None
    with pytest.raises(UserError, match="other settings"):
        train(model(), replace(QUICK, rank=4, steps=9, rate=2.0), tmp_path)
