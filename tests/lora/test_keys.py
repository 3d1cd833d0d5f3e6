import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_formats import ALPHA, MODULES, RANK, formats, pairs

from wan2gp_svi.errors import UserError
from wan2gp_svi.lora import keys

LEAVES = [*keys._BLOCK]
ALL = [
    *(f"blocks.{n}.{leaf}" for n in range(40) for leaf in LEAVES),
    *(f"vace_blocks.{n}.{leaf}" for n in range(8) for leaf in LEAVES),
    *keys._TOP,
]


def plan_of(sd, metadata=None, **more):
    shapes = {name: tuple(tensor.shape) for name, tensor in sd.items()}
    alphas = {name: float(tensor) for name, tensor in sd.items() if name.endswith(".alpha")}
    config = keys.adapter_config(sd, metadata or {}, None)
    return keys.plan(shapes, alphas, config, **more)


@pytest.mark.parametrize("label", formats())
def test_each_format_gets_the_common_names_and_its_tools_strength(label):
    make, metadata, strength = formats()[label]
    plan = plan_of(make(pairs()), metadata)
    wanted = {
        f"diffusion_model.{m}.{part}.weight" for m in MODULES for part in ("lora_A", "lora_B")
    }
    assert {new for new in plan.names.values() if not new.endswith(".alpha")} == wanted
    assert plan.strength == dict.fromkeys(MODULES, strength)
    assert plan.ranks == dict.fromkeys(MODULES, RANK)
    assert not plan.unknown


@pytest.mark.parametrize(
    ("label", "format"),
    [
        ("pipe_dit_default", keys.DIFFSYNTH),
        ("bare_default", keys.DIFFSYNTH),
        ("checkpoint_prefix", keys.CHECKPOINT),
        ("peft", keys.PEFT),
        ("bare", keys.BARE),
        ("comfy", keys.COMFY),
        ("transformer", keys.TRANSFORMER),
        ("kohya", keys.KOHYA),
    ],
)
def test_the_format_is_named(label, format):
    assert plan_of(formats()[label][0](pairs())).formats == [format]


def test_flattened_names_are_unambiguous():
    flat = [name.replace(".", "_") for name in ALL]
    assert len(set(flat)) == len(ALL)
    for name in ALL:
        key = keys.parse(f"lora_unet_{name.replace('.', '_')}.lora_down.weight")
        assert key is not None and key.module == name


def test_no_flattened_diffusers_name_is_a_wan_name():
    ours = {name.replace(".", "_") for name in (*keys._BLOCK, *keys._TOP)}
    theirs = {
        name.replace(".", "_")
        for name, wan in (keys._DIFFUSERS_BLOCK | keys._DIFFUSERS_TOP).items()
        if name != wan
    }
    assert not ours & theirs


@settings(deadline=None)
@given(
    st.sampled_from(ALL),
    st.sampled_from(["", "pipe.dit.", "dit.", "diffusion_model.", "model.diffusion_model."]),
    st.sampled_from(["lora_A", "lora_B", "lora_down", "lora_up", "lora.down", "lora.up"]),
    st.sampled_from(["", ".default", ".high_noise"]),
)
def test_the_common_name_is_a_fixed_point(module, prefix, side, adapter):
    key = keys.parse(f"{prefix}{module}.{side}{adapter}.weight")
    assert key is not None and key.module == module
    again = keys.parse(key.common)
    assert again is not None and again.common == key.common


@settings(deadline=None)
@given(st.text() | st.lists(st.sampled_from(["lora_unet_", "blocks", ".", "0", "lora_A", "alpha"])))
def test_any_text_is_a_key_or_none(text):
    key = keys.parse(text if isinstance(text, str) else "".join(text))
    assert key is None or keys.parse(key.common) is not None


def test_the_models_own_modules_count():
    own = frozenset({"blocks.0.audio_cross_attn.q", "motion_encoder.fc"})
    assert keys.parse("pipe.dit.blocks.0.audio_cross_attn.q.lora_A.weight") is None
    for written in (
        "pipe.dit.blocks.0.audio_cross_attn.q",
        "lora_unet_blocks_0_audio_cross_attn_q",
    ):
        key = keys.parse(f"{written}.lora_A.weight", own)
        assert key is not None and key.module == "blocks.0.audio_cross_attn.q"


def test_an_own_name_that_is_ambiguous_when_flat_is_unknown():
    assert keys.parse("lora_unet_a_b.lora_A.weight", frozenset({"a.b", "a_b"})) is None


def test_whole_weight_differences_are_kept():
    sd = {
        "pipe.dit.blocks.0.norm3.diff": torch.zeros(256),
        "pipe.dit.blocks.0.norm3.diff_b": torch.zeros(256),
        "pipe.dit.blocks.0.self_attn.q.dora_scale": torch.zeros(256, 1),
    }
    assert list(plan_of(sd).names.values()) == [
        "diffusion_model.blocks.0.norm3.diff",
        "diffusion_model.blocks.0.norm3.diff_b",
        "diffusion_model.blocks.0.self_attn.q.dora_scale",
    ]


def test_alpha_patterns_of_a_configuration():
    make, _, _ = formats()["diffusers"]
    text = (
        '{"transformer.r": 4, "transformer.lora_alpha": 4,'
        ' "transformer.alpha_pattern": {"attn1.to_q": 2, "^blocks.0.attn1.to_k": 8, "q": 99}}'
    )
    plan = plan_of(make(pairs()), {"lora_adapter_metadata": text})
    assert plan.strength["blocks.0.self_attn.q"] == 0.5
    assert plan.strength["blocks.0.self_attn.k"] == 2
    assert plan.strength["blocks.1.self_attn.v"] == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"transformer.lora_alpha": "x"}', "[" * 9999])
