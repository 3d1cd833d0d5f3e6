"""The tab SVI on the real page: a film edited, stopped, resumed, made again; hooks put back.

Needs WANGP_DIR, Debian's chromium, node, and NODE_PATH with playwright-core.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bench import PORT, command_for, copy_of, environment_for, installed, keep_shots, version_of
from PIL import Image
from test_continue_page import SETTINGS

from wan2gp_svi.installer import proof
from wan2gp_svi.svi.handover_file import load, path_beside

pytestmark = pytest.mark.slow


def node(script: str, *arguments: object) -> dict:
    """What a page script prints."""
    command = ["node", Path(__file__).with_name(script), PORT, *arguments]
    done = subprocess.run([str(p) for p in command], capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_film_of_five_windows(page: Path, svi_tree: Path, tmp_path: Path) -> None:
    paragraphs = version_of(svi_tree).startswith("12.")
    gap = "\n\n" if paragraphs else "\n"
    settings = tmp_path / "three.json"
    settings.write_text(
        json.dumps(
            {
                **SETTINGS,
                "video_length": 41,
                "num_inference_steps": 90,  # long enough to be stopped
                "prompt": gap.join(["one (at 0.3 s: it jumps)", "two", "three"]),
                "multi_prompts_gen_type": "PW" if paragraphs else 1,
            }
        )
    )
    picture = tmp_path / "anchor.png"
    values = np.random.default_rng(5).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(values).resize((64, 64), Image.Resampling.BICUBIC).save(picture)
    try:
        seen = node("e2e_tab.js", tmp_path, settings, picture, page)
    finally:
        keep_shots(tmp_path, svi_tree)
    # Gradio's client, when it closes a stream of its own while it reads it, says that much.
    assert [one for one in seen["errors"] if one != "TypeError: Failed to fetch"] == []
    assert seen["first"] == 3
    assert f"WanGP is version {version_of(svi_tree)} now" in seen["notice"]
    assert "last passed with 8.99" in seen["notice"]
    assert "A fox in window 3" in seen["draft"]
    assert "Nothing is used yet" in seen["draftSaid"]
    assert ["fox" in card for card in seen["draftUsed"]] == [False, False, True]
    assert "never closed" in seen["mistake"]
    cards = seen["cards"]
    assert "one it jumps" in cards[0]
    assert ("seed 99" in cards[1]) and ("two" in cards[1])
    assert ("anchor 1" in cards[2]) and ("three" in cards[2])
    assert "four it sings" in cards[3]
    assert ("three" in cards[4]) and ("start image" in cards[4])  # as before: it shared that prompt
    assert "anchor 1" in seen["dragged"]
    assert seen["anchors"] == ["start image", "anchor image 1"]
    assert seen["fits"]
    assert seen["tall"] and all(height < lines for _, height, lines in seen["tall"]), seen["tall"]
    assert re.search(r"SVI window \d of 5, (the start image|anchor 1), .*hand-over", seen["status"])
    assert seen["running"][-1] in [f"Window {k} of 5" for k in (3, 4)]
    assert seen["other"] == {"run": 0, "cards": 0}

    stopped = load(path_beside(page / seen["stopped"][-1]))
    assert stopped.windows in (2, 3, 4)  # the window that was under way may have been finished
    film = load(path_beside(page / seen["resumed"]["made"][-1]))
    assert (film.windows, film.frames) == (5, 65)
    assert film.seeds_used == (7, 99, 91, 133, 175)
    assert film.prompts == (
        "one (at 0.3 s: it jumps)",
        "two",
        "three",
        "four (at 0.3 s: it sings)",
        "three",
    )
    again = load(path_beside(page / seen["again"]["made"][-1]))
    assert (again.windows, again.seeds_used) == (2, (7, 1234))
    assert "made again with seed 1234" in seen["again"]["said"]
    take = load(path_beside(page / seen["take"]["made"][-1]))
    assert take.windows == 2
    assert take.seeds_used[1] not in (99, 1234)
    assert take.settings["previous"] == again.settings["previous"]
    assert seen["sheet"] == 1
    assert "5 windows" in seen["report"]
    assert "All is in place" in seen["health"]
    (ours,) = [text for text in seen["plugins"] if "wan2gp-svi" in text]
    assert not re.search("Install|Unknown", ours)


@pytest.fixture
def svi_tree_without_hooks(wangp_dir: Path, tmp_path: Path) -> Path:
    """As `git reset --hard` leaves it: the files that git knows are as they came.

    WanGP was started before: since then its configuration names our plugin.
    """
    tree = installed(copy_of(wangp_dir, tmp_path / "WanGP"))
    start = command_for(tree, [], tmp_path / "first start")
    subprocess.run(start, env=environment_for(tree), capture_output=True, timeout=1200)
    assert "wan2gp-svi" in (tree / "wgp_config.json").read_text()
    for name in ("wgp.py", "models/wan/any2video.py"):
        shutil.copy(wangp_dir / name, tree / name)
    return tree


@pytest.fixture
def svi_tree(request, wangp_dir, tmp_path_factory):
    """The tree that `page` serves; a test may name another."""
    if "svi_tree_without_hooks" in request.fixturenames:
        return request.getfixturevalue("svi_tree_without_hooks")
    tree = installed(copy_of(wangp_dir, tmp_path_factory.mktemp("svi") / "WanGP"))
    proof.save(tree, proof.Proof("2026-01-02", "8.99", "0.1.0", "CPU"))
    return tree


def test_lost_hooks_are_put_back(
    svi_tree_without_hooks: Path, page: Path, svi_tree: Path, tmp_path: Path
) -> None:
    seen = node("e2e_lost.js", tmp_path)
    keep_shots(tmp_path, svi_tree)
    assert "The hooks are lost" in seen["before"]
    assert "Now stop WanGP and start it again" in seen["after"]
    assert "All is in place" in seen["after"]
    assert b"# >>> wan2gp-svi" in (svi_tree / "wgp.py").read_bytes()
