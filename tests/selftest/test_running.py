"""A WanGP that runs is seen, by the file that it runs."""

import subprocess
import sys
import time

import pytest

from wan2gp_svi.selftest import running

pytest.importorskip("psutil")


@pytest.mark.parametrize("named", ["wgp.py", "./wgp.py", None])
def test_a_running_wangp_is_seen_and_another_is_not(tmp_path, named):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "wgp.py").write_text("import time; time.sleep(60)")
    root = tmp_path / "here"
    assert not running.is_running(root)
    command = [sys.executable, named or str(root / "wgp.py")]
    process = subprocess.Popen(command, cwd=root if named else tmp_path)
    try:
        for _ in range(50):  # it is to be seen as soon as it runs
            if running.is_running(root):
                break
            time.sleep(0.1)
        assert running.is_running(root)
        assert not running.is_running(tmp_path / "there")
    finally:
        process.kill()
        process.wait()
    assert not running.is_running(root)
