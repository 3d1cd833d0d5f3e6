"""Continuing a video in the real WanGP: the same as never having stopped, or the reason why not.

Two processes of WanGP: the first makes the videos, then they are copied, renamed, cut and edited
as people do, and the second continues them. The first two windows of a chain are those of the run
of four, whose every window has its video and hand-over file; one chain is also made as a run of
two, to see that this is the same.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from bench import Outcome, drive

from wan2gp_svi.svi.handover_file import load, path_beside
from wan2gp_svi.svi.windows import Chain, Size, plan
from wan2gp_svi.video.probe import read_settings
from wan2gp_svi.wangp.redo import redo_settings, told_by

pytestmark = pytest.mark.slow

SAME = [*itertools.product((0, 2), (1, 2), (0, 4))]  # anchor images, motion latents, discard
WIDE = "96x160"  # as many pixels as a 540x200 picture's 208x80; once more, and it is 192x80


def window_of(motion: int) -> int:
    """17 frames, or 21 where two motion latents leave too little of it."""
    return 17 if motion == 1 else 21


def size_of(motion: int, discard: int) -> Size:
    return Size(window_of(motion), motion, discard)


def settings_of(motion: int, discard: int) -> dict:
    return {
        "sliding_window_size": window_of(motion),
        "sliding_window_discard_last_frames": discard,
        "custom_settings": {"svi_motion_latents": motion},
    }


def frames_of(windows: int, motion: int, discard: int) -> int:
    size = size_of(motion, discard)
    return size.frames - size.discard + (windows - 1) * size.adds


def name_of(anchors: int, motion: int, discard: int) -> str:
    return f"{anchors}-{motion}-{discard}"


def made_first() -> list[dict]:
    """Each chain in one run of four windows; the default one as a run of two, too."""
    found: list[dict] = []
    for case in SAME:
        anchors, motion, discard = case
        settings = settings_of(motion, discard)
        settings["video_length"] = frames_of(4, motion, discard)
        found.append({"name": f"whole {name_of(*case)}", "anchors": anchors, "set": settings})
    found.append({"name": "half", "set": {"video_length": 29}})
    wide = {"video_length": 41, "resolution": WIDE}
    found.append({"name": "wide", "set": wide, "picture": [540, 200]})
    for anchors in (0, 1):
        name = f"half {anchors}"
        found.append({"name": name, "set": {"video_length": 29}, "anchors": anchors, "half": True})
    found.append({"name": "grain", "set": {"video_length": 17, "film_grain_intensity": 0.5}})
    found.append({"name": "json", "set": {"video_length": 29}, "config": {"metadata_type": "json"}})
    if os.name == "posix" and os.geteuid() == 0:
        found.append({"name": "full disk", "set": {"video_length": 29}, "full": True})
    found.append(
        {
            "name": "few files",
            "set": {"video_length": 29},
            "config": {"keep_intermediate_sliding_windows": 0},
        }
    )
    return found


def continue_half(name: str, video: str | Path, **settings) -> dict:
    """A scenario that adds a third window to a chain of two."""
    base = {"video_length": 13, "seed": -1, "prompt": "three"}
    return {"name": name, "continue": str(video), "set": {**base, **settings}}


class Stage:
    """The videos of the first process, and what has been done to copies of them."""

    def __init__(self, tree: Path, out: Path) -> None:
        self.tree = tree
        self.out = out / "second"
        self.first = drive(tree, made_first(), out / "first")
        self.scenarios: list[dict] = []
        self.prepare()
        self.second = drive(tree, self.scenarios, self.out)

    def video(self, name: str, window: int = 0) -> Path:
        """The video after that window; 0: after the last one."""
        return Path(self.first[name].videos[window - 1]["path"])

    def prepare(self) -> None:
        add = self.scenarios.append
        for case in SAME:
            _, motion, discard = case
            settings = settings_of(motion, discard)
            settings["video_length"] = 1 + 2 * size_of(motion, discard).adds
            settings["prompt"] = "three\nfour"
            video = self.video(f"whole {name_of(*case)}", window=2)
            add(continue_half(f"rest {name_of(*case)}", video, **settings))
        half = self.video("half")
        add({**continue_half("last video", half), "last": True})
        if (self.tree / "shared" / "api.py").exists():
            add({**continue_half("api", half), "api": True})
        # found, wherever it went
        add(continue_half("uploaded", self.copy(half, "uploaded", "tmp/upload.mp4")))
        shutil.copy(path_beside(half), self.folder("uploaded"))
        add(continue_half("moved", self.copy(half, "moved", "usb/clip.mp4", with_file=True)))
        renamed = self.copy(half, "renamed", "usb/new name.mp4")
        shutil.copy(path_beside(half), renamed.parent / "old name.svi.safetensors")
        add(continue_half("renamed", renamed))
        add(continue_half("json", self.video("json")))
        # a window of 4 again: as it was, with an anchor, with discarded frames, with another seed
        for name, made, window, seed in (
            ("redo 2", "whole 2-1-0", 2, None),
            ("redo discarding", "whole 0-1-4", 3, None),
            ("redo", "whole 0-1-0", 3, None),
            ("redo 1234", "whole 0-1-0", 3, 1234),
        ):
            whole = self.video(made)
            metadata, last = read_settings(whole), load(path_beside(whole))
            made = told_by(last, metadata)
            settings = redo_settings(whole, made, metadata, window, seed, None)
            add({"name": name, "continue": str(whole), "set": settings})
        # and an older window of a video that was continued, and continued
        for window in (1, 2):
            made = self.video("half", window=window)
            shutil.copy(path_beside(made), self.folder("chain"))
        first = Path(shutil.copy(half, self.folder("chain")))
        add({**continue_half("grown", first), "folder": "chain"})
        add({**continue_half("grown again", "grown", prompt="four"), "folder": "chain"})
        older = continue_half("second again", "grown again", prompt="two")
        older["set"]["keep_frames_video_source"] = "17"
        add({**older, "folder": "chain"})
        add(continue_half("cut from the end", whole, keep_frames_video_source="-24"))
        add(continue_half("wide", self.video("wide", window=2), resolution=WIDE))
        # what does not fit
        add(continue_half("no file", self.copy(half, "no file", "usb/clip.mp4")))
        add(continue_half("kept 20", half, keep_frames_video_source="20"))
        add(continue_half("two latents", half, custom_settings={"svi_motion_latents": 2}))
        cut = self.copy(half, "cut off", "usb/clip.mp4", with_file=True)
        beside = path_beside(cut)
        beside.write_bytes(beside.read_bytes()[:-7])
        add(continue_half("cut off", cut))
        bent = self.copy(half, "bent", "usb/clip.mp4", with_file=True)
        content = bytearray(path_beside(bent).read_bytes())
        content[len(content) // 3] ^= 255
        content[60] ^= 4
        path_beside(bent).write_bytes(content)
        add(continue_half("bent", bent))
        other = self.copy(half, "other video", "usb/clip.mp4")
        shutil.copy(path_beside(self.video("whole 2-1-0", window=2)), path_beside(other))
        add(continue_half("other video", other))
        add(continue_half("grain", self.video("grain")))
        for name, arguments in {
            "one frame less": ["-frames:v", "28"],
            "brighter": ["-vf", "eq=brightness=0.1"],
            "mirrored": ["-vf", "hflip"],
            "larger": ["-vf", "scale=128:128"],
            "another rate": ["-r", "24"],
        }.items():
            add(continue_half(name, self.copy(half, name, "usb/clip.mp4", arguments, True)))
        short = self.copy(half, "three frames", "usb/short.mp4", ["-frames:v", "3"])
        add(continue_half("three frames", short))

    def folder(self, scenario: str) -> Path:
        """Where the second process saves: WanGP's own folder in that scenario."""
        folder = self.out / scenario
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def copy(
        self, video: Path, scenario: str, to: str, edit: list[str] | None = None, with_file=False
    ) -> Path:
        """A copy of a video in a folder of its own, edited by ffmpeg; metadata stays."""
        target = self.out / "copies" / scenario / to
        target.parent.mkdir(parents=True, exist_ok=True)
        if edit is None:
            shutil.copy(video, target)
        else:
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", video]
            command += [*edit, "-map_metadata", "0", "-c:v", "libx264", "-crf", "12"]
            command += ["-pix_fmt", "yuv420p", target]
            subprocess.run([str(part) for part in command], check=True)
        if with_file:
            shutil.copy(path_beside(video), path_beside(target))
        return target


