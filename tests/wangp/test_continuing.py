"""Finding, saving and deleting hand-over files, without WanGP: its readers are stood in for."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from small_video import write_video

from wan2gp_svi.svi.carry import START, Carry, Left, Source
from wan2gp_svi.svi.fingerprint import fingerprint
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.handover_file import load, path_beside, read_id, save
from wan2gp_svi.svi.windows import Chain, Size
from wan2gp_svi.video.encode import encoder
from wan2gp_svi.wangp import continuing
from wan2gp_svi.wangp.names import PRO
from wan2gp_svi.wangp.run import Run, set_current
from wan2gp_svi.wangp.settings import Settings, ours

SIDE = 32


def film(frames: int = 17) -> torch.Tensor:
    """A ramp that moves and repeats every 32 pixels, uint8 (3, F, 32, 32)."""
    x = torch.arange(SIDE).view(1, 1, 1, -1) + 3 * torch.arange(frames).view(1, -1, 1, 1)
    return (x % 32 * 7).expand(3, frames, SIDE, SIDE).to(torch.uint8)


def make(**changes) -> HandOver:
    values = {
        "latents": torch.ones(16, 1, 4, 4),
        "start_anchor": torch.zeros(16, 1, 4, 4),
        "fingerprint": fingerprint(film()),
        "width": SIDE,
        "height": SIDE,
        "fps": 16.0,
        "frames": 17,
        "windows": 1,
        "window_frames": 17,
        "motion_latents": 1,
        "base_seed": 7,
        "model_type": PRO,
    }
    return HandOver(**{**values, **changes})


class Place:
    """A save folder with one video and its hand-over, and WanGP's readers of videos."""

    def __init__(self, folder: Path) -> None:
        self.saves = folder / "outputs"
        self.elsewhere = folder / "elsewhere"
        self.saves.mkdir()
        self.elsewhere.mkdir()
        self.video = self.saves / "clip.mp4"
        self.handover = make()
        save(self.handover, path_beside(self.video))
        self.set_metadata({"svi": {"id": self.handover.id}, "seed": 7})
        self.info = (16, SIDE, SIDE, 17)

    def set_metadata(self, metadata: object) -> None:
        """Write the video with this in it (None: nothing; a text: as it is, no JSON)."""
        self.metadata = metadata
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        write_video(self.video, None if metadata is None else text)

    def search(self, video: Path | None = None) -> tuple[str | None, str]:
        """The id of the hand-over found, and the reason where there is none."""
        found, reason = continuing.search(video or self.video, [self.saves], lambda path: self.info)
        return found and found.id, reason


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_beside_the_video(place: Place) -> None:
    assert place.search() == (place.handover.id, "")


@pytest.mark.parametrize("metadata", [None, {}, {"svi": None}, {"svi": 3}, [], "no JSON"])
def test_beside_the_video_where_it_has_no_metadata(place: Place, metadata: object) -> None:
    place.set_metadata(metadata)
    assert place.search() == (place.handover.id, "")


@pytest.mark.parametrize("old", [True, False])
def test_the_id_is_found_where_it_is_and_where_it_was(place: Place, old: bool) -> None:
    place.video = place.video.rename(place.saves / "another name.mp4")
    entry = {"svi": {"id": place.handover.id}}
    if not old:
        entry = {"custom_settings": {"svi_id": place.handover.id, "theirs": 1}}
    place.set_metadata(entry)
    assert place.search() == (place.handover.id, "")


def test_an_id_is_no_setting() -> None:
    assert ours({"svi_id": "0" * 32, "svi_seeds": "new", "theirs": 1}) == {"svi_seeds": "new"}


def test_a_copy_from_the_page_is_found_by_its_id(place: Place) -> None:
    copy = place.elsewhere / "upload.mp4"
    shutil.copy(place.video, copy)
    assert place.search(copy) == (place.handover.id, "")


def test_a_renamed_video_is_found_by_its_id(place: Place) -> None:
    place.video = place.video.rename(place.saves / "another name.mp4")
    assert place.search() == (place.handover.id, "")


def test_a_renamed_and_copied_video_whose_file_was_renamed_too(place: Place) -> None:
    path_beside(place.video).rename(place.saves / "new.svi.safetensors")
    copy = place.elsewhere / "upload.mp4"
    shutil.copy(place.video, copy)
    assert place.search(copy) == (place.handover.id, "")


