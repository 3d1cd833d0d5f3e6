"""Timed prompts: how one is written, and taken apart. Pure Python.

    A woman in a sunlit kitchen. (at 0 seconds: she pours tea) (at 2.5 s: she laughs)

Text outside the timed parts holds for the whole window. A part holds from its time on until the
next part begins; before the first part only the outside text holds. Times count from the first
frame that the window adds to the video. The words of a segment are the prompt itself with that
segment's part left in its place and all others taken out, so a part may be a sentence of its own
or the end of one ("She stands up (at 1 s: and walks to the door), (at 3 s: and waves)").

Two ways to write a time, s, sec, secs, second and seconds being the same:

    (at 3 seconds: text)             3 s after the first frame that this window adds
    (at 8 seconds of video: text)    8 s after the first frame of the whole video

A prompt uses one of the two. One with times of the whole video is cut into the windows it falls
into (`prompts_for_windows`), and what held at the end of a window goes on holding in the next.
Parentheses that do not start with "at" and a time are text, and so is everything in them.

Which frames a part holds for: schedule.py. That it acts there: text_attention.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from wan2gp_svi.errors import UserError

SAME_TIME = 1e-6
"""Seconds: rounding must not turn 0.1 s at 30 fps, frame 3.0000000000000004, into frame 4."""
_STOPS = ",.;:!?…，。；：！？、"

_UNIT = r"(?:seconds|second|secs|sec|s)"
_OPENING = re.compile(r"\(\s*at\b", re.IGNORECASE)
# "(at 3 seconds" and "(at 3s of video": the only openings of a timed part.
_TIME = re.compile(
    rf"\(\s*at\s+(?P<sign>[-−–])?\s*(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*{_UNIT}\b"
    r"(?P<video>\s+of\s+(?:the\s+)?video\b)?\s*(?P<colon>:)?",
    re.IGNORECASE,
)
# "(at X seconds:", "(at seconds:", "(at 2,5 s:": meant as a time, but without a number.
_NO_NUMBER = re.compile(
    r"\(\s*at\b[^():\n]{0,40}?(?:\b(?:seconds?|secs?)|(?<=[0-9])\s*s)(?:\s+of\s+(?:the\s+)?video)?\s*:",
    re.IGNORECASE,
)
# "(at 3: text)", "(at 0:08: text)", "(at 0:08 of video": a number, but not of seconds.
_NO_UNIT = re.compile(
    r"\(\s*at\s+[-+]?[0-9][0-9.,]*(?::[0-9]+)*(?:\s*:(?![0-9])|\s+of\s+(?:the\s+)?video\b)",
    re.IGNORECASE,
)


class PromptError(UserError):
    """A mistake in a prompt. `position` is the place of the character (from 0) in that prompt."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class Part:
    """One timed part.

    seconds: from the window's first new frame, or, if `whole_video`, from the video's first frame.
        Below 0 in a window's cut of a whole-video prompt: the part began before that window.
    text: its words, white space tidied, never empty.
    position: of its "(" in the prompt, from 0.
    whole_video: whether the time counts from the start of the whole video.
    slot: how many timed parts stand before it in the prompt.
    """

    seconds: float
    text: str
    position: int
    whole_video: bool = False
    slot: int = 0


@dataclass(frozen=True)
class TimedPrompt:
    """A prompt taken apart.

    text: what holds for the whole window. Without timed parts the prompt itself, character by
        character; else all that stands outside them, white space tidied.
    parts: in the order of their times.
    prompt: what was parsed.
    outside: the pieces between the parts in the order of the prompt, one more than it has parts.
    left_out: parts that another window of the same prompt reaches, and this shorter one does not.
    """

    text: str
    parts: tuple[Part, ...]
    prompt: str
    outside: tuple[str, ...]
    left_out: tuple[Part, ...] = ()

    def words(self, part: Part | None) -> str:
        """The whole prompt that holds while `part` does (None: before the first part)."""
        if len(self.outside) == 1:
            return self.text
        pieces = list(self.outside)
        if part is not None:
            before, after = pieces[: part.slot + 1], pieces[part.slot + 1 :]
            pieces = [*before, part.text, *after]
        return _joined(pieces)


