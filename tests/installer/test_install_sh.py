"""install.sh with a faked Python and pip on PATH: what it runs, and what it says when it cannot."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None or os.name == "nt", reason="needs bash")


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    """The files that install.sh needs, in a folder whose name is as odd as they get."""
    root = tmp_path / "Wän 2 GP & co!" / "wan2gp-svi"
    root.mkdir(parents=True)
    for name in ("install.sh", "tools/python.sh", "constraints/demo.txt", "constraints/test.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    for folder in ("wan2gp_svi", "patches"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=ignored)
    return root


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the basic tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname", "cat", "cmp", "head", "tail", "grep", "env", "mkdir", "chmod"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def fake(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{BASH}\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def sh(extension: Path, tools: Path, *arguments: str, cwd: Path | None = None, **environment: str):
    return subprocess.run(
        [BASH, str(extension / "install.sh"), *arguments],
        cwd=cwd or extension.parent, env={"PATH": str(tools), **environment},
        capture_output=True, text=True,
    )  # fmt: skip


# A Python whose `venv` makes a folder with the same fake inside, and whose pip does PIP_DOES.
PYTHON = """
case "$*" in
    *"version_info < (3, 10)"*) exit "${TOO_OLD:-0}" ;;
    *--version*) echo Python 3.8.1 ;;
    "-m venv"*) [ -z "${VENV_SAYS:-}" ] || { echo "$VENV_SAYS"; exit 1; }
        for folder; do :; done; mkdir -p "$folder/bin"
        cat "$0" >"$folder/bin/python"; chmod +x "$folder/bin/python" ;;
    "-m pip install"*) echo pip >>"$CALLS"
        [ -z "${PIP_SAYS:-}" ] || { echo "$PIP_SAYS"; exit 1; } ;;
    *) printf '%s\\n' "$@" >>"$CALLS" ;;
