"""A language model's answer as prompts of the film, and what is wrong with it. No Gradio.

How the answer is parted is said here; times and parentheses are the film's, which is planned with
the draft before it is shown.
"""

from __future__ import annotations

import re

from wan2gp_svi.errors import UserError
from wan2gp_svi.plugin.form import Film, Form, with_length, with_prompts
from wan2gp_svi.svi.prompts import split

_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(
    r"(?:[-*•>\"“']\s*)?(?:\**(?:window|prompt|scene|shot|part|clip)\b[^:.\n]{0,20}[:.)-]"
    r"|\(?\d{1,3}\s*[:.)]|[-*•>\"“'])\s*",
    re.IGNORECASE,
)
_SIGNS = {"{": "a template of WanGP", "}": "a template of WanGP", "[/": "a command of WanGP"}


def prompts_in(answer: str) -> list[str]:
    """The prompts in an answer, one a line as the guide asks; thoughts aloud are left out."""
    text = _THOUGHTS.sub("", answer)
    lines = [line for line in text.splitlines() if not line.strip().startswith("```")]
    return split("\n".join(lines), paragraphs=False)


def mistakes(prompts: list[str], windows: int) -> list[str]:
    """What keeps an answer from being the prompts of so many windows, a sentence each."""
    if not prompts:
        return ["There is no prompt in it."]
    found = []
    if len(prompts) != windows:
        count = "1 prompt" if len(prompts) == 1 else f"{len(prompts)} prompts"
        found.append(f"It has {count} for {windows} windows: each line is taken as one.")
    for number, prompt in enumerate(prompts, 1):
        title = _TITLE.match(prompt)
        if title:
            found.append(f"Prompt {number} begins with {title[0].strip()!r}: take it out.")
        for sign, means in _SIGNS.items():
            if sign in prompt.replace(" ", ""):
                found.append(f"Prompt {number} has {sign!r}, which begins {means}: take it out.")
        if prompt.startswith("!"):
            found.append(f"Prompt {number} begins with '!', as a template of WanGP: take it out.")
    return found


def used(film: Film, prompts: list[str]) -> Form:
    """The entries of the form that change when the prompts are used: a window for each.

    Raises UserError where there is none.
    """
    if not prompts:
        raise UserError("There is no prompt in the draft.")
    edit = with_prompts(prompts)
    if len(prompts) != len(film.windows):
        edit |= with_length(film, len(prompts))
    return edit
