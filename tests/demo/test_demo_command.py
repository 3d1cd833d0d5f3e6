"""`wan2gp-svi demo`: what it makes, that it makes the same twice, and what it refuses."""

import argparse
import errno
import importlib.util
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from wan2gp_svi.cli import main, parser
from wan2gp_svi.demo import commands, film, materials
from wan2gp_svi.errors import UserError
from wan2gp_svi.video.frames import read


def arguments(out, **changes):
    given = {
        "image": str(materials.PHOTO),
        "frames": None,
        "window": None,
        "prompt": None,
        "seed": 0,
    }
    return argparse.Namespace(**{**given, "out": str(out), **changes})


@pytest.fixture(scope="module")
def small():
    """Films at a quarter of their size in each direction, and with fewer steps."""
    patch = pytest.MonkeyPatch()
    patch.setattr(materials, "SIDE", 64)
    patch.setattr(materials, "STEPS", 3)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
    """The output folder of a photo's film, its name with a space and letters beyond ASCII."""
    out = tmp_path_factory.mktemp("demo") / "été 1"
    assert commands.demo(arguments(out)) == 0
    return out


def test_the_defaults_are_those_of_the_command_line():
    args = parser().parse_args(["demo"])
    assert (args.image, args.frames, args.window, args.prompt) == (None, None, None, None)
    assert (args.seed, args.out) == (0, "demo-output")


# -- what it makes --------------------------------------------------------------------------------


def shown(video):
    """All frames of a video, (F, H, W, 3), uint8."""
    return np.stack(list(read(video)[1]))


def spans(window):
    """The first and the last frame that a window of plan.json delivers, from 1."""
    return window["first_frame"], window["last_frame"]


def test_four_windows_in_two_runs(made):
    plan = json.loads((made / "plan.json").read_text(encoding="utf-8"))
    assert (plan["delivered"], plan["fps"], plan["seconds"]) == (117, 16, 117 / 16)
    windows = plan["windows"]
    assert [w["run"] for w in windows] == [1, 1, 1, 2]
    assert [spans(w) for w in windows] == [(1, 33), (34, 61), (62, 89), (90, 117)]
    assert [w["seed"] for w in windows] == [0, 42, 84, 126]
    assert [w["motion_latents"] for w in windows] == [0, 1, 1, 1]
    assert [w["dropped"] for w in windows] == [0, 5, 5, 5]
    assert [w["anchor"] for w in windows] == [0, 1, 2, 2]
    assert [w["anchor_name"] for w in windows] == [
        "the start photo",
        "anchor 1, evening",
        "anchor 2, night",
        "anchor 2, night, still in force",
    ]
    assert [len(w["words"]) for w in windows] == [2, 3, 2, 2]
    for w in windows:  # the segments cover the window's time
        words = w["words"]
        assert words[0]["start_seconds"] == 0
        assert words[-1]["end_seconds"] == w["end_seconds"] - w["start_seconds"]
        assert all(a["end_seconds"] == b["start_seconds"] for a, b in pairwise(words))


def test_the_host_did_what_the_plan_says(made):
    """The hand-over file comes from the run itself, not from the plan."""
    with safe_open(made / "video.svi.safetensors", "pt") as file:
        said = {key: json.loads(value) for key, value in file.metadata().items()}
        assert file.get_slice("latents").get_shape() == [16, 1, 8, 8]
    assert (said["frames"], said["windows"], said["base_seed"]) == (117, 4, 0)
    assert said["seeds_used"] == [0, 42, 84, 126]
    assert said["prompts"] == list(materials.PROMPTS)


def test_the_second_run_went_on_from_the_file_of_the_first(made):
    chain = load_file(made / "host" / "outputs" / "chain.svi.safetensors")
    video = load_file(made / "video.svi.safetensors")
    assert torch.equal(chain["start_anchor"], video["start_anchor"])
    assert torch.equal(chain["anchor"], video["anchor"])  # anchor 2, still in force
    assert not torch.equal(chain["latents"], video["latents"])


