"""LoRA files of every format in the real WanGP: mmgp applies W + strength * B.A, to the bit.

What "to the bit" means here. mmgp does not merge: it adds s * (x @ A.T) @ B.T to x @ W.T + bias,
in float32. Fed with unit vectors a layer shows the weights it acts with. All numbers lie on a grid
(multiples of 1/8), where float32 makes no rounding error in whatever order it sums, so the result
must equal bias + (W + s * B.A).T, computed in float64 from the numbers the file was made of, in
every bit. For numbers that are not on a grid, each format must give the same bits as the same
matrices in the format that WanGP reads by itself, loaded without the extension.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lora"))

from lora_formats import ALPHA, MODULES, RANK, entry, formats, grid, pairs, raw  # noqa: E402

RANDOM = pairs(rank=3, random=True)
IMAGE = "diffusion_model.blocks.0.cross_attn.k_img"
UNKNOWN = "lora_unet_double_blocks_0_img_attn_proj.lora_up.weight"


def write_cases(folder):
    """The files, and what to do with them; returns {case: [(strength * multiplier, pairs)]}."""
    cases, truth = [], {}

    def case(name, files, multipliers=(1.0,), hooked=True, adds=None):
        cases.append(
            {"name": name, "files": files, "multipliers": list(multipliers), "hooked": hooked}
        )
        truth[name] = adds

    def file(name, tensors, metadata=None):
        save_file(tensors, folder / name, metadata=metadata)
        return name

    for label, (make, metadata, strength) in formats().items():
        exact = file(f"{label}.safetensors", make(pairs()), metadata)
        case(f"exact {label}", [exact], adds=[(strength, pairs())])
        other = file(f"{label}_random.safetensors", make(RANDOM), metadata)
        case(f"random {label}", [other])
    case("half", ["pipe_dit.safetensors"], [0.5], adds=[(0.5, pairs())])
    case(
        "two files",
        ["pipe_dit_default.safetensors", "kohya.safetensors"],
        [1.0, 0.5],
        adds=[(1.0, pairs()), (0.5 * ALPHA / RANK, pairs())],
    )
    case("off", ["pipe_dit.safetensors"], [0.0], adds=[])
    # the same matrices as WanGP reads them by itself, for each strength that occurs
    for alpha in (None, ALPHA, 6.0, 6 * 3**0.5):
        comfy = formats()["comfy"][0](RANDOM)
        if alpha is not None:
            value = torch.tensor(alpha, dtype=torch.float64)
            comfy |= {f"diffusion_model.{module}.alpha": value.clone() for module in MODULES}
        name = file(f"reference_{alpha}.safetensors", comfy)
        case(f"reference {alpha}", [name], hooked=False)
    bare = formats()["pipe_dit_default"][0](pairs())
    case("alone", ["pipe_dit_default.safetensors"], hooked=False)
    image = {f"{IMAGE}.lora_A.weight": grid(4, 256, seed=1)}
    image[f"{IMAGE}.lora_B.weight"] = grid(256, 4, seed=2)
    case("image keys", [file("image.safetensors", bare | image)], adds=[(1.0, pairs())])
    unknown = file("unknown.safetensors", bare | {UNKNOWN: grid(8, 8, seed=1)})
    case("unknown", [unknown])
    harmless = {"lora_te_text_model_0.lora_up.weight": grid(8, 8, seed=1)}
    case("harmless", [file("harmless.safetensors", bare | harmless)], adds=[(1.0, pairs())])
    bias = {f"pipe.dit.{module}.diff_b": grid(MODULES[module][2], seed=5) for module in MODULES}
    case("bias", [file("bias.safetensors", bare | bias)])
    names = [f"diffusion_model.blocks.0.ffn.0.lora_{side}.weight" for side in "BA"]
    shuffled = {
        names[0]: entry("F32", [256, 1], 1024, 2048),
        names[1]: entry("F32", [1, 256], 0, 1024),
    }
    numbers = [grid(1, 256, seed=7), grid(256, 1, seed=8)]  # A's bytes, then B's
    data = b"".join(tensor.numpy().tobytes() for tensor in numbers)
    raw(folder / "shuffled.safetensors", shuffled, data)
    case("shuffled", ["shuffled.safetensors"])
    case("shuffled alone", ["shuffled.safetensors"], hooked=False)
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "modules.json").write_text(json.dumps(list(MODULES)))
    return truth


@pytest.fixture(scope="module")
def run(wangp_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("loras")
    truth = write_cases(folder)
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    python = os.environ.get("WANGP_PYTHON", sys.executable)
    command = [python, HERE / "drive_loras.py", wangp_dir, folder, folder / "out.pt"]
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=1800
    )
    if done.returncode:
        pytest.fail("WanGP did not run: " + done.stderr[-3000:])
    results = torch.load(folder / "out.pt", weights_only=True)
    print("mmgp", results["mmgp"])
    return results, truth, done.stdout


def exactly(results, adds):
    """What each layer must make of the unit vectors, in float64 and then float32."""
    expected = {}
    for module, (weight, bias) in results["weights"].items():
        total = weight.double()
        for strength, data in adds:
            a, b = data[module]
            total = total + strength * (b.double() @ a.double())
        expected[module] = total.T + bias.double()
        assert torch.equal(expected[module].float().double(), expected[module]), "not on the grid"
    return {module: tensor.float() for module, tensor in expected.items()}


def check_exact(run, name):
    results, truth, _ = run
    case = results["cases"][name]
    assert case["raised"] is None and case["errors"] == []
    expected = exactly(results, truth[name])
    for module in MODULES:
        assert torch.equal(case["outputs"][module], expected[module]), module


# sqrt(4) is exact, so use_rslora stays on the grid: 6 * 2 / 4 = 3
@pytest.mark.parametrize("label", formats())
def test_each_format_acts_with_w_plus_strength_b_a_to_the_bit(run, label):
    check_exact(run, f"exact {label}")
    assert run[0]["cases"][f"exact {label}"]["copied"] == 0


# alphas at rank 3: stored 3; lora_alpha 6; with use_rslora 6/sqrt(3), which is alpha 6*sqrt(3)
REFERENCE = {
    **{label: None for label, (_, _, strength) in formats().items() if strength == 1},
    **{label: ALPHA for label, (_, _, strength) in formats().items() if strength == 0.75},
    "diffusers_config": 6.0,
    "diffusers_rslora": 6 * 3**0.5,
}


@pytest.mark.parametrize("label", formats())
def test_each_format_gives_the_bits_of_wangps_own_format(run, label):
    cases = run[0]["cases"]
    ours, theirs = cases[f"random {label}"], cases[f"reference {REFERENCE[label]}"]
    assert ours["raised"] is None and ours["errors"] == [] and theirs["errors"] == []
    for module in MODULES:
        assert torch.equal(ours["outputs"][module], theirs["outputs"][module]), module
        assert not torch.equal(ours["outputs"][module], exactly(run[0], [])[module])


@pytest.mark.parametrize("name", ["half", "two files", "off", "image keys", "harmless"])
def test_more_of_it(run, name):
    check_exact(run, name)


def test_without_the_extension_the_authors_files_do_not_load(run):
    """If WanGP learns this, the renaming can go."""
    case = run[0]["cases"]["alone"]
    assert case["raised"] or "unexpected module keys" in case["errors"][0]


def test_differences_of_biases_act(run):
    results, _, _ = run
    case = results["cases"]["bias"]
    expected = exactly(results, [(1.0, pairs())])
    for module in MODULES:
        change = grid(MODULES[module][2], seed=5)
        assert torch.equal(case["outputs"][module], expected[module] + change)


def test_unknown_keys_stop_with_a_sentence(run):
    kind, said = run[0]["cases"]["unknown"]["raised"]
    assert kind == "UserError" and "unknown.safetensors" in said
    assert "Flux or HunyuanVideo" in said and UNKNOWN in said


def test_a_file_that_mmgp_would_misread_stops(run):
    kind, said = run[0]["cases"]["shuffled"]["raised"]
    assert kind == "UserError" and "another order" in said and "lora convert" in said
    results = run[0]
    alone = results["cases"]["shuffled alone"]["outputs"]["blocks.0.ffn.0"]
    a, b = grid(1, 256, seed=7), grid(256, 1, seed=8)
    weight, bias = results["weights"]["blocks.0.ffn.0"]
    assert not torch.equal(alone, (weight + b @ a).T + bias), "mmgp reads the offsets now"
    mixed_up = b.reshape(1, 256), a.reshape(256, 1)
    assert torch.equal(alone, (weight + mixed_up[1] @ mixed_up[0]).T + bias)


def test_the_console_says_what_was_done(run):
    assert "[SVI] pipe_dit_default.safetensors: DiffSynth keys, renamed in memory." in run[2]
    assert "[SVI] comfy" not in run[2]
