"""The modes beside Pro on the real loop: y, mask, joins, seeds and prompts equal the formulas."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import drive

from wan2gp_svi.svi.conditioning import mask, padded_video, scale_motion
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.windows import Chain, Size, plan
from wan2gp_svi.video.frames import read, shape
from wan2gp_svi.video.probe import read_settings
from wan2gp_svi.wangp.redo import planned_by, redo_settings

BASE = {"shot": "i2v", "film": "i2v", "tom": "i2v", "unified": "i2v", "2.0": "i2v_2_2"}
ASKED = 40


def scenario(name, **more):
    custom = {"svi_mode": name}
    return {
        "name": f"mode {name}",
        "model": BASE[name],
        "set": {"video_length": ASKED, "custom_settings": custom, **more},
    }


SCENARIOS = [
    *(scenario(name) for name in BASE),
    {**scenario("film"), "name": "16 bits", "half": True},
    {**scenario("tom"), "name": "end image", "ends": 1},
    {**scenario("film", motion_amplitude=1.2), "name": "amplitude"},
    {**scenario("film", prompt="[/overlap=9] one"), "name": "overlap"},
    {**scenario("film"), "name": "720p", "model": "i2v_720p"},
    {**scenario("film"), "name": "fun", "model": "fun_inp"},
    {**scenario("shot"), "name": "fun shot", "model": "fun_inp"},
    {**scenario("tom"), "name": "fun tom", "model": "fun_inp"},
    {**scenario("film"), "name": "first and last", "model": "flf2v_720p"},
    {**scenario("film", prompt="[/duration=13] one\n[/duration=8] two"), "name": "durations"},
    {
        **scenario("tom", prompt="one (at 0.5 s: two)", sliding_window_discard_last_frames=4),
        "name": "discard and times",
    },
    {"name": "plain", "model": "i2v", "set": {"video_length": 17}},
    {
        "name": "wrong",
        "model": "i2v_2_2",
        "set": {"video_length": 17, "custom_settings": {"svi_mode": "film"}},
    },
    {
        "name": "continued",
        "model": "i2v",
        "continue": "mode film",
        "set": {"video_length": 13, "custom_settings": {"svi_mode": "film"}, "prompt": "later"},
    },
    {
        "name": "cut",
        "model": "i2v",
        "continue": "mode shot",
        "last": True,
        "set": {
            "video_length": 17,
            "custom_settings": {"svi_mode": "shot"},
            "keep_frames_video_source": "23",
        },
    },
]


@pytest.fixture(scope="module")
def runs(svi_tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    return drive(svi_tree, SCENARIOS, folder)


@pytest.fixture(scope="module")
def again(svi_tree, runs, tmp_path_factory):
    """Window 2 of some modes' videos, made again from what `redo` writes."""
    scenarios = []
    for name in ("film", "unified", "2.0"):
        video = Path(runs[f"mode {name}"].videos[-1]["path"])
        metadata, found = read_settings(video), shape(video)
        made = planned_by(metadata, found.frames, found.fps)
        settings = redo_settings(video, made, metadata, 2, None, None)
        scenarios.append(
            {"name": name, "model": BASE[name], "continue": str(video), "set": settings}
        )
    return drive(svi_tree, scenarios, tmp_path_factory.mktemp("again"))


def as_pixels(frames):
    frames = torch.from_numpy(frames)
    if frames.dtype == torch.uint8:
        return frames.float() / 127.5 - 1
    # the host keeps what it has delivered as bytes from 11.60 on, and as it is before
    return frames.float()


def test_a_vae_in_16_bits_is_remarked_on_once(runs):
    """The authors encode in 32; WanGP's configuration decides, and with it how tiles are cut."""
    said = [line for line in runs["16 bits"].svi if "32 bits" in line]
    assert len(said) == 1
    assert runs["16 bits"].frames == runs["mode film"].frames
    assert not [line for line in runs["mode film"].svi if "32 bits" in line]


def test_a_mode_without_its_lora_is_remarked_on(runs):
    """Before 10.80 the page does not show which mode is on."""
    said = [line for line in runs["mode tom"].svi if "no LoRA has SVI" in line]
    assert len(said) == 1


