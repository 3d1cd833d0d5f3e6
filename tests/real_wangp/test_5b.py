"""SVI on Wan 2.2 5B on the real loop: what stands in x, seeds, words, going on."""

import numpy as np
import pytest
import torch
from bench import drive

from wan2gp_svi.svi.handover_file import load, path_beside
from wan2gp_svi.svi.windows import Chain, Size, plan

MODEL, FPS, ASKED = "ti2v_2_2", 24, 41
FRAMES = {"pro": 0, "tom": 1, "film": 5}


def scenario(name, mode="pro", **more):
    given = more.pop("set", {})
    custom = {"svi_mode": mode} | given.pop("custom", {})
    settings = {"video_length": ASKED, "custom_settings": custom, "guidance_phases": 1} | given
    return {"name": name, "model": MODEL, "set": settings, **more}


SCENARIOS = [
    *(scenario(mode, mode) for mode in FRAMES),
    scenario("anchors", anchors=3),
    scenario("whole", set={"video_length": 65}),
    scenario("begun", set={"video_length": 41}),
    scenario("later", set={"video_length": 25, "prompt": "four"}, **{"continue": "begun"}),
    scenario("tom later", "tom", set={"video_length": 17}, **{"continue": "tom"}),
    scenario("no file", set={"video_length": 13}, **{"continue": "tom"}),
    scenario("words", words=True),
    scenario("words later", set={"video_length": 13}, **{"continue": "words"}),
    scenario("two latents", set={"custom": {"svi_motion_latents": 2}}),
    scenario("strength", set={"custom": {"svi_anchor_strength": 0.5}}),
    scenario("timed", set={"prompt": "one (at 0.3 s: two)"}),
    scenario("fast", model="ti2v_2_2_fastwan"),
    scenario("steered", set={"video_prompt_type": "V", "video_guide": "no.mp4"}),
    {"name": "off", "model": MODEL, "set": {"video_length": 33}},
]


@pytest.fixture(scope="module")
def runs(svi_tree, tmp_path_factory):
    return drive(svi_tree, SCENARIOS, tmp_path_factory.mktemp("5b"))


def windows_of(mode="pro", asked=ASKED, **more):
    size = Size(17, more.pop("motion", 1), motion_frames=FRAMES[mode])
    return plan(asked, Chain(size, FPS, seed=7, **more))


def as_pixels(frames):
    frames = torch.from_numpy(frames)
    return frames.float() / 127.5 - 1 if frames.dtype == torch.uint8 else frames.float()


def told(run, k):
    """What stands in x in each pass of window k, and each latent's time step."""
    count = len([name for name in run.arrays if name.startswith(f"x{k}_")])
    return [
        (torch.from_numpy(run.arrays[f"x{k}_{i}"]), run.arrays[f"t{k}_{i}"]) for i in range(count)
    ]


def assert_in_place(run, k, known):
    """The known latents lead x in every pass, at time step 0, and what comes out begins so."""
    passes = told(run, k)
    assert len(passes) >= 2
    for x, t in passes:
        x = x.reshape(-1, *x.shape[-3:])[:48]
        assert torch.equal(x[:, : known.shape[1]], known)
        assert len(t) == x.shape[1]
        assert not t[: known.shape[1]].any()
        assert (t[known.shape[1] :] > 0).all()
    latents = torch.from_numpy(run.arrays[f"latents{k}"])
    assert torch.equal(latents[:, : known.shape[1]], known)


def encoded(run, k, number=0):
    return torch.from_numpy(run.arrays[f"encoding{k}_{number}"])


@pytest.mark.parametrize("mode", FRAMES)
def test_three_windows_of_the_plan_with_noise_of_their_own(runs, mode):
    run, windows = runs[mode], windows_of(mode)
    assert run.ok, run.said[-1500:]
    assert len(run.windows) == len(windows) >= 3
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows]
    for k, window in enumerate(windows, 1):
        generator = torch.Generator().manual_seed(window.seed)
        noise = torch.randn(1, 48, window.latents, 4, 4, generator=generator)
        assert np.array_equal(run.arrays[f"noise{k}"], noise.numpy())
    assert [w["text"][0] for w in run.windows[:3]] == ["one", "two", "three"]


def test_each_window_stands_on_the_anchor_and_the_last_latent_before(runs):
    run = runs["pro"]
    anchor = encoded(run, 1)
    assert anchor.shape == (48, 1, 4, 4)
    assert_in_place(run, 1, anchor)
    for k in range(2, len(run.windows) + 1):
        assert not run.windows[k - 1]["encoded"]  # nothing is encoded again
        before = torch.from_numpy(run.arrays[f"latents{k - 1}"])[:, -1:]
        assert_in_place(run, k, torch.cat([anchor, before], dim=1))


def test_two_motion_latents(runs):
    run = runs["two latents"]
    assert run.ok, run.said[-1500:]
    assert run.frames == windows_of(motion=2)[-1].stop
    before = torch.from_numpy(run.arrays["latents1"])[:, -2:]
    assert_in_place(run, 2, torch.cat([encoded(run, 1), before], dim=1))


