"""Timed prompts: what is parsed, which latents a time means, and that mistakes name their place."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.prompts import PromptError, TimedPrompt, parse, split
from wan2gp_svi.svi.schedule import prompts_for_windows, schedule, segments_of, serving, timetable
from wan2gp_svi.svi.vae import latent_of_frame
from wan2gp_svi.svi.windows import Chain, Size, plan

FIRST = {"frames": 81, "first_new_frame": 0, "fps": 16}
LATER = {"frames": 81, "first_new_frame": 5, "fps": 16}


def latents(prompt: str, **window) -> list[tuple[int, int, str]]:
    return [(s.first_latent, s.stop_latent, s.words) for s in schedule(parse(prompt), **window)]


# ---- parsing


@pytest.mark.parametrize(
    ("time", "seconds", "whole_video"),
    [
        ("at 3 seconds", 3.0, False),
        ("at 1 second", 1.0, False),
        ("at 2.5s", 2.5, False),
        ("at 2.5 s", 2.5, False),
        ("AT 0 SEC", 0.0, False),
        (" At  .5secs ", 0.5, False),
        ("at 4. s", 4.0, False),
        ("at 2,5 seconds", 2.5, False),
        ("at ,5s", 0.5, False),
        ("at 12,25 s of video", 12.25, True),
        ("at 8 seconds of video", 8.0, True),
        ("at 8s of video", 8.0, True),
        ("at 95.25 s of the video", 95.25, True),
    ],
)
def test_every_way_to_write_a_time(time: str, seconds: float, whole_video: bool) -> None:
    timed = parse(f"A dog. ({time}: it barks)")
    (part,) = timed.parts
    assert (part.seconds, part.whole_video, part.text) == (seconds, whole_video, "it barks")
    assert timed.text == "A dog."
    assert timed.prompt[part.position] == "("


def test_parts_in_order_of_time_with_their_words() -> None:
    timed = parse("A woman. (at 3 s: she (softly) laughs)\n (at 1 s:  she\n waves ) By the sea.")
    assert timed.text == "A woman. By the sea."
    assert [part.text for part in timed.parts] == ["she waves", "she (softly) laughs"]
    assert [part.position for part in timed.parts] == [40, 9]
    assert timed.words(None) == "A woman. By the sea."
    assert timed.words(timed.parts[0]) == "A woman. she waves By the sea."
    assert timed.words(timed.parts[1]) == "A woman. she (softly) laughs By the sea."


def test_a_part_stays_in_its_place_and_leaves_no_stray_stops() -> None:
    timed = parse("She stands up (at 1 s: and walks), \n(at 3.5 s: and waves), smiling.")
    assert timed.text == "She stands up, smiling."
    assert timed.words(timed.parts[0]) == "She stands up and walks, smiling."
    assert timed.words(timed.parts[1]) == "She stands up and waves, smiling."
    only_parts = parse("(at 0 seconds: a).\n(at 1 second: b.).\n")
    assert only_parts.text == ""
    assert [only_parts.words(part) for part in only_parts.parts] == ["a.", "b."]


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "  two  spaces\n",
        "(at home: a fire), (at the baker's: bread), (at 4:3 ratio), (at 12:30 it rains)",
        "that (at best) happens (attic) (at night: neon) (bus: 3 seconds)",
        "unclosed ( and closed ) ) too :-)",
        "at 3 seconds: no parenthesis",
        "(after 3 seconds: x) (word:1.3)",
        "[/duration=3s] [/loras_mult=1;3] a [16:9] picture, [4:3], [a:b], [cat:dog:0.5]",
        "[2s] [:2s] [2 s:4 s] [-1s:2s]",
        "[4s:2s] backwards, [2s:50%] mixed, [x[2s:4s, [] [:]",
    ],
)
def test_what_is_no_timed_part_stays_text_to_the_character(prompt: str) -> None:
    timed = parse(prompt)
    assert (timed.text, timed.parts, timed.words(None)) == (prompt, (), prompt)


@pytest.mark.parametrize(
    ("prompt", "position", "said"),
    [
        ("ab (at 3 seconds: she (laughs)", 3, "never closed"),
        ("(at 1 s: a (at 2 s: b)", 0, "never closed"),
        ("(at 1 s: a (at 2 s: b))", 11, "inside another"),
        ("x (at seconds: y)", 2, "no number"),
        ("x (at X seconds: y)", 2, "no number"),
        ("x (at 1,000 s: y)", 2, "read in two ways"),
        ("x (at 1,2,5 s: y)", 2, "read in two ways"),
        ("x (at 2, s: y)", 2, "no number"),
        ("x (at 1e3 seconds: y)", 2, "no number"),
        ("x (at -2 s: y)", 2, "negative"),
        ("x (at 3: y)", 2, "number of seconds"),
        ("x (at 0:08 of video: y)", 2, "number of seconds"),
        ("x (at 3 seconds she laughs)", 2, "':'"),
        ("x (at 3 s:  \n )", 2, "no text"),
        ("(at 3 s: a) (at 1 s: b) (at 3.0 seconds: c)", 24, "3 s"),
        ("(at 3 s: a) (at 5 s of video: c)", 12, "not both"),
    ],
)
def test_a_mistake_names_its_place(prompt: str, position: int, said: str) -> None:
    with pytest.raises(PromptError, match=said) as caught:
        parse(prompt)
    assert isinstance(caught.value, UserError)
    assert caught.value.position == position
    assert f"character {position + 1}:" in str(caught.value)
    assert prompt[position:].split("\n")[0][:40].rstrip() in str(caught.value)


# ---- a text with several prompts


def test_a_text_is_cut_into_paragraphs_or_lines() -> None:
    text = "\n\ufeff"[:1] + "one\r\n  # a remark\r\n still one \n \t\n\n#\ntwo (at 1 s:\nx)\n\n#end"
    assert split(text) == ["one\nstill one", "two (at 1 s:\nx)"]
    assert split(text, paragraphs=False) == ["one", "still one", "two (at 1 s:", "x)"]
    assert split(" \n# nothing\n") == split("", paragraphs=False) == []


# ---- WanGP's own way to write times


@pytest.mark.parametrize(
    ("prompt", "same_as"),
    [
        ("A cat. [0s:2s] it sits [2s:] it jumps", "A cat. (at 0 s: it sits) (at 2 s: it jumps)"),
        (
            "A cat. [0s:2s]\nit sits\n[ 2SEC : 9s ] it  jumps",
            "A cat. (at 0 s: it sits) (at 2 s: it jumps)",
        ),
        ("A cat. [2s:9s] it jumps [0s:2s] it sits", "A cat. (at 2 s: it jumps) (at 0 s: it sits)"),
        (
            "A cat. [0:00:0:02.5] it sits [0:02.5:] it jumps",
            "A cat. (at 0 s: it sits) (at 2.5 s: it jumps)",
        ),
        (
            "[0s:1.5seconds] it sits [1.5secs:1:00] it jumps",
            "(at 0 s: it sits) (at 1.5 s: it jumps)",
        ),
    ],
)
def test_markers_of_wangp_mean_what_parentheses_mean(prompt: str, same_as: str) -> None:
    for window in (FIRST, LATER):
        assert latents(prompt, **window) == latents(same_as, **window)


def test_a_marker_that_ends_leaves_only_the_text_outside() -> None:
    assert latents("A cat. [1s:2s] it jumps", **FIRST) == [
        (0, 4, "A cat."),
        (4, 8, "A cat. it jumps"),
        (8, 21, "A cat."),
    ]
    assert latents("A cat. [1s:2s] a [3s:4s] b", **LATER) == [
        (0, 6, "A cat."),
        (6, 10, "A cat. a"),
        (10, 14, "A cat."),
        (14, 18, "A cat. b"),
        (18, 21, "A cat."),
    ]
    # a gap that is shorter than a latent cannot be shown; an end past the window is its end
    assert latents("A. [0s:1.9s] a [2s:60s] b", **FIRST) == [(0, 8, "A. a"), (8, 21, "A. b")]


def test_a_marker_past_a_shorter_window_is_left_out_there() -> None:
    windows = prompts_for_windows(["a [0s:4.8s] b [4.9s:9s] c"], SPANS)
    assert [[part.text for part in timed.left_out] for timed in windows] == [[], ["c"], ["c"]]
    assert latents_of_texts(windows[1]) == ["a b"]
    with pytest.raises(PromptError, match=r"window 3, which adds 4\.75 s"):
        prompts_for_windows(["a [4.9s:9s] c"], SPANS[1:], windows_before=2)


def latents_of_texts(timed: TimedPrompt) -> list[str]:
    return [segment.words for segment in schedule(timed, **LATER)]


@pytest.mark.parametrize(
    ("prompt", "position", "said"),
    [
        ("a [0s:3s] b [2s:4s] c", 12, "from 0 s and from 2 s overlap"),
        ("a [0s:] b [2s:4s] c", 10, "overlap"),
        ("a [25%:50%] b", 2, "no seconds"),
        ("a [1:5] b", 2, "no seconds"),
        ("a [1s:2s] b (at 3 s: c)", 12, "not by both"),
        ("a [1s:2s] [2s:3s] b", 2, "no text"),
        ("a [1s:2s] b [2s:3s] ", 12, "no text"),
    ],
)
def test_markers_that_mean_something_else_here_are_refused(prompt, position, said) -> None:
    with pytest.raises(PromptError, match=said) as caught:
        parse(prompt)
    assert caught.value.position == position


def test_a_marker_shorter_than_a_latent_frame_is_refused() -> None:
    with pytest.raises(PromptError, match=r"ends in the latent frame that it begins in, 0.25 s"):
        schedule(parse("a [1.9s:2s] b"), **FIRST)
    with pytest.raises(PromptError, match=r"5.1 s is past the end"):
        schedule(parse("a [5.1s:6s] b"), **FIRST)


# ---- one window


def test_without_timed_parts_the_window_is_one_segment() -> None:
    (segment,) = schedule(parse(" as  it is "), **LATER)
    assert (segment.first_latent, segment.stop_latent) == (0, 21)
    assert (segment.first_frame, segment.stop_frame) == (0, 81)
    assert (segment.start_seconds, segment.stop_seconds) == (0.0, 4.75)
    assert (segment.words, segment.part) == (" as  it is ", None)


def test_the_latent_of_a_time_in_the_first_window() -> None:
    # time 0 is frame 0, the start image: 3 s is frame 48, latent 12 holds frames 45..48
    assert latents("a (at 3 s: b)", **FIRST) == [(0, 12, "a"), (12, 21, "a b")]
    # frame 49 is the first of latent 13
    assert latents("a (at 3.0625 s: b)", **FIRST) == [(0, 13, "a"), (13, 21, "a b")]
    assert latents("(at 0 s: b)", **FIRST) == [(0, 21, "b")]
    # the last frame is on screen from 5 s on
    assert latents("a (at 5.06 s: b)", **FIRST) == [(0, 20, "a"), (20, 21, "a b")]


def test_the_latent_of_a_time_in_a_later_window() -> None:
    # time 0 is frame 5, the first of latent 2: 3 s is frame 53, the first of latent 14
    assert latents("a (at 3 s: b)", **LATER) == [(0, 14, "a"), (14, 21, "a b")]
    assert latents("a (at 2.9 s: b)", **LATER) == [(0, 13, "a"), (13, 21, "a b")]
    assert latents("a (at 2.6 s: b)", **LATER) == [(0, 12, "a"), (12, 21, "a b")]
    # two motion latents: time 0 is frame 9, latent 3
    two = {"frames": 81, "first_new_frame": 9, "fps": 16}
    assert latents("a (at 1 s: b)", **two) == [(0, 7, "a"), (7, 21, "a b")]


def test_anchor_and_motion_latents_attend_to_what_holds_at_time_0() -> None:
    assert latents("a (at 0 s: b) (at 1 s: c)", **LATER) == [(0, 6, "a b"), (6, 21, "a c")]
    assert latents("a (at 0.25 s: b)", **LATER) == [(0, 3, "a"), (3, 21, "a b")]


def test_frames_dropped_at_the_end_keep_the_last_words_and_allow_no_time() -> None:
    window = {"frames": 81, "first_new_frame": 0, "fps": 16, "new_frames": 80}
    assert latents("a (at 4.9 s: b)", **window)[-1] == (20, 21, "a b")
    assert schedule(parse("a (at 4.9 s: b)"), **window)[-1].stop_seconds == 5.0
    with pytest.raises(PromptError, match=r"5 s is past the end of its window, which adds 5 s"):
        schedule(parse("a (at 5 s: b)"), **window)


def test_times_past_the_window_and_parts_too_near() -> None:
    with pytest.raises(PromptError, match=r"4.75 s is past .* adds 4.75 s .*character 3") as caught:
        schedule(parse("a (at 4.75 seconds: b)"), **LATER)
    assert caught.value.position == 2
    with pytest.raises(PromptError, match=r"1 s and 1.15 s .* same latent .*0.25 s") as caught:
        schedule(parse("a (at 1.15 s: b) (at 1 s: c)"), **LATER)
    assert caught.value.position == 2
    with pytest.raises(PromptError, match="whole video"):
        schedule(parse("(at 1 s of video: b)"), **LATER)


@pytest.mark.parametrize(
    "window",
    [
        {"frames": 80, "first_new_frame": 0, "fps": 16},
        {"frames": 81, "first_new_frame": 81, "fps": 16},
        {"frames": 81, "first_new_frame": 5, "fps": 0},
        {"frames": 81, "first_new_frame": 5, "fps": 16, "new_frames": 77},
    ],
)
def test_a_window_that_cannot_be(window) -> None:
    with pytest.raises(ValueError):
        schedule(parse("a"), **window)


def test_the_timetable_counts_frames_as_people_do() -> None:
    first, second = plan(157, Chain(size=Size(81, 1), fps=16))
    text = parse("A. (at 2 s: b)")
    assert timetable(first, segments_of(first, text)) == [
        "frames 1-29, 0.00-1.81 s: A.",
        "frames 30-81, 1.81-5.06 s: A. b",
    ]
    assert timetable(second, segments_of(second, text)) == [
        "frames 82-113, 0.00-2.00 s: A.",
        "frames 114-157, 2.00-4.75 s: A. b",
    ]
    assert timetable(second, segments_of(second, "a")) == ["frames 82-157, 0.00-4.75 s: a"]


# ---- the windows of a video

SPANS = [(0.0, 5.0625), (5.0625, 9.8125), (9.8125, 14.5625)]


def test_prompts_of_windows_as_wangp_hands_them_out() -> None:
    assert prompts_for_windows(["a", " b "], SPANS) == ["a", " b ", " b "]
    assert prompts_for_windows(["a", "b", "c", "d"], SPANS) == ["a", "b", "c"]
    first, second, third = prompts_for_windows(["a", "b (at 1 s: c)"], SPANS)
    assert first == "a" and second == third and isinstance(second, TimedPrompt)


def test_a_time_that_a_shorter_window_does_not_reach_is_left_out_there() -> None:
    """A whole-second timetable for 81 frames, as WanGP's own default prompts have it."""
    windows = prompts_for_windows(["a (at 1 s: b) (at 5 s: c)"], SPANS)
    assert [[part.text for part in timed.parts] for timed in windows] == [["b", "c"], ["b"], ["b"]]
    assert [[part.text for part in timed.left_out] for timed in windows] == [[], ["c"], ["c"]]
    assert [s.words for s in schedule(windows[1], **LATER)] == ["a", "a b"]


