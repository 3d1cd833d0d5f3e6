"""What the tab says of an installation, and that it puts lost hooks back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import wan2gp_svi
from wan2gp_svi.cli import main
from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin import health

HOST = Path(wan2gp_svi.__file__).parent / "demo" / "host"


@pytest.fixture
def root(tmp_path, capsys):
    shutil.copytree(HOST, tmp_path / "WanGP", ignore=shutil.ignore_patterns("__pycache__"))
    assert main(["install", "--wangp", str(tmp_path / "WanGP")]) == 0
    capsys.readouterr()
    return tmp_path / "WanGP"


def test_all_is_in_place(root):
    told = "\n".join(health.told(root))
    assert "**All is in place**" in told
    assert "has not passed its self-test here yet" in told


def test_lost_hooks_are_told_and_put_back(root):
    shutil.copy(HOST / "wgp.py", root / "wgp.py")
    assert "**The hooks are lost** in `wgp.py`" in "\n".join(health.told(root))
    said = health.put_hooks_back(root)
    assert said.startswith("wan2gp-svi 0.1.0 is installed.")
    assert said.endswith(health.RESTART)
    assert "**All is in place**" in "\n".join(health.told(root))


def test_a_folder_that_is_no_wangp_is_a_sentence(tmp_path):
    assert health.told(tmp_path)
    with pytest.raises(UserError):
        health.put_hooks_back(tmp_path)


def test_steps_of_the_self_test_are_progress(root, monkeypatch):
    lines = ["WanGP 0.1, on the processor.", "[ 1/4] start WanGP ...", "[ 3/4] a chain ...", "ok"]
    script = f"print({chr(10).join(lines)!r})"
    monkeypatch.setattr(health, "_arguments", lambda *_: [health.sys.executable, "-c", script])
    seen: list = []
    assert health.test(root, lambda *step: seen.append(step)) == f"{lines[0]}\nok"
    assert seen == [(0.25, "start WanGP"), (0.75, "a chain")]


def test_lora_files_of_svi_come_first(tmp_path):
    for name in ("a.safetensors", "b/SVI_z.safetensors", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in health.lora_files(tmp_path)] == [
        "SVI_z.safetensors",
        "a.safetensors",
    ]
    with pytest.raises(UserError):
        health.inspected(tmp_path / "a.safetensors")
