"""install.bat: its quoting read from its text, and run under wine's cmd where that is to be had."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "install.bat"
WINE, GCC = shutil.which("wine"), shutil.which("x86_64-w64-mingw32-gcc")

# Stands in for python.exe: says which file it is and what it was given; too old with FAKE_OLD.
FAKE_PYTHON = r"""
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
static void say(const wchar_t *text) {
    char bytes[4096];
    WideCharToMultiByte(CP_UTF8, 0, text, -1, bytes, sizeof bytes, 0, 0);
    printf("[%s]\n", bytes);
}
int wmain(int count, wchar_t **given) {
    wchar_t self[1024];
    for (int i = 1; i < count; i++)
        if (wcsstr(given[i], L"version_info")) {
            GetModuleFileNameW(0, self, 1024);
            if (wcsstr(self, L"crashes")) return -1073741819;
            return getenv("FAKE_OLD") ? 1 : 0;
        }
    GetModuleFileNameW(0, self, 1024);
    say(self);
    for (int i = 1; i < count; i++) say(given[i]);
    return 4;
}
"""


def commands() -> list[str]:
    lines = SCRIPT.read_bytes().decode("ascii").splitlines()
    return [line for line in lines if line and not line.startswith("rem ")]


def test_it_is_ascii_with_windows_line_endings_and_a_screenful():
    data = SCRIPT.read_bytes().replace(b"\r\n", b"\n")  # a checkout may have turned them
    assert data.isascii() and b"\r" not in data
    assert data.count(b"\n") <= 60


def test_no_path_is_ever_outside_quotes():
    """A path may hold spaces, & and parentheses, and cmd reads those outside quotes as its own."""
    for line in commands():
        line = line.replace(':"=%', "%")  # takes the quotes out of a variable
        outside = "".join(line.split('"')[::2])
        assert not re.search(
            r"%(HERE|W|NAMED|CD|FOUND|WANGP_DIR|CONDA_PREFIX)%|%~dp0|%%~?[PD]\b", outside
        ) or (outside.startswith(("for %%P in", "for %%D in"))), line
        assert line.count('"') % 2 == 0, line


def test_help_and_a_folder_are_looked_for():
    text = "\n".join(commands())
    assert 'for %%H in (-h --help --version) do if /i "%FIRST%"=="%%H" set "COMMAND="' in text
    assert 'if not "%~1"=="" if exist "%~1\\wgp.py" set "NAMED=%~1"' in text
    words = text.index(":words")
    assert words < text.index('if exist "%~1\\wgp.py"') < text.index("goto words")


def test_nothing_expands_a_path_a_second_time():
    """Delayed expansion eats !, and `call` reads % and ^ of its arguments again."""
    lines = commands()
    assert lines[1] == "setlocal DisableDelayedExpansion"
    assert not any(re.match(r"\s*call\b", line) for line in lines)


def test_the_window_stays_open_and_the_exit_code_is_the_commands():
    assert commands()[-3:] == ["echo.", "pause", "exit /b %CODE%"]


@pytest.fixture(scope="module")
def fake_python(tmp_path_factory) -> Path:
    if WINE is None or GCC is None:
        pytest.skip("needs wine and x86_64-w64-mingw32-gcc")
    folder = tmp_path_factory.mktemp("fake")
    (folder / "fake.c").write_text(FAKE_PYTHON)
    command = [GCC, "-municode", "-o", "python.exe", "fake.c"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "python.exe"


def wine(folder: Path, *command: str, **environment: str) -> tuple[int, list[str]]:
    """Runs a batch file in wine's cmd with nobody at the keyboard: exit code, lines it printed."""
    done = subprocess.run(
        [str(WINE), "cmd", "/c", *command], cwd=folder, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=120,
        env={**os.environ, "WINEDEBUG": "-all", "LC_ALL": "C.UTF-8", **environment},
    )  # fmt: skip
    return done.returncode, done.stdout.decode("utf-8", "replace").splitlines()


