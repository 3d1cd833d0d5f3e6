"""The hooks as WanGP sees them: silent where they have nothing to say, and never in the way."""

import sys
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from wan2gp_svi import wangp
from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.modes import MODES
from wan2gp_svi.svi.windows import Chain, Size, sizes
from wan2gp_svi.wangp import console, continuing, pipeline
from wan2gp_svi.wangp.run import Run, set_current
from wan2gp_svi.wangp.settings import Settings


@pytest.fixture
def run():
    chain = Chain(size=Size(17))
    run = Run(Settings(), Carry(chain), sizes(41, chain))
    set_current(run)
    yield run
    set_current(None)


def test_outside_a_run_nothing_changes():
    overlap, kwargs = torch.zeros(1), {"y": torch.ones(1)}
    assert wangp.window_frames(2, 77) == 77
    assert wangp.conditioning(object(), kwargs, overlap) is overlap
    assert torch.equal(kwargs["y"], torch.ones(1))
    wangp.window_saved("video.mp4", {})


def test_hooks_of_another_version_stay_off(capsys):
    namespace: dict = {}
    console._told.clear()
    for attach in (
        wangp.attach_wgp,
        wangp.attach_pipeline,
        wangp.attach_handler,
        wangp.attach_model,
    ):
        attach(namespace, hooks=wangp.HOOKS + 1)
    said = capsys.readouterr().out
    assert namespace == {}
    assert said.count("\n") == 1
    assert "install" in said
    assert "newer" in said


def test_a_failing_hand_over_does_not_stop_the_run(run, capsys, monkeypatch):
    monkeypatch.setattr(continuing, "remember", lambda *a: 1 / 0)
    wangp.window_saved("video.mp4", {})
    assert "could not be saved" in capsys.readouterr().out


def test_window_frames_are_the_plans_and_extra_windows_are_whole(run):
    run.sizes = sizes(33, run.chain, exact=True)
    planned = [size.frames for size in run.sizes]
    assert [wangp.window_frames(k, 99) for k in (1, 2, 3, 4)] == [*planned, 17]


def planned(name, original):
    namespace = {name: original}
    namespace["generate_video"] = lambda: None
    wangp.attach_wgp(namespace)
    return namespace[name]


def test_the_default_plan_becomes_ours(run):
    window = {"prompt": "", "frame_num": 1, "overlap_frames": 0, "new_shot": False, "other": 5}
    build = planned("build_default_window_plan", lambda **_: [dict(window)])
    found = build(total_frames=41)
    assert [w["frame_num"] for w in found] == [17, 17, 17]
    assert [w["output_frames"] for w in found] == [17, 12, 12]
    assert {w["overlap_frames"] for w in found} == {5}
    assert all(w["other"] == 5 and w["trim_last_frames"] == 0 for w in found)
    set_current(None)
    assert build(total_frames=41) == [window]


def scheduler(*windows):
    shown = [
        {"prompt": f"p{k}", "discard_last_frames": 0, "new_shot": False, **window}
        for k, window in enumerate(windows)
    ]
    return lambda **_: ({"active": True, "windows": shown, "prompts": []}, None)


def test_an_overlap_of_its_own_is_for_pro(run):
    run.carry.mode = MODES["film"]
    original = scheduler({"output_frames": 17, "overlap_frames": 9})
    build = planned("build_frame_scheduler", original)
    _, error = build(prompts=["[/overlap=9] a"])
    assert "[/overlap] is for SVI 2 Pro: SVI-Film always sees" in error
    _, error = build(prompts=["[/duration=9] the overlap of two ideas"])
    assert error is None


def test_durations_become_windows_that_end_where_a_latent_ends(run):
    original = scheduler(
        {"output_frames": 20, "overlap_frames": 0}, {"output_frames": 30, "overlap_frames": 5}
    )
    build = planned("build_frame_scheduler", original)
    found, error = build(prompts=["[/duration=20] a", "[/duration=30] b"])
    assert error is None
    assert [w["frame_num"] for w in found["windows"]] == [21, 37]
    assert [w["output_frames"] for w in found["windows"]] == [21, 32]
    assert found["predicted_total_frames"] == 53
    assert found["prompts"] == ["p0", "p1"]


