"""Where a run stands, for whoever wants to show it: the tab SVI, and WanGP's own status.

WanGP generates one task at a time, so there is one such record. It belongs to the browser that
asked for the task, which is known by WanGP's own record of what it generates ("gen").

`get_latest_status` of wgp.py makes the line above WanGP's progress bar; within a window of a run it
also says which anchor serves, whether a hand-over is used, and the words that act.
"""

from __future__ import annotations

import functools
import re
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wan2gp_svi.svi.schedule import Segment
from wan2gp_svi.wangp.wrapping import wrap

WORDS = 40
"""Characters of a window's words that WanGP's status shows."""


@dataclass
class Progress:
    """A run, as far as it is.

    gen       WanGP's record of the browser that asked for it
    work      pixels times denoising steps, what a frame costs
    began     of the run; `window_began` of the window: seconds of `time.monotonic`
    window    its number, and how many `windows` there are, both counted from the video's first
    frames    that the window generates
    first     number of the run's first window
    said      what the console said of the window
    words     what acts in it: (from, to, words), seconds of the window
    video     the last file saved
    line      what WanGP's status says of the window; "" between two
    status    WanGP's status anew
    done      seconds that each finished window took
    """

    gen: Any
    work: float
    began: float
    window_began: float
    window: int = 0
    windows: int = 0
    frames: int = 0
    first: int = 0
    said: str = ""
    words: tuple[tuple[float, float, str], ...] = ()
    video: str = ""
    line: str = ""
    status: Callable[[], str] | None = None
    done: list[float] = field(default_factory=list)

    def left(self, now: float) -> float | None:
        """Seconds that the run will still take, as its windows took so far; None before the first.

        The first window also loads the model: once there are others, they say how long one takes.
        """
        if not self.done:
            return None
        later = self.done[1:] or self.done
        each = sum(later) / len(later)
        to_come = self.windows - self.window
        return max(each - (now - self.window_began), 0) + each * to_come


_now: Progress | None = None
_pace: float | None = None


def work(given: Mapping[str, Any]) -> float:
    """What a frame of a task costs: pixels times denoising steps."""
    sides = [int(side) for side in str(given.get("resolution") or "").split("x") if side.isdigit()]
    pixels = sides[0] * sides[1] if len(sides) == 2 else 1
    return float(pixels * max(int(given.get("num_inference_steps") or 1), 1))


def attach(wgp: dict[str, Any]) -> None:
    """Wrap `get_latest_status` in wgp.py's globals."""
    wrap(wgp, "get_latest_status", functools.partial(_status, wgp))


def _status(
    wgp: Mapping[str, Any], original: Callable[..., str], state: dict, context: str = ""
) -> str:
    """WanGP's status, with what SVI does in this window in place of its bare number."""
    run = of(wgp["get_gen_info"](state))
    if run is None or not run.line:
        return original(state, context)
    before = re.sub(r"(, )?Sliding Window \d+/\d+$", "", original(state))
    status = f"{before}, {run.line}" if before else run.line
    return wgp["merge_status_context"](status, context)


def begin(gen: Any, work: float, status: Callable[[], str] | None = None) -> None:
    """A run begins. `status` gives WanGP's status of the browser that asked for it."""
    global _now
    now = time.monotonic()
    _now = Progress(gen, work, now, now, status=status)


def window_begins(
    number: int,
    windows: int,
    frames: int,
    said: str,
    segments: Sequence[Segment],
    short: str = "",
) -> None:
    """A window is about to be denoised. `short`: its anchor, and whether a hand-over is used."""
    if _now is None:
        return
    _now.line = in_one_line(number, windows, short, segments)
    if _now.status is not None:  # WanGP made its status before the window was known
        _now.gen["progress_status"] = _now.status()
    _now.window, _now.windows, _now.frames, _now.said = number, windows, frames, said
    _now.first = _now.first or number
    _now.words = tuple((s.start_seconds, s.stop_seconds, s.words) for s in segments)


def in_one_line(number: int, windows: int, short: str, segments: Sequence[Segment]) -> str:
    """A window for WanGP's status: `SVI window 2 of 5, anchor 1, hand-over used, "she sits"`."""
    parts = [segment.part.text if segment.part else segment.words for segment in segments]
    words = textwrap.shorten("; ".join(part for part in parts if part), WORDS, placeholder="...")
    found = [f"SVI window {number} of {windows}", *([short] if short else [])]
    # A bar parts WanGP's own words in its status.
    return ", ".join([*found, *([f'"{words}"'] if words else [])]).replace("|", "/")


def window_saved(video: str) -> None:
    """The window is done, and its video saved."""
    global _pace
    if _now is None:
        return
    now = time.monotonic()
    seconds, _now.window_began, _now.video = now - _now.window_began, now, video
    _now.line = ""
    _now.done.append(seconds)
    if len(_now.done) > 1 or _pace is None:  # the first window of a run also loads the model
        _pace = seconds / (_now.work * max(_now.frames, 1))


def end() -> None:
    """The run is over, done or not."""
    global _now
    _now = None


def of(gen: Any) -> Progress | None:
    """The run that a browser has asked for, None where it is not on."""
    return _now if _now is not None and _now.gen is gen else None


def seconds_for(work: float, frames: int) -> float | None:
    """How long a window of so many frames will take, as the last one took; None: none was made."""
    return None if _pace is None else _pace * work * frames