def test_both_moved_to_another_machine(place: Place) -> None:
    shutil.copy(path_beside(place.video), place.elsewhere)
    moved = shutil.copy(place.video, place.elsewhere)
    shutil.rmtree(place.saves)
    assert place.search(Path(moved)) == (place.handover.id, "")


def test_another_videos_file_beside_it_is_passed_over(place: Place) -> None:
    path_beside(place.video).rename(place.saves / "right.svi.safetensors")
    save(make(), path_beside(place.video))
    assert place.search() == (place.handover.id, "")
    (place.saves / "right.svi.safetensors").unlink()
    assert place.search() == (None, "clip.svi.safetensors belongs to another video")


def test_settings_in_a_json_beside_the_video(place: Place) -> None:
    place.video = place.video.rename(place.saves / "renamed.mp4")
    (place.saves / "renamed.json").write_text(json.dumps(place.metadata), encoding="utf-8")
    place.set_metadata(None)
    assert place.search() == (place.handover.id, "")


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 200_000, '{"svi": {"id": 3}}'])
def test_a_broken_json_beside_the_video_says_nothing(place: Place, content: str) -> None:
    (place.saves / "clip.json").write_text(content)
    place.set_metadata(None)
    assert place.search() == (place.handover.id, "")


def chain_of(place: Place, windows: int) -> list[HandOver]:
    """Hand-overs of 17, 29, 41 ... frames, the last one beside the video."""
    path_beside(place.video).unlink()
    made: list[HandOver] = []
    for k in range(windows):
        previous = made[-1].id if made else None
        ends = tuple(17 + 12 * j for j in range(k + 1))
        made.append(
            make(windows=k + 1, frames=ends[-1], window_ends=ends, settings={"previous": previous})
        )
        save(made[-1], place.saves / f"{k}.svi.safetensors")
    save(made[-1], path_beside(place.video))
    place.set_metadata({"svi": {"id": made[-1].id}})
    return made


@pytest.mark.parametrize("windows", [1, 2, 3, 4])
def test_a_video_kept_up_to_a_window_goes_on_from_there(place: Place, windows: int) -> None:
    made = chain_of(place, 4)
    found, _ = continuing.search(
        place.video, [], lambda path: (16, SIDE, SIDE, 17), 5 + 12 * windows
    )
    assert found is not None
    assert (found.id, found.windows) == (made[windows - 1].id, windows)


def test_the_next_window_has_the_anchor_that_it_had(place: Place) -> None:
    made = chain_of(place, 4)
    image = torch.ones(16, 1, SIDE // 8, SIDE // 8)
    third = dataclasses.replace(made[2], anchor=image, anchors_used=1)
    save(third, place.saves / "2.svi.safetensors")
    found = continuing.handover_at(made[-1], 29, [place.saves])
    assert found.id == made[1].id
    assert torch.equal(found.anchor_in_force, image)
    assert torch.equal(found.latents, made[1].latents)


@pytest.mark.parametrize("frames", [None, 1, 18, 40, 65, 1000])
def test_kept_up_to_anywhere_else_it_is_the_whole_videos(place: Place, frames) -> None:
    made = chain_of(place, 4)
    found, _ = continuing.search(place.video, [], lambda path: (16, SIDE, SIDE, 17), frames)
    assert found is not None
    assert found.id == made[-1].id


def test_a_broken_chain_or_one_that_goes_round_ends(place: Place) -> None:
    made = chain_of(place, 4)
    (place.saves / "1.svi.safetensors").write_bytes(b"")
    assert continuing.handover_at(made[-1], 17, [place.saves]) is made[-1]
    for one, other in ((0, 1), (1, 0)):
        turned = dataclasses.replace(made[one], frames=29, settings={"previous": made[other].id})
        save(turned, place.saves / f"{one}.svi.safetensors")
    assert continuing.handover_at(made[-1], 17, [place.saves]) is made[-1]


def test_none_at_all(place: Place) -> None:
    path_beside(place.video).unlink()
    assert place.search() == (None, "there is no hand-over file of clip.mp4")


def test_a_video_that_is_not_a_file(place: Place) -> None:
    found, reason = place.search(place.saves / "part of clip.mp4|start=3")
    assert found is None
    assert "not a file" in reason


def test_a_broken_file_is_a_reason(place: Place) -> None:
    beside = path_beside(place.video)
    beside.write_bytes(beside.read_bytes()[:-5])
    found, reason = place.search()
    assert found is None
    assert "cut off" in reason


def test_a_broken_file_beside_and_a_whole_copy_in_the_folder(place: Place) -> None:
    beside = path_beside(place.video)
    shutil.copy(beside, place.saves / "copy.svi.safetensors")
    beside.write_bytes(b"broken")
    assert place.search() == (place.handover.id, "")


def test_an_enlarged_video_is_refused(place: Place) -> None:
    place.info = (16, 64, 64, 17)
    found, reason = place.search()
    assert (found, reason) == (None, "clip.mp4 is 64x64, its hand-over file 32x32")


def test_a_video_of_another_rate_is_refused(place: Place) -> None:
    """WanGP would change the rate back: the frames may even be the same, but nothing proves it."""
    place.info = (24, SIDE, SIDE, 17)
    reason = "clip.mp4 has 24 frames a second, its hand-over file 16"
    assert place.search() == (None, reason)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"film_grain_intensity": 0.2}, "given film grain"),
        ({"spatial_upsampling": "lanczos2"}, "enlarged"),
        ({"temporal_upsampling": "rife2"}, "given more frames a second"),
    ],
)
def test_a_video_processed_afterwards_is_refused(place: Place, setting: dict, words: str) -> None:
    place.set_metadata({**place.metadata, **setting})  # type: ignore[dict-item]
    found, reason = place.search()
    assert found is None
    assert words in reason


