"""What a form comes to as a film, and the form after an edit."""

from __future__ import annotations

import types

import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin import form
from wan2gp_svi.svi.windows import SEED_STEP
from wan2gp_svi.wangp import fit, progress
from wan2gp_svi.wangp.names import PRO

FORM = {
    "prompt": "a cat\n\na dog",
    "multi_prompts_gen_type": "PW",
    "image_prompt_type": "S",
    "image_start": ["start.png"],
    "video_prompt_type": "",
    "image_refs": None,
    "video_length": 385,
    "sliding_window_size": 81,
    "sliding_window_discard_last_frames": 0,
    "seed": 7,
    "resolution": "832x480",
    "num_inference_steps": 8,
    "activated_loras": [],
    "custom_settings": {},
}
STATE: dict = {"gen": {"queue": []}}


@pytest.fixture(autouse=True)
def paragraphs(monkeypatch):
    monkeypatch.setattr(form, "paragraphs", lambda: "PG")


def wgp() -> dict:
    """wgp.py's globals, as far as a plan needs them."""
    names: dict = {
        "get_model_def": lambda model_type: {"svi2pro": True} if model_type == PRO else {},
        "get_base_model_type": lambda model_type: model_type,
        "get_computed_fps": lambda *args: 16,
        "get_gen_info": lambda state: state["gen"],
        "prompt_parser": types.SimpleNamespace(
            split_prompt_units=lambda text, kind: [p for p in text.split("\n\n") if p.strip()]
        ),
    }
    exec(
        f"def generate_media(task, {', '.join(fit.TASK.split())}, num_inference_steps): pass", names
    )
    return names


def film_of(**changes) -> form.Film:
    return form.film_of(wgp(), STATE, PRO, {**FORM, **changes})


def after(edit: form.Form, **changes) -> form.Film:
    return film_of(**{**changes, **edit})


def words(film: form.Film) -> list[str]:
    return [" / ".join(part["text"] for part in window["words"]) for window in film.windows]


def test_without_a_start_image_there_is_a_plan_and_it_is_said():
    film = film_of(image_start=None)
    assert len(film.windows) == 5
    assert "there is no start image" in film.notes[0]


def test_five_windows_two_prompts():
    film = film_of()
    assert len(film.windows) == 5
    assert words(film) == ["a cat", "a dog", "a dog", "a dog", "a dog"]
    assert [window["seed"] for window in film.windows] == [7 + SEED_STEP * k for k in range(5)]
    assert film.seconds == pytest.approx(385 / 16)
    assert "windows 2 to 5 share prompt 2" in film.notes
    assert form.summary(film, FORM).startswith("**5 windows, 24.06 s**")


def test_a_seed_that_wangp_will_draw_is_not_invented():
    film = film_of(seed=-1)
    assert [window["seed"] for window in film.windows][:2] == ["drawn by WanGP", "of window 1 + 42"]


def test_a_mistake_is_marked_where_it_is_and_the_rest_is_drawn():
    film = film_of(prompt="a cat (at 2 s: it jumps)\n\na dog (at 9 s: it barks)\n\na (at 1 s: b")
    mistakes = [bool(window["mistake"]) for window in film.windows]
    assert mistakes == [False, True, True, True, True]
    assert words(film)[:3] == ["a cat / a cat it jumps", "a dog (at 9 s: it barks)", "a (at 1 s: b"]
    assert [told.split(":")[0] for told in film.mistakes] == ["Window 2", "Window 3"]


def test_a_form_that_cannot_be_planned_says_why():
    assert "Seeds" in film_of(custom_settings={"svi_seeds": "some"}).problem
    assert film_of(custom_settings={"svi_seeds": "some"}).windows == []
    assert "does not run SVI" in form.film_of(wgp(), STATE, "t2v", FORM).problem
    assert not form.is_svi(wgp(), STATE, "t2v", FORM)
    assert form.is_svi(wgp(), STATE, PRO, FORM)


@pytest.mark.parametrize("place", range(5))
def test_a_window_gets_words_of_its_own_and_no_other_window_does(place):
    film = film_of()
    new = after(form.with_prompt(film, place, "a bird"))
    expected = words(film)
    expected[place] = "a bird"
    assert words(new) == expected
    back = after(form.with_prompt(new, place, words(film)[place]), prompt="")
    assert words(back) == words(film)


def test_words_on_several_lines_stay_one_prompt():
    new = after(form.with_prompt(film_of(), 1, "a bird\n\nflies"))
    assert words(new)[1] == "a bird\nflies"
    assert len(new.prompts) == 3