def test_prompts_that_serve_several_windows_each() -> None:
    """SVI 2.0 Unified: two; SVI-Shot: the first one serves all (0)."""
    assert [serving(window, 2, 2) for window in range(6)] == [0, 0, 1, 1, 1, 1]
    assert [serving(window, 3, 0) for window in range(3)] == [0, 0, 0]
    first, second, third = prompts_for_windows(["a (at 7 s of video: b)", "c"], SPANS, repeat=2)
    assert [s.words for s in schedule(first, **FIRST)] == ["a"]
    assert [s.words for s in schedule(second, **LATER)] == ["a", "a b"]
    assert third == "c"
    assert prompts_for_windows(["a", "b"], SPANS, repeat=0) == ["a", "a", "a"]


def test_a_prompt_for_the_whole_video_is_cut_and_goes_on_holding() -> None:
    prompt = "A. (at 4 s of video: b) (at 8 s of video: c)"
    windows = prompts_for_windows([prompt], SPANS)
    assert [[(p.seconds, p.text) for p in timed.parts] for timed in windows] == [
        [(4.0, "b")],
        [(-1.0625, "b"), (2.9375, "c")],
        [(-1.8125, "c")],
    ]
    assert [s.words for s in schedule(windows[0], **FIRST)] == ["A.", "A. b"]
    assert [(s.first_latent, s.words) for s in schedule(windows[1], **LATER)] == [
        (0, "A. b"),
        (13, "A. c"),  # 2.9375 s is frame 5 + 47 = 52, the last of latent 13
    ]
    assert [s.words for s in schedule(windows[2], **LATER)] == ["A. c"]


