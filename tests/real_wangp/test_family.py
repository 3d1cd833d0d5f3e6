"""The modes beside Pro on the real loop: y, mask, joins, seeds and prompts equal the formulas."""

import numpy as np
import pytest
import torch
from bench import drive

from wan2gp_svi.svi.conditioning import mask, padded_video
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.windows import Chain, Size, plan

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
]


@pytest.fixture(scope="module")
def runs(svi_tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    outcomes = drive(svi_tree, SCENARIOS, folder)
    for outcome in outcomes.values():
        outcome["start"] = folder / "picture1.png"
    return outcomes


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
