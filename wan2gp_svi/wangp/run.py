"""One run of an SVI model: what was asked, the plan, and what passes from window to window.

loop.py makes a `Run` when WanGP begins a task and drops it when the task ends; pipeline.py asks it
for each window's conditioning and tells it each window's result. Called without WanGP's loop (its
API's lower levels, tests), pipeline.py makes one that plans nothing and follows what it is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from wan2gp_svi.svi.conditioning import (
    MODES,
    Mode,
    condition,
    padded_video,
    pro_latents,
    scale_motion,
    with_end,
)
from wan2gp_svi.svi.handover import HandOver
from wan2gp_svi.svi.prompts import (
    PromptError,
    Segment,
    TimedPrompt,
    prompts_for_windows,
    segments_of,
    serving,
)
from wan2gp_svi.svi.windows import Chain, Size, Window, floor_frames, layout
from wan2gp_svi.wangp import say_once
from wan2gp_svi.wangp.settings import Settings

START = -1
"""Key, in `Run.anchors`, of the picture that the first window starts on."""
TAIL_CONTEXT = 7
"""Latents encoded before the ones that are kept, when a video's tail has to be encoded again.

The causal VAE looks back: the first latents after a cut differ from those of the whole video.
"""

Encode = Callable[[Tensor], Tensor]
"""(3, F, H, W), -1 to 1 -> (16, (F-1)/4+1, H/8, W/8), in the pipeline's own precision."""

_current = threading.local()


def current() -> Run | None:
    """The run that WanGP is in, None outside of one and for every model but SVI's.

    WanGP generates in a thread of its own: what the user does on the page meanwhile is no part of
    the run.
    """
    return getattr(_current, "run", None)


def set_current(run: Run | None) -> None:
    _current.run = run


@dataclass
class Source:
    """The video that is continued, as WanGP has resized and resampled it.

    `first` is its first frame and `tail` its last ones, (3, F, H, W), uint8; `frames` its length.
    """

    first: Tensor
    tail: Tensor
    frames: int


