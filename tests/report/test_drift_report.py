"""The drift report: planted faults are found in real files, clean videos hold; words and files."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import cv2
import drifting
import numpy as np
import pytest

from wan2gp_svi.cli import main
from wan2gp_svi.report.drift import THUMB, Gathered, gather
from wan2gp_svi.report.look import looked_at, one_line
from wan2gp_svi.report.sheet_of_drift import draw
from wan2gp_svi.report.told import told
from wan2gp_svi.report.verdict import GUIDE, HELP, start_end, values, verdict
from wan2gp_svi.report.windows import Windows
from wan2gp_svi.svi.faults import KINDS
from wan2gp_svi.video.frames import read

ROOT = Path(__file__).parents[2]
SIZE = (192, 112)
ENDS = drifting.windows(6, 21, 16)
WINDOWS = Windows(tuple(ENDS), 16, "as drawn")
NAMES = {"blur": "detail", "slows": "motion"}


def film(
    folder: Path, fault: str | None = None, move: str = "pan", source: str = "coffee", **more
) -> Path:
    scene = drifting.scene(move, source, SIZE, 11, ENDS)
    stream = drifting.frames(scene, ENDS, fault, grain=0.5, **more)
    return drifting.save(folder / f"{fault or 'clean'}.mp4", stream)


def gathered(path: Path, windows: Windows = WINDOWS) -> Gathered:
    shape, frames = read(path)
    return gather(frames, shape.fps, windows)


@pytest.mark.parametrize("fault", [f for f in drifting.FAULTS if f != "tint"])
def test_a_planted_fault_is_found_and_nothing_else(tmp_path: Path, fault: str) -> None:
    source = "drawn" if fault in ("lost", "saturation", "slows") else "coffee"
    found = verdict(gathered(film(tmp_path, fault, source=source)), WINDOWS)
    assert [f.kind for f in found.findings] == [NAMES.get(fault, fault)]
    assert not found.holds
    if fault in ("doubled", "lost", "flash", "jump"):
        assert found.findings[0].joins == (5,)
        assert found.findings[0].start_seconds == drifting.fault_at(ENDS) / 16


@pytest.mark.parametrize("move", ["enters", "cut", "new anchor"])
def test_what_changes_by_itself_is_no_fault(tmp_path: Path, move: str) -> None:
    seen = gathered(film(tmp_path, move=move, source="astronaut"))
    found = verdict(seen, WINDOWS)
    assert found.holds, found.line
    assert found.line == "The video holds."
    assert any("another picture" in note for note in found.notes) == (move == "cut")


def test_the_command_writes_words_json_and_a_picture(tmp_path: Path, capsys) -> None:
    path = film(tmp_path, "flash")
    path.with_suffix(".json").write_text(
        json.dumps(
            {
                "model_type": "i2v_2_2_svi2pro",
                "sliding_window_size": 21,
                "sliding_window_overlap": 5,
                "prompt": "a\nb",
            }
        ),
        encoding="utf-8",
    )
    target, picture = tmp_path / "all.json", tmp_path / "glance.png"
    assert main(["drift", str(path), "--json", str(target), "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "A flash of" in out and 'What helps: Symptom, cause, setting: "flashes' in out
    all_of_it = json.loads(target.read_text(encoding="utf-8"))
    assert all_of_it["holds"] is False
    assert [w["last_frame"] for w in all_of_it["windows"]] == ENDS
    assert all_of_it["windows"][1]["prompt"] == "b"
    assert [j["window"] for j in all_of_it["joins"]] == [2, 3, 4, 5, 6]
    assert set(all_of_it["start_end"]) == {"luma", "saturation", "sharpness", "histogram"}
    assert 0 < all_of_it["similarity"]["50"] < all_of_it["similarity"]["2"] <= 1
    assert 0.9 < all_of_it["flicker"] < 1
    drawn = cv2.imread(str(picture))
    assert drawn.shape[1] == 1600
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "all.json",
        "flash.json",
        "flash.mp4",
        "glance.png",
    ]


def test_one_line_for_a_console(tmp_path: Path) -> None:
    path = film(tmp_path, "doubled")
    path.with_suffix(".json").write_text(
        '{"model_type": "m", "sliding_window_size": 21, "sliding_window_overlap": 5}', "utf-8"
    )
    line = one_line(path)
    assert line == "A frame is shown twice at the join at 4.3 s."
    assert one_line(tmp_path / "none.mp4") == ""


# -- without a video ------------------------------------------------------------------------------


def still(count: int, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    picture = cv2.resize(rng.integers(40, 210, (6, 8, 3), dtype=np.uint8), size)
    return [np.roll(picture, k, 1) for k in range(count)]


@pytest.mark.parametrize("count", [1, 2, 12, 60])
def test_short_videos(count: int) -> None:
    seen = gather(still(count), 16, Windows((21,), 16, "x"))
    found = verdict(seen, WINDOWS)
    assert found.holds
    json.dumps(values(seen, WINDOWS, found), allow_nan=False)
    assert len(seen.thumbs) == len(seen.spans)
    draw(seen, found, "short")


def test_a_thumbnail_for_each_window() -> None:
    seen = gather(still(21 + 16 * 9 + 5, (400, 300)), 16, Windows((21,), 16, "x"))
    assert len(seen.spans) == len(seen.thumbs) == 11
    small = cv2.imdecode(np.frombuffer(seen.thumbs[4], np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (THUMB * 3 // 4, THUMB, 3)


def test_the_ends_are_compared() -> None:
    bright = [np.clip(f.astype(int) + (k > 40) * 30, 0, 255) for k, f in enumerate(still(60))]
    seen = gather([b.astype(np.uint8) for b in bright], 16, Windows((21,), 16, "x"))
    assert start_end(seen)["luma"] == pytest.approx(30, abs=2)
    assert start_end(gather(still(60), 16, Windows((21,), 16, "x")))["luma"] < 1


def test_whose_a_jump_is() -> None:
    frames = [np.roll(f, (k >= 37) * 9, 0) for k, f in enumerate(still(69))]
    for levels, whose in ((30.0, "decoder"), (0.2, "model")):
        windows = Windows((21,), 16, "x", apart={3: levels})
        (finding,) = verdict(gather(frames, 16, windows), windows).findings
        assert finding.text.endswith(f"(made by the {whose})")


def test_every_kind_has_a_line_in_the_guide() -> None:
    assert set(HELP) == set(KINDS)
    guide = (ROOT / GUIDE).read_text(encoding="utf-8")
    assert "## Symptom, cause, setting" in guide
    rows = set(re.findall(r"^\| ([^|]+?) \|", guide, re.MULTILINE))
    assert set(HELP.values()) <= rows


def test_the_words_of_a_clean_video() -> None:
    seen = gather(still(40), 16, WINDOWS)
    lines = told(verdict(seen, WINDOWS), "clip.mp4: 64x48", "as asked")
    assert lines[2] == "The video holds: nothing is out of line."


# -- what goes wrong ------------------------------------------------------------------------------


def refused(capsys, *arguments: str) -> str:
    assert main(["drift", *arguments]) == 2
    return capsys.readouterr().err


def test_bad_input_is_told_in_a_sentence(tmp_path: Path, capsys) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video", encoding="utf-8")
    assert "There is no video" in refused(capsys, str(tmp_path / "none.mp4"))
    assert "not a video" in refused(capsys, str(text))
    assert "There is no folder" in refused(capsys, str(text), "--json", str(tmp_path / "a" / "b"))
    assert "is a PNG" in refused(capsys, str(text), "--plot", str(tmp_path / "x.jpg"))


def test_missing_packages_are_named_with_the_extra(tmp_path: Path, capsys, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skimage" else find(name)
    )
    error = refused(capsys, str(tmp_path / "clip.mp4"))
    assert "scikit-image" in error and ".[report]" in error


def test_nothing_heavy_is_imported_for_the_command_line() -> None:
    import subprocess

    code = "import sys, wan2gp_svi.cli as c; c.parser(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert not {"'cv2'", "'skimage'", "'matplotlib'", "'numpy'"} & set(done.stdout.split(", "))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(50))
def test_no_false_alarm(tmp_path: Path, number: int) -> None:
    """50 clean videos that no threshold was made on; docs/drift.md has the figures."""
    moves, photos = drifting.MOVES, (*drifting.PHOTOS, "drawn")
    size = ((192, 112), (256, 144), (112, 192), (320, 320), (416, 240))[number % 5]
    ends = drifting.windows(7, 25, 20)
    scene = drifting.scene(
        moves[number % len(moves)], photos[number % len(photos)], size, 3000 + number, ends
    )
    path = drifting.save(tmp_path / "clip.mp4", drifting.frames(scene, ends, seed=number))
    windows = Windows(tuple(ends), 20, "as drawn")
    assert verdict(gathered(path, windows), windows).findings == ()


def test_a_page_gets_the_picture_and_the_words_of_the_command(tmp_path: Path, capsys) -> None:
    video, ticks = film(tmp_path), []
    picture, lines = looked_at(video, lambda *done: ticks.append(done))
    assert main(["drift", str(video)]) == 0
    assert "\n".join(lines) == capsys.readouterr().out.strip("\n")
    assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)
    assert picture.std() > 0
    done = [one for one, _ in ticks]
    assert done == sorted(done) and done
    assert all(one <= most for one, most in ticks)
