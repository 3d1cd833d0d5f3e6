import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from installing import HOOKED, run, tree

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import manifest, payload

REPOSITORY = Path(__file__).parents[2]


def _crlf(root: Path) -> None:
    for name in HOOKED:
        data = (root / name).read_bytes()
        (root / name).write_bytes(data.replace(b"\n", b"\r\n"))


def _bom(root: Path) -> None:
    for name in HOOKED:
        (root / name).write_bytes(b"\xef\xbb\xbf" + (root / name).read_bytes())


def _no_final_newline(root: Path) -> None:
    for name in HOOKED:
        (root / name).write_bytes((root / name).read_bytes().rstrip(b"\r\n"))


def _crlf_no_final_newline(root: Path) -> None:
    _crlf(root)
    _no_final_newline(root)


def _read_only(root: Path) -> None:
    for name in HOOKED:
        (root / name).chmod(0o444)


def _executable(root: Path) -> None:
    (root / "wgp.py").chmod(0o755)


def _git(root: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)


def _configured(root: Path) -> None:
    (root / "wgp_config.json").write_text('{"enabled_plugins": ["a"], "x": 1}')


def _as_it_is(root: Path) -> None:
    pass


@pytest.mark.parametrize(
    "prepare",
    [
        _as_it_is,
        _crlf,
        _bom,
        _no_final_newline,
        _crlf_no_final_newline,
        _read_only,
        _executable,
        _git,
        _configured,
    ],
)
def test_in_twice_and_out_again_leaves_every_byte_and_mode(wangp, prepare, capsys):
    prepare(wangp)
    before = tree(wangp)
    assert run("status", wangp) == 3
    assert run("install", wangp) == 0
    assert run("status", wangp) == 0
    installed = tree(wangp)
    for name in HOOKED:
        compile((wangp / name).read_bytes(), name, "exec")
        assert installed[name][0] == before[name][0]
        if b"\r\n" in before[name][1]:
            assert installed[name][1].count(b"\n") == installed[name][1].count(b"\r\n")
    assert run("install", wangp) == 0
    assert tree(wangp) == installed
    assert "nothing was changed" in capsys.readouterr().out
    assert run("uninstall", wangp) == 0
    assert tree(wangp) == before
    assert run("status", wangp) == 3


