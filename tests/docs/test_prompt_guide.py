"""docs/prompt-guide.md: every example in it is parsed by the real grammar, and planned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wan2gp_svi.cli import main
from wan2gp_svi.svi.prompts import PromptError, parse, split
from wan2gp_svi.svi.schedule import prompts_for_windows, segments_of
from wan2gp_svi.svi.windows import Chain, plan

GUIDE = Path(__file__).parents[2] / "docs" / "prompt-guide.md"
FENCES = re.findall(r"^```text (\S+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
KINDS = {"good", "bad", "refused", "negative", "negative-bad", "not-the-format"}


def of(*kinds: str) -> list[str]:
    return [text for kind, text in FENCES if kind in kinds]


def scheduled(text: str) -> list[tuple[str, ...]]:
    """The words of each window, in a video of just as many windows as there are prompts."""
    prompts = split(text)
    windows = plan(81 + 76 * (len(prompts) - 1), Chain())
    assert len(windows) == len(prompts)
    texts = prompts_for_windows(prompts, [window.seconds for window in windows])
    return [
        tuple(segment.words for segment in segments_of(window, words))
        for window, words in zip(windows, texts, strict=True)
    ]


def test_every_fence_is_an_example_of_a_known_kind() -> None:
    assert GUIDE.read_text("utf-8").count("```") == 2 * len(FENCES)
    assert {kind for kind, _ in FENCES} == KINDS
    assert len(of("good")) >= 6 and len(of("bad")) >= 6


@pytest.mark.parametrize("text", of("good"))
def test_a_good_example_is_the_output_format(text: str) -> None:
    assert split(text, paragraphs=True) == split(text, paragraphs=False)
    assert not re.search(r"[{}]|^!|^#|\[/", text, re.M)
    for window in scheduled(text):
        assert len(set(window)) == len(window), "each part changes the words"
        assert all(20 <= len(words.split()) <= 100 for words in window[:1]), window[0]


@pytest.mark.parametrize("text", of("bad"))
def test_a_bad_example_is_bad_by_its_words_only(text: str) -> None:
    assert scheduled(text)


@pytest.mark.parametrize("text", of("refused"))
def test_a_refused_example_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(PromptError) as caught:
        scheduled(text)
    assert "character" in str(caught.value)


@pytest.mark.parametrize("text", of("negative", "negative-bad"))
def test_a_negative_prompt_has_no_times(text: str) -> None:
    assert parse(text).parts == ()


@pytest.mark.parametrize("text", of("good", "not-the-format"))
def test_the_command_takes_good_ones_and_says_why_not_the_others(text, tmp_path, capsys) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text(text, "utf-8")
    good = text in of("good")
    frames = str(81 + 76 * (len(split(text)) - 1))
    assert main(["plan", "--frames", frames, "--prompts", str(file)]) == (0 if good else 2)
    said = capsys.readouterr()
    assert "templates" in said.err or (good and "Note:" not in said.out)


def test_the_frames_that_it_names_are_so_many_windows() -> None:
    told = re.search(
        r"so (\d+) for two, (\d+) for three, (\d+) for\s+four", GUIDE.read_text("utf-8")
    )
    assert told is not None
    assert [len(plan(int(frames), Chain())) for frames in told.groups()] == [2, 3, 4]
