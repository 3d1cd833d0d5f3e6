"""The plan of a chain: which frames each window generates, drops and delivers.

Terms. A window generates W = 4k+1 frames, which are T = (W-1)/4 + 1 latents (Wan's causal VAE:
the first frame alone, then four frames a latent). A later window is conditioned on an anchor
(latent 0) and n motion latents (latents 1..n) of the window before; decoded, those are 1 + 4n
frames that repeat what is known, and they are dropped. So a window of 81 frames with n = 1 adds 76,
and a video of k such windows has 81 + 76(k-1) frames (SVI 2.0 Pro, `inference_svi_2.0_pro.py`).

Length. F frames asked are floored to 4k+1; a continuation adds F-1, because the last frame of its
source counts as the first. After the whole windows r new frames may remain, of the A that a full
window adds. A window costs a model swap, so

    r <= A/4         the plan ends at the whole window,
    A/4 < r < A/2    the last two windows share the frames,
    otherwise        the last window is as long as it must be;

`exact` delivers the floored F always. (162 asked: 157 in two windows; 200 asked: 81 + 76 + 40.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.vae import VAE_STRIDE, floor_frames, latents_of

SEED_STEP = 42
"""What the seed grows by from window to window; the authors use clip index * 42."""
LARGEST_SEED = 2**32 - 1
"""What every random generator of a host takes; WanGP's page ends at 999999999."""


@dataclass(frozen=True, slots=True)
class Size:
    """What one window generates: frames (4k+1), and how many of them the next one starts from.

    SVI 2.0 Pro hands over `motion_latents`; the other modes of the family `motion_frames`, decoded
    (then `motion_latents` does not count). `discard` frames at its end are not delivered. A `shot`
    begins anew: it starts on its anchor image, with nothing of a window before it.
    """

    frames: int
    motion_latents: int = 1
    discard: int = 0
    motion_frames: int = 0
    shot: bool = False

    @property
    def overlap(self) -> int:
        """Leading frames of a later window that repeat what is known.

        The anchor's and those of the motion latents, or the motion frames.
        """
        if self.shot:
            return 0
        return self.motion_frames or 1 + VAE_STRIDE * self.motion_latents

    @property
    def adds(self) -> int:
        """New frames of this window as a later one."""
        return self.frames - self.overlap - self.discard


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a chain.

    `number` counts from 1 in this run, `index` from 1 at the start of the whole video. Frames
    `start` to `stop` (exclusive, from 0 in the whole video, source included) are the ones that it
    delivers: of the `frames` that it generates, `drop_front` are dropped at the front and `discard`
    at the back. `on_image` says that it has nothing of a window before it, and starts on an image;
    `motion_latents` is 0 where it starts from none. `anchor` is the number of the anchor image, 0
    for the start image of the whole video.
    """

    number: int
    index: int
    frames: int
    on_image: bool
    motion_latents: int
    drop_front: int
    discard: int
    start: int
    stop: int
    seed: int
    anchor: int
    fps: float

    @property
    def latents(self) -> int:
        return latents_of(self.frames)

    @property
    def adds(self) -> int:
        """Frames delivered."""
        return self.stop - self.start

    @property
    def seconds(self) -> tuple[float, float]:
        """The time span of the delivered frames in the whole video."""
        return self.start / self.fps, self.stop / self.fps

    @property
    def kept_latents(self) -> int:
        """Latents whose frames are kept: the hand-over is the last of these."""
        return self.latents - self.discard // VAE_STRIDE


@dataclass(frozen=True, slots=True)
class Chain:
    """What holds for all windows of one run.

    `source_frames` is the number of frames of the video that is continued (0: a new video) and
    `windows_before` the number of windows it was made of. `seed` belongs to window index 1.
    `seeds` is "new" (seed + 42*(index-1)), "same" (one for all), or a list for this run's windows,
    which goes on from its last entry in steps of 42. `anchors` is the number of anchor images of
    this run; `anchor_schedule` names, window by window, which of them serves (default 1, 2, 3 ...;
    the last one serves the rest).
    """

    size: Size = Size(81)
    fps: float = 16.0
    seed: int = 0
    seeds: str | Sequence[int] = "new"
    anchors: int = 0
    anchor_schedule: Sequence[int] = ()
    source_frames: int = 0
    windows_before: int = 0

    def drop_first(self, size: Size) -> int:
        """Frames dropped at the front of this run's first window, which is of `size`.

        A new video delivers all. A source shorter than the overlap has no motion latents to give:
        its last frame serves as the start image, and is not delivered again.
        """
        return min(self.source_frames, 1) if self.starts_on_image(size) else size.overlap

    def starts_on_image(self, size: Size) -> bool:
        """Whether this run's first window, of `size`, has nothing of a window before it."""
        return self.source_frames < size.overlap


def whole_numbers(value: Any) -> tuple[int, ...]:
    """The numbers in "1, 2, 3" or a list. Raises ValueError where one is none, or below 0."""
    parts = value.replace(",", " ").replace(";", " ").split() if isinstance(value, str) else value
    try:
        numbers = tuple(int(part) for part in parts)
    except TypeError as error:
        raise ValueError(value) from error
    if any(number < 0 for number in numbers):
        raise ValueError(value)
    return numbers


def seeds_in(value: Any) -> str | tuple[int, ...]:
    """Seeds as a user writes them: "new", "same", or numbers. Raises ValueError for others."""
    text = str(value).strip().lower() if isinstance(value, (str, int)) else value
    if text in ("new", "same"):
        return text
    seeds = whole_numbers(text)
    if not seeds or max(seeds) > LARGEST_SEED:
        raise ValueError(value)
    return seeds


