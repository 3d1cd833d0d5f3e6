"""[/new_shot] on the real loop (12.10 on): a window on its anchor alone, the chain goes on."""

import numpy as np
import pytest
import torch
from bench import drive
from test_pro import expected_y

from wan2gp_svi.svi.handover_file import load, path_beside
from wan2gp_svi.svi.windows import Chain, Size, layout

SHOT = "one\n[/new_shot] two\nthree"
SCENARIOS = [
    {"name": "shot", "anchors": 3, "set": {"prompt": SHOT}},
    {"name": "long", "anchors": 3, "set": {"prompt": f"{SHOT}\nfour", "video_length": 53}},
    {
        "name": "later",
        "continue": "shot",
        "set": {"video_length": 13, "seed": -1, "prompt": "four"},
    },
    {"name": "at once", "continue": "shot", "set": {"prompt": "[/new_shot] four"}},
    {"name": "timed", "anchors": 3, "set": {"prompt": "[/duration=13] one\n[/new_shot] two"}},
    {
        "name": "film",
        "model": "i2v",
        "set": {"prompt": SHOT, "custom_settings": {"svi_mode": "film"}},
    },
    {
        "name": "words",
        "model": "ti2v_2_2",
        "words": True,
        "set": {"prompt": SHOT, "video_length": 41, "custom_settings": {"svi_mode": "pro"}},
    },
]


@pytest.fixture(scope="module")
def runs(svi_tree, tmp_path_factory):
    if "build_frame_scheduler" not in (svi_tree / "wgp.py").read_text(encoding="utf-8-sig"):
        pytest.skip("this WanGP has no slash commands")
    return drive(svi_tree, SCENARIOS, tmp_path_factory.mktemp("shots"))


def test_a_new_shot_stands_on_its_anchor_and_the_next_window_on_it(runs):
    run = runs["shot"]
    assert run.ok, run.said[-1500:]
    sizes = [Size(17), Size(17, shot=True), Size(17)]
    windows = layout(sizes, Chain(Size(17), seed=7, anchors=3))
    assert [v["frames"] for v in run.videos] == [w.stop for w in windows] == [17, 34, 46]
    arrays = run.arrays
    start, second, third = (arrays[f"encoding{k}_0"] for k in (1, 2, 3))
    assert not np.array_equal(start, second)
    assert np.array_equal(arrays["y1"], expected_y(start, None, 5))
    assert np.array_equal(arrays["y2"], expected_y(second, None, 5))
    assert np.array_equal(arrays["y3"], expected_y(third, arrays["latents2"][:, -1:], 5))
    for k, window in enumerate(windows, 1):
        generator = torch.Generator().manual_seed(window.seed)
        noise = torch.randn(1, 16, 5, 8, 8, generator=generator)
        assert np.array_equal(arrays[f"noise{k}"], noise.numpy())
    assert [w["text"][0] for w in run.windows] == ["one", "two", "three"]
    assert any("a new shot" in line for line in run.svi)


def test_a_chain_with_a_shot_is_continued_as_if_never_stopped(runs):
    later, whole = runs["later"], runs["long"]
    assert later.ok, later.said[-1500:]
    assert whole.frames == later.frames == 58
    assert np.array_equal(later.arrays["noise1"], whole.arrays["noise4"])
    assert np.array_equal(later.arrays["latents1"], whole.arrays["latents4"])
    assert load(path_beside(runs["shot"].videos[-1]["path"])).window_ends == (17, 34, 46)


def test_with_durations(runs):
    run = runs["timed"]
    assert run.ok, run.said[-1500:]
    assert [w["frames"] for w in run.windows] == [13, 17]
    assert run.frames == 30
    assert np.array_equal(
        run.arrays["y2"], expected_y(run.arrays["encoding2_0"], None, run.arrays["y2"].shape[1])
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("film", "new_shot"), ("at once", "cannot be the first window of a continuation")],
)
def test_where_it_cannot_be_it_is_told_before_a_model_loads(runs, name, words):
    run = runs[name]
    assert not run.windows
    assert words in run.said + run.error


def test_5b_begins_a_shot_with_words_where_it_has_no_picture(runs):
    """Its first frame is the anchor then."""
    run = runs["words"]
    assert run.ok, run.said[-1500:]
    assert run.frames == 46
    for k in (1, 2):
        assert (run.arrays[f"t{k}_0"] > 0).all()
    latents = torch.from_numpy(run.arrays["latents2"])
    known = torch.cat([latents[:, :1], latents[:, -1:]], dim=1)
    x = torch.from_numpy(run.arrays["x3_0"]).reshape(-1, 48, 5, 4, 4)[0]
    assert torch.equal(x[:, :2], known)