def test_lines_where_wangp_knows_no_paragraphs(monkeypatch):
    monkeypatch.setattr(form, "paragraphs", lambda: "")
    assert form.with_prompts(["a\nb", "c"]) == {"prompt": "a b\nc", "multi_prompts_gen_type": 1}


def test_a_prompt_for_the_whole_video_is_edited_as_one():
    whole = "a cat (at 8 seconds of video: it jumps)"
    film = film_of(prompt=whole)
    assert form.words_of(film, 3) == whole
    assert form.with_prompt(film, 3, "a dog")["prompt"] == "a dog"


def test_no_words_are_refused():
    with pytest.raises(UserError, match="without words"):
        form.with_prompt(film_of(), 1, " ")


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("rule", ["new", "same", "5, 6, 7"])
def test_a_window_gets_a_seed_of_its_own(place, rule):
    custom = {"custom_settings": {"svi_seeds": rule}}
    film = film_of(**custom)
    new = after(form.with_seed(film, custom, place, "99"), **custom)
    expected = film.seeds
    expected[place] = 99
    assert new.seeds == expected


def test_a_seed_among_drawn_ones_draws_the_first():
    film = film_of(seed=-1)
    new = after(form.with_seed(film, {}, 2, "99"), seed=-1)
    assert new.seeds_known
    assert new.seeds[2] == 99
    assert [b - new.seeds[0] for b in new.seeds if b != 99] == [0, 42, 126, 168]


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "99999999999"])
def test_what_is_no_seed_is_refused(text):
    with pytest.raises(UserError, match="whole number"):
        form.with_seed(film_of(), {}, 0, text)


def test_a_picture_is_a_windows_anchor_and_only_its():
    film = film_of()
    edit = form.with_picture(film, dict(FORM), 2, "new.png")
    new = after(edit)
    assert edit["image_refs"] == ["new.png"]
    assert "KI" in edit["video_prompt_type"]
    assert [window["anchor"] for window in new.windows] == [0, 0, 1, 0, 0]
    more = after(form.with_picture(new, {**FORM, **edit}, 3, "other.png"))
    assert [window["anchor"] for window in more.windows] == [0, 0, 1, 2, 0]


def test_the_first_windows_picture_is_the_start_image():
    edit = form.with_picture(film_of(), dict(FORM), 0, "new.png")
    assert edit == {"image_start": ["new.png"], "image_prompt_type": "S"}


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_so_many_windows(count):
    film = after(form.with_length(film_of(), count))
    assert len(film.windows) == count
    assert {window["generates"] for window in film.windows} == {81}


def test_so_many_seconds():
    film = after(form.with_seconds(film_of(), FORM, 20))
    assert film.seconds == pytest.approx(20, abs=4 / 16)
    with pytest.raises(UserError, match="10 hours"):
        form.with_seconds(film, FORM, 40_000)


def test_a_hundred_windows_are_planned_at_once():
    film = film_of(video_length=81 + 76 * 99)
    assert len(film.windows) == 100


def test_what_a_window_costs_is_as_the_last_one(monkeypatch):
    monkeypatch.setattr(progress, "_pace", None)
    assert film_of().windows[0]["cost"] == ""
    monkeypatch.setattr(progress, "_pace", 60 / (832 * 480 * 8 * 81))
    assert film_of().windows[0]["cost"] == "about 1 min 0 s"
    assert form.length(3700) == "1 h 1 min"


def test_the_strength_of_each_lora_is_on_every_card():
    names = wgp()
    names["preparse_loras_multipliers"] = lambda text: text.split(" ")
    names["parse_loras_multipliers"] = lambda *args, **known: ([], {}, "one ; too many")
    text = (
        f"def generate_media(task, {', '.join(fit.TASK.split())}, num_inference_steps,"
        " loras_multipliers, guidance_phases): pass"
    )
    exec(text, names)
    settings = {**FORM, "activated_loras": ["a/fast.safetensors"], "loras_multipliers": "1;0"}
    film = form.film_of(names, STATE, PRO, settings)
    assert [window["loras"] for window in film.windows] == [["1;0"]] * 5
    assert "LoRAs, in the order of the strengths: fast" in film.notes
    assert "**LoRA multipliers:** one ; too many" in film.notes


def test_without_a_start_image_the_first_anchor_is_it():
    film = film_of(image_start=None, video_prompt_type="KI", image_refs=["a.png"])
    assert film.starts_on_anchor
    assert "there is no start image: the video starts on anchor image 1" in film.notes
    assert not film_of(video_prompt_type="KI", image_refs=["a.png"]).starts_on_anchor
