"""What WanGP's form says of a film, and the form after an edit. No Gradio here.

A form is WanGP's dictionary of settings. The plan is the bridge's own, begun and dropped again
(wangp/queueing.py), so that what is drawn is what will be run.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from wan2gp_svi.errors import UserError
from wan2gp_svi.report.plan import describe
from wan2gp_svi.svi.prompts import parse
from wan2gp_svi.svi.schedule import Segment, prompts_for_windows, segments_of, serving
from wan2gp_svi.svi.windows import Chain, Window, layout
from wan2gp_svi.wangp import progress, queueing, strengths, task
from wan2gp_svi.wangp.handler import paragraphs
from wan2gp_svi.wangp.run import Run
from wan2gp_svi.wangp.settings import ours

Form = dict[str, Any]
"""WanGP's settings of a model, as its page keeps them for one browser."""
LAST_SEED = 999_999_999
"""Where WanGP's own field for the seed ends."""


@dataclass
class Film:
    """What a form comes to.

    windows: as report/plan.py describes them, each with `cost`, with `loras` (the strength of each
        LoRA there, as WanGP writes it) and, where there is one, `mistake`.
    prompts: as written. problem: why nothing can be planned. notes: what is worth knowing.
    chain: what holds for all windows; None where nothing can be planned.
    starts_on_anchor: there is no start image, and anchor image 1 is it.
    seeds: of the windows; where WanGP will draw one (not `seeds_known`), steps from that.
    """

    windows: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    chain: Chain | None = None
    seeds: list[int] = field(default_factory=list)
    seeds_known: bool = True
    starts_on_anchor: bool = False

    @property
    def mistakes(self) -> list[str]:
        """The windows' mistakes, each once, with the first window that has it."""
        found: dict[str, int] = {}
        for window in self.windows:
            if window.get("mistake"):
                found.setdefault(window["mistake"], window["window"])
        return [f"Window {number}: {mistake}" for mistake, number in found.items()]

    @property
    def seconds(self) -> float:
        """Length of what is made."""
        if not self.windows:
            return 0.0
        return self.windows[-1]["end_seconds"] - self.windows[0]["start_seconds"]


def is_svi(wgp: dict[str, Any], state: dict, model_type: str, form: Form) -> bool:
    """Whether the form is of a run of SVI; not where its mode cannot be run."""
    try:
        given = queueing.given_by(wgp, state, model_type, form)
        return queueing.mode_for(wgp, given) is not None
    except UserError:
        return False


def film_of(wgp: dict[str, Any], state: dict, model_type: str, form: Form) -> Film:
    """The film that Generate would make of this form."""
    try:
        given = queueing.given_by(wgp, state, model_type, form)
        mode = queueing.mode_for(wgp, given)
        if mode is None:
            return Film(problem="This model does not run SVI.")
        if "S" in str(form.get("image_prompt_type") or "") and not form.get("image_start"):
            given["image_start"] = [Image.new("RGB", (16, 16))]  # as WanGP does, which then is said
        written = prompts_of(wgp, form)
        run, lines = _begun(wgp, given, mode, written)
    except UserError as error:
        return Film(problem=str(error))
    except Exception as error:  # of WanGP's own functions, asked with settings from anywhere
        return Film(problem=f"WanGP cannot plan these settings ({error!r}).")
    known = given["seed"] not in (-1, None) or not isinstance(run.settings.seeds, str)
    chain, seed = run.chain, given["seed"]
    if run.carry.handover is not None and seed in (-1, None):
        known, seed = True, run.carry.handover.base_seed
    if seed not in (-1, None):
        chain = replace(chain, seed=int(seed))
    windows = layout(run.sizes, chain)
    segments, mistakes = _words(run, windows, written)
    lines = [line for line in lines if " frames asked: " not in line]  # the summary says that
    film = Film(prompts=written, notes=lines, chain=chain, seeds_known=known)
    film.starts_on_anchor = run.starts_on_anchor
    for window, parts, mistake in zip(windows, segments, mistakes, strict=True):
        told = describe(window, parts)
        told["window"] = run.told_number(window)
        told["mistake"] = mistake
        if mistake:  # its words as they stand
            place = min(window.number, len(written)) - 1
            told["words"] = [{**told["words"][0], "text": written[place] if written else ""}]
        film.seeds.append(window.seed)
        told["cost"] = cost(progress.work(given), window.frames)
        if not known:
            told["seed"] = (
                "drawn by WanGP" if window.index == 1 else f"of window 1 + {told['seed']}"
            )
        film.windows.append(told)
    film.notes += queueing.remarks(run)
    strong = strengths.of_windows(wgp, given, written, len(film.windows))
    for told, multipliers in zip(film.windows, strong, strict=True):
        told["loras"] = multipliers
    film.notes += _loras(wgp, given)
    return film


