import importlib.util
import shutil
import sys
import types
from pathlib import Path

import pytest

import wan2gp_svi
from wan2gp_svi.cli import main
from wan2gp_svi.installer import hooks
from wan2gp_svi.plugin import hooks_lost

PACKAGE = Path(wan2gp_svi.__file__).parent


@pytest.fixture
def wangp(tmp_path, capsys):
    root = tmp_path / "WanGP"
    shutil.copytree(PACKAGE / "demo" / "host", root)
    assert main(["install", "--wangp", str(root)]) == 0
    capsys.readouterr()
    return root


def test_the_mark_is_the_one_that_the_installer_writes():
    assert hooks_lost._MARK == hooks.OPENS


def test_nothing_is_said_while_the_hooks_are_in(wangp, tmp_path):
    assert hooks_lost.sentence(wangp) is None
    assert hooks_lost.sentence(tmp_path) is None  # never installed here


def test_lost_hooks_are_named_with_what_mends_them(wangp):
    shutil.copy(PACKAGE / "demo/host/wgp.py", wangp / "wgp.py")
    assert hooks_lost.files_without_hooks(wangp) == ["wgp.py"]
    said = hooks_lost.sentence(wangp)
    assert "has lost its hooks" in said and "`wgp.py`" in said
    assert "run `install.bat` (Windows) or `install.sh` (Linux) again" in said
    assert f"`{wangp}`" in said  # as code: Markdown eats the backslash of C:\WanGP\.svi elsewhere


@pytest.mark.parametrize("lost", [False, True])
def test_wangp_loads_the_plugin_and_its_tab_says_when_they_are_lost(
    wangp, lost, monkeypatch, capsys
):
    """Loaded as WanGP's plugin manager does it: by folder name, then class, then setup_ui."""
    if lost:
        shutil.copy(PACKAGE / "demo/host/wgp.py", wangp / "wgp.py")
    tabs, asked, texts = [], [], []

    class WAN2GPPlugin:
        def add_tab(self, tab_id, label, component_constructor, position=-1):
            tabs.append((label, component_constructor))

        def request_component(self, name):
            asked.append(name)

        request_global = request_component

    for name in ("shared", "shared.utils", "shared.utils.plugins", "gradio"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["shared.utils.plugins"].WAN2GPPlugin = WAN2GPPlugin
    sys.modules["gradio"].Markdown = texts.append  # and no more: WanGP starts without our tab
    monkeypatch.chdir(wangp)
    path = wangp / "plugins/wan2gp-svi/plugin.py"
    spec = importlib.util.spec_from_file_location("wan2gp-svi.plugin", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.SVIPlugin().setup_ui()
    said = capsys.readouterr().out
    ((label, build),) = tabs
    build()
    assert len(texts) == 1
    if lost:
        assert label == "SVI needs mending"
        assert texts[0] == hooks_lost.sentence(wangp)
        assert said == f"[SVI] {texts[0]}\n"
    else:
        assert label == "SVI"
        assert "state" in asked
        assert "could not be made" in texts[0]
        assert said == ""