def test_an_overlap_command_means_motion_latents(run):
    original = scheduler(
        {"output_frames": 17, "overlap_frames": 5},
        {"output_frames": 12, "overlap_frames": 9},
        {"output_frames": 12, "overlap_frames": 5},
    )
    build = planned("build_frame_scheduler", original)
    build(prompts=["a", "[/overlap=9] b", "c"])
    assert [size.motion_latents for size in run.sizes] == [1, 2, 1]


def test_prompts_without_their_commands_are_what_is_checked(run):
    """41 frames in windows of 17: the last two add 0.75 s each."""
    windows = [
        {"output_frames": 17, "overlap_frames": 5},
        {"output_frames": 12, "overlap_frames": 5},
    ]
    build = planned("build_frame_scheduler", scheduler(*windows))
    _, error = build(prompts=["[/x] p0", "[/x] p1"])
    assert error is None
    assert run.written == ["p0", "p1"]
    wrong = scheduler({**windows[0], "prompt": "a (at 9 s: b)"}, windows[1])
    _, error = planned("build_frame_scheduler", wrong)(prompts=["[/x] a (at 9 s: b)", "[/x] p1"])
    assert "9 s is past the end of window 1" in error


def test_an_error_of_the_scheduler_is_passed_on(run):
    build = planned("build_frame_scheduler", lambda **_: ({}, "no such command"))
    assert build(prompts=["[/x]"]) == ({}, "no such command")


def test_metadata_say_what_was_asked(run):
    run.asked = {"video_length": 43, "sliding_window_overlap": 4}
    prepare = planned("prepare_inputs_dict", lambda target, inputs: dict(inputs))
    told = {"video_length": 41, "sliding_window_overlap": 5}
    assert prepare("metadata", dict(told)) == run.asked
    assert prepare("state", dict(told)) == told


def test_settings_without_a_control_survive_the_page():
    def collect(model_def, inputs, strict=False):
        return {"svi_seeds": "new"}, None

    keep = planned("collect_custom_settings_from_inputs", collect)
    given = {"custom_settings": {"svi_length": "exact", "svi_seeds": "same", "theirs": 1}}
    assert keep({"svi2pro": True}, given) == ({"svi_length": "exact", "svi_seeds": "new"}, None)
    assert keep({}, given) == ({"svi_seeds": "new"}, None)


def a_page(**more):
    """The functions of wgp.py that keep a form's values; `save_inputs` is given those."""
    namespace = {
        "generate_video": lambda: None,
        "get_model_def": lambda model: {"svi2pro": True} if model == "svi" else {},
        "get_model_settings": lambda state, model: state.get("all_settings", {}).get(model),
        **more,
    }

    def set_model_settings(state, model_type, settings):
        state.setdefault("all_settings", {})[model_type] = settings

    def save_inputs(state, model_type, form):
        namespace["set_model_settings"](state, model_type, form)

    namespace.update(set_model_settings=set_model_settings, save_inputs=save_inputs)
    wangp.attach_wgp(namespace)
    return namespace


PROFILE = {"svi_length": "exact", "svi_seeds": "same", "theirs": 1}


def test_a_page_without_fields_for_our_settings_keeps_them():
    """WanGP before 10.80."""
    page, state = a_page(), {}
    for model in ("svi", "t2v"):
        page["set_model_settings"](state, model, {"custom_settings": PROFILE})
        page["save_inputs"](state, model, {"video_length": 81})
    kept = {"svi_length": "exact", "svi_seeds": "same"}
    assert state["all_settings"]["svi"] == {"video_length": 81, "custom_settings": kept}
    assert state["all_settings"]["t2v"] == {"video_length": 81}