def _loras(wgp: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Which LoRAs the strengths on the cards are of, and what is wrong with these."""
    found, mistake = strengths.names(given), strengths.mistake(wgp, given)
    notes = [f"LoRAs, in the order of the strengths: {', '.join(found)}"] if found else []
    return [*notes, *([f"**LoRA multipliers:** {mistake}"] if mistake else [])]


def _begun(wgp: dict[str, Any], given: dict, mode: Any, written: list[str]) -> tuple[Run, list]:
    """The run, whatever is wrong with its words."""
    try:
        return queueing.begun_for(wgp, given, mode)
    except UserError:  # if it is not the words, it is told again
        run, lines = queueing.begun_for(wgp, {**given, "prompt": "x"}, mode)
    run.written = list(written)
    return run, lines


def _words(
    run: Run, windows: Sequence[Window], written: Sequence[str]
) -> tuple[list[tuple[Segment, ...]], list[str]]:
    """For each window its words and its mistake, "" where there is none."""
    broken: dict[int, str] = {}
    sound = [_parsed(prompt, number, broken) for number, prompt in enumerate(written or [""])]
    if len(set(sound)) == 1:
        sound = sound[:1]
    spans, repeat = [window.seconds for window in windows], run.mode.prompt_repeat
    try:
        texts = prompts_for_windows(sound, spans, repeat, run.windows_before)
    except UserError:
        texts = []
    found: list[tuple[Segment, ...]] = []
    mistakes: list[str] = []
    for place, window in enumerate(windows):
        number = serving(place, len(sound), repeat)
        mistake = broken.get(number, "")
        words: tuple[Segment, ...] = ()
        try:
            if texts:
                words = segments_of(window, texts[place])
            else:
                one = [sound[number]]
                words = segments_of(
                    window, prompts_for_windows(one, [spans[place]], 1, window.index - 1)[0]
                )
        except UserError as error:
            mistake = mistake or str(error)
        found.append(words or segments_of(window, ""))
        mistakes.append(mistake)
    return found, mistakes


def _parsed(prompt: str, number: int, broken: dict[int, str]) -> str:
    """A prompt that can be taken apart; "" in its place where it cannot."""
    try:
        parse(prompt)
    except UserError as error:
        broken[number] = str(error)
        return ""
    return prompt


def prompts_of(wgp: Mapping[str, Any], form: Mapping[str, Any]) -> list[str]:
    """The prompts of a form, one a window, as this WanGP takes them apart."""
    given = {
        "prompt": form.get("prompt") or "",
        "multi_prompts_gen_type": form.get("multi_prompts_gen_type"),
    }
    return task.written_prompts(dict(wgp), given)


def cost(work: float, frames: int) -> str:
    """How long a window will take, in words; "" where none has been made yet."""
    seconds = progress.seconds_for(work, frames)
    return "" if seconds is None else f"about {length(seconds)}"


def length(seconds: float) -> str:
    """90 -> "1 min 30 s"."""
    whole = max(round(seconds), 1)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# -- edits: each gives the entries of the form that change ------------------------------------


def with_prompts(prompts: Sequence[str]) -> Form:
    """A prompt for each window: a paragraph each, or a line where WanGP knows no paragraphs."""
    if paragraphs():
        kept = ["\n".join(line for line in p.splitlines() if line.strip()) for p in prompts]
        mode: Any = paragraphs().replace("G", "W")
        if not mode.startswith("P"):
            mode = f"P{mode}"
        return {"prompt": "\n\n".join(kept), "multi_prompts_gen_type": mode}
    return {"prompt": "\n".join(" ".join(p.split()) for p in prompts), "multi_prompts_gen_type": 1}


def with_prompt(film: Film, place: int, text: str) -> Form:
    """Window `place` of this run, counted from 0, has another prompt, and no other window has.

    Raises UserError for no words.
    """
    if not text.strip():
        raise UserError("Write a prompt: a window without words would follow nothing.")
    if _whole_video(film.prompts):
        return with_prompts([text])
    prompts = list(film.prompts) or [text]
    wanted = min(place + 2, len(film.windows))  # the one after it keeps what it had
    while len(prompts) < wanted:
        prompts.append(prompts[-1])
    prompts[place] = text
    while len(prompts) > 1 and prompts[-1] == prompts[-2]:
        prompts.pop()
    return with_prompts(prompts)


def _whole_video(prompts: Sequence[str]) -> bool:
    """Whether one prompt with times of the whole video serves all windows."""
    if len(set(prompts)) != 1:
        return False
    try:
        return any(part.whole_video for part in parse(prompts[0]).parts)
    except UserError:
        return False


def words_of(film: Film, place: int) -> str:
    """The prompt that is edited for a window: its own, or the one for the whole video."""
    if not film.prompts:
        return ""
    return film.prompts[min(place, len(film.prompts) - 1)]


def with_seed(film: Film, form: Mapping[str, Any], place: int, text: str) -> Form:
    """Window `place` has the seed in `text`, all others keep theirs. Empty: by the rule again.

    Raises UserError for what is no seed.
    """
    if not text.strip():
        return {"custom_settings": {**(form.get("custom_settings") or {}), "svi_seeds": "new"}}
    if not text.strip().isdigit() or int(text) > LAST_SEED:
        raise UserError(f"A seed is a whole number up to {LAST_SEED}, not {text.strip()!r}.")
    seeds = list(film.seeds)
    if not film.seeds_known:  # they count from one that WanGP would draw: it is drawn now
        drawn = random.randrange(LAST_SEED // 2)
        seeds = [drawn + seed for seed in seeds]
    seeds[place] = int(text)
    custom = dict(form.get("custom_settings") or {})
    if custom.get("svi_seeds") != "same":  # what is not listed goes on in the same steps
        seeds = seeds[: max(place + 2, _listed(custom))]
    return {"custom_settings": {**custom, "svi_seeds": ", ".join(map(str, seeds))}}


def _listed(custom: Mapping[str, Any]) -> int:
    """How many seeds the form lists."""
    value = str(custom.get("svi_seeds") or "")
    return len([part for part in value.replace(";", ",").split(",") if part.strip().isdigit()])


def with_anchor(film: Film, form: Mapping[str, Any], place: int, anchor: int) -> Form:
    """Window `place` has anchor image `anchor` (0: the start image), all others keep theirs."""
    anchors = [window["anchor"] for window in film.windows]
    anchors[place] = anchor
    while len(anchors) > 1 and anchors[-1] == anchors[-2]:
        anchors.pop()
    letters = str(form.get("video_prompt_type") or "")
    if any(anchors):
        letters = letters + "".join(letter for letter in "KI" if letter not in letters)
    custom = dict(form.get("custom_settings") or {})
    custom["svi_anchor_schedule"] = ", ".join(map(str, anchors))
    return {"custom_settings": custom, "video_prompt_type": letters}


def with_picture(film: Film, form: Form, place: int, picture: Any) -> Form:
    """A new picture for a window: its anchor, or the start image where the video begins with it."""
    window = film.windows[place]
    if window["window"] == 1 and not window["dropped"]:
        letters = "".join(c for c in str(form.get("image_prompt_type") or "") if c not in "VLT")
        start = letters if "S" in letters else f"S{letters}"
        return {"image_start": [picture], "image_prompt_type": start}
    pictures = [*(form.get("image_refs") or []), picture]
    return {"image_refs": pictures} | with_anchor(film, form, place, len(pictures))


def with_length(film: Film, windows: int) -> Form:
    """So many whole windows. Raises UserError where there is no plan to count from."""
    if film.chain is None:
        raise UserError(film.problem or "There is no plan yet.")
    if not 1 <= windows <= 10_000:
        raise UserError("A video can have 1 to 10000 windows.")
    planned = layout([film.chain.size] * windows, film.chain)
    added = sum(window.adds for window in planned)
    return {"video_length": added + min(film.chain.source_frames, 1)}


def with_seconds(film: Film, form: Mapping[str, Any], seconds: float) -> Form:
    """So many seconds, exactly, as far as frames come in fours."""
    if film.chain is None:
        raise UserError(film.problem or "There is no plan yet.")
    if not 0 < seconds <= 36_000:
        raise UserError("A video can be up to 36000 seconds (10 hours) long.")
    source = min(film.chain.source_frames, 1)
    frames = max(4 * round((seconds * film.chain.fps + source - 1) / 4) + 1, 5)
    custom = {**(form.get("custom_settings") or {}), "svi_length": "exact"}
    return {"video_length": frames, "custom_settings": custom}


def with_settings(form: Mapping[str, Any], values: Mapping[str, Any]) -> Form:
    """Settings of ours, {"svi_motion_latents": 2, ...}."""
    return {"custom_settings": {**(form.get("custom_settings") or {}), **values}}


def told_settings(form: Mapping[str, Any]) -> Form:
    """Settings of ours that a form has."""
    return ours(form.get("custom_settings"))


def summary(film: Film, form: Mapping[str, Any]) -> str:
    """The film in one line, as Markdown."""
    count = len(film.windows)
    asked = form.get("video_length")
    made = sum(window["delivers"] for window in film.windows)
    more = " more" if film.chain is not None and film.chain.source_frames else ""
    what = "1 window" if count == 1 else f"{count} windows"
    return f"**{what}, {film.seconds:.2f} s{more}** · {asked} frames asked, {made}{more} made"
