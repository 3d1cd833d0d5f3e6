import json

import pytest
import torch
from lora_formats import entry, formats, pairs, raw, shaped, write
from safetensors.torch import save_file

from wan2gp_svi.cli import main
from wan2gp_svi.lora.inspect import inspect_file


@pytest.mark.parametrize(
    ("name", "dim", "extra", "fits"),
    [
        ("x", 5120, ["cross_attn.k_img"], "Wan 2.1 i2v 14B"),
        ("x", 5120, [], "Wan 2.1 or 2.2 14B"),
        ("x", 3072, [], "Wan 2.2 5B"),
        ("x", 1536, [], "Wan 2.1 1.3B"),
        ("x", 4096, [], "unknown"),
        (
            "SVI_Wan2.2-I2V-A14B_high_noise_lora_v2.0_pro",
            5120,
            [],
            "Wan 2.2 i2v 14B, high noise (version, task, noise by its name)",
        ),
        (
            "SVI_Wan2.2-I2V-A14B_low_noise_lora_v2.0",
            5120,
            [],
            "Wan 2.2 i2v 14B, low noise (version, task, noise by its name)",
        ),
        (
            "SVI_Wan2.1-I2V-14B_lora_v2.0_pro",
            5120,
            [],
            "Wan 2.1 i2v 14B (version, task by its name)",
        ),
        ("svi-film-opt-10212025", 5120, [], "Wan 2.1 i2v 14B (version, task by its name)"),
        (
            "Wan2.2_I2V_A14B_HIGH_4steps_lora_rank64_Seko_V1_forKJ",
            5120,
            [],
            "Wan 2.2 i2v 14B, high noise (version, task, noise by its name)",
        ),
        (
            "Wan21_I2V_14B_lightx2v_cfg_step_distill_lora_rank64",
            5120,
            ["cross_attn.k_img"],
            "Wan 2.1 i2v 14B",
        ),
        ("my_highres_low_rank_style", 5120, [], "Wan 2.1 or 2.2 14B"),
        ("highlow_merge-high-low", 5120, [], "Wan 2.1 or 2.2 14B"),
        (
            "wan22_style_H_HighNoise",
            5120,
            [],
            "Wan 2.2 14B, high noise (version, noise by its name)",
        ),
        ("style_low", 5120, [], "Wan 2.2 14B, low noise (version, noise by its name)"),
        ("style_high", 3072, [], "Wan 2.2 5B"),
        ("allow_slow_below", 5120, [], "Wan 2.1 or 2.2 14B"),
    ],
)
def test_the_base_model(tmp_path, name, dim, extra, fits):
    path = shaped(tmp_path / f"{name}.safetensors", dim, extra)
    assert str(inspect_file(path).base) == fits


def test_metadata_tell_what_a_name_does_not(tmp_path):
    metadata = {"ss_sd_model_name": "wan2.2_i2v_low_noise_14B_fp16.safetensors"}
    path = shaped(tmp_path / "mine.safetensors", 5120, metadata=metadata)
    assert str(inspect_file(path).base) == (
        "Wan 2.2 i2v 14B, low noise (version, task, noise by its metadata)"
    )


def test_the_name_goes_before_the_metadata(tmp_path):
    path = shaped(
        tmp_path / "a_high_noise.safetensors", 5120, metadata={"ss_output_name": "a_low_noise"}
    )
    assert inspect_file(path).base.noise == "high"


def test_blocks_are_counted(tmp_path):
    assert inspect_file(shaped(tmp_path / "a.safetensors", 5120)).blocks == "2 of 40 (0 to 1)"


@pytest.mark.parametrize(
    ("label", "alone", "extended"),
    [
        ("comfy", "loads", "loads as it is"),
        ("kohya", "loads", "loads as it is"),
        ("bare", "loads", "loads as it is"),
        ("transformer", "loads", "loads as it is"),
        ("pipe_dit_default", "stops", "renamed in memory"),
        ("diffusers", "stops", "renamed in memory"),
        ("peft", "stops", "renamed in memory"),
        ("mixed", "skipped", "renamed in memory"),
    ],
)
def test_what_wangp_would_do(tmp_path, label, alone, extended):
    path = tmp_path / "x.safetensors"
    write(label, path)
    report = inspect_file(path)
    assert alone in report.alone and extended in report.extended


def test_strength_rank_and_type(tmp_path):
    path = tmp_path / "x.safetensors"
    make, _, strength = formats()["kohya"]
    save_file(make({m: (a.half(), b.half()) for m, (a, b) in pairs().items()}), path)
    report = inspect_file(path)
    assert (report.ranks, report.strength) == ([4], [strength])
    assert report.dtypes == ["F16", "F32"] and report.tensors == 36


def test_a_header_in_another_order_is_said_to_be_misread(tmp_path):
    names = [f"blocks.0.ffn.0.lora_{side}.weight" for side in "BA"]
    entries = {names[0]: entry("U8", [3, 1], 2, 5), names[1]: entry("U8", [1, 2], 0, 2)}
    report = inspect_file(raw(tmp_path / "x.safetensors", entries, b"AABBB"))
    assert "misread" in report.alone and "convert" in report.extended


def test_whole_weight_differences_are_noted(tmp_path):
    sd = formats()["comfy"][0](pairs())
    sd["diffusion_model.blocks.0.norm3.diff"] = torch.zeros(256)
    save_file(sd, tmp_path / "x.safetensors")
    assert ".diff" in inspect_file(tmp_path / "x.safetensors").notes[0]


def test_the_command(tmp_path, capsys):
    path = tmp_path / "SVI_high_noise.safetensors"
    write("pipe_dit_default", path)
    assert main(["lora", "inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert "DiffSynth" in said and "renamed in memory" in said
    assert main(["lora", "inspect", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["formats"] == ["DiffSynth"] and found["ranks"] == [4]
    assert main(["lora", "inspect", str(tmp_path / "no.safetensors")]) == 2
    assert "does not exist" in capsys.readouterr().err