def test_the_video_plays_in_a_browser(made):
    frames = shown(made / "video.mp4")
    assert frames.shape == (117, 64, 64, 3)
    import imageio_ffmpeg

    tool = imageio_ffmpeg.get_ffmpeg_exe()
    said = subprocess.run([tool, "-i", made / "video.mp4"], capture_output=True, text=True).stderr
    assert "Video: h264" in said
    assert "yuv420p" in said
    assert "16 fps" in said


def test_the_video_starts_on_the_photo_and_goes_to_its_anchors(made):
    frames = shown(made / "video.mp4").astype(float)
    start, evening, night = (
        np.asarray(Image.open(made / "host" / name).convert("RGB"), float)
        for name in ("start.png", "anchor-1.png", "anchor-2.png")
    )

    def nearest(frame):
        return int(np.argmin([np.abs(frames[frame] - p).mean() for p in (start, evening, night)]))

    assert [nearest(frame) for frame in (0, 60, 88, 116)] == [0, 1, 2, 2]


def test_no_join_jumps(made):
    seams = [w["seam_ratio"] for w in json.loads((made / "plan.json").read_text())["windows"]]
    assert seams[0] is None
    assert all(0 < seam < 4 for seam in seams[1:])


def test_the_contact_sheet_shows_every_window(made):
    sheet = Image.open(made / "contact-sheet.png")
    assert sheet.format == "PNG"
    assert sheet.width == 1400
    pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    joins = {"#c2410c": 2, "#6d28d9": 1}  # within a run, across the hand-over file
    for colour, count in joins.items():
        value = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert (pixels == value).all(1).sum() > 500 * count


def test_nothing_else_is_left(made):
    names = {path.name for path in made.iterdir()}
    files = {"video.mp4", "video.svi.safetensors", "contact-sheet.png", "plan.json"}
    assert names == {*files, "host"}


def test_the_same_command_gives_the_same_bits(made):
    first = load_file(made / "video.svi.safetensors")
    assert commands.demo(arguments(made)) == 0  # in the same folder, over the first one
    second = load_file(made / "video.svi.safetensors")
    assert first.keys() == second.keys() == {"latents", "start_anchor", "anchor", "fingerprint"}
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_one_run_and_a_continued_one_give_the_same_bits(made):
    """Four windows at once leave the latents that three and one more have left."""
    host = made / "host"
    task = json.loads((host / "chain.json").read_text(encoding="utf-8"))
    task |= {"video_length": 117, "prompt": "\n".join(materials.PROMPTS), "output_filename": "one"}
    (host / "one.json").write_text(json.dumps(task), encoding="utf-8")
    subprocess.run([sys.executable, "wgp.py", "--process", "one.json"], cwd=host, check=True)
    continued = load_file(made / "video.svi.safetensors")
    at_once = load_file(host / "outputs" / "one.svi.safetensors")
    for name in ("latents", "start_anchor", "anchor"):
        assert torch.equal(continued[name], at_once[name]), name


def test_words_act_from_their_time_on(made):
    """The same window with and without a timed part: the frames differ where the part holds."""
    host = made / "host"
    task = json.loads((host / "chain.json").read_text(encoding="utf-8")) | {"video_length": 33}
    prompts = {"plain": "a quiet sea", "timed": "a quiet sea (at 1 second: storm and lightning)"}
    tasks = [task | {"prompt": p, "output_filename": name} for name, p in prompts.items()]
    (host / "words.json").write_text(json.dumps(tasks), encoding="utf-8")
    subprocess.run([sys.executable, "wgp.py", "--process", "words.json"], cwd=host, check=True)
    plain, timed = (shown(host / "outputs" / f"{name}.mp4").astype(float) for name in prompts)
    change = np.abs(plain - timed).mean((1, 2, 3))
    assert change[16:].mean() > 5 * change[:13].mean()  # 1 s is frame 16, its latent begins at 13
    assert change[16:].min() > 1