@pytest.fixture(scope="module")
def stage(svi_tree: Path, tmp_path_factory) -> Stage:
    return Stage(svi_tree, tmp_path_factory.mktemp("continue"))


def reasons(run: Outcome) -> list[str]:
    told = [line for line in run.svi if "encoded again" in line]
    return [line for line in told if not line.startswith("[SVI] window")]  # which says it once more


def test_every_scenario_ran(stage: Stage) -> None:
    for runs in (stage.first, stage.second):
        assert {name: run.said[-800:] for name, run in runs.items() if not run.ok} == {}
    assert len(stage.second) == len(stage.scenarios)


def equal_windows(whole: Outcome, later: Outcome, drop: int, before: int = 2) -> None:
    """Windows 3 (and 4) of one run against window 1 (and 2) of the continuation."""
    assert later.windows
    for k in range(1, len(later.windows) + 1):
        for name in ("y", "noise", "latents", "frames"):
            one, other = whole.arrays[f"{name}{k + before}"], later.arrays[f"{name}{k}"]
            new = slice(drop, None) if name == "frames" else slice(None)
            assert one.shape == other.shape, (name, k)
            assert np.array_equal(one[:, new], other[:, new]), (name, k)


@pytest.mark.parametrize("case", SAME, ids=lambda case: name_of(*case))
def test_going_on_is_never_having_stopped(stage: Stage, case: tuple[int, int, int]) -> None:
    anchors, motion, discard = case
    whole = stage.first[f"whole {name_of(*case)}"]
    later = stage.second[f"rest {name_of(*case)}"]
    equal_windows(whole, later, size_of(motion, discard).overlap)
    assert [v["frames"] for v in later.videos] == [v["frames"] for v in whole.videos[2:]]
    assert [w["encoded"] for w in later.windows] == [[], []]
    assert reasons(later) == []
    assert len(whole.videos) == 4
    for run in (later, whole):
        kept = load(path_beside(run.videos[-1]["path"]))
        assert run.metadata["custom_settings"]["svi_id"] == kept.id
        assert (kept.windows, kept.seeds_used) == (4, (7, 49, 91, 133))
    if anchors:  # image 2 serves from window 2 on, the first image never did
        assert not np.array_equal(whole.arrays["y1"][4:, 0], whole.arrays["y3"][4:, 0])


