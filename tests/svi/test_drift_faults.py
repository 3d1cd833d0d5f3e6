"""From series of measures to faults: what goes on is drift, what leaps or comes back is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wan2gp_svi.svi import faults as faulty
from wan2gp_svi.svi.faults import NAMES, Limit, Series, going_on

WINDOW, COUNT = 40, 8
SPANS = [(WINDOW * k, WINDOW * (k + 1)) for k in range(COUNT)]
FRAMES = WINDOW * COUNT
LIMIT = Limit(0.06, 0.01)


def calm(**changes) -> Series:
    """A video in which something moves evenly and nothing is out of line."""
    rng = np.random.default_rng(3)
    values = {name: np.zeros(FRAMES, np.float32) for name in NAMES}
    one = np.ones(FRAMES, np.float32)
    values |= {
        "luma": 120 + rng.normal(0, 0.2, FRAMES).astype(np.float32),
        "alike": one,
        "to_first": np.exp(-np.arange(FRAMES) / 100, dtype=np.float32),
        "difference": 3 + rng.normal(0, 0.1, FRAMES).astype(np.float32),
        "residual": one,
        "seen": one,
        "speed": 0.5 + rng.normal(0, 0.02, FRAMES).astype(np.float32),
        "step": 1 + rng.normal(0, 0.05, FRAMES).astype(np.float32),
        "sure": one,
        "d_exposure": rng.normal(0, 0.0004, FRAMES).astype(np.float32),
    }
    return replace(Series(**values), **changes)


def kinds(series: Series) -> list[str]:
    return [f.kind for f in faulty.faults(series, SPANS)]


def put(series: Series, **at: dict[int, float]) -> Series:
    columns = {name: getattr(series, name).copy() for name in at}
    for name, values in at.items():
        for frame, value in values.items():
            columns[name][frame] = value
    return replace(series, **columns)


def test_a_calm_video_holds() -> None:
    assert kinds(calm()) == []


@pytest.mark.parametrize(
    "level",
    [
        [0, 0.02, 0.04, 0.06, 0.08],
        [0, 0, 0, -0.03, -0.06, -0.09],
        [0, 0.01, 0.04, 0.08, 0.14, 0.13],
    ],
)
def test_what_goes_on_is_drift(level: list[float]) -> None:
    found = going_on(np.array(level), LIMIT)
    assert found is not None
    assert abs(found[2]) >= 0.08


@pytest.mark.parametrize(
    "level",
    [
        [0, 0, 0, 0.2, 0.2, 0.2],
        [0, 0, 0.1, 0.2, 0.21, 0.21, 0.22],
        [0, 0.05, 0, 0.05, 0, 0.05],
        [0, 0.01, 0.02, 0.03, 0.035],
        [0.001 * k for k in range(200)],
    ],
    ids=["a leap", "a leap across a join", "to and fro", "too little", "too slowly"],
)
def test_what_does_not_go_on_is_none(level: list[float]) -> None:
    assert going_on(np.array(level), LIMIT) is None


def test_drift_says_from_which_window_on() -> None:
    ramp = np.where(np.arange(FRAMES) >= 3 * WINDOW, 0.04 / WINDOW, 0).astype(np.float32)
    quarters = {f"d_quarter{k}": ramp for k in (1, 2, 3, 4)}
    (found,) = faulty.faults(calm(d_exposure=ramp, **quarters), SPANS)
    assert found.kind == "exposure"
    quarters["d_quarter3"] = -ramp / 10  # as of a light that moves
    assert kinds(calm(d_exposure=ramp, **quarters)) == []
    assert found.windows == (2, 7)
    assert found.size == pytest.approx(0.18, abs=0.02)


def test_a_slow_drift_of_a_long_video_must_show_in_the_frames_as_such() -> None:
    windows = 40
    spans = [(8 * k, 8 * (k + 1)) for k in range(windows)]
    ramp = np.full(FRAMES, 0.006 / 8, np.float32)
    quarters = {f"d_quarter{k}": ramp for k in (1, 2, 3, 4)}
    slow = calm(d_exposure=ramp, **quarters)
    assert faulty.drifts(slow, spans) == []
    brighter = (slow.luma * np.exp(np.cumsum(ramp))).astype(np.float32)
    (found,) = faulty.drifts(replace(slow, luma=brighter), spans)
    assert found.size == pytest.approx(0.23, abs=0.02)


def test_motion_that_dies_down_and_motion_that_only_pauses() -> None:
    time = np.arange(FRAMES) / WINDOW
    assert kinds(calm(speed=(0.5 * 0.7**time).astype(np.float32))) == ["motion"]
    assert kinds(calm(speed=(0.3 + 0.25 * np.cos(time * 2)).astype(np.float32))) == []
    assert kinds(calm(speed=(0.5 * 1.4**time).astype(np.float32))) == []
    # The camera comes to rest; at the end something comes in, and little else moves.
    slows = (0.5 * 0.7**time).astype(np.float32)
    comes_in = slows + np.where(time >= COUNT - 1, 0.12, 0).astype(np.float32)
    assert kinds(calm(speed=comes_in)) == []
    assert kinds(calm(speed=comes_in, right=slows)) == ["motion"]


def test_events_at_joins() -> None:
    join = SPANS[3][0]
    twice = put(calm(), step={join: 0.02}, difference={join: 0.3})
    (found,) = faulty.faults(twice, SPANS)
    assert (found.kind, found.start, found.join) == ("doubled", join, 3)
    gone = put(calm(), step={join: 3.1}, difference={join: 6.5})
    (found,) = faulty.faults(gone, SPANS)
    assert (found.kind, found.size, found.join) == ("lost", 2, 3)
    (found,) = faulty.faults(put(calm(), difference={join: 20.0}, step={join: np.nan}), SPANS)
    assert (found.kind, found.join) == ("jump", 3)
    assert found.size == pytest.approx(20 / 3, rel=0.1)


def test_a_flash_is_light_that_comes_and_goes() -> None:
    join = SPANS[5][0]
    light = {"d_exposure": {join: 0.09, join + 2: -0.09}, "difference": {join: 12, join + 2: 12}}
    luma = {join: 130.0, join + 1: 130.0}
    (found,) = faulty.faults(put(calm(), **light, luma=luma), SPANS)
    assert (found.kind, found.start, found.stop, found.join) == ("flash", join, join + 2, 5)
    stays = put(calm(), d_exposure={join: 0.09})
    assert "flash" not in kinds(stays)
    other = put(calm(), **light, luma=luma, residual={join: 11, join + 2: 11})
    assert "flash" not in kinds(other)


def test_a_dark_moment_that_comes_slowly_is_no_flash() -> None:
    join = SPANS[5][0]
    down = {join + k: -0.015 for k in range(-3, 1)} | {join + k: 0.015 for k in range(1, 5)}
    luma = {join + k: 120 - 1.8 * (4 - abs(k)) for k in range(-3, 4)}
    assert kinds(put(calm(), d_exposure=down, luma=luma)) == []


def test_a_cut_is_no_fault() -> None:
    cut = put(
        calm(),
        alike={160: 0.1},
        seen={160: 0.0},
        residual={160: 60.0},
        difference={160: 70.0},
        d_exposure={160: 0.3},
        luma=dict.fromkeys(range(160, FRAMES), 180.0),
    )
    assert faulty.cuts(cut).nonzero()[0].tolist() == [160]
    assert kinds(cut) == []


def falling_back(phase) -> np.ndarray:
    time = np.arange(FRAMES)
    away = np.minimum(time / WINDOW, 1) * 0.6
    for k, (start, stop) in enumerate(SPANS[1:]):
        near = np.exp(-(((time - start) / WINDOW - phase(k)) ** 2) / 0.01)
        away = np.where((time >= start) & (time < stop), 0.6 * (1 - near), away)
    return (1 - away).astype(np.float32)


def test_falling_back_to_the_first_picture_keeps_the_windows_time() -> None:
    assert kinds(calm(to_first=falling_back(lambda k: 0.3))) == ["returns"]
    assert kinds(calm(to_first=falling_back(lambda k: 0.3 + 0.37 * k % 0.6))) == []


def test_short_videos() -> None:
    for frames in (1, 2, 5, 30):
        short = Series(**{n: getattr(calm(), n)[:frames] for n in NAMES})
        assert faulty.faults(short, [(0, frames)]) == []


LONG_SPANS = [(8 * k, 8 * (k + 1)) for k in range(FRAMES // 8)]


def becoming(windows: int, over: int) -> list[float]:
    """The resting picture, which becomes another over so many windows, and a bit of noise."""
    noise = np.random.default_rng(5).normal(0, 0.02, windows)
    return list(0.8 * np.clip(np.arange(windows) / over, 0, 1) + noise)


def test_a_place_that_becomes_another() -> None:
    count = len(LONG_SPANS)
    (found,) = faulty.faults(calm(), LONG_SPANS, becoming(count, 20))
    assert found.kind == "scene"
    assert found.windows is not None and found.windows[0] <= 2
    assert found.size == pytest.approx(0.8, abs=0.1)
    one = np.ones(FRAMES, np.float32)
    for travels in (calm(right=0.1 * one), calm(zoom=0.002 * one), calm(turn=-0.004 * one)):
        assert faulty.faults(travels, LONG_SPANS, becoming(count, 20)) == []
    assert faulty.faults(calm(), LONG_SPANS, becoming(count, 3)) == []  # somebody comes in
    assert faulty.faults(calm(), LONG_SPANS, [0.2] * count) == []


def jumping(back: float) -> Series:
    """Each window gains 8 % of colour, and a jump to the next takes so much of it `back`."""
    frame = np.arange(FRAMES)
    join = (frame % WINDOW == 0) & (frame > 0)
    gain = np.where(join, 0, 0.08 / WINDOW).astype(np.float32)
    colour = np.cumsum(np.where(join, -0.08 * back, gain))
    at = np.convolve(join, np.ones(5))[2:-2] > 0
    return calm(
        d_saturation=np.where(at, 0, gain).astype(np.float32),
        spread=(0.4 * np.exp(colour)).astype(np.float32),
        residual=np.where(join, 10, 1).astype(np.float32),
    )


def test_what_a_jump_takes_back_does_not_sum_up() -> None:
    assert kinds(jumping(back=1.0)) == []
    (found,) = faulty.drifts(jumping(back=0.0), SPANS)
    assert found.kind == "saturation"
    assert found.size == pytest.approx(0.08 * (COUNT - 1), rel=0.2)


def test_colour_must_show_in_the_frames_as_such() -> None:
    ramp = np.full(FRAMES, 0.05 / WINDOW, np.float32)
    more = np.exp(np.cumsum(ramp)).astype(np.float32)
    assert kinds(calm(d_saturation=ramp, spread=0.2 * more)) == ["saturation"]
    assert kinds(calm(d_saturation=ramp, spread=0.2 + 0 * more)) == []
    assert kinds(calm(d_saturation=ramp, spread=0.04 * more)) == []  # nearly grey