def test_what_the_page_has_a_field_for_is_what_the_field_says():
    """From 10.80 on: `svi_length` has none, `svi_seeds` was emptied."""
    page = a_page(get_model_custom_settings=lambda model_def: [{"id": "svi_seeds"}])
    state = {}
    page["set_model_settings"](state, "svi", {"custom_settings": PROFILE})
    page["save_inputs"](state, "svi", {"custom_settings": None})
    assert state["all_settings"]["svi"] == {"custom_settings": {"svi_length": "exact"}}


def read_by(page, state, file, found):
    """Wrapped `get_settings_from_file`: merges `found` into the form's settings, as WanGP does."""

    def get_settings_from_file(state, file_path, *rest):
        return {**state["all_settings"]["svi"], **found}, False, False

    page.update(get_settings_from_file=get_settings_from_file)
    page["get_state_model_type"] = lambda state: "svi"
    wangp.attach_wgp(page)
    return page["get_settings_from_file"](state, file)[0]


@pytest.mark.parametrize(
    ("form", "file", "after"), [("PW", "W", "PW"), ("PG", "W", "PW"), ("G", "W", "W"), (0, 1, 1)]
)
def test_applying_a_profile_leaves_paragraphs_and_other_settings(form, file, after):
    state = {"all_settings": {"svi": {"custom_settings": PROFILE, "multi_prompts_gen_type": form}}}
    profile = {"custom_settings": {"svi_seeds": "new"}, "multi_prompts_gen_type": file}
    found = read_by(a_page(), state, "profiles/svi_2_pro/Fast.json", profile)
    assert found["multi_prompts_gen_type"] == after
    assert found["custom_settings"] == {"svi_length": "exact", "svi_seeds": "new"}
    elsewhere = read_by(a_page(), state, "loras/wan/Mine.json", profile)
    assert elsewhere["multi_prompts_gen_type"] == file
    assert elsewhere["custom_settings"] == {"svi_seeds": "new"}


def test_a_video_that_knows_nothing_of_svi_switches_it_off():
    """WanGP before 10.80 merges what the video says into the form's settings."""
    custom = {"svi_mode": "shot", "theirs": 1}
    state = {"all_settings": {"svi": {"custom_settings": custom}}}
    plain = read_by(a_page(), state, "plain.mp4", {"video_length": 81})
    assert plain["custom_settings"] == {"theirs": 1}
    own = read_by(a_page(), state, "own.mp4", {"custom_settings": {"svi_mode": "tom"}})
    assert own["custom_settings"] == {"svi_mode": "tom"}
    assert read_by(a_page(), state, "x.json", {})["custom_settings"] == custom


def test_settings_loaded_from_elsewhere_bring_their_own_only():
    page, state = a_page(), {}
    page["set_model_settings"](state, "svi", {"custom_settings": PROFILE})
    page["set_model_settings"](state, "svi", {"video_length": 81})
    assert state["all_settings"]["svi"] == {"video_length": 81}


def test_what_happens_in_other_threads_is_no_part_of_the_run(run):
    """The user queues, edits and exports while WanGP generates in a thread of its own."""
    run.asked = {"video_length": 43}
    prepare = planned("prepare_inputs_dict", lambda target, inputs: dict(inputs))
    sizes = list(run.sizes)
    build = planned("build_frame_scheduler", scheduler({"output_frames": 17, "overlap_frames": 5}))
    with ThreadPoolExecutor(1) as page:
        exported = page.submit(prepare, "metadata", {"video_length": 81}).result()
        page.submit(build, prompts=["[/duration=1s] a"]).result()
    assert exported == {"video_length": 81}
    assert run.sizes == sizes


def test_a_new_shot_adds_all_its_frames(run):
    """It repeats nothing of the window before; those behind it go on from it."""
    build = planned(
        "build_frame_scheduler",
        scheduler(
            {"output_frames": 17, "overlap_frames": 0},
            {"output_frames": 12, "overlap_frames": 0, "new_shot": True},
        ),
    )
    found, error = build(prompts=["a", "[/new_shot] b"])
    assert error is None
    assert [w["frame_num"] for w in found["windows"]] == [17, 17, 17]
    assert [w["output_frames"] for w in found["windows"]] == [17, 17, 12]
    assert [w["overlap_frames"] for w in found["windows"]] == [5, 0, 5]
    assert [w["new_shot"] for w in found["windows"]] == [False, True, False]


