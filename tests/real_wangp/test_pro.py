"""SVI 2.0 Pro in the real WanGP: every window right, in one run and continued."""

import numpy as np
import pytest
import torch
from bench import drive

from wan2gp_svi.svi.windows import Chain, Size, plan

LENGTHS = [81, 157, 161, 162, 200, 233, 240, 243]
SMALL = [(41, 17), (42, 17), (30, 13), (60, 21)]
EXACT = {"svi_length": "exact"}


def fake(name, frames, window=81, **more):
    settings = {"video_length": frames, "sliding_window_size": window, **more.pop("set", {})}
    return {"name": name, "fake": True, "set": settings, **more}


SCENARIOS = [
    {"name": "four", "anchors": 2, "set": {"video_length": 53}},
    {"name": "two", "anchors": 2, "set": {"video_length": 29}},
    {
        "name": "continued",
        "continue": "two",
        "set": {"video_length": 25, "seed": -1, "prompt": "three\nfour"},
    },
    *(fake(f"f{frames}", frames) for frames in LENGTHS),
    *(fake(f"x{frames}", frames, set={"custom_settings": EXACT}) for frames in (162, 240)),
    *(fake(f"s{frames}-{window}", frames, window) for frames, window in SMALL),
    fake("more", 81, **{"continue": "f157"}),
    fake("last", 81, last=True, **{"continue": "f157"}),
    fake("discard", 41, 17, set={"sliding_window_discard_last_frames": 4}),
    fake("discard one", 13, 17, set={"sliding_window_discard_last_frames": 4}),
    fake("discard extra", 13, 17, set={"sliding_window_discard_last_frames": 4}, extra={"1": 1}),
    fake("end", 13, 17, set={"sliding_window_discard_last_frames": 4}, ends=1),
    fake("extra", 29, 17, extra={"1": 1, "2": 1}),
    fake("wide", 41, 17, set={"custom_settings": {"svi_motion_latents": 2}}),
    fake("same", 41, 17, set={"custom_settings": {"svi_seeds": "same"}}),
    fake("short", 5, 17),
    fake("after-short", 29, 17, **{"continue": "short"}),
]


@pytest.fixture(scope="module")
def runs(svi_tree, tmp_path_factory):
    return drive(svi_tree, SCENARIOS, tmp_path_factory.mktemp("pro"))


def expected_y(anchor, motion, latents):
    """METHOD.md: mask 1 at latent 0, then [anchor, motion, 0, ...]."""
    y = np.zeros((20, latents, *anchor.shape[2:]), dtype=np.float32)
    y[:4, 0] = 1
    y[4:, 0] = anchor[:, 0]
    if motion is not None:
        y[4:, 1 : 1 + motion.shape[1]] = motion
    return y


def test_every_scenario_ran(runs):
    assert {name: run.error for name, run in runs.items() if not run.ok} == {}
    assert len(runs) == len(SCENARIOS)


def test_y_is_the_formula_in_every_window(runs):
    four = runs["four"]
    arrays = four.arrays
    start, second = arrays["encoding1_0"], arrays["encoding2_0"]
    assert not np.array_equal(start, second)
    anchors = [start, second, second, second]  # the start image first, the last anchor for the rest
    for k in range(1, 5):
        motion = arrays[f"latents{k - 1}"][:, -1:] if k > 1 else None
        assert np.array_equal(arrays[f"y{k}"], expected_y(anchors[k - 1], motion, 5)), k


def test_the_noise_is_torchs_for_the_documented_seeds(runs):
    arrays = runs["four"].arrays
    for k in range(1, 5):
        generator = torch.Generator().manual_seed(7 + 42 * (k - 1))
        noise = torch.randn(1, 16, 5, 8, 8, generator=generator)
        assert np.array_equal(arrays[f"noise{k}"], noise.numpy()), k


def test_an_anchor_is_encoded_once_and_nothing_else_is(runs):
    assert [w["encoded"] for w in runs["four"].windows] == [[1], [1], [], []]
    assert [w["encoded"] for w in runs["f240"].windows] == [[1], [], []]


def test_prompts_and_status(runs):
    four = runs["four"]
    assert [w["prompt"] for w in four.windows] == ["one", "two", "three", "four"]
    assert [w["status"] for w in four.windows] == [[k, 4] for k in range(1, 5)]
    assert four.svi[2] == (
        "[SVI] window 2/4: frames 18-29, anchor 2, seed 49, hand-over 1 latent from window 1"
    )


