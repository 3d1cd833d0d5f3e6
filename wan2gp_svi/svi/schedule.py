"""Which words hold for which latents: timed prompts laid over the windows of a plan. Pure Python.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.prompts import (
    SAME_TIME,
    Part,
    PromptError,
    TimedPrompt,
    in_seconds,
    mistake,
    parse,
)
from wan2gp_svi.svi.vae import VAE_STRIDE, first_frame, latent_of_frame
from wan2gp_svi.svi.windows import Window


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
    if frames < 1 or frames % VAE_STRIDE != 1:
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
            raise mistake("this time is one of the whole video", timed.prompt, part.position)
        if not part.text and part.seconds >= length - SAME_TIME:
            continue  # the part before it holds to the end
        _refuse_past_the_end(timed, part, length, "its window")
        latent = 0
        if part.seconds > 0:
            frame = min(math.ceil((part.seconds - SAME_TIME) * fps), new_frames - 1)
            latent = latent_of_frame(first_new_frame + frame)
        if latent <= join:
            latent = 0  # what holds at time 0 holds for the latents before it
        if latent == begins[-1][0]:
            before = begins.pop()[1]
            if before is not None and before.text and not part.text:
                raise mistake(
                    f"this part ends in the latent frame that it begins in,"
                    f" {in_seconds(VAE_STRIDE / fps)} long: give it at least that much",
                    timed.prompt,
                    part.position,
                )
            if before is not None and before.seconds >= 0 and before.text:
                raise mistake(
                    f"the parts at {in_seconds(before.seconds)} and {in_seconds(part.seconds)}"
                    f" begin in the same latent frame, {in_seconds(VAE_STRIDE / fps)} long: leave"
                    " at least that much between them",
                    timed.prompt,
                    part.position,
                )
        begins.append((latent, part))

    stops = [latent for latent, _ in begins[1:]] + [latent_of_frame(frames - 1) + 1]
    segments = []
    for (first, held), stop in zip(begins, stops, strict=True):
        begin, end = first_frame(first), min(first_frame(stop), frames)
        segments.append(
            Segment(
                first_latent=first,
                stop_latent=stop,
                first_frame=begin,
                stop_frame=end,
                start_seconds=max(begin - first_new_frame, 0) / fps,
                stop_seconds=min(end - first_new_frame, new_frames) / fps,
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


def notes(prompts: Sequence[str], windows: int, repeat: int = 1) -> list[str]:
    """What is worth knowing about prompts and windows; `repeat` as in `serving`."""
    found = []
    serves = [serving(window, len(prompts), repeat) for window in range(windows)]
    unused, shared = len(prompts) - 1 - serves[-1], serves.index(serves[-1]) + 1
    if unused:
        found.append(
            f"{len(prompts)} prompts for {windows} window{'s' * (windows > 1)}: the last"
            f" {f'{unused} are' if unused > 1 else 'one is'} not used"
        )
    elif shared < windows and any(prompts):
        found.append(f"windows {shared} to {windows} share prompt {len(prompts)}")
    if any("[/" in prompt.replace(" ", "") for prompt in prompts):
        found.append("WanGP's slash commands, [/...], may change these windows")
    return found


def prompts_for_windows(
    prompts: Sequence[str],
    spans: Sequence[tuple[float, float]],
    repeat: int = 1,
    windows_before: int = 0,
) -> list[str | TimedPrompt]:
    """The prompt of each window: a plain text as it stands, or a TimedPrompt to schedule.

    prompts: which window takes which, `serving` says; prompts that serve none are checked as far
    as they can be, and not used.
    spans: for each window the seconds (start, end) of the whole video that it adds.
    windows_before: how many windows the video has already, for the numbers in messages.

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
                named = f"window {windows_before + longest + 1}"
                for part in timed.parts:
                    if part.text:
                        _refuse_past_the_end(timed, part, lengths[longest], named)
            for window in windows:
                if whole_video:
                    result[window] = _cut(timed, *spans[window])
                else:
                    result[window] = _reached(timed, lengths[window]) if timed.parts else prompt
    return result


def _refuse_past_the_end(timed: TimedPrompt, part: Part, length: float, window: str) -> None:
    if part.seconds >= length - SAME_TIME:
        raise mistake(
            f"{in_seconds(part.seconds)} is past the end of {window}, which adds"
            f" {in_seconds(length)} to the video",
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
        if part.seconds >= video_end - SAME_TIME:
            raise mistake(
                f"{in_seconds(part.seconds)} is past the end of the video, which is"
                f" {in_seconds(video_end)} long",
                timed.prompt,
                part.position,
            )
        too_early = windows[0] > 0 and part.seconds < first_start - SAME_TIME
        if too_early or part.seconds >= last_end - SAME_TIME:
            raise mistake(
                f"{in_seconds(part.seconds)} of the video lies outside the windows of this prompt,"
                f" which go from {in_seconds(first_start)} to {in_seconds(last_end)}",
                timed.prompt,
                part.position,
            )


def _cut(timed: TimedPrompt, start: float, end: float) -> TimedPrompt:
    """What a prompt with whole-video times says about the window from `start` to `end` seconds."""
    begun = [part for part in timed.parts if part.seconds < start - SAME_TIME]
    rest = timed.parts[len(begun) :]
    here = [part for part in rest if part.seconds < end - SAME_TIME]
    parts = (
        replace(part, seconds=round(part.seconds - start, 6) + 0.0, whole_video=False)
        for part in begun[-1:] + here
    )
    return replace(timed, parts=tuple(parts))


def _reached(timed: TimedPrompt, length: float) -> TimedPrompt:
    """What a prompt with times of its own says about a window of `length` seconds."""
    reached = tuple(part for part in timed.parts if part.seconds < length - SAME_TIME)
    left_out = tuple(part for part in timed.parts[len(reached) :] if part.text)
    return replace(timed, parts=reached, left_out=left_out)


@contextmanager
def _about_prompt(number: int, count: int) -> Iterator[None]:
    """Errors within name the prompt, if there are several."""
    try:
        yield
    except PromptError as error:
        if count == 1:
            raise
        raise PromptError(f"Prompt {number}: {error}", error.position) from None
