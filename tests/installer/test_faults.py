"""Killed between any two steps on the disk, WanGP is untouched or whole at the next call."""

import contextlib
import errno
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from installing import HOOKED, run, tree

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import hooks, payload
from wan2gp_svi.installer.hooks import Hook
from wan2gp_svi.installer.journal import Disk

REPOSITORY = Path(__file__).parents[2]
TINY = {
    "wgp.py": """WanGP_version = "0.0"

def generate_media(current_video_length, window_no=0):
    window_no += 1
    configs = prepare_inputs_dict("metadata", {})
    video_path = "x.mp4"

if __name__ == "__main__":
    generate_media(81)
""",
    "models/wan/any2video.py": """class WanAny2V:
    def generate(self, model_def, **kwargs):
        extended_overlapped_latents = None
        if model_def["i2v_class"]:
            kwargs.update({"y": 1})
""",
    "models/wan/wan_handler.py": "class family_handler:\n    pass\n",
    "models/wan/modules/model.py": "class WanModel:\n    pass",
}


@pytest.fixture
def wangp(tmp_path):
    """As small as a WanGP can be, because every step of every command is tried."""
    root = tmp_path / "WanGP"
    for name, text in TINY.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())
    return root


class Stopping(Disk):
    """A disk on which the k-th step (counted from 0) is the last: it is done half, or not."""

    def __init__(self, last: int, stop: Callable[[], None]) -> None:
        self.last, self.stop, self.steps = last, stop, 0

    def _step(self) -> bool:
        self.steps += 1
        return self.steps > self.last

    def write(self, path, data, mode, sync):
        if self._step():
            path.write_bytes(data[: len(data) // 2])
            self.stop()
        super().write(path, data, mode, sync=False)

    def replace(self, source, target):
        if self._step():
            self.stop()
        super().replace(source, target)

    def unlink(self, path):
        if self._step():
            self.stop()
        super().unlink(path)

    def mkdir(self, path):
        if self._step():
            self.stop()
        super().mkdir(path)

    def rmdir(self, path):
        if self._step():
            self.stop()
        super().rmdir(path)


def killed(command: str, root: Path, last: int) -> bool:
    """Runs a command in a process of its own that dies at that step; whether it died."""
    child = os.fork()
    if child == 0:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                run(command, root, Stopping(last, lambda: os._exit(9)))
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.fixture
def few_files(monkeypatch):
    """Nine files in place of all: what the steps are is the same, and every one can be tried."""
    files = payload.files(REPOSITORY)
    names = ["wan2gp_svi/__init__.py", "wan2gp_svi/errors.py", "wan2gp_svi/payload/patches/series"]
    some = {name: files[name] for name in names}
    some |= {"plugins/wan2gp-svi/plugin.py": b"# plugin\n", "finetunes/x.json": b"{}\n"}
    monkeypatch.setattr(payload, "files", lambda source: some)
    return some


def _upgrade_from(root: Path, some: dict, monkeypatch) -> None:
    """Installs an older version: other files, and hooks of another number."""
    load = hooks.load

    def older_hooks(folder: Path) -> list[Hook]:
        return [
            Hook(h.file, h.place, tuple(line.replace("hooks=1", "hooks=0") for line in h.lines))
            for h in load(folder)
        ]

    older = {**some, "wan2gp_svi/errors.py": b"old\n", "wan2gp_svi/gone.py": b"gone\n"}
    monkeypatch.setattr(payload, "files", lambda source: older)
    monkeypatch.setattr(hooks, "load", older_hooks)
    run("install", root)
    monkeypatch.setattr(payload, "files", lambda source: some)
    monkeypatch.setattr(hooks, "load", load)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process of its own, which needs fork")
@pytest.mark.parametrize("case", ["install", "uninstall", "upgrade"])
def test_killed_at_every_step_it_is_untouched_or_whole(wangp, case, few_files, monkeypatch):
    (wangp / "wgp_config.json").write_text('{"enabled_plugins": []}')
    (wangp / "wgp.py").chmod(0o755)
    clean = tree(wangp)
    if case == "upgrade":
        _upgrade_from(wangp, few_files, monkeypatch)
    elif case == "uninstall":
        run("install", wangp)
    before = tree(wangp)
    command = "uninstall" if case == "uninstall" else "install"
    copy = wangp.with_name("before")
    shutil.copytree(wangp, copy)
    run(command, wangp)
    after = tree(wangp)
    assert before != after

    seen = set()
    for last in range(200):
        shutil.rmtree(wangp)
        shutil.copytree(copy, wangp)
        if not killed(command, wangp, last):
            break
        for name in HOOKED:  # WanGP may be started now: every file is whole by itself
            assert tree(wangp)[name] in (before[name], after[name])
        run("status", wangp)
        found = tree(wangp)
        assert found in (before, after), f"killed at step {last}"
        seen.add(found == after)
        assert run(command, wangp) == 0
        assert tree(wangp) == after
    assert seen == {True, False}
    assert last > 12
    run("uninstall", wangp)
    assert tree(wangp) == clean


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process of its own, which needs fork")
def test_killed_again_while_it_recovers(wangp, few_files):
    before = tree(wangp)
    assert killed("install", wangp, 12)
    for last in range(200):
        if not killed("status", wangp, last):
            break
    assert run("status", wangp) == 0
    run("uninstall", wangp)
    assert tree(wangp) == before


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EACCES, "cannot be written"),
        (errno.EROFS, "cannot be written"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_disk_that_fails_at_any_step_leaves_nothing_behind(wangp, number, words, few_files):
    """Not killed but refused: everything is taken back at once, and the reason is said."""
    before = tree(wangp)

    def refuse() -> None:
        raise OSError(number, os.strerror(number), "some file")

    class Refusing(Stopping):
        def _step(self) -> bool:  # this one step fails, those that take back work again
            self.steps += 1
            return self.steps == self.last + 1

    for last in range(200):
        disk = Refusing(last, refuse)
        try:
            run("install", wangp, disk)
        except UserError as error:
            assert words in str(error)
            assert error.exit_code == 1
            assert tree(wangp) == before, f"refused at step {last}"
        else:
            break
        run("uninstall", wangp)
    assert last > 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process of its own, which needs fork")
def test_a_file_changed_by_others_after_the_kill_is_theirs(wangp, few_files):
    before = tree(wangp)
    steps = 0
    while True:  # killed when some of WanGP's files are patched and some are not
        assert killed("install", wangp, steps)
        patched = [name for name in HOOKED if b"wan2gp-svi" in (wangp / name).read_bytes()]
        if 0 < len(patched) < len(HOOKED):
            break
        run("uninstall", wangp)
        steps += 1
    other = next(name for name in HOOKED if name not in patched)
    mine = (wangp / other).read_bytes() + b"\n# from a git pull\n"
    (wangp / other).write_bytes(mine)
    assert run("status", wangp) == 3
    found = tree(wangp)
    assert found[other][1] == mine
    assert {n: v for n, v in found.items() if n != other} == {
        n: v for n, v in before.items() if n != other
    }


def _git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process of its own, which needs fork")
def test_an_update_killed_at_every_step(wangp, few_files, tmp_path):
    _git(wangp, "init", "-q", "-b", "main")
    (wangp / ".gitignore").write_text(".*\n__pycache__/\n")
    _git(wangp, "add", "-f", ".")
    _git(wangp, "commit", "-qm", "one")
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "-q", str(wangp), str(clone))
    path = wangp / "wgp.py"
    path.write_text(path.read_text("utf-8") + "# newer\n", "utf-8")
    _git(wangp, "commit", "-aqm", "two")
    run("install", clone)
    old = tree(clone)
    shutil.copytree(clone, tmp_path / "kept", symlinks=True)
    assert run("update", clone) == 0
    new = tree(clone)
    for last in range(200):
        shutil.rmtree(clone)
        shutil.copytree(tmp_path / "kept", clone, symlinks=True)
        if not killed("update", clone, last):
            break
        assert run("status", clone) == 0
        found = tree(clone)
        manifest = ".wan2gp_svi/manifest.json"
        found.pop(manifest)
        whole = [{n: v for n, v in each.items() if n != manifest} for each in (old, new)]
        assert found in whole, f"killed at step {last}"
    assert last > 20
