"""Timed prompts in the real WanGP: they act in exactly the latent frames that they name.

One process runs everything (drive_timed_prompts.py); the windows have 33 frames, 9 latents of four
patches, 16 frames a second. "two" becomes "other" from one run to the next, and the output of the
first block's cross-attention, before self-attention has mixed frames, says where that arrives.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import drive

HERE = Path(__file__).parent
LATENTS = 9


@pytest.fixture(scope="module")
def found(wangp_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("timed") / "found.pt"
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if 'WanGP_version = "9.' in (wangp_dir / "wgp.py").read_text(encoding="utf-8-sig"):
        environment["WANGP_MMGP_VERSION"] = "3.6.9"  # what 9.91 asks for; 3.6.10 serves it
    python = os.environ.get("WANGP_PYTHON", sys.executable)
    ran = subprocess.run(
        [python, HERE / "drive_timed_prompts.py", wangp_dir, out],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return torch.load(out, weights_only=True)


def changed(one, other):
    """The latent frames in which two outputs (1, 9*4, dim) differ by a bit or more."""
    assert one.shape == other.shape
    frames = [
        (a != b).any().item() for a, b in zip(one.chunk(9, 1), other.chunk(9, 1), strict=True)
    ]
    return [latent for latent, differs in enumerate(frames) if differs]


def most_changed(one, other):
    """Mean difference of final latents (16, 9, h, w) in each latent frame, the largest first."""
    by_frame = (one - other).abs().mean(dim=(0, 2, 3))
    return by_frame.argsort(descending=True).tolist(), by_frame


@pytest.mark.parametrize("way", ["cfg", "nag"])
def test_a_prompt_without_timed_parts_leaves_the_run_bit_identical(found, way):
    before, after = found[f"unattached/{way}"], found[f"attached/{way}"]
    assert torch.equal(before["latents"], after["latents"])
    assert before["attended"].keys() == after["attended"].keys()
    for name, output in before["attended"].items():
        assert torch.equal(output, after["attended"][name]), name


def test_one_part_from_the_beginning_is_the_prompt_itself(found):
    assert torch.equal(found["at 0"]["latents"], found["plain/all one"]["latents"])


def test_each_latent_frame_sees_what_its_words_alone_would_show_it(found):
    """all one | 0.6 s is frame 10, latent 3: all two | 1.3 s is frame 21, latent 6: all three

    The first latent of a part is half under the words before.
    """
    timed = found["cfg 1/two"]["attended"]["model/prompt"].chunk(9, 1)
    plain = {
        words: found[f"plain/all {words}"]["attended"]["model/prompt"].chunk(9, 1)
        for words in ("one", "two", "three")
    }
    for words, latents in {"one": (0, 1, 2), "two": (4, 5), "three": (7, 8)}.items():
        for latent in latents:
            torch.testing.assert_close(timed[latent], plain[words][latent], rtol=1e-4, atol=1e-5)
    for latent, before, after in ((3, "one", "two"), (6, "two", "three")):
        half = (plain[before][latent] + plain[after][latent]) / 2
        torch.testing.assert_close(timed[latent], half, rtol=1e-4, atol=1e-5)
    one, two = (found[f"plain/all {w}"]["attended"]["model/prompt"] for w in ("one", "two"))
    assert changed(one, two) == list(range(LATENTS))


WAYS = ["cfg 1", "separate", "joint", "nag", "nag joint", "low noise", "tea", "mag joint"]


@pytest.mark.parametrize("way", WAYS)
def test_another_text_changes_exactly_its_latent_frames(found, way):
    one, other = found[f"{way}/two"], found[f"{way}/other"]
    first = "model2" if way == "low noise" else "model"
    # Its own are 3 to 5; the first of the part behind it is half under its words.
    assert changed(*(run["attended"][f"{first}/prompt"] for run in (one, other))) == [3, 4, 5, 6]
    guided = way not in ("cfg 1", "nag", "low noise")
    assert (f"{first}/negative" in one["attended"]) == guided
    if guided:
        assert changed(*(run["attended"][f"{first}/negative"] for run in (one, other))) == []


@pytest.mark.parametrize("way", WAYS)
def test_over_a_whole_run_the_change_is_largest_in_its_frames(found, way):
    order, by_frame = most_changed(found[f"{way}/two"]["latents"], found[f"{way}/other"]["latents"])
    assert set(order[:2]) == {4, 5}
    assert by_frame[4:6].min() > 2 * by_frame[[0, 1, 2, 7, 8]].max()


def test_nag_is_at_work_and_both_models_are(found):
    nag, plain = (found[f"{way}/two"]["attended"]["model/prompt"] for way in ("nag", "cfg 1"))
    assert changed(nag, plain) == list(range(LATENTS))
    assert {"model/prompt", "model2/prompt"} <= found["separate/two"]["attended"].keys()


def test_the_caches_skip_passes_and_joint_passes_change_nothing(found):
    assert found["tea/two"]["passes"] < 2 * 6
    assert found["mag joint/two"]["passes"] < 2 * 6
    joint, separate = (found[f"{way}/two"]["latents"] for way in ("joint", "separate"))
    torch.testing.assert_close(joint, separate)


def test_parts_act_at_their_frames_in_windows_2_and_3(found):
    """Frames 0..4 of a later window are dropped; time 0 is frame 5, the first of latent 2.

    Window 2: "two" from 0.5 s, frame 13, latent 4, to 1 s, frame 21, latent 6.
    Window 3: "one" from 0.25 s, frame 9, latent 3; "two" from 1 s, latent 6, to the end.
    """
    first, second, third = zip(found["chain"], found["chain/changed"], strict=True)
    assert changed(*(run["attended"]["model/prompt"] for run in first)) == []
    assert changed(*(run["attended"]["model/prompt"] for run in second)) == [4, 5, 6]
    assert changed(*(run["attended"]["model/prompt"] for run in third)) == [6, 7, 8]
    order, _ = most_changed(*(run["latents"] for run in second))
    assert order[0] == 5 and set(order[:3]) == {4, 5, 6}
    order, _ = most_changed(*(run["latents"] for run in third))
    assert set(order[:2]) == {7, 8}


def test_whole_video_times_act_in_the_windows_they_fall_into(found):
    """Window 2 adds 2.0625 s to 3.8125 s: 3 s is 0.9375 s of it, frame 5 + 15 = 20, latent 5.

    In window 3 the part goes on holding, for the anchor and motion latents too.
    """
    first, second, third = zip(found["video"], found["video/changed"], strict=True)
    assert changed(*(run["attended"]["model/prompt"] for run in first)) == []
    assert changed(*(run["attended"]["model/prompt"] for run in second)) == [5, 6, 7, 8]
    assert changed(*(run["attended"]["model/prompt"] for run in third)) == list(range(LATENTS))


def test_wan_2_1_with_its_image_tokens(found):
    """Latents 0-1, 2-4 and 5-6 of 7 under texts of their own, in a joint pass."""
    one, other = found["wan 2.1"]["two"], found["wan 2.1"]["other"]
    frames = [
        (a != b).any().item()
        for a, b in zip(one["prompt"].chunk(7, 1), other["prompt"].chunk(7, 1), strict=True)
    ]
    assert [latent for latent, differs in enumerate(frames) if differs] == [2, 3, 4, 5]
    assert torch.equal(one["negative"], other["negative"])


def in_the_loop(name, *prompts):
    """Three windows of 17 frames (41 in all); the later ones add 12 frames, 0.75 s."""
    return {"name": name, "set": {"prompt": "\n".join(prompts), "video_length": 41}}


LOOPS = [
    in_the_loop("two", "all", "all (at 0.25 s: two)", "all"),
    in_the_loop("other", "all", "all (at 0.25 s: other)", "all"),
    in_the_loop("late", "all", "all (at 0.75 s: two)", "all"),
    in_the_loop("open", "all", "all (at 0.25 s: two", "all"),
    in_the_loop("near", "all", "all", "all (at 0.3 s: one) (at 0.35 s: two)"),
]


@pytest.fixture(scope="module")
def loops(svi_tree, tmp_path_factory):
    return drive(svi_tree, LOOPS, tmp_path_factory.mktemp("timed_loop"))


def test_a_timed_prompt_typed_into_wangp_acts_at_its_frames(loops):
    """0.25 s of window 2 is frame 5 + 4 = 9, the first of latent 3, of 0..4."""
    two, other = loops["two"], loops["other"]
    assert two.ok and other.ok and len(two.windows) == 3
    assert np.array_equal(two.arrays["latents1"], other.arrays["latents1"])
    difference = np.abs(two.arrays["latents2"] - other.arrays["latents2"]).mean(axis=(0, 2, 3))
    assert set(np.argsort(difference)[-2:]) == {3, 4}
    assert not np.array_equal(two.arrays["latents3"], other.arrays["latents3"])  # handed on
    table = [line for line in two.svi if line.startswith("[SVI] window 2, ")]
    assert table[-1] == "[SVI] window 2, frames 22-29, 0.25-0.75 s: all two"
    begins = next(i for i, line in enumerate(two.svi) if line.startswith("[SVI] window 1/3"))
    assert two.svi.index(table[-1]) < begins  # told before the first window is made


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("late", 5, "window 2, which adds 0.75 s"),
        ("open", 5, "never closed"),
        ("near", 21, "same latent frame"),
    ],
)
def test_a_mistake_stops_before_anything_is_loaded(loops, name, place, said):
    run = loops[name]
    assert not run.ok and run.windows == [] and run.videos == []
    assert said in run.said and f"character {place}:" in run.said
