"""What a run would say is said when it is queued: its plan, and what cannot be.

`validate_settings` of wgp.py is asked before a task is queued from the page, loaded from a file, or
run by the command line. There the run is begun as task.py begins it, and dropped again: a mistake
in a prompt or in a setting is a sentence on the page, and no task, no queue file and no traceback
come of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.modes import Mode
from wan2gp_svi.svi.prompts import parse
from wan2gp_svi.svi.schedule import notes
from wan2gp_svi.svi.windows import layout
from wan2gp_svi.wangp import task
from wan2gp_svi.wangp.console import heard, say
from wan2gp_svi.wangp.run import Run
from wan2gp_svi.wangp.settings import read
from wan2gp_svi.wangp.wrapping import arguments, wrap

WGP = dict[str, Any]
"""The globals of wgp.py."""


def attach(wgp: WGP) -> None:
    """Wrap `validate_settings` in wgp.py's globals."""
    wrap(wgp, "validate_settings", functools.partial(_validated, wgp))


def _validated(wgp: WGP, original: Callable[..., tuple], *args: Any, **kwargs: Any) -> tuple:
    """WanGP's own answer, and no task where a run of ours could not begin.

    The answer is (settings, prompts, start images, end images), with the error behind it in later
    versions; all None where there is one.
    """
    found = original(*args, **kwargs)
    if found[0] is None:
        return found
    asked = arguments(original, args, kwargs)
    silent = bool(asked.get("silent"))
    given = {**asked["inputs"], **found[0], "image_start": found[2], "image_end": found[3]}
    try:
        lines = foresee(wgp, asked["state"], asked["model_type"], given, found[1])
    except UserError as error:
        _tell(f"SVI: {error}", silent)
        return (None, None, None, None, f"SVI: {error}")[: len(found)]
    except Exception as error:  # the run itself will tell: a look ahead must not be in its way
        say(f"the plan could not be looked at before: {error!r}")
        return found
    if lines and not silent:
        _tell("SVI: " + "; ".join(lines) + ".", silent)
    return found


def foresee(
    wgp: WGP, state: dict, model_type: str, settings: Mapping[str, Any], prompts: list[str]
) -> list[str]:
    """What the tasks that settings make would say of their plan; nothing for another model's.

    Raises `UserError` for what could not be generated.
    """
    given = given_by(wgp, state, model_type, settings)
    mode = mode_for(wgp, given)
    if mode is None:
        return []
    gen = wgp["get_gen_info"](state)
    if "L" in (given["image_prompt_type"] or "") and gen.get("queue"):
        read(task.custom_settings(given))  # which video is the last one is not known yet
        for prompt in prompts:
            parse(prompt)
        return []
    per_window = "W" in str(given["multi_prompts_gen_type"]) or given["multi_prompts_gen_type"] == 1
    texts = [given["prompt"]] if per_window else prompts
    begun = [begun_for(wgp, {**given, "prompt": text}, mode) for text in texts or [""]]
    run, lines = begun[0]
    if len(texts) > 1:
        lines = [f"{len(texts)} videos, for the prompts are one for each video", *lines]
    return [*lines, *remarks(run)]


def remarks(run: Run) -> list[str]:
    """What of a task is not used, or serves several windows."""
    used = {window.anchor for window in layout(run.sizes, run.chain)}
    used |= {1} if run.starts_on_anchor else set()
    idle = [number for number in range(1, run.chain.anchors + 1) if number not in used]
    found = notes(run.written, len(run.windows), run.mode.prompt_repeat)
    if run.starts_on_anchor:
        found.append("there is no start image: the video starts on anchor image 1")
    if idle:
        images = "image " + ", ".join(map(str, idle)) + (" serve" if idle[1:] else " serves")
        found.append(
            f"anchor {images} no window (a video's first window starts on the start image; Anchor"
            " schedule says which image serves which window)"
        )
    return found


def given_by(wgp: WGP, state: dict, model_type: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of WanGP's generator that settings of the page come to; None for the rest."""
    host = inspect.signature(inspect.unwrap(wgp[task.generator(wgp)])).parameters
    given = {name: settings.get(name) for name in host}
    given["custom_settings"] = settings.get("custom_settings")
    given["force_fps"] = given.get("force_fps") or ""  # None in settings that do not speak of it
    return given | {"task": {"params": dict(settings)}, "state": state, "model_type": model_type}


def mode_for(wgp: WGP, given: Mapping[str, Any]) -> Mode | None:
    """The SVI mode that a task would run in, None where it would not.

    Raises `UserError` for a mode that its model cannot run.
    """
    if given.get("image_mode") or str(given.get("mode") or "").startswith("edit"):
        return None
    model_def = wgp["get_model_def"](given["model_type"]) or {}
    return task.mode_of(model_def, wgp["get_base_model_type"](given["model_type"]), given)


def begun_for(wgp: WGP, given: Mapping[str, Any], mode: Mode) -> tuple[Run, list[str]]:
    """The run that a task would be, and what it would say of its plan before the first window.

    Raises `UserError` for what could not be generated.
    """
    with heard() as lines:
        run, _ = task.begin(wgp, given, mode)
    return run, [line for line in lines if not line.startswith("window ")]


def _tell(text: str, silent: bool) -> None:
    """A sentence on the page; in the console where nobody looks at one."""
    if not silent:
        try:
            import gradio
        except ImportError:
            pass
        else:
            gradio.Info(text)
            return
    say(text.removeprefix("SVI: "))