def test_a_video_processed_as_it_was_made_is_found(place: Place) -> None:
    place.handover = make(shown=fingerprint(film()), shown_as=(SIDE, SIDE, 32.0))
    save(place.handover, path_beside(place.video))
    place.set_metadata({"svi": {"id": place.handover.id}, "temporal_upsampling": "rife2"})
    place.info = (32, SIDE, SIDE, 33)
    assert place.search() == (place.handover.id, "")
    place.info = (16, SIDE, SIDE, 33)
    assert place.search() == (None, "clip.mp4 has 16 frames a second, its hand-over file 32")


@pytest.mark.parametrize(
    "wanted", ["../../secret", "/etc/passwd", "*", "?" * 32, "A" * 32, "0" * 33, 7, None, ["x"]]
)
def test_only_an_id_is_ever_looked_for(place: Place, wanted: object, monkeypatch) -> None:
    """Metadata that names a path, in any field: no file is opened but those of known folders."""
    secret = place.elsewhere / "secret.svi.safetensors"
    save(make(), secret)
    path_beside(place.video).unlink()
    place.set_metadata(
        {
            "svi": {
                "id": wanted,
                "path": str(secret),
                "file": "../elsewhere/secret.svi.safetensors",
            },
            "video_source": str(secret),
        }
    )
    opened: list[str] = []
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: opened.append(str(self)) or real(self, *a, **k)
    )
    found, _ = place.search()
    assert found is None
    assert str(secret) not in opened


def test_searching_a_folder_of_many_reads_headers_only(place: Place) -> None:
    for number in range(300):
        save(make(), place.saves / f"{number}.svi.safetensors")
    copy = place.elsewhere / "upload.mp4"
    shutil.copy(place.video, copy)
    assert place.search(copy)[0] == place.handover.id


def test_the_console_says_why(place: Place, capsys) -> None:
    path_beside(place.video).unlink()
    assert continuing.find(place.video, [place.saves], lambda path: place.info) is None
    said = capsys.readouterr().out
    assert said == (
        "[SVI] there is no hand-over file of clip.mp4: the end of the video is encoded again\n"
    )


# -- saving -------------------------------------------------------------------------------------


def a_run(**changes) -> Run:
    """A run whose second window has just been generated."""
    return a_run_with(Chain(size=Size(17), seed=7), **changes)


LEFT = Left(torch.full((16, 1, 4, 4), 2.0), film()[:, -9:])