def test_a_part_that_begins_with_a_window_is_that_windows() -> None:
    windows = prompts_for_windows(["(at 0 s of video: a) (at 5.0625 s of video: b)"], SPANS)
    assert [s.words for s in schedule(windows[0], **FIRST)] == ["a"]
    assert [s.words for s in schedule(windows[1], **LATER)] == ["b"]


def test_a_continued_video_keeps_what_began_before_it() -> None:
    (timed,) = prompts_for_windows(["(at 1 s of video: a) (at 6 s of video: b)"], SPANS[1:2])
    assert [s.words for s in schedule(timed, **LATER)] == ["a", "b"]


@pytest.mark.parametrize(
    ("prompts", "position", "said"),
    [
        (["(at 15 s of video: a)"], 0, "past the end of the video, which is 14.5625 s long"),
        (["a", "b (at 2 s of video: a)"], 2, "Prompt 2: .* from 5.0625 s to 14.5625 s"),
        (["(at 6 s of video: a)", "b"], 0, "Prompt 1: .* from 0 s to 5.0625 s"),
        (["a", "b (at 5 s: a)"], 2, "window 2, which adds 4.75 s"),
        (["b (at 5.1 s: a)"], 2, "window 1, which adds 5.0625 s"),
        (["a", "b", "c", "d (at 5 s: a"], 2, "Prompt 4: .*never closed"),
    ],
)
def test_times_outside_the_windows(prompts: list[str], position: int, said: str) -> None:
    with pytest.raises(PromptError, match=said) as caught:
        prompts_for_windows(prompts, SPANS)
    assert caught.value.position == position


