"""The small host by itself: plain image-to-video, window after window, into a file."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from models.wan.any2video import WanAny2V
from shared.media import read_metadata, read_video, save_video, write_metadata
from shared.window_plan import build_default_window_plan, floor_frame_count

HOST = Path(__file__).parents[2] / "wan2gp_svi" / "demo" / "host"


# -- the plan of windows --------------------------------------------------------------------------


@given(
    total=st.integers(1, 400),
    window=st.integers(2, 24).map(lambda k: 4 * k + 1),
    overlap=st.sampled_from([1, 5]),
    discard=st.sampled_from([0, 4]),
)
def test_windows_deliver_what_was_asked_for(total, window, overlap, discard):
    assume(window > overlap + discard)
    windows = build_default_window_plan(
        total_frames=total,
        window_size=window,
        default_overlap=overlap,
        discard_last_frames=discard,
        minimum=5,
        step=4,
    )
    assert sum(w["output_frames"] for w in windows) == total
    assert [w["overlap_frames"] for w in windows] == [0] + [overlap] * (len(windows) - 1)
    for w in windows:
        assert w["frame_num"] % 4 == 1
        assert 5 <= w["frame_num"] <= window
        parts = ("overlap_frames", "output_frames", "discard_last_frames", "trim_last_frames")
        assert w["frame_num"] == sum(w[part] for part in parts)
        assert 0 <= w["trim_last_frames"] < 5


@given(st.integers(-5, 1000))
def test_frame_counts_are_floored(frames):
    floored = floor_frame_count(frames, minimum=5, step=4)
    assert floored % 4 == 1
    assert floored == 5 or frames - 4 < floored <= frames


# -- files ----------------------------------------------------------------------------------------


def moving(frames=6, height=48, width=32):
    y, x = np.mgrid[:height, :width]
    pictures = [np.stack([x * 4 + t * 8, y * 3, x + y], -1) % 256 for t in range(frames)]
    return torch.from_numpy(np.stack(pictures).astype(np.uint8)).permute(3, 0, 1, 2)


def test_a_video_is_h264_as_browsers_play_it(tmp_path):
    path = tmp_path / "clip ü.mp4"
    save_video(moving(), path, fps=16)
    frames, fps = read_video(path)
    assert fps == 16
    assert frames.shape == (3, 6, 48, 32)
    assert float((frames.float() - moving().float()).abs().mean()) < 25  # lossy, and 4:2:0
    tool = imageio_ffmpeg.get_ffmpeg_exe()
    said = subprocess.run([tool, "-i", str(path)], capture_output=True, text=True).stderr
    assert "Video: h264" in said
    assert "yuv420p" in said
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is there in full
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


SETTINGS = {"prompt": 'a=b; #c\\d\nnext "line" é 字', "seed": 2**40, "none": None, "list": [1, 2]}


def test_settings_come_back_out_of_the_file(tmp_path):
    path = tmp_path / "clip.mp4"
    save_video(moving(), path, fps=16)
    before, _ = read_video(path)
    assert read_metadata(path) is None
    write_metadata(path, SETTINGS)
    assert read_metadata(path) == SETTINGS
    after, _ = read_video(path)
    assert torch.equal(before, after)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_that_is_no_video_stays_as_it_is(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"not a video")
    with pytest.raises(RuntimeError, match="ffmpeg failed"):
        write_metadata(path, SETTINGS)
    assert path.read_bytes() == b"not a video"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


# -- the pipeline ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline():
    return WanAny2V({"i2v_class": True})


def generate(pipeline, picture, **changes):
    arguments = {
        "input_prompt": "a prompt",
        "input_video": picture[:, None, :64, :64],
        "frame_num": 9,
        "sampling_steps": 3,
        "guide_scale": 1.5,
        "guide2_scale": 1.0,
        "switch_threshold": 900,
        "seed": 5,
        "return_latent_slice": slice(None),
    }
    return pipeline.generate(**{**arguments, **changes})


def test_a_window_starts_on_its_picture(pipeline, photo):
    made = generate(pipeline, photo)
    assert made["x"].shape == (3, 9, 64, 64)
    assert made["x"].dtype == torch.uint8
    assert made["latent_slice"].shape == (1, 16, 3, 8, 8)
    (start,) = pipeline.vae.encode([photo[:, None, :64, :64]])
    assert torch.equal(made["latent_slice"][0, :, :1], start)
    assert not torch.equal(made["x"][:, 0], made["x"][:, 8])


def test_seed_prompt_and_both_models_matter(pipeline, photo):
    reference = generate(pipeline, photo)["latent_slice"]
    assert torch.equal(reference, generate(pipeline, photo)["latent_slice"])
    for change in (
        {"seed": 6},
        {"input_prompt": "another"},
        {"n_prompt": "not this"},
        {"switch_threshold": 0},
        {"switch_threshold": 1000},
    ):
        assert not torch.equal(reference, generate(pipeline, photo, **change)["latent_slice"])


def test_the_threshold_says_which_model_denoises(pipeline, photo):
    seen = []
    hooks = [
        model.register_forward_pre_hook(
            lambda _m, _a, kwargs, n=name: seen.append((n, round(float(kwargs["t"])))),
            with_kwargs=True,
        )
        for name, model in (("high", pipeline.model), ("low", pipeline.model2))
    ]
    generate(pipeline, photo, guide_scale=1.0, sampling_steps=4, shift=1.0, switch_threshold=600)
    for hook in hooks:
        hook.remove()
    assert seen == [("high", 1000), ("high", 750), ("low", 500), ("low", 250)]


def test_a_slice_of_the_latents_comes_back(pipeline, photo):
    whole = generate(pipeline, photo)["latent_slice"]
    assert torch.equal(
        generate(pipeline, photo, return_latent_slice=slice(-1, None))["latent_slice"],
        whole[:, :, -1:],
    )
    assert generate(pipeline, photo, return_latent_slice=None)["latent_slice"] is None


def test_it_ends_on_the_end_image(pipeline, photo):
    end = photo[:, :64, 64:]
    last = generate(pipeline, photo, image_end=end)["x"][:, -1].float() / 127.5 - 1
    start = photo[:, :64, :64]
    assert float((last - end).abs().mean()) < float((last - start).abs().mean()) / 2


def test_an_interrupted_window_returns_nothing(pipeline, photo):
    pipeline._interrupt = True
    try:
        assert generate(pipeline, photo) is None
    finally:
        pipeline._interrupt = False


# -- the loop -------------------------------------------------------------------------------------


@pytest.fixture
def wgp(monkeypatch, tmp_path):
    monkeypatch.chdir(HOST)
    import wgp

    monkeypatch.setattr(wgp, "save_path", str(tmp_path))
    return wgp


TASK = {
    "model_type": "i2v_2_2",
    "prompt": "one\ntwo",
    "image_start": str(HOST.parent / "assets" / "astronaut.jpg"),
    "resolution": "64x48",
    "video_length": 21,
    "sliding_window_size": 13,
    "num_inference_steps": 2,
    "seed": 3,
    "output_filename": "clip",
}


def test_each_window_saves_the_video_so_far(wgp, tmp_path):
    state = {}
    assert wgp.process_tasks_cli([TASK], state)
    files = [Path(file) for file in wgp.get_gen_info(state)["file_list"]]
    assert [file.name for file in files] == ["clip_window1.mp4", "clip.mp4"]
    counts = [wgp.get_video_info(str(file)) for file in files]
    assert counts == [(16, 64, 48, 13), (16, 64, 48, 21)]
    assert read_metadata(files[0])["window_no"] == 1
    settings = read_metadata(files[1])
    assert {key: settings[key] for key in TASK if key != "image_start"} == {
        key: value for key, value in TASK.items() if key != "image_start"
    }
    assert {p.name for p in tmp_path.iterdir()} == {"clip_window1.mp4", "clip.mp4"}


def test_a_video_goes_on(wgp, tmp_path):
    state = {}
    assert wgp.process_tasks_cli([{**TASK, "video_length": 13}], state)
    before, _ = read_video(tmp_path / "clip.mp4")
    more = {
        **TASK,
        "image_start": None,
        "image_prompt_type": "V",
        "video_source": str(tmp_path / "clip.mp4"),
        "video_length": 13,
        "output_filename": "more",
    }
    assert wgp.process_tasks_cli([more], {})
    after, _ = read_video(tmp_path / "more.mp4")
    assert after.shape[1] == 13 + 12  # its last frame counts as the first
    difference = (after[:, :13].float() - before.float()).abs().mean()
    assert float(difference) < 4  # encoded twice

    last = {**more, "image_prompt_type": "L", "video_source": None, "output_filename": "last"}
    assert wgp.process_tasks_cli([last], state)  # "continue last video" finds the same one
    assert torch.equal(read_video(tmp_path / "last.mp4")[0], after)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "t2v"}, "There is no model 't2v'"),
        ({"image_start": None}, "needs a start image"),
    ],
)
def test_what_cannot_be_made_is_said(wgp, tmp_path, capsys, change, said):
    assert not wgp.process_tasks_cli([{**TASK, **change}], {})
    assert said in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_without_the_extension_it_knows_plain_image_to_video_only(wgp):
    assert set(wgp.models_def) == {"i2v_2_2"}
    assert wgp.get_model_def("i2v_2_2_svi2pro") is None
