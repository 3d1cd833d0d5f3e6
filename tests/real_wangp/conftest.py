"""The real WanGP, on a CPU, with tiny models: skipped unless WANGP_DIR names a folder of it."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from bench import HOST, PORT, copy_of, environment_for, installed


@pytest.fixture(scope="session")
def wangp_dir():
    folder = os.environ.get("WANGP_DIR")
    if not folder:
        pytest.skip("WANGP_DIR is not set: it names a WanGP folder to test against")
    if not (Path(folder) / "wgp.py").is_file():
        pytest.fail(f"WANGP_DIR={folder} holds no wgp.py")
    return Path(folder)


@pytest.fixture(scope="session")
def plain_tree(wangp_dir, tmp_path_factory):
    """A copy of WanGP as it is."""
    return copy_of(wangp_dir, tmp_path_factory.mktemp("plain") / "WanGP")


@pytest.fixture(scope="session")
def svi_tree(wangp_dir, tmp_path_factory):
    """A copy of WanGP with the extension installed as a user does it."""
    return installed(copy_of(wangp_dir, tmp_path_factory.mktemp("svi") / "WanGP"))


@pytest.fixture
def page(svi_tree: Path, tmp_path: Path):
    """WanGP's page on `PORT`, saving in the folder that this gives."""
    if not shutil.which("node") or not shutil.which("chromium"):
        pytest.skip("needs node and chromium")
    if subprocess.run(["node", "-e", "require('playwright-core')"]).returncode:
        pytest.skip("needs playwright-core: NODE_PATH names the folder that has it")
    (svi_tree / "resolutions.json").write_text('[["64x64", "64x64"], ["832x480", "832x480"]]')
    scenarios = tmp_path / "none.json"
    scenarios.write_text("[]")
    saves = tmp_path / "saves"
    command = [os.environ.get("WANGP_PYTHON", sys.executable), HOST / "drive.py"]
    command += ["--wangp", svi_tree, "--out", saves, "--serve", PORT, scenarios]
    with (tmp_path / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [str(p) for p in command], env=environment_for(svi_tree), stdout=log, stderr=log
        )
    try:
        for _ in range(300):
            time.sleep(2)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log.txt").read_text()[-2000:]
        yield saves
    finally:
        server.terminate()
        server.wait()