def parse(prompt: str) -> TimedPrompt:
    """Take a prompt apart into the text for the whole window and its timed parts.

    Raises PromptError for a timed part without a closing parenthesis, number, colon or text,
    for a negative time, for two parts at one time, for a part inside another, and for times of
    the window and of the whole video in one prompt.
    """
    parts: list[Part] = []
    outside: list[str] = []
    here = 0  # end of the last timed part
    for opening in _OPENING.finditer(prompt):
        start = opening.start()
        if start < here:
            continue
        time = _TIME.match(prompt, start)
        if time is None:
            _refuse_half_a_time(prompt, start)
            continue
        part, end = _timed_part(prompt, time, slot=len(parts))
        outside.append(prompt[here:start])
        parts.append(part)
        here = end
    outside.append(prompt[here:])
    text = _joined(outside) if parts else prompt
    in_time = tuple(sorted(parts, key=lambda part: part.seconds))
    _refuse_two_at_one_time(prompt, in_time)
    if len({part.whole_video for part in parts}) == 2:
        other = next(part for part in parts if part.whole_video != parts[0].whole_video)
        raise mistake(
            "a prompt counts its times from the window or from the video, not both: write"
            " 'of video' in every timed part or in none",
            prompt,
            other.position,
        )
    return TimedPrompt(text=text, parts=in_time, prompt=prompt, outside=tuple(outside))


def until(prompt: str, seconds: float) -> str:
    """The prompt without its parts that begin at or after `seconds` of the whole video.

    Raises PromptError as `parse` does.
    """
    later = [p for p in parse(prompt).parts if p.whole_video and p.seconds >= seconds - SAME_TIME]
    for part in sorted(later, key=lambda part: -part.position):
        prompt = prompt[: part.position] + prompt[_closing(prompt, part.position) :]
    return prompt


def _timed_part(prompt: str, time: re.Match[str], slot: int) -> tuple[Part, int]:
    """The part whose opening `time` matched, and where it ends."""
    start = time.start()
    if time["colon"] is None:
        raise mistake("a timed part needs a ':' after its time", prompt, start)
    end = _closing(prompt, start)
    if end is None:
        raise mistake("the parenthesis of this timed part is never closed", prompt, start)
    if time["sign"]:
        raise mistake("a time cannot be negative", prompt, start)
    inner = prompt[time.end() : end - 1]
    for nested in _OPENING.finditer(inner):
        position = time.end() + nested.start()
        if _TIME.match(prompt, position):
            raise mistake("a timed part stands inside another", prompt, position)
    text = " ".join(inner.split())
    if not text:
        raise mistake("this timed part has no text", prompt, start)
    part = Part(
        seconds=float(time["number"]),
        text=text,
        position=start,
        whole_video=time["video"] is not None,
        slot=slot,
    )
    return part, end


def _closing(prompt: str, start: int) -> int | None:
    """Just behind the parenthesis that closes the one at `start`."""
    depth = 0
    for position in range(start, len(prompt)):
        if prompt[position] == "(":
            depth += 1
        elif prompt[position] == ")":
            depth -= 1
            if depth == 0:
                return position + 1
    return None


def _refuse_half_a_time(prompt: str, start: int) -> None:
    if _NO_UNIT.match(prompt, start):
        raise mistake(
            "a time is a number of seconds: write '(at 3 seconds: ...)', or"
            " '(at 8 seconds of video: ...)' for a time of the whole video",
            prompt,
            start,
        )
    if _NO_NUMBER.match(prompt, start):
        raise mistake(
            "this time has no number: write '(at 2.5 seconds: ...)', or leave out the ':' if"
            " no timed part is meant",
            prompt,
            start,
        )


def _refuse_two_at_one_time(prompt: str, parts: Sequence[Part]) -> None:
    for before, part in pairwise(parts):
        if before.seconds == part.seconds:
            later = max(before, part, key=lambda one: one.position)
            raise mistake(f"two parts begin at {in_seconds(part.seconds)}", prompt, later.position)


def _joined(pieces: Sequence[str]) -> str:
    """Pieces as one text: white space tidied, stops that were left over between parts dropped."""
    text = ""
    for piece in (" ".join(piece.split()) for piece in pieces):
        if not text or text[-1] in _STOPS:
            piece = piece.lstrip(
                _STOPS + " "
            )  # "(at 1 s: a.), (at 2 s: b), c" leaves ", " and ", c"
        if not piece.rstrip(",; "):
            continue
        text += piece if not text or piece[0] in _STOPS else f" {piece}"
    return text


def mistake(what: str, prompt: str, position: int) -> PromptError:
    """The error that says `what` is wrong at a character of a prompt, and quotes what is there."""
    excerpt = prompt[position : position + 40].replace("\n", " ")
    if len(prompt) > position + 40:
        excerpt += "..."
    sentence = what[0].upper() + what[1:]
    return PromptError(f"{sentence} (character {position + 1}: {excerpt!r}).", position)


def in_seconds(value: float) -> str:
    """Seconds as a reader wants them: "2.5 s"."""
    return f"{value:.10g} s"