@pytest.mark.parametrize("mode", ["tom", "film"])
def test_the_other_modes_stand_on_the_frames_before(runs, mode):
    run, count = runs[mode], FRAMES[mode]
    for k in range(1, len(run.windows) + 1):
        seen = as_pixels(run.arrays[f"seen{k}_0"])
        if k == 1:
            # the VAE's own patches of pixels are what is recorded; a start image repeats
            assert torch.equal(seen, seen[:, :1].expand_as(seen))
        assert seen.shape[1] == count
        assert_in_place(run, k, encoded(run, k))
    picture = as_pixels(run.arrays["frames1"])[:, -count:]
    seen = as_pixels(run.arrays["seen2_0"])
    assert seen.shape == picture.shape
    assert torch.allclose(seen, picture, atol=1e-6)


def test_anchor_images_serve_their_windows(runs):
    run = runs["anchors"]
    assert run.ok, run.said[-1500:]
    start, second, third = (encoded(run, k) for k in (1, 2, 3))  # the start image; anchors 2, 3
    assert not torch.equal(second, start)
    for k, anchor in ((2, second), (3, third)):
        before = torch.from_numpy(run.arrays[f"latents{k - 1}"])[:, -1:]
        assert_in_place(run, k, torch.cat([anchor, before], dim=1))


def test_continuing_equals_never_having_stopped(runs):
    whole, begun, later = runs["whole"], runs["begun"], runs["later"]
    assert later.ok, later.said[-1500:]
    assert "as if never stopped" in later.said
    assert later.frames == whole.frames
    made = len(begun.windows)
    for k in range(1, len(later.windows) + 1):
        for name in ("noise", "latents"):
            assert np.array_equal(later.arrays[f"{name}{k}"], whole.arrays[f"{name}{made + k}"])
        one, other = later.arrays[f"frames{k}"], whole.arrays[f"frames{made + k}"]
        assert np.array_equal(one[:, 5:], other[:, 5:])  # WanGP 9 shows its source's before


def test_a_hand_over_says_its_model(runs):
    found = load(path_beside(runs["begun"].videos[-1]["path"]))
    assert found.model_type == MODEL
    assert found.latents.shape == (48, 1, 4, 4)


def test_without_a_hand_over_file_the_end_is_encoded_again(runs):
    run = runs["no file"]
    assert run.ok, run.said[-1500:]
    assert run.frames == ASKED + 12
    known = torch.cat([encoded(run, 1), encoded(run, 1, 1)[:, -1:]], dim=1)
    assert run.arrays["seen1_1"].shape[1] == 33  # the causal VAE looks back
    assert_in_place(run, 1, known)


def test_a_chain_of_frames_goes_on_from_the_videos_last(runs):
    run = runs["tom later"]
    assert run.ok, run.said[-1500:]
    assert run.frames == ASKED + 16
    assert_in_place(run, 1, encoded(run, 1))


def test_words_alone_begin_and_their_first_frame_is_the_anchor(runs):
    run = runs["words"]
    assert run.ok, run.said[-1500:]
    assert any("words alone" in line for line in run.svi)
    assert run.frames == windows_of()[-1].stop
    assert all((t > 0).all() for _, t in told(run, 1))
    anchor = torch.from_numpy(run.arrays["latents1"])[:, :1]
    for k in range(2, len(run.windows) + 1):
        before = torch.from_numpy(run.arrays[f"latents{k - 1}"])[:, -1:]
        assert_in_place(run, k, torch.cat([anchor, before], dim=1))
    later = runs["words later"]
    assert later.ok, later.said[-1500:]
    last = torch.from_numpy(run.arrays[f"latents{len(run.windows)}"])[:, -1:]
    assert_in_place(later, 1, torch.cat([anchor, last], dim=1))


def test_strengths_are_left_out_and_said(runs):
    run = runs["strength"]
    assert sum("svi_anchor_strength" in line and "left out" in line for line in run.svi) == 1
    assert np.array_equal(run.arrays["latents2"], runs["pro"].arrays["latents2"])


def test_a_timed_part_acts_in_its_own_latents(runs):
    run, other = runs["timed"], runs["pro"]
    assert run.ok, run.said[-1500:]
    assert any("two" in words for words in run.windows[0]["text"])
    assert not np.array_equal(run.arrays["latents1"], other.arrays["latents1"])


def test_the_fast_model_is_the_same_to_svi(runs):
    assert runs["fast"].ok, runs["fast"].said[-1500:]
    assert_in_place(runs["fast"], 1, encoded(runs["fast"], 1))


def test_a_control_video_is_refused(runs):
    run = runs["steered"]
    assert not run.windows
    assert not any("frames asked" in line for line in run.svi)


def test_the_model_without_svi_is_the_same_with_and_without_the_extension(
    runs, plain_tree, tmp_path
):
    ours = runs["off"]
    theirs = drive(plain_tree, [SCENARIOS[-1]], tmp_path)["off"]
    assert ours.ok and theirs.ok, theirs.said[-1500:]
    assert not ours.svi
    assert len(ours.windows) == len(theirs.windows) >= 2
    for name in theirs.arrays:
        assert np.array_equal(ours.arrays[name], theirs.arrays[name]), name