def check(chain: Chain) -> None:
    """Raise `UserError` for settings that no window can be made of."""
    size = chain.size
    if size.frames % VAE_STRIDE != 1:
        lower = floor_frames(size.frames)
        raise UserError(
            f"A window of {size.frames} frames is not possible: it must be 4k+1,"
            f" such as {lower} or {lower + VAE_STRIDE}."
        )
    if not 1 <= size.motion_latents <= 16:
        raise UserError(f"{size.motion_latents} motion latents are not possible: use 1 to 16.")
    if size.motion_frames and size.motion_frames % VAE_STRIDE != 1:
        raise UserError(f"{size.motion_frames} motion frames are not possible: use 1, 5, 9 ...")
    if size.discard < 0 or size.discard % VAE_STRIDE:
        raise UserError(f"{size.discard} discarded frames are not possible: use a multiple of 4.")
    if size.adds < VAE_STRIDE:
        raise UserError(
            f"A window of {size.frames} frames adds nothing: {size.overlap} repeat the window"
            f" before and {size.discard} are discarded; make it at least"
            f" {size.overlap + size.discard + VAE_STRIDE} frames."
        )
    if not chain.fps > 0:
        raise UserError(f"{chain.fps} frames a second are not possible: use a number above 0.")
    if chain.source_frames < 0 or chain.windows_before < 0:
        raise UserError("A video cannot have fewer than 0 frames or windows.")
    if isinstance(chain.seeds, str) and chain.seeds not in ("new", "same"):
        raise UserError(f"Seeds can be 'new', 'same' or a list of numbers, not {chain.seeds!r}.")
    for number in chain.anchor_schedule:
        if not 0 <= number <= chain.anchors:
            raise UserError(
                f"The anchor schedule asks for anchor {number}, but there are {chain.anchors}."
            )


def new_frames(frames: int, chain: Chain) -> int:
    """How many frames `frames` asked would add: floored to 4k+1, less the source's last frame."""
    if frames < 1 + VAE_STRIDE:
        raise UserError(f"{frames} frames are too few: ask for at least {1 + VAE_STRIDE}.")
    return floor_frames(frames) - min(chain.source_frames, 1)


def sizes(frames: int, chain: Chain, exact: bool = False) -> list[Size]:
    """The windows' sizes for `frames` asked (see the module's text for the rule).

    A run that fits one window discards nothing, as in WanGP; but where it asks for just what a full
    window delivers, it is one: a chain made window by window is then the chain made at once.
    """
    check(chain)
    full, wanted = chain.size, new_frames(frames, chain)
    whole, delivered = replace(full, discard=0), full.frames - chain.drop_first(full) - full.discard
    if wanted == delivered:
        return [full]
    if wanted <= whole.frames - chain.drop_first(full):
        return [replace(whole, frames=wanted + chain.drop_first(full))]
    later, rest = divmod(wanted - delivered, full.adds)
    plan = [full] * (1 + later)
    if rest == 0:
        return plan
    if rest * 4 <= full.adds and not exact:
        return plan if later else [whole]
    if rest * 2 >= full.adds:
        return [*plan, replace(full, frames=full.frames - full.adds + rest)]
    # Share: what the last two windows generate, together, in two parts of 4k+1.
    together = full.frames + (full.frames - full.adds + rest)
    first = floor_frames((together + VAE_STRIDE) // 2)
    return [*plan[:-1], replace(full, frames=first), replace(full, frames=together - first)]


def layout(parts: Sequence[Size], chain: Chain) -> list[Window]:
    """Number the windows of the given sizes and say what each delivers."""
    return list(_layout(parts, chain))


def _layout(parts: Sequence[Size], chain: Chain) -> Iterator[Window]:
    start = chain.source_frames
    for number, size in enumerate(parts, 1):
        on_image = size.shot or (number == 1 and chain.starts_on_image(size))
        drop_front = chain.drop_first(size) if number == 1 else size.overlap
        stop = start + size.frames - drop_front - size.discard
        index = chain.windows_before + number
        yield Window(
            number=number,
            index=index,
            frames=size.frames,
            on_image=on_image,
            motion_latents=0 if on_image or size.motion_frames else size.motion_latents,
            drop_front=drop_front,
            discard=size.discard,
            start=start,
            stop=stop,
            seed=window_seed(number, index, chain),
            anchor=anchor_number(number, index, chain),
            fps=chain.fps,
        )
        start = stop


def plan(frames: int, chain: Chain, exact: bool = False) -> list[Window]:
    """The windows of a run that was asked for `frames` frames.

    Raises `UserError` when `frames` or the chain's settings cannot be met.
    """
    return layout(sizes(frames, chain, exact), chain)


def window_seed(number: int, index: int, chain: Chain) -> int:
    """The seed of a window: a new one for each by default.

    The same noise in every clip accumulates artefacts (SVI's authors, advice of 2025-10-23), so
    window `index` uses seed + 42*(index-1), which with seed 0 is what the authors run.
    """
    if chain.seeds == "same":
        return chain.seed
    if isinstance(chain.seeds, str) or not chain.seeds:
        return chain.seed + SEED_STEP * (index - 1)
    beyond = max(number - len(chain.seeds), 0)
    return chain.seeds[min(number, len(chain.seeds)) - 1] + SEED_STEP * beyond


def anchor_number(number: int, index: int, chain: Chain) -> int:
    """The anchor image of a window: image k serves window k, the last one serves the rest.

    0 is the start image of the whole video; the first window of a video always starts on it.
    """
    if index == 1 or not chain.anchors:
        return 0
    if chain.anchor_schedule:
        return chain.anchor_schedule[min(number, len(chain.anchor_schedule)) - 1]
    return min(number, chain.anchors)
