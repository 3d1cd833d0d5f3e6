"""The plan of a chain: DESIGN's examples, and properties over thousands of drawn cases."""

import itertools
import time
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.vae import floor_frames, latents_of
from wan2gp_svi.svi.windows import Chain, Size, layout, new_frames, plan, sizes


def adds(frames, exact=False, **chain):
    return [window.adds for window in plan(frames, Chain(**chain), exact)]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (81, [81]),
        (157, [81, 76]),
        (161, [81, 76]),
        (162, [81, 76]),
        (200, [81, 76, 40]),
        (233, [81, 76, 76]),
        (240, [81, 76, 76]),
        (243, [81, 76, 76]),
        (100, [81]),  # 97: 16 of 76 remain, at most a quarter
        (101, [53, 48]),  # 20 remain: shared
    ],
)
def test_whole_windows_first_and_no_needless_one(frames, expected):
    assert adds(frames) == expected


def test_a_continuation_adds_one_less_because_its_first_frame_is_there():
    assert adds(81, source_frames=157, windows_before=2) == [76]
    assert adds(77, source_frames=157, windows_before=2) == [76]
    assert adds(81, source_frames=157, windows_before=2, exact=True) == [40, 40]


def test_exact_delivers_the_floored_length():
    assert adds(162, exact=True) == [81, 40, 40]
    assert adds(240, exact=True) == [81, 76, 40, 40]


def test_a_source_shorter_than_the_overlap_serves_as_start_image():
    window = plan(81, Chain(source_frames=3))[0]
    assert (window.drop_front, window.motion_latents) == (1, 0)
    assert (window.start, window.stop) == (3, 83)


def test_seeds():
    new = plan(240, Chain(seed=7))
    assert [w.seed for w in new] == [7, 49, 91]
    continued = plan(81, Chain(seed=7, source_frames=233, windows_before=3))
    assert [w.seed for w in continued] == [133]
    assert [w.seed for w in plan(240, Chain(seed=7, seeds="same"))] == [7, 7, 7]
    assert [w.seed for w in plan(240, Chain(seed=7, seeds=[5, 1]))] == [5, 1, 43]


def test_anchors_by_window_and_the_start_image_first():
    assert [w.anchor for w in plan(400, Chain())] == [0] * 5
    assert [w.anchor for w in plan(400, Chain(anchors=3))] == [0, 2, 3, 3, 3]
    later = Chain(anchors=2, source_frames=81, windows_before=1)
    assert [w.anchor for w in plan(240, later)] == [1, 2, 2]
    schedule = Chain(anchors=2, anchor_schedule=[2, 0, 1])
    assert [w.anchor for w in plan(400, schedule)] == [0, 0, 1, 1, 1]


def test_ten_hours_plan_at_once():
    began = time.perf_counter()
    windows = plan(10 * 3600 * 16, Chain())
    assert len(windows) > 7000
    assert time.perf_counter() - began < 5  # 0.03 s measured; only a quadratic plan fails this


@st.composite
def cases(draw):
    motion = draw(st.integers(1, 4))
    discard = draw(st.sampled_from([0, 0, 4, 8]))
    least = (1 + 4 * motion + discard + 4) // 4
    frames = 4 * draw(st.integers(least, 40)) + 1
    chain = Chain(
        size=Size(frames, motion, discard),
        seed=draw(st.integers(0, 2**31)),
        source_frames=draw(st.sampled_from([0, 0, 1, 2, 4, 5, 9, 81, 157])),
        windows_before=draw(st.integers(0, 9)),
    )
    return draw(st.integers(5, 3000)), chain, draw(st.booleans())


@settings(max_examples=2000, deadline=None)
@given(cases())
def test_no_frame_is_lost_none_comes_twice_and_no_window_is_needless(case):
    asked, chain, exact = case
    windows = plan(asked, chain, exact)
    full = chain.size
    # The delivered frames follow each other without gap or overlap.
    assert windows[0].start == chain.source_frames
    for before, after in itertools.pairwise(windows):
        assert after.start == before.stop
    for k, window in enumerate(windows, 1):
        assert window.number == k
        assert window.index == chain.windows_before + k
        assert window.frames % 4 == 1
        assert window.latents == latents_of(window.frames)
        assert window.adds >= 4
        assert window.adds == window.frames - window.drop_front - window.discard
        assert window.frames <= full.frames
        known = 0 if k == 1 and chain.starts_on_image(full) else 1 + 4 * full.motion_latents
        assert window.drop_front == (min(chain.source_frames, 1) if known == 0 else known)
        assert window.kept_latents * 4 == window.latents * 4 - window.discard
    delivered = windows[-1].stop - chain.source_frames
    wanted = new_frames(asked, chain)
    assert wanted == floor_frames(asked) - min(chain.source_frames, 1)
    if exact:
        assert delivered == wanted
    else:
        assert 0 <= wanted - delivered <= max(full.adds / 4, 0) or len(windows) == 1
        assert delivered <= wanted
    # As few windows as the delivered frames need.
    room = full.frames - chain.drop_first(full)
    first = room - (full.discard if len(windows) > 1 else 0)
    assert len(windows) == 1 + max(-(-(delivered - first) // full.adds), 0)
    assert (len(windows) == 1) == (delivered <= room)


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(2, 6), st.booleans())
def test_windows_made_one_at_a_time_are_those_of_one_run(case, count, exact):
    _, chain, _ = case
    chain = Chain(size=chain.size, seed=chain.seed)
    whole = layout([chain.size] * count, chain)
    assume(whole[-1].stop > chain.size.frames)  # else one window does it, discarding nothing
    assert plan(whole[-1].stop, chain, exact) == whole
    at, done = chain, []
    for window in whole:
        done += plan(window.adds + min(at.source_frames, 1), at, exact)
        at = replace(chain, source_frames=window.stop, windows_before=len(done))
    assert [replace(w, number=w.index) for w in done] == whole


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(1, 8))
def test_one_run_and_the_same_run_continued_agree(case, cut):
    """Windows 1..N, and 1..k then k+1..N, are the same windows."""
    _, chain, _ = case
    chain = Chain(size=chain.size, seed=chain.seed)
    parts = [chain.size] * (cut + 3)
    whole = layout(parts, chain)
    first = layout(parts[:cut], chain)
    later = Chain(
        size=chain.size,
        seed=chain.seed,
        source_frames=first[-1].stop,
        windows_before=cut,
    )
    second = layout(parts[cut:], later)
    for one, other in zip(whole, [*first, *second], strict=True):
        assert (one.index, one.seed, one.start, one.stop, one.drop_front, one.motion_latents) == (
            other.index,
            other.seed,
            other.start,
            other.stop,
            other.drop_front,
            other.motion_latents,
        )


@pytest.mark.parametrize(
    ("frames", "chain", "words"),
    [
        (3, Chain(), "3 frames are too few"),
        (81, Chain(size=Size(80)), "such as 77 or 81"),
        (81, Chain(size=Size(9, discard=4)), "adds nothing"),
        (81, Chain(size=Size(81, discard=3)), "multiple of 4"),
        (81, Chain(size=Size(81, motion_latents=0)), "motion latents"),
        (81, Chain(fps=0), "frames a second"),
        (81, Chain(source_frames=-1), "fewer than 0"),
        (81, Chain(seeds="random"), "'new', 'same' or a list"),
        (81, Chain(anchors=1, anchor_schedule=[2]), "asks for anchor 2"),
    ],
)
def test_what_cannot_be_planned_is_told_in_a_sentence(frames, chain, words):
    with pytest.raises(UserError, match=words):
        sizes(frames, chain)
