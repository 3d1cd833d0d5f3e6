"""LoRA files on the small model: W + s B A, and out again to the bit."""

import pytest
import torch
from models.wan.modules.model import WanModel
from safetensors.torch import save_file
from shared.loras import load_loras_into_model, parse_multipliers, unload_loras_from_model

LAYERS = ("blocks.0.self_attn.q", "blocks.1.ffn.0", "blocks.1.cross_attn.v")


def write(path, seed, rank=3, prefix="diffusion_model.", layers=LAYERS):
    generator, tensors = torch.Generator().manual_seed(seed), {}
    shapes = {
        name: m.weight.shape for name, m in WanModel(seed=1).named_modules() if name in layers
    }
    for name, (rows, columns) in shapes.items():
        tensors[f"{prefix}{name}.lora_A.weight"] = torch.randn(rank, columns, generator=generator)
        tensors[f"{prefix}{name}.lora_B.weight"] = torch.randn(rows, rank, generator=generator)
    save_file(tensors, path)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_a_layer_gives_what_it_gave_and_the_delta(tmp_path):
    model = WanModel(seed=1)
    one = write(tmp_path / "one.safetensors", seed=1)
    two = write(tmp_path / "two.safetensors", seed=2, rank=5, prefix="", layers=LAYERS[:1])
    x = {n: torch.randn(4, model.get_submodule(n).in_features) for n in LAYERS}
    expected = {}
    for name in LAYERS:
        out = model.get_submodule(name)(x[name])
        for tensors, strength in ((one, 0.7), (two, -0.4)):
            if f"{name}.lora_A.weight" in tensors:
                down, up = tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"]
                out = out + strength * (x[name] @ down.T) @ up.T
        expected[name] = out
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    load_loras_into_model(model, files, [0.7, -0.4], "i2v_2_2")
    for name in LAYERS:
        found = model.get_submodule(name)(x[name])
        torch.testing.assert_close(found, expected[name], atol=1e-4, rtol=1e-4)


def test_other_layers_stay_and_unloading_gives_the_bits_back(tmp_path):
    model = WanModel(seed=1)
    before = weights(model)
    write(tmp_path / "one.safetensors", seed=1)
    for _ in range(2):  # a second load takes the place of the first, it does not add up
        load_loras_into_model(model, [tmp_path / "one.safetensors"], [1.0], "i2v_2_2")
    changed = {name for name, p in weights(model).items() if not torch.equal(p, before[name])}
    assert changed == {f"{name}.weight" for name in LAYERS}
    once = weights(model)["blocks.0.self_attn.q.weight"]
    load_loras_into_model(model, [tmp_path / "one.safetensors"], [1.0], "i2v_2_2")
    assert torch.equal(weights(model)["blocks.0.self_attn.q.weight"], once)
    unload_loras_from_model(model)
    assert all(torch.equal(p, before[name]) for name, p in weights(model).items())


def test_strength_zero_changes_nothing(tmp_path):
    model = WanModel(seed=1)
    before = weights(model)
    write(tmp_path / "one.safetensors", seed=1)
    load_loras_into_model(model, [tmp_path / "one.safetensors"], [0.0], "i2v_2_2")
    assert all(torch.equal(p, before[name]) for name, p in weights(model).items())


def test_keys_of_another_format_are_refused_and_nothing_stays(tmp_path):
    model = WanModel(seed=1)
    before = weights(model)
    write(tmp_path / "good.safetensors", seed=1)
    write(tmp_path / "authors.safetensors", seed=1, prefix="pipe.dit.")
    files = [tmp_path / "good.safetensors", tmp_path / "authors.safetensors"]
    with pytest.raises(ValueError, match=r"authors\.safetensors: unexpected key pipe\.dit"):
        load_loras_into_model(model, files, [1.0, 1.0], "i2v_2_2")
    assert all(torch.equal(p, before[name]) for name, p in weights(model).items())


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("1;0 0;1", 2, [(1, 0), (0, 1)]),
        ("0.8", 1, [(0.8, 0.8)]),
        ("", 2, [(1, 1), (1, 1)]),
        ("0.5;1 2 3", 2, [(0.5, 1), (2, 2)]),
    ],
)
def test_multipliers(text, count, expected):
    assert parse_multipliers(text, count) == expected