def test_the_hooks_do_nothing_when_the_package_is_deleted(wangp):
    run("install", wangp)
    shutil.rmtree(wangp / "wan2gp_svi")
    said = subprocess.run(
        [sys.executable, "-c", "import wgp, models.wan.any2video as a; print(a._wan2gp_svi)"],
        cwd=wangp, capture_output=True, text=True, check=True,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert said.stdout.splitlines()[-1] == "None"
    assert said.stdout.count("wan2gp-svi does not work, WanGP runs without it") == 1


def test_a_dry_run_prints_the_patch_that_is_then_applied(wangp, capfdbinary):
    before = tree(wangp)
    assert run("install", wangp, dry_run=True) == 0
    out = capfdbinary.readouterr().out
    assert tree(wangp) == before
    run("install", wangp)
    patch = (wangp / manifest.PATCH).read_bytes()
    assert patch in out
    subprocess.run(["git", "apply", "-R", manifest.PATCH], cwd=wangp, check=True)
    assert {name: tree(wangp)[name] for name in HOOKED} == {name: before[name] for name in HOOKED}


@pytest.mark.parametrize("again", [False, True])
def test_what_the_user_changed_around_the_hooks_stays(wangp, again, capsys):
    run("install", wangp)
    path = wangp / "wgp.py"
    text = path.read_text("utf-8")
    edited = "# my own line\n" + text.replace("window_no += 1", "window_no += 1  # mine")
    assert edited.count("mine") == 1
    path.write_text(edited, "utf-8")
    assert run("status", wangp) == 0
    assert "was edited since" in capsys.readouterr().out
    if again:
        assert run("install", wangp) == 0
        assert path.read_text("utf-8") == edited
    run("uninstall", wangp)
    assert again or "only the lines of wan2gp-svi were taken out" in capsys.readouterr().out
    left = path.read_text("utf-8")
    assert left.startswith("# my own line\n") and "# mine" in left and "wan2gp" not in left


def test_lost_hooks_are_noticed_and_mended(wangp, capsys):
    before = {name: (wangp / name).read_bytes() for name in HOOKED}
    run("install", wangp)
    whole = tree(wangp)
    (wangp / "wgp.py").write_bytes(before["wgp.py"])  # as git reset --hard does
    assert run("status", wangp) == 4
    assert "wgp.py has lost its hooks" in capsys.readouterr().out
    assert run("install", wangp) == 0
    assert tree(wangp) == whole
    for name in HOOKED:
        (wangp / name).write_bytes(before[name])
    assert run("status", wangp) == 4
    assert run("uninstall", wangp) == 0
    assert not (wangp / ".wan2gp_svi").exists() and not (wangp / "wan2gp_svi").exists()


def test_a_hook_that_was_tampered_with_is_noticed_and_mended(wangp, capsys):
    run("install", wangp)
    whole = tree(wangp)
    path = wangp / "wgp.py"
    path.write_bytes(path.read_bytes().replace(b"_wan2gp_svi.window_saved(", b"print("))
    assert run("status", wangp) == 4
    assert "not as they were put in" in capsys.readouterr().out
    run("install", wangp)
    assert tree(wangp) == whole


def test_without_its_manifest_it_is_still_taken_out_whole(wangp):
    before = tree(wangp)
    run("install", wangp)
    shutil.rmtree(wangp / ".wan2gp_svi")
    assert run("status", wangp) == 4
    assert run("uninstall", wangp) == 0
    assert {name: tree(wangp)[name] for name in before} == before
    assert not (wangp / "wan2gp_svi").exists()


def test_a_newer_version_takes_the_place_of_an_older_one(wangp, monkeypatch, capsys):
    files = payload.files(REPOSITORY)
    before = tree(wangp)
    older = {**files, "wan2gp_svi/errors.py": b"old\n", "wan2gp_svi/gone.py": b"gone\n"}
    monkeypatch.setattr(payload, "files", lambda source: older)
    monkeypatch.setattr("wan2gp_svi.installer.plan.__version__", "0.0.1")
    run("install", wangp)
    monkeypatch.undo()
    assert run("status", wangp) == 0
    assert "0.0.1" in capsys.readouterr().out
    assert run("install", wangp) == 0
    assert "has taken the place of 0.0.1" in capsys.readouterr().out
    assert (wangp / "wan2gp_svi/errors.py").read_bytes() == files["wan2gp_svi/errors.py"]
    assert not (wangp / "wan2gp_svi/gone.py").exists()
    assert run("status", wangp) == 0
    run("uninstall", wangp)
    assert tree(wangp) == before


def test_an_edited_profile_stays_and_is_named(wangp, monkeypatch, capsys):
    files = payload.files(REPOSITORY)
    profile = {"profiles/wan_2_2/SVI.json": b'{"a": 1}\n'}
    monkeypatch.setattr(payload, "files", lambda source: {**files, **profile})
    run("install", wangp)
    (wangp / "profiles/wan_2_2/SVI.json").write_bytes(b'{"a": 2}\n')
    assert run("status", wangp) == 0
    profile["profiles/wan_2_2/SVI.json"] = b'{"a": 3}\n'
    run("install", wangp)
    assert "has been edited and stays" in capsys.readouterr().out
    run("uninstall", wangp)
    assert "has been edited and stays" in capsys.readouterr().out
    assert (wangp / "profiles/wan_2_2/SVI.json").read_bytes() == b'{"a": 2}\n'


def test_an_edited_file_of_the_package_is_kept_beside(wangp, capsys):
    run("install", wangp)
    path = wangp / "wan2gp_svi/errors.py"
    path.write_bytes(b"# mine\n")
    assert run("status", wangp) == 4
    run("install", wangp)
    assert run("status", wangp) == 0
    kept = path.with_name("errors.py.edited")
    assert kept.read_bytes() == b"# mine\n"
    run("uninstall", wangp)
    assert "errors.py.edited is not from wan2gp-svi and stays" in capsys.readouterr().out
    assert list((wangp / "wan2gp_svi").rglob("*")) == [kept]


def test_a_file_of_the_users_is_never_overwritten(wangp, monkeypatch):
    files = {**payload.files(REPOSITORY), "finetunes/x.json": b"ours\n"}
    monkeypatch.setattr(payload, "files", lambda source: files)
    (wangp / "finetunes").mkdir()
    (wangp / "finetunes/x.json").write_bytes(b"theirs\n")
    before = tree(wangp)
    with pytest.raises(UserError, match=r"x\.json exists and is not a file of wan2gp-svi"):
        run("install", wangp)
    assert tree(wangp) == before


def test_a_place_that_is_gone_is_named_and_nothing_is_changed(wangp):
    path = wangp / "wgp.py"
    path.write_text(path.read_text("utf-8").replace("window_no += 1", "window_no = window_no + 1"))
    before = tree(wangp)
    with pytest.raises(UserError) as refused:
        run("install", wangp)
    said = str(refused.value)
    for word in ("wgp.py", "0.1 (small host)", "step window_no +=", "Nothing was changed"):
        assert word in said
    assert tree(wangp) == before


def test_a_name_that_a_hook_uses_must_exist_there(wangp):
    path = wangp / "wgp.py"
    text = path.read_text("utf-8").replace("current_video_length", "frames_of_now")
    path.write_text(text, "utf-8")
    with pytest.raises(UserError, match="there is no current_video_length"):
        run("install", wangp)


def test_a_file_that_does_not_parse_is_refused(wangp):
    (wangp / "wgp.py").write_text("<<<<<<< HEAD\n")
    with pytest.raises(UserError, match="does not parse"):
        run("install", wangp)


def test_a_link_out_of_the_folder_is_not_followed(wangp, tmp_path, monkeypatch, capsys):
    outside = tmp_path / "outside"
    shutil.move(wangp / "wgp.py", tmp_path / "wgp.py")
    (wangp / "wgp.py").symlink_to(tmp_path / "wgp.py")
    before = tree(tmp_path)
    with pytest.raises(UserError, match="symbolic link that leads out"):
        run("install", wangp)
    assert tree(tmp_path) == before

    (wangp / "wgp.py").unlink()
    shutil.move(tmp_path / "wgp.py", wangp / "wgp.py")
    outside.mkdir()
    (wangp / "loras").symlink_to(outside)
    files = {**payload.files(REPOSITORY), "loras/wan/x.json": b"{}\n"}
    monkeypatch.setattr(payload, "files", lambda source: files)
    assert run("install", wangp) == 0
    assert "Not copied: loras/wan/x.json" in capsys.readouterr().out
    assert not any(outside.iterdir())
    assert run("status", wangp) == 0


def test_a_link_inside_the_folder_stays_a_link(wangp):
    (wangp / "real").mkdir()
    shutil.move(wangp / "wgp.py", wangp / "real/wgp.py")
    (wangp / "wgp.py").symlink_to("real/wgp.py")
    before = tree(wangp)
    run("install", wangp)
    assert (wangp / "wgp.py").is_symlink() and b"wan2gp-svi" in (wangp / "wgp.py").read_bytes()
    run("uninstall", wangp)
    assert tree(wangp) == before


def test_a_newer_extension_that_is_not_installed_yet_is_noticed(wangp, monkeypatch, capsys):
    run("install", wangp)
    assert run("status", wangp) == 0
    assert "run the install script again" not in capsys.readouterr().out
    files = payload.files

    def newer(source):
        return {**files(source), "wan2gp_svi/errors.py": b"newer"}

    monkeypatch.setattr(payload, "files", newer)
    assert run("status", wangp) == 0
    assert "run the install script again" in capsys.readouterr().out


def test_git_status_shows_only_the_four_files(wangp):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], cwd=wangp, check=True)
    run("install", wangp)
    said = subprocess.run([*git, "status", "--short"], cwd=wangp, capture_output=True, text=True)
    assert sorted(line.strip() for line in said.stdout.splitlines()) == sorted(
        f"M {name}" for name in HOOKED
    )


