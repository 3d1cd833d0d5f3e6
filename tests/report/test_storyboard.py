"""The storyboard: a strip and a card a window, to scale, safe, and small for a hundred windows."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from wan2gp_svi.report.plan import describe
from wan2gp_svi.report.storyboard import storyboard
from wan2gp_svi.svi.schedule import prompts_for_windows, segments_of
from wan2gp_svi.svi.windows import Chain, Size, layout, plan


def windows(count: int, prompt: str = "a cat", **changes) -> list[dict]:
    planned = plan(81 + 76 * (count - 1), Chain(**changes))
    texts = prompts_for_windows([prompt], [window.seconds for window in planned])
    return [describe(w, segments_of(w, text)) for w, text in zip(planned, texts, strict=True)]


class Tags(HTMLParser):
    """The tags of a text, which must close in the order in which they open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def cards(text: str) -> list[dict]:
    return [attributes for tag, attributes in Tags(text).seen if tag == "button"]


@pytest.mark.parametrize("count", [1, 5, 100])
def test_a_card_for_each_window_and_a_strip_to_scale(count):
    text = storyboard(windows(count))
    assert [card["data-window"] for card in cards(text)] == [str(k + 1) for k in range(count)]
    strip = re.findall(r'<i class="[^"]*" style="flex:([\d.]+) 1 0">', text)
    assert [float(length) for length in strip] == [
        pytest.approx(100 * n / 16, abs=0.01) for n in (81, *[76] * (count - 1))
    ]


def test_a_new_shot_is_told_from_a_window_that_goes_on():
    planned = layout([Size(81), Size(81, shot=True), Size(81)], Chain(anchors=1))
    texts = prompts_for_windows(["a cat"], [window.seconds for window in planned])
    shown = [describe(w, segments_of(w, text)) for w, text in zip(planned, texts, strict=True)]
    text = storyboard(shown)
    assert text.count("81 frames, a new shot") == 1
    assert text.count("76 frames, 5 overlap") == 1


def test_a_hundred_windows_scroll_and_are_small():
    text = storyboard(windows(100), {0: "data:image/jpeg;base64," + "A" * 5000})
    assert 'class="cards many"' in text
    assert text.count("AAAA" * 1000) == 1  # a picture is there once, however often it serves
    assert len(text) < 120_000


def test_timed_words_are_drawn_where_they_act():
    text = storyboard(windows(2, "a cat (at 0 s: sits) (at 2 s: runs)"))
    assert "0.00-1.81 s" in text
    assert text.count('class="bar"') == 2


def test_the_chosen_window_and_a_mistake_are_marked():
    made = windows(3)
    made[1]["mistake"] = "9 s is past the end"
    text = storyboard(made, chosen=3)
    assert [card["aria-pressed"] for card in cards(text)] == ["false", "false", "true"]
    assert [("bad" in card["class"].split()) for card in cards(text)] == [False, True, False]
    assert "9 s is past the end" in text


def test_what_a_user_writes_is_text():
    made = windows(1, "<script>alert('x')</script> \" onclick=\"y")
    made[0]["mistake"] = "<b>bad</b>"
    text = storyboard(made, {0: "x');}</style><script>"})
    assert "<script>" not in text
    assert "<b>bad" not in text
    assert not [card for card in cards(text) if "onclick" in card]


def test_a_click_names_its_window():
    assert [card["onclick"] for card in cards(storyboard(windows(2), on_click="go(%d)"))] == [
        "go(1)",
        "go(2)",
    ]


def test_no_windows_are_no_storyboard():
    assert storyboard([]) == ""


def test_the_strength_of_each_lora_stands_on_the_card():
    made = windows(2)
    made[1]["loras"] = ["1;0", "0.5"]
    text = storyboard(made)
    assert text.count("LoRA 1;0 0.5") == 1


def test_pictures_can_be_dragged_onto_a_card():
    two = {0: "data:a", 1: "data:b"}
    text = storyboard(windows(2), two, on_drop="put(%d, picture)")
    pictures = [tag for _, tag in Tags(text).seen if tag.get("draggable")]
    assert [tag["data-picture"] for tag in pictures] == ["0", "1"]
    assert "'svi 1'" in pictures[1]["ondragstart"]
    assert ["put(2, picture)" in card["ondrop"] for card in cards(text)] == [False, True]
    assert "ondrop" not in storyboard(windows(2), {0: "data:a"}, on_drop="put(%d, picture)")
    assert "draggable" not in storyboard(windows(2), two)