@dataclass
class Run:
    """See the module's text. `sizes` are the windows planned; more are full ones.

    `written` are the prompts as the user wrote them, `prompts` those of the windows so far.
    `start` is the frame (3, 1, H, W) that the run's first window starts from, `tail` the last
    frames that the last window delivered. `custom` are the settings of ours as they were given, and
    `switch_phase` the guidance phase after which the low-noise model takes over.
    """

    settings: Settings
    chain: Chain
    mode: Mode = MODES["pro"]
    sizes: list[Size] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    handover: HandOver | None = None
    source: Source | None = None
    planned: bool = True
    amplitude: float = 1.0
    custom: Mapping[str, Any] = field(default_factory=dict)
    switch_phase: int | None = None

    windows: list[Window] = field(default_factory=list)
    anchors: dict[int, Tensor] = field(default_factory=dict)
    start: Tensor | None = None
    latents: Tensor | None = None
    tail: Tensor | None = None
    prompts: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    saved_id: str | None = None
    orphans: list[str] = field(default_factory=list)

    # -- the plan ------------------------------------------------------------------------------

    def size(self, window_no: int) -> Size:
        """What window `window_no` generates; windows asked for while running are full ones."""
        return self.sizes[window_no - 1] if window_no <= len(self.sizes) else self.chain.size

    def short_source(self) -> int:
        """Frames of a source that is too short to hand over latents, beyond the one it starts on.

        WanGP drops as many leading frames as such a source has; the window itself drops one, so it
        is made to look longer by the rest.
        """
        on_image = self.chain.starts_on_image
        return max(self.chain.source_frames - 1, 0) if on_image else 0

    def host_frames(self, window_no: int, frames: int) -> int:
        """Frames that WanGP's loop is to expect of window `window_no`, less the discarded."""
        if not self.planned:
            return frames
        size = self.size(window_no)
        return size.frames - size.discard + (self.short_source() if window_no == 1 else 0)

    def begin(self, window_no: int, seed: int, prompt: str) -> Window:
        """The window that is about to be generated; the first one begins a video anew."""
        if window_no == 1:
            self.latents = self.tail = None
            self.prompts = []
            self.chain = replace(self.chain, seed=seed)
        self.prompts = [*self.prompts[: window_no - 1], prompt]
        sizes = [self.size(number) for number in range(1, max(window_no, len(self.sizes)) + 1)]
        self.windows = layout(sizes, replace(self.chain, prompts=tuple(self.prompts)))
        return self.windows[window_no - 1]

    def segments(self, window: Window) -> tuple[Segment, ...]:
        """Which words hold for which latents of a window (svi/prompts.py).

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

    def texts(self) -> list[str | TimedPrompt]:
        """The prompt of each window planned."""
        prompts = self._in_use()
        spans = [window.seconds for window in self.windows]
        one = len(set(prompts)) == 1
        return prompts_for_windows(prompts[:1] if one else prompts, spans, self.mode.prompt_repeat)

    # -- what a window is conditioned on -------------------------------------------------------

    def conditioning(
        self,
        window: Window,
        encode: Encode,
        picture: Callable[[int], Tensor],
        end: Tensor | None = None,
    ) -> Tensor:
        """y (20, T, h, w) of a window. `picture` gives the anchor image of a number, or `START`.

        Nothing is encoded twice: an anchor that serves many windows is encoded for the first one.
        """
        if self.mode.motion_frames:
            video = padded_video(
                self.motion_frames(window, picture),
                picture(0),
                window.frames,
                self.mode.ref_pad_num,
            )
            known = self.mode.motion_frames if self.mode.ref_pad_cfg else 1
            return condition(encode(video), window.frames, known)
        on_image = window.number == 1 and self.chain.starts_on_image
        anchor = self.anchor(START if on_image else window.anchor, encode, picture)
        motion = None if on_image else self.motion(window, encode)
        known = 1 + (0 if motion is None else motion.shape[1])
        latents = pro_latents(
            anchor,
            None if motion is None else motion.to(anchor),
            window.latents,
            self.settings.anchor_strength,
            self.settings.motion_strength,
        )
        latents = scale_motion(latents, known, self.amplitude)
        latents = with_end(latents, None if end is None else encode(end))
        return condition(latents, window.frames)

    def anchor(self, number: int, encode: Encode, picture: Callable[[int], Tensor]) -> Tensor:
        """The latent (16, 1, h, w) of an anchor image; 0 is the start image of the whole video."""
        if number == START and self.chain.source_frames == 0:
            number = 0  # a new video starts on its start image
        if number not in self.anchors:
            if self.handover is None or number != 0:
                self.anchors[number] = encode(picture(number))
            elif self.chain.anchors:  # a schedule asks for the start image
                self.anchors[number] = self.handover.start_anchor
            else:
                self.anchors[number] = self.handover.anchor_in_force
        return self.anchors[number]

    def motion(self, window: Window, encode: Encode) -> Tensor:
        """The last n latents (16, n, h, w) of the window before, or of the video continued."""
        n = window.motion_latents
        if window.number > 1:
            if self.latents is None:
                raise RuntimeError("the window before left no latents")
            return self.latents[:, -n:]
        if self.handover is not None:
            return self.handover.latents[:, -n:]
        if self.source is None:
            raise RuntimeError("there is no video to continue")
        frames = floor_frames(min(self.source.tail.shape[1], 4 * (n + TAIL_CONTEXT) + 1))
        return encode(pixels(self.source.tail[:, -frames:]))[:, -n:]

    def shown(self, window: Window, picture: Callable[[int], Tensor]) -> Tensor:
        """The frame (3, 1, H, W) that WanGP is shown as the window's start.

        Colours are matched with it, so for Pro it is the anchor and never the window before: that
        would accumulate. For the pixel modes it is also what CLIP sees: the first motion frame.
        """
        if self.mode.motion_frames:
            return self.motion_frames(window, picture)[:, :1]
        on_image = window.number == 1 and self.chain.starts_on_image
        return picture(START if on_image else window.anchor)

    def motion_frames(self, window: Window, picture: Callable[[int], Tensor]) -> Tensor:
        """The N frames (3, N, H, W), -1 to 1, that a window of the pixel modes starts from.

        The first window of a video starts from its start image, N times (`test_svi.py`).
        """
        count = self.mode.motion_frames
        if window.number == 1 and self.chain.starts_on_image:
            return picture(START).expand(-1, count, -1, -1)
        before = self.source.tail if window.number == 1 and self.source else self.tail
        if before is None:
            raise RuntimeError("the window before left no frames")
        return pixels(before[:, -count:]).to(picture(0))

    # -- what a window leaves ------------------------------------------------------------------

    def finish(self, window: Window, latents: Tensor | None, frames: Tensor) -> None:
        """Keep the hand-over of a window: its last kept latents (16, n, h, w), its last frames."""
        self.latents = None if self.mode.motion_frames else latents
        kept = frames[:, window.drop_front : frames.shape[1] - window.discard]
        self.tail = kept[:, -9:].clone()

    def saved(self, video_path: str, configs: dict[str, Any]) -> None:
        """A window's video is saved; `configs` becomes its metadata."""
        from wan2gp_svi.wangp.continuing import remember

        if self.custom and not configs.get("custom_settings"):  # WanGP before 10.80
            configs["custom_settings"] = dict(self.custom)
        remember(self, video_path, configs)


def pixels(frames: Tensor) -> Tensor:
    """uint8 frames as -1 to 1; frames that are floating point already stay as they are."""
    if frames.dtype != torch.uint8:
        return frames
    return frames.float().div_(127.5).sub_(1.0)
