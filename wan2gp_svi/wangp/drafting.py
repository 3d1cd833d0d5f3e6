"""Prompts drafted by WanGP's own prompt enhancer, by docs/prompt-guide.md.

`enhance_prompt` of wgp.py does what the user has set up there: it loads the language model, takes
the GPU for it, asks and lets go. Its instruction is a property of the model's definition, and no
argument. So `process_prompt_enhancer`, which it calls for each prompt, is wrapped: for a draft of
ours, and for that alone, it is given a definition with our instruction, and its answer is kept as
it came (WanGP goes on to join the lines).
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.installer.payload import GUIDE, source_folder
from wan2gp_svi.wangp.wrapping import arguments, is_wrapped, wrap

TOKENS = 220
"""Of a window's prompt, at most: 100 words and their times."""
SWITCH = "WanGP's Configuration, under Prompt Enhancer (before WanGP 12: Extensions)"
"""Where WanGP's page switches it on."""
NEEDS = ("state", "prompt", "prompt_enhancer")
"""What WanGP's enhancer must take."""
_asking = threading.local()


@dataclass
class _Draft:
    """A draft that is being asked for: what WanGP is told, and what came back."""

    definition: dict[str, Any]
    answer: list[str] = field(default_factory=list)


def attach(wgp: dict[str, Any]) -> None:
    """Wrap `process_prompt_enhancer` in wgp.py's globals."""
    wrap(wgp, "process_prompt_enhancer", _processed)


def _processed(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """WanGP's answer; to a draft of ours by our instruction."""
    draft: _Draft | None = getattr(_asking, "draft", None)
    if draft is None:
        return original(*args, **kwargs)
    given = arguments(original, args, kwargs)
    model_def = {**(given.get("model_def") or {}), **draft.definition}
    answer = original(**{**given, "model_def": model_def})
    draft.answer = [str(text) for text in answer or ()]
    return answer


def unable(wgp: Mapping[str, Any], state: dict) -> str:
    """Why prompts cannot be drafted now, in a sentence; "" where they can."""
    enhance, process = wgp.get("enhance_prompt"), wgp.get("process_prompt_enhancer")
    unknown = (
        "This WanGP has no prompt enhancer that SVI knows. Paste docs/prompt-guide.md into any"
        " language model instead."
    )
    if enhance is None or process is None or not is_wrapped(process):
        return unknown
    takes = inspect.signature(enhance).parameters
    if "model_def" not in inspect.signature(process).parameters or set(NEEDS) - set(takes):
        return unknown
    if not (wgp.get("server_config") or {}).get("enhancer_enabled"):
        return (
            f"WanGP's prompt enhancer is off. Choose its language model in {SWITCH}: WanGP"
            " downloads it when it is first used."
        )
    gen = wgp["get_gen_info"](state)
    if wgp.get("gen_in_progress") or gen.get("in_progress"):
        return "A generation is running, and the language model would get in its way: try later."
    busy = wgp.get("any_GPU_process_running")
    if busy is not None and busy(state, "prompt_enhancer"):
        return "WanGP is busy with something else on the graphics card: try again in a moment."
    return ""


def draft(
    wgp: Mapping[str, Any], state: dict, idea: str, windows: int, bar: Any, seconds: float
) -> str:
    """The language model's answer: prompts for so many windows, `seconds` each, of one idea.

    bar: Gradio's progress. Raises `UserError` where there is no answer.
    """
    if not idea.strip():
        raise UserError("Write your idea first: a sentence or two.")
    problem = unable(wgp, state)
    if problem:
        raise UserError(problem)
    text = f"A video of {windows} windows. The idea: {plain(idea)}"
    told = instruction(windows, seconds)
    names = ("video_prompt_enhancer", "text_prompt_enhancer")
    asked = _Draft(
        {f"{name}_instructions": told for name in names}
        | {f"{name}_max_tokens": TOKENS * windows + TOKENS for name in names}
    )
    own = _own_state(wgp, state, text)
    own_form = own["all_settings"][wgp["get_state_model_type"](state)]
    given = {
        "state": own,
        "prompt": text,
        "alt_prompt": "",
        "prompt_enhancer": "T",
        "multi_images_gen_type": 0,
        "multi_prompts_gen_type": own_form.get("multi_prompts_gen_type") or "",
        "override_profile": own_form.get("override_profile", -1),
        "progress": bar,
    }
    takes = inspect.signature(wgp["enhance_prompt"]).parameters
    blank = {name: "" for name, one in takes.items() if one.default is inspect.Parameter.empty}
    _asking.draft = asked
    try:
        wgp["enhance_prompt"](**{k: v for k, v in (blank | given).items() if k in takes})
    except Exception as error:
        _let_go(wgp, state)
        raise UserError(f"WanGP's prompt enhancer failed: {error}") from error
    finally:
        _asking.draft = None
    if not asked.answer or not asked.answer[0].strip():
        raise UserError("WanGP's prompt enhancer gave no answer: its console may say why.")
    return asked.answer[0]


def _own_state(wgp: Mapping[str, Any], state: dict, text: str) -> dict:
    """This browser's state with a form of its own that holds the idea: the user's stays."""
    wgp["get_gen_info"](state)  # shared: it says who has the GPU
    model_type = wgp["get_state_model_type"](state)
    form = dict(wgp["get_model_settings"](state, model_type) or {})
    form |= {
        "prompt": text,
        "alt_prompt": "",
        "image_mode": 0,
        "image_start": None,
        "image_end": None,
        "image_refs": None,
        "image_prompt_type": "",
        "video_prompt_type": "",
    }
    return {**state, "all_settings": {**(state.get("all_settings") or {}), model_type: form}}


def _let_go(wgp: Mapping[str, Any], state: dict) -> None:
    """WanGP before 12 keeps the GPU for a language model that could not be loaded."""
    gen = wgp["get_gen_info"](state)
    if gen.get("process_status") == "process:prompt_enhancer":
        gen["process_status"] = (gen.get("process_hierarchy") or {}).pop("prompt_enhancer", None)


def plain(idea: str) -> str:
    """An idea in one line, without what WanGP reads as a template ({}) or an instruction (@)."""
    for sign, instead in (("{", "("), ("}", ")"), ("@", " at ")):
        idea = idea.replace(sign, instead)
    return " ".join(idea.split())


def instruction(windows: int, seconds: float) -> str:
    """The guide, and what is to be done by it."""
    try:
        guide = (source_folder() / GUIDE).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{GUIDE} of wan2gp-svi cannot be read: run its installer again."
        ) from error
    return (
        f"{guide.rstrip()}\n\n## Your task now\n\nThe user tells an idea. Write the prompts of a"
        f" video of exactly {windows} windows for it, by the rules above, each window"
        f" {seconds:.2f} seconds long. Answer with the {windows} prompts and nothing else, in the"
        " output format: each prompt on one line, an empty line between two, no titles, no numbers,"
        " no remarks.\n"
    )
