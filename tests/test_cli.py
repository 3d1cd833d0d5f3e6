"""The fixed command line: exit codes, sentences, and a plan that says what will happen."""

import io
import json
import os
import subprocess
import sys

import pytest

from wan2gp_svi.cli import main


def run(capsys, *arguments):
    code = main(arguments)
    out = capsys.readouterr()
    return code, out.out, out.err


def test_plan_as_json(capsys):
    code, out, _ = run(capsys, "plan", "--frames", "200", "--seed", "7", "--json")
    assert code == 0
    plan = json.loads(out)
    assert (plan["asked"], plan["delivered"]) == (200, 197)
    windows = plan["windows"]
    assert [w["delivers"] for w in windows] == [81, 76, 40]
    assert [w["seed"] for w in windows] == [7, 49, 91]
    assert [(w["first_frame"], w["last_frame"]) for w in windows] == [
        (1, 81),
        (82, 157),
        (158, 197),
    ]
    assert windows[1]["start_seconds"] == 81 / 16


def test_plan_shows_which_words_hold_when(capsys, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\ufeffa cat (at 2 seconds: it jumps)\n# a remark\n\na dog\n", "utf-8")
    code, out, _ = run(capsys, "plan", "--frames", "157", "--prompts", str(prompts))
    assert code == 0
    assert "157 frames asked: 157 in 2 windows" in out
    assert "1-29      0.00-1.81 s  a cat\n" in out  # frame 29 begins at 1.8125 s: the latent of 2 s
    assert "30-81      1.81-5.06 s  a cat it jumps\n" in out
    assert "a dog" in out
    assert "a remark" not in out


PAGES = {
    "paragraphs": ('DEFAULT_MULTI_PROMPTS_MODE = "PG"\n', None, ["a cat sits", "a dog"]),
    "lines, chosen for all": (
        'DEFAULT_MULTI_PROMPTS_MODE = "PG"\n',
        "G",
        ["a cat", "sits", "a dog"],
    ),
    "paragraphs, chosen": ('DEFAULT_MULTI_PROMPTS_MODE = "G"\n', "PW", ["a cat sits", "a dog"]),
    "an old one": ("import re\n", None, ["a cat", "sits", "a dog"]),
}


@pytest.mark.parametrize("kind", PAGES)
def test_prompts_are_parted_as_on_the_page_of_that_wangp(capsys, tmp_path, monkeypatch, kind):
    parser, chosen, expected = PAGES[kind]
    root = tmp_path / "WanGP"
    for name in ("wgp.py", "models/wan/any2video.py", "shared/utils/prompt_parser.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(parser if name.startswith("shared") else "")
    if chosen:
        (root / "wgp_config.json").write_text(json.dumps({"multi_prompts_gen_type": chosen}))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat\nsits\n \n# a remark\na dog\n", "utf-8")
    given = ["plan", "--frames", "233", "--prompts", str(prompts), "--json"]

    def texts(*more):
        code, out, _ = run(capsys, *given, *more)
        assert code == 0
        return [w["words"][0]["text"].replace("\n", " ") for w in json.loads(out)["windows"]]

    expected = (expected + expected[-1:])[:3]
    assert texts("--wangp", str(root)) == expected
    monkeypatch.setenv("WANGP_DIR", str(root))
    assert texts() == expected
    monkeypatch.delenv("WANGP_DIR")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert texts() == ["a cat sits", "a dog", "a dog"]  # where none is known, as today's


def test_a_wangp_that_is_named_and_is_none_is_refused(capsys, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat")
    given = ["plan", "--frames", "81", "--prompts", str(prompts), "--wangp", str(tmp_path)]
    code, _, err = run(capsys, *given)
    assert code == 2 and "no WanGP folder" in err


@pytest.mark.parametrize("text", ['! {x} = "cat"\na {x}', "a {x}"])
def test_a_template_of_wangps_is_refused(capsys, tmp_path, text):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(text)
    code, _, err = run(capsys, "plan", "--frames", "81", "--prompts", str(prompts))
    assert code == 2 and "templates" in err and err.count("\n") == 1


def test_plan_takes_anchors_seeds_and_the_exact_length(capsys):
    def windows(*more):
        code, out, _ = run(capsys, "plan", "--frames", "240", "--json", *more)
        assert code == 0
        plan = json.loads(out)
        return plan["delivered"], [(w["anchor"], w["seed"]) for w in plan["windows"]]

    assert windows() == (233, [(0, 0), (0, 42), (0, 84)])
    assert windows("--exact")[0] == 237
    assert windows("--anchors", "2")[1] == [(0, 0), (2, 42), (2, 84)]
    assert windows("--anchors", "2", "--schedule", "1, 1,0")[1] == [(0, 0), (1, 42), (0, 84)]
    assert windows("--seeds", "same", "--seed", "7")[1] == [(0, 7)] * 3
    assert windows("--seeds", "5; 9")[1] == [(0, 5), (0, 9), (0, 51)]


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (1, "windows 1 to 3 share prompt 1"),
        (2, "windows 2 to 3 share prompt 2"),
        (3, None),
        (4, "4 prompts for 3 windows: the last one is not used"),
        (5, "5 prompts for 3 windows: the last 2 are not used"),
    ],
)
def test_too_few_and_too_many_prompts_are_said(capsys, tmp_path, count, note):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n\n".join(f"prompt {k}" for k in range(count)))
    _, out, _ = run(capsys, "plan", "--frames", "233", "--prompts", str(prompts))
    assert ("Note: " in out) == (note is not None)
    assert note is None or f"Note: {note}.\n" in out


def test_slash_commands_may_move_windows_and_that_is_said(capsys, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("[/duration=3s] a cat")
    _, out, _ = run(capsys, "plan", "--frames", "81", "--prompts", str(prompts))
    assert "slash commands" in out


def test_ten_hours_are_a_readable_table_and_json_has_them_all(capsys, tmp_path):
    few, many = tmp_path / "few.txt", tmp_path / "many.txt"
    few.write_text("a cat (at 2 s: it jumps)\n\n" + "a dog " * 40)
    many.write_text("\n\n".join(f"prompt {k + 1}" for k in range(7579)))
    hours = ("plan", "--frames", "576000")
    _, out, _ = run(capsys, *hours, "--prompts", str(few))
    lines = out.splitlines()
    assert lines[0] == "576000 frames asked: 575997 in 7579 windows, 10 h 0 min 0 s"
    assert lines[5].split()[:4] == ["2-7578", "81", "82-575933", "0:05.06-9:59:55.81"]
    assert lines[5].split()[4:] == ["42", "+42", "each", "start", "image"]
    assert lines[6].split()[0] == "each" and lines[6].endswith("...")
    assert len(lines) < 12 and max(map(len, lines)) < 130
    _, out, _ = run(capsys, *hours, "--prompts", str(many))
    assert "... windows 17 to 7571: --json\n" in out
    assert "prompt 16\n" in out and "prompt 7572\n" in out and "prompt 17\n" not in out
    assert len(out.splitlines()) < 60
    _, out, _ = run(capsys, *hours, "--json")
    assert len(json.loads(out)["windows"]) == 7579


def test_up_to_24_windows_are_all_shown(capsys):
    _, out, _ = run(capsys, "plan", "--frames", str(81 + 76 * 23))
    assert len(out.splitlines()) == 26


# -- what is typed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["--help"], "usage: wan2gp-svi [-h]"),
        (["help"], "usage: wan2gp-svi [-h]"),
        (["/?"], "usage: wan2gp-svi [-h]"),
        (["help", "plan"], "usage: wan2gp-svi plan"),
        (["plan", "--help"], "usage: wan2gp-svi plan"),
        (["help", "lora"], "usage: wan2gp-svi lora"),
    ],
)
def test_help_is_help_however_it_is_asked_for(capsys, typed, shown):
    with pytest.raises(SystemExit) as stop:
        main(typed)
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(shown)


