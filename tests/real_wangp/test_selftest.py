"""The self-test on the real WanGP: green where all is right, and each fault turns its own line red.

One process without the extension's bridge, and one in which every fault is seeded in turn.
"""

import json
import os
import sys
from pathlib import Path

import pytest
from bench import HOST, environment_for

from wan2gp_svi.cli import main
from wan2gp_svi.installer import proof, update
from wan2gp_svi.selftest import checks, copying, facts, passes, running
from wan2gp_svi.selftest.checks import FAIL, PASS, Passes

pytestmark = pytest.mark.slow

OWN_LINE = {
    "none": None,
    "wrong seed": "noise",
    "lost hand-over": "handover",
    "frame shifted": "frames",
    "late prompt": "timed",
    "LoRA ignored": "lora",
}


@pytest.fixture(scope="module")
def python():
    return Path(os.environ.get("WANGP_PYTHON", sys.executable))


@pytest.fixture(scope="module", autouse=True)
def spoofed(svi_tree):
    """What this WanGP asks for and the test's packages do not call themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for name in {"WANGP_MMGP_VERSION"} & environment_for(svi_tree).keys():
            patch.setenv(name, environment_for(svi_tree)[name])
        yield


@pytest.fixture(scope="module")
def seeded(svi_tree, python, tmp_path_factory):
    """What was found under each fault."""
    with pytest.MonkeyPatch.context() as patch:
        work = tmp_path_factory.mktemp("selftest")
        copying.copy(svi_tree, work / "WanGP")
        steps: list[str] = []
        plain = passes.run(python, work / "WanGP", work / "plain", ["--without-svi"], steps.append)
        patch.setattr(passes, "ENTRY", (str(HOST / "faulty_child.py"),))
        passes.run(python, work / "WanGP", work / "svi", [], steps.append)
        patch.undo()
        half = passes.run(python, work / "WanGP", work / "half", ["--bf16"], steps.append)
    found = {}
    for name in OWN_LINE:
        assert (work / "svi" / name / "facts.json").is_file(), steps[-5:]
        beside = half if name == "none" else None
        found[name] = checks.check(Passes(facts.read(work / "svi" / name), plain, half=beside))
    return found


@pytest.mark.parametrize("fault", OWN_LINE)
def test_each_fault_turns_exactly_its_own_line_red(seeded, fault):
    red = {f.key: f.why for f in seeded[fault] if f.verdict == FAIL}
    assert list(red) == ([OWN_LINE[fault]] if OWN_LINE[fault] else []), red
    undecided = {f.key: f.why for f in seeded[fault] if f.verdict not in (PASS, FAIL)}
    assert undecided == {}


def test_the_pass_in_16_bits_is_a_line_of_its_own(seeded):
    """On a graphics card it is asked for; what it does and what it allows holds on a processor."""
    told = {f.key: f for f in seeded["none"]}
    assert told["half_precision"].verdict == PASS, told["half_precision"].why
    off = float(told["half_precision"].why.split("%")[0])
    assert off > 0.01  # it was another precision indeed


def every_file(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def test_the_command_passes_and_leaves_only_its_record(
    svi_tree, python, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(update, "python_of", lambda root: python)
    (svi_tree / "settings").mkdir(exist_ok=True)
    (svi_tree / "settings" / "i2v_2_2_svi2pro_settings.json").write_text('{"seed": "mine"}')
    before = every_file(svi_tree)
    out = tmp_path / "findings.json"
    code = main(["selftest", "--wangp", str(svi_tree), "--device", "cpu", "--json", str(out)])
    said = capsys.readouterr().out
    assert code == 0, said
    assert said.count("PASS ") == len(checks.CHECKS) and "PASS: all" in said
    after = every_file(svi_tree)
    assert after.pop(proof.RECORD) and after == before
    assert proof.load(svi_tree).wangp in (svi_tree / "wgp.py").read_text(encoding="utf-8-sig")
    text = out.read_text(encoding="utf-8")
    assert str(svi_tree) not in text and json.loads(text)["findings"]
    assert main(["status", "--wangp", str(svi_tree)]) == 0
    assert "It last passed its self-test on " in capsys.readouterr().out


def test_it_refuses_while_wangp_runs(svi_tree, monkeypatch, capsys):
    monkeypatch.setattr(running, "is_running", lambda root: root == svi_tree.resolve())
    assert main(["selftest", "--wangp", str(svi_tree)]) == 2
    assert "WanGP is running" in capsys.readouterr().err
