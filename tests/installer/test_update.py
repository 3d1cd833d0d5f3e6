"""`update` on a clone of a repository made here: what git pull brings, and what stops it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from installing import HOOKED, run, tree

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import find
from wan2gp_svi.installer import update as updating


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def upstream(wangp: Path) -> Path:
    (wangp / ".gitignore").write_text(".*\n__pycache__/\n")
    git(wangp, "init", "-q", "-b", "main")
    git(wangp, "add", "-f", ".")
    git(wangp, "commit", "-qm", "one")
    return wangp


@pytest.fixture
def clone(upstream: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", str(upstream), "cloned")
    run("install", tmp_path / "cloned")
    return tmp_path / "cloned"


def push(upstream: Path, name: str, old: str, new: str) -> None:
    text = (upstream / name).read_text("utf-8")
    assert old in text
    (upstream / name).write_text(text.replace(old, new), "utf-8")
    git(upstream, "commit", "-aqm", "next")


def hooked(root: Path) -> list[str]:
    return [name for name in HOOKED if b"wan2gp-svi" in (root / name).read_bytes()]


def test_wangp_is_updated_and_the_hooks_are_in_again(upstream, clone, capsys):
    push(upstream, "wgp.py", '"0.1 (small host)"', '"0.2"')
    assert run("update", clone) == 0
    assert "updated to WanGP 0.2" in capsys.readouterr().out
    assert find.look(clone).commit == git(upstream, "rev-parse", "HEAD").strip()
    assert run("status", clone) == 0
    run("uninstall", clone)
    assert git(clone, "status", "--short") == ""


def test_nothing_new_is_said(clone, capsys):
    before = tree(clone)
    assert run("update", clone) == 0
    assert "WanGP is the newest already" in capsys.readouterr().out
    assert tree(clone) == before


def test_a_pull_that_fails_leaves_it_patched_as_before(upstream, clone):
    push(upstream, "wgp.py", '"0.1 (small host)"', '"0.2"')
    mine = (clone / "wgp.py").read_text("utf-8").replace("window_no += 1", "window_no += 1  # me")
    (clone / "wgp.py").write_text(mine, "utf-8")
    before = {name: (clone / name).read_bytes() for name in HOOKED}
    with pytest.raises(UserError) as refused:
        run("update", clone)
    assert "patched again as before. git says:" in str(refused.value)
    assert "overwritten" in str(refused.value)
    assert refused.value.exit_code == 1
    assert {name: (clone / name).read_bytes() for name in HOOKED} == before
    assert run("status", clone) == 0


def test_a_remote_that_is_away_changes_nothing(upstream, clone):
    upstream.rename(upstream.with_name("away"))
    before = tree(clone)
    with pytest.raises(UserError, match=r"is as before\. git says:"):
        run("update", clone)
    assert tree(clone) == before


def test_a_newer_wangp_without_the_places_is_not_pulled(upstream, clone):
    push(upstream, "wgp.py", "window_no += 1", "window_no = window_no + 1")
    before = tree(clone)
    with pytest.raises(UserError, match=r"newest WanGP has no place .* get a newer wan2gp-svi"):
        run("update", clone)
    assert tree(clone) == before
    assert run("status", clone) == 0


def test_what_cannot_be_updated_is_refused(wangp, upstream, clone, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="not installed there"):
        run("update", upstream)
    git(clone, "checkout", "-q", "--detach")
    with pytest.raises(UserError, match="follows no branch"):
        run("update", clone)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git was not found"):
        run("update", clone)
    (clone / ".git").rename(tmp_path / "git-away")
    with pytest.raises(UserError, match="is not a git checkout"):
        run("update", clone)
    assert hooked(clone) == list(HOOKED)


def test_gits_own_reason_is_passed_on(clone, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own way to test this
    with pytest.raises(UserError, match=r"cannot be updated\. git says: .*dubious ownership"):
        run("update", clone)
    monkeypatch.undo()
    git(clone, "branch", "-q", "--unset-upstream")
    with pytest.raises(UserError, match="follows no branch"):
        run("update", clone)


@pytest.mark.parametrize("before", [None, "torch\n"])
def test_other_packages_that_a_pull_asks_for_are_said(upstream, clone, before, capsys):
    if before is not None:
        (upstream / "requirements.txt").write_text(before)
        git(upstream, "add", "-f", "requirements.txt")
        git(upstream, "commit", "-qm", "list")
        git(clone, "pull", "-q")
    push(upstream, "wgp.py", '"0.1 (small host)"', '"0.2"')
    assert run("update", clone) == 0
    assert "pip install" not in capsys.readouterr().out
    (upstream / "requirements.txt").write_text("torch==9\n")
    git(upstream, "add", "-f", "requirements.txt")
    git(upstream, "commit", "-qm", "other packages")
    python = clone / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert run("update", clone, json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["pip"] == "venv/bin/python -m pip install -r requirements.txt"
    assert said["said"][-1].endswith(f"In WanGP's folder, run: {said['pip']}")
    assert said["said"][-2].endswith(said["selftest"])


def test_the_python_of_the_pip_line_is_the_running_one_if_wangp_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/my python/bin/python3")
    line = updating.pip_line(tmp_path)
    assert line == '"/my python/bin/python3" -m pip install -r requirements.txt'
    for environment in (tmp_path / "venv", tmp_path / ".venv"):
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").touch()
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/wan2gp-svi/../.venv/bin/python")
    line = updating.pip_line(tmp_path)
    assert line == ".venv/bin/python -m pip install -r requirements.txt"


@pytest.mark.parametrize("command", ["status", "install", "update", "uninstall"])
def test_an_update_that_was_killed_is_mended_by_the_next_call(clone, command, monkeypatch, capsys):
    def die(root):
        raise KeyboardInterrupt

    monkeypatch.setattr("wan2gp_svi.installer.update.fetch", lambda root: True)
    monkeypatch.setattr("wan2gp_svi.installer.update.pull", die)
    with pytest.raises(KeyboardInterrupt):
        run("update", clone)
    monkeypatch.undo()
    assert hooked(clone) == []
    assert run(command, clone) == 0
    assert hooked(clone) == ([] if command == "uninstall" else list(HOOKED))
    assert ("stopped half way" in capsys.readouterr().out) == (command != "uninstall")