def test_a_new_shot_is_refused_by_name_where_it_cannot_be(run):
    shot = {"output_frames": 17, "overlap_frames": 0, "new_shot": True}
    build = planned("build_frame_scheduler", scheduler({**shot, "new_shot": False}, shot))
    run.carry.mode = MODES["film"]
    _, error = build(prompts=["a", "[/new_shot] b"])
    assert "[/new_shot] would start a window from nothing, and SVI-Film" in error
    run.carry.mode = MODES["pro"]
    run.carry.chain = replace(run.chain, source_frames=40)
    _, error = planned("build_frame_scheduler", scheduler(shot))(prompts=["[/new_shot] b"])
    assert "cannot be the first window of a continuation" in error


def test_wangp_lets_pro_begin_a_new_shot():
    ask = planned("image_prompt_types_allow_t2v", lambda model_def, image_mode=0: False)
    assert ask({"svi2pro": True}, 0)
    assert not ask({}, 0)


def test_lora_strengths_of_a_window_are_of_that_window_only(run):
    """The plan has three windows, WanGP's own of two prompts two."""
    original = scheduler(
        {"output_frames": 17, "overlap_frames": 0},
        {"output_frames": 24, "overlap_frames": 5, "loras_multipliers": "1;0"},
    )
    found, _ = planned("build_frame_scheduler", original)(prompts=["a", "[/loras_mult=1;0] b"])
    assert [w.get("loras_multipliers") for w in found["windows"]] == [None, "1;0", None]


def test_commands_act_the_same_when_they_are_read_again(run):
    """task.py lets them be read before the model loads, WanGP after."""
    original = scheduler(
        {"output_frames": 17, "overlap_frames": 0}, {"output_frames": 12, "overlap_frames": 9}
    )
    build = planned("build_frame_scheduler", original)
    first, _ = build(prompts=["a", "[/overlap=9] b"])
    sizes = list(run.sizes)
    second, _ = build(prompts=["a", "[/overlap=9] b"])
    assert run.sizes == sizes
    assert first == second


def test_a_frame_count_of_wangps_own_is_not_left_in_a_window(run):
    window = {"prompt": "", "frame_num": 1, "overlap_frames": 1, "requested_output_frames": 41}
    build = planned("build_default_window_plan", lambda **_: [dict(window)])
    assert [w["requested_output_frames"] for w in build()] == [17, 12, 12]


def test_a_hosts_list_of_known_settings_gets_our_old_key(monkeypatch):
    """From 13.14 on a task with another setting ends; videos made before 0.2 have one of ours."""
    names = types.ModuleType("setting_names")
    names.NON_SETTING_KEYS = frozenset({"type"})

    def unknown_settings(settings, known):
        return sorted(set(settings) - known - names.NON_SETTING_KEYS)

    package = types.ModuleType("shared.utils")
    package.setting_names = names
    monkeypatch.setitem(sys.modules, "shared", types.ModuleType("shared"))
    monkeypatch.setitem(sys.modules, "shared.utils", package)
    video = {"type": "WanGP", "seed": 1, "svi": {"id": "0" * 32}, "custom_settings": {}}
    assert unknown_settings(video, {"seed", "custom_settings"}) == ["svi"]
    wangp.attach_wgp({})
    assert unknown_settings(video, {"seed", "custom_settings"}) == []


@pytest.mark.parametrize("lost", ["window_frames", "window_saved"])
def test_a_hook_that_wangp_does_not_call_stops_the_run(lost: str) -> None:
    run = Run(Settings(), Carry(Chain(size=Size(17))), [Size(17)] * 2)
    run.measured, run.noted = 2, 1
    pipeline._check_hooks(run, 2)
    setattr(run, {"window_frames": "measured", "window_saved": "noted"}[lost], 0)
    with pytest.raises(UserError, match=f"did not call the hook {lost} for window 2"):
        pipeline._check_hooks(run, 2)