@pytest.mark.parametrize("case", SAME, ids=lambda case: name_of(*case))
def test_hand_overs_of_both_ways_are_the_same(stage: Stage, case: tuple[int, int, int]) -> None:
    """Where it matters: ids, the runs' prompts and the frames' fingerprints aside."""
    whole = load(path_beside(stage.video(f"whole {name_of(*case)}")))
    path = Path(stage.second[f"rest {name_of(*case)}"].videos[-1]["path"])
    later = load(path_beside(path))
    for name in ("latents", "start_anchor", "anchor_in_force", "fingerprint"):
        assert np.array_equal(getattr(whole, name).numpy(), getattr(later, name).numpy()), name
    for name in ("frames", "windows", "base_seed", "seeds_used", "prompts", "fps", "width"):
        assert getattr(whole, name) == getattr(later, name), name


def test_a_run_of_two_windows_is_the_first_half_of_one_of_four(stage: Stage) -> None:
    half, whole = stage.first["half"], stage.first["whole 0-1-0"]
    for k, name in itertools.product((1, 2), ("y", "noise", "latents", "frames")):
        assert np.array_equal(half.arrays[f"{name}{k}"], whole.arrays[f"{name}{k}"]), (name, k)


@pytest.mark.parametrize(
    "name", ["last video", "uploaded", "moved", "renamed", "json", "cut from the end", "api"]
)
def test_it_is_found_wherever_the_video_went(stage: Stage, name: str) -> None:
    if name == "api" and name not in stage.second:
        pytest.skip("this WanGP has no Python API yet")
    run = stage.second[name]
    assert reasons(run) == []
    assert "as if never stopped" in " ".join(run.svi)
    equal_windows(stage.first["whole 0-1-0"], run, 5)
    assert run.frames == 41