def test_an_end_image_is_left_out_and_said(runs):
    run, without = runs["end image"], runs["mode tom"]
    assert sum("no end image" in line for line in run.svi) == 1
    assert np.array_equal(run.arrays["y1"], without.arrays["y1"])


@pytest.mark.parametrize("name", BASE)
def test_every_window_is_conditioned_by_the_formula(runs, name):
    run, mode = runs[f"mode {name}"], MODES[name]
    windows = plan(ASKED, Chain(size=Size(17, motion_frames=mode.motion_frames)))
    assert run.ok, run.said[-800:]
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows]
    arrays = run.arrays
    for k, window in enumerate(windows, 1):
        # The mask is 1 in latent 0 alone; the latents are what the VAE made of the padded video.
        assert np.array_equal(arrays[f"y{k}"][:4], mask(window.frames, 8, 8).numpy())
        assert np.array_equal(arrays[f"y{k}"][4:], arrays[f"encoding{k}_0"])
        assert run.windows[k - 1]["encoded"] == [window.frames]
        start = as_pixels(arrays["seen1_0"][:, :1])
        if k == 1:
            motion = start.expand(-1, mode.motion_frames, -1, -1)
        else:
            motion = as_pixels(arrays[f"frames{k - 1}"])[:, -mode.motion_frames :]
        expected = padded_video(motion, start, window.frames, mode.ref_pad_num)
        seen = as_pixels(arrays[f"seen{k}_0"])
        assert torch.allclose(seen, expected, atol=1e-6), (name, k)


@pytest.mark.parametrize("name", BASE)
def test_seeds(runs, name):
    arrays = runs[f"mode {name}"].arrays
    windows = plan(ASKED, Chain(size=Size(17, motion_frames=MODES[name].motion_frames), seed=7))
    for k, window in enumerate(windows, 1):
        generator = torch.Generator().manual_seed(window.seed)
        noise = torch.randn(1, 16, window.latents, 8, 8, generator=generator)
        assert np.array_equal(arrays[f"noise{k}"], noise.numpy())


@pytest.mark.parametrize(
    ("name", "prompts"),
    [("shot", ["one"] * 3), ("film", ["one", "two", "three"]), ("unified", ["one", "one", "two"])],
)
def test_prompts(runs, name, prompts):
    encoded = runs[f"mode {name}"].windows
    assert [w["text"][0] for w in encoded] == prompts[: len(encoded)]


def test_a_model_without_a_mode_is_left_alone(runs):
    assert runs["plain"].ok
    assert not runs["plain"].svi


def test_a_mode_of_another_model_stops_before_anything_is_generated(runs):
    assert not runs["wrong"].windows
    said = runs["wrong"].said  # by WanGP, where it checks dropdowns, or by us
    ours = "'film' is not one of this model's (2.0)"
    assert ours in said or "Expected one of the dropdown choices" in said


def test_continuing_takes_the_motion_frames_of_the_video(runs):
    run = runs["continued"]
    assert run.ok, run.said[-800:]
    seen = as_pixels(run.arrays["seen1_0"])
    assert seen.shape[1] == run.windows[0]["frames"]
    assert not seen[:, 5:].any()  # film: zeros behind the five motion frames
    assert run.frames == runs["mode film"].frames + 12


def decoded(run, start, stop):
    """Frames of a run's finished video, (3, F, H, W), -1 to 1."""
    _, frames = read(run.videos[-1]["path"])
    shown = np.stack(list(frames))[start:stop]
    return as_pixels(torch.from_numpy(shown).permute(3, 0, 1, 2).numpy())


def test_a_video_cut_short_goes_on_from_where_it_was_cut(runs):
    run, whole = runs["cut"], runs["mode shot"]
    assert run.ok, run.said[-800:]
    assert run.frames == 23 + 16
    seen = as_pixels(run.arrays["seen1_0"])
    assert torch.allclose(seen[:, :1], decoded(whole, 22, 23), atol=1e-6)
    first = decoded(whole, 0, 1)  # the reference is the start of the whole video
    assert torch.allclose(seen[:, 1:], first.expand(-1, seen.shape[1] - 1, -1, -1), atol=1e-6)