def test_json_says_the_same_to_programs(wangp, capsys):
    assert run("install", wangp, json=True) == 0
    assert run("status", wangp, json=True) == 0
    decoder, text = json.JSONDecoder(), capsys.readouterr().out
    first, end = decoder.raw_decode(text)
    second = json.loads(text[end:])
    assert first["wangp"]["version"] == "0.1 (small host)" and first["files_changed"] > 10
    assert second["status"] == 0 and second["problems"] == []
    (wangp / "wgp.py").write_text("(")
    assert run("install", wangp, json=True) == 2
    assert "does not parse" in json.loads(capsys.readouterr().out)["error"]


def test_the_copy_in_wangp_can_do_it_all_by_itself(wangp, tmp_path):
    """The folder that it came from may be gone: install, status and uninstall work from WanGP."""
    before = tree(wangp)
    run("install", wangp)
    whole = {n: v for n, v in tree(wangp).items() if "__pycache__" not in n}
    environment = {"PATH": os.environ["PATH"]}
    for command, code in (("status", 0), ("install", 0), ("uninstall", 0)):
        done = subprocess.run(
            [sys.executable, "-m", "wan2gp_svi", command], cwd=wangp, env=environment,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        if command == "install":
            assert "nothing was changed" in done.stdout
            assert {n: v for n, v in tree(wangp).items() if "__pycache__" not in n} == whole
    assert tree(wangp) == before


def test_the_copy_in_wangp_does_not_forget_what_it_lacks(wangp):
    run("install", wangp)
    (wangp / "wan2gp_svi/lora/keys.py").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "wan2gp_svi", "install"], cwd=wangp,
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "keys.py is missing" in done.stderr and "install script" in done.stderr
    assert run("status", wangp) == 4
    assert run("install", wangp) == 0
    assert run("status", wangp) == 0