def a_run_with(chain: Chain, windows: int = 2, keep: int = 0, **carried) -> Run:
    carry = Carry(chain, anchors={0: torch.full((16, 1, 4, 4), 3.0)})
    run = Run(Settings(keep=keep), carry, sizes=[Size(17)] * 2)
    for number, prompt in ((1, "one"), (2, "two"))[:windows]:
        run.begin(number, 7, prompt)
    carry.left = LEFT
    for name, value in carried.items():
        setattr(carry, name, value)
    return run


def test_what_is_remembered(tmp_path: Path) -> None:
    run, configs = a_run(), {"type": "WanGP v12.60", "num_inference_steps": 4, "flow_shift": 5.0}
    continuing.remember(run, str(tmp_path / "clip.mp4"), configs)
    kept = load(tmp_path / "clip.svi.safetensors")
    assert configs["custom_settings"] == {"svi_id": kept.id}
    json.dumps(configs)
    assert (kept.frames, kept.windows, kept.base_seed, kept.seeds_used) == (29, 2, 7, (7, 49))
    assert (kept.prompts, kept.window_frames, kept.model_type) == (("one", "two"), 17, PRO)
    assert kept.settings["num_inference_steps"] == 4
    assert kept.wangp_version == "WanGP v12.60"
    assert torch.equal(kept.latents, torch.full((16, 1, 4, 4), 2.0))
    assert kept.anchor is None
    assert torch.equal(kept.anchor_in_force, torch.full((16, 1, 4, 4), 3.0))


def test_each_hand_over_names_the_one_before(tmp_path: Path) -> None:
    run = a_run(windows=1)
    continuing.remember(run, str(tmp_path / "1.mp4"), {})
    run.begin(2, 7, "two")
    continuing.remember(run, str(tmp_path / "2.mp4"), {})
    first, second = (load(tmp_path / f"{k}.svi.safetensors") for k in (1, 2))
    assert first.settings["previous"] is None
    assert second.settings["previous"] == first.id


def test_a_continued_chain_keeps_its_start_anchor_and_history(tmp_path: Path) -> None:
    before = make(
        start_anchor=torch.full((16, 1, 4, 4), 8.0),
        anchor=torch.full((16, 1, 4, 4), 9.0),
        seeds_used=(1, 43),
        prompts=("a", "b"),
        anchors_used=2,
        windows=2,
        frames=29,
    )
    run = a_run(handover=before, anchors={0: before.anchor_in_force})
    continuing.remember(run, str(tmp_path / "clip.mp4"), {})
    kept = load(tmp_path / "clip.svi.safetensors")
    assert kept.seeds_used == (1, 43, 7, 49)
    assert kept.prompts == ("a", "b", "one", "two")
    assert kept.anchors_used == 2
    assert torch.equal(kept.start_anchor, before.start_anchor)
    assert torch.equal(kept.anchor_in_force, before.anchor_in_force)


def test_anchors_given_to_a_continued_video_without_a_hand_over(tmp_path: Path) -> None:
    """Its start image was never encoded: the anchor in force takes its place."""
    chain = Chain(size=Size(17), anchors=1, source_frames=29, windows_before=2)
    run = a_run_with(chain, windows=1, anchors={1: torch.full((16, 1, 4, 4), 6.0)})
    continuing.remember(run, str(tmp_path / "clip.mp4"), {})
    kept = load(tmp_path / "clip.svi.safetensors")
    assert torch.equal(kept.start_anchor, torch.full((16, 1, 4, 4), 6.0))


def test_a_short_source_that_serves_as_start_image(tmp_path: Path) -> None:
    run = a_run(anchors={START: torch.full((16, 1, 4, 4), 6.0)}, windows=1)
    continuing.remember(run, str(tmp_path / "clip.mp4"), {})
    assert load(tmp_path / "clip.svi.safetensors").start_anchor[0, 0, 0, 0] == 6


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG])
def test_what_cannot_be_written_is_said_and_the_video_goes_on(
    tmp_path: Path, capsys, monkeypatch, error: int
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fail)
    configs: dict = {}
    continuing.remember(a_run(), str(tmp_path / "clip.mp4"), configs)
    said = capsys.readouterr().out
    assert said.startswith("[SVI] The hand-over file clip.svi.safetensors could not be written")
    assert os.strerror(error) in said
    assert configs == {}
    assert list(tmp_path.iterdir()) == []


