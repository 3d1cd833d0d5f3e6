"""Every profile in the real WanGP: listed, applied over another one, downloaded, generated with.

A tiny pipeline counts frames in place of the models; page, loader, validation, queue and loop are
WanGP's. `python -m wan2gp_svi profiles check` is test_profiles.py's matter.
"""

import json

import pytest
from bench import ROOT, drive
from safetensors.torch import save_file
from test_dance import adapter_tensors, skeleton
from test_talk import voice

from wan2gp_svi.profiles.commands import profile_files
from wan2gp_svi.profiles.passes import steps_of_phases
from wan2gp_svi.wangp.names import FOLDERS

pytestmark = pytest.mark.slow

FILES = profile_files(ROOT / "profiles")
NAMES = [f"{path.parent.name}/{path.name}" for path in FILES]
_2_1, _2_2 = (
    "wan_i2v/Image2Video lightx2v - 4 Steps.json",
    "wan_2_2/Lightning i2v v1.0 3 Phases - 8 Steps.json",
)
BEFORE = {
    "svi_2_pro": _2_2,
    "svi_wan_2_2": _2_2,
    "svi_wan_2_2_5b": "wan_2_2_5B/FastWan 3 Steps.json",
    **dict.fromkeys(("svi_wan_2_1", "svi_fun_inp", "svi_dance", "svi_talk"), _2_1),
}
"""WanGP's own profiles, applied before ours: nothing of them may stay."""
MERGED = ["i2v_2_2_Enhanced_Lightning_v2", "i2v_2_2_Enhanced_Lightning_v2_svi2pro"]
"""Models that have an accelerator in them; WanGP 9 has the first one only."""
OTHERS = ["t2v", "fun_inp_1.3B", "flf2v_720p", "infinitetalk", *MERGED]
ASKED = 157


def moved(folder, files):
    """What moves the person, where something must: a skeleton, a voice."""
    if folder == "svi_dance":
        return {"video_prompt_type": "V", "video_guide": skeleton(files / "skeleton.mp4", 20)}
    if folder == "svi_talk":
        return {"audio_prompt_type": "A", "audio_guide": voice(files / "voice.wav", 8)[0]}
    return {}


@pytest.fixture(scope="module")
def runs(svi_tree, tmp_path_factory):
    files = tmp_path_factory.mktemp("files")
    for lora_folder in ("loras/wan_i2v", "loras_i2v"):  # from 10 on; before
        (svi_tree / lora_folder).mkdir(parents=True, exist_ok=True)
        save_file(adapter_tensors(), svi_tree / lora_folder / "svi-dance.safetensors")
    scenarios = [
        {
            "name": path.stem.replace(" ", "_") + path.parent.name,
            "model": FOLDERS[path.parent.name],
            "profiles": [BEFORE[path.parent.name], name],
            "fake": True,
            "set": {
                "video_length": ASKED if "Off" not in name else 17,
                "prompt": "one\ntwo",
                **moved(path.parent.name, files),
            },
        }
        for path, name in zip(FILES, NAMES, strict=True)
    ]
    there = [m for m in OTHERS if (svi_tree / f"defaults/{m}.json").is_file()]
    scenarios[0]["list"] = [*FOLDERS.values(), *there]
    found = drive(svi_tree, scenarios, tmp_path_factory.mktemp("profiles"))
    return {n: found[s["name"]] for n, s in zip(NAMES, scenarios, strict=True)}


def profile(name):
    return json.loads((ROOT / "profiles/profiles" / name).read_text())


@pytest.mark.parametrize("name", NAMES)
def test_the_dropdown_lists_it_and_apply_leaves_what_it_says(runs, name):
    page, wanted = runs[name]["page"], profile(name)
    assert page["listed"]
    assert wanted["help"] in page["told"]
    assert all("has been applied" in text for text in page["told"] if text != wanted["help"])
    per = wanted.get("multi_prompts_gen_type")
    assert page["settings"].pop("multi_prompts_gen_type") in ((0, "PG"), (1, "PW"))[per]
    multipliers = page["settings"].pop("loras_multipliers")
    assert multipliers.rstrip("|").split() == wanted["loras_multipliers"].split()
    loras = [lora.rsplit("/", 1)[-1] for lora in page["settings"].pop("activated_loras")]
    assert loras == [lora.rsplit("/", 1)[-1] for lora in wanted["activated_loras"]]
    assert page["settings"] == {key: wanted[key] for key in page["settings"]}


@pytest.mark.parametrize("name", NAMES)
def test_its_loras_are_downloaded_on_first_use(runs, name):
    wanted = profile(name)["activated_loras"]
    assert runs[name]["page"]["downloads"] == [[url, url.rsplit("/", 1)[-1]] for url in wanted]


@pytest.mark.parametrize("name", NAMES)
def test_it_generates_the_frames_asked(runs, name):
    run = runs[name]
    assert run.ok, run.error + run.said
    if "Off" in name:
        assert not run.svi
    else:
        assert run.frames == ASKED
        assert len(run.windows) == 2
        assert any(f"{ASKED} frames asked" in line for line in run.svi)
    assert "error" not in run.said.lower()


@pytest.mark.parametrize("name", [n for n in NAMES if "Off" not in n])
def test_each_lora_has_its_strength_in_each_step(runs, name):
    """The multipliers as that WanGP reads them, step by step, beside the phases of work.py."""
    settings = profile(name)
    phases = steps_of_phases(settings)
    written = settings["loras_multipliers"].split()
    if name.startswith("svi_2_pro/"):
        written = ["1;0", "0;1", *written]  # the model's own
    if name.startswith("svi_dance/"):
        written = ["1", *written]
    for window in runs[name]["windows"]:
        assert len(window["loras"]) == len(written)
        for number, multiplier in enumerate(written):
            found = window["loras"][str(number)]
            found = found if isinstance(found, list) else [found] * sum(phases)
            parts = [float(part) for part in multiplier.split(";")]
            if len(parts) == 1:
                parts *= len(phases)
            elif len(parts) < len(phases):
                parts.insert(1, parts[settings["model_switch_phase"] == 1])
            pairs = zip(parts, phases, strict=True)
            assert found == [part for part, steps in pairs for _ in range(steps)]


@pytest.mark.parametrize("model", OTHERS)
def test_other_models_do_not_list_ours(runs, model):
    listed = runs[NAMES[0]]["listed"].get(model)
    if listed is None:
        pytest.skip("this WanGP has no such model")
    assert not [name for name in listed if name.startswith(tuple(FOLDERS))]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_model_lists_its_own_and_wangps(runs, folder):
    listed = runs[NAMES[0]]["listed"][FOLDERS[folder]]
    ours = [name for name in listed if name.startswith(tuple(FOLDERS))]
    assert sorted(ours) == sorted(name for name in NAMES if name.startswith(f"{folder}/"))
    assert BEFORE[folder] in listed
