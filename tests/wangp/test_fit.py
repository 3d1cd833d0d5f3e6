"""Closed instead of wrong: what is missing in a WanGP stops SVI with a sentence."""

from __future__ import annotations

import types

import pytest

from wan2gp_svi.errors import UserError
from wan2gp_svi.wangp import fit, wrapping


def around(original, *args, **kwargs):
    return original(*args, **kwargs)


def function(parameters=()):
    names = ", ".join([*parameters, "**more"])
    return eval(f"lambda {names}: None")


def a_wangp(tmp_path):
    """A stand-in for each of WanGP's modules, with all that is needed, wrapped."""
    modules = {}
    for where, calls in fit.CALLS.items():
        module = types.ModuleType(where)
        file = tmp_path / f"{where}.py"
        file.write_text("\n".join(f"    _wan2gp_svi.{call}(globals())" for call in calls))
        module.__file__ = str(file)
        modules[where] = module
    for needed in fit.NEEDED:
        owner, _, name = needed.name.rpartition(".")
        space = vars(modules[needed.where])
        place: dict | type = space.setdefault(owner, type(owner, (), {})) if owner else space
        made = function(("self", *needed.parameters) if owner else needed.parameters)
        if isinstance(place, dict):
            place[name] = made
        else:
            setattr(place, name, made)
        if needed.wrapped:
            wrapping.wrap(place, name, around)
    return modules


def problems(modules):
    return fit.problems(vars(modules[fit.WGP]), modules.__getitem__)


@pytest.fixture
def modules(tmp_path):
    return a_wangp(tmp_path)


def test_one_that_has_all_fits(modules, monkeypatch):
    assert problems(modules) == []
    monkeypatch.setattr(fit.importlib, "import_module", modules.__getitem__)
    fit.check(vars(modules[fit.WGP]))


def test_what_may_be_absent_is_not_missed(modules):
    for name in ("generate_video", "compute_sliding_window_no", "build_frame_scheduler"):
        del vars(modules[fit.WGP])[name]
    assert problems(modules) == []


@pytest.mark.parametrize("needed", [n for n in fit.NEEDED if not n.absent], ids=lambda n: n.name)
def test_anything_else_is(modules, needed):
    owner, _, name = needed.name.rpartition(".")
    space = modules[needed.where]
    delattr(getattr(space, owner) if owner else space, name)
    (sentence,) = problems(modules)
    assert f"has no {needed.name}" in sentence


@pytest.mark.parametrize("names", fit.ONE_OF)
def test_of_two_ways_one_must_be_there(modules, names):
    for name in names:
        del vars(modules[fit.WGP])[name]
    assert f"has no {names[0]} and no {names[1]}" in problems(modules)[0]


def test_a_page_that_lost_one_of_its_functions_is_not_a_host_without_a_page(modules):
    space = vars(modules[fit.WGP])
    del space["save_inputs"]
    assert problems(modules) == ["wgp.py has no save_inputs"]
    for name in fit.ALL_OR_NONE:
        space.pop(name, None)
    assert problems(modules) == []


def test_another_parameter_is_told(modules):
    pipeline = modules[fit.PIPELINE].WanAny2V
    pipeline.generate = function(("self", "input_prompt"))
    wrapping.wrap(pipeline, "generate", around)
    assert "takes no seed" in problems(modules)[0]


def test_a_function_that_is_not_wrapped_is_told(modules):
    vars(modules[fit.WGP])["preprocess_video"] = function()
    assert "could not get between wgp.py and its preprocess_video" in problems(modules)[0]


@pytest.mark.parametrize(("where", "call"), [(w, c) for w, cs in fit.CALLS.items() for c in cs])
def test_a_hook_that_is_gone_is_told(modules, tmp_path, where, call):
    file = tmp_path / f"{where}.py"
    file.write_text(file.read_text().replace(f"_wan2gp_svi.{call}(", "nothing("))
    assert problems(modules)[0].startswith(f"the hook {call} is not in ")


def test_the_sentence_names_the_version_and_what_to_do(modules, monkeypatch):
    monkeypatch.setattr(fit.importlib, "import_module", modules.__getitem__)
    space = vars(modules[fit.WGP])
    space["WanGP_version"] = "17.99"
    del space["preprocess_video"]
    with pytest.raises(UserError) as told:
        fit.check(space)
    for words in ("17.99", "preprocess_video", "install script", "all else works"):
        assert words in str(told.value)
