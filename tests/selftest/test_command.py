"""What the command refuses, and its exit codes, without a WanGP: the passes are stand-ins."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from small_facts import right

import wan2gp_svi
from wan2gp_svi.cli import main
from wan2gp_svi.installer import proof
from wan2gp_svi.selftest import commands, running

HOST = Path(wan2gp_svi.__file__).parent / "demo" / "host"


@pytest.fixture
def root(tmp_path, capsys, monkeypatch):
    root = tmp_path / "WanGP"
    shutil.copytree(HOST, root)
    assert main(["install", "--wangp", str(root)]) == 0
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "_cuda", lambda python, device: False)
    return root


@pytest.fixture
def found(monkeypatch):
    """What the passes are to find."""
    facts = right()

    def run(python, wangp, out, options, step, cuda=False):
        assert (wangp / "wgp.py").is_file() and not (wangp / "wgp_config.json").exists()
        step("start")
        return facts.plain if "--without-svi" in options else facts.svi

    monkeypatch.setattr(commands.passes, "run", run)
    return facts


def test_it_passes_and_keeps_when(root, found, capsys):
    assert main(["selftest", "--wangp", str(root)]) == 0
    said = capsys.readouterr().out
    assert "[ 1/12] start WanGP ..." in said and "PASS: all 9 are right." in said
    assert proof.load(root).device == "CPU"
    assert not Path(commands.REPORT).exists()


def test_what_is_wrong_ends_in_1_and_leaves_a_report(root, found, capsys):
    found.svi.hooks["conditioning"] = 0
    assert main(["selftest", "--wangp", str(root)]) == 1
    said = capsys.readouterr().out
    assert "-> never called: conditioning" in said and "FAIL: 1 of 9" in said
    assert f"attach {commands.REPORT}" in said
    text = Path(commands.REPORT).read_text("utf-8")
    assert str(root.parent) not in text
    assert [f["verdict"] for f in json.loads(text)["findings"]].count("FAIL") == 1
    assert proof.load(root) is None


def test_a_pass_that_found_nothing_is_no_pass(root, found, capsys):
    found.svi.made.clear()
    found.svi.hooks.clear()
    assert main(["selftest", "--wangp", str(root), "--json", "x.json"]) == 1
    assert Path("x.json").is_file() and proof.load(root) is None


def test_it_refuses_while_wangp_runs(root, found, monkeypatch, capsys):
    monkeypatch.setattr(running, "is_running", lambda folder: folder == root.resolve())
    assert main(["selftest", "--wangp", str(root)]) == 2
    assert "WanGP is running. Close it" in capsys.readouterr().err


def test_it_wants_to_be_installed(tmp_path, capsys):
    shutil.copytree(HOST, tmp_path / "WanGP")
    assert main(["selftest", "--wangp", str(tmp_path / "WanGP")]) == 2
    assert "is not installed" in capsys.readouterr().err


def test_a_python_without_wangps_packages_is_named(tmp_path):
    with pytest.raises(commands.UserError, match=r"not whole.*gradio"):
        commands._cuda(Path(sys.executable), "auto")


def test_of_the_configuration_only_the_attention_mode_is_read(tmp_path):
    assert commands._attention(tmp_path) == "auto"
    for text, mode in (
        ('{"attention_mode": "sage2"}', "sage2"),
        ('{"attention_mode": "--x"}', "auto"),
        ("[]", "auto"),
    ):
        (tmp_path / "wgp_config.json").write_text(text)
        assert commands._attention(tmp_path) == mode
