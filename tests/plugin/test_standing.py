"""Where a run stands, and whose it is."""

from __future__ import annotations

import pytest

from wan2gp_svi.plugin import standing
from wan2gp_svi.svi.prompts import parse
from wan2gp_svi.svi.schedule import segments_of
from wan2gp_svi.svi.windows import Chain, plan
from wan2gp_svi.wangp import progress


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Seconds, which a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "_pace", None)
    yield now
    progress.end()


def window(clock, number: int, seconds: float) -> None:
    progress.window_begins(number, 4, 81, f"frames of {number}, seed 7", [])
    clock[0] += seconds
    progress.window_saved("video.mp4")


def test_time_used_and_left(clock):
    gen: dict = {}
    progress.begin(gen, 100.0)
    assert "about to begin" in standing.told(progress.of(gen), clock[0])
    window(clock, 1, 100)  # the model was loaded, too
    window(clock, 2, 40)
    progress.window_begins(3, 4, 81, "frames <158>", [])
    clock[0] += 10
    said = standing.told(progress.of(gen), clock[0])
    assert "Window 3 of 4" in said
    assert "2 min 30 s used" in said
    assert "about 1 min 10 s left" in said  # 30 of this window, 40 of the next
    assert "&lt;158&gt;" in said


def test_another_browser_sees_nothing_of_it(clock):
    mine: dict = {}
    progress.begin(mine, 1.0)
    assert progress.of(mine) is not None
    assert progress.of({}) is None
    progress.end()
    assert progress.of(mine) is None
    assert standing.told(None, 0.0) == ""


def test_what_a_window_will_cost_is_what_the_last_one_did(clock):
    assert progress.seconds_for(100, 81) is None
    work = progress.work({"resolution": "832x480", "num_inference_steps": 8})
    assert work == 832 * 480 * 8
    progress.begin({}, work)
    window(clock, 1, 100)
    assert progress.seconds_for(work, 81) == pytest.approx(100)
    window(clock, 2, 40)
    assert progress.seconds_for(2 * work, 81) == pytest.approx(80)


def test_outside_a_run_nothing_is_kept(clock):
    progress.window_begins(1, 2, 81, "x", [])
    progress.window_saved("video.mp4")
    assert progress.seconds_for(1, 1) is None


def host(gen: dict) -> dict:
    """wgp.py's status of a browser, as it makes it."""
    merge = lambda status, context: " - ".join(part for part in (status, context) if part)  # noqa: E731
    return {
        "get_gen_info": lambda state: state["gen"],
        "merge_status_context": merge,
        "get_latest_status": lambda state, context="": merge(
            f"Prompt 1/2, Sliding Window {gen['window_no']}/4", context
        ),
    }


def test_wangps_status_says_what_svi_does_in_this_window(clock):
    gen: dict = {"window_no": 2}
    wgp, state = host(gen), {"gen": gen}
    progress.attach(wgp)
    progress.begin(gen, 1.0, lambda: wgp["get_latest_status"](state))
    assert wgp["get_latest_status"](state) == "Prompt 1/2, Sliding Window 2/4"
    timed = plan(81, Chain())[0]
    words = segments_of(timed, parse("a cat (at 2 s: it | jumps)"))
    progress.window_begins(7, 9, 81, "", words, "anchor 1, hand-over used")
    line = 'Prompt 1/2, SVI window 7 of 9, anchor 1, hand-over used, "a cat; it / jumps"'
    assert gen["progress_status"] == line
    assert wgp["get_latest_status"](state, "VAE Decoding") == f"{line} - VAE Decoding"
    other: dict = {"gen": {"window_no": 1}}
    assert wgp["get_latest_status"](other) == "Prompt 1/2, Sliding Window 2/4"
    progress.window_saved("video.mp4")
    assert wgp["get_latest_status"](state) == "Prompt 1/2, Sliding Window 2/4"


def test_long_words_are_cut_in_the_status():
    line = progress.in_one_line(1, 2, "", segments_of(plan(81, Chain())[0], "cat " * 99))
    assert line.startswith('SVI window 1 of 2, "cat cat')
    assert line.endswith('..."') and len(line) < 70
