import shutil

import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer import find


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.delenv("WANGP_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


def test_it_is_found_where_it_is_named(wangp, monkeypatch):
    assert find.wangp_folder(str(wangp)) == wangp
    monkeypatch.setenv("WANGP_DIR", str(wangp))
    assert find.wangp_folder(None) == wangp


def test_it_is_found_around_us(wangp, monkeypatch):
    monkeypatch.chdir(wangp)
    assert find.wangp_folder(None) == wangp
    monkeypatch.chdir(wangp.parent)
    package = wangp / "wan2gp-svi" / "wan2gp_svi" / "installer"  # put into WanGP's folder
    monkeypatch.setattr(find, "__file__", str(package / "find.py"))
    assert find.wangp_folder(None) == wangp
    monkeypatch.setattr(find, "__file__", str(wangp / "wan2gp_svi" / "installer" / "find.py"))
    assert find.wangp_folder(None) == wangp


def test_a_zip_that_windows_unpacks_into_a_folder_of_its_own(wangp, tmp_path, monkeypatch):
    for inside in ("wan2gp-svi-main/wan2gp-svi-main", "zips/wan2gp-svi-main/wan2gp-svi-main"):
        package = wangp / inside / "wan2gp_svi" / "installer" / "find.py"
        monkeypatch.setattr(find, "__file__", str(package))
        assert find.wangp_folder(None) == wangp


def test_what_windows_leaves_around_a_path_is_taken_off(wangp, monkeypatch):
    assert find.wangp_folder(f'{wangp}/"') == wangp  # "C:\Wan GP\" reads so
    monkeypatch.setenv("WANGP_DIR", f'"{wangp}" ')
    assert find.wangp_folder(None) == wangp
    monkeypatch.setenv("WANGP_DIR", '""')
    monkeypatch.chdir(wangp)
    assert find.wangp_folder(None) == wangp


def test_pinokio_keeps_it_in_a_folder_of_its_own(wangp, tmp_path, monkeypatch):
    app = tmp_path / "pinokio" / "api" / "wan.git" / "app"
    app.parent.mkdir(parents=True)
    shutil.move(wangp, app)
    for named in (app, app.parent, app.parent.parent, tmp_path / "pinokio"):
        assert find.wangp_folder(str(named)) == app
    beside = app.parent / "wan2gp-svi" / "wan2gp_svi" / "installer" / "find.py"
    monkeypatch.setattr(find, "__file__", str(beside))
    assert find.wangp_folder(None) == app


def test_what_is_named_and_wrong_is_refused_though_another_is_around(wangp, tmp_path, monkeypatch):
    monkeypatch.chdir(wangp)
    with pytest.raises(UserError, match=r"--wangp names .*, which is no WanGP folder"):
        find.wangp_folder(str(tmp_path / "elsewhere"))
    monkeypatch.setenv("WANGP_DIR", str(tmp_path))
    with pytest.raises(UserError, match="WANGP_DIR names"):
        find.wangp_folder(None)


def test_nothing_around_is_said():
    with pytest.raises(UserError, match="WanGP was not found"):
        find.wangp_folder(None)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ('WanGP_version = "12.60"', "12.60"),
        ("WanGP_version='11.771<'  # odd", "11.771<"),
        ('x = 1\nWanGP_version = ""\n', ""),
        ("nothing = 1", None),
    ],
)
def test_the_version_is_read_not_run(wangp, line, version):
    (wangp / "wgp.py").write_text(f"import nothing_like_this\n{line}\n")
    assert find.look(wangp).version == version


def test_svi_is_native_where_generate_assigns_svi_pro(wangp):
    assert not find.look(wangp).native_svi
    path = wangp / "models/wan/any2video.py"
    start = "class WanAny2V:\n    def generate(self):\n        "
    path.write_text(start + "print('svi_pro')\n")
    assert not find.look(wangp).native_svi
    path.write_text(start + "svi_pro = True\n")
    assert find.look(wangp).native_svi


def test_the_commit_is_read_from_every_kind_of_checkout(wangp, tmp_path):
    assert find.look(wangp).commit is None
    git, sha = wangp / ".git", "0123456789abcdef0123456789abcdef01234567"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert find.look(wangp).commit is None
    (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{sha} refs/heads/main\n")
    assert find.look(wangp).commit == sha
    (git / "refs/heads/main").write_text("f" * 40 + "\n")
    assert find.look(wangp).commit == "f" * 40
    (git / "HEAD").write_text(sha + "\n")
    assert find.look(wangp).commit == sha
    git.rename(tmp_path / "elsewhere.git")
    git.write_text(f"gitdir: {tmp_path / 'elsewhere.git'}\n")
    assert find.look(wangp).commit == sha


def test_a_parser_that_cannot_be_read_means_lines(tmp_path):
    assert not find.paragraphs(tmp_path)
    parser = tmp_path / "shared" / "utils" / "prompt_parser.py"
    parser.parent.mkdir(parents=True)
    parser.write_bytes(b"\xff\xfe")
    assert not find.paragraphs(tmp_path)
    parser.write_text("DEFAULT_MULTI_PROMPTS_MODE = 'PG'\n")
    assert find.paragraphs(tmp_path)
    for config in ("no json", "[]", "{}"):
        (tmp_path / "wgp_config.json").write_text(config)
        assert find.paragraphs(tmp_path)