def test_a_post_processed_window_is_known_by_what_was_saved(tmp_path: Path) -> None:
    run, configs = a_run(), {"spatial_upsampling": "lanczos2", "temporal_upsampling": "rife2"}
    large = film().repeat_interleave(2, 2).repeat_interleave(2, 3)
    run.saved = large[:, -9:], 32
    continuing.remember(run, str(tmp_path / "clip.mp4"), configs)
    found = load(path_beside(tmp_path / "clip.mp4"))
    assert (found.width, found.height, found.fps) == (SIDE, SIDE, 16)
    assert found.shown_as == (2 * SIDE, 2 * SIDE, 32) and found.shown is not None
    assert torch.equal(found.shown, fingerprint(large))
    assert torch.equal(found.fingerprint, fingerprint(LEFT.tail))


def test_frames_that_the_decoder_enlarges_are_fingerprinted_as_small_as_the_latents(
    tmp_path: Path,
) -> None:
    large = LEFT.tail.repeat_interleave(2, 2).repeat_interleave(2, 3)
    run = a_run(left=Left(LEFT.latents, large))
    run.saved = large, 16
    continuing.remember(run, str(tmp_path / "clip.mp4"), {"spatial_upsampling": "vae2"})
    found = load(path_beside(tmp_path / "clip.mp4"))
    assert (found.width, found.height) == (SIDE, SIDE) and found.shown_as[0] == 2 * SIDE
    assert torch.equal(found.fingerprint, fingerprint(LEFT.tail))


def test_a_post_processed_window_that_was_not_seen_has_no_hand_over(tmp_path, capsys) -> None:
    configs = {"film_grain_intensity": 0.1}
    continuing.remember(a_run(), str(tmp_path / "clip.mp4"), configs)
    assert "given film grain" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert "custom_settings" not in configs


def test_a_stopped_window_leaves_nothing(tmp_path: Path) -> None:
    for left in (None, Left(None, LEFT.tail)):
        continuing.remember(a_run(left=left), str(tmp_path / "clip.mp4"), {})
    assert list(tmp_path.iterdir()) == []


# -- checking -----------------------------------------------------------------------------------


def continued(handover: HandOver, motion: int = 1, frames: int = 17, **chain) -> Run:
    chain = Chain(size=Size(21, motion), source_frames=frames, **chain)
    source = Source(film()[:, :1], film(), frames)
    return Run(Settings(), Carry(chain, handover=handover, source=source))


@pytest.mark.parametrize("same", [True, False])
def test_a_processed_video_is_checked_by_the_frames_of_its_file(
    tmp_path: Path, capsys, same: bool
) -> None:
    video = tmp_path / "clip.mp4"
    large = film(33).repeat_interleave(2, 2).repeat_interleave(2, 3)
    encoder("libx264_8", 32)(large.permute(1, 2, 3, 0).numpy(), video)
    other = large if same else large.flip(3)
    run = continued(make(shown=fingerprint(other), shown_as=(2 * SIDE, 2 * SIDE, 32.0)))
    run.carry.source = Source(film()[:, :1], film().flip(2), 17)  # WanGP has resized them
    continuing.verify(run, video)
    assert (run.carry.handover is not None) == same
    assert ("as if never stopped" in capsys.readouterr().out) == same


def test_a_hand_over_that_fits_stays(capsys) -> None:
    run = continued(make())
    continuing.verify(run)
    assert run.carry.handover is not None
    assert "as if never stopped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda: continued(make(), motion=2), "1 motion latents, and 2 are asked"),
        (lambda: continued(make(), frames=16), "17 frames, and 16"),
        (lambda: continued(make(), fps=24.0), "16 frames a second"),
        (lambda: continued(make(fps=15.0)), "15 frames a second"),
        (lambda: continued(make(model_type="other")), "the model other"),
        (lambda: continued(make(fingerprint=fingerprint(255 - film()))), "last frames"),
    ],
)
def test_one_that_does_not_fit_is_dropped_with_the_reason(run, words: str, capsys) -> None:
    run = run()
    continuing.verify(run)
    assert run.carry.handover is None
    said = capsys.readouterr().out
    assert words in said
    assert words in run.unused
    assert "encoded again" in said


# -- deleting -----------------------------------------------------------------------------------


