"""Prompts are drafted by WanGP's own enhancer, by our guide, and only when nothing else runs."""

from __future__ import annotations

import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.wangp import drafting


def host(new: bool) -> dict:
    """wgp.py as far as its enhancer goes; `asked` is what its language model was given."""
    wgp: dict = {"server_config": {"enhancer_enabled": 1}, "gen_in_progress": False, "asked": []}
    wgp["answer"] = "one\n\ntwo"
    wgp["get_gen_info"] = lambda state: state.setdefault("gen", {})
    wgp["get_state_model_type"] = lambda state: state["model_type"]
    wgp["get_model_settings"] = lambda state, kind: state["all_settings"].get(kind)

    def process_prompt_enhancer(model_def, prompt_enhancer, original_prompts):
        instruction = model_def.get("video_prompt_enhancer_instructions", "WanGP's own")
        wgp["asked"].append((instruction, original_prompts[0], model_def))
        if isinstance(wgp["answer"], Exception):
            raise wgp["answer"]
        return [wgp["answer"]]

    def enhance(state, prompt_enhancer):
        gen = state["gen"]
        gen["process_status"] = "process:prompt_enhancer"  # as before 12: kept if it fails
        text = wgp["get_model_settings"](state, state["model_type"])["prompt"]
        found = wgp["process_prompt_enhancer"]({"name": "m"}, prompt_enhancer, [text])
        gen["process_status"] = None
        return found[0].replace("\n", "")

    if new:

        def enhance_prompt(state, prompt, alt_prompt, prompt_enhancer, image_prompt_type, progress):
            return enhance(state, prompt_enhancer)
    else:

        def enhance_prompt(state, prompt, prompt_enhancer, override_profile, progress=None):
            return enhance(state, prompt_enhancer)

    wgp["process_prompt_enhancer"] = process_prompt_enhancer
    wgp["enhance_prompt"] = enhance_prompt
    drafting.attach(wgp)
    return wgp


def browser() -> dict:
    return {"model_type": "m", "all_settings": {"m": {"prompt": "mine", "image_refs": ["x"]}}}


@pytest.mark.parametrize("new", [True, False])
def test_the_guide_is_the_instruction_and_the_answer_comes_as_it_is(new):
    wgp, state = host(new), browser()
    assert drafting.draft(wgp, state, "a fox\nin snow", 3, None, 4.75) == "one\n\ntwo"
    ((instruction, text, definition),) = wgp["asked"]
    assert instruction.startswith("# Prompts for SVI")
    assert "exactly 3 windows" in instruction and "4.75 seconds" in instruction
    assert text == "A video of 3 windows. The idea: a fox in snow"
    assert definition["name"] == "m"
    assert definition["text_prompt_enhancer_max_tokens"] > 3 * 150


def test_the_form_of_the_browser_stays():
    wgp, state = host(True), browser()
    drafting.draft(wgp, state, "a fox", 2, None, 4.75)
    assert state["all_settings"] == browser()["all_settings"]


def test_wangps_own_button_is_as_it_was():
    wgp, state = host(False), browser()
    drafting.draft(wgp, state, "a fox", 2, None, 4.75)
    state["gen"] = {}
    wgp["enhance_prompt"](state, "mine", "T", -1)
    assert wgp["asked"][-1] == ("WanGP's own", "mine", {"name": "m"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"server_config": {"enhancer_enabled": 0}}, "is off"),
        ({"gen_in_progress": True}, "generation is running"),
        ({"any_GPU_process_running": lambda state, name: True}, "busy"),
        ({"enhance_prompt": None}, "no prompt enhancer that SVI knows"),
        ({"enhance_prompt": lambda other: None}, "no prompt enhancer that SVI knows"),
        ({"process_prompt_enhancer": lambda model_def: None}, "no prompt enhancer that SVI knows"),
    ],
)
def test_where_it_cannot_be_it_is_said_and_nothing_is_asked(change, said):
    wgp = host(True) | change
    assert said in drafting.unable(wgp, browser())
    with pytest.raises(UserError, match=said):
        drafting.draft(wgp, browser(), "a fox", 2, None, 4.75)
    assert wgp["asked"] == []


def test_a_failure_is_a_sentence_and_the_graphics_card_is_free_again():
    wgp, state = host(False), browser()
    wgp["answer"] = RuntimeError("no memory")
    with pytest.raises(UserError, match="failed: no memory"):
        drafting.draft(wgp, state, "a fox", 2, None, 4.75)
    assert state["gen"]["process_status"] is None
    wgp["answer"] = ""
    with pytest.raises(UserError, match="gave no answer"):
        drafting.draft(wgp, state, "a fox", 2, None, 4.75)


def test_no_idea_is_asked_for():
    with pytest.raises(UserError, match="Write your idea"):
        drafting.draft(host(True), browser(), "  ", 2, None, 4.75)


def test_signs_that_wangp_reads_are_not_passed_on():
    assert drafting.plain("a {fox}\n@@ be short") == "a (fox) at at be short"