@pytest.mark.parametrize("name", ["film", "unified", "2.0"])
def test_a_window_made_again_has_its_noise_prompt_and_place(runs, again, name):
    old, new, mode = runs[f"mode {name}"], again[name], MODES[name]
    ends = [w.stop for w in plan(ASKED, Chain(size=Size(17, motion_frames=mode.motion_frames)))]
    assert new.ok, new.said[-800:]
    assert new.frames == ends[1]
    assert np.array_equal(new.arrays["noise1"], old.arrays["noise2"])
    assert new.windows[0]["text"][0] == old.windows[1]["text"][0]
    seen = as_pixels(new.arrays["seen1_0"])[:, : mode.motion_frames]
    end = decoded(old, ends[0] - mode.motion_frames, ends[0])
    assert torch.allclose(seen, end, atol=1e-6)


def test_a_motion_amplitude_acts_behind_the_frames_that_are_known(runs):
    run = runs["amplitude"]
    assert run.ok, run.said[-800:]
    for k in range(1, len(run.windows) + 1):
        encoded = torch.from_numpy(run.arrays[f"encoding{k}_0"])
        expected = scale_motion(encoded, 2, 1.2)  # five frames are two latents
        assert not torch.equal(expected, encoded)
        assert np.array_equal(run.arrays[f"y{k}"][4:], expected.numpy())


def test_a_command_for_an_overlap_is_refused_by_name(runs):
    """WanGP before 12.10 reads no commands: there it is text."""
    run = runs["overlap"]
    assert "[/overlap] is for SVI 2 Pro" in run.said or run.ok
    assert bool(run.windows) == ("[/overlap] is for SVI 2 Pro" not in run.said)


def test_commands_for_the_length_of_a_window_act(runs):
    """From WanGP 12.10 on."""
    run = runs["durations"]
    assert run.ok, run.said[-800:]
    if "frames asked: 21 in 2 windows" in run.said:
        assert [w["frames"] for w in run.windows] == [13, 13]  # five of the second are known
        assert run.frames == 21
    else:
        assert run.version.startswith(("9.", "10.", "11."))


def test_frames_are_discarded_and_times_act(runs):
    run = runs["discard and times"]
    assert run.ok, run.said[-800:]
    windows = plan(ASKED, Chain(size=Size(17, discard=4, motion_frames=1)))
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows]
    for k in range(2, len(windows) + 1):
        before = as_pixels(run.arrays[f"frames{k - 1}"])
        kept = before[:, : windows[k - 2].frames - windows[k - 2].discard]
        assert torch.allclose(as_pixels(run.arrays[f"seen{k}_0"])[:, :1], kept[:, -1:], atol=1e-6)
    assert all(any("two" in words for words in w["text"]) for w in run.windows[:2])


@pytest.mark.parametrize(
    ("name", "mode"), [("720p", "film"), ("fun", "film"), ("fun shot", "shot")]
)
def test_other_models_of_wan_2_1_are_the_same_to_svi(runs, name, mode):
    """The 720p model, and Fun InP, whose y WanGP makes in the same place."""
    run, other = runs[name], runs[f"mode {mode}"]
    assert run.ok, run.said[-800:]
    for k in range(1, len(other.windows) + 1):
        for name in ("y", "noise", "latents"):
            assert np.array_equal(run.arrays[f"{name}{k}"], other.arrays[f"{name}{k}"])


@pytest.mark.parametrize("name", ["fun tom", "first and last"])
def test_a_model_that_runs_no_mode_says_so(runs, name):
    """From 10.80 on WanGP drops settings that a model has not; before, the task is refused."""
    run = runs[name]
    said = " ".join((run.said + run.error).split())
    assert (
        re.search("runs no SVI mode, and '(film|tom)' was asked for", said)
        or "is not one of this model's" in said
        or "Expected one of the dropdown choices" in said
    )
    assert not any("frames asked" in line for line in run.svi)
