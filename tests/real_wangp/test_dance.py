"""SVI-Dance on the real loop: its skeletons, the tokens they become, and where these are added."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import drive
from one_motion_frame import LIVELIER, assert_formulas, assert_livelier
from safetensors.torch import save_file
from test_control_video import read, write

from wan2gp_svi.svi import pose
from wan2gp_svi.svi.windows import Chain, Size, layout, plan
from wan2gp_svi.video.probe import read_settings
from wan2gp_svi.wangp.redo import planned_by, redo_settings

MODEL, DIM = "i2v_svi_dance", 256
ASKED, LONG, SHORT = 41, 60, 20
GUIDED = {"guidance_scale": 2, "guidance_phases": 1, "num_inference_steps": 2}


def adapter_tensors():
    generator = torch.Generator().manual_seed(8)
    return {
        name: torch.randn(shape, generator=generator)
        * (0.05 if len(shape) == 1 else 3 / np.prod(shape[1:]) ** 0.5)
        for name, shape in pose.shapes(DIM).items()
    }


def skeleton(path, frames):
    """A stick that turns, on black: no two frames are alike."""
    film = np.zeros((frames, 64, 64, 3), np.uint8)
    for k in range(frames):
        for step in np.linspace(0, 28, 60):
            x, y = 32 + step * np.cos(k / 9), 32 + step * np.sin(k / 9)
            film[k, int(y) : int(y) + 3, int(x) : int(x) + 3] = (255, 40 + 3 * k, 90)
    return write(path, film)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skeletons")
    return {n: skeleton(folder / f"{n}.mp4", n) for n in (LONG, SHORT)}


def scenario(name, film, **more):
    settings = {"video_length": ASKED, "video_prompt_type": "V", "video_guide": film, **GUIDED}
    settings.update(more.pop("set", {}))
    return {"name": name, "model": MODEL, "tokens": True, "set": settings, **more}


@pytest.fixture(scope="module")
def runs(svi_tree, films, tmp_path_factory):
    for folder in ("loras/wan_i2v", "loras_i2v"):  # from 10 on; before
        (svi_tree / folder).mkdir(parents=True, exist_ok=True)
        save_file(adapter_tensors(), svi_tree / folder / "svi-dance.safetensors")
    scenarios = [
        scenario("dance", films[LONG]),
        scenario("over", films[SHORT]),
        scenario("later", films[LONG], set={"video_length": 17}, **{"continue": "dance"}),
        scenario("discard", films[LONG], set={"sliding_window_discard_last_frames": 4}),
        scenario("trim", films[SHORT], set={"video_prompt_type": "V|"}),
        scenario("none", None, set={"video_prompt_type": ""}),
        scenario("masked", films[LONG], set={"video_prompt_type": "VG"}),
        scenario("livelier", films[LONG], set={**LIVELIER, "video_length": 17}),
        scenario("durations", films[LONG], set={"prompt": "[/duration=13] one\n[/duration=8] two"}),
    ]
    return drive(svi_tree, scenarios, tmp_path_factory.mktemp("dance"))


@pytest.fixture(scope="module")
def again(svi_tree, runs, films, tmp_path_factory):
    """Window 2 of a dance, made again from what `redo` writes and its skeleton."""
    video = Path(runs["dance"].videos[-1]["path"])
    metadata = read_settings(video)
    made = planned_by(metadata, ASKED, 16.0)
    settings = redo_settings(video, made, metadata, 2, None, None)
    settings["video_guide"] = films[LONG]
    todo = {"name": "again", "model": MODEL, "continue": str(video), "tokens": True}
    return drive(svi_tree, [{**todo, "set": settings}], tmp_path_factory.mktemp("again"))["again"]


def windows_of(run, **more):
    return plan(ASKED, Chain(size=Size(17, motion_frames=1, **more), seed=7))


def tokens(film, window, repeats=True):
    """What the adapter makes of the frames that a window shows, from the file as it is."""
    frames = torch.from_numpy(read(film)).permute(3, 0, 1, 2)
    first = window.start - window.drop_front
    places = [(first + k) % frames.shape[1] for k in range(window.frames)]
    shown = frames[:, places].float() / 255
    adapter = pose.adapter(adapter_tensors(), DIM)
    return pose.tokens(adapter, shown)[0].flatten(1).T


def added(run, k):
    """What each pass of window k has beside the patches of noise and y."""
    names = [name for name in run.arrays if name.startswith(f"plain{k}_")]
    passes = [name for name in run.arrays if name.startswith(f"patched{k}_")]
    together = len(passes) // len(names)  # WanGP embeds what is the same in two passes once
    found = []
    for i in range(len(passes)):
        plain = torch.from_numpy(run.arrays[f"plain{k}_{i // together}"]).flatten(1).T
        found.append(torch.from_numpy(run.arrays[f"patched{k}_{i}"]) - plain)
    return found


@pytest.mark.parametrize(("name", "length"), [("dance", LONG), ("over", SHORT)])
def test_the_tokens_of_each_windows_skeleton_are_added_in_both_passes(runs, films, name, length):
    run = runs[name]
    assert run.ok, run.said[-1500:]
    windows = windows_of(run)
    assert len(windows) == 3
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows]
    for k, window in enumerate(windows, 1):
        expected = tokens(films[length], window)
        passes = added(run, k)
        assert len(passes) == 4  # two steps, with the prompt and without
        for found in passes:
            assert torch.allclose(found, expected, atol=1e-3), (name, k)
        wrong = tokens(films[length], replace(window, start=window.start + 1))
        assert (wrong - expected).abs().mean() > 0.01  # a frame later would be seen


def test_a_skeleton_that_starts_over_is_said(runs):
    said = [line for line in runs["over"].svi if "starts over" in line]
    assert len(said) == 1
    assert f"{SHORT} frames" in said[0]
    assert not [line for line in runs["dance"].svi if "starts over" in line]


def test_conditioning_mask_and_noise_are_the_formulas(runs):
    assert_formulas(runs["dance"].arrays, windows_of(runs["dance"]))


def test_a_dance_that_is_continued_goes_on_with_its_skeleton(runs, films):
    run = runs["later"]
    assert run.ok, run.said[-1500:]
    assert run.frames == ASKED + 16
    chain = Chain(size=Size(17, motion_frames=1), source_frames=ASKED)
    (window,) = plan(17, chain)
    assert window.start - window.drop_front == ASKED - 1  # begins with the last one seen
    for found in added(run, 1):
        assert torch.allclose(found, tokens(films[LONG], window), atol=1e-3)


def test_a_window_of_a_dance_is_made_again(runs, again, films):
    assert again.ok, again.said[-1500:]
    assert again.frames == 33
    assert np.array_equal(again.arrays["noise1"], runs["dance"].arrays["noise2"])
    (_, window, _) = windows_of(again)
    for found in added(again, 1):
        assert torch.allclose(found, tokens(films[LONG], window), atol=1e-3)


def test_a_motion_amplitude_acts_behind_the_frame_that_is_known(runs):
    assert_livelier(runs["livelier"])


def test_commands_for_the_length_of_a_window_act(runs, films):
    """From WanGP 12.10 on."""
    run = runs["durations"]
    assert run.ok, run.said[-1500:]
    if run.version.startswith(("9.", "10.", "11.")):
        return
    assert [w["frames"] for w in run.windows] == [13, 9]
    assert run.frames == 21
    first, second = layout([Size(13, motion_frames=1), Size(9, motion_frames=1)], Chain(Size(13)))
    for k, window in ((1, first), (2, second)):
        for found in added(run, k):
            assert torch.allclose(found, tokens(films[LONG], window), atol=1e-3), k


def test_discarded_frames_have_a_skeleton_too(runs, films):
    run = runs["discard"]
    assert run.ok, run.said[-1500:]
    windows = windows_of(run, discard=4)
    assert run.frames == windows[-1].stop
    for k, window in enumerate(windows, 1):
        kept = (window.latents - 1 - window.discard // 4 - 1) * 16  # tokens that see no such frame
        expected = tokens(films[LONG], window)
        for found in added(run, k):
            assert torch.allclose(found[:kept], expected[:kept], atol=1e-3), k


def test_the_video_can_end_with_the_skeleton(runs):
    """WanGP's own choice for control videos."""
    run = runs["trim"]
    assert run.ok, run.said[-1500:]
    assert run.frames == 17  # of 20; a latent has 4
    assert not [line for line in run.svi if "starts over" in line]


@pytest.mark.parametrize(
    ("name", "words"),
    [("none", "there is none: give it a control video"), ("masked", "skeleton only")],
)
def test_what_cannot_be_danced_is_told_before_a_model_is_loaded(runs, name, words):
    run = runs[name]
    assert not run.windows
    assert words in run.said or words in run.error