def test_going_on_later_is_never_having_stopped(runs):
    whole, two, later = (runs[name].arrays for name in ("four", "two", "continued"))
    for name in ("y", "noise", "latents", "frames"):
        for k in (1, 2):
            assert np.array_equal(whole[f"{name}{k}"], two[f"{name}{k}"]), (name, k)
            new = slice(5, None) if name == "frames" else slice(None)
            one, other = whole[f"{name}{k + 2}"][:, new], later[f"{name}{k}"][:, new]
            assert np.array_equal(one, other), (name, k + 2)
    assert runs["continued"].frames == 53
    assert runs["continued"].metadata["seed"] == 7
    assert [w["encoded"] for w in runs["continued"].windows] == [[], []]


@pytest.mark.parametrize("frames", LENGTHS)
def test_what_is_delivered_is_what_was_announced(runs, frames):
    windows = plan(frames, Chain())
    run = runs[f"f{frames}"]
    assert len(run.windows) == len(windows)
    assert [w["frames"] for w in run.windows] == [w.frames for w in windows]
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows]
    assert run.metadata["video_length"] == frames
    assert run.metadata["sliding_window_overlap"] == 4
    assert run.svi[0].startswith(f"[SVI] {frames} frames asked: {windows[-1].stop} in ")


@pytest.mark.parametrize("frames", [162, 240])
def test_exact_delivers_the_floored_length(runs, frames):
    assert runs[f"x{frames}"].frames == (frames - 1) // 4 * 4 + 1


@pytest.mark.parametrize(("frames", "window"), SMALL)
def test_small_windows(runs, frames, window):
    windows = plan(frames, Chain(size=Size(window)))
    run = runs[f"s{frames}-{window}"]
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows]


@pytest.mark.parametrize("name", ["more", "last"])
def test_81_more_are_one_whole_window(runs, name):
    assert [v["frames"] for v in runs[name].videos] == [157 + 76]
    assert [w["frames"] for w in runs[name].windows] == [81]


def test_discarded_frames_come_again_from_the_next_window(runs):
    windows = plan(41, Chain(size=Size(17, discard=4)))
    assert [v["frames"] for v in runs["discard"].videos] == [w.stop for w in windows]


def test_one_window_discards_where_a_longer_run_would(runs):
    """13 = 17 - 4: the hand-over is then where that of the first of many windows is."""
    run = runs["discard one"]
    assert run.arrays["y1"].shape[1] == 5
    assert [v["frames"] for v in run.videos] == [13]
    assert run.metadata["sliding_window_discard_last_frames"] == 4
    assert [v["frames"] for v in runs["discard extra"].videos] == [13, 21]


def test_an_end_image_is_not_discarded(runs):
    run = runs["end"]
    assert run.arrays["y1"].shape[1] == 4
    assert run.frames == 13
    assert run.windows[0]["encoded"] == [1, 1]


def test_windows_asked_for_while_running_are_whole_ones(runs):
    assert [v["frames"] for v in runs["extra"].videos] == [17, 29, 41, 53]


def test_more_motion_latents(runs):
    windows = plan(41, Chain(size=Size(17, motion_latents=2)))
    run = runs["wide"]
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows]
    y = run.arrays["y2"]
    assert y.shape[1] == windows[1].latents


def test_one_seed_for_all_stays_available(runs):
    assert all(", seed 7, " in line for line in runs["same"].svi[1:])


def test_a_source_of_one_window_of_five_frames_is_continued(runs):
    assert runs["short"].frames == 5
    windows = plan(29, Chain(size=Size(17), source_frames=5, windows_before=1))
    assert [v["frames"] for v in runs["after-short"].videos] == [w.stop for w in windows]


def test_other_models_are_as_without_the_extension(svi_tree, plain_tree, tmp_path):
    scenarios = [
        {"name": "image", "model": "i2v_2_2", "set": {"video_length": 33}},
        {"name": "text", "model": "t2v_2_2"},
    ]
    ours = drive(svi_tree, scenarios, tmp_path / "ours")
    plain = drive(plain_tree, scenarios, tmp_path / "plain")
    for name, run in ours.items():
        assert run.ok, run.said[-500:]
        assert not run.svi
        assert run.videos[-1]["frames"] == plain[name].videos[-1]["frames"]
        assert sorted(run.arrays) == sorted(plain[name].arrays)
        for array in run.arrays:
            assert np.array_equal(run.arrays[array], plain[name].arrays[array]), (name, array)
