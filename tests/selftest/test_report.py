"""The table in plain words, the verdict, and a report without anything of the user's."""

import json

import pytest
from small_facts import right

from wan2gp_svi.selftest import checks, report
from wan2gp_svi.selftest.checks import CANNOT_SAY, FAIL, PASS, Finding
from wan2gp_svi.selftest.facts import Made


def findings(*verdicts):
    return [Finding(f"k{i}", f"line {i}", verdict, "why") for i, verdict in enumerate(verdicts)]


def test_the_table_says_why_where_it_is_not_right():
    lines = report.table(findings(PASS, FAIL, CANNOT_SAY))
    assert lines == [
        "PASS        line 0",
        "FAIL        line 1",
        "            -> why",
        "CANNOT SAY  line 2",
        "            -> why",
    ]


@pytest.mark.parametrize(
    ("verdicts", "passed", "words"),
    [
        ((PASS, PASS), True, "PASS: all 2"),
        ((PASS, CANNOT_SAY), True, "1 cannot be decided"),
        ((PASS, FAIL), False, "FAIL: 1 of 2"),
        ((CANNOT_SAY, CANNOT_SAY), False, "nothing could be decided"),
    ],
)
def test_verdict(verdicts, passed, words):
    found, said = report.verdict(findings(*verdicts))
    assert found is passed and words in said


@pytest.mark.parametrize(
    "path",
    [
        "/home/ada/Wan2GP/wgp.py",
        r"C:\Users\Ada\Wan2GP\wgp.py",
        "~/Wan2GP/x",
        "D:/films/me.mp4",
        "/My Films & more/WanGP/models/x.py",
    ],
)
def test_no_path_is_in_the_report(path):
    passes = right()
    passes.svi.made["two"] = Made(error=f"OSError: cannot read {path}: no")
    hidden = ["/My Films & more/WanGP"]
    text = json.dumps(report.document(checks.check(passes), passes, "abc", hidden))
    assert "cannot read <path>" in text
    for part in ("ada", "Ada", "films", "My Films", "wgp.py", "x.py"):
        assert part not in text
    assert "12.60" in text and '"attach_wgp": 20' in text


def test_of_a_console_only_the_tracebacks_are_kept(tmp_path):
    console = tmp_path / "console.txt"
    console.write_text(
        "Loading /home/ada/secret.safetensors\n"
        "Traceback (most recent call last):\n"
        '  File "/home/ada/Wan2GP/wgp.py", line 12, in generate\n'
        "    secret = prompt\n"
        '  File "C:\\\\Wan2GP\\\\models\\\\x.py", line 3, in forward\n'
        "ValueError: no /home/ada/x\n"
    )
    assert report.traces(console, []) == [
        "wgp.py:12 generate",
        "x.py:3 forward",
        "ValueError: no <path>",
    ]
    assert report.traces(tmp_path / "none", []) == []
