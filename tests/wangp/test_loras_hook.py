"""What the LoRA hook does, with a stand-in for WanModel; test_loras.py has the real one."""

import sys
import types
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "lora"))

from lora_formats import MODULES, formats, grid, pairs, shaped

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi import pose
from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.windows import Chain
from wan2gp_svi.wangp import loras
from wan2gp_svi.wangp.run import Run, set_current
from wan2gp_svi.wangp.settings import Settings

WANTED = {f"diffusion_model.{m}.{part}.weight" for m in MODULES for part in ("lora_A", "lora_B")}


def a_model(names=tuple(MODULES)):
    """A class with modules of these names, whose own preprocessing notes what it was given."""

    class WanModel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name in names:
                place = self
                for part in name.split("."):
                    if part not in dict(place.named_children()):
                        place.add_module(part, torch.nn.Module())
                    place = getattr(place, part)

        def preprocess_loras(self, model_type, sd):
            self.given = (model_type, sd)
            return dict(sd)

    return WanModel


@pytest.fixture
def svi():
    set_current(Run(Settings(), Carry(Chain())))
    yield
    set_current(None)


@pytest.fixture
def model():
    namespace = {"WanModel": a_model()}
    loras.attach(namespace)
    loras.attach(namespace)
    return namespace["WanModel"]()


@pytest.mark.parametrize("label", formats())
def test_wangp_is_given_the_names_it_reads_and_the_same_tensors(model, label):
    make, _, _ = formats()[label]
    sd = make(pairs())
    result = model.preprocess_loras("i2v_2_2_svi2pro", sd)
    assert {name for name in result if not name.endswith(".alpha")} == WANTED
    before = {id(tensor) for tensor in sd.values()}
    assert all(id(tensor) in before for tensor in result.values())
    assert model.given[0] == "i2v_2_2_svi2pro"


def test_what_wangp_reads_goes_through_untouched(model):
    sd = formats()["comfy"][0](pairs())
    model.preprocess_loras("t2v", sd)
    assert model.given[1] is sd


def test_nothing_goes_through_too(model):
    assert model.preprocess_loras("t2v", {}) == {}


def test_image_keys_are_left_out_where_there_is_no_image_attention(model, capsys):
    sd = formats()["dit"][0](pairs())
    for side, shape in (("A", (4, 256)), ("B", (256, 4))):
        sd[f"dit.blocks.0.cross_attn.k_img.lora_{side}.weight"] = grid(*shape, seed=1)
    assert model.preprocess_loras("i2v_2_2_svi2pro", sd).keys() == WANTED


def test_image_keys_stay_where_there_is_one():
    namespace = {"WanModel": a_model((*MODULES, "blocks.0.cross_attn.k_img"))}
    loras.attach(namespace)
    name = "blocks.0.cross_attn.k_img.lora_{}.weight"
    sd = {
        f"dit.{name.format('A')}": grid(4, 8, seed=1),
        f"dit.{name.format('B')}": grid(8, 4, seed=1),
    }
    result = namespace["WanModel"]().preprocess_loras("i2v", sd)
    assert set(result) == {f"diffusion_model.{name.format(side)}" for side in "AB"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lora_unet_double_blocks_0_img_attn_proj.lora_up.weight", "Flux or HunyuanVideo"),
        ("blocks.77.self_attn.q.diff", "another variant of Wan"),
    ],
)
def test_what_the_model_has_no_place_for_stops(model, svi, name, says):
    sd = formats()["dit"][0](pairs()) | {name: grid(8, 8, seed=1)}
    with pytest.raises(UserError, match=says) as error:
        model.preprocess_loras("i2v_2_2", sd)
    assert name in str(error.value)


def test_without_svi_a_strange_file_is_wangps_to_judge(model, capsys):
    """mmgp 3.6.10 skips strange keys where the first one is not strange."""
    strange = "blocks.77.self_attn.q.diff"
    sd = formats()["comfy"][0](pairs()) | {strange: grid(8, 8, seed=1)}
    assert set(model.preprocess_loras("i2v_2_2", sd)) == set(sd)
    assert model.given[1] is sd
    assert "another variant of Wan" in capsys.readouterr().out