def extension(folder: Path) -> Path:
    """The extension's folder, as far as install.bat looks at it."""
    (folder / "wan2gp_svi").mkdir(parents=True)
    (folder / "wan2gp_svi" / "cli.py").touch()
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("where", ["venv", "env", "env_uv"])
def test_under_wine_it_finds_wangps_python_and_hands_every_word_on(fake_python, tmp_path, where):
    root = tmp_path / "Wän 2 (GP) & co!"
    (root / where / "Scripts").mkdir(parents=True)
    shutil.copy(fake_python, root / where / "Scripts" / "python.exe")
    extension(root / "wan2gp-svi")

    # As another batch file calls it; wine's `call` loses the exit code, so that is asked below.
    driver = '@echo off\ncall "wan2gp-svi\\install.bat" status --wangp "Z:\\x y & z!"\n'
    (root / "driver.bat").write_text(driver)
    _, said = wine(root, "driver.bat")
    assert said[0].endswith(f"\\Wän 2 (GP) & co!\\{where}\\Scripts\\python.exe]")
    assert said[3].endswith("\\Wän 2 (GP) & co!\\wan2gp-svi\\.]")
    assert said[4:7] == ["[status]", "[--wangp]", "[Z:\\x y & z!]"]
    assert said[-1].startswith("Press any key")

    code, said = wine(root / "wan2gp-svi", "install.bat")
    assert (code, said[4]) == (4, "[install]")

    code, said = wine(root / "wan2gp-svi", "install.bat", FAKE_OLD="1")
    assert code == 1
    assert said[0].startswith("wan2gp-svi: Python 3.10 or newer was not found.")
    assert said[-1].startswith("Press any key")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("python", "inside"),
    [
        ("WanGP/.venv/Scripts", "wan2gp-svi"),
        ("WanGP/python_embeded", "wan2gp-svi"),
        ("python_embeded", "wan2gp-svi"),
        ("WanGP/venv/Scripts", "wan2gp-svi-main/wan2gp-svi-main"),  # "Extract All"
        ("WanGP/venv/Scripts", "a/wan2gp-svi-main/wan2gp-svi-main"),
    ],
)
def test_under_wine_it_finds_python_wherever_wangp_keeps_it(fake_python, tmp_path, python, inside):
    home = extension(tmp_path / "WanGP" / inside)
    (tmp_path / "WanGP" / "wgp.py").touch()
    (tmp_path / python).mkdir(parents=True)
    shutil.copy(fake_python, tmp_path / python / "python.exe")
    code, said = wine(home, "install.bat")
    assert (code, said[4:5]) == (4, ["[install]"]), said


@pytest.mark.slow
@pytest.mark.parametrize("named", ["option", "variable"])
def test_under_wine_the_folder_that_is_named_has_the_python(fake_python, tmp_path, named):
    home = extension(tmp_path / "elsewhere" / "wan2gp-svi")
    scripts = tmp_path / "Wan & GP" / "venv" / "Scripts"
    scripts.mkdir(parents=True)
    shutil.copy(fake_python, scripts / "python.exe")
    (tmp_path / "Wan & GP" / "wgp.py").touch()
    path = f"Z:{tmp_path}/Wan & GP".replace("/", "\\")
    if named == "option":
        (home / "driver.bat").write_text(f'@call install.bat status --wangp "{path}\\"\n')
        _, said = wine(home, "driver.bat")
    else:
        _, said = wine(home, "install.bat", "status", WANGP_DIR=f'"{path}"')
    assert said[0].endswith("\\Wan & GP\\venv\\Scripts\\python.exe]"), said
    assert said[4] == "[status]"


@pytest.mark.slow
def test_under_wine_help_and_a_folder_alone(fake_python, tmp_path):
    home = extension(tmp_path / "elsewhere" / "wan2gp-svi")
    scripts = tmp_path / "Wan GP" / "venv" / "Scripts"
    scripts.mkdir(parents=True)
    shutil.copy(fake_python, scripts / "python.exe")
    (tmp_path / "Wan GP" / "wgp.py").touch()
    path = f"Z:{tmp_path}/Wan GP".replace("/", "\\")
    (home / "driver.bat").write_text(f'@call install.bat "{path}"\n')
    _, said = wine(home, "driver.bat")
    assert said[0].endswith("\\Wan GP\\venv\\Scripts\\python.exe]"), said
    assert said[4] == f"[{path}]"
    for word in ("--help", "-h", "help", "/?"):
        _, said = wine(home, "install.bat", word, WANGP_DIR=path)
        assert said[4] == f"[{word}]"


@pytest.mark.slow
def test_under_wine_every_command_is_handed_on(fake_python, tmp_path):
    home = extension(tmp_path / "wan2gp-svi")
    (tmp_path / "venv" / "Scripts").mkdir(parents=True)
    shutil.copy(fake_python, tmp_path / "venv" / "Scripts" / "python.exe")
    _, said = wine(home, "install.bat", "plan", "--frames", "400")
    assert said[4:7] == ["[plan]", "[--frames]", "[400]"]
    _, said = wine(home, "install.bat", "--json")
    assert said[4:6] == ["[install]", "[--json]"]


@pytest.mark.slow
def test_under_wine_a_python_that_crashes_is_passed_over(fake_python, tmp_path):
    root = tmp_path / "crashes"
    home = extension(root / "wan2gp-svi")
    (root / "venv" / "Scripts").mkdir(parents=True)
    shutil.copy(fake_python, root / "venv" / "Scripts" / "python.exe")
    code, said = wine(home, "install.bat")
    assert code == 1
    assert said[0].startswith("wan2gp-svi: Python 3.10 or newer was not found.")


@pytest.mark.slow
def test_under_wine_the_script_alone_asks_for_the_whole_zip(fake_python, tmp_path):
    shutil.copy(SCRIPT, tmp_path)
    code, said = wine(tmp_path, "install.bat")
    assert code == 1
    assert "Extract the whole zip first" in said[0]
    assert said[-1].startswith("Press any key")
