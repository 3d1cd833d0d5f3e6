"""The real WanGP, on a CPU, with tiny models: skipped unless WANGP_DIR names a folder of it."""

import os
from pathlib import Path

import pytest
from bench import copy_of, installed


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
