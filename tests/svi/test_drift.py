"""The measures of drift: each moves for its own fault and stays put for the others."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from wan2gp_svi.svi import drift

SIZE = (208, 120)
CHANGES = ("exposure", "saturation", "tint", "detail", "speed")


def cloud(seed: int = 0, side: int = 320) -> np.ndarray:
    """A coloured picture with detail of every size, (side, side, 3), 0 to 255."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), 120.0)
    for scale in (2, 5, 12, 40, 100):
        small = rng.standard_normal((side // scale + 2, side // scale + 2, 3))
        picture += 7 * scale**0.4 * cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 30, 225)


PICTURE = cloud()


def view(x: float = 30, y: float = 40, zoom: float = 1.0) -> np.ndarray:
    """A view of the picture from (x, y), (120, 208, 3), 0 to 255."""
    width, height = SIZE
    step = 1 / zoom
    matrix = np.array([[step, 0, x], [0, step, y]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.clip(cv2.warpAffine(PICTURE, matrix, (width, height), flags=flags), 0, 255)


def frame(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def changed(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    one = drift.change(drift.look(frame(a)), drift.look(frame(b)))
    return {n: float(np.hypot(*one.tint)) if n == "tint" else getattr(one, n) for n in CHANGES}


def grey(picture: np.ndarray) -> np.ndarray:
    return (picture @ np.array([0.299, 0.587, 0.114]))[..., None]


FAULTS = {
    "exposure": lambda p: p * 0.94,
    "saturation": lambda p: grey(p) + (p - grey(p)) * 0.85,
    "tint": lambda p: p * np.array([1.05, 1.0, 0.92]),
    "detail": lambda p: cv2.GaussianBlur(p, (0, 0), 1.0),
}
LARGEST = {"exposure": 0.012, "saturation": 0.035, "tint": 0.012, "detail": 0.08}
"""What a measure may move by for a fault that is not its own."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_moves_its_own_measure_alone(fault: str) -> None:
    still = changed(view(), FAULTS[fault](view()))
    panned = changed(view(), FAULTS[fault](view(32.6, 39)))
    for found in (still, panned):
        assert abs(found[fault]) > LARGEST[fault]
        others = {n: v for n, v in found.items() if n not in (fault, "speed")}
        if fault == "saturation":  # mean colours move with it: faults.py knows by how much
            others.pop("tint")
        if fault == "tint":  # red up and blue down: what is lit changes, too
            others.pop("exposure")
            others.pop("saturation")
        assert all(abs(v) < LARGEST[n] for n, v in others.items()), (found, fault)


def test_the_size_of_a_change_is_right() -> None:
    assert changed(view(), view() * 0.94)["exposure"] == pytest.approx(np.log(0.94), abs=0.003)
    weaker = FAULTS["saturation"](view())
    assert changed(view(), weaker)["saturation"] == pytest.approx(np.log(0.85), abs=0.03)


@pytest.mark.parametrize(
    "path",
    [
        [(30 + 2.3 * k, 40 + 0.7 * k, 1.0) for k in range(30)],
        [(30 + 0.4 * k, 40 + 0.4 * k, 1 + 0.008 * k) for k in range(30)],
        [(60 + 14 * np.sin(k / 3), 40 + 9 * np.cos(k / 4), 1.0) for k in range(30)],
    ],
    ids=["pan", "zoom", "sway"],
)
def test_a_camera_that_moves_adds_nothing(path) -> None:
    looks = [drift.look(frame(view(*p))) for p in path]
    steps = [drift.change(a, b) for a, b in pairwise(looks)]
    assert abs(sum(s.exposure for s in steps)) < 0.02
    assert abs(sum(s.saturation for s in steps)) < 0.05
    assert abs(sum(s.detail for s in steps)) < 0.2
    assert np.hypot(*np.sum([s.tint for s in steps], 0)) < 0.02
    assert min(s.seen for s in steps) > 0.8


def test_backwards_is_the_same_with_the_other_sign() -> None:
    a, b = (drift.look(frame(p)) for p in (view(), view(33, 41) * 0.97))
    there, back = drift.change(a, b), drift.change(b, a)
    assert there.exposure == pytest.approx(-back.exposure, abs=1e-6)
    assert there.detail == pytest.approx(-back.detail, abs=5e-3)  # the zoom is drawn by lot
    assert np.allclose(there.flow, -back.flow)


def test_nothing_is_told_of_what_is_not_seen_twice() -> None:
    other = cloud(9)[:120, :208]
    found = drift.change(drift.look(frame(view())), drift.look(frame(other)))
    assert found.residual > 10
    dark = drift.look(frame(view() * 0.05))
    found = drift.change(dark, drift.look(frame(view() * 0.045)))
    assert (found.exposure, found.saturation, found.detail) == (0, 0, 0)


def test_levels() -> None:
    one = drift.look(frame(view()))
    assert drift.luma(one) == pytest.approx(grey(view()).mean(), abs=1)
    bleached = drift.look(np.repeat(frame(grey(view())), 3, axis=2))
    assert drift.saturation(bleached) == 0 < drift.saturation(one)
    assert drift.saturation(drift.look(frame(view() * 0.7))) == pytest.approx(
        drift.saturation(one), rel=0.02
    )
    blurred = drift.look(frame(FAULTS["detail"](view())))
    assert drift.sharpness(blurred) < 0.8 * drift.sharpness(one)
    assert drift.histogram_distance(drift.histogram(one), drift.histogram(one)) < 1e-3
    assert drift.histogram_distance(drift.histogram(one), drift.histogram(bleached)) > 0.3
    assert drift.similarity(one, one) == pytest.approx(1)
    first, later = drift.composition(one), drift.composition(drift.look(frame(view() * 0.8)))
    assert drift.likeness(first, later) > 0.98  # darker, and still what it was
    assert drift.likeness(first, drift.composition(drift.look(frame(cloud(9)[:120, :208])))) < 0.6


@pytest.mark.parametrize(("clock", "told"), [(1, 1), (0, 0), (2, 2), (3, 3)])
def test_steps_count_frames(clock: int, told: float) -> None:
    times = np.cumsum([0, 1, 1, clock, 1, 1])
    looks = [drift.look(frame(view(30 + 1.7 * t, 40 + 0.9 * t))) for t in times]
    found = drift.step([drift.change(a, b).flow for a, b in pairwise(looks)])
    assert found is not None
    assert found[0] == pytest.approx(told, abs=0.25)
    assert found[1] > 0.9


def test_steps_are_not_counted_where_nothing_moves_or_it_turns() -> None:
    for path in ([0] * 6, [0, 2, 4, 5, 3, 1]):
        looks = [drift.look(frame(view(30 + x))) for x in path]
        assert drift.step([drift.change(a, b).flow for a, b in pairwise(looks)]) is None


@pytest.mark.parametrize("size", [(16, 16), (40, 24), (1280, 720)])
def test_every_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, size[1], size[0], 3), dtype=np.uint8)
    a, b = (drift.look(f) for f in frames)
    assert a.luma.size <= drift.AREA * 1.02
    found = drift.change(a, b)
    assert np.isfinite([found.residual, found.exposure, found.detail, found.speed]).all()


def test_a_light_on_one_side_is_seen_in_its_quarters() -> None:
    lit = view() * np.linspace(1.2, 0.9, SIZE[0])[None, :, None]
    found = drift.change(drift.look(frame(view())), drift.look(frame(lit)))
    left, right, *_ = found.quarters
    assert left > 0.05 > -0.01 > right


def plate(picture: np.ndarray, ball: bool = False) -> np.ndarray:
    """Of nine frames of a picture, with a ball that crosses it."""
    seen = []
    for k in range(9):
        shown = frame(picture)
        if ball:
            at = 20 + 20 * k, 60
            shown = cv2.circle(shown, at, 22, (250, 40, 40), -1)
        seen.append(drift.cells(drift.look(shown)))
    return drift.plate(seen)


def test_what_rests_is_told_from_what_moves() -> None:
    first = plate(view())
    assert drift.changed(first, first) == 0
    assert drift.changed(first, plate(view() * 0.8)) < 0.02
    assert drift.changed(first, plate(view(), ball=True)) < 0.15
    assert drift.changed(first, plate(view(x=36))) < 0.25
    assert drift.changed(first, plate(view()[::-1, ::-1])) > 0.5


def test_the_cameras_way_is_found() -> None:
    looks = [drift.look(frame(view(30 + 2.0 * k, 40, 1 + 0.004 * k))) for k in range(10)]
    way = np.sum([drift.change(a, b).camera for a, b in pairwise(looks)], axis=0)
    zoom, turn, right, down = way
    assert zoom == pytest.approx(np.log(1.036), abs=0.005)
    assert abs(turn) < 0.005
    # Of the middle, at (104, 60): the pan to the left, and what a zoom about the corner adds.
    assert right == pytest.approx((-18 + 0.036 * 104) / 1.2, abs=0.7)
    assert down == pytest.approx(0.036 * 60 / 1.2, abs=0.5)
