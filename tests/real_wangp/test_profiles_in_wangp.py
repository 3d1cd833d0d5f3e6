"""Every profile in the real WanGP: listed, applied over another one, downloaded, generated with.

A tiny pipeline counts frames in place of the models; page, loader, validation, queue and loop are
WanGP's. `python -m wan2gp_svi profiles check` is test_profiles.py's matter.
"""

import json

import pytest
from bench import ROOT, drive

from wan2gp_svi.profiles.commands import profile_files
from wan2gp_svi.profiles.passes import steps_of_phases
from wan2gp_svi.wangp.names import FOLDERS

pytestmark = pytest.mark.slow

FILES = profile_files(ROOT / "profiles")
NAMES = [f"{path.parent.name}/{path.name}" for path in FILES]
BEFORE = {
    "svi_2_pro": "wan_2_2/Lightning i2v v1.0 3 Phases - 8 Steps.json",
    "svi_wan_2_2": "wan_2_2/Lightning i2v v1.0 3 Phases - 8 Steps.json",
    "svi_wan_2_1": "wan_i2v/Image2Video lightx2v - 4 Steps.json",
}
"""WanGP's own profiles, applied before ours: nothing of them may stay."""
MERGED = ["i2v_2_2_Enhanced_Lightning_v2", "i2v_2_2_Enhanced_Lightning_v2_svi2pro"]
"""Models that have an accelerator in them; WanGP 9 has the first one only."""
OTHERS = ["t2v", "fun_inp", "flf2v_720p", "ti2v_2_2", *MERGED]
ASKED = 157


@pytest.fixture(scope="module")
def runs(svi_tree, tmp_path_factory):
    scenarios = [
        {
            "name": path.stem.replace(" ", "_") + path.parent.name,
            "model": FOLDERS[path.parent.name],
            "profiles": [BEFORE[path.parent.name], name],
            "fake": True,
            "set": {"video_length": ASKED if "Off" not in name else 17, "prompt": "one\ntwo"},
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
        assert f"{ASKED} frames asked" in run.svi[0]
    assert "error" not in run.said.lower()


@pytest.mark.parametrize("name", [n for n in NAMES if "Off" not in n])
def test_each_lora_has_its_strength_in_each_step(runs, name):
    """The multipliers as that WanGP reads them, step by step, beside the phases of work.py."""
    settings = profile(name)
    phases = steps_of_phases(settings)
    written = settings["loras_multipliers"].split()
    if name.startswith("svi_2_pro/"):
        written = ["1;0", "0;1", *written]  # the model's own
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
    assert sorted(ours) == sorted(name for name in NAMES if name.startswith(folder))
    assert BEFORE[folder] in listed
