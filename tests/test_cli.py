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
