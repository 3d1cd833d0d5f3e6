"""How strong each LoRA is in each window."""

from __future__ import annotations

from wan2gp_svi.wangp import strengths

GIVEN = {
    "model_type": "m",
    "activated_loras": ["https://x/y/light high.safetensors", "loras\\wan\\slow.safetensors"],
    "loras_multipliers": "1;0 |\n# remark\n0.5",
    "guidance_phases": 2,
    "num_inference_steps": 4,
}


def wgp() -> dict:
    """The functions of wgp.py that are asked, in small."""

    def split(text):
        lines = [line for line in text.split("\n") if not line.startswith("#")]
        return " ".join(lines).replace("|", " ").split(" ")

    def build(prompts, **known):
        text = prompts[0]
        if "[/loras_mult=" not in text:
            return {"active": False}, "unknown" if "[/x]" in text else None
        own = text.split("[/loras_mult=")[1].split("]")[0]
        return {"active": True, "windows": [{"loras_multipliers": own}]}, None

    return {
        "preparse_loras_multipliers": split,
        "parse_loras_multipliers": lambda text, count, steps, nb_phases: (
            [],
            {},
            f"at most {nb_phases} phases" if text.count(";") >= nb_phases else "",
        ),
        "build_frame_scheduler": build,
        "get_model_def": lambda kind: {"guidance_max_phases": 3},
    }


def test_names_are_those_of_the_files():
    assert strengths.names(GIVEN) == ["light high", "slow"]


def test_what_the_form_says_holds_for_all_windows():
    assert strengths.of_windows(wgp(), GIVEN, ["a", "b"], 3) == [["1;0", "0.5"]] * 3


def test_what_is_not_given_is_one():
    assert strengths.of_windows(wgp(), {**GIVEN, "loras_multipliers": "0.5"}, [], 1) == [
        ["0.5", "1"]
    ]
    assert strengths.of_windows(wgp(), {**GIVEN, "loras_multipliers": ""}, [], 1) == [["1", "1"]]


def test_a_command_holds_for_its_own_window():
    found = strengths.of_windows(wgp(), GIVEN, ["a", "[/loras_mult=0 2] b"], 4)
    assert found == [["1;0", "0.5"], ["0", "2"], ["1;0", "0.5"], ["1;0", "0.5"]]


def test_where_wangp_knows_no_commands_there_are_none():
    old = {k: v for k, v in wgp().items() if k != "build_frame_scheduler"}
    assert strengths.of_windows(old, GIVEN, ["[/loras_mult=3 3] b"], 1) == [["1;0", "0.5"]]
    assert strengths.of_windows(wgp(), GIVEN, ["[/x] b"], 1) == [["1;0", "0.5"]]


def test_without_loras_there_is_nothing():
    none = {**GIVEN, "activated_loras": []}
    assert strengths.of_windows(wgp(), none, ["a"], 2) == [[], []]
    assert strengths.mistake(wgp(), none) == ""


def test_wangps_own_complaint():
    assert strengths.mistake(wgp(), GIVEN) == ""
    assert strengths.mistake(wgp(), {**GIVEN, "loras_multipliers": "1;0;1"}) == "at most 2 phases"
