"""What the self-test checks: pure functions, the facts of the passes in, a finding out.

A finding is True (as it must be), False (it is not), or None (this cannot be decided here), with a
sentence that says what was seen. Facts that are missing are never taken for right: what WanGP did
not let us see is None, and a video that WanGP did not make fails the check that needed it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from wan2gp_svi.selftest.facts import Facts, Made
from wan2gp_svi.selftest.scenarios import SEED, TIMED_LATENTS

PASS, FAIL, CANNOT_SAY = "PASS", "FAIL", "CANNOT SAY"

WINDOW, ADDS, WINDOWS = 17, 12, 4
"""Frames of a window, those that a later one adds, windows of the scenario "four"."""
DROPPED = WINDOW - ADDS
"""Frames at the front of a later window that repeat what is known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the table: what was checked, in plain words, the verdict, and why."""

    key: str
    title: str
    verdict: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Passes:
    """The facts of the passes; `half` (16 bits) and `again` (switched off once more) on a GPU."""

    svi: Facts
    plain: Facts
    half: Facts | None = None
    again: Facts | None = None


class _Missing(Exception):
    """What a check needs is not among the facts: it cannot be decided."""


class _Wrong(Exception):
    """A check has failed; the text says what was seen."""


def hooks(passes: Passes) -> str:
    """Every hook was called; those in the window loop at least once a window."""
    called = passes.svi.hooks
    if not called:
        raise _Wrong("WanGP did not start with the extension")
    never = [name for name, count in called.items() if count == 0]
    if never:
        raise _Wrong(f"never called: {', '.join(never)}")
    windows = sum(made.windows for name, made in passes.svi.made.items() if name != "image")
    for name in ("conditioning", "window_frames", "window_saved"):
        if called[name] < windows:
            raise _Wrong(f"{name} was called {called[name]} times in {windows} windows")
    return f"{len(called)} hooks, {windows} windows"


def anchors(passes: Passes) -> str:
    """Latent 0 of every window is its anchor's, the mask says so, and the rest is left free."""
    four = _made(passes.svi, "four", WINDOWS)
    for k in range(1, WINDOWS + 1):
        y = _array(four, f"y{k}")
        mask = np.zeros_like(y[:4])
        mask[:, 0] = 1
        if not np.array_equal(y[:4], mask):
            raise _Wrong(f"window {k}: the mask marks other frames than the anchor's")
        picture = four.arrays[f"anchor{0 if k == 1 else 2}"]
        if not np.array_equal(y[4:, 0], _encoded(four, picture)):
            raise _Wrong(f"window {k} does not start from its anchor image")
        if y[4:, (1 if k == 1 else 2) :].any():
            raise _Wrong(f"window {k}: frames that are to be made are conditioned on something")
    return f"{WINDOWS} windows, 2 anchor images"


def handover(passes: Passes) -> str:
    """Latent 1 of every later window is the last final latent of the window before."""
    four = _made(passes.svi, "four", WINDOWS)
    for k in range(2, WINDOWS + 1):
        given, left = _array(four, f"y{k}")[4:, 1], _array(four, f"latents{k - 1}")[:, -1]
        if not np.array_equal(given, left):
            what = "nothing" if not given.any() else "something else"
            raise _Wrong(f"window {k} was handed {what}")
    return f"{WINDOWS - 1} hand-overs, the same to the bit"


def noise(passes: Passes) -> str:
    """Each window begins with the noise of its own seed."""
    four = _made(passes.svi, "four", WINDOWS)
    drawn = [_array(four, f"noise{k}") for k in range(1, WINDOWS + 1)]
    for k in range(1, WINDOWS):
        if any(np.array_equal(drawn[k], before) for before in drawn[:k]):
            raise _Wrong(f"window {k + 1} has the noise of a window before it")
    for k, own in enumerate(drawn, 1):
        if not np.array_equal(own, _array(four, f"torch{k}")):
            raise _Wrong(f"window {k} has not the noise of its seed, {SEED + 42 * (k - 1)}")
    return f"seeds {', '.join(str(SEED + 42 * k) for k in range(WINDOWS))}"


