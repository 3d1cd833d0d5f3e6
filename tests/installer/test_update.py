"""`update` on a clone of a repository made here: what git pull brings, and what stops it."""

import subprocess
from pathlib import Path

import pytest
from installing import HOOKED, run, tree

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import find


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
