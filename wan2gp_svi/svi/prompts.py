"""Timed prompts: which words hold for which frames. Pure Python; that they act is elsewhere.

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

Frames and latents, the VAE's step (Wan's technical report, arXiv 2503.20314): frame 0 of a window
is latent 0, frames 4j-3..4j are latent j.

The rule for a time of t seconds: the part begins at the first frame that is shown at or after t,
frame `first_new_frame + ceil(t * fps)` (a time during the last frame: that frame), and acts from
the latent that holds this frame. So it never acts late, and at most 3 frames early.

The latents before the first new one (anchor and motion latents, whose frames are dropped) attend
to what holds at time 0, so that no change of words falls on the join: the movement that the motion
latents hand over and the first new latent are steered by the same words, as they are in a prompt
without times, for which the model was trained. The words that held in the window before would put
the change exactly on the join and pull the new frames back to what is over; the outside text alone
would leave them without words in a prompt like "(at 0 seconds: ...)", which must mean the same as
its text alone. When a whole-video part began in an earlier window, it *is* what holds at time 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.windows import Window

# Seconds: rounding must not turn 0.1 s at 30 fps, frame 3.0000000000000004, into frame 4.
_SAME_TIME = 1e-6
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


@dataclass(frozen=True)
class Segment:
    """A run of latents of one window that attend to the same words.

    first_latent, stop_latent: latents first..stop-1 of the window, 0 <= first < stop <= T.
    first_frame, stop_frame: the same in frames of the window (dropped frames count).
    start_seconds, stop_seconds: the same in seconds from the first new frame, as far as the
        window adds frames: 0 <= start < stop <= the length of what it adds.
    words: the whole prompt to encode for these latents.
    part: the part that holds, None where only the text outside does.
    """

    first_latent: int
    stop_latent: int
    first_frame: int
    stop_frame: int
    start_seconds: float
    stop_seconds: float
    words: str
    part: Part | None


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
        raise _error(
            "a prompt counts its times from the window or from the video, not both: write"
            " 'of video' in every timed part or in none",
            prompt,
            other.position,
        )
    return TimedPrompt(text=text, parts=in_time, prompt=prompt, outside=tuple(outside))


def schedule(
    timed: TimedPrompt,
    *,
    frames: int,
    first_new_frame: int,
    fps: float,
    new_frames: int | None = None,
) -> tuple[Segment, ...]:
    """Which words hold for which latents of one window; every latent is in exactly one segment.

    frames: W = 4k+1, all frames of the window. first_new_frame: the first one that is delivered,
    0 in the first window of a video (the start image is delivered as frame 0), 4n+1 after n motion
    latents. new_frames: how many are delivered, W - first_new_frame unless the window also drops
    frames at its end (which then keep the last segment's words). The module's text has the rules.

    Raises PromptError for a time at or past the end of what the window adds, for two parts that
    begin in the same latent, and for whole-video times that have not been cut into windows.
    """
    if new_frames is None:
        new_frames = frames - first_new_frame
    if frames < 1 or frames % 4 != 1:
        raise ValueError(f"a window has 4k+1 frames, not {frames}")
    if first_new_frame < 0 or new_frames < 1 or first_new_frame + new_frames > frames:
        raise ValueError(f"{new_frames} new frames from {first_new_frame} on, of {frames}")
    if not fps > 0 or math.isinf(fps):
        raise ValueError(f"frames a second must be above 0, not {fps}")

    length = new_frames / fps
    begins: list[tuple[int, Part | None]] = [(0, None)]
    join = latent_of_frame(first_new_frame)
    for part in timed.parts:
        if part.whole_video:
            raise _error("this time is one of the whole video", timed.prompt, part.position)
        _refuse_past_the_end(timed, part, length, "its window")
        latent = 0
        if part.seconds > 0:
            frame = min(math.ceil((part.seconds - _SAME_TIME) * fps), new_frames - 1)
            latent = latent_of_frame(first_new_frame + frame)
        if latent <= join:
            latent = 0  # what holds at time 0 holds for the latents before it
        if latent == begins[-1][0]:
            before = begins.pop()[1]
            if before is not None and before.seconds >= 0:
                raise _error(
                    f"the parts at {_seconds(before.seconds)} and {_seconds(part.seconds)} begin"
                    f" in the same latent frame, {_seconds(4 / fps)} long: leave at least that much"
                    " between them",
                    timed.prompt,
                    part.position,
                )
        begins.append((latent, part))

    stops = [latent for latent, _ in begins[1:]] + [latent_of_frame(frames - 1) + 1]
    segments = []
    for (first, held), stop in zip(begins, stops, strict=True):
        first_frame, stop_frame = _first_frame(first), min(_first_frame(stop), frames)
        segments.append(
            Segment(
                first_latent=first,
                stop_latent=stop,
                first_frame=first_frame,
                stop_frame=stop_frame,
                start_seconds=max(first_frame - first_new_frame, 0) / fps,
                stop_seconds=min(stop_frame - first_new_frame, new_frames) / fps,
                words=timed.words(held),
                part=held,
            )
        )
    return tuple(segments)


def segments_of(window: Window, text: str | TimedPrompt) -> tuple[Segment, ...]:
    """The schedule of a planned window; one segment where its text has no times."""
    timed = text if isinstance(text, TimedPrompt) else TimedPrompt(text, (), text, (text,))
    return schedule(
        timed,
        frames=window.frames,
        first_new_frame=window.drop_front,
        fps=window.fps,
        new_frames=window.adds,
    )


def delivered(window: Window, segment: Segment) -> tuple[int, int]:
    """The first and the last frame of the whole video, from 1, that a segment of a window shows."""
    first = max(segment.first_frame - window.drop_front, 0)
    stop = min(segment.stop_frame - window.drop_front, window.adds)
    return window.start + first + 1, window.start + stop


def timetable(window: Window, segments: Sequence[Segment]) -> list[str]:
    """A line for each segment: frames of the whole video, seconds of the window, words."""
    lines = []
    for segment in segments:
        first, last = delivered(window, segment)
        span = f"{segment.start_seconds:.2f}-{segment.stop_seconds:.2f} s"
        lines.append(f"frames {first}-{last}, {span}: {segment.words}")
    return lines


def serving(window: int, prompts: int, repeat: int = 1) -> int:
    """Which of so many prompts serves a window, both from 0.

    Each serves `repeat` windows (0: the first one serves all), the last one those that are left.
    """
    return min(window // repeat, prompts - 1) if repeat else 0


def prompts_for_windows(
    prompts: Sequence[str], spans: Sequence[tuple[float, float]], repeat: int = 1
) -> list[str | TimedPrompt]:
    """The prompt of each window: a plain text as it stands, or a TimedPrompt to schedule.

    prompts: which window takes which, `serving` says; prompts that serve none are checked as far
    as they can be, and not used.
    spans: for each window the seconds (start, end) of the whole video that it adds.

    A prompt with times of the whole video keeps, in each of its windows, the parts that begin
    there, counted from that window's start, and the one that began last before it. Parts that
    began before the first window of a continued video count the same way.

    Raises PromptError as `parse` does, and for a time past the end of every window that its prompt
    serves, past that of the video, or, with several prompts, outside the prompt's windows. A time
    that only some of the windows reach acts in these and is `left_out` in the others.
    """
    if not prompts:
        raise UserError("There is no prompt: write one for the first window at least.")
    served: list[list[int]] = [[] for _ in prompts]
    for window in range(len(spans)):
        served[serving(window, len(prompts), repeat)].append(window)

    result: list[str | TimedPrompt] = [""] * len(spans)
    for number, (prompt, windows) in enumerate(zip(prompts, served, strict=True), start=1):
        with _about_prompt(number, len(prompts)):
            timed = parse(prompt)
            whole_video = any(part.whole_video for part in timed.parts)
            if whole_video and windows:
                _refuse_other_windows(timed, spans, windows)
            lengths = {window: spans[window][1] - spans[window][0] for window in windows}
            if windows and not whole_video:
                longest = max(windows, key=lambda window: lengths[window])
                for part in timed.parts:
                    _refuse_past_the_end(timed, part, lengths[longest], f"window {longest + 1}")
            for window in windows:
                if whole_video:
                    result[window] = _cut(timed, *spans[window])
                else:
                    result[window] = _reached(timed, lengths[window]) if timed.parts else prompt
    return result


def until(prompt: str, seconds: float) -> str:
    """The prompt without its parts that begin at or after `seconds` of the whole video.

    Raises PromptError as `parse` does.
    """
    later = [p for p in parse(prompt).parts if p.whole_video and p.seconds >= seconds - _SAME_TIME]
    for part in sorted(later, key=lambda part: -part.position):
        prompt = prompt[: part.position] + prompt[_closing(prompt, part.position) :]
    return prompt


def latent_of_frame(frame: int) -> int:
    """The latent of a window that holds its frame number `frame` (both from 0)."""
    return (frame + 3) // 4


def _first_frame(latent: int) -> int:
    return max(4 * latent - 3, 0)


def _timed_part(prompt: str, time: re.Match[str], slot: int) -> tuple[Part, int]:
    """The part whose opening `time` matched, and where it ends."""
    start = time.start()
    if time["colon"] is None:
        raise _error("a timed part needs a ':' after its time", prompt, start)
    end = _closing(prompt, start)
    if end is None:
        raise _error("the parenthesis of this timed part is never closed", prompt, start)
    if time["sign"]:
        raise _error("a time cannot be negative", prompt, start)
    inner = prompt[time.end() : end - 1]
    for nested in _OPENING.finditer(inner):
        position = time.end() + nested.start()
        if _TIME.match(prompt, position):
            raise _error("a timed part stands inside another", prompt, position)
    text = " ".join(inner.split())
    if not text:
        raise _error("this timed part has no text", prompt, start)
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
        raise _error(
            "a time is a number of seconds: write '(at 3 seconds: ...)', or"
            " '(at 8 seconds of video: ...)' for a time of the whole video",
            prompt,
            start,
        )
    if _NO_NUMBER.match(prompt, start):
        raise _error(
            "this time has no number: write '(at 2.5 seconds: ...)', or leave out the ':' if"
            " no timed part is meant",
            prompt,
            start,
        )


def _refuse_two_at_one_time(prompt: str, parts: Sequence[Part]) -> None:
    for before, part in pairwise(parts):
        if before.seconds == part.seconds:
            later = max(before, part, key=lambda one: one.position)
            raise _error(f"two parts begin at {_seconds(part.seconds)}", prompt, later.position)


def _refuse_past_the_end(timed: TimedPrompt, part: Part, length: float, window: str) -> None:
    if part.seconds >= length - _SAME_TIME:
        raise _error(
            f"{_seconds(part.seconds)} is past the end of {window}, which adds"
            f" {_seconds(length)} to the video",
            timed.prompt,
            part.position,
        )


def _refuse_other_windows(
    timed: TimedPrompt, spans: Sequence[tuple[float, float]], windows: Sequence[int]
) -> None:
    """Refuse whole-video times that no window of this prompt can ever reach."""
    video_end, last_end = spans[-1][1], spans[windows[-1]][1]
    first_start = spans[windows[0]][0]
    for part in timed.parts:
        if part.seconds >= video_end - _SAME_TIME:
            raise _error(
                f"{_seconds(part.seconds)} is past the end of the video, which is"
                f" {_seconds(video_end)} long",
                timed.prompt,
                part.position,
            )
        too_early = windows[0] > 0 and part.seconds < first_start - _SAME_TIME
        if too_early or part.seconds >= last_end - _SAME_TIME:
            raise _error(
                f"{_seconds(part.seconds)} of the video lies outside the windows of this prompt,"
                f" which go from {_seconds(first_start)} to {_seconds(last_end)}",
                timed.prompt,
                part.position,
            )


def _cut(timed: TimedPrompt, start: float, end: float) -> TimedPrompt:
    """What a prompt with whole-video times says about the window from `start` to `end` seconds."""
    begun = [part for part in timed.parts if part.seconds < start - _SAME_TIME]
    rest = timed.parts[len(begun) :]
    here = [part for part in rest if part.seconds < end - _SAME_TIME]
    parts = (
        replace(part, seconds=round(part.seconds - start, 6) + 0.0, whole_video=False)
        for part in begun[-1:] + here
    )
    return replace(timed, parts=tuple(parts))


def _reached(timed: TimedPrompt, length: float) -> TimedPrompt:
    """What a prompt with times of its own says about a window of `length` seconds."""
    reached = tuple(part for part in timed.parts if part.seconds < length - _SAME_TIME)
    return replace(timed, parts=reached, left_out=timed.parts[len(reached) :])


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


@contextmanager
def _about_prompt(number: int, count: int) -> Iterator[None]:
    """Errors within name the prompt, if there are several."""
    try:
        yield
    except PromptError as error:
        if count == 1:
            raise
        raise PromptError(f"Prompt {number}: {error}", error.position) from None


def _error(what: str, prompt: str, position: int) -> PromptError:
    excerpt = prompt[position : position + 40].replace("\n", " ")
    if len(prompt) > position + 40:
        excerpt += "..."
    sentence = what[0].upper() + what[1:]
    return PromptError(f"{sentence} (character {position + 1}: {excerpt!r}).", position)


def _seconds(value: float) -> str:
    return f"{value:.10g} s"
