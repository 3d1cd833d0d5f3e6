"""What is wrong with WanGP's own SVI 2 Pro is right with the extension.

Each check is a function of the runs. It must hold on the patched WanGP, whatever its version, and
fail on the unpatched one in the versions named with it: so each is known to see its fault.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from bench import drive
from PIL import Image

from wan2gp_svi.svi.windows import Chain, Size, plan

ALL = ("10.01", "12.53", "12.60")


def fake(name, **settings):
    return {"name": name, "fake": True, "set": {"video_length": 29, **settings}}


SCENARIOS = [
    {"name": "two", "anchors": 2, "set": {"video_length": 29}},
    {"name": "alone", "set": {"video_length": 29}},
    {
        "name": "more",
        "continue": "alone",
        "set": {"video_length": 13, "prompt": "three"},
    },
    {"name": "amplified", "set": {"video_length": 29, "motion_amplitude": 1.15}},
    {
        "name": "coloured",
        "set": {"video_length": 29, "sliding_window_color_correction_strength": 1},
    },
    {
        "name": "discard8",
        "set": {
            "video_length": 30,
            "sliding_window_size": 21,
            "sliding_window_discard_last_frames": 8,
        },
    },
    {"name": "end", "ends": 2, "set": {"video_length": 29}},
    fake("43", video_length=43),
    fake("157", video_length=157, sliding_window_size=81),
    {**fake("and81", video_length=81, sliding_window_size=81), "continue": "157"},
    fake("5", video_length=5),
    {**fake("after5", video_length=29), "continue": "5"},
    {**fake("extra", video_length=25), "extra": {"2": 1}},
    fake("slashes", prompt="[/duration=17] one\n[/duration=12] two\n[/duration=12] three"),
]


def hand_over(runs):
    arrays = runs["two"].arrays
    return np.array_equal(arrays["y2"][4:, 1], arrays["latents1"][:, -1])


def new_noise(runs):
    noise = runs["two"].arrays["noise2"]
    generator = torch.Generator().manual_seed(7 + 42)
    return np.array_equal(noise, torch.randn(*noise.shape, generator=generator).numpy())


def length_43(runs):
    return runs["43"].frames == plan(43, Chain(size=Size(17)))[-1].stop == 41


def length_continued(runs):
    return runs["and81"].frames == 157 + 76


def short_source(runs):
    planned = plan(29, Chain(size=Size(17), source_frames=5, windows_before=1))
    return runs["after5"].frames == planned[-1].stop


def anchor_continued(runs):
    start, later = runs["alone"].arrays["y1"][4:, 0], runs["more"].arrays["y1"][4:, 0]
    return np.array_equal(start, later)


def start_image_first(runs):
    return np.array_equal(runs["two"].arrays["y1"][4:, 0], runs["alone"].arrays["y1"][4:, 0])


def amplitude(runs):
    """Anchor and motion latent as they are, every generated latent changed, the same in each."""
    plain, loud = runs["alone"].arrays, runs["amplified"].arrays
    first = np.array_equal(plain["y1"][4:, 0], loud["y1"][4:, 0]) and loud["y1"][4:, 1:].any()
    same_latent = np.array_equal(loud["y2"][4:, 1], loud["latents1"][:, -1])
    changed = all(loud["y2"][4:, j].any() for j in range(2, loud["y2"].shape[1]))
    return bool(first and same_latent and changed)


def end_mask(runs):
    y = runs["end"].arrays["y1"]
    return bool(y[4:, -1].any()) and not y[:4, 1:].any()


def colours(runs):
    """The reference of window 2 is the anchor, the start image, and not window 1's last frame."""
    arrays = runs["coloured"].arrays
    reference = arrays["reference2"][:, 0]
    if np.abs(reference).max() > 1:  # uint8 scale
        reference = reference / 127.5 - 1
    picture = np.array(Image.open(runs["coloured"]["start"])).transpose(2, 0, 1) / 127.5 - 1
    return bool(np.abs(reference - picture).mean() < 0.02)


def discard(runs):
    arrays = runs["discard8"].arrays
    kept = arrays["latents1"].shape[1] - 2
    return np.array_equal(arrays["y2"][4:, 1], arrays["latents1"][:, kept - 1])


def extra_windows(runs):
    """Five known frames are dropped in each later window, and its kept ones end with a latent."""
    run = runs["extra"]
    if [window["dropped"] for window in run.windows[1:]] != [5, 5]:
        return False  # fewer dropped: that many are shown twice
    delivered = [video["frames"] for video in run.videos]
    adds = [after - before for before, after in itertools.pairwise(delivered)]
    return len(run.windows) == 3 and [add + 5 for add in adds] == [
        window["frames"] for window in run.windows[1:]
    ]


def slash_commands(runs):
    return "y3" in runs["slashes"].arrays and runs["slashes"].frames == 41


class Check(NamedTuple):
    point: str
    holds: Callable
    broken_in: tuple


CHECKS = [
    Check("1 hand-over to window 2", hand_over, ("12.60",)),
    Check("1 slash commands", slash_commands, ("12.53", "12.60")),
    Check("2 noise of each window", new_noise, ALL),
    Check("3 frames delivered", length_43, ("12.60",)),
    Check("4 frames of a continuation", length_continued, ("12.60",)),
    Check("4 source of five frames", short_source, ("10.01", "12.53")),
    Check("4 anchor of a continuation", anchor_continued, ALL),
    Check("5 start image in window 1", start_image_first, ALL),
    Check("6 motion amplitude", amplitude, ALL),
    Check("7 end image", end_mask, ("12.53", "12.60")),
    Check("8 colour reference", colours, ALL),
    Check("9 hand-over with discard", discard, ("10.01",)),
    Check("10 extra windows", extra_windows, ("12.60",)),
]


def with_start(runs, folder):
    for run in runs.values():
        run["start"] = folder / "picture1.png"
    return runs


@pytest.fixture(scope="module")
def patched(svi_tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("patched")
    return with_start(drive(svi_tree, SCENARIOS, folder), folder)


@pytest.fixture(scope="module")
def native(plain_tree, tmp_path_factory):
    if not (plain_tree / "defaults" / "i2v_2_2_svi2pro.json").exists():
        pytest.skip("this WanGP has no SVI of its own")
    folder = tmp_path_factory.mktemp("native")
    # 13: 10.0 and 10.01 take the background off anchor images, with a model to be downloaded.
    scenarios = [
        {**scenario, "set": {**scenario["set"], "remove_background_images_ref": 0}}
        for scenario in SCENARIOS
    ]
    return with_start(drive(plain_tree, scenarios, folder), folder)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.point)
def test_right_with_the_extension(patched, check):
    version = patched["two"].version
    if check.holds is slash_commands and float(version.split(".")[0]) < 12:
        pytest.skip("this WanGP has no slash commands")
    assert check.holds(patched)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.point)
def test_wrong_without_it(native, check):
    version = native["two"].version
    if version not in check.broken_in:
        pytest.skip(f"WanGP {version} is not known to have this fault")
    try:
        right = check.holds(native)
    except (KeyError, IndexError, ValueError):
        right = False  # the run ended before it came to that
    assert not right