def test_a_broken_configuration_counts_for_nothing(text):
    make, _, _ = formats()["diffusers"]
    plan = plan_of(make(pairs()), {"lora_adapter_metadata": text})
    assert set(plan.strength.values()) == {1.0} and not plan.alphas


def test_a_configuration_file_beside_several_loras_is_not_theirs(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 8}')
    mine, other = tmp_path / "mine.safetensors", tmp_path / "adapter_model.safetensors"
    mine.touch()
    names = ["base_model.model.blocks.0.ffn.0.lora_A.weight"]
    assert keys.adapter_config(names, {}, mine) == {"r": 4, "lora_alpha": 8}
    other.touch()
    assert keys.adapter_config(names, {}, mine) == {}
    assert keys.adapter_config(names, {}, other) == {"r": 4, "lora_alpha": 8}
    assert keys.adapter_config(["blocks.0.ffn.0.lora_A.weight"], {}, other) == {}


A, B = torch.zeros(RANK, 8), torch.zeros(8, RANK)
Q = "blocks.0.self_attn.q"


@pytest.mark.parametrize(
    ("sd", "says"),
    [
        (
            {f"{Q}.lora_A.weight": A, f"diffusion_model.{Q}.lora_A.weight": A},
            "two tensors for one place",
        ),
        ({f"{Q}.lora_A.weight": A}, "no lora_B"),
        ({f"{Q}.lora_up.weight": B}, "no lora_A"),
        ({f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": torch.zeros(8, 5)}, "do not fit"),
        ({f"{Q}.lora_A.weight": A[:0], f"{Q}.lora_B.weight": B[:, :0]}, "do not fit"),
        (
            {"patch_embedding.lora_A.weight": torch.zeros(4, 36, 1, 2, 2)}
            | {"patch_embedding.lora_B.weight": torch.zeros(8, 4, 1, 1, 1)},
            "convolution",
        ),
        (
            {f"{Q}.lora_A.weight": A, f"{Q}.lora_B.weight": B}
            | {f"{Q}.alpha": torch.tensor(float("nan"))},
            "no strength",
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(sd, says):
    with pytest.raises(UserError, match=says):
        plan_of(sd, where="x.safetensors")


FLUX = "lora_unet_double_blocks_0_img_attn_proj.lora_up.weight"
UNET = "lora_unet_down_blocks_1_attentions_0_proj_in.lora_up.weight"
LTX = "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight"


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        (FLUX, "Flux or HunyuanVideo"),
        (UNET, "Stable Diffusion"),
        (LTX, "LTX-Video"),
        ("blocks.0.self_attn.q.hada_w1_a", "LoHa"),
        ("transformer_2.blocks.0.attn1.to_q.lora_A.weight", "both Wan 2.2 models"),
        ("pipe.dit.dwpose_embedding.0.weight", "SVI-Dance"),
        ("model.embed.weight", "no LoRA at all"),
        (f"{Q}.lora_magnitude_vector.weight", "DoRA as PEFT"),
    ],
)
def test_unknown_keys_stop_with_a_guess_and_the_first_keys(name, looks):
    sd = formats()["comfy"][0](pairs()) | {name: torch.zeros(8, 8)}
    with pytest.raises(UserError, match=looks) as error:
        keys.check_unknown(plan_of(sd), "x.safetensors")
    assert name in str(error.value) and "x.safetensors" in str(error.value)


def test_few_harmless_keys_are_left_out_and_many_are_not():
    sd = formats()["comfy"][0](pairs()) | {"scaled_fp8": torch.zeros(0)}
    sd["lora_te_text_model_0.lora_up.weight"] = torch.zeros(8, 8)
    plan = plan_of(sd)
    keys.check_unknown(plan, "x")
    assert len(plan.dropped) == 2
    many = sd | {f"lora_te1_text_{n}.lora_up.weight": torch.zeros(2, 2) for n in range(9)}
    with pytest.raises(UserError):
        keys.check_unknown(plan_of(many), "x")


def test_a_file_of_which_nothing_is_left_is_refused():
    with pytest.raises(UserError):
        keys.check_unknown(plan_of({}), "x")
    with pytest.raises(UserError):
        keys.check_unknown(plan_of({"scaled_fp8": torch.zeros(1)}), "x")


def test_stored_alpha_goes_before_the_configuration():
    make, metadata, _ = formats()["diffusers_config"]
    sd = make(pairs())
    modules = {name.split(".lora_")[0] for name in sd}
    sd |= {f"{module}.alpha": torch.tensor(ALPHA) for module in modules}
    plan = plan_of(sd, metadata)
    assert set(plan.strength.values()) == {ALPHA / RANK} and not plan.alphas


def test_names_are_those_of_diffusers_own_converter():
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    # of VACE's own projections diffusers' names are not known here
    names = [name for name in ALL if not name.endswith(("before_proj", "after_proj"))]
    same = set()
    for name in names:
        (theirs,) = convert_wan_transformer_to_diffusers({f"{name}.weight": torch.zeros(1)})
        key = keys.parse(f"transformer.{theirs.removesuffix('.weight')}.lora_A.weight")
        assert key is not None and key.module == name, theirs
        if theirs == f"{name}.weight":
            same.add(name)
    assert same == {"patch_embedding", "vace_patch_embedding", "img_emb.emb_pos"}
