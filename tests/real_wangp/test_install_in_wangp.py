"""The installer on the real WanGP that WANGP_DIR names; its folder is copied, never changed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from bench import HOST, ROOT, drive

from wan2gp_svi.cli import main
from wan2gp_svi.installer import find, manifest, patchfile

HOOKED = (
    "wgp.py",
    "models/wan/any2video.py",
    "models/wan/wan_handler.py",
    "models/wan/modules/model.py",
)
REFERENCE = "8681e9f777f9f847f74a0bdefd13d5b9a6efe12d"  # v12.60


@pytest.fixture
def tree(wangp_dir, tmp_path) -> Path:
    """All of it: the page wants every folder, the one named settings in shared/deepy, too."""
    ignored = shutil.ignore_patterns(".git", "__pycache__", "ckpts", "outputs")
    return Path(shutil.copytree(wangp_dir, tmp_path / "Wän 2 GP & co!", ignore=ignored))


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(root).as_posix(): (path.stat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def command(name: str, root: Path, *more: str) -> int:
    return main([name, "--wangp", str(root), *more])


@pytest.mark.parametrize("endings", [b"\n", b"\r\n"])
def test_in_and_out_again_leaves_every_byte(tree, endings):
    for name in HOOKED:
        lines = (tree / name).read_bytes().replace(b"\r\n", b"\n")
        (tree / name).write_bytes(lines.replace(b"\n", endings))
    before = files(tree)
    assert command("install", tree) == 0
    for name in HOOKED:
        data = (tree / name).read_bytes()
        compile(data, name, "exec", dont_inherit=True)
        assert data.count(b"\n") == data.count(endings)
    assert command("status", tree) == 0
    assert command("uninstall", tree) == 0
    assert files(tree) == before


def test_the_patches_line_numbers_are_right_for_the_reference(wangp_dir, tree):
    """git puts the context-free patches where the installer puts them by their places."""
    if find.look(wangp_dir).commit != REFERENCE:
        pytest.skip(f"the line numbers are WanGP {REFERENCE[:8]}'s, and WANGP_DIR is another")
    base = {name: (tree / name).read_bytes() for name in HOOKED}
    command("install", tree)
    placed = {name: (tree / name).read_bytes() for name in HOOKED}
    for patch in patchfile.parse((tree / manifest.PATCH).read_bytes()):
        assert patchfile.apply(base[patch.path], patch) == placed[patch.path]
    for name in HOOKED:
        (tree / name).write_bytes(base[name])
    for name in (ROOT / "patches" / "series").read_text().split():
        patch = str(ROOT / "patches" / name)
        git = ["git", "apply", "--unidiff-zero", "--whitespace=nowarn", patch]
        subprocess.run(git, cwd=tree, check=True)
    assert {name: (tree / name).read_bytes() for name in HOOKED} == placed


def test_hooks_without_their_package_change_no_bit(plain_tree, tree, tmp_path):
    """Through wgp.py's own loop: conditioning, noise, latents and frames of every window."""
    windows = {"video_length": 33, "sliding_window_size": 17, "sliding_window_overlap": 1}
    scenarios = [
        {"name": "image", "model": "i2v_2_2", "set": windows},
        {"name": "text", "model": "t2v_2_2"},
    ]
    bare = drive(plain_tree, scenarios, tmp_path / "bare")
    command("install", tree)
    shutil.rmtree(tree / "wan2gp_svi")
    hooked = drive(tree, scenarios, tmp_path / "hooked")
    assert "WanGP runs without it" in (tmp_path / "hooked" / "log.txt").read_text()
    for name, run in bare.items():
        assert run.ok and run.frames == hooked[name].frames > 1, run.said[-500:]
        assert sorted(run.arrays) == sorted(hooked[name].arrays) and len(run.arrays) > 1
        for array in run.arrays:
            assert np.array_equal(run.arrays[array], hooked[name].arrays[array]), (name, array)


def page(tree: Path, out: Path) -> tuple[str, dict]:
    """Starts WanGP's page: what the console said until it answered, and Gradio's description."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out.mkdir()
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "PYTHONUNBUFFERED": "1",
    }
    if (find.look(tree).version or "").startswith("9."):
        environment["WANGP_MMGP_VERSION"] = "3.6.9"
    python = os.environ.get("WANGP_PYTHON", sys.executable)
    serve = [python, HOST / "drive.py", "--wangp", tree, "--out", out, "--serve", port]
    with (out / "console.txt").open("w") as log:
        process = subprocess.Popen(
            [str(part) for part in serve], env=environment, stdout=log, stderr=log
        )
        try:
            for _ in range(600):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/config") as answer:
                        described = json.load(answer)
                    break
                except OSError:
                    assert process.poll() is None, (out / "console.txt").read_text()[-3000:]
                    time.sleep(0.5)
            else:
                pytest.fail("the page did not answer in 5 minutes")
        finally:
            process.terminate()
            process.wait()
    return (out / "console.txt").read_text(), described


def tabs(described: dict) -> list[str]:
    found = (part["props"].get("label") for part in described["components"])
    return [label for label in found if isinstance(label, str)]


def test_the_page_tells_when_the_hooks_were_lost(tree, tmp_path, capsys):
    base = {name: (tree / name).read_bytes() for name in HOOKED}
    command("install", tree)
    config = tree / "wgp_config.json"
    if not config.exists():
        said, described = page(tree, tmp_path / "first")  # WanGP writes its configuration
        assert "has lost its hooks" not in said and "SVI needs mending" not in tabs(described)
        before = config.read_bytes()
        command("install", tree)  # which enables the plugin
        assert b'"wan2gp-svi"' in config.read_bytes() and config.read_bytes() != before
    said, described = page(tree, tmp_path / "whole")
    assert "Loaded plugin: wan2gp-svi" in said
    assert "has lost its hooks" not in said and "SVI needs mending" not in tabs(described)
    for name in HOOKED:  # as `git reset --hard` does
        (tree / name).write_bytes(base[name])
    said, described = page(tree, tmp_path / "lost")
    assert "wan2gp-svi is here, but WanGP has lost its hooks" in said
    assert "SVI needs mending" in tabs(described)
    assert command("status", tree) == 4
    command("install", tree)
    assert command("status", tree) == 0
    command("uninstall", tree)
    assert b"wan2gp-svi" not in config.read_bytes()
    said, _ = page(tree, tmp_path / "out")
    assert "wan2gp-svi" not in said.replace(str(tree), "")
