"""Settings of ours that survive WanGP's page, its files and its metadata.

Functions of wgp.py that pass settings on are wrapped:

    prepare_inputs_dict                 gives the metadata what was asked for
    collect_custom_settings_from_inputs keeps settings of ours that have no control on the page
    get_settings_from_file              profiles leave what they do not speak of as it is
    save_inputs, set_model_settings     the page's form is kept: so are settings of ours without a
                                        field there (all of them before 10.80)
    compute_lset_choices                lists the profiles of ours first
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wan2gp_svi.wangp.console import say
from wan2gp_svi.wangp.handler import paragraphs
from wan2gp_svi.wangp.names import FOLDERS, OLD_KEY, PREFIX
from wan2gp_svi.wangp.run import Run, current
from wan2gp_svi.wangp.settings import ours, read_mode
from wan2gp_svi.wangp.wrapping import wrap

_form = threading.local()


def attach(wgp: dict[str, Any]) -> None:
    """Wrap the functions named above in wgp.py's globals; those it does not have are left out."""
    wrap(wgp, "prepare_inputs_dict", _metadata)
    wrap(wgp, "collect_custom_settings_from_inputs", _custom_settings)
    wrap(wgp, "get_settings_from_file", functools.partial(_settings_read, wgp))
    wrap(wgp, "save_inputs", _form_saved)
    wrap(wgp, "set_model_settings", functools.partial(_settings_kept, wgp))
    wrap(wgp, "compute_lset_choices", _profiles_listed)
    _allow_old_key()


def _allow_old_key() -> None:
    """Videos made before 0.2 name their hand-over in a setting that WanGP refuses from 13.14 on."""
    try:
        from shared.utils import setting_names
    except ImportError:  # before 13.14
        return
    setting_names.NON_SETTING_KEYS = frozenset(setting_names.NON_SETTING_KEYS) | {OLD_KEY}


def add_settings(run: Run, configs: dict[str, Any]) -> None:
    """Put our settings into a video's metadata where WanGP does not do it (before 10.80)."""
    if run.custom and not configs.get("custom_settings"):
        configs["custom_settings"] = dict(run.custom)


def _metadata(original: Callable[..., Any], *args, **kwargs) -> Any:
    """Users and metadata see what was asked for, not what WanGP was told (task.py)."""
    run = current()
    target = args[0] if args else kwargs.get("target")
    inputs = args[1] if len(args) > 1 else kwargs.get("inputs")
    if run is not None and target == "metadata" and isinstance(inputs, dict):
        inputs.update({name: value for name, value in run.asked.items() if name in inputs})
    return original(*args, **kwargs)


def _custom_settings(original: Callable[..., tuple], model_def, inputs, *args, **kwargs) -> tuple:
    """A task keeps settings of ours that have no control on the page."""
    before = inputs.get("custom_settings")
    found, error = original(model_def, inputs, *args, **kwargs)
    if error is None and _may_be_svi(model_def):
        found = {**ours(before), **(found or {})} or None
    elif read_mode(before if isinstance(before, Mapping) else None):
        name = (model_def or {}).get("name") or "this model"
        say(f"{name} runs no SVI mode, and {read_mode(before)!r} was asked for: SVI is off")
    return found, error


def _settings_read(
    wgp: dict[str, Any], original: Callable[..., tuple], state, file_path, *args, **kwargs
) -> tuple:
    """A profile of ours changes what it speaks of; a video's settings are all that made it."""
    try:
        model_type = wgp["get_state_model_type"](state)
        shown = wgp["get_model_settings"](state, model_type) or {}
    except (KeyError, TypeError):  # no model has been chosen yet
        shown = {}
    before, prompts = shown.get("custom_settings"), shown.get("multi_prompts_gen_type")
    found, *rest = original(state, file_path, *args, **kwargs)
    if not isinstance(found, dict):
        return found, *rest
    path = Path(str(getattr(file_path, "name", file_path)))
    if path.parent.name in FOLDERS:
        # 1 and 0 in our profiles, W and G from 12.0 on: a prompt a window, or a video. A paragraph
        # stays one prompt, or a line, as it was.
        per = found.get("multi_prompts_gen_type")
        if per in ("W", "G") and str(prompts or paragraphs()).startswith("P"):
            found["multi_prompts_gen_type"] = f"P{per}"
        found["custom_settings"] = {**ours(before), **(found.get("custom_settings") or {})}
    elif path.suffix != ".json" and found.get("custom_settings") is before and before:
        # What a video was made with: before 10.80, no word of SVI there means that it was off.
        found["custom_settings"] = {k: v for k, v in before.items() if not k.startswith(PREFIX)}
    return found, *rest


def _profiles_listed(original: Callable[..., list], *args, **kwargs) -> list:
    """Within each group of the list, under its heading, profiles of ours come first."""
    found: list = []
    groups: list[list] = [[]]
    for choice in original(*args, **kwargs):
        if str(choice[1]).startswith(">"):
            groups.append([])
        groups[-1].append(choice)
    for group in groups:
        found += sorted(group, key=_rank)
    return found


def _rank(choice: Sequence[Any]) -> int:
    """A heading, profiles of ours, all others."""
    value = str(choice[1]).replace("\\", "/")
    return 0 if value.startswith(">") else 1 if value.split("/")[0] in FOLDERS else 2


def _form_saved(original: Callable[..., Any], *args, **kwargs) -> Any:
    """The page's form is about to become a model's settings: `_settings_kept` is told."""
    _form.is_saved = True
    try:
        return original(*args, **kwargs)
    finally:
        _form.is_saved = False


def _settings_kept(
    wgp: dict[str, Any], original: Callable[..., Any], state, model_type, settings, *rest
) -> Any:
    """The form of the page replaces a model's settings, but for those of ours it does not show."""
    model_def = wgp["get_model_def"](model_type)
    if getattr(_form, "is_saved", False) and isinstance(settings, dict) and _may_be_svi(model_def):
        before = wgp["get_model_settings"](state, model_type) or {}
        shown = wgp.get("get_model_custom_settings", lambda model_def: [])(model_def)
        fields = {setting.get("id") for setting in shown}
        kept = {k: v for k, v in ours(before.get("custom_settings")).items() if k not in fields}
        if kept:
            settings["custom_settings"] = {**kept, **(settings.get("custom_settings") or {})}
    return original(state, model_type, settings, *rest)


def _may_be_svi(model_def: Mapping[str, Any] | None) -> bool:
    """Whether a model has settings of ours (handler.py gives them to it)."""
    return bool(model_def and any(map(model_def.get, ("svi2pro", "svi_modes", "svi_mode"))))