def frames(passes: Passes) -> str:
    """The video has the frames announced, and they are those the windows made, none lost or double.

    Bytes may differ by a rounding of WanGP's.
    """
    four = _made(passes.svi, "four", WINDOWS)
    announced = WINDOW + (WINDOWS - 1) * ADDS
    if four.frames != announced:
        raise _Wrong(f"{announced} frames were announced, the video has {four.frames}")
    delivered = _array(four, "delivered")
    made = [_array(four, f"decoded{k}") for k in range(1, WINDOWS + 1)]
    for k, window in enumerate(made):
        start = 0 if k == 0 else DROPPED
        first = 0 if k == 0 else WINDOW + (k - 1) * ADDS
        expected = window[:, start:]
        shown = delivered[:, first : first + expected.shape[1]]
        if shown.shape != expected.shape:
            raise _Wrong(f"window {k + 1} delivers {shown.shape[1]} frames")
        off = np.abs(shown - expected).max(axis=(0, 2, 3))
        wrong = np.flatnonzero(off > 1.01)
        if wrong.size:
            raise _Wrong(f"frame {first + wrong[0] + 1} is not the one that was made")
    return f"{announced} frames in {WINDOWS} windows"


def going_on(passes: Passes) -> str:
    """Two windows and, later, two more are to the bit the four made in one go."""
    four = _made(passes.svi, "four", WINDOWS)
    two, later = _made(passes.svi, "two", 2), _made(passes.svi, "continued", 2)
    for k in range(1, WINDOWS + 1):
        run, number = (two, k) if k <= 2 else (later, k - 2)
        names = ("y", "noise", "latents", "decoded")
        for name in names:
            one, other = _array(four, f"{name}{k}"), _array(run, f"{name}{number}")
            if name == "decoded" and k > 1:
                one, other = one[:, DROPPED:], other[:, DROPPED:]
            if not np.array_equal(one, other):
                what = dict(zip(names, ("conditioning", "noise", "latents", "frames"), strict=True))
                raise _Wrong(f"window {k} has other {what[name]} when it is made later")
    if later.frames != four.frames:
        raise _Wrong(f"{later.frames} frames instead of {four.frames}")
    return "the same to the bit"


def timed(passes: Passes) -> str:
    """Other words in a timed part change what its own latents attend to, and nothing before it."""
    one, other = (_made(passes.svi, name, 2) for name in ("timed", "timed other"))
    if not np.array_equal(_array(one, "latents1"), _array(other, "latents1")):
        raise _Wrong("the window before it is another one")
    a, b = (_array(run, "attended2") for run in (one, other))
    latents = _array(one, "latents2").shape[1]
    changed = [
        latent
        for latent, (x, y) in enumerate(
            zip(np.split(a, latents), np.split(b, latents), strict=True)
        )
        if not np.array_equal(x, y)
    ]
    if changed != list(TIMED_LATENTS):
        where = ", ".join(str(latent + 1) for latent in changed) or "none"
        wanted = ", ".join(str(latent + 1) for latent in TIMED_LATENTS)
        raise _Wrong(f"it steers latents {where} of the window, not {wanted}")
    if np.array_equal(_array(one, "latents2"), _array(other, "latents2")):
        raise _Wrong("its words change nothing")
    return f"latents {TIMED_LATENTS[0] + 1} to {TIMED_LATENTS[-1] + 1} of {latents}"


def lora(passes: Passes) -> str:
    """A LoRA with the authors' keys does what the same one with WanGP's keys does."""
    without = _array(_made(passes.svi, "without lora", 1), "latents1")
    renamed = passes.svi.of("lora renamed")
    if not renamed.ok or np.array_equal(_array(renamed, "latents1"), without):
        raise _Missing("WanGP does not load the test's LoRA even with its own keys")
    authors = _array(_made(passes.svi, "lora", 1), "latents1")
    if np.array_equal(authors, without):
        raise _Wrong("it changes nothing")
    if not np.array_equal(authors, _array(renamed, "latents1")):
        raise _Wrong("it does something else than with WanGP's own keys")
    return "the same to the bit as in WanGP's own format"


def other_models(passes: Passes) -> str:
    """Wan2.2 Image2video is to the bit what it is with the extension switched off."""
    windows = passes.plain.of("image").windows
    if not windows:
        raise _Missing("WanGP makes no such video with the extension switched off either")
    if passes.again is not None and _difference(passes.plain, passes.again):
        raise _Missing("on this graphics card it differs from one time to the next by itself")
    _made(passes.svi, "image", windows)
    found = _difference(passes.plain, passes.svi)
    if found:
        raise _Wrong(f"with the extension, {found}")
    return "the same to the bit"


