"""Two runs at once, and Windows, where others hold files and folders open for a while."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from installing import run, tree

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import journal
from wan2gp_svi.installer.journal import Disk

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("first", ["install", "uninstall"])
@pytest.mark.parametrize("second", ["install", "uninstall", "status", "update"])
def test_a_second_run_is_refused_while_the_first_is_at_work(wangp, first, second):
    before = tree(wangp)
    if first == "uninstall":
        run("install", wangp)
    refused = []

    class Interrupted(Disk):
        def replace(self, source, target):
            with pytest.raises(UserError, match=r"Another run of wan2gp-svi is at work") as error:
                run(second, wangp)
            refused.append(error.value.exit_code)
            super().replace(source, target)

    assert run(first, wangp, Interrupted()) == 0
    assert set(refused) == {1}
    assert run("status", wangp) == (0 if first == "install" else 3)
    run("uninstall", wangp)
    assert tree(wangp) == before


def test_many_processes_at_once_leave_it_whole(wangp):
    before = tree(wangp)
    command = [sys.executable, "-m", "wan2gp_svi", "install", "--wangp", str(wangp)]
    runs = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [(process.communicate()[1], process.returncode) for process in runs]
    assert {code for _, code in said} <= {0, 1} and (b"", 0) in said
    assert all(b"Another run" in error for error, code in said if code)
    assert run("status", wangp) == 0
    run("uninstall", wangp)
    assert tree(wangp) == before


def test_a_lock_that_a_killed_run_has_left_holds_nobody(wangp):
    before = tree(wangp)
    (wangp / journal._LOCK).touch()
    assert run("install", wangp) == 0
    run("uninstall", wangp)
    assert tree(wangp) == before


def test_where_no_lock_can_be_had_the_run_goes_on(wangp):
    before = tree(wangp)
    (wangp / journal._LOCK).mkdir()  # as in a folder that cannot be written
    assert run("status", wangp) == 3
    (wangp / journal._LOCK).rmdir()
    assert tree(wangp) == before


class Windows(Disk):
    """A disk like that of Windows, on which somebody has every file open for some tries."""

    windows = True

    def __init__(self, tries: int) -> None:
        self.tries, self.waits = tries, 0

    def wait(self, seconds):
        self.waits += 1

    def _until_free(self, step, path):
        left = [self.tries]

        def held():
            if left[0]:
                left[0] -= 1
                raise PermissionError(13, "in use", str(path))
            step()

        super()._until_free(held, path)


def test_a_file_that_a_scanner_holds_is_waited_for(wangp):
    before = tree(wangp)
    disk = Windows(3)
    assert run("install", wangp, disk) == 0
    assert disk.waits > 10
    assert run("uninstall", wangp, Windows(10)) == 0
    assert tree(wangp) == before


def test_a_file_that_stays_held_is_given_up(wangp):
    before = tree(wangp)
    disk = Windows(11)
    with pytest.raises(UserError, match="cannot be written"):
        run("install", wangp, disk)
    assert disk.waits * journal._PAUSE >= 2
    shutil.rmtree(wangp / journal.STATE, ignore_errors=True)
    assert tree(wangp) == before


def test_the_read_only_mark_goes_only_for_the_step_that_needs_it(tmp_path):
    path, new = tmp_path / "file", tmp_path / "new"
    path.write_bytes(b"old")
    new.write_bytes(b"new")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        Windows(11).replace(new, path)
    assert path.stat().st_mode & 0o777 == 0o444
    marks = []
    disk = Windows(0)
    disk._until_free(lambda: marks.append(path.stat().st_mode & 0o777), path)
    assert marks == [0o644]
    path.chmod(0o604)
    disk._until_free(lambda: marks.append(path.stat().st_mode & 0o777), path)
    assert marks[1:] == [0o604]
    disk.replace(new, path)
    assert path.read_bytes() == b"new"
    disk.unlink(path)
    assert not path.exists()


class InUse(Disk):
    """Folders in which a terminal stands: Windows removes none of them."""

    def rmdir(self, path):
        raise PermissionError(13, "in use", str(path))


def test_a_folder_in_use_stays_and_is_named(wangp, capsys):
    before = tree(wangp)
    run("install", wangp)
    cache = wangp / "wan2gp_svi/svi/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").touch()
    assert run("uninstall", wangp, InUse()) == 0
    said = capsys.readouterr().out
    assert f"{cache} is in use and stays" in said
    assert f"{wangp / 'wan2gp_svi' / 'lora'} is in use and stays, empty" in said
    left = tree(wangp)
    assert {name: left[name] for name in before} == before
    assert not [path for path in wangp.glob("wan2gp_svi/**/*") if path.is_file()]
    assert run("status", wangp) == 3
    assert run("install", wangp) == 0
    run("uninstall", wangp)
    assert not (wangp / "wan2gp_svi").exists()


@pytest.mark.parametrize("text", ["{}", "[]", '{"going": "forward", "changes": [{}]}', "3"])
def test_a_journal_that_lacks_something_is_said(wangp, text):
    (wangp / journal.STATE).mkdir()
    (wangp / journal.STATE / "journal.json").write_text(text)
    with pytest.raises(UserError, match=r"journal\.json is damaged"):
        run("install", wangp)