@pytest.mark.slow
def test_other_settings_make_another_video(small, made, tmp_path):
    picture = tmp_path / "own photo.png"
    Image.effect_mandelbrot((90, 70), (-2, -1, 1, 1), 50).convert("RGB").save(picture)
    args = arguments(
        tmp_path / "out",
        image=str(picture),
        frames=30,
        window=17,
        seed=7,
        prompt=["one", "two (at 0.5 s: three)"],
    )
    assert commands.demo(args) == 0
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert [spans(w) for w in plan["windows"]] == [(1, 17), (18, 29), (30, 41)]
    assert [w["seed"] for w in plan["windows"]] == [7, 49, 91]
    assert plan["prompts"] == ["one", *["two (at 0.5 s: three)"] * 2]
    assert not torch.equal(
        load_file(tmp_path / "out" / "video.svi.safetensors")["start_anchor"],
        load_file(made / "video.svi.safetensors")["start_anchor"],
    )


# -- what it refuses ------------------------------------------------------------------------------


def refused(args):
    """The sentence; nothing was made for it."""
    with pytest.raises(UserError) as error:
        commands.demo(args)
    text = str(error.value)
    assert text.endswith(".") or text.endswith(").")
    assert "Traceback" not in text
    assert error.value.exit_code == 2
    return text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": 34}, "A window of 34 frames is not possible"),
        ({"window": 5}, "A window of 5 frames adds nothing"),
        ({"window": -3}, "A window of -3 frames"),
        ({"window": 10001}, "takes too long"),
        ({"frames": 4}, "4 frames are too few"),
        ({"frames": -80}, "-80 frames are too few"),
        ({"frames": 10**7}, "take too long"),
        ({"seed": -1}, "-1 is no seed"),
        ({"seed": 2**40}, "is no seed"),
        ({"prompt": ["rain (at 9 seconds: sun)"]}, "9"),
        ({"prompt": ["rain (at -1 seconds: sun)"]}, "-1"),
        ({"prompt": ["rain", " "]}, "A prompt is empty"),
        ({"image": "no such file.jpg"}, "There is no file no such file.jpg"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, changes, said):
    out = tmp_path / "out"
    assert said in refused(arguments(out, **changes))
    assert not out.exists()


def test_what_is_no_picture(tmp_path):
    text, tiny, cut = (tmp_path / name for name in ("a.jpg", "b.png", "c.jpg"))
    text.write_text("not a picture")
    Image.new("RGB", (5, 5)).save(tiny)
    cut.write_bytes(materials.PHOTO.read_bytes()[:20000])
    out = tmp_path / "out"
    assert "not a picture" in refused(arguments(out, image=str(text)))
    assert "too small" in refused(arguments(out, image=str(tiny)))
    assert "not a picture" in refused(arguments(out, image=str(cut)))
    assert "is a folder" in refused(arguments(out, image=str(tmp_path)))
    assert not out.exists()


def test_where_nothing_can_be_put(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("mine")
    assert "is a file" in refused(arguments(file))
    assert "below a file" in refused(arguments(file / "below"))
    assert file.read_text() == "mine"

    def no_permission(self, data):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", no_permission)
    assert "Nothing can be written to" in refused(arguments(tmp_path / "out"))


def test_a_folder_of_somebody_else_stays(tmp_path):
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "mine.txt").write_text("mine")
    assert "not from the demo" in refused(arguments(tmp_path))
    assert [p.name for p in tmp_path.rglob("*.txt")] == ["mine.txt"]


def test_a_full_disk_is_said_in_one_sentence(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(film, "_install", full)
    with pytest.raises(UserError, match="The disk is full") as error:
        commands.demo(arguments(tmp_path))
    assert error.value.exit_code == 1


def test_missing_packages_are_named(tmp_path, monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tqdm" else real(name)
    )
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "tqdm" in said
    assert "install.sh --demo" in said


def test_a_failing_host_is_reported(tmp_path, monkeypatch, capsys):
    def broken(out):
        (out / "wgp.py").write_text("raise SystemExit(1)")
        return out

    monkeypatch.setattr(film, "_install", broken)
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert "exit code 1" in capsys.readouterr().err
    assert not (tmp_path / "video.mp4").exists()


# -- the picture's shape --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photo", "size"),
    [((480, 480), (256, 256)), ((1920, 1080), (336, 192)), ((100, 5000), (144, 448))],
)
def test_the_video_has_the_photos_shape(photo, size, monkeypatch):
    monkeypatch.setattr(materials, "SIDE", 256)
    found = materials.video_size(Image.new("RGB", photo))
    assert found == size
    assert all(side % 16 == 0 for side in found)