def half_precision(passes: Passes) -> str:
    """In 16 bits, with the user's attention: the same conditioning, and nearly the same result.

    bfloat16 rounds to 8 binary digits: an error of 2^-9 of the value, uniformly distributed, has a
    standard deviation of 2^-9/sqrt(3). Window 1 takes 2 steps through 2 blocks, about 12 roundings
    each, which add up as their root: 2^-9/sqrt(3) * sqrt(48) = 0.8 %. Eight times that is allowed,
    for attention that computes in 8 bits inside.
    """
    half = passes.half or Facts()
    four, full = _made(half, "four", WINDOWS), _made(passes.svi, "four", WINDOWS)
    for k in range(2, WINDOWS + 1):
        given, left = _array(four, f"y{k}")[4:, 1], _array(four, f"latents{k - 1}")[:, -1]
        if not np.allclose(given, left, rtol=2**-8, atol=1e-6):
            raise _Wrong(f"window {k} was handed something else than the last latent")
    one, other = _array(four, "latents1"), _array(full, "latents1")
    allowed = 8 * 2**-9 / 3**0.5 * 48**0.5
    off = float(np.sqrt(((one - other) ** 2).mean() / (other**2).mean()))
    if not off <= allowed:
        raise _Wrong(f"it is {off:.1%} off the result in 32 bits; {allowed:.1%} are allowed")
    return f"{off:.1%} off the result in 32 bits ({allowed:.1%} allowed)"


CHECKS: tuple[tuple[str, str, Callable[[Passes], str]], ...] = (
    ("hooks", "WanGP calls the extension everywhere it must", hooks),
    ("anchors", "Every window sees its anchor image", anchors),
    ("handover", "Every window goes on from the last moment of the one before", handover),
    ("noise", "Every window begins with new noise, from its own seed", noise),
    ("frames", "The video has the frames that were announced, none lost, none twice", frames),
    ("going_on", "Two windows, and two more later, equal four in one go", going_on),
    ("timed", "A timed prompt steers its own moment and no other", timed),
    ("lora", "A LoRA as SVI's authors publish it acts", lora),
    ("other_models", "Other models are as without the extension", other_models),
)
"""Key, what the user reads, and the check; in the table's order."""
HALF = ("half_precision", "In 16 bits, with your attention mode, it is right too", half_precision)


def check(passes: Passes) -> list[Finding]:
    """Every finding; `half_precision` where there was such a pass."""
    findings = []
    for key, title, function in (*CHECKS, *([HALF] if passes.half else [])):
        try:
            verdict, why = PASS, function(passes)
        except _Missing as missing:
            verdict, why = CANNOT_SAY, str(missing)
        except _Wrong as wrong:
            verdict, why = FAIL, str(wrong)
        findings.append(Finding(key, title, verdict, why))
    return findings


def _made(facts: Facts, name: str, windows: int) -> Made:
    """A scenario that WanGP has made with that many windows."""
    made = facts.of(name)
    if not made.ok:
        raise _Wrong(f"WanGP did not make the video ({made.error or 'it gave no reason'})")
    if made.windows != windows:
        raise _Wrong(f"WanGP made {made.windows} windows instead of {windows}")
    return made


def _array(made: Made, name: str) -> ndarray:
    if name not in made.arrays:
        raise _Missing(f"this version of WanGP does not let the test see it ({name})")
    return made.arrays[name]


def _encoded(made: Made, picture: ndarray) -> ndarray:
    """The latent (16, h, w) that the VAE made of `picture` (3, H, W)."""
    seen = {name: array for name, array in made.arrays.items() if name.startswith("seen")}
    for name, array in seen.items():
        same_shape = array.shape[1] == 1 and array[:, 0].shape == picture.shape
        if same_shape and np.allclose(array[:, 0], picture, atol=0.01):
            return made.arrays[name.replace("seen", "encoding")][:, 0]
    if not seen:
        raise _Missing("this version of WanGP does not let the test see what is encoded")
    raise _Wrong("an anchor image was never looked at")


def _difference(one: Facts, other: Facts) -> str:
    """What differs in the video of the other model; "" where nothing does."""
    a, b = one.of("image"), other.of("image")
    if (a.windows, a.frames) != (b.windows, b.frames):
        return f"it has {b.windows} windows and {b.frames} frames, not {a.windows} and {a.frames}"
    for name in sorted(a.arrays.keys() | b.arrays.keys()):
        if name not in a.arrays or name not in b.arrays:
            return f"{name} is there in one of them only"
        if not np.array_equal(a.arrays[name], b.arrays[name]):
            return f"{name} differs"
    return ""
