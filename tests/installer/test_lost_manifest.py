"""What is installed is known also from the copy in WanGP, when its manifest says nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from installing import run, tree

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import manifest, payload

REPOSITORY = Path(__file__).parents[2]
PROFILE = "profiles/svi_2_pro/SVI 2 Pro - Lightning - 4 Steps.json"
FINETUNE = "finetunes/i2v_2_2_svi2pro.json"


@pytest.fixture
def wangp(wangp):
    """With the folders that every WanGP has, which are not the small host's."""
    for name in ("profiles/wan/x.json", "finetunes/x.txt", "plugins/x/plugin.py"):
        (wangp / name).parent.mkdir(parents=True)
        (wangp / name).touch()
    return wangp


def _lost(root: Path) -> None:
    shutil.rmtree(root / ".wan2gp_svi")


def _unreadable(root: Path) -> None:
    (root / manifest.MANIFEST).write_text("{")


def _newer_format(root: Path) -> None:
    path = root / manifest.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))


@pytest.mark.parametrize("lose", [_lost, _unreadable, _newer_format])
@pytest.mark.parametrize("again", [False, True])
def test_all_goes_out_without_the_manifest(wangp, lose, again):
    before = tree(wangp)
    run("install", wangp)
    whole = tree(wangp)
    lose(wangp)
    assert run("status", wangp) == 4
    if again:
        assert run("install", wangp) == 0
        assert {n: v for n, v in tree(wangp).items() if n != manifest.MANIFEST} == {
            n: v for n, v in whole.items() if n != manifest.MANIFEST
        }
        assert run("status", wangp) == 0
    assert run("uninstall", wangp) == 0
    assert tree(wangp) == before


def _crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def _longer(data: bytes) -> bytes:
    return data + b"\n"


@pytest.mark.parametrize("change", [_crlf, _longer])
def test_a_newer_copy_takes_the_place_of_one_without_manifest(wangp, change, monkeypatch):
    before = tree(wangp)
    files = payload.files(REPOSITORY)
    older = {n: change(data) if n.endswith((".py", ".json")) else data for n, data in files.items()}
    older["wan2gp_svi/old/gone.py"] = b"# gone\n"
    monkeypatch.setattr(payload, "files", lambda source: older)
    run("install", wangp)
    monkeypatch.undo()
    _lost(wangp)
    assert run("install", wangp) == 0
    assert (wangp / PROFILE).read_bytes() == files[PROFILE]
    assert not (wangp / "wan2gp_svi/old/gone.py").exists()
    assert not list(wangp.rglob("*.edited"))
    assert run("uninstall", wangp) == 0
    assert tree(wangp) == before


def test_an_edited_profile_is_the_users_also_without_manifest(wangp, capsys):
    run("install", wangp)
    (wangp / PROFILE).write_bytes(b"{}")
    (wangp / FINETUNE).write_bytes(b"{}")
    _lost(wangp)
    run("install", wangp)
    run("uninstall", wangp)
    assert capsys.readouterr().out.count("has been edited and stays") == 4
    for name in (PROFILE, FINETUNE):
        assert (wangp / name).read_bytes() == b"{}"


def test_what_uninstall_has_left_is_no_installation(wangp, capsys):
    before = tree(wangp)
    run("install", wangp)
    path = wangp / "wan2gp_svi/payload/patches/README.md"
    path.write_bytes(b"mine")
    run("uninstall", wangp)
    assert path.read_bytes() == b"mine"
    assert run("status", wangp) == 3
    assert run("install", wangp) == 0
    assert path.with_name("README.md.edited").read_bytes() == b"mine"
    assert run("status", wangp) == 0
    run("uninstall", wangp)
    assert "README.md.edited is not from wan2gp-svi and stays" in capsys.readouterr().out
    assert run("status", wangp) == 3
    shutil.rmtree(wangp / "wan2gp_svi")
    assert tree(wangp) == before


def test_profiles_left_by_a_deletion_by_hand_do_not_refuse(wangp):
    before = tree(wangp)
    run("install", wangp)
    run("uninstall", wangp)
    (wangp / PROFILE).parent.mkdir()
    (wangp / PROFILE).write_bytes(b"{}")
    assert run("install", wangp) == 0
    kept = Path(f"{wangp / PROFILE}.edited")
    assert kept.read_bytes() == b"{}"
    kept.unlink()
    run("uninstall", wangp)
    assert tree(wangp) == before


