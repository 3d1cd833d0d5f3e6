"""A WanGP folder to install into: a copy of the demo's small host, which has WanGP's shape."""

import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from installing import HOST

settings.register_profile("any machine", deadline=None)  # a busy one is no slower code
settings.load_profile("any machine")


@pytest.fixture
def wangp(tmp_path: Path) -> Path:
    root = tmp_path / "Wän 2 GP & co!"
    shutil.copytree(HOST, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root
