"""SVI-Talk on the real loop: what each window hears, how it is conditioned, the file's sound."""

import subprocess
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from bench import drive
from one_motion_frame import LIVELIER, assert_formulas, assert_livelier

from wan2gp_svi.svi.windows import Chain, Size, layout, plan

FPS, RATE = 25, 16000
ASKED = 49
GUIDED = {"guidance_scale": 2, "guidance_phases": 1, "audio_guidance_scale": 5}


def voice(path, seconds, seed=3):
    """Noise that is like nothing else, as loud as a voice, in a wav file."""
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    samples = (np.clip(noise, -1, 1) * 32767).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return str(path), samples.astype(np.float32) / 32767


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    return {
        "long": voice(folder / "long.wav", 6),
        "short": voice(folder / "short.wav", 1.5, seed=4),
    }


def scenario(name, sound, **more):
    settings = {
        "video_length": ASKED,
        "audio_prompt_type": "A",
        "audio_guide": sound[0] if sound else None,
        "custom_settings": {"svi_mode": "talk"},
        **GUIDED,
    }
    settings.update(more.pop("set", {}))
    return {"name": name, "model": "multitalk", "set": settings, **more}


def plain(sound):
    off = {"custom_settings": None, "video_length": 33, "sliding_window_discard_last_frames": 4}
    return scenario("plain", sound, set=off)


@pytest.fixture(scope="module")
def runs(svi_tree, voices, tmp_path_factory):
    long, short = voices["long"], voices["short"]
    in_turn = {
        "audio_prompt_type": "ABC",
        "audio_guide2": short[0],
        "speakers_locations": "0:45 55:100",
    }
    scenarios = [
        scenario("talk", long),
        scenario("short", short, set={"video_length": 97}),
        scenario("later", long, set={"video_length": 17}, **{"continue": "talk"}),
        scenario("two", long, set=in_turn),
        scenario("discard", long, set={"sliding_window_discard_last_frames": 4}),
        scenario("none", None, set={"audio_prompt_type": ""}),
        scenario("over", short, set={"video_length": 17}, **{"continue": "talk"}),
        scenario(
            "aligned",
            short,
            set={"video_length": 17, "video_prompt_type": "T"},
            **{"continue": "talk"},
        ),
        scenario("livelier", long, set={**LIVELIER, "video_length": 17}),
        scenario("durations", long, set={"prompt": "[/duration=13] one\n[/duration=8] two"}),
        plain(long),
    ]
    return drive(svi_tree, scenarios, tmp_path_factory.mktemp("talk"))


def windows_of(asked=ASKED, **more):
    return plan(asked, Chain(Size(17, motion_frames=1), FPS, seed=7, **more), exact=True)


def hears(window, last):
    """MultiTalk's frames around each frame of a window, by number: the first, and four a latent.

    The first sees two frames to either side; of the four of a latent the first sees what is before
    it, the last what is behind it, the others themselves alone.
    """
    first = window.start - window.drop_front
    around = np.arange(-2, 3)
    frames = np.clip(first + np.arange(window.frames)[:, None] + around, 0, last)
    four = frames[1:].reshape(-1, 4, 5)
    rest = np.concatenate([four[:, 0, :3], four[:, 1:3, 2], four[:, 3, 2:]], axis=1)
    return frames[:1], rest


@pytest.mark.parametrize("name", ["talk", "short", "later", "discard"])
def test_each_window_hears_the_sound_of_its_own_frames(runs, voices, name):
    run = runs[name]
    assert run.ok, run.said[-1500:]
    windows = {"short": windows_of(41), "later": windows_of(17, source_frames=ASKED)}
    windows = windows.get(name, windows_of())
    assert len(windows) == len(run.windows)
    assert run.frames == windows[-1].stop
    for k, window in enumerate(windows, 1):
        first, rest = run.arrays[f"heard{k}_0"][0], run.arrays[f"heard{k}_1"][0]
        # the last frame that there is sound for, or silence that WanGP puts behind it
        last = first.max() if window.frames == 1 else max(first[..., 1].max(), rest[..., 1].max())
        wanted = hears(window, max(last, window.stop - 1))
        assert np.array_equal(first[:, :, 0, 1], wanted[0]), (name, k)
        assert np.array_equal(rest[:, :, 0, 1], wanted[1]), (name, k)


def test_three_windows_repeat_one_frame_each(runs):
    assert [w["frames"] for w in runs["talk"].windows] == [17, 17, 17]
    assert [v["frames"] for v in runs["talk"].videos] == [17, 33, 49]


def test_conditioning_mask_and_noise_are_the_formulas(runs):
    assert_formulas(runs["talk"].arrays, windows_of())


def test_a_motion_amplitude_acts_behind_the_frame_that_is_known(runs):
    assert_livelier(runs["livelier"])


