"""A profile on WanGP's page, without the page: choose it in the dropdown, Apply, read it back."""

import ast
import inspect
import json
import os
from contextlib import contextmanager
from pathlib import Path


def listed(wgp, model):
    """What the dropdown lists for a model type, as paths under profiles/."""
    values = [value for _, value in wgp.compute_lset_choices(model, [])]
    return [value.replace(os.sep, "/") for value in values if not value.startswith(">")]


def apply(wgp, model, profiles):
    """Apply profiles one after the other, in a fresh session; what the last one leaves."""
    state = {"model_type": model, "loras": [], "loras_presets": [], "active_form": "add"}
    state["gen"] = {"queue": []}
    with _told(wgp) as told:
        for profile in profiles:
            told.clear()
            wgp.apply_lset(state, "on", profile.replace("/", os.sep), [], "", "")
    settings = wgp.get_model_settings(state, model)
    keys = json.loads((Path("profiles") / profiles[-1]).read_text(encoding="utf-8"))
    return {
        "listed": profiles[-1] in listed(wgp, model),
        "told": told,
        "settings": {key: settings[key] for key in keys},
        "downloads": _downloads(wgp, model, settings["activated_loras"]),
    }


@contextmanager
def _told(wgp):
    """What WanGP shows in the corner of its page."""
    kept, told = (wgp.gr.Info, wgp.gr.Warning), []
    wgp.gr.Info = wgp.gr.Warning = lambda text, *a, **k: told.append(str(text))
    try:
        yield told
    finally:
        wgp.gr.Info, wgp.gr.Warning = kept


def _downloads(wgp, model, loras):
    """The addresses that WanGP would load a profile's LoRAs from before the first window."""
    source = ast.parse(Path(wgp.__file__).read_bytes())
    wanted = next(n for n in source.body if getattr(n, "name", "") == "check_loras_exist")
    space = dict(vars(wgp))  # drive.py has put a stand-in into wgp itself
    addresses = []
    space["download_file"] = lambda url, path: addresses.append([url, Path(path).name])
    exec(compile(ast.Module([wanted], []), wgp.__file__, "exec"), space)
    error = space["check_loras_exist"](model, loras, True)
    assert not error, error
    assert "download" in inspect.signature(space["check_loras_exist"]).parameters
    return addresses