esac
"""


def test_the_demo_makes_its_environment_once_and_hands_its_arguments_on(extension, tools, tmp_path):
    fake(tools / "python3", PYTHON)
    calls = tmp_path / "calls"
    for _ in range(2):
        done = sh(extension, tools, "--demo", "--image", "my photo.jpg", CALLS=str(calls))
        assert done.returncode == 0, done.stderr
    lines = calls.read_text().splitlines()
    assert lines.count("pip") == 1
    assert lines.count("demo") == 2 and lines[-2:] == ["--image", "my photo.jpg"]
    (extension / "constraints/demo.txt").write_text("torch==9\n")  # other packages: made anew
    sh(extension, tools, "--demo", CALLS=str(calls))
    assert calls.read_text().splitlines().count("pip") == 2


def test_the_demo_says_first_what_it_needs(extension, tools, tmp_path):
    fake(tools / "python3", PYTHON)
    fake(tools / "uname", "echo ${UNAME:-Darwin}")
    calls = tmp_path / "calls"
    done = sh(extension, tools, "--demo", CALLS=str(calls), PIP_SAYS="No space left on device")
    said = done.stdout.splitlines()
    assert said[0].startswith("Preparing ") and ".venv-demo" in said[0]
    assert said[1].startswith("The demo needs 1.3 GB of disk there")
    assert len(said) == 2
    done = sh(extension, tools, "--demo", CALLS=str(calls), UNAME="Linux")
    assert "PIP_EXTRA_INDEX_URL" in done.stdout
    done = sh(extension, tools, "--demo", CALLS=str(calls), UNAME="Linux")
    assert done.stdout == ""  # all is there


def test_the_demos_help_installs_nothing(extension, tools, tmp_path):
    fake(tools / "python3", PYTHON)
    calls = tmp_path / "calls"
    for words in (["--demo", "--help"], ["demo", "--out", "x", "-h"]):
        assert sh(extension, tools, *words, CALLS=str(calls)).returncode == 0
    assert "pip" not in calls.read_text().splitlines()
    assert calls.read_text().splitlines()[-2:] == ["demo", "--help"]


def test_a_python_that_is_too_old_is_named(extension, tools):
    fake(tools / "python3", PYTHON)
    done = sh(extension, tools, TOO_OLD="1")
    assert done.returncode == 1
    assert "Python 3.10 or newer is needed, and Python 3.8.1 was found." in done.stderr


@pytest.mark.parametrize("broken", ["exit 127", "echo 'pyenv: not installed' >&2; exit 127"])
def test_a_python_that_cannot_run_is_passed_over(extension, tools, broken):
    (extension.parent / "wgp.py").touch()
    fake(extension.parent / "venv" / "bin" / "python", broken)
    done = sh(extension, tools)
    assert done.returncode == 1
    assert "Python 3.10 or newer is needed, and no Python was found." in done.stderr
    fake(tools / "python3", 'case "$*" in *version_info*) exit 0 ;; esac; echo good')
    done = sh(extension, tools)
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr


def test_no_python_at_all_is_said(extension, tools):
    done = sh(extension, tools, "--demo")
    assert done.returncode == 1
    assert "no Python was found" in done.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PIP_SAYS": "OSError: [Errno 28] No space left on device"}, "The disk is full"),
        (
            {"PIP_SAYS": "NewConnectionError: Temporary failure in name resolution"},
            "network is away",
        ),
        ({"PIP_SAYS": "ERROR: No matching distribution found for torch==2.13.0"}, "torch==2.13.0"),
        ({"PIP_SAYS": "something else"}, "could not be installed; the lines above"),
        ({"VENV_SAYS": "ensurepip is not available"}, "Install its venv package"),
        ({"VENV_SAYS": "No space left on device"}, "The disk is full"),
    ],
)
def test_what_stops_the_environment_is_one_sentence(extension, tools, tmp_path, environment, words):
    fake(tools / "python3", PYTHON)
    calls = str(tmp_path / "calls")
    done = sh(extension, tools, "--demo", CALLS=calls, **environment)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    again = sh(extension, tools, "--demo", CALLS=calls)  # and it can be run again
    assert again.returncode == 0, again.stderr


def test_wangps_own_python_comes_first(extension, tools, tmp_path):
    (extension.parent / "wgp.py").touch()
    fake(tools / "python3", "exit 1")
    for environment in ("venv", ".venv", "env"):
        path = extension.parent / environment / "bin" / "python"
        fake(path, 'case "$*" in *version_info*) exit 0 ;; esac; echo "$0"; printf "%s\\n" "$@"')
        done = sh(extension, tools, "status", "--json")
        assert done.stdout.splitlines()[0] == f"{extension}/../{environment}/bin/python"
        assert done.stdout.splitlines()[-2:] == ["status", "--json"]
        path.unlink()
    conda = tmp_path / "conda"
    fake(conda / "bin" / "python", 'case "$*" in *version_info*) exit 0 ;; esac; echo conda')
    assert sh(extension, tools, CONDA_PREFIX=str(conda)).stdout == "conda\n"


@pytest.mark.parametrize("quoted", [False, True])
def test_the_python_of_the_folder_that_is_named(extension, tools, tmp_path, quoted):
    (tmp_path / "Wan GP").mkdir()
    (tmp_path / "Wan GP" / "wgp.py").touch()
    fake(tmp_path / "Wan GP/venv/bin/python", 'case "$*" in *info*) exit 0 ;; esac; echo named')
    folder = f'"{tmp_path}/Wan GP"' if quoted else f"{tmp_path}/Wan GP"
    assert sh(extension, tools, WANGP_DIR=folder).stdout == "named\n"


@pytest.mark.parametrize("inside", ["wan2gp-svi-main", "a/wan2gp-svi-main"])
def test_a_zip_in_a_folder_of_its_own_finds_wangps_python(extension, tools, inside):
    (extension.parent / "wgp.py").touch()
    fake(extension.parent / "venv/bin/python", 'case "$*" in *info*) exit 0 ;; esac; echo it')
    home = extension / inside
    home.mkdir(parents=True)
    for name in ("install.sh", "tools"):
        (extension / name).rename(home / name)
    assert sh(home, tools, cwd=tools).stdout == "it\n"


def test_every_command_is_handed_on(extension, tools):
    fake(tools / "python3", 'case "$*" in *info*) exit 0 ;; esac; shift 3; echo "$@"')
    for given in (["plan", "--frames", "400"], ["lora", "inspect", "x"], ["uninstall"]):
        assert sh(extension, tools, *given).stdout.split() == given
    assert sh(extension, tools).stdout.split() == ["install"]
    assert sh(extension, tools, "--json").stdout.split() == ["install", "--json"]
    for help_ in (["--help"], ["-h"], ["help"], ["help", "plan"], ["--version"]):
        assert sh(extension, tools, *help_).stdout.split() == help_
    assert sh(extension, tools, "/some/folder").stdout.split() == ["install", "/some/folder"]


@pytest.mark.parametrize("words", [["{}"], ["status", "{}"], ["status", "--wangp={}"], ["wan"]])
def test_a_folder_without_an_option_has_the_python(extension, tools, tmp_path, words):
    root = tmp_path / "wan"
    root.mkdir()
    (root / "wgp.py").touch()
    fake(root / "venv/bin/python", 'case "$*" in *info*) exit 0 ;; esac; echo named')
    words = [word.format(root) for word in words]
    assert sh(extension, tools, *words, cwd=tmp_path).stdout == "named\n"


@pytest.mark.parametrize("shell", [["sh"], ["dash"], ["bash", "--posix"]])
def test_another_shell_hands_over_to_bash(extension, tools, shell):
    found = shutil.which(shell[0])
    if found is None:
        pytest.skip(f"needs {shell[0]}")
    fake(tools / "python3", 'case "$*" in *info*) exit 0 ;; esac; shift 3; echo "$@"')
    command = [found, *shell[1:], "install.sh", "plan", "--frames", "4 00"]
    environment = {"PATH": str(tools)}
    done = subprocess.run(command, cwd=extension, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("plan --frames 4 00\n", "")
    (tools / "bash").unlink()
    done = subprocess.run(command, cwd=extension, env=environment, capture_output=True, text=True)
    if shell[0] == "dash":
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("wan2gp-svi: This script needs bash")


def test_it_installs_for_real_from_a_folder_with_an_odd_name(extension, tools):
    host = REPOSITORY / "wan2gp_svi" / "demo" / "host"
    shutil.copytree(host, extension.parent, dirs_exist_ok=True)
    (tools / "python3").symlink_to(sys.executable)
    for command, code in (("install", 0), ("install", 0), ("status", 0), ("uninstall", 0)):
        arguments = [] if command == "install" else [command]
        done = sh(extension, tools, *arguments, cwd=tools)
        assert done.returncode == code, done.stderr
    assert sh(extension, tools, "status", "--wangp", ".", cwd=extension.parent).returncode == 3
    assert not (extension.parent / "wan2gp_svi").exists()
