"""The videos of a folder as a tree, and the forms that go on with them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from handovers import make

from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin import chains, form
from wan2gp_svi.svi.handover_file import path_beside, save
from wan2gp_svi.wangp.names import PRO

SETTINGS = {
    "model_type": PRO,
    "prompt": "one\n\ntwo\n\nthree\n\nfour",
    "multi_prompts_gen_type": "PW",
    "video_length": 81 + 3 * 76,
    "window_no": 2,
    "sliding_window_size": 81,
    "seed": 7,
    "image_prompt_type": "S",
    "image_start": "gone.png",
    "video_prompt_type": "KI",
    "custom_settings": {"svi_seeds": "new", "svi_anchor_schedule": "0, 1"},
}


@pytest.fixture(autouse=True)
def paragraphs(monkeypatch):
    monkeypatch.setattr(form, "paragraphs", lambda: "PG")


def put(folder: Path, name: str, windows: int, previous=None, settings=SETTINGS, **changes):
    """A video of so many windows, its settings and its hand-over file; the hand-over's id."""
    video = folder / f"{name}.mp4"
    video.write_bytes(b"")
    video.with_suffix(".json").write_text(json.dumps({**settings, **changes.pop("told", {})}))
    ends = tuple(81 + 76 * k for k in range(windows))
    handover = make(
        windows=windows,
        frames=ends[-1],
        window_ends=ends,
        seeds_used=tuple(7 + 42 * k for k in range(windows)),
        prompts=("one", "two", "three", "four")[:windows],
        settings={"previous": previous},
        **changes,
    )
    save(handover, path_beside(video))
    return handover.id


@pytest.fixture
def branched(tmp_path):
    """Windows 1 and 2, two takes of window 3, and a video of its own."""
    one = put(tmp_path, "a1", 1)
    two = put(tmp_path, "a2", 2, one)
    put(tmp_path, "a3", 3, two)
    put(tmp_path, "b3", 3, two)
    put(tmp_path, "lone", 1)
    (tmp_path / "other.mp4").write_bytes(b"")
    (tmp_path / "no video.svi.safetensors").write_bytes(b"x")
    return tmp_path


def test_the_files_of_a_folder_are_a_tree(branched):
    videos = chains.videos_in(branched)
    assert {video.name for video in videos} == {
        f"{n}.mp4" for n in ("a1", "a2", "a3", "b3", "lone")
    }
    rows = [(depth, video.name) for depth, video in chains.tree(videos)]
    start = rows.index((0, "a1.mp4"))
    assert rows[start : start + 4] == [(0, "a1.mp4"), (0, "a2.mp4"), (1, "a3.mp4"), (1, "b3.mp4")]
    assert (0, "lone.mp4") in rows


def test_the_chain_of_one_video_is_drawn_with_its_branches(branched):
    drawn = chains.drawn(chains.videos_in(branched), branched / "b3.mp4")
    rows = re.findall(r'<div style="margin-left:([\d.]+)em.*?weight:(\w+);.*?>(.*?)</div>', drawn)
    assert [(depth, weight) for depth, weight, _ in rows] == [
        ("0.0", "normal"),
        ("0.0", "normal"),
        ("1.5", "normal"),
        ("1.5", "bold"),
    ]
    assert rows[1][2] == "window 2, seed 49: <code>a2.mp4</code> (2 takes go on from it)"
    assert rows[3][2] == "window 3, seed 91: <code>b3.mp4</code>"
    assert chains.drawn(chains.videos_in(branched), branched / "other.mp4") == ""


def test_ends_of_chains_are_offered_first(branched):
    names = [told.split(" ")[0] for told, _ in chains.choices(chains.videos_in(branched))]
    assert set(names[:3]) == {"a3.mp4", "b3.mp4", "lone.mp4"}


def test_files_that_name_each_other_are_no_chain(tmp_path):
    first = put(tmp_path, "a", 2)
    put(tmp_path, "b", 2, first)  # as long as the one before it
    assert [depth for depth, _ in chains.tree(chains.videos_in(tmp_path))] == [0, 0]


def test_going_on_is_one_more_window(branched):
    new, said = chains.going_on(branched / "a2.mp4")
    assert new["image_prompt_type"] == "V"
    assert new["video_source"] == str(branched / "a2.mp4")
    assert new["video_length"] == 77
    assert new["prompt"] == "two"
    assert new["seed"] == -1
    assert "image_start" not in new
    assert new["video_prompt_type"] == ""
    assert "svi_anchor_schedule" not in new["custom_settings"]
    assert said.startswith("Window 3 goes on from the last latents of a2.mp4.")


def test_a_run_that_was_stopped_goes_on_with_what_was_left(branched):
    new, said = chains.resumed(branched / "a2.mp4", lambda given: given["prompt"].split("\n\n"))
    assert new["prompt"] == "three\n\nfour"
    assert new["video_length"] == 1 + 2 * 76
    assert said.startswith("2 windows were left")


def test_what_is_left_of_a_list_of_seeds_and_of_a_continued_run(tmp_path):
    """The video had a window before the run, which was to make three more and made one."""
    told = {
        "window_no": 1,
        "video_length": 1 + 3 * 76,
        "prompt": "two\n\nthree\n\nfour",
        "custom_settings": {"svi_seeds": "5, 6, 7"},
    }
    put(tmp_path, "a", 2, told=told, seeds="list", seed_list=(5, 6, 7), anchors_used=1)
    new, said = chains.resumed(tmp_path / "a.mp4", lambda given: given["prompt"].split("\n\n"))
    assert new["custom_settings"]["svi_seeds"] == "6, 7"
    assert new["prompt"] == "three\n\nfour"
    assert new["video_length"] == 1 + 2 * 76
    assert "give them again" in said


def test_a_run_that_is_done_is_not_resumed(tmp_path):
    put(tmp_path, "a", 4, told={"window_no": 4})
    with pytest.raises(UserError, match="is done: it has all its 4 windows"):
        chains.resumed(tmp_path / "a.mp4", lambda given: [])


def test_a_window_again_has_another_seed_and_says_what_becomes_of_the_rest(branched):
    new, said = chains.again(branched / "a3.mp4", 2, None, None)
    assert new["custom_settings"]["svi_seeds"] == str(49 + 42_000)
    assert new["keep_frames_video_source"] == "81"
    assert new["prompt"] == "two"
    assert "Windows after it" in said
    new, said = chains.again(branched / "a3.mp4", 3, 5, "a bird")
    assert (new["custom_settings"]["svi_seeds"], new["prompt"]) == ("5", "a bird")
    assert "Windows after it" not in said


def test_what_cannot_be_done_is_a_sentence(branched):
    with pytest.raises(UserError, match="cannot be made again"):
        chains.again(branched / "a3.mp4", 1, None, None)
    with pytest.raises(UserError, match="has no hand-over file"):
        chains.going_on(branched / "other.mp4")
