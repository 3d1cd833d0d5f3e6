"""This extension's own settings: read from WanGP's custom settings, refused in a sentence."""

import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.wangp import page
from wan2gp_svi.wangp.settings import CONTROLS, HELP, IN_TAB, Settings, read, read_mode

ALL = (*CONTROLS, *IN_TAB)


def test_without_settings_it_is_the_authors_way():
    assert read(None) == read({}) == Settings()
    assert Settings() == Settings("new", 1.0, 1, 1.0, (), False)


def test_the_controls_defaults_are_the_defaults():
    assert read({control["id"]: control["default"] for control in ALL}) == Settings()


def test_every_setting_has_a_control_and_a_word_of_help():
    assert [control["id"] for control in ALL] == list(HELP)


def test_values_as_the_page_and_as_files_give_them():
    found = read(
        {
            "svi_seeds": " 7, 49;91 ",
            "svi_anchor_strength": "0.5",
            "svi_motion_latents": 2.0,
            "svi_motion_strength": 1.2,
            "svi_anchor_schedule": "1, 1, 2",
            "svi_length": "Exact",
            "other": "not ours",
        }
    )
    assert found == Settings((7, 49, 91), 0.5, 2, 1.2, (1, 1, 2), True)
    assert read({"svi_seeds": "SAME"}).seeds == "same"
    assert read({"svi_seeds": [1, 2]}).seeds == (1, 2)
    assert read({"svi_seeds": 42}).seeds == (42,)
    assert read_mode({"svi_mode": " Shot "}) == "shot"
    assert read_mode({}) == read_mode(None) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("svi_seeds", "sometimes"),
        ("svi_seeds", "-1"),
        ("svi_seeds", ","),
        ("svi_seeds", "7, 99999999999999999999"),
        ("svi_anchor_strength", "strong"),
        ("svi_anchor_strength", 3),
        ("svi_motion_latents", 9),
        ("svi_motion_strength", float("nan")),
        ("svi_anchor_schedule", "one"),
        ("svi_length", "long"),
    ],
)
def test_what_cannot_be_used_is_named(name, value):
    called = next(control["name"] for control in ALL if control["id"] == name)
    with pytest.raises(UserError, match=rf"^{called} \({name}\)"):
        read({name: value})


@pytest.mark.parametrize(
    ("model", "says"), [({"name": "Fun"}, True), ({"svi_modes": ("film",)}, False)]
)
def test_a_mode_asked_of_a_model_without_it_is_not_lost_in_silence(model, says, capsys):
    inputs = {"custom_settings": {"svi_mode": "film", "other": 1}}
    found, error = page._custom_settings(lambda model_def, given: ({}, None), model, inputs)
    assert error is None
    assert found == ({} if says else {"svi_mode": "film"})
    assert ("Fun runs no SVI mode, and 'film'" in capsys.readouterr().out) == says
