"""The real WanGP's loop with the video written as it grows: nothing is encoded twice."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

import av
import numpy as np
import pytest
from bench import Outcome, command_for, drive, environment_for

from wan2gp_svi.svi.handover_file import path_beside
from wan2gp_svi.wangp.source import TAIL
from wan2gp_svi.wangp.streaming import WHOLE

pytestmark = pytest.mark.slow

FIRST, ADDS = 17, 12  # frames of the first window, and what each later one adds
LONG = WHOLE + 4  # windows


def sums(path: str | Path) -> list[bytes]:
    """Of each compressed frame, in decoding order."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [hashlib.sha256(bytes(packet)).digest() for packet in packets if packet.size]


def even(path: str | Path) -> bool:
    """Whether each frame is there once, at its time."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = sorted(p.pts * p.time_base * 16 for p in container.demux(stream) if p.size)
    return [round(time - times[0]) for time in times] == list(range(len(times)))


class Stage:
    """Two processes: one makes videos, the other goes on with them."""

    def __init__(self, tree: Path, out: Path) -> None:
        self.out, four = out, FIRST + 3 * ADDS
        long = {"video_length": FIRST + (LONG - 1) * ADDS, "prompt": "one"}
        self.first = drive(
            tree,
            [
                {"name": "four", "set": {"video_length": four}},
                fake("few", {"video_length": four}, config=KEEP_NONE),
                fake("long", long),
                fake("mkv", {"video_length": four}, config=MKV),
                fake("x265", {"video_length": 29}, config=X265),
                fake("grain", {"video_length": 29, "film_grain_intensity": 0.5}),
                fake("twice", {"video_length": 29, "repeat_generation": 2}),
                *[{"name": name, "set": {"video_length": 41, **set}} for name, set in POST.items()],
            ],
            out / "first",
        )
        more = {"video_length": 1 + ADDS, "seed": -1, "prompt": "more"}
        third = {**more, "prompt": "three"}
        last = {name: run.videos[-1]["path"] for name, run in self.first.items() if run.videos}
        self.second = drive(
            tree,
            [
                {"name": "once", "continue": last["four"], "set": more},
                {"name": "again", "continue": "once", "set": more},
                {"name": "and again", "continue": "again", "set": more},
                fake("long", more, last["long"]),
                fake("twice", {**more, "repeat_generation": 2}, last["long"]),
                fake("x265", more, last["four"], config=X265),
                fake("cut", {**more, "keep_frames_video_source": "29"}, last["four"]),
                *[
                    {"name": name, "continue": self.half(name), "set": {**third, **set}}
                    for name, set in POST.items()
                ],
                {"name": "small again", "continue": self.half("large"), "set": third},
            ],
            out / "second",
        )

    def half(self, name: str) -> str:
        """The video after the second of three windows."""
        return str(self.first[name].videos[1]["path"])


def fake(name: str, settings: dict, source: str | None = None, **more) -> dict:
    """A scenario without a model: what is looked at is the video, not the picture."""
    going_on = {"continue": source} if source else {}
    return {"name": name, "set": settings, "fake": True, **going_on, **more}


KEEP_NONE = {"keep_intermediate_sliding_windows": 0}
MKV = {"video_container": "mkv"}
POST = {
    "large": {"spatial_upsampling": "lanczos2"},
    "smooth": {"temporal_upsampling": "rife2"},
    "both": {"spatial_upsampling": "lanczos2", "temporal_upsampling": "rife2"},
    "grainy": {"film_grain_intensity": 0.5},
}
"""What WanGP makes of the frames before it saves them."""
X265 = {"video_output_codec": "libx265_28"}


@pytest.fixture(scope="module")
def stage(svi_tree: Path, tmp_path_factory) -> Stage:
    return Stage(svi_tree, tmp_path_factory.mktemp("streaming"))


def encoded(run: Outcome) -> list[int]:
    return [saved["encoded"] for saved in run["saves"]]


def test_every_scenario_ran(stage: Stage) -> None:
    for runs in (stage.first, stage.second):
        assert {name: run.said[-1500:] for name, run in runs.items() if not run.ok} == {}


@pytest.mark.parametrize("name", ["four", "few", "mkv", "grain"])
def test_every_frame_is_encoded_once(stage: Stage, name: str) -> None:
    windows = 2 if name == "grain" else 4
    assert encoded(stage.first[name]) == [FIRST] + [ADDS] * (windows - 1)


def test_each_video_goes_on_with_the_packets_of_the_one_before(stage: Stage) -> None:
    videos = [video["path"] for video in stage.first["four"].videos]
    found = [sums(video) for video in videos]
    assert [len(one) for one in found] == [FIRST + k * ADDS for k in range(4)]
    assert all(found[-1][: len(one)] == one for one in found)
    assert all(even(video) for video in videos)


def test_intermediate_videos_go_where_the_user_keeps_none(stage: Stage) -> None:
    run = stage.first["few"]
    assert run.frames == FIRST + 3 * ADDS
    assert len(run.videos) == (4 if run["version"].startswith(("9.", "10.", "11.")) else 1)


def test_of_a_long_run_the_later_windows_leave_their_own_part(stage: Stage) -> None:
    frames = [video["frames"] for video in stage.first["long"].videos]
    whole = [FIRST + k * ADDS for k in range(LONG)]
    assert sorted(frames) == sorted([*whole[:WHOLE], *[ADDS] * (LONG - WHOLE - 1), whole[-1]])
    assert encoded(stage.first["long"]) == [FIRST] + [ADDS] * (LONG - 1)


@pytest.mark.parametrize(("name", "codec"), [("four", "h264"), ("mkv", "h264"), ("x265", "hevc")])
def test_the_video_is_what_the_settings_say(stage: Stage, name: str, codec: str) -> None:
    ending = ".mkv" if name == "mkv" else ".mp4"
    path = max((stage.out / "first" / name).glob(f"*{ending}"))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == codec
        assert container.metadata
    assert even(path)


def test_nothing_is_left_in_the_folder(stage: Stage) -> None:
    for runs in (stage.first, stage.second):
        for run in runs.values():
            assert not [name for name in run.files if name.startswith(".")]


def test_continued_three_times_the_packets_are_the_same(stage: Stage) -> None:
    before = sums(stage.first["four"].videos[-1]["path"])
    for name in ("once", "again", "and again"):
        run = stage.second[name]
        now = sums(run.videos[-1]["path"])
        assert now[: len(before)] == before and len(now) == len(before) + ADDS
        assert encoded(run)[-1] == ADDS
        assert "as if never stopped" in " ".join(run.svi)
        assert path_beside(run.videos[-1]["path"]).exists()
        before = now


def test_of_a_long_source_only_the_end_is_read(stage: Stage) -> None:
    source = stage.first["long"].videos[-1]
    assert source["frames"] > TAIL
    for name in ("long", "twice"):
        for video in stage.second[name].videos:
            assert sums(video["path"])[: source["frames"]] == sums(source["path"])
            assert video["frames"] == source["frames"] + ADDS and even(video["path"])


def test_a_source_of_another_codec_is_encoded_once_more_and_it_is_said(stage: Stage) -> None:
    run, frames = stage.second["x265"], FIRST + 3 * ADDS + ADDS
    assert "is h264, not hevc: it is encoded once more" in " ".join(run.svi)
    assert run.frames == frames and encoded(run)[-1] == frames


def test_a_source_that_is_cut_keeps_its_packets(stage: Stage) -> None:
    run = stage.second["cut"]
    kept = sums(stage.first["four"].videos[1]["path"])
    assert run.frames == 29 + ADDS and sums(run.videos[-1]["path"])[:29] == kept


def test_each_repetition_is_a_video_of_its_own(stage: Stage) -> None:
    frames = [video["frames"] for video in stage.first["twice"].videos]
    assert frames == [FIRST, 29, FIRST, 29]
    assert encoded(stage.first["twice"]) == [FIRST, ADDS] * 2


@pytest.mark.parametrize("name", list(POST))
def test_a_processed_video_goes_on_as_if_never_stopped(stage: Stage, name: str) -> None:
    """Three windows in one go, and two and one more: the same latents, the same packets before."""
    whole, run = stage.first[name], stage.second[name]
    assert "as if never stopped" in " ".join(run.svi)
    assert np.array_equal(run.arrays["latents1"], whole.arrays["latents3"])
    source, now = sums(stage.half(name)), sums(run.videos[-1]["path"])
    assert now[: len(source)] == source
    assert len(now) == whole.frames
    assert encoded(run)[-1] == encoded(whole)[-1]
    assert path_beside(run.videos[-1]["path"]).exists()


def test_a_processed_video_can_go_on_unprocessed(stage: Stage) -> None:
    """The latents are the same; what is there already is brought to the new size once."""
    whole, run = stage.first["large"], stage.second["small again"]
    assert np.array_equal(run.arrays["latents1"], whole.arrays["latents3"])
    assert "it is encoded once more" in " ".join(run.svi)
    with av.open(str(run.videos[-1]["path"])) as container:
        assert container.streams.video[0].width == 64
    assert run.frames == 41


@pytest.mark.parametrize("seconds", [0.0, 0.7])
def test_killed_in_the_middle_it_plays_and_goes_on(
    svi_tree: Path, tmp_path: Path, seconds: float
) -> None:
    """Killed so long after the third window's video is there."""
    out = tmp_path / "killed"
    scenario = fake("long", {"video_length": FIRST + (LONG - 1) * ADDS, "prompt": "one"})
    command = command_for(svi_tree, [scenario], out)
    with (out / "log.txt").open("w") as log:
        process = subprocess.Popen(command, env=environment_for(svi_tree), stdout=log, stderr=log)
        for _ in range(60_000):
            if len(list((out / "long").glob("*.mp4"))) >= 3 or process.poll() is not None:
                break
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.wait()
    videos = sorted((out / "long").glob("*.mp4"))
    assert 3 <= len(videos) < LONG, (out / "log.txt").read_text()[-1500:]
    known = [video for video in videos if path_beside(video).exists()]
    assert len(videos) - len(known) <= 1  # the last may have been killed before its hand-over
    assert all(even(video) for video in videos)
    more = {"video_length": 1 + ADDS, "seed": -1, "prompt": "more"}
    run = drive(svi_tree, [fake("more", more, str(known[-1]))], tmp_path / "more")["more"]
    assert run.ok and "as if never stopped" in " ".join(run.svi)
    before = sums(known[-1])
    now = sums(run.videos[-1]["path"])
    assert now[: len(before)] == before and len(now) == len(before) + ADDS
