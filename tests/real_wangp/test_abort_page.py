"""A film that is watched while it grows, aborted and gone on with, on WanGP's real page.

Needs WANGP_DIR (v12), Debian's chromium, node, and NODE_PATH with playwright-core.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import pytest
from bench import PORT, keep_shots, version_of
from test_continue_page import SETTINGS

from wan2gp_svi.svi.handover_file import load, path_beside

pytestmark = pytest.mark.slow
STEPS, WINDOWS = 100, 12  # so that there is time to watch and to abort


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_watched_aborted_and_gone_on_with(page: Path, svi_tree: Path, tmp_path: Path) -> None:
    if not version_of(svi_tree).startswith("12."):
        pytest.skip("the page of another WanGP has other labels")
    settings = {**SETTINGS, "num_inference_steps": STEPS, "video_length": 17 + 12 * (WINDOWS - 1)}
    file = tmp_path / "film.json"
    file.write_text(json.dumps({**settings, "prompt": "one"}))
    script = Path(__file__).with_name("e2e_abort.js")
    command = [str(part) for part in ("node", script, PORT, tmp_path, file, page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    keep_shots(tmp_path, svi_tree)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    print(made)
    stopped = len(made["before"])
    assert 1 <= stopped < WINDOWS, "it was aborted too late"
    assert made["played"]["width"] == 64 and made["played"]["time"] > 0
    assert [frames(page / name) for name in made["before"]] == [17 + 12 * k for k in range(stopped)]
    last = made["before"][-1]
    assert load(path_beside(page / last)).windows == stopped
    (after,) = made["after"]
    now, then = packets(page / after), packets(page / last)
    assert now[: len(then)] == then and len(now) == len(then) + 12
    assert load(path_beside(page / after)).windows == stopped + 1
    assert made["last"]["duration"] == pytest.approx(len(now) / 16, abs=0.1)
    assert not [path for path in page.iterdir() if path.name.startswith(".")]
