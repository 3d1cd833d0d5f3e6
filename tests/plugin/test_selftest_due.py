"""The page says once that WanGP is another version than the one that was tested."""

import shutil
from pathlib import Path

import pytest

import wan2gp_svi
from wan2gp_svi.installer import find, proof
from wan2gp_svi.plugin import selftest_due

HOST = Path(wan2gp_svi.__file__).parent / "demo" / "host"


@pytest.fixture
def root(tmp_path):
    shutil.copytree(HOST, tmp_path / "WanGP")
    return tmp_path / "WanGP"


def passed_with(root, version):
    proof.save(root, proof.Proof("2026-11-24", version, "0.1.0", "CPU"))


def test_nothing_is_said_where_it_never_passed_or_nothing_has_changed(root):
    assert selftest_due.sentence(root) is None
    passed_with(root, find.look(root).version)
    assert selftest_due.sentence(root) is None


def test_another_version_is_told_once(root):
    passed_with(root, "1.0")
    said = selftest_due.sentence(root)
    assert f"version {find.look(root).version} now" in said and "last passed with 1.0" in said
    assert proof.COMMAND in said
    assert selftest_due.sentence(root) is None
    assert proof.load(root).wangp == "1.0"  # it has not passed since


def test_the_next_version_is_told_again(root):
    passed_with(root, "1.0")
    selftest_due.sentence(root)
    text = (root / "wgp.py").read_text("utf-8")
    (root / "wgp.py").write_text(text.replace(f'"{find.look(root).version}"', '"99.1"'), "utf-8")
    assert "version 99.1 now" in selftest_due.sentence(root)
