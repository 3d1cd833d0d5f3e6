"""A language model's answer becomes prompts, and what is wrong with it is said."""

from __future__ import annotations

import pytest
from test_film_of_form import after, film_of, words

from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin import drafted, form

ANSWER = "A fox trots.\n\nA fox listens. (at 1 s: it leaps)\n\nA fox lies down."


@pytest.fixture(autouse=True)
def paragraphs(monkeypatch):
    monkeypatch.setattr(form, "paragraphs", lambda: "PG")


def test_an_answer_in_the_output_format_is_a_prompt_a_window():
    prompts = drafted.prompts_in(ANSWER)
    assert drafted.mistakes(prompts, 3) == []
    film = after(drafted.used(film_of(video_length=233), prompts), video_length=233)
    assert words(film) == [
        "A fox trots.",
        "A fox listens. / A fox listens. it leaps",
        "A fox lies down.",
    ]


def test_thoughts_and_fences_are_left_out():
    answer = f"<think>first\nperhaps a dog</think>\n```text\n{ANSWER}\n```"
    assert drafted.prompts_in(answer) == drafted.prompts_in(ANSWER)


@pytest.mark.parametrize(
    "line",
    ["Window 2: a fox", "**Prompt 2:** a fox", "2. a fox", "- a fox", '"a fox"', "(2) a fox"],
)
def test_a_title_is_named(line):
    (said,) = drafted.mistakes(["a fox", line], 2)
    assert said.startswith("Prompt 2 begins with")


def test_words_that_only_look_like_a_title_are_not():
    prompts = ["2 foxes run", "Scene of a quiet village at dawn", "part of a wall falls"]
    assert drafted.mistakes(prompts, 3) == []


@pytest.mark.parametrize("line", ["a {fox}", "[/duration=2s] a fox", '! {x}="a"'])
def test_what_wangp_would_read_as_something_else_is_named(line):
    said = drafted.mistakes([line], 1)
    assert said and all("WanGP" in one for one in said)


def test_too_many_prompts_are_said_and_make_as_many_windows():
    prompts = drafted.prompts_in(ANSWER)
    assert "It has 3 prompts for 2 windows" in drafted.mistakes(prompts, 2)[0]
    film = after(drafted.used(film_of(video_length=157), prompts), video_length=157)
    assert len(film.windows) == 3


def test_a_time_past_its_window_is_the_films_mistake():
    film = film_of(video_length=157)
    edit = drafted.used(film, drafted.prompts_in("a fox\n\na fox (at 9 s: it leaps)"))
    assert "9 s is past the end" in after(edit, video_length=157).mistakes[0]


def test_no_prompt_is_no_draft():
    assert drafted.mistakes([], 2) == ["There is no prompt in it."]
    with pytest.raises(UserError, match="no prompt"):
        drafted.used(film_of(), drafted.prompts_in("# only a remark"))
