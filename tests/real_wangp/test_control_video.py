"""Video to video in the real WanGP: in every window the control video's own frames steer it."""

import av
import numpy as np
import pytest
from bench import drive

FRAMES, WINDOW = 41, 17
STEPS = {"num_inference_steps": 4, "denoising_strength": 0.5}


def write(path, frames):
    """uint8 (F, 64, 64, 3) as a video without loss worth speaking of."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return str(path)


def read(path):
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def controls(folder):
    """Two films whose every frame is another one, and a mask: white (to be made) on the left."""
    x = np.arange(64)[None, None, :, None]
    t = np.arange(60)[:, None, None, None]
    one = np.broadcast_to(128 + 100 * np.sin(x / 9 + t / 5), (60, 64, 64, 3)).astype(np.uint8)
    other = np.broadcast_to(128 + 100 * np.cos(x / 4 - t / 3), (60, 64, 64, 3)).astype(np.uint8)
    mask = np.zeros((60, 64, 64, 3), np.uint8)
    mask[:, :, :32] = 255
    return [
        write(folder / f"{name}.mp4", film)
        for name, film in (("one", one), ("other", other), ("mask", mask))
    ]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return controls(tmp_path_factory.mktemp("controls"))


@pytest.fixture(scope="module")
def runs(svi_tree, films, tmp_path_factory):
    one, other, mask = films

    def scenario(name, control, length=FRAMES, letters="GUV", **more):
        settings = {"video_length": length, "video_prompt_type": letters, **STEPS}
        settings.update(video_guide=control, **more.pop("set", {}))
        return {"name": name, "set": settings, **more}

    two = {"custom_settings": {"svi_mode": "2.0"}}
    scenarios = [
        scenario("one", one, letters="KIGUV", anchors=2),
        scenario("other", other, letters="KIGUV", anchors=2),
        scenario("native", one, WINDOW, model="i2v_2_2"),
        scenario("first", one, WINDOW),
        scenario("mask", one, letters="GVA", set={"video_mask": mask, "masking_strength": 1.0}),
        scenario("2.0 one", one, model="i2v_2_2", set=two),
        scenario("2.0 other", other, model="i2v_2_2", set=two),
        {"name": "none", "anchors": 2, "set": {"video_length": FRAMES}},
    ]
    return drive(svi_tree, scenarios, tmp_path_factory.mktemp("control"))


def starts(run, k):
    """The latents of the denoising step that a window starts from, its noise, that step's level.

    Until then WanGP replaces the latents by the control video's, noised to each step's level.
    """
    step = round(STEPS["num_inference_steps"] * (1 - STEPS["denoising_strength"]))
    level = run.windows[k - 1]["timesteps"]
    step = step if len(level) == STEPS["num_inference_steps"] else 0  # or it leaves them out
    return run.arrays[f"x{k}_{step}"][0], run.arrays[f"noise{k}"][0], np.float32(level[step] / 1000)


def control_encoding(run, k):
    """What the encoder was shown last in a window, and made of it: the control video."""
    last = max(i for i in range(9) if f"encoding{k}_{i}" in run.arrays)
    return run.arrays[f"seen{k}_{last}"], run.arrays[f"encoding{k}_{last}"]


def test_every_scenario_ran(runs):
    assert {name: run.error for name, run in runs.items() if not run.ok} == {}
    assert [run.frames for run in runs.values()] == [41, 41, 17, 17, 41, 41, 41, 41]


@pytest.mark.parametrize("pair", [("one", "other"), ("2.0 one", "2.0 other")])
def test_another_control_video_is_another_film(runs, pair):
    one, other = (runs[name] for name in pair)
    for k in (1, 2, 3):
        assert not np.array_equal(one.arrays[f"latents{k}"], other.arrays[f"latents{k}"]), k


@pytest.mark.parametrize("name", ["one", "mask", "2.0 one"])
def test_its_frames_line_up_with_those_that_a_window_adds(runs, films, name):
    """Window k adds frames from 17 + 12*(k-2); what it repeats stands in front of them."""
    film = read(films[0]).astype(np.float32) / 127.5 - 1
    overlap = 1 if name == "2.0 one" else 5
    for k in (1, 2, 3):
        seen, _ = control_encoding(runs[name], k)
        first = 0 if k == 1 else WINDOW + (WINDOW - overlap) * (k - 2) - overlap
        wanted = film[first : first + seen.shape[1]].transpose(3, 0, 1, 2)
        assert seen.shape[1] >= runs[name].windows[k - 1]["frames"] - 3
        assert np.abs(seen - wanted).mean() < 0.02, k
        shifted = film[first + 1 : first + 1 + seen.shape[1]].transpose(3, 0, 1, 2)
        assert np.abs(seen - shifted).mean() > 0.05, k


@pytest.mark.parametrize("name", ["one", "mask", "2.0 one"])
def test_a_window_starts_from_it_and_from_what_is_known(runs, name):
    run = runs[name]
    known = 1 if name == "2.0 one" else 2
    for k in (1, 2, 3):
        first, noise, sigma = starts(run, k)
        _, source = control_encoding(run, k)
        source = source.copy()
        if k > 1:
            source[:, :known] = run.arrays[f"y{k}"][4:, :known]
        assert 0 < sigma < 1
        assert np.allclose(first, noise * sigma + (1 - sigma) * source, atol=1e-5), k


def test_the_first_window_starts_as_wangps_own(runs):
    """But for latent 0, into which i2v_2_2 injects its start image."""
    (ours, _, _), (native, _, _) = starts(runs["first"], 1), starts(runs["native"], 1)
    assert np.array_equal(ours[:, 1:], native[:, 1:])


def test_conditioning_is_the_same_with_and_without(runs):
    """Anchors, and the last latents of the window before, whatever those have become."""
    for k in (1, 2, 3):
        y, plain = runs["one"].arrays[f"y{k}"], runs["none"].arrays[f"y{k}"]
        assert np.array_equal(y[:4], plain[:4])
        assert np.array_equal(y[4:, 0], plain[4:, 0])
        assert not y[4:, 2:].any()
        if k > 1:
            assert np.array_equal(y[4:, 1], runs["one"].arrays[f"latents{k - 1}"][:, -1])


def test_outside_a_mask_the_control_video_stays(runs):
    run = runs["mask"]
    for k in (1, 2, 3):
        latents = run.arrays[f"latents{k}"]
        _, source = control_encoding(run, k)
        right, left = np.s_[:, 2:, :, 5:], np.s_[:, 2:, :, :3]
        assert np.allclose(latents[right], source[right], atol=1e-4), k
        assert not np.allclose(latents[left], source[left], atol=1e-2), k
