import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_formats import shaped

from wan2gp_svi.lora import check_selection
from wan2gp_svi.lora.selection import phases

PRO = "SVI_Wan2.2-I2V-A14B_{}_noise_lora_v2.0_pro.safetensors"
SVI = "i2v_2_2_svi2pro"


@pytest.fixture
def pro(tmp_path):
    return [shaped(tmp_path / PRO.format(noise), 5120) for noise in ("high", "low")]


@pytest.mark.parametrize(
    ("multipliers", "count", "on"),
    [
        ("1;0 0;1", 2, [[True, False], [False, True]]),
        ("", 2, [[True], [True]]),
        ("0", 1, [[False]]),
        ("0.8,0;0,0.0", 1, [[True, False]]),
        ("# a note\n1;0\n0;1", 2, [[True, False], [False, True]]),
        ("1;0|0;1", 2, [[True, False], [False, True]]),
        ("1;0 0;1 1", 1, [[True, False]]),
        ("1;x", 1, [[True, True]]),
    ],
)
def test_multipliers(multipliers, count, on):
    assert phases(multipliers, count) == on


def test_the_right_pair_gives_no_warning(pro):
    assert check_selection(pro, "1;0 0;1", SVI) == []
    assert check_selection(pro, "1.0;0.0\n0;0.9", "i2v_2_2") == []


def test_the_two_models_exchanged(pro):
    first, second = check_selection(pro, "0;1 1;0", SVI)
    assert "high" in first and '"1;0"' in first and pro[0].name in first
    assert "low" in second and '"0;1"' in second and pro[1].name in second


def test_a_file_on_both_models(pro):
    assert len(check_selection(pro, "", SVI)) == 2
    assert len(check_selection(pro, "1 0;1", SVI)) == 1


def test_a_file_that_is_off_gives_no_warning(pro):
    assert check_selection(pro, "0 0;0", SVI) == []


@pytest.mark.parametrize("multipliers", ["1;1", "", "1;0"])
def test_a_wan_2_1_lora_on_the_high_noise_model(tmp_path, multipliers):
    path = shaped(tmp_path / "style.safetensors", 5120, ["cross_attn.k_img"])
    (warning,) = check_selection([path], multipliers, SVI)
    assert "Wan 2.1" in warning and "high-noise" in warning
    assert check_selection([path], "0;1", SVI) == []
    assert check_selection([path], multipliers, "i2v") == []


def test_a_lora_of_another_size(tmp_path):
    path = shaped(tmp_path / "x.safetensors", 3072)
    (warning,) = check_selection([path], "1", SVI)
    assert "5B" in warning and "14B" in warning
    assert check_selection([path], "1", "ti2v_2_2") == []
    small = shaped(tmp_path / "y.safetensors", 1536)
    assert check_selection([small], "1", "t2v_1.3B") == []


def test_files_that_are_no_loras(tmp_path, pro):
    text = tmp_path / "page.safetensors"
    text.write_text("<html>")
    first, second, third = check_selection(
        [text, tmp_path / "x.pt", tmp_path / "gone.safetensors", pro[0]], "1 1 1 1;0", SVI
    )
    assert "web page" in first and "any code" in second and "does not exist" in third


@settings(deadline=None)
@given(st.text(), st.integers(0, 4))
def test_any_text_is_multipliers(text, count):
    assert len(phases(text, count)) == count