def test_a_linked_folder_of_profiles_does_not_stop_uninstall(wangp, tmp_path, capsys):
    run("install", wangp)
    shutil.move(wangp / "profiles", tmp_path / "profiles")
    (wangp / "profiles").symlink_to(tmp_path / "profiles")
    assert run("uninstall", wangp) == 0
    assert f"Not removed: {PROFILE}" in capsys.readouterr().out
    assert not (wangp / "wan2gp_svi").exists()


def _from_the_copy(root: Path, command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "wan2gp_svi", command], cwd=root,
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("lost", [False, True])
def test_the_copy_in_wangp_does_not_adopt_strangers(wangp, lost):
    run("install", wangp)
    strangers = ["wan2gp_svi/errors.py.edited"]
    if not lost:  # without the manifest nothing tells them from a file of ours
        strangers += ["wan2gp_svi/desktop.ini", "wan2gp_svi/payload/profiles/finetunes/my.json"]
        strangers += ["wan2gp_svi/plugin/entry/my.txt"]
    for name in strangers:
        (wangp / name).write_bytes(b"{}")
    if lost:
        _lost(wangp)
    _from_the_copy(wangp, "install")
    assert not (wangp / "finetunes/my.json").exists()
    assert not (wangp / payload.PLUGIN / "my.txt").exists()
    said = _from_the_copy(wangp, "uninstall")
    for name in strangers:
        assert f"{name} is not from wan2gp-svi and stays" in said
        assert (wangp / name).read_bytes() == b"{}"


def test_what_wangp_rewrites_of_the_plugins_file_is_no_damage(wangp):
    """Some WanGP 12 write it anew, without "uninstallable", when the plugin is installed there."""
    run("install", wangp)
    path = wangp / payload.PLUGIN / "plugin_info.json"
    info = json.loads(path.read_bytes())
    del info["uninstallable"]
    path.write_text(json.dumps(info, indent=2))
    assert run("status", wangp) == 0
    run("uninstall", wangp)
    assert not (wangp / payload.PLUGIN / "plugin.py").exists()


def test_the_folders_of_profiles_are_known_to_the_installer():
    folders = {f"profiles/{path.name}" for path in (REPOSITORY / "profiles/profiles").iterdir()}
    assert folders == {name for name in payload.OWN_FOLDERS if name.startswith("profiles/")}


@pytest.mark.parametrize("where", ["", "wan2gp_svi", "plugins/wan2gp-svi", "wan2gp_svi/main"])
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_project_without_a_folder_of_its_own_is_refused(wangp, where, command):
    shutil.copytree(REPOSITORY / "wan2gp_svi", wangp / where / "wan2gp_svi")
    for name in ("patches", "profiles"):
        shutil.copytree(REPOSITORY / name, wangp / where / name, dirs_exist_ok=True)
    before = tree(wangp)
    done = subprocess.run(
        [sys.executable, "-m", "wan2gp_svi", command, "--wangp", str(wangp)],
        cwd=wangp / where, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Put it in a folder of its own inside WanGP" in done.stderr
    assert tree(wangp) == before


def _linked(root: Path, outside: Path) -> None:
    outside.write_text('{"enabled_plugins": []}')
    (root / "wgp_config.json").unlink(missing_ok=True)
    (root / "wgp_config.json").symlink_to(outside)


def test_a_linked_configuration_stops_nothing(wangp, tmp_path, capsys):
    outside = tmp_path / "config.json"
    _linked(wangp, outside)
    before = tree(wangp)
    assert run("install", wangp) == 0
    assert "not switched on: wgp_config.json" in capsys.readouterr().out
    assert run("status", wangp) == 0
    assert "symbolic link" in capsys.readouterr().out
    assert run("uninstall", wangp) == 0
    assert "not switched off: wgp_config.json" in capsys.readouterr().out
    assert tree(wangp) == before
    assert outside.read_text() == '{"enabled_plugins": []}'


def test_a_configuration_that_was_linked_later_stops_nothing(wangp, tmp_path):
    (wangp / "wgp_config.json").write_text('{"enabled_plugins": []}')
    run("install", wangp)
    _linked(wangp, tmp_path / "config.json")
    assert run("status", wangp) == 0
    assert run("uninstall", wangp) == 0
    assert not (wangp / "wan2gp_svi").exists()


def test_a_file_of_the_users_outside_our_folders_is_still_refused(wangp):
    run("install", wangp)
    run("uninstall", wangp)
    (wangp / FINETUNE).write_bytes(b"{}")
    with pytest.raises(UserError, match="is not a file of wan2gp-svi"):
        run("install", wangp)
