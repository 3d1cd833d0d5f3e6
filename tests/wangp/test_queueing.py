"""What a run would say is said when it is queued, and what cannot be is not queued."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from wan2gp_svi.installer import config
from wan2gp_svi.wangp import enabling, fit, page, queueing
from wan2gp_svi.wangp.names import PRO

SETTINGS = {
    "image_mode": 0,
    "prompt": "a cat\n\na dog",
    "multi_prompts_gen_type": "PW",
    "image_prompt_type": "S",
    "image_start": ["start.png"],
    "video_prompt_type": "",
    "video_length": 157,
    "sliding_window_size": 81,
    "sliding_window_discard_last_frames": 0,
    "seed": 7,
    "resolution": "832x480",
    "activated_loras": [],
    "custom_settings": {},
}


@pytest.fixture
def told(monkeypatch):
    """What the page is told."""
    said: list[str] = []
    monkeypatch.setitem(sys.modules, "gradio", types.SimpleNamespace(Info=said.append))
    return said


def small_wgp(answers: int = 5) -> dict:
    """wgp.py's globals as far as a plan needs them; WanGP itself accepts everything."""
    source = f"def generate_media(task, {', '.join(fit.TASK.split())}, custom_settings=None): pass"
    wgp: dict = {
        "get_model_def": lambda model_type: {"svi2pro": True} if model_type == PRO else {},
        "get_base_model_type": lambda model_type: model_type,
        "get_computed_fps": lambda *args: 16,
        "get_gen_info": lambda state: state["gen"],
        "prompt_parser": types.SimpleNamespace(split_prompt_units=lambda t, kind: t.split("\n\n")),
    }
    exec(source, wgp)

    def validate_settings(state, model_type, single_prompt, inputs, silent=False):
        split = inputs["prompt"].split("\n\n")
        return ({"prompt": inputs["prompt"]}, split, inputs["image_start"], None, "")[:answers]

    wgp["validate_settings"] = validate_settings
    queueing.attach(wgp)
    return wgp


def queued(wgp: dict, silent: bool = False, model: str = PRO, queue=(), **changes):
    state = {"gen": {"queue": list(queue)}}
    return wgp["validate_settings"](state, model, False, {**SETTINGS, **changes}, silent=silent)


def test_the_plan_is_said(told, capsys):
    assert queued(small_wgp())[0] is not None
    assert told == ["SVI: 157 frames asked: 157 in 2 windows."]
    assert capsys.readouterr().out == ""


def test_prompts_that_are_not_used_are_said(told):
    queued(small_wgp(), prompt="a\n\nb\n\nc")
    assert "3 prompts for 2 windows: the last one is not used" in told[0]
    queued(small_wgp(), prompt="a")
    assert "windows 1 to 2 share prompt 1" in told[1]


def test_anchor_images_that_serve_no_window_are_said(told):
    anchors = {"video_prompt_type": "KI", "image_refs": ["a.png", "b.png"]}
    queued(small_wgp(), **anchors)  # window 1 starts on the start image, window 2 has image 2
    assert "anchor image 1 serves no window" in told[0]
    queued(small_wgp(), custom_settings={"svi_anchor_schedule": "0, 1"}, **anchors)
    assert "anchor image 2 serves no window" in told[1]
    queued(
        small_wgp(), video_length=233, custom_settings={"svi_anchor_schedule": "0, 1, 2"}, **anchors
    )
    assert "serves no" not in told[2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prompt": "a cat (at 9 s: it jumps)\n\nb"}, "9 s is past the end of window 1"),
        ({"custom_settings": {"svi_seeds": "some"}}, "Seeds (svi_seeds) can be 'new'"),
        ({"image_start": None, "image_prompt_type": ""}, "there is none: give it a start image"),
    ],
)
@pytest.mark.parametrize("answers", [4, 5])
def test_what_cannot_be_is_one_sentence_and_is_not_queued(told, answers, changes, sentence):
    found = queued(small_wgp(answers), **changes)
    assert len(found) == answers
    assert found[:4] == (None,) * 4
    assert len(told) == 1
    assert sentence in told[0]


def test_a_file_is_told_in_the_console_only(told, capsys):
    assert sentence_of(queued(small_wgp(), silent=True, prompt="a (at 9 s: b)\n\nc"))
    assert told == []
    assert "9 s is past" in capsys.readouterr().out
    assert queued(small_wgp(), silent=True)[0] is not None
    assert capsys.readouterr().out == ""  # the run itself says its plan


def sentence_of(found: tuple) -> bool:
    return "9 s is past" in found[4]


def test_prompts_that_are_videos_are_checked_one_by_one(told):
    wgp = small_wgp()
    queued(wgp, multi_prompts_gen_type="PG", prompt="a (at 3 s: b)\n\nc")
    assert told[0].startswith("SVI: 2 videos, for the prompts are one for each video")
    assert queued(wgp, multi_prompts_gen_type="PG", prompt="a\n\nc (at 90 s: d)")[0] is None


def test_other_models_are_left_alone(told):
    assert queued(small_wgp(), model="t2v", prompt="a (at 9 s: b)")[0] is not None
    assert told == []


def test_the_last_video_of_a_queue_is_not_known_yet(told):
    """But a mistake in the words is."""
    last = {"image_prompt_type": "L", "image_start": None, "queue": [{}]}
    assert queued(small_wgp(), **last)[0] is not None
    assert queued(small_wgp(), prompt="a (at 2 s: b", **last)[0] is None


def test_profiles_of_ours_come_first_in_their_group():
    names = [">accelerator_profiles", "wan_2_2/A.json", "svi_2_pro/Z.json", "svi_2_pro/Zz.json"]
    names += [">settings", "mine.json"]
    wgp = {"compute_lset_choices": lambda *args: [(name, name) for name in names]}
    page.attach(wgp)
    listed = [value for _, value in wgp["compute_lset_choices"](PRO, [])]
    assert listed == [names[0], names[2], names[3], names[1], *names[4:]]


def test_the_plugin_is_enabled_at_the_first_start_and_then_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = Path(config.CONFIG)
    written.write_text('{"enabled_plugins": []}')
    wgp: dict = {"server_config": {"enabled_plugins": []}, "server_config_filename": config.CONFIG}
    enabling.attach(wgp)
    assert wgp["server_config"]["enabled_plugins"] == []  # its user has switched it off
    waiting = Path(config.WAITING)
    waiting.parent.mkdir()
    waiting.touch()
    enabling.attach(wgp)
    assert wgp["server_config"]["enabled_plugins"] == ["wan2gp-svi"]
    assert json.loads(written.read_text())["enabled_plugins"] == ["wan2gp-svi"]
    assert not waiting.exists()
