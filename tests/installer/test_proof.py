"""When the self-test last passed: kept whole, told by status, gone after uninstall."""

import json
import shutil

import pytest
from installing import HOST, run

from wan2gp_svi.installer import find, proof
from wan2gp_svi.installer.proof import Proof

PASSED = Proof("2026-11-24", "12.60", "0.1.0", "CPU")


@pytest.fixture
def root(tmp_path, capsys):
    shutil.copytree(HOST, tmp_path / "WanGP")
    assert run("install", tmp_path / "WanGP") == 0
    capsys.readouterr()
    return tmp_path / "WanGP"


def test_it_is_read_as_it_was_written(root):
    assert proof.load(root) is None
    proof.save(root, PASSED)
    assert proof.load(root) == PASSED


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "day": 3}', '{"format": 1, "other": ""}'],
)
def test_a_record_that_cannot_be_read_is_none(root, text):
    (root / proof.RECORD).write_text(text)
    assert proof.load(root) is None


def test_status_tells_of_it(root, capsys):
    assert run("status", root) == 0
    assert "has not passed its self-test here yet" in capsys.readouterr().out
    proof.save(root, Proof("2026-11-24", str(find.look(root).version), "0.1.0", "CPU", 1))
    assert run("status", root) == 0
    said = capsys.readouterr().out
    assert "last passed its self-test on 2026-11-24" in said
    assert "1 of its lines could not be decided" in said and "another version" not in said
    proof.save(root, PASSED)
    assert run("status", root) == 0
    assert "WanGP is another version now" in capsys.readouterr().out
    assert run("status", root, json=True) == 0
    assert json.loads(capsys.readouterr().out)["selftest"]["wangp"] == "12.60"


def test_uninstall_takes_it_away(root):
    proof.save(root, PASSED)
    assert run("uninstall", root) == 0
    assert not (root / proof.RECORD).parent.exists()
