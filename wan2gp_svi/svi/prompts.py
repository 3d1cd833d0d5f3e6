"""Prompts: a text becomes one a window, and a timed one is taken apart. Pure Python.

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

WanGP has a spelling of its own for other models, Prompt Relay (its shared/prompt_relay.py):

    text for the whole window [0s:2s] she pours tea [2s:4s] she laughs

A part is all that stands behind its marker up to the next one. It holds from the one time to the
other, both counted from the window's first new frame; without the second, to the end; a time past
the end is the end. The same holds here, with three differences that are refused and not guessed:
parts that overlap (there both hold), percentages and frame numbers (this file knows no lengths),
and markers together with "(at ...".

Which frames a part holds for: schedule.py. That it acts there: text_attention.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from wan2gp_svi.errors import UserError

SAME_TIME = 1e-6
"""Seconds: rounding must not turn 0.1 s at 30 fps, frame 3.0000000000000004, into frame 4."""
_STOPS = ",.;:!?…，。；：！？、"

_UNIT = r"(?:seconds|second|secs|sec|s)"
# "2.5", "4.", ".5", and "2,5" as half of the world writes it; not "1,000", which may be a thousand.
_NUMBER = r"[0-9]+(?:\.[0-9]*|,[0-9]{1,2}(?![0-9,]))?|[.,][0-9]+"
_OPENING = re.compile(r"\(\s*at\b", re.IGNORECASE)
# "(at 3 seconds" and "(at 3s of video": the only openings of a timed part.
_TIME = re.compile(
    rf"\(\s*at\s+(?P<sign>[-−–])?\s*(?P<number>{_NUMBER})\s*{_UNIT}\b"
    r"(?P<video>\s+of\s+(?:the\s+)?video\b)?\s*(?P<colon>:)?",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"\(\s*at\s+[-−–]?\s*[0-9]+,[0-9,]+\s*" + _UNIT + r"\b", re.IGNORECASE)
# "(at X seconds:", "(at seconds:": meant as a time, but without a number.
_NO_NUMBER = re.compile(
    r"\(\s*at\b[^():\n]{0,40}?(?:\b(?:seconds?|secs?)|(?<=[0-9.,])\s*s)(?:\s+of\s+(?:the\s+)?video)?\s*:",
    re.IGNORECASE,
)
# "(at 3: text)", "(at 0:08: text)", "(at 0:08 of video": a number, but not of seconds.
_NO_UNIT = re.compile(
    r"\(\s*at\s+[-+]?[0-9][0-9.,]*(?::[0-9]+)*(?:\s*:(?![0-9])|\s+of\s+(?:the\s+)?video\b)",
    re.IGNORECASE,
)
# "[2s:4s]", "[0:02:0:04]", "[25%:50%]", "[1:5]"; what stands in it, `_bounds` says.
_MARKER = re.compile(r"\[([^\[\]]*:[^\[\]]*)\]")
_BOUND = re.compile(
    r"(?P<seconds>[0-9]+(?:\.[0-9]+)?)(?:seconds|second|secs|sec|s)"
    r"|(?P<clock>[0-9]+(?::[0-9]+)*:[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<other>[0-9]+(?:\.[0-9]+)?\s*%?)",
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
    text: its words, white space tidied; empty where a "[2s:4s]" has ended and only the text
        outside holds.
    position: of its "(" or "[" in the prompt, from 0.
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
    outside: the pieces between the parts in the order of the prompt, one more than are written.
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


def split(text: str, paragraphs: bool = True) -> list[str]:
    """The prompts in a text: one a paragraph (they are parted by empty lines), or one a line.

    Lines that start with # are remarks: left out, they part nothing. A paragraph keeps its lines.
    """
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if not line.startswith("#")]
    if not paragraphs:
        return [line for line in lines if line]
    return ["\n".join(group) for filled, group in groupby(lines, key=bool) if filled]


def parse(prompt: str) -> TimedPrompt:
    """Take a prompt apart into the text for the whole window and its timed parts.

    Raises PromptError for a timed part without a closing parenthesis, number, colon or text,
    for a negative time, for two parts at one time, for a part inside another, for times of the
    window and of the whole video in one prompt, and for markers that mean something else here.
    """
    markers = [match for match in _MARKER.finditer(prompt) if _bounds(match[1]) is not None]
    if markers:
        return _parse_markers(prompt, markers)
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


def until(prompt: str, video_seconds: float, window_seconds: float) -> str:
    """The prompt without its parts that begin at or after the end of its window.

    video_seconds, window_seconds: where that is in the whole video, and in the window itself.

    Raises PromptError as `parse` does.
    """
    later = {
        part.position
        for part in parse(prompt).parts
        if part.text
        and part.seconds >= (video_seconds if part.whole_video else window_seconds) - SAME_TIME
    }
    for position in sorted(later, reverse=True):
        prompt = prompt[:position] + prompt[_end_of(prompt, position) :]
    return prompt


def _end_of(prompt: str, start: int) -> int | None:
    """Just behind the timed part that begins at `start`; None: at the end of the prompt."""
    if prompt[start] == "(":
        return _closing(prompt, start)
    markers = _MARKER.finditer(prompt, start + 1)
    return next((marker.start() for marker in markers if _bounds(marker[1]) is not None), None)


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
        seconds=float(time["number"].replace(",", ".")),
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


def _bounds(marker: str) -> tuple[str | float, str | float | None] | None:
    """The two bounds of "2s:4s", None for what is no marker.

    A bound is a number of seconds, or a text where it is something else ("25%", "5"); the second
    is None where nothing stands there. Both are of one kind, and the second is not the smaller.
    Of several colons the last that makes two bounds parts them.
    """
    found = None
    for colon in (position for position, char in enumerate(marker) if char == ":"):
        first, second = marker[:colon].strip(), marker[colon + 1 :].strip()
        start = _bound(first)
        stop = _bound(second) if second else None
        if start is None or (second and stop is None):
            continue
        if stop is not None and (_kind(start) != _kind(stop) or _value(stop) < _value(start)):
            continue
        found = start, stop
    return found


def _bound(text: str) -> str | float | None:
    match = _BOUND.fullmatch(text)
    if match is None:
        return None
    if match["seconds"]:
        return float(match["seconds"])
    if match["clock"]:
        total = 0.0
        for number in match["clock"].split(":"):
            total = total * 60 + float(number)
        return total
    return text


def _kind(bound: str | float) -> str:
    return "s" if isinstance(bound, float) else "%" if bound.endswith("%") else "frames"


def _value(bound: str | float) -> float:
    return bound if isinstance(bound, float) else float(bound.rstrip("% "))


def _parse_markers(prompt: str, markers: Sequence[re.Match[str]]) -> TimedPrompt:
    """A prompt that is timed by "[2s:4s]"."""
    for opening in _OPENING.finditer(prompt):
        if _TIME.match(prompt, opening.start()):
            raise mistake(
                "a prompt is timed by '(at 2 seconds: ...)' or by '[2s:4s] ...', not by both",
                prompt,
                opening.start(),
            )
    spans: list[tuple[float, float, Part]] = []
    ends = [marker.start() for marker in markers[1:]] + [len(prompt)]
    for slot, (marker, end) in enumerate(zip(markers, ends, strict=True)):
        start, stop = _bounds(marker[1]) or (0.0, None)
        if not isinstance(start, float) or isinstance(stop, str):
            raise mistake(
                "these are no seconds: write '[2s:4s] ...', or '[2s:] ...' up to the end",
                prompt,
                marker.start(),
            )
        text = " ".join(prompt[marker.end() : end].split())
        if not text:
            raise mistake("this timed part has no text", prompt, marker.start())
        part = Part(seconds=start, text=text, position=marker.start(), slot=slot)
        spans.append((start, math.inf if stop is None else stop, part))
    outside = (prompt[: markers[0].start()], *[""] * len(markers))
    return TimedPrompt(
        text=_joined(outside), parts=_in_turn(prompt, spans), prompt=prompt, outside=outside
    )


def _in_turn(prompt: str, spans: Sequence[tuple[float, float, Part]]) -> tuple[Part, ...]:
    """The parts in the order of their times, with an empty one where none holds any more."""
    parts: list[Part] = []
    held, last = 0.0, None
    for start, stop, part in sorted(spans, key=lambda span: span[:2]):
        if last is not None and start < held - SAME_TIME:
            raise mistake(
                f"the parts from {in_seconds(last.seconds)} and from {in_seconds(start)} overlap,"
                " and only one can hold at a time: end the one where the other begins",
                prompt,
                max(part.position, last.position),
            )
        if last is not None and start > held + SAME_TIME:
            parts.append(replace(last, seconds=held, text=""))
        parts.append(part)
        held, last = stop, part
    if last is not None and held < math.inf:
        parts.append(replace(last, seconds=held, text=""))
    return tuple(parts)


def _refuse_half_a_time(prompt: str, start: int) -> None:
    if _THOUSANDS.match(prompt, start):
        raise mistake(
            "this number can be read in two ways: write 1000 for a thousand, 2.5 or 2,5 for two"
            " and a half",
            prompt,
            start,
        )
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