def test_vace_blocks_come_first_and_bare_because_wangp_looks_for_that(model):
    sd = {}
    for block in ("blocks.0", "vace_blocks.1"):
        sd[f"dit.{block}.self_attn.q.lora_A.weight"] = grid(4, 8, seed=1)
        sd[f"dit.{block}.self_attn.q.lora_B.weight"] = grid(8, 4, seed=1)
    result = loras.renamed(sd, frozenset())
    assert next(iter(result)).startswith("vace_blocks.1.")
    assert list(result)[-1].startswith("blocks.0.")


def test_an_error_of_ours_leaves_the_file_to_wangp(model, monkeypatch, capsys):
    def broken(*args, **kwargs):
        raise RuntimeError("ours")

    monkeypatch.setattr(loras.keys, "plan", broken)
    sd = formats()["comfy"][0](pairs())
    model.preprocess_loras("i2v_2_2", sd)
    assert model.given[1] is sd


def slists(*multipliers):
    """As WanGP's parse_loras_multipliers fills them: (phase 1, phase 2) of each LoRA."""
    first, second = zip(*multipliers, strict=True)
    return {"phase1": list(first), "phase2": list(second), "phase3": [1.0] * len(first)}


def warned(files, phases, **more):
    adapters = {str(number): str(file) for number, file in enumerate(files)}
    pipeline = types.SimpleNamespace(model=types.SimpleNamespace(_loras_adapters=adapters))
    kwargs = {"guide_phases": 2, "model_switch_phase": 1, "model_type": "i2v_2_2_svi2pro"}
    return loras.wrong_pairs(pipeline, {**kwargs, "loras_slists": phases, **more})


def test_wrong_pairs_are_seen_in_what_generate_is_called_with(tmp_path):
    high = shaped(tmp_path / "wan22_high_noise.safetensors", 5120)
    low = shaped(tmp_path / "wan22_low_noise.safetensors", 5120)
    assert warned([high, low], slists((1.0, 0.0), (0.0, 1.0))) == []
    assert warned([high, low], slists(([0.5, 0.0], [0.0]), (0.0, [0.0, 1.0]))) == []
    assert len(warned([high, low], slists((0.0, 1.0), (1.0, 0.0)))) == 2
    assert len(warned([high], slists(([0.5, 0.0], [0.0, 0.1])))) == 1
    three = slists((1.0, 1.0), (0.0, 0.0)) | {"phase3": [0.0, 1.0]}
    assert warned([high, low], three, guide_phases=3, model_switch_phase=2) == []
    assert len(warned([high, low], three, guide_phases=3, model_switch_phase=1)) == 1


def test_without_loras_there_is_no_warning(tmp_path):
    assert warned([], slists((1.0, 1.0))) == []
    assert warned([tmp_path / "x.safetensors"], None) == []
    assert warned([tmp_path / "x.safetensors"], {"phase1": [], "phase2": []}) == []


def svi_dance():
    """A file as that of SVI-Dance: a LoRA, in the authors' names, and the pose adapter."""
    lora = {
        f"pipe.dit.{module}.{part}.default.weight": torch.ones(2, 2)
        for module in MODULES
        for part in ("lora_A", "lora_B")
    }
    return {**lora, **{name: torch.zeros(shape) for name, shape in pose.shapes(8).items()}}


def test_the_pose_adapter_beside_a_lora_is_not_wangps_to_load(svi, model):
    set_current(Run(Settings(), Carry(Chain(), MODES["dance"])))
    found = model.preprocess_loras("i2v", svi_dance())
    assert set(found) == WANTED


def test_in_another_mode_it_is_refused_by_name(svi, model):
    with pytest.raises(UserError, match="SVI-Dance"):
        model.preprocess_loras("i2v", svi_dance())
