"""Tasks as users give them to the real WanGP: what starts, what is refused before a model loads."""

import numpy as np
import pytest
from bench import drive

SHORT = {"video_length": 17}
SCENARIOS = [
    {"name": "last of none", "set": {**SHORT, "image_prompt_type": "L", "image_start": None}},
    {"name": "base", "set": {"video_length": 29}},
    {"name": "anchors only", "anchors": 2, "set": {"video_length": 29, "image_start": None}},
    {
        "name": "anchors alone",
        "anchors": 2,
        "set": {"video_length": 29, "image_start": None, "image_prompt_type": ""},
    },
    {"name": "nothing", "set": {**SHORT, "image_start": None, "image_prompt_type": ""}},
    {
        "name": "seeds",
        "fake": True,
        "set": {
            "video_length": 29,
            "repeat_generation": 2,
            "custom_settings": {"svi_seeds": "100, 200"},
        },
    },
    {"name": "one frame", "set": {"video_length": 1}},
    {
        "name": "kept beyond",
        "continue": "base",
        "set": {"video_length": 13, "keep_frames_video_source": "30"},
    },
    {
        "name": "overlap 9",
        "continue": "base",
        "set": {"video_length": 13, "prompt": "[/overlap=9] on", "seed": -1},
    },
    {"name": "after overlap 9", "continue": "overlap 9", "set": {"video_length": 13, "seed": -1}},
    {"name": "wide", "set": {"video_length": 29, "custom_settings": {"svi_motion_latents": 2}}},
    {
        "name": "wide on",
        "continue": "wide",
        "set": {"video_length": 13, "prompt": "[/overlap=9] on", "seed": -1},
    },
    {"name": "duration", "fake": True, "set": {"prompt": "[/duration=29] a\n[/duration=21] b"}},
    {"name": "late", "set": {"prompt": "[/duration=21] a (at 9 seconds: b)"}},
    {
        "name": "foreign",
        "continue": "base",
        "set": {"video_length": 13, "keep_frames_video_source": "25"},
    },
]
COMMANDS = {"overlap 9", "after overlap 9", "wide on", "duration", "late"}
REFUSED = {"last of none", "nothing", "one frame", "kept beyond"}


@pytest.fixture(scope="module")
def commands(svi_tree):
    """Whether this WanGP has slash commands in prompts (12.10 on)."""
    return "build_frame_scheduler" in (svi_tree / "wgp.py").read_text(encoding="utf-8-sig")


@pytest.fixture(scope="module")
def runs(svi_tree, commands, tmp_path_factory):
    todo = [one for one in SCENARIOS if commands or one["name"] not in COMMANDS]
    return drive(svi_tree, todo, tmp_path_factory.mktemp("tasks"))


@pytest.fixture
def with_commands(commands):
    if not commands:
        pytest.skip("this WanGP has no slash commands")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("last of none", "no video yet to continue"),
        ("nothing", "starts from a picture"),
        ("one frame", "too few"),
        ("kept beyond", "has 29 frames"),
    ],
)
def test_what_cannot_be_is_told_before_a_model_loads(runs, name, words):
    run = runs[name]
    assert not run.ok
    assert run.windows == []
    told = run.said + run.error
    assert words in told or "Start Image" in told  # WanGP's own check may come first


def test_commands_that_cannot_be_are_told_before_a_model_loads(runs, with_commands):
    run = runs["late"]
    assert not run.ok
    assert run.windows == []
    assert "9 s is past" in run.said + run.error


def test_without_a_start_image_the_first_anchor_is_it(runs):
    only = runs["anchors only"]
    assert only.ok, only.said[-800:]
    assert only.frames == 29
    assert np.array_equal(only.arrays["y1"][4:, 0], only.arrays["encoding1_0"][:, 0])
    base = runs["base"]
    assert not np.array_equal(only.arrays["encoding1_0"], base.arrays["encoding1_0"])
    assert only.arrays["seen1_0"].std() > 0.1  # not a black picture


def test_nor_need_the_page_speak_of_a_start_image(runs):
    only, alone = runs["anchors only"], runs["anchors alone"]
    assert alone.ok, alone.said[-800:]
    for k in (1, 2):
        assert np.array_equal(only.arrays[f"y{k}"], alone.arrays[f"y{k}"]), k


def test_two_videos_of_one_list_of_seeds_differ_and_are_named_after_their_seed(runs):
    run = runs["seeds"]
    assert run.ok
    said = [
        line.split("seed ")[1].split(",")[0] for line in run.svi if line.startswith("[SVI] win")
    ]
    first, second = [int(seed) for seed in said[:2]], [int(seed) for seed in said[2:]]
    assert first == [100, 200]
    assert second[1] - second[0] == 100
    assert second[0] != 100
    names = {path for path in run["files"] if path.endswith(".mp4")}
    assert any("seed100" in name for name in names)
    assert any(f"seed{second[0]}" in name for name in names)


def test_a_wider_overlap_in_the_first_window_loses_no_frame(runs, with_commands):
    """The hand-over has one latent, two are asked: the end is encoded again, and said."""
    run = runs["overlap 9"]
    assert run.ok, run.said[-800:]
    assert run.frames == 29 + 8
    assert any("2 are asked" in line for line in run.svi)
    after = runs["after overlap 9"]
    assert after.frames == 37 + 12
    assert any("as if never stopped" in line for line in after.svi)


def test_a_wider_overlap_uses_a_hand_over_that_is_wide_enough(runs, with_commands):
    run, wide = runs["wide on"], runs["wide"]
    assert run.frames == wide.frames + 8
    assert any("as if never stopped" in line for line in run.svi)
    assert np.array_equal(run.arrays["y1"][4:, 1:3], wide.arrays["latents3"][:, -2:])


def test_the_plan_announced_is_the_one_that_runs(runs, with_commands):
    run = runs["duration"]
    assert run.frames == 29 + 20
    assert "[SVI] 41 frames asked: 49 in 2 windows" in run.svi


def test_a_part_of_a_video_is_not_said_to_end_with_a_window(runs):
    """Its hand-over is dropped when WanGP has read it; that it had windows is still known."""
    line = next(line for line in runs["foreign"].svi if line.startswith("[SVI] window"))
    assert line.startswith("[SVI] window 3/3")
    assert "the video's own end" in line
    assert "from window" not in line
