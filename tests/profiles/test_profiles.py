"""Profiles: each is right, says how long it takes, and every kind of mistake is found."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan2gp_svi.cli import main
from wan2gp_svi.errors import UserError
from wan2gp_svi.installer.payload import OWN_FOLDERS
from wan2gp_svi.profiles.check import _custom, mistakes
from wan2gp_svi.profiles.commands import describe, profile_files
from wan2gp_svi.profiles.host import Takes, takes
from wan2gp_svi.profiles.known import LORAS, OWN
from wan2gp_svi.profiles.passes import noise_levels, passes, steps_of_phases
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.wangp import settings
from wan2gp_svi.wangp.names import FIVE_B, FOLDERS, MODELS, PRO

ROOT = Path(__file__).parents[2]
FILES = profile_files(ROOT / "profiles")
IDS = [path.stem for path in FILES]
PRO_FILE = ROOT / "profiles/profiles/svi_2_pro/SVI 2 Pro - lightx2v 3 Phases - 10 Steps.json"
SHOT_FILE = ROOT / "profiles/profiles/svi_wan_2_1/SVI-Shot Infinite - lightx2v - 8 Steps.json"


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def saved(folder, profile, below="svi_2_pro", name="SVI 2 Pro - lightx2v 3 Phases - 10 Steps"):
    path = folder / below / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(profile if isinstance(profile, str) else json.dumps(profile), "utf-8")
    return path


# -- ours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_it_has_no_mistake(path):
    assert not mistakes(path, Takes())


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_its_help_says_how_long_it_takes(path):
    profile = read(path)
    said = re.findall(r"Time: (\d+) model passes a window", profile["help"])
    assert said == [str(passes(profile))]
    reference = re.search(r"; (.+? - 50 Steps) needs (\d+)\.", profile["help"])
    if reference:
        other = path.with_name(f"{reference[1]}.json")
        assert passes(read(other)) == int(reference[2])
    assert len(profile["help"]) < 420  # it is shown in the corner of the page


def authors():
    return [path for path in FILES if path.stem.endswith("- 50 Steps")]


@pytest.mark.parametrize("path", authors(), ids=[path.stem for path in authors()])
def test_50_steps_are_the_authors_settings(path):
    profile = read(path)
    own = MODELS[FOLDERS[path.parent.name]].own
    mode = MODES[profile.get("custom_settings", {}).get("svi_mode", own)]
    phases = profile["guidance_phases"]
    scales = [profile["guidance_scale"], profile.get("guidance2_scale")][:phases]
    assert scales == [mode.guidance] * phases
    assert (profile["num_inference_steps"], profile["flow_shift"]) == (50, 5)
    assert profile["sample_solver"] == "euler"
    assert profile.get("switch_threshold", 875) == 875
    assert not [a for a in profile["activated_loras"] if LORAS[a].accelerator]


@pytest.mark.parametrize("model_type", MODELS)
def test_every_mode_has_the_authors_settings_and_a_faster_one(model_type):
    rows = [describe(path) for path in FILES if FOLDERS[path.parent.name] == model_type]
    for mode in MODELS[model_type].modes or (MODELS[model_type].own,):
        steps = {row["steps"]: row["accelerator"] for row in rows if row["mode"] == mode}
        assert steps[50] == ""
        if model_type != FIVE_B:  # FastWan is a model of WanGP's there
            assert min(steps) <= 8
            assert steps[min(steps)]
    if MODELS[model_type].modes:
        assert [row["name"] for row in rows if row["mode"] == ""] == ["SVI Off"]


def test_the_names_that_were_promised():
    assert {"SVI-Shot Infinite - 50 Steps", "SVI-2.0 Unified - 50 Steps"} <= set(IDS)
    assert {"SVI 2 Pro - Lightning - 8 Steps", "SVI 2 Pro - 50 Steps"} <= set(IDS)


def test_what_is_known_here_is_what_the_bridge_has():
    assert {f"profiles/{folder}" for folder in FOLDERS} < set(OWN_FOLDERS)
    assert {name: model.modes for name, model in MODELS.items()} == {
        "i2v_2_2_svi2pro": (),
        "i2v": ("shot", "film", "tom", "unified"),
        "i2v_2_2": ("2.0",),
        "i2v_svi_dance": (),
        "multitalk": ("talk",),
        "ti2v_2_2": ("pro", "film", "tom"),
        "fun_inp": ("shot", "film"),
    }
    assert {name: model.own for name, model in MODELS.items() if model.own} == {
        "i2v_2_2_svi2pro": "pro",
        "i2v_svi_dance": "dance",
    }
    controls = {control["id"] for control in (*settings.CONTROLS, *settings.IN_TAB)}
    assert set(OWN) == controls | {"svi_mode"}


@given(st.sampled_from(sorted(set(OWN) - {"svi_mode"})), st.data())
def test_values_that_pass_are_those_that_the_bridge_reads(key, data):
    texts = ["new", "same", "exact", "whole windows", "1, 2", "1;2", "-1", "two", ""]
    numbers = st.floats(-1, 3).map(lambda x: round(x, 2)) | st.integers(-1, 6)
    value = data.draw(st.sampled_from(texts) | numbers)
    if isinstance(value, float) and key not in ("svi_anchor_strength", "svi_motion_strength"):
        value = int(value)
    try:
        settings.read({key: value})
        fits = True
    except (UserError, TypeError):
        fits = False
    if not list(_custom({key: value})):
        assert fits


# -- time ---------------------------------------------------------------------------------------


@given(
    st.integers(1, 100), st.floats(1, 25), st.integers(0, 1000), st.integers(0, 1000), st.booleans()
)
def test_phases_share_the_steps(steps, shift, one, two, three):
    high, low = max(one, two), min(one, two)
    profile = {
        "num_inference_steps": steps,
        "flow_shift": shift,
        "guidance_phases": 3 if three else 2,
        "switch_threshold": high,
        "switch_threshold2": low,
        "guidance_scale": 3.5,
        "guidance2_scale": 1,
        "guidance3_scale": 1,
    }
    shares = steps_of_phases(profile)
    assert sum(shares) == steps
    assert min(shares) >= 0
    assert passes(profile) == steps + shares[0]
    levels = noise_levels(steps, shift)
    assert levels[0] == pytest.approx(1000)
    assert all(a > b for a, b in pairwise(levels))
    assert all(level > high for level in levels[: shares[0]])
    assert all(level <= high for level in levels[shares[0] :])


def test_four_steps_with_shift_three():
    """1000, then 667, 334 and 1 shifted by 3: 857, 601 and 3 (3t / (1 + 2t))."""
    assert noise_levels(4, 3) == pytest.approx([1000, 857.4, 600.7, 2.994], abs=0.1)


# -- mistakes -----------------------------------------------------------------------------------

MISTAKES = [
    ({"sample_solvers": "euler"}, "sample_solvers", "Is sample_solver meant?"),
    ({"sample_solver": "eular"}, "sample_solver", "There is no solver 'eular'"),
    ({"num_inference_steps": 8}, "num_inference_steps", "name says 10 Steps"),
    ({"num_inference_steps": 10.5}, "num_inference_steps", "whole number"),
    ({"guidance_scale": "high"}, "guidance_scale", "must be a number"),
    ({"guidance_scale": 0.5}, "guidance_scale", "between 1 and 20"),
    ({"flow_shift": float("nan")}, "flow_shift", "between 1 and 25"),
    ({"flow_shift": None}, "flow_shift", "must be a number"),
    ({"guidance_phases": 2}, "loras_multipliers", "is for 3 phases, there are 2"),
    ({"guidance_phases": 1}, "guidance_phases", "needs 2 or 3 phases"),
    ({"guidance_phases": 4}, "guidance_phases", "between 1 and 3"),
    ({"guidance3_scale": ...}, "guidance3_scale", "this one's is missing"),
    ({"switch_threshold2": ...}, "switch_threshold2", "where one ends is missing"),
    ({"switch_threshold2": 960}, "switch_threshold2", "must not be above 930"),
    ({"loras_multipliers": "1"}, "loras_multipliers", "1 multipliers for 2 LoRAs"),
    ({"loras_multipliers": ...}, "loras_multipliers", "It is missing"),
    ({"loras_multipliers": ["1", "1"]}, "loras_multipliers", "must be text"),
    ({"loras_multipliers": "1;x;0 0;0;1"}, "loras_multipliers", "'x' in '1;x;0' is not a number"),
    ({"loras_multipliers": "1;0 0;1"}, "loras_multipliers", "before 10.0 does not take '1;0'"),
    ({"loras_multipliers": "1|1|"}, "loras_multipliers", "one | in it at most"),
    ({"activated_loras": ...}, "activated_loras", "It is missing"),
    ({"activated_loras": "a"}, "activated_loras", "must be a list"),
    ({"activated_loras": ["a.safetensors"] * 2}, "activated_loras", "no https:// address"),
    ({"activated_loras": ["https://a/b.pt"] * 2}, "activated_loras", "no .safetensors file"),
    ({"activated_loras": ["https://a/b.safetensors"] * 2}, "activated_loras", "is in it twice"),
    (
        {"activated_loras": ["https://huggingface.co/a/blob/main/b.safetensors"] * 2},
        "activated_loras",
        "/resolve/ for /blob/",
    ),
    (
        {"activated_loras": ["https://huggingface.co/a/resolve/main/b.safetensors"] * 2},
        "activated_loras",
        "none of the published files",
    ),
    ({"sliding_window_size": 80}, "sliding_window_size", "4k+1"),
    (
        {"sliding_window_color_correction_strength": 1},
        "sliding_window_color_correction_strength",
        "It must be 0",
    ),
    ({"help": ...}, "help", "It is missing"),
    ({"custom_settings": {"svi_mode": "shot"}}, "custom_settings.svi_mode", "no mode 'shot'"),
    ({"custom_settings": {"svi_seed": "new"}}, "custom_settings.svi_seed", "Is svi_seeds meant?"),
    ({"custom_settings": {"svi_seeds": "old"}}, "custom_settings.svi_seeds", "none of its values"),
    ({"custom_settings": "shot"}, "custom_settings", "in braces"),
]


@pytest.mark.parametrize(("change", "key", "words"), MISTAKES)
def test_each_kind_of_mistake_is_told(tmp_path, change, key, words):
    profile = {k: v for k, v in (read(PRO_FILE) | change).items() if v is not ...}
    found = mistakes(saved(tmp_path, profile), Takes())
    assert any(m.key == key and words in m.sentence for m in found), found
    assert all(m.file == PRO_FILE.name and m.sentence.endswith((".", "?")) for m in found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"custom_settings": {}}, 'It is missing: shot, film, tom, unified, or "" for none.'),
        ({"custom_settings": {"svi_mode": "film"}}, "is for the mode 'shot', not 'film'"),
        ({"activated_loras": [], "loras_multipliers": ""}, "needs its LoRA, and none is there"),
    ],
)
def test_mode_and_lora_belong_together(tmp_path, change, words):
    path = saved(tmp_path, read(SHOT_FILE) | change, "svi_wan_2_1", SHOT_FILE.stem)
    assert any(words in m.sentence for m in mistakes(path, Takes()))


def test_a_lora_of_another_model_or_of_the_model_itself(tmp_path):
    own, other = read(PRO_FILE), next(a for a, lora in LORAS.items() if PRO not in lora.models)
    svi = next(a for a, lora in LORAS.items() if lora.mode == "pro")
    for address, words in ((other, "does not fit Wan2.2 SVI 2 Pro"), (svi, "would act twice")):
        own["activated_loras"] = [address, own["activated_loras"][1]]
        assert any(words in m.sentence for m in mistakes(saved(tmp_path, own), Takes()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "in braces"),
        ("\ufeff{}", "not JSON"),
        ('{"help": "a", "help": "b"}', "'help' is given twice"),
    ],
)
def test_files_that_wangp_could_not_read(tmp_path, text, words):
    assert words in mistakes(saved(tmp_path, text), Takes())[0].sentence


def test_a_folder_that_no_model_lists(tmp_path):
    found = mistakes(saved(tmp_path, read(PRO_FILE), "svi_3"), Takes())
    assert [m.key for m in found] == ["(folder)"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.data())
def test_whatever_a_profile_holds_there_is_an_answer(tmp_path_factory, data):
    profile = read(PRO_FILE) | {"model": {}, "custom_settings": {}}
    for key in data.draw(st.lists(st.sampled_from(sorted(profile)), min_size=1, max_size=3)):
        profile[key] = data.draw(VALUES)
    if data.draw(st.booleans()):
        profile.pop("model")
    path = saved(tmp_path_factory.getbasetemp(), profile)
    assert all(m.sentence for m in mistakes(path, Takes()))


# -- against a WanGP ----------------------------------------------------------------------------


@pytest.fixture()
def wangp(tmp_path):
    """Files in the shape of WanGP's, of a version that has another solver and one setting less."""
    names = sorted(set(read(PRO_FILE)) - {"help", "switch_threshold2"})
    texts = {
        "wgp.py": f"def generate_media(task, {', '.join(names)}):\n    pass\n",
        "shared/utils/loras_mutipliers.py": "def parse_loras_multipliers(a, model_switch_phase=1):"
        "\n    pass\n",
        "models/wan/wan_handler.py": 'DEF = {"sample_solvers": [("A", "euler"), ("B", "ab")]}\n',
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_it_is_read_from_the_files(wangp):
    host = takes(wangp)
    assert host.solvers == ("euler", "ab")
    assert host.short_multipliers
    assert [m.key for m in mistakes(PRO_FILE, host)] == ["switch_threshold2"]
    short = saved(wangp, read(PRO_FILE) | {"loras_multipliers": "1;0 0;1", "sample_solver": "ab"})
    assert [m.key for m in mistakes(short, host)] == ["switch_threshold2"]


def test_a_wangp_that_cannot_be_read(wangp, capsys):
    (wangp / "wgp.py").write_text("def generate_media(:\n")
    assert main(["profiles", "check", "--wangp", str(wangp)]) == 2
    assert "wgp.py is not Python that can be read" in capsys.readouterr().err
    assert main(["profiles", "check", "--wangp", str(wangp / "none")]) == 2
    assert "cannot be read: No such file" in capsys.readouterr().err


# -- the commands -------------------------------------------------------------------------------


def test_list_is_a_table(capsys):
    assert main(["profiles", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("SVI 2 Pro - lightx2v Low Noise Only"))
    assert row.split()[-4:] == ["10", "lightx2v", "16", "16%"]
    assert len([line for line in lines if line.endswith("%") and " - " in line]) >= 20


def test_list_as_json(capsys):
    assert main(["profiles", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == IDS
    shot = next(row for row in rows if row["name"] == "SVI-Shot Infinite - 50 Steps")
    assert (shot["model_type"], shot["mode"], shot["relative_time"]) == ("i2v", "shot", 1.0)


def test_check_passes(capsys):
    assert main(["profiles", "check", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mistakes"] == []
    assert said["checked"] == len(FILES) + 2  # and the models' definitions


def test_check_tells_and_exits_with_2(capsys, tmp_path):
    path = saved(tmp_path, read(PRO_FILE) | {"sample_solvers": "euler"})
    assert main(["profiles", "check", str(path)]) == 2
    out = capsys.readouterr().out
    assert f"{path.name}: sample_solvers: " in out
    assert "1 files checked against WanGP from 9.3 to 12.60: 1 mistake" in out


def test_a_model_definition_is_checked(tmp_path):
    source = ROOT / "profiles/finetunes/i2v_2_2_svi2pro.json"
    definition = read(source)
    assert not mistakes(source, Takes())
    definition["model"]["loras_multipliers"] = ["1;0"]
    definition["guidance_scales"] = 3
    found = mistakes(saved(tmp_path, definition), Takes())
    assert {m.key for m in found} == {"model.loras_multipliers", "guidance_scales"}


def test_a_profile_that_is_not_there_is_a_sentence(tmp_path, capsys):
    for path, words in ((tmp_path / "no.json", "is not there"), (tmp_path, "is a folder")):
        assert main(["profiles", "check", str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        assert f"{path} {words}: name a profile or settings file" in err


def test_a_mistake_of_the_whole_file_names_no_key(tmp_path, capsys):
    (tmp_path / "x.json").write_text("[]")
    assert main(["profiles", "check", str(tmp_path / "x.json")]) == 2
    assert capsys.readouterr().out.startswith("x.json: The file must hold settings")