def test_a_size_that_wangp_rounded_is_kept(stage: Stage) -> None:
    """By default the resolution is a number of pixels, and rounded again when continuing."""
    whole, later = stage.first["wide"], stage.second["wide"]
    assert whole.arrays["y1"].shape[2:] == later.arrays["y1"].shape[2:] == (10, 26)
    assert reasons(later) == []
    equal_windows(whole, later, 5)
    assert later.metadata["resolution"] == WIDE


def frames_of_file(video: str | Path) -> np.ndarray:
    """(F, H, W, 3), uint8."""
    reader = imageio_ffmpeg.read_frames(str(video))
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in reader])


@pytest.mark.parametrize("name", ["uploaded", "no file", "three frames"])
def test_the_source_stays_as_it_was(stage: Stage, name: str) -> None:
    """WanGP 9 puts the new window's first frames, the decoded anchor among them, over its end."""
    source = frames_of_file(stage.video("half"))
    made = frames_of_file(stage.second[name].videos[-1]["path"])
    kept = 3 if name == "three frames" else len(source)
    change = np.abs(made[:kept].astype(int) - source[:kept].astype(int)).mean(axis=(1, 2, 3))
    assert change.max() < 12  # encoded once more; another picture differs by 40 and more


def test_a_window_made_again_is_the_same_or_differs_by_its_seed(stage: Stage) -> None:
    whole, again, other = (
        stage.first["whole 0-1-0"],
        stage.second["redo"],
        stage.second["redo 1234"],
    )
    equal_windows(whole, again, 5)
    short, again_short = stage.first["whole 0-1-4"], stage.second["redo discarding"]
    equal_windows(short, again_short, 5)
    assert again_short.frames == short.videos[2]["frames"]
    equal_windows(stage.first["whole 2-1-0"], stage.second["redo 2"], 5, before=1)
    assert np.array_equal(whole.arrays["y3"], other.arrays["y1"])
    generator = torch.Generator().manual_seed(1234)
    noise = torch.randn(other.arrays["noise1"].shape, generator=generator)
    assert np.array_equal(other.arrays["noise1"], noise.numpy())
    assert not np.array_equal(again.arrays["latents1"], other.arrays["latents1"])
    for run in (again, other):
        assert reasons(run) == []
        assert run.frames == 41
        assert run.windows[0]["encoded"] == []


def test_an_older_window_of_a_video_that_was_continued_twice(stage: Stage) -> None:
    run = stage.second["second again"]
    assert reasons(run) == []
    equal_windows(stage.first["half"], run, 5, before=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no file", "no hand-over file of clip.mp4"),
        ("kept 20", "29 frames, and 20 are to be continued"),
        ("two latents", "1 motion latents, and 2 are asked"),
        ("cut off", "cut off"),
        ("bent", "clip.svi.safetensors"),
        ("other video", "belongs to another video"),
        ("one frame less", "29 frames, and 28 are to be continued"),
        ("brighter", "last frames"),
        ("mirrored", "last frames"),
        ("larger", "clip.mp4 is 128x128, its hand-over file 64x64"),
        ("another rate", "24 frames a second, its hand-over file 16"),
    ],
)
def test_what_does_not_fit_is_encoded_again_and_said(stage: Stage, name: str, words: str) -> None:
    run = stage.second[name]
    assert len(reasons(run)) == 1, run.svi
    assert words in reasons(run)[0]
    source = {"kept 20": 20, "one frame less": 28}.get(name, 29)
    motion = 2 if name == "two latents" else 1
    chain = Chain(size=Size(17, motion), source_frames=source, windows_before=2)
    if name != "another rate":  # how many frames a resampled source has is WanGP's to say
        assert run.frames == plan(13, chain)[-1].stop
    # the anchor alone, and as much of the end as the causal VAE looks back on, in whole latents
    encoded = run.windows[0]["encoded"]
    assert encoded[0] == 1
    assert encoded[1] % 4 == 1
    assert encoded[1] >= min(source - 4, 4 * motion + 17)
    motion_latents = run.arrays["encoding1_1"][:, -motion:]
    assert np.array_equal(run.arrays["y1"][4:, 1 : 1 + motion], motion_latents)
    assert not run.arrays["y1"][4:, 1 + motion :].any()


