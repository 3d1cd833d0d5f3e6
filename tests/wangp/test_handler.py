"""The model type on a WanGP that does not know it, and on one that does."""

from typing import ClassVar

import pytest

from wan2gp_svi.svi.windows import Chain, plan
from wan2gp_svi.wangp import handler
from wan2gp_svi.wangp.names import PRO


def family(native):
    """A class of static methods as WanGP's handlers are, that remembers what it was asked."""

    class family_handler:
        asked: ClassVar[list] = []

        @staticmethod
        def query_supported_types():
            return ["i2v", "i2v_2_2"] + ([PRO] if native else [])

        @staticmethod
        def query_family_maps():
            return {"t2v_2_2": "t2v"}, {"i2v_2_2": ["i2v_2_2_multitalk"]}

        @staticmethod
        def query_model_def(base_model_type, model_def):
            family_handler.asked.append(base_model_type)
            control = {"i2v_v2v": True, "guide_custom_choices": {}}
            return {
                "i2v_class": True,
                "other": True,
                "group": "wan2_2",
                "profiles_dir": ["wan_2_2"],
                **(control if base_model_type == "i2v_2_2" else {}),
            }

        @staticmethod
        def load_model(model_filename, model_type, base_model_type, model_def, **kwargs):
            family_handler.asked.append(base_model_type)
            return base_model_type

        @staticmethod
        def update_default_settings(base_model_type, model_def, ui_defaults):
            ui_defaults["sample_solver"] = "unipc"
            if base_model_type == "i2v_2_2":
                ui_defaults["denoising_strength"] = 0.9

        @staticmethod
        def fix_settings(base_model_type, settings_version, model_def, ui_defaults):
            ui_defaults["fixed"] = True

    handler.attach({"family_handler": family_handler})
    return family_handler


def test_an_old_wangp_gets_the_type():
    wan = family(native=False)
    assert wan.query_supported_types() == ["i2v", "i2v_2_2", PRO]
    equivalent, compatible = wan.query_family_maps()
    assert equivalent[PRO] == "i2v_2_2"
    assert compatible["i2v_2_2"] == ["i2v_2_2_multitalk", PRO]
    # Everything about loading is i2v_2_2's: no CLIP, its LoRA folder, its transformers.
    assert wan.load_model("file", PRO, base_model_type=PRO, model_def={}) == "i2v_2_2"


def test_a_wangp_that_has_the_type_keeps_its_own_answers():
    wan = family(native=True)
    assert wan.query_supported_types().count(PRO) == 1
    assert wan.load_model("file", PRO, PRO, {}) == PRO


@pytest.mark.parametrize("native", [False, True])
def test_what_the_page_offers(native):
    found = family(native).query_model_def(PRO, {})
    assert found["svi2pro"]
    assert found["image_prompt_types_allowed"] == "SEVL"
    assert [letters for _, letters in found["image_ref_choices"]["choices"]] == ["", "KI"]
    assert found["no_background_removal"]
    assert found["sliding_window_defaults"]["overlap_default"] == 4
    assert "overlap_offset" not in found["sliding_window_defaults"]
    assert found["profiles_dir"] == ["wan_2_2", "svi_2_pro"]
    assert found["i2v_v2v"]  # video to video, which WanGP's own SVI 2 Pro does not offer
    assert found["guide_custom_choices"] == {}
    assert len(found["custom_settings"]) == 4
    assert all(len(control["label"]) < 40 for control in found["custom_settings"])  # one line
    assert found["frames_selection_maximum"] >= 3600 * 16


@pytest.mark.parametrize(("base", "modes"), [("i2v", 4), ("i2v_2_2", 1)])
def test_other_models_get_a_switch_and_nothing_else(base, modes):
    found = family(native=True).query_model_def(base, {})
    assert "svi2pro" not in found
    assert len(found["svi_modes"]) == modes
    switch = found["custom_settings"][0]
    assert switch["default"] == ""
    assert len(switch["choices"]) == 1 + modes
    assert found["other"]
    assert "frames_selection_maximum" not in found


@pytest.mark.parametrize(
    ("base", "given", "words"),
    [
        ("i2v", {}, "SVI-Film"),
        ("i2v_2_2", {}, "SVI 2.0 (Wan 2.2)"),
        ("multitalk", {}, "a voice to follow"),
        ("i2v", {"svi_mode": "dance"}, "a control video"),
        ("ti2v_2_2", {}, "No weights of SVI for this model are public"),
    ],
)
def test_help_stands_behind_the_names_of_all_models(base, given, words):
    text = family(native=True).query_model_def(base, given)["infos"]
    assert words in text
    assert "Continue Last Video" in text
    assert ("SVI Off" in text) == (not given)


def test_every_mode_is_told_in_a_word():
    assert set(handler.IN_A_WORD) == set(handler.MODES)


def test_5b_gets_the_switch_and_what_latents_need():
    """Strengths do not act where latents are told in place."""
    found = family(native=True).query_model_def("ti2v_2_2", {})
    assert found["svi_modes"] == ("pro", "film", "tom")
    assert [control["id"] for control in found["custom_settings"]] == [
        "svi_mode",
        "svi_seeds",
        "svi_length",
        "svi_anchor_schedule",
    ]
    assert [letters for _, letters in found["image_ref_choices"]["choices"]] == ["", "KI"]
    assert found["frames_selection_maximum"] >= 3600 * 16
    assert "svi2pro" not in found


@pytest.mark.parametrize(("base", "given"), [("multitalk", {}), ("i2v", {"svi_mode": "dance"})])
def test_where_videos_are_as_long_as_a_sound_the_slider_is(base, given):
    found = family(native=True).query_model_def(base, given)
    assert found["frames_selection_maximum"] >= 30 * 60 * 25


@pytest.mark.parametrize("base", [PRO, "i2v", "i2v_2_2"])
@pytest.mark.parametrize("spelled", ["profile_dirs", "profiles_dir", "settings_dir"])
def test_a_model_with_an_accelerator_in_it_is_offered_no_other(base, spelled):
    found = family(native=True).query_model_def(base, {spelled: [""]})
    assert found["profiles_dir"] == ["wan_2_2"]


def test_defaults_and_fixed_settings():
    wan = family(native=False)
    settings: dict = {}
    wan.update_default_settings(PRO, {}, settings)
    assert settings["sample_solver"] == "unipc"
    assert settings["sliding_window_size"] == 81
    assert len(plan(settings["video_length"], Chain())) == 2
    assert settings["sliding_window_overlap"] == 4
    assert settings["sliding_window_color_correction_strength"] == 0
    assert settings["denoising_strength"] == 0.9  # of video to video, as for i2v_2_2
    settings["sliding_window_overlap"] = 9
    wan.fix_settings(PRO, 2.3, {}, settings)
    assert (settings["sliding_window_overlap"], settings["fixed"]) == (4, True)
    other = {"sliding_window_overlap": 9}
    wan.fix_settings("i2v_2_2", 2.3, {}, other)
    assert other == {"sliding_window_overlap": 9, "fixed": True}