def test_no_prompt_at_all() -> None:
    with pytest.raises(UserError):
        prompts_for_windows([], SPANS)


# ---- properties

TIMES = st.one_of(
    st.decimals(0, 12, places=2).map(str),
    st.sampled_from(["", "X", "-1", "1e9", "9" * 400, "0:08", ".5", "3.", "２"]),
)
UNITS = st.sampled_from([" seconds", " second", "s", " s", "", " s of video", "s of the video"])
PIECES = st.one_of(
    st.builds("(at {}{}: {})".format, TIMES, UNITS, st.text(max_size=8)),
    st.sampled_from(["(at ", "(", ")", ":", "\n", " (at 1 s: (x) y)", "(AT  2 S :z"]),
    st.text(max_size=12),
)
PROMPTS = st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join))


@st.composite
def window(draw):
    latents_ = draw(st.integers(1, 41))
    frames = 4 * (latents_ - 1) + 1
    first = draw(st.integers(0, frames - 1))
    new = draw(st.integers(1, frames - first))
    fps = draw(st.sampled_from([1, 15, 16, 23.976, 24, 25, 30, 60]))
    return {"frames": frames, "first_new_frame": first, "new_frames": new, "fps": fps}


@given(PROMPTS, window())
@example("(at 3 seconds: she laughs)", {**LATER, "new_frames": 76})
def test_any_text_is_a_schedule_of_every_latent_once_or_an_error_with_its_place(
    prompt: str, window
) -> None:
    try:
        segments = schedule(parse(prompt), **window)
    except PromptError as error:
        assert 0 <= error.position < len(prompt)
        assert prompt[error.position] in "(["
        assert f"character {error.position + 1}:" in str(error)
        return
    latent, frame, seconds = 0, 0, 0.0
    for segment in segments:
        assert segment.first_latent == latent < segment.stop_latent
        assert segment.first_frame == frame < segment.stop_frame
        assert latent_of_frame(frame) == latent
        assert segment.start_seconds == pytest.approx(seconds)
        assert segment.start_seconds < segment.stop_seconds
        latent, frame = segment.stop_latent, segment.stop_frame
        seconds = segment.stop_seconds
    assert latent == (window["frames"] - 1) // 4 + 1 and frame == window["frames"]
    assert seconds == pytest.approx(window["new_frames"] / window["fps"])