def test_a_deleted_videos_file_goes_and_others_stay(place: Place) -> None:
    other = place.saves / "other.mp4"
    other.write_bytes(b"video")
    save(make(), path_beside(other))
    gen = {"file_list": [str(other), str(place.video)]}

    def record(video_path, configs, gen, replace_last_file=False):
        """WanGP's: the new file takes the place of the last one, which is deleted."""
        old, gen["file_list"][-1] = gen["file_list"][-1], video_path
        Path(old).unlink()
        return "its result"

    new = str(place.saves / "new.mp4")
    save(make(), path_beside(new))
    assert continuing.recorded(record, new, {}, gen=gen, replace_last_file=True) == "its result"
    left = {p.name for p in place.saves.iterdir()}
    assert left == {"other.mp4", "other.svi.safetensors", "new.svi.safetensors"}


def keep_the_last_only(video_path, configs, gen) -> None:
    """WanGP's, where the user keeps no intermediate videos."""
    for old in gen["file_list"]:
        Path(old).unlink()
    gen["file_list"] = [video_path]


@pytest.mark.parametrize(
    ("keep", "left"), [(0, {3}), (1, {2, 3}), (2, {1, 2, 3}), (9, {*range(4)})]
)
def test_the_newest_of_deleted_videos_can_stay(tmp_path: Path, keep: int, left: set[int]) -> None:
    set_current(a_run(keep=keep))

    gen: dict = {"file_list": []}
    try:
        for k in range(4):
            video = tmp_path / f"{k}.mp4"
            video.write_bytes(b"video")
            save(make(), path_beside(video))
            continuing.recorded(keep_the_last_only, str(video), {}, gen)
    finally:
        set_current(None)
    assert {int(p.name[0]) for p in tmp_path.glob("*.svi.safetensors")} == left


def test_a_video_that_is_kept_keeps_its_file(place: Place) -> None:
    gen = {"file_list": [str(place.video)]}
    continuing.recorded(lambda path, configs, gen: gen["file_list"].append(path), "n", {}, gen)
    assert path_beside(place.video).exists()


def test_a_video_that_its_user_moved_leaves_its_file(place: Place) -> None:
    """It is found by its id, wherever the video went."""
    gen = {"file_list": [str(place.video)]}
    place.video.rename(place.saves / "my favourite.mp4")
    continuing.recorded(lambda path, configs, gen: gen["file_list"].append(path), "n", {}, gen)
    assert path_beside(place.video).exists()


def test_a_name_used_again_is_not_deleted_later(tmp_path: Path) -> None:
    """WanGP gives a freed name to a later window: clip, clip(2), clip ..."""
    run = a_run(keep=1)
    set_current(run)
    names = ["clip.mp4", "clip(2).mp4", "clip.mp4", "clip(2).mp4"]

    gen: dict = {"file_list": []}
    try:
        for name in names:
            (tmp_path / name).write_bytes(b"video")
            save(make(), path_beside(tmp_path / name))
            continuing.recorded(keep_the_last_only, str(tmp_path / name), {}, gen)
            assert path_beside(tmp_path / name).exists()
    finally:
        set_current(None)


def test_a_file_of_that_name_that_is_not_ours_stays(place: Place) -> None:
    beside = path_beside(place.video)
    beside.write_bytes(b"something of the user's")
    continuing.forget(place.video)
    assert beside.exists()


def test_read_id(place: Place) -> None:
    beside = path_beside(place.video)
    assert read_id(beside) == place.handover.id
    assert read_id(place.video) is None
    assert read_id(place.saves) is None
    assert read_id(place.saves / "none") is None
    newer = dataclasses.replace(place.handover)
    save(newer, beside)
    assert read_id(beside) == newer.id


def test_a_chain_remembers_how_far_its_windows_are_apart(tmp_path: Path) -> None:
    run = a_run()
    run.apart = [0.75]
    before = make(settings={"previous": None})  # made before it was noted
    run.carry.handover = before
    continuing.remember(run, str(tmp_path / "a.mp4"), {})
    first = load(path_beside(tmp_path / "a.mp4"))
    assert first.apart == {first.windows: 0.75}
    run.carry.handover, run.apart = first, [1.5]
    continuing.remember(run, str(tmp_path / "b.mp4"), {})
    second = load(path_beside(tmp_path / "b.mp4"))
    assert second.settings["apart"] == "- 0.75 1.5"
