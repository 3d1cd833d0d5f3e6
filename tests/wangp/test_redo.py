"""`wan2gp-svi redo`: the settings that it writes (that they work: real_wangp/test_continue.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_video import write_video

from wan2gp_svi.cli import main
from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.handover_file import path_beside, save
from wan2gp_svi.svi.windows import Chain, Size, plan
from wan2gp_svi.video.probe import read_settings
from wan2gp_svi.wangp.redo import hands_over_frames, planned_by, redo_settings, told_by

ENDS = (81, 157, 233)


def make(**changes) -> HandOver:
    values = {
        "latents": torch.zeros(16, 1, 4, 4),
        "start_anchor": torch.zeros(16, 1, 4, 4),
        "fingerprint": torch.zeros(9, 4, 2, 2, dtype=torch.uint8),
        "width": 32,
        "height": 32,
        "fps": 16.0,
        "frames": ENDS[-1],
        "windows": 3,
        "window_ends": ENDS,
        "window_frames": 81,
        "motion_latents": 1,
        "base_seed": 7,
        "seeds_used": (7, 49, 91),
        "prompts": ("one", "two", "three"),
        "model_type": "i2v_2_2_svi2pro",
    }
    return HandOver(**{**values, **changes})


METADATA = {
    "model_type": "i2v_2_2_svi2pro",
    "prompt": "one\ntwo\nthree",
    "seed": 7,
    "video_prompt_type": "KI",
    "image_refs": ["C:/somewhere/anchor.png"],
    "image_start": ["C:/somewhere/start.png"],
    "custom_settings": {"svi_motion_strength": 0.9, "svi_anchor_schedule": "1, 2"},
    "svi": {"id": "0" * 32},
    "window_no": 3,
    "flow_shift": 5,
}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "my clip.mp4"
    path.write_bytes(b"not really a video")
    path.with_suffix(".json").write_text(json.dumps(METADATA), encoding="utf-8")
    save(make(), path_beside(path))
    return path


def settings_for(**changes) -> dict:
    arguments = {"window": 2, "seed": None, "prompt": None, **changes}
    made = told_by(arguments.pop("last", make()), METADATA)
    return redo_settings(Path("/v/clip.mp4"), made, METADATA, **arguments)


def test_the_window_is_made_after_the_one_before() -> None:
    settings = settings_for(window=3)
    assert settings["keep_frames_video_source"] == "157"
    assert settings["video_length"] == 77  # 76 new frames and the source's last
    assert settings["image_prompt_type"] == "V"
    assert settings["video_source"] == str(Path("/v/clip.mp4"))
    assert settings["seed"] == -1  # the hand-over's base seed: the window's seed is as it was


def test_what_made_the_video_makes_the_window() -> None:
    settings = settings_for()
    assert settings["flow_shift"] == 5
    assert settings["prompt"] == "two"
    assert settings["custom_settings"] == {
        "svi_motion_strength": 0.9,
        "svi_motion_latents": 1,
        "svi_anchor_strength": 1.0,
        "svi_seeds": "new",
    }
    assert settings["video_prompt_type"] == ""
    assert not {"image_refs", "image_start", "svi", "window_no"} & set(settings)


def test_what_an_old_wangps_metadata_lacks_is_in_the_hand_over() -> None:
    last = make(seeds="same", anchor_strength=0.8, motion_strength=1.2)
    metadata = {name: value for name, value in METADATA.items() if name != "custom_settings"}
    made = told_by(last, metadata)
    settings = redo_settings(Path("/v/clip.mp4"), made, metadata, 2, None, None)
    assert settings["custom_settings"] == {
        "svi_motion_latents": 1,
        "svi_anchor_strength": 0.8,
        "svi_motion_strength": 1.2,
        "svi_seeds": "same",
    }


def test_times_of_the_video_past_the_window_are_left_out() -> None:
    """81 frames, then 157: window 2 ends after 9.8125 s."""
    prompt = "one (at 2 s of video: two), (at 9.8 s of video: three) (at 9.9 s of video: four)."
    settings = settings_for(last=make(prompts=(prompt,) * 3))
    assert settings["prompt"] == "one (at 2 s of video: two), (at 9.8 s of video: three) ."
    own = make(prompts=("one (at 4.7 s: two) (at 4.75 s: three)",) * 3)  # windows 2, 3: 4.75 s
    assert settings_for(last=own)["prompt"] == "one (at 4.7 s: two) "
    marked = make(prompts=("one [0s:4s] two [4.9s:5s] three [4s:4.8s] four",) * 3)
    assert settings_for(last=marked)["prompt"] == "one [0s:4s] two [4s:4.8s] four"


@pytest.mark.parametrize(
    ("ends", "window", "size", "discard"),
    [
        ((77, 149, 221), 2, 81, 4),  # 72 = 81 - 5 - 4
        ((77, 149, 197), 3, 57, 4),  # a last window as long as it must be
        ((77, 149, 225), 3, 81, 0),  # a run of its own that fitted one window: nothing discarded
    ],
)
def test_discarded_frames_are_generated_again(ends, window, size, discard) -> None:
    metadata = {**METADATA, "sliding_window_discard_last_frames": 4}
    last = make(window_ends=ends, frames=ends[-1], discard=4)
    made = told_by(last, metadata)
    settings = redo_settings(Path("/v/clip.mp4"), made, metadata, window, None, None)
    assert settings["sliding_window_size"] == size
    assert settings["sliding_window_discard_last_frames"] == discard
    source = Chain(Size(size, discard=discard), source_frames=ends[window - 2], windows_before=1)
    (again,) = plan(settings["video_length"], source)
    assert again.stop == ends[window - 1]
    assert again.discard == discard


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_settings_in_the_video_are_read_without_another_program(
    tmp_path: Path, monkeypatch, container: str
):
    video = tmp_path / f"clip.{container}"
    write_video(video, json.dumps(METADATA))
    monkeypatch.setenv("PATH", "")
    assert read_settings(video) == METADATA


def test_another_seed_and_prompt() -> None:
    settings = settings_for(seed=1234, prompt="(at 2 seconds: it rains)")
    assert settings["custom_settings"]["svi_seeds"] == "1234"
    assert settings["prompt"] == "(at 2 seconds: it rains)"


def test_a_seed_from_a_list_stays_that_windows() -> None:
    last = make(seeds="list", seed_list=(7, 1000, 2000), seeds_used=(7, 1000, 2000))
    assert settings_for(window=2, last=last)["custom_settings"]["svi_seeds"] == "1000"


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("(at 4.75 seconds: it rains)", "4.75 s is past the end of window 2, which adds 4.75 s"),
        ("(at 12 s of video: it rains)", "12 s is past the end of the video, which is 9.8125 s"),
        ("(at 2 seconds it rains)", "needs a ':' after its time (character 1:"),
        ("[1s:3s] it [2s:4s] rains", "overlap"),
    ],
)
def test_a_timed_prompt_with_a_mistake_writes_nothing(video: Path, prompt, words, capsys) -> None:
    before = sorted(video.parent.iterdir())
    assert main(["redo", str(video), "--window", "2", "--prompt", prompt]) == 2
    assert words in capsys.readouterr().err
    assert sorted(video.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("window", "words"),
    [(2, "ends with window 2: window 3 is not in it"), (3, "the old one stays.\n")],
)
def test_it_says_what_becomes_of_later_windows(video: Path, window, words, capsys) -> None:
    assert main(["redo", str(video), "--window", str(window)]) == 0
    assert words in capsys.readouterr().out


def test_it_says_so_of_several(tmp_path: Path, capsys) -> None:
    video = tmp_path / "four.mp4"
    video.write_bytes(b"not really a video")
    video.with_suffix(".json").write_text(json.dumps(METADATA), encoding="utf-8")
    ends = (*ENDS, 309)
    save(
        make(
            frames=309,
            windows=4,
            window_ends=ends,
            seeds_used=(7, 49, 91, 133),
            prompts=("one", "two", "three", "four"),
        ),
        path_beside(video),
    )
    assert main(["redo", str(video), "--window", "2"]) == 0
    assert "windows 3 to 4 are not in it" in capsys.readouterr().out


@pytest.mark.parametrize(("window", "words"), [(1, "anew"), (0, "3"), (4, "it has 3"), (-1, "3")])
def test_windows_that_cannot_be_made_again(video: Path, window: int, words: str, capsys) -> None:
    assert main(["redo", str(video), "--window", str(window)]) == 2
    assert words in capsys.readouterr().err


def test_the_command_writes_the_file_and_says_what_next(video: Path, capsys) -> None:
    assert main(["redo", str(video), "--window", "2", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    written = video.parent / "my clip 2 again.json"
    assert json.loads(written.read_text(encoding="utf-8"))["custom_settings"]["svi_seeds"] == "5"
    assert f'--process "{written}"' in said
    assert "hand-over file of window 1 is not in" in said  # only the last window's is there


def test_nothing_is_said_where_every_hand_over_is_there(
    video: Path, tmp_path: Path, capsys
) -> None:
    one = make(frames=81, windows=1, window_ends=ENDS[:1])
    two = make(frames=157, windows=2, window_ends=ENDS[:2], settings={"previous": one.id})
    save(one, tmp_path / "1.svi.safetensors")
    save(two, tmp_path / "2.svi.safetensors")
    save(make(settings={"previous": two.id}), path_beside(video))
    assert main(["redo", str(video), "--window", "2"]) == 0
    assert "not as good" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.unlink(), "no video"),
        (lambda v: path_beside(v).unlink(), "no hand-over file"),
        (lambda v: path_beside(v).write_bytes(b"x"), "cut off"),
        (lambda v: v.with_suffix(".json").unlink(), "holds no settings"),
        (lambda v: v.with_suffix(".json").write_text("[" * 100_000), "holds no settings"),
        (lambda v: save(make(window_ends=(233,)), path_beside(v)), "does not say where"),
    ],
)
def test_what_is_missing_is_a_sentence(video: Path, change, words: str, capsys) -> None:
    change(video)
    assert main(["redo", str(video), "--window", "2"]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(video: Path, capsys) -> None:
    out = video.parent / "gone" / "x.json"
    assert main(["redo", str(video), "--window", "2", "--out", str(out)]) == 1
    assert "could not be written" in capsys.readouterr().err


# -- the modes that hand over frames ---------------------------------------------------------------

FILM = {
    "model_type": "i2v",
    "prompt": "one\ntwo\nthree",
    "multi_prompts_gen_type": "FW",
    "seed": 7,
    "image_prompt_type": "S",
    "image_start": ["C:/somewhere/start.png"],
    "video_length": 241,
    "sliding_window_size": 81,
    "sliding_window_overlap": 1,
    "custom_settings": {"svi_mode": "film"},
}


def film_settings(frames=233, window=2, seed=None, **changes) -> dict:
    metadata = {**FILM, **changes}
    made = planned_by(metadata, frames, 16.0)
    return redo_settings(Path("/v/clip.mp4"), made, metadata, window, seed, None)


@pytest.mark.parametrize(
    ("mode", "frames", "ends"),
    [
        ("film", 233, (81, 157, 233)),
        ("shot", 241, (81, 161, 241)),
        ("tom", 161, (81, 161)),  # stopped before its last window
        ("unified", 309, (81, 157, 233, 309)),  # one more was asked for while it ran
    ],
)
def test_the_windows_of_a_video_are_its_plan(mode, frames, ends) -> None:
    made = planned_by({**FILM, "custom_settings": {"svi_mode": mode}}, frames, 16.0)
    assert made.ends == ends


def test_a_window_of_frames_is_made_with_its_seed_and_prompt() -> None:
    settings = film_settings(window=3)
    assert settings["keep_frames_video_source"] == "157"
    assert settings["video_length"] == 77
    assert settings["image_prompt_type"] == "V"
    assert settings["custom_settings"] == {"svi_mode": "film", "svi_seeds": str(7 + 2 * 42)}
    assert settings["prompt"] == "three"
    assert "image_start" not in settings
    same = film_settings(window=3, custom_settings={"svi_mode": "film", "svi_seeds": "same"})
    assert same["custom_settings"]["svi_seeds"] == "7"
    listed = {"svi_mode": "film", "svi_seeds": "5, 50, 500"}  # the second video of a task
    moved = film_settings(window=2, custom_settings=listed)
    assert moved["custom_settings"]["svi_seeds"] == "52"


def test_the_window_again_ends_where_it_did() -> None:
    metadata = {**FILM, "sliding_window_discard_last_frames": 4, "video_length": 190}
    made = planned_by(metadata, 189, 16.0)
    assert made.ends == (77, 149, 189)  # the last one is shorter
    settings = redo_settings(Path("/v/clip.mp4"), made, metadata, 3, None, None)
    source = Chain(
        Size(settings["sliding_window_size"], 1, settings["sliding_window_discard_last_frames"], 5),
        source_frames=149,
    )
    (again,) = plan(settings["video_length"], source)
    assert again.stop == 189


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_prompt_type": "V"}, "goes on from another one"),
        ({"prompt": "[/duration=4s] one"}, "have changed its windows"),
        ({"frames": 240}, "no window end there"),
        ({"custom_settings": {"svi_mode": "filn"}}, "no SVI mode"),
        ({"video_length": None}, "do not say how long"),
        ({"window": 4}, "it has 3"),
    ],
)
def test_what_a_mode_of_frames_cannot_tell_is_refused(changes, words) -> None:
    with pytest.raises(UserError, match=words):
        film_settings(**changes)


def test_a_new_shot_is_not_made_again_as_if_it_went_on() -> None:
    made = told_by(make(window_ends=(81, 162, 238), frames=238), METADATA)
    with pytest.raises(UserError, match=r"Window 2 of clip\.mp4 is a new shot"):
        redo_settings(Path("/v/clip.mp4"), made, METADATA, 2, None, None)
    assert redo_settings(Path("/v/clip.mp4"), made, METADATA, 3, None, None)["video_length"] == 77


def test_5b_in_pros_way_has_a_hand_over_file() -> None:
    of_5b = {"model_type": "ti2v_2_2", "custom_settings": {"svi_mode": "pro"}}
    assert not hands_over_frames(of_5b)
    assert hands_over_frames({**of_5b, "custom_settings": {"svi_mode": "tom"}})
    assert not hands_over_frames(METADATA)


@pytest.mark.parametrize(
    ("metadata", "frames", "ends"),
    [
        ({"model_type": "i2v_svi_dance", "custom_settings": None}, 161, (81, 161)),
        ({"model_type": "multitalk", "custom_settings": {"svi_mode": "talk"}}, 189, (81, 137, 189)),
    ],
)
def test_what_moved_the_person_may_have_ended_the_video(metadata, frames, ends) -> None:
    """The whole plan was 241 frames; a sound that ends is heard to its last frame."""
    made = planned_by({**FILM, **metadata}, frames, 25.0)
    assert made.ends == ends


def test_what_is_to_be_given_again_is_said(tmp_path: Path, capsys) -> None:
    video = tmp_path / "clip.mp4"
    made = {**FILM, "video_length": 17, "sliding_window_size": 9, "model_type": "i2v_svi_dance"}
    write_video(video, json.dumps({**made, "custom_settings": None}), frames=17)
    assert main(["redo", str(video), "--window", "2"]) == 0
    assert "give it the control video of the whole video again" in capsys.readouterr().out


def test_the_command_takes_a_video_without_a_hand_over_file(tmp_path: Path, capsys) -> None:
    video = tmp_path / "clip.mp4"
    made = {**FILM, "video_length": 17, "sliding_window_size": 9}
    write_video(video, json.dumps(made), frames=17)
    assert main(["redo", str(video), "--window", "2", "--prompt", "again"]) == 0
    assert "not as good" not in capsys.readouterr().out
    settings = json.loads((tmp_path / "clip 2 again.json").read_text(encoding="utf-8"))
    assert settings["keep_frames_video_source"] == "9"
    assert settings["prompt"] == "again"