@given(st.lists(PROMPTS, min_size=1, max_size=3))
def test_any_prompts_of_three_windows_are_three_schedules_or_an_error_with_its_place(
    prompts,
) -> None:
    try:
        timed = prompts_for_windows(prompts, SPANS)
        assert len(timed) == len(SPANS)
        for window, text in zip((FIRST, LATER, LATER), timed, strict=True):
            if isinstance(text, TimedPrompt):
                segments = schedule(text, **window)
                assert (segments[0].first_latent, segments[-1].stop_latent) == (0, 21)
            else:
                assert text in prompts
    except PromptError as error:
        assert any(p[error.position : error.position + 1] == "(" for p in prompts)


@given(
    st.lists(st.integers(0, 10_000), min_size=1, max_size=5, unique=True),
    st.integers(0, 3),
    st.sampled_from([15, 16, 24, 25, 30]),
)
def test_a_part_never_acts_late_and_at_most_three_frames_early(times, motion_latents, fps) -> None:
    """A latent is under the words of a part from the latent of its frame on, for every time."""
    frames, first = 401, 4 * motion_latents + 1 if motion_latents else 0
    length_ms = 1000 * (frames - first) / fps
    times = sorted(t for t in times if t < length_ms)
    prompt = "all " + " ".join(f"(at {t / 1000} s: part {t})" for t in times)
    try:
        segments = schedule(parse(prompt), frames=frames, first_new_frame=first, fps=fps)
    except PromptError as error:
        assert "same latent" in str(error)
        return
    begins = {s.part.text: s for s in segments if s.part}
    for t in times:
        frame = min(first + math.ceil(t * fps / 1000), frames - 1)  # exact: integers
        segment = begins[f"part {t}"]
        if latent_of_frame(frame) <= latent_of_frame(first):
            assert segment.first_latent == 0
        else:
            assert 0 <= frame - segment.first_frame <= 3


@given(
    st.lists(st.integers(0, 290), min_size=1, max_size=6, unique=True),
    st.sampled_from([15, 16, 24, 30]),
)
def test_a_whole_video_prompt_says_at_every_time_what_it_said_before_it_was_cut(
    tenths, fps
) -> None:
    """Cutting loses no part and invents none: at each window's times the same words hold."""
    windows = [(81, 0, 81)] + [(81, 5, 76)] * 8
    spans, start = [], 0
    for _, _, new in windows:
        spans.append((start / fps, (start + new) / fps))
        start += new
    tenths = sorted(t for t in tenths if t / 10 < spans[-1][1])
    prompt = "all " + " ".join(f"(at {t / 10} s of video: {t})" for t in tenths)
    if not tenths:
        return
    cut = prompts_for_windows([prompt], spans)
    for timed, (begin, end) in zip(cut, spans, strict=True):
        for now in range(math.ceil(begin * 20), math.ceil(end * 20)):  # every 1/20 s
            said = [t for t in tenths if t / 10 <= now / 20 + 1e-6]
            held = [p for p in timed.parts if p.seconds <= now / 20 - begin + 1e-6]
            assert (held[-1].text if held else None) == (str(said[-1]) if said else None)
