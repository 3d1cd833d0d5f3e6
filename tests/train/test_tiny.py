"""The small Wan: a checkpoint's names, the demo's VAE in batches, training that can be stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wan2gp_svi.demo.host.models.wan.modules.vae import WanVAE
from wan2gp_svi.errors import UserError
from wan2gp_svi.train import base, checkpoint, flow, tiny, words
from wan2gp_svi.train.base import Recipe
from wan2gp_svi.train.commands import WEIGHTS
from wan2gp_svi.train.tiny import Size

SMALL = Size(dim=128, ffn_dim=64, num_heads=1, num_layers=1, freq_dim=32)
QUICK = Recipe(
    frames=9, side=16, batch=2, shared_steps=4, high_steps=3, low_steps=3, warmup=2, size=SMALL
)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_latents_of_a_batch_are_those_of_the_demos_vae():
    videos = rand(2, 3, 9, 16, 24).clamp(-1, 1)
    latents = tiny.encode(videos)
    for video, z in zip(videos, latents, strict=True):
        assert torch.allclose(z, WanVAE().encode([video])[0], atol=1e-6)
        assert torch.allclose(tiny.decode(z[None])[0], WanVAE().decode([z])[0], atol=1e-6)


def test_names_and_shapes_are_a_wan_checkpoints():
    names = {name: tuple(p.shape) for name, p in tiny.TinyWan(SMALL).state_dict().items()}
    assert names["patch_embedding.weight"] == (128, 36, 1, 2, 2)
    assert names["head.head.weight"] == (64, 128) and names["head.modulation"] == (1, 2, 128)
    assert names["time_projection.1.weight"] == (768, 128)
    assert {n.removeprefix("blocks.0.") for n in names if n.startswith("blocks.0.")} == {
        "modulation",
        "norm3.weight",
        "norm3.bias",
        *(f"ffn.{k}.{part}" for k in (0, 2) for part in ("weight", "bias")),
        *(
            f"{attention}_attn.{leaf}.{part}"
            for attention in ("self", "cross")
            for leaf in "qkvo"
            for part in ("weight", "bias")
        ),
        *(f"{a}_attn.norm_{leaf}.weight" for a in ("self", "cross") for leaf in "qk"),
    }


def test_the_small_host_gives_the_same_with_the_same_file(monkeypatch):
    host = Path(__file__).parents[2] / "wan2gp_svi" / "demo" / "host"
    monkeypatch.syspath_prepend(str(host))
    from models.wan.modules.model import trained_model

    file = WEIGHTS / "high.safetensors"
    x, y = rand(1, 16, 3, 8, 8), rand(1, 20, 3, 8, 8, seed=1)
    text, t = words.encode("a red disc moves right over green stripes")[None], torch.tensor([700.0])
    (theirs,) = trained_model(file)([x], t, [text], y=y[0])
    assert torch.allclose(base.load_model(file)(x, t, text, y), theirs, atol=1e-4)


def test_patches_are_what_the_convolution_gives():
    model = tiny.new_model(SMALL, 0)
    x = rand(2, 36, 3, 4, 6)
    seen = model.patch_embedding(x).flatten(2).transpose(1, 2)
    assert torch.allclose(model._patches(x, (3, 2, 3)), seen, atol=1e-5)


def test_each_sample_has_its_own_time_step_and_words():
    model = tiny.new_model(SMALL, 0)
    torch.nn.init.normal_(model.head.head.weight)
    x, y = rand(2, 16, 3, 4, 4), rand(2, 20, 3, 4, 4, seed=1)
    t = torch.tensor([900.0, 100.0])
    text = words.encode_all(["a red disc", "a blue ring moves left"])
    both = model(x, t, text, y)
    for k in range(2):
        alone = model(x[k : k + 1], t[k : k + 1], text[k : k + 1], y[k : k + 1])
        assert torch.allclose(both[k], alone[0], atol=1e-5)
    assert not torch.allclose(both, model(x, t.flip(0), text, y))
    assert not torch.allclose(both, model(x, t, text.flip(0), y))


def test_denoising_with_the_true_velocity_ends_at_the_clean_latents():
    z, noise = rand(1, 16, 3, 4, 4), rand(1, 16, 3, 4, 4, seed=2)
    asked = []

    def expert(name):
        def velocity(x, t, words, y):
            asked.append((name, float(t[0])))
            return noise - z

        return velocity

    out = flow.denoise(expert("high"), expert("low"), noise, torch.zeros(1, 1), z, steps=7)
    assert torch.allclose(out, z, atol=1e-5)
    assert [name == "high" for name, _ in asked] == [t > 875 for _, t in asked]
    assert asked[0] == ("high", 1000.0) and asked[-1][0] == "low"


@pytest.mark.parametrize("phase", base.PHASES)
def test_a_phase_sees_its_own_noise_levels(phase):
    levels = base.noise_levels(phase, 3.0, torch.linspace(0, 1, 101))
    low, high = {"shared": (0, 1), "high": (0.875, 1), "low": (0, 0.875)}[phase]
    assert float(levels.min()) == pytest.approx(low, abs=1e-6)
    assert float(levels.max()) == pytest.approx(high, abs=1e-6)


def test_training_that_was_stopped_gives_what_it_would_have_given(tmp_path):
    torch.set_num_threads(1)
    settings = {"every": 1, "sample_every": 5, "compile_model": False}
    assert base.train(tmp_path / "whole", QUICK, **settings)
    rounds = 0
    while not base.train(tmp_path / "parts", QUICK, **settings, stop_after=3):
        rounds += 1
        assert rounds < 10
    assert rounds == 3
    for name in ("high", "low"):
        one, _ = checkpoint.load(tmp_path / "whole" / f"{name}.safetensors")
        two, _ = checkpoint.load(tmp_path / "parts" / f"{name}.safetensors")
        assert one.keys() == two.keys()
        for key in one:
            assert one[key].dtype == torch.bfloat16 and torch.equal(one[key], two[key]), key
    curves = [(tmp_path / k / "loss.csv").read_text() for k in ("whole", "parts")]
    assert curves[0] == curves[1] and curves[0].count("\n") == 11
    assert list((tmp_path / "whole" / "samples").glob("*.png"))


def test_training_goes_on_only_with_the_same_settings(tmp_path):
    assert not base.train(tmp_path, QUICK, compile_model=False, stop_after=1)
    with pytest.raises(UserError, match="another rate"):
        base.train(tmp_path, replace(QUICK, rate=1.0), compile_model=False)


def test_the_loss_falls(tmp_path):
    torch.set_num_threads(1)
    recipe = replace(QUICK, frames=5, shared_steps=80, warmup=5, reuse=1)
    progress, drawn = base.start(recipe), base.Drawn(recipe)
    losses = [base.train_step(progress, recipe, drawn, progress.model) for _ in range(80)]
    assert np.mean(losses[-15:]) < 0.8 * np.mean(losses[:15])


def test_a_model_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match="no file"):
        base.load_model(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\x80pickle")
    with pytest.raises(UserError, match="cannot be read"):
        base.load_model(tmp_path / "bad.safetensors")
    checkpoint.save(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {})
    with pytest.raises(UserError, match="not a model"):
        base.load_model(tmp_path / "other.safetensors")