def test_a_console_without_the_letters_of_the_path_still_shows_the_rest(wangp):
    command = [sys.executable, "-m", "wan2gp_svi", "status", "--wangp", str(wangp)]
    environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True)
    assert done.returncode == 3, done.stderr
    assert "Wän 2 GP & co!".encode() in done.stdout  # a pipe is no console: UTF-8
    if os.name == "posix":
        ours, console = os.openpty()
        done = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=console)
        assert done.returncode == 3
        os.close(console)
        assert b"W\\xe4n 2 GP & co!" in os.read(ours, 4096)
        os.close(ours)


def test_a_plugin_that_was_switched_off_is_mentioned(wangp, capsys):
    config = wangp / "wgp_config.json"
    config.write_text('{"enabled_plugins": []}')
    run("install", wangp)
    assert run("status", wangp) == 0
    assert "does not load the plugin" not in capsys.readouterr().out
    config.write_text('{"enabled_plugins": []}')
    assert run("status", wangp) == 0
    assert "does not load the plugin" in capsys.readouterr().out


def test_a_damaged_journal_is_said(wangp):
    (wangp / ".wan2gp_svi").mkdir()
    (wangp / ".wan2gp_svi/journal.json").write_text("{")
    with pytest.raises(UserError, match=r"journal\.json is damaged"):
        run("install", wangp)


@pytest.mark.skipif(not hasattr(os, "chown") or os.geteuid() != 0, reason="only root can give away")
def test_run_as_root_everything_still_belongs_to_wangps_owner(wangp):
    for path in (wangp, *wangp.rglob("*")):
        os.chown(path, 1234, 1234)
    run("install", wangp)
    assert {path.stat().st_uid for path in (wangp, *wangp.rglob("*"))} == {1234}


def test_no_two_files_differ_only_in_case():
    names = [name.lower() for name in payload.files(REPOSITORY)]
    assert len(names) == len(set(names))
    for room in ("demo/", "train/", "__pycache__"):
        assert not any(room in name for name in names)


def test_the_last_sentence_says_what_to_do_next(wangp, capsys):
    run("install", wangp)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Next: start WanGP as always")
    steps = ["SVI 2 Pro", "profile", "Apply", "start image", "prompt", "Generate", "uninstall"]
    places = [last.index(word) for word in steps]
    assert places == sorted(places)
    run("install", wangp, say_next=False)  # as the demo does, which goes on by itself
    assert "Next:" not in capsys.readouterr().out