def test_the_bundled_photo_and_its_origin():
    assert materials.PHOTO.stat().st_size < 100_000
    assert materials.photo(str(materials.PHOTO)).size == (480, 480)
    origin = (materials.PHOTO.parent / "README.txt").read_text()
    assert "public domain" in origin
    assert "NASA" in origin


# -- the film of the small world ------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The output folder of the demo as it comes, but for fewer steps and windows."""
    patch = pytest.MonkeyPatch()
    patch.setattr(materials, "WORLD_STEPS", 4)
    patch.setattr(materials, "WORLD_MORE", 2)
    out = tmp_path_factory.mktemp("world")
    assert commands.demo(arguments(out, image=None)) == 0
    patch.undo()
    return out


def test_trained_weights_make_it_in_two_runs(world):
    plan = json.loads((world / "plan.json").read_text(encoding="utf-8"))
    assert [w["run"] for w in plan["windows"]] == [1, 1, 1, 2, 2]
    assert [w["anchor"] for w in plan["windows"]] == [0, 1, 2, 2, 2]
    assert [len(w["words"]) for w in plan["windows"]] == [1, 2, 1, 2, 1]
    assert shown(world / "video.mp4").shape == (25 + 4 * 20, 64, 64, 3)
    for noise in ("high", "low"):
        used = (world / "host" / "ckpts" / f"{noise}.safetensors").read_bytes()
        assert used == (materials.WEIGHTS / f"{noise}.safetensors").read_bytes()


def disc(frame, colour):
    """Where the disc of a colour is: its middle (x, y) and its pixels."""
    red, green, blue = np.moveaxis(frame.astype(float), -1, 0)
    is_it = {
        "purple": (red - green > 40) & (blue - green > 40),
        "yellow": (red - blue > 60) & (green - blue > 60),
    }[colour]
    y, x = np.nonzero(is_it)
    return (x.mean(), y.mean(), len(x)) if len(x) else (np.nan, np.nan, 0)


def test_the_words_act(world):
    """It moves right in window 1, is purple in window 2, yellow from window 3 on, goes up in 4."""
    frames = shown(world / "video.mp4")
    assert disc(frames[20], "purple")[0] > disc(frames[0], "purple")[0] + 6
    assert disc(frames[40], "purple")[2] > 60 and disc(frames[40], "yellow")[2] < 15
    assert disc(frames[60], "yellow")[2] > 60 and disc(frames[60], "purple")[2] < 15
    assert disc(frames[84], "yellow")[1] < disc(frames[72], "yellow")[1] - 4


def test_beside_it_stands_the_film_without_svi(world):
    host = world / "host"
    task = json.loads((host / "without-svi.json").read_text(encoding="utf-8"))
    assert task["model_type"] == "i2v_2_2" and "custom_settings" not in task
    plain, both = shown(host / "outputs" / "without-svi.mp4"), shown(world / "side-by-side.mp4")
    assert len(plain) == 25 + 4 * 24
    assert len(both) == 25 + 4 * 20
    side = film.LARGER
    right = both[50, -side:, -side:].astype(float)
    enlarged = Image.fromarray(plain[50]).resize((side, side), Image.Resampling.BICUBIC)
    assert np.abs(right - np.asarray(enlarged, float)).mean() < 4


def test_a_film_with_words_of_ones_own_stands_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(materials, "WORLD_STEPS", 1)
    monkeypatch.setattr(materials, "WORLD_MORE", 1)
    args = arguments(tmp_path, image=None, frames=25, prompt=["a purple disc rests"])
    assert commands.demo(args) == 0
    assert not (tmp_path / "side-by-side.mp4").exists()
    assert Image.open(tmp_path / "contact-sheet.png").width == 1400


def test_its_pictures_are_the_worlds():
    import world_pictures

    for name, drawn in zip(materials.PICTURES, world_pictures.drawn(), strict=True):
        bundled = Image.open(materials.ASSETS / f"world-{name}").convert("RGB")
        assert np.abs(np.asarray(bundled, int) - np.asarray(drawn, int)).max() <= 1