def test_commands_for_the_length_of_a_window_act(runs):
    """From WanGP 12.10 on: the second window hears from its first frame, the one it repeats."""
    run = runs["durations"]
    assert run.ok, run.said[-1500:]
    if run.version.startswith(("9.", "10.", "11.")):
        return
    assert [w["frames"] for w in run.windows] == [13, 9]
    assert run.frames == 21
    sizes = [Size(13, motion_frames=1), Size(9, motion_frames=1)]
    for k, window in enumerate(layout(sizes, Chain(Size(13), FPS)), 1):
        first, rest = run.arrays[f"heard{k}_0"][0], run.arrays[f"heard{k}_1"][0]
        wanted = hears(window, 6 * FPS)
        assert np.array_equal(first[:, :, 0, 1], wanted[0]), k
        assert np.array_equal(rest[:, :, 0, 1], wanted[1]), k


def test_the_sound_ends_the_video(runs):
    """1.5 s are 37.5 frames, and the latent that holds the end of them ends with frame 41."""
    said = [line for line in runs["short"].svi if "the sound ends the video" in line]
    assert len(said) == 1
    assert "38 frames" in said[0]
    assert runs["short"].frames == 41


def sound_of(run):
    """The sound of a finished file, at `RATE`, one channel."""
    command = ["ffmpeg", "-v", "error", "-i", run.videos[-1]["path"], "-ac", "1", "-ar", str(RATE)]
    made = subprocess.run([*command, "-f", "f32le", "-"], check=True, capture_output=True)
    return np.frombuffer(made.stdout, np.float32)


def late(found, wanted):
    """By how many sample frames a sound is late, by what it correlates with; and how well."""
    length = len(wanted)
    size = 2 ** int(np.ceil(np.log2(2 * length)))
    spectrum = np.fft.rfft(found[:length], size) * np.conj(np.fft.rfft(wanted, size))
    correlation = np.fft.irfft(spectrum, size)
    place = int(np.argmax(correlation))
    level = correlation[place] / (np.linalg.norm(found[:length]) * np.linalg.norm(wanted))
    return place if place < size // 2 else place - size, level


@pytest.mark.parametrize(("name", "start", "stop"), [("talk", 0, ASKED), ("later", 0, ASKED + 16)])
def test_the_files_sound_is_that_of_its_frames(runs, voices, name, start, stop):
    found, wanted = sound_of(runs[name]), voices["long"][1]
    with av.open(runs[name].videos[-1]["path"]) as file:
        (sound,) = file.streams.audio
        assert sound.duration * sound.time_base == Fraction(stop, FPS)  # to the sample
    assert 0 <= len(found) - stop * RATE / FPS < 1024  # ffmpeg decodes a last packet whole
    for first in range(start, stop - 8, 8):  # at each place in the video
        part = slice(round(first * RATE / FPS), round((first + 8) * RATE / FPS))
        lag, level = late(found[part], wanted[part])
        assert abs(lag) <= 1, (first, lag)
        assert level > 0.5


def test_a_sound_may_begin_with_the_part_that_is_new(runs, voices):
    """WanGP's alignment to the first new frame: in the window, and in the finished file."""
    run = runs["aligned"]
    assert run.ok, run.said[-1500:]
    assert run.frames == ASKED + 16
    first, rest = run.arrays["heard1_0"][0], run.arrays["heard1_1"][0]
    (window,) = windows_of(17, source_frames=ASKED)
    wanted = hears(window, ASKED + 36)  # there is silence as long as the video before it
    assert np.array_equal(first[:, :, 0, 1], wanted[0])
    assert np.array_equal(rest[:, :, 0, 1], wanted[1])
    assert first[0, 2, 0, 0] < 0.001 < rest[0, 2, 0, 0]  # the repeated frame's, the first new one's
    found, wanted = sound_of(run), voices["short"][1]
    part = slice(round(ASKED * RATE / FPS), round((ASKED + 12) * RATE / FPS))
    lag, level = late(found[part], wanted[: part.stop - part.start])
    assert abs(lag) <= 1
    assert level > 0.5


def test_two_speakers_are_heard_in_turn(runs):
    run = runs["two"]
    assert run.ok, run.said[-1500:]
    assert run.frames == ASKED
    assert run.arrays["heard1_0"].shape[0] == 2
    loud = run.arrays["heard1_1"][:, :, :, 0, 0]
    assert (loud[0] > 0.001).all()
    assert (loud[1] < 1e-6).all()  # the second one's turn comes after six seconds


def test_a_discard_is_left_out_and_said(runs):
    assert sum("discards no frames" in line for line in runs["discard"].svi) == 1
    assert runs["discard"].frames == ASKED


@pytest.mark.parametrize(
    ("name", "words"),
    [("none", "there is none: give it a voice"), ("over", "of the whole longer video")],
)
def test_no_sound_is_told_before_a_model_is_loaded(runs, name, words):
    run = runs[name]
    assert not run.windows
    assert words in " ".join((run.said + run.error).split())


def test_multitalk_without_svi_is_the_same_with_and_without_the_extension(
    runs, plain_tree, voices, tmp_path
):
    ours = runs["plain"]
    theirs = drive(plain_tree, [plain(voices["long"])], tmp_path)["plain"]
    assert ours.ok and theirs.ok, theirs.said[-1500:]
    assert not ours.svi
    assert len(ours.windows) == len(theirs.windows) >= 2
    assert ours.frames == theirs.frames
    for name in theirs.arrays:
        assert np.array_equal(ours.arrays[name], theirs.arrays[name]), name