def test_three_frames_are_a_start_image(stage: Stage) -> None:
    run = stage.second["three frames"]
    chain = Chain(size=Size(17), source_frames=3, windows_before=1)
    assert run.frames == plan(13, chain)[-1].stop
    assert run.windows[0]["encoded"] == [1]
    assert not run.arrays["y1"][4:, 1:].any()


def test_intermediate_hand_overs_go_with_their_videos(stage: Stage) -> None:
    """`keep_intermediate_sliding_windows` came with WanGP 12; before, all videos are kept."""
    run = stage.first["few files"]
    videos = {Path(v["path"]).stem for v in run.videos}
    beside = {name.removesuffix(".svi.safetensors") for name in run.files if ".svi." in name}
    assert beside == videos
    assert len(videos) in (1, 2)


def test_a_video_with_grain_is_known_by_its_grain(stage: Stage) -> None:
    found = load(path_beside(stage.video("grain")))
    assert found.shown is not None and not np.array_equal(found.shown, found.fingerprint)
    run = stage.second["grain"]  # textures at 64x64 with strong grain: no codec keeps the colours
    assert reasons(run) == []
    assert np.array_equal(run.arrays["y1"][4:, 1], found.latents[:, -1])


def test_a_full_disk_costs_the_hand_over_only(stage: Stage) -> None:
    if "full disk" not in stage.first:
        pytest.skip("a small disk can be mounted by root only")
    run, half = stage.first["full disk"], stage.first["half"]
    assert [v["frames"] for v in run.videos] == [v["frames"] for v in half.videos] == [17, 29]
    assert not [name for name in run.files if ".svi" in name]
    said = [line for line in run.svi if "could not be written: No space left on device" in line]
    assert len(said) == 2
    assert "svi_id" not in (run.metadata.get("custom_settings") or {})
    for k in (1, 2):
        assert np.array_equal(run.arrays[f"latents{k}"], half.arrays[f"latents{k}"])


def test_what_the_api_made_can_be_continued(stage: Stage) -> None:
    if "api" not in stage.second:
        pytest.skip("this WanGP has no Python API yet")
    run = stage.second["api"]
    last = load(path_beside(run.videos[-1]["path"]))
    assert (last.windows, last.frames) == (3, run.frames)
    assert last.id == run.metadata["custom_settings"]["svi_id"]


def test_metadata_is_wangps_and_has_the_id(stage: Stage) -> None:
    run = stage.first["half"]
    found = load(path_beside(stage.video("half")))
    assert run.metadata["custom_settings"]["svi_id"] == found.id
    assert "svi" not in run.metadata  # which WanGP refuses as a setting from 13.14 on
    assert run.metadata["model_type"] == "i2v_2_2_svi2pro"
    settings = json.loads(stage.video("json").with_suffix(".json").read_text())
    beside = load(path_beside(stage.video("json")))
    assert settings["custom_settings"]["svi_id"] == beside.id


def test_a_hand_over_is_small(stage: Stage) -> None:
    """Under 1 MB at 832x480 (a latent of 400 kB; 200 kB for anchors, with the VAE in 16 bits)."""
    latent, rest = 16 * 8 * 8 * 4, 2_500
    for name, latents in {"half": 2, "half 0": 1.5, "half 1": 2}.items():
        size = path_beside(stage.video(name)).stat().st_size
        assert size < latents * latent + rest, name
