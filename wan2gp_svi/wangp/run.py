"""One run of an SVI model in WanGP: what was asked, and where it stands.

task.py makes a `Run` when WanGP begins a task and drops it when the task ends; pipeline.py takes
it from window to window. What passes between windows is svi/carry.py's.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from wan2gp_svi.svi.carry import Carry
from wan2gp_svi.svi.modes import Mode
from wan2gp_svi.svi.prompts import PromptError, TimedPrompt
from wan2gp_svi.svi.schedule import Segment, prompts_for_windows, segments_of, serving
from wan2gp_svi.svi.windows import Chain, Size, Window, layout
from wan2gp_svi.wangp.console import say_once
from wan2gp_svi.wangp.film import Film
from wan2gp_svi.wangp.names import PRO
from wan2gp_svi.wangp.settings import LARGEST_SEED, Settings

_current = threading.local()


def current() -> Run | None:
    """The run that WanGP is in, None outside of one and for every model but SVI's.

    WanGP generates in a thread of its own: what the user does on the page meanwhile is no part of
    the run.
    """
    return getattr(_current, "run", None)


def set_current(run: Run | None) -> None:
    """Begin a run in this thread, or end it."""
    _current.run = run


@dataclass
class Run:
    """What was asked of a run, and where it stands.

    Asked:
    settings       the user's, of ours
    carry          chain, mode, strengths; what passes from window to window
    planned        sizes of the windows that were planned from the settings
    windows_before of the video continued, as its hand-over tells; 0 where it has none
    starts_on_anchor   there is no start image: the first anchor image is it
    written        the prompts as the user wrote them
    custom         our settings as they were given, for the video's metadata
    asked          WanGP's settings that it was told other values of, for the same
    switch_phase   the guidance phase after which the low-noise model takes over
    source_path    the video that is continued
    model_type     WanGP's name of the model, by which hand-overs are told apart
    pose_files     LoRA files, one of which holds the pose adapter (SVI-Dance)
    skeleton_frames   of the skeleton video, at the run's rate

    Where it stands:
    sizes          of the windows, as commands in the prompts have changed them; windows asked for
                   while running are full ones
    first_seed     WanGP's seed of the first video (a task may make several)
    window         the one that is generated, or was last
    windows        those planned, this one included, with the seed that WanGP has settled on
    prompts        of the windows so far, as WanGP gave them
    measured, noted   the last window that WanGP asked the length of, and the last whose video it
                   told of: hooks that are placed but not called stop the run (pipeline.py)
    apart          of the windows so far: how far each is from the one before, in the frames that
                   both decoded (svi/overlap.py); None where there are none such
    unused         why the hand-over of the video that is continued is not used; "" where it is
    start          the frame (3, 1, H, W) that the run's first window starts from
    video          the last video saved
    saved_id       id of the last hand-over file written
    orphans        videos that WanGP has deleted, whose hand-over files are still there
    film           the video as it grows; None where it is written WanGP's way
    saved          the last frames of the window as they were saved, (3, F, H, W), uint8 or -1..1,
                   at most as many as a fingerprint takes, and their rate
    """

    settings: Settings
    carry: Carry
    planned: Sequence[Size] = ()
    windows_before: int = 0
    starts_on_anchor: bool = False
    written: list[str] = field(default_factory=list)
    custom: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    switch_phase: int | None = None
    source_path: str | None = None
    model_type: str = PRO
    pose_files: list[Path] = field(default_factory=list)
    skeleton_frames: int = 0

    sizes: list[Size] = field(default_factory=list)
    first_seed: int | None = None
    window: Window | None = None
    windows: list[Window] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    measured: int = 0
    noted: int = 0
    apart: list[float | None] = field(default_factory=list)
    unused: str = ""
    start: Tensor | None = None
    video: str | None = None
    saved_id: str | None = None
    orphans: list[str] = field(default_factory=list)
    film: Film | None = None
    saved: tuple[Tensor, float] | None = None

    def __post_init__(self) -> None:
        self.sizes = self.sizes or list(self.planned)

    @property
    def chain(self) -> Chain:
        """What holds for all windows; `carry` keeps it."""
        return self.carry.chain

    @property
    def mode(self) -> Mode:
        """The SVI mode of all windows; `carry` keeps it."""
        return self.carry.mode

    def told_number(self, window: Window) -> int:
        """A window's number in messages: from the video's first one, where that is known."""
        return self.windows_before + window.number

    # -- the plan ------------------------------------------------------------------------------

    def size(self, window_no: int) -> Size:
        """What window `window_no` generates; windows asked for while running are full ones."""
        return self.sizes[window_no - 1] if window_no <= len(self.sizes) else self.chain.size

    def short_source(self) -> int:
        """Frames of a source that is too short to hand over latents, beyond the one it starts on.

        WanGP drops as many leading frames as such a source has; the window itself drops one, so it
        is made to look longer by the rest.
        """
        on_image = self.chain.starts_on_image(self.size(1))
        return max(self.chain.source_frames - 1, 0) if on_image else 0

    def host_frames(self, window_no: int) -> int:
        """Frames that WanGP's loop is to expect of window `window_no`, less the discarded."""
        size = self.size(window_no)
        return size.frames - size.discard + (self.short_source() if window_no == 1 else 0)

    def begin(self, window_no: int, seed: int, prompt: str) -> Window:
        """The window that is about to be generated; the first one begins a video anew."""
        if window_no == 1:
            self.first_seed = seed if self.first_seed is None else self.first_seed
            self.carry.left = None
            self.carry.chain = replace(self.chain, seed=seed, seeds=self._seeds(seed))
        self.prompts = [*self.prompts[: window_no - 1], prompt]
        sizes = [self.size(number) for number in range(1, max(window_no, len(self.sizes)) + 1)]
        self.windows = layout(sizes, self.chain)
        self.window = self.windows[window_no - 1]
        return self.window

    def _seeds(self, seed: int) -> str | tuple[int, ...]:
        """The user's seeds; a list goes on, in a task's later videos, as far as WanGP's seed did.

        So each video has noise of its own, and the list is what its first video is made with.
        """
        seeds = self.settings.seeds
        if isinstance(seeds, str) or self.first_seed is None:
            return seeds
        return tuple((one + seed - self.first_seed) % (LARGEST_SEED + 1) for one in seeds)

    # -- the words -----------------------------------------------------------------------------

    def segments(self, window: Window) -> tuple[Segment, ...]:
        """Which words hold for which latents of a window (svi/schedule.py).

        A mistake in what the user wrote was told when the run began; one in what WanGP has made of
        it since (its prompt enhancer writes times, too) must not end the run.
        """
        prompts = self._in_use()
        try:
            return segments_of(window, self.texts()[window.number - 1])
        except PromptError as error:
            if prompts is self.written or not self.written:
                raise
            say_once(f"An enhanced prompt is taken as it stands, its times do not act: {error}")
            text = prompts[serving(window.number - 1, len(prompts), self.mode.prompt_repeat)]
            return segments_of(window, text)

    def texts(self) -> list[str | TimedPrompt]:
        """The prompt of each window planned."""
        prompts = self._in_use()
        spans = [window.seconds for window in self.windows]
        one = len(set(prompts)) == 1
        return prompts_for_windows(
            prompts[:1] if one else prompts,
            spans,
            self.mode.prompt_repeat,
            self.windows_before,
        )

    def _in_use(self) -> list[str]:
        """The prompts as the user wrote them or, where WanGP has changed them since, its own."""
        written = self.written or self.prompts
        shown = [written[min(k, len(written) - 1)] for k in range(len(self.prompts))]
        if shown == self.prompts:
            return written
        last = len(self.prompts)  # one that serves several windows is still one prompt
        while last > 1 and self.prompts[last - 1] == self.prompts[last - 2]:
            last -= 1
        return self.prompts[:last]
