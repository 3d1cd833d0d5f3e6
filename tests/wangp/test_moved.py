"""What moves a person in a task: how long a sound or a skeleton lasts, before a model is loaded."""

import wave
from pathlib import Path

import numpy as np
import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.windows import Chain, Size, plan
from wan2gp_svi.wangp import dance, talk
from wan2gp_svi.wangp.names import DANCE, MODELS
from wan2gp_svi.wangp.run import Run, set_current
from wan2gp_svi.wangp.settings import Settings

SECONDS = {"a.wav": 10.0, "b.wav": 4.0, "odd.wav": 1.5}


def spoken(**changes):
    given = {"audio_prompt_type": "A", "audio_guide": "a.wav", "video_length": 1000}
    return {**given, **changes}


def chain(fps=25, before=0):
    return Chain(Size(81, motion_frames=1), fps, source_frames=before)


def length(before=0, **changes):
    return talk.length(spoken(**changes), chain(before=before), SECONDS.__getitem__)


def test_a_sound_that_is_longer_than_asked_changes_nothing():
    assert length(video_length=81) == 81


@pytest.mark.parametrize(
    ("changes", "frames"),
    [
        ({}, 253),  # 250 frames, in 4k+1
        ({"audio_guide": "odd.wav"}, 41),  # 37.5 frames
        ({"audio_guide2": "b.wav"}, 253),  # without B it is not asked for
        ({"audio_guide2": "b.wav", "audio_prompt_type": "ABC"}, 353),  # one after the other
        ({"audio_guide2": "b.wav", "audio_prompt_type": "ABP"}, 101),  # at the same time
        ({"before": 101}, 153),  # up to frame 253; the source's last one counts
        ({"before": 101, "video_prompt_type": "T"}, 253),
    ],
)
def test_the_video_ends_with_the_sound(changes, frames, capsys):
    assert length(**changes) == frames
    assert "the sound ends the video" in capsys.readouterr().out
    if "before" in changes and "video_prompt_type" not in changes:
        whole = plan(frames, chain(before=101), exact=True)
        assert whole[-1].stop == 253


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio_prompt_type": ""}, "there is none"),
        ({"audio_guide": None}, "there is none"),
        ({"before": 250}, "10.00 s long, and the video that is continued is 10.00 s already"),
    ],
)
def test_no_sound_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        length(**changes)


@pytest.mark.parametrize(
    ("mode", "tracks", "decodes"),
    [("talk", ["a.aac", "b.aac"], 2), ("talk", ["a.wav"], 0), ("shot", ["a.aac"], 0)],
)
def test_the_sound_of_a_source_is_taken_from_the_video_where_wangp_takes_aac(
    mode, tracks, decodes, monkeypatch
):
    given, made = [], []

    def join(save_path_tmp, video_path, source_audio_tracks, new_audio_tracks):
        given.append(source_audio_tracks)
        return "joined"

    monkeypatch.setattr(talk, "_decode", lambda *arguments: made.append(arguments))
    run = Run(Settings(), Carry(chain(), MODES[mode]), source_path="clip.mp4")
    set_current(run)
    try:
        assert talk.joined(join, "out.mp4", "tmp.mp4", tracks, ["new.wav"]) == "joined"
    finally:
        set_current(None)
    assert [(video, number) for video, number, _ in made] == [
        ("clip.mp4", number) for number in range(decodes)
    ]
    assert given == [[path for *_, path in made] if decodes else tracks]


def told_of(tmp_path, before=50, **changes):
    """What WanGP is told of a sound that is to begin with the first new frame; its samples."""
    sound = tmp_path / "new.wav"
    if not sound.exists():
        with wave.open(str(sound), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.full(8000, 9000, np.int16).tobytes())
    given = {"audio_prompt_type": "A", "audio_guide": str(sound), "video_prompt_type": "T"}
    mode = MODES[changes.pop("mode", "talk")]
    given |= changes
    run = Run(Settings(), Carry(chain(fps=25, before=before), mode))
    with talk.aligned(run, given, {"seed": 7}) as told:
        read = {}
        for name in ("audio_guide", "audio_guide2"):
            if name in told:
                with wave.open(told[name]) as file:
                    frames = file.readframes(file.getnframes())
                read[name] = np.frombuffer(frames, np.int16)
        return run, told, read


def test_a_sound_for_the_new_part_is_moved_behind_the_old_one(tmp_path):
    run, told, read = told_of(tmp_path)
    assert told["video_prompt_type"] == "" and told["seed"] == 7
    samples = read["audio_guide"]
    assert len(samples) == 3 * 8000  # two seconds are there already
    assert not samples[:16000].any() and (samples[16000:] == 9000).all()
    assert run.asked["video_prompt_type"] == "T"
    assert run.asked["audio_guide"] == str(tmp_path / "new.wav")
    assert not Path(told["audio_guide"]).exists()  # when the task has ended


def test_of_two_speakers_both_are_moved_where_they_speak_at_once(tmp_path):
    second = str(tmp_path / "new.wav")
    _, _, read = told_of(tmp_path, audio_guide2=second, audio_prompt_type="AB")
    assert sorted(read) == ["audio_guide", "audio_guide2"]
    _, _, read = told_of(tmp_path, audio_guide2=second, audio_prompt_type="ABC")
    assert sorted(read) == ["audio_guide"]  # in turn: the second comes behind the first


def test_a_sound_that_is_not_moved_stays_as_it_is(tmp_path):
    _, told, read = told_of(tmp_path, video_prompt_type="")
    assert told == {"seed": 7} and not read
    _, told, read = told_of(tmp_path, before=0)
    assert told == {"seed": 7, "video_prompt_type": ""} and not read
    _, told, read = told_of(tmp_path, mode="shot")
    assert told == {"seed": 7} and not read


def test_a_file_that_is_no_sound_is_told(tmp_path):
    (tmp_path / "words.txt").write_text("no sound")
    with pytest.raises(UserError, match=r"words\.txt cannot be read as a sound"):
        told_of(tmp_path, audio_guide=str(tmp_path / "words.txt"))


class Wgp(dict):
    def __init__(self, frames, fps=16):
        super().__init__(
            get_video_info=lambda path: (fps, 64, 64, frames),
            get_lora_dir=lambda model_type: "loras",
            get_model_def=lambda model_type: {"loras": ["https://x/svi-dance.safetensors"]},
        )


def danced(frames, before=0, rate=16, **changes):
    given = {"video_prompt_type": "PV", "video_guide": "p.mp4", "video_length": 241, **changes}
    return dance.length(Wgp(frames, rate), given, chain(fps=16, before=before))


def test_a_skeleton_starts_over_unless_the_user_wants_its_end():
    assert danced(100) == 241
    assert danced(100, video_prompt_type="PV|") == 100
    assert danced(100, before=51, video_prompt_type="V|") == 50
    assert danced(100, before=51, video_prompt_type="VT|") == 100
    assert danced(100, rate=8, video_prompt_type="V|") == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video_prompt_type": ""}, "there is none"),
        ({"video_guide": None}, "there is none"),
        ({"video_prompt_type": "GV"}, "skeleton only"),
        ({"video_prompt_type": "PVA"}, "skeleton only"),
        ({"video_prompt_type": "V|", "before": 98}, "ends where this video would go on"),
    ],
)
def test_what_is_no_skeleton_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        danced(100, **changes)


def test_the_adapter_must_be_in_one_of_the_files(tmp_path: Path):
    with pytest.raises(UserError, match="loaded is no LoRA at all"):
        dance._adapter([tmp_path / "svi-dance.safetensors"], 24)
    assert MODELS[DANCE].own == "dance"