def test_a_word_that_is_no_command_is_a_sentence(capsys):
    code, out, err = run(capsys, "stattus")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "Is 'status' meant?" in err and "lora, profiles" in err


def test_a_folder_alone_or_behind_a_command_is_wangps(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("WANGP_DIR", str(tmp_path))
    (tmp_path / "my folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for typed in (["my folder"], [str(tmp_path / "my folder")], ["install", "my folder"]):
        code, _, err = run(capsys, *typed)
        assert code == 2 and "--wangp names" in err and "my folder, which is no WanGP folder" in err
    code, _, err = run(capsys, "status", "--json", "my folder")
    assert code == 2


# -- the rest ------------------------------------------------------------------------------------


def test_a_pipe_gets_every_letter_whatever_the_code_page(tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("猫が跳ぶ", "utf-8")
    command = [sys.executable, "-m", "wan2gp_svi", "plan", "--frames", "81", "--prompts"]
    windows = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    for more in ([], ["--json"]):
        done = subprocess.run([*command, str(prompts), *more], env=windows, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert "猫が跳ぶ" in done.stdout.decode("utf-8")
    done = subprocess.run([*command, "猫"], env=windows, capture_output=True)
    assert done.returncode == 2 and "猫 cannot be read" in done.stderr.decode("utf-8")


def test_a_terminal_gets_what_it_can_show(monkeypatch, capsys, tmp_path):
    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Terminal(shown, encoding="cp1252"))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("é 猫", "utf-8")
    assert main(["plan", "--frames", "81", "--prompts", str(prompts)]) == 0
    sys.stdout.flush()
    assert b"\xe9 \\u732b" in shown.getvalue()


def test_overlap_is_motion_latents(capsys):
    _, out, _ = run(capsys, "plan", "--frames", "300", "--overlap", "8", "--json")
    assert [w["motion_latents"] for w in json.loads(out)["windows"]] == [0, 2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--frames", "3"], "too few"),
        (["plan", "--frames", "81", "--window", "80"], "4k+1"),
        (["plan", "--frames", "81", "--overlap", "5"], "multiple of 4"),
        (["plan", "--frames", "81", "--fps", "0"], "frames a second"),
        (["plan", "--frames", "81", "--seeds", "x"], "--seeds can be 'new', 'same'"),
        (["plan", "--frames", "81", "--seeds", "99999999999"], "4294967295"),
        (["plan", "--frames", "81", "--schedule", "a"], "--schedule can be whole numbers"),
        (["plan", "--frames", "81", "--schedule", "2"], "anchor 2, but there are 0"),
        (["plan", "--frames", "81", "--anchors", "-1"], "-1 anchor images"),
        (["plan", "--frames", "81", "--prompts", "no such file"], "cannot be read"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(capsys, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_time_past_the_window_is_told_with_its_place(capsys, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat (at 9 seconds: it jumps)\n")
    code, _, err = run(capsys, "plan", "--frames", "81", "--prompts", str(prompts))
    assert code == 2
    assert "9 s" in err
    assert "5.06" in err  # the window's length


def test_prompts_that_are_no_text(capsys, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_bytes(b"\xff\xfe\x00\x01\x80")
    assert run(capsys, "plan", "--frames", "81", "--prompts", str(prompts))[0] == 2
    prompts.write_text("# only remarks\n")
    assert run(capsys, "plan", "--frames", "81", "--prompts", str(prompts))[0] == 2


def test_wrong_usage_exits_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["plan"])
    assert stop.value.code == 2


def test_debug_shows_the_traceback():
    from wan2gp_svi.errors import UserError

    with pytest.raises(UserError):
        main(["plan", "--frames", "3", "--debug"])


@pytest.mark.parametrize(
    ("mode", "last_frames", "anchor"),
    [
        ("pro", [81, 157, 233], 0),
        ("shot", [81, 161, 241], 0),
        ("film", [81, 157, 233], None),
        ("tom", [81, 161, 241], None),
        ("unified", [81, 157, 233], 0),
        ("2.0", [81, 161, 241], 0),
    ],
)
def test_the_plan_of_each_mode(capsys, mode, last_frames, anchor):
    code, out, _ = run(capsys, "plan", "--frames", "241", "--mode", mode, "--json")
    windows = json.loads(out)["windows"]
    assert code == 0
    assert [window["last_frame"] for window in windows] == last_frames
    assert {window["anchor"] for window in windows} == {anchor}


def test_talk_counts_25_frames_a_second_and_ends_with_its_sound(capsys):
    _, out, _ = run(capsys, "plan", "--frames", "189", "--mode", "talk", "--json")
    windows = json.loads(out)["windows"]
    assert [w["last_frame"] for w in windows] == [81, 137, 189]
    assert windows[-1]["end_seconds"] == pytest.approx(189 / 25)
    _, out, _ = run(capsys, "plan", "--frames", "189", "--mode", "talk", "--fps", "16", "--json")
    assert json.loads(out)["windows"][-1]["end_seconds"] == pytest.approx(189 / 16, abs=1e-3)


def test_which_prompt_serves_a_window_is_the_modes(capsys, tmp_path):
    (tmp_path / "prompts.txt").write_text("one\n\ntwo\n\nthree\n")
    given = ["plan", "--frames", "240", "--prompts", str(tmp_path / "prompts.txt")]

    def told(mode):
        _, out, _ = run(capsys, *given, "--mode", mode, "--json")
        found = json.loads(out)
        return [w["words"][0]["text"] for w in found["windows"]], found["notes"]

    assert told("film") == (["one", "two", "three"], [])
    assert told("unified") == (["one", "one", "two"], [_unused("one is")])
    assert told("shot") == (["one", "one", "one"], [_unused("2 are")])


def _unused(those):
    return f"3 prompts for 3 windows: the last {those} not used"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--mode", "films"], "--mode can be pro, 2.0, shot"),
        (["--mode", "film", "--anchors", "2"], "--anchors is for SVI 2 Pro"),
        (["--mode", "shot", "--overlap", "8"], "--overlap is for SVI 2 Pro"),
    ],
)
def test_a_plan_that_a_mode_does_not_have(capsys, more, words):
    code, _, err = run(capsys, "plan", "--frames", "240", *more)
    assert code == 2
    assert words in err
