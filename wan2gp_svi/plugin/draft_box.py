"""The box "Draft the prompts" of the storyboard: an idea in, a storyboard to look at, then used or
thrown away. Until it is used, nothing of the form has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin import drafted, pictures
from wan2gp_svi.report.storyboard import storyboard
from wan2gp_svi.svi.windows import layout
from wan2gp_svi.wangp import drafting

QUIET: dict[str, Any] = {"show_progress": "hidden"}


def build(tab: Any, outputs: list[Any], change: Callable[..., Any]) -> None:
    """The box. `tab` knows the form; `change(state, edit)` puts an edit into it and answers for
    `outputs`.
    """
    state = tab.plugin.state
    with gr.Accordion("Draft the prompts", open=False, elem_id="svi_draft_box"):
        gr.Markdown(
            "WanGP's own prompt enhancer writes a prompt for each window (as many as stand in the"
            " field Windows). You look at them first: nothing is used before you say so."
        )
        idea = gr.Textbox(
            label="Your idea, in a sentence or two",
            lines=2,
            max_lines=6,
            placeholder="A fox trots through snow, hears something, and leaps",
            elem_id="svi_idea",
        )
        ask = gr.Button("Draft the prompts")
        said = gr.Markdown(elem_id="svi_draft_said")
        text = gr.Textbox(
            label="The draft, a prompt a line: change what you like",
            lines=8,
            max_lines=24,
            visible=False,
            elem_id="svi_draft",
        )
        shown = gr.HTML(elem_id="svi_draft_board")
        with gr.Row(visible=False) as choice:
            use = gr.Button("Use these prompts", variant="primary")
            drop = gr.Button("Throw them away")

    def asked(state: dict, wanted: float | None, idea: str, bar: Any = gr.Progress()) -> Any:  # noqa: B008 (Gradio's way)
        film, _ = tab.film(state)
        try:
            if film.chain is None:
                raise UserError(film.problem or "There is no plan yet.")
            count = int(wanted or len(film.windows))
            two = layout([film.chain.size] * 2, film.chain)
            seconds = two[-1].adds / film.chain.fps
            answer = drafting.draft(tab.wgp, state, idea, count, bar, seconds)
        except UserError as error:
            return f"**{error}**", gr.skip()
        return "", "\n\n".join(drafted.prompts_in(answer)) or answer

    def reviewed(state: dict, wanted: float | None, text: str) -> Any:
        there = bool(text.strip())
        visible = gr.update(visible=there)
        if not there:
            return gr.skip(), "", visible, visible
        film, settings = tab.film(state)
        prompts = drafted.prompts_in(text)
        problems = drafted.mistakes(prompts, int(wanted or len(film.windows)))
        board = ""
        try:
            changed = {**settings, **drafted.used(film, prompts)}
            draft = tab.film_of(state, changed)
            problems += [*draft.mistakes, *([draft.problem] if draft.problem else [])]
            board = storyboard(draft.windows, pictures.of_form(settings))
        except UserError as error:
            problems.append(str(error))
        lines = [f"- {problem}" for problem in problems]
        head = "**Something is wrong with it:**" if lines else "**Nothing is used yet.**"
        return "\n".join([head, "", *lines]), board, visible, visible

    def taken(state: dict, text: str) -> Any:
        prompts = drafted.prompts_in(text)
        try:
            drafted.used(tab.film(state)[0], prompts)
        except UserError as error:
            return [*[gr.skip()] * len(outputs), f"**{error}**", gr.skip()]
        answer = change(state, lambda film, old: drafted.used(film, prompts))
        return [*answer, "**In the form now.**", ""]

    ask.click(asked, [state, tab.count, idea], [said, text], show_progress_on=[text, said])
    text.change(
        reviewed, [state, tab.count, text], [said, shown, text, choice], queue=False, **QUIET
    )
    use.click(taken, [state, text], [*outputs, said, text], **QUIET)
    drop.click(lambda: ("Thrown away: the form is as it was.", ""), None, [said, text], **QUIET)
