"""The hand-over: what a chain needs to go on later as if it had never stopped.

SVI hands a window's last latents, not its decoded frames, to the next one. A video file does not
hold them, so they are kept as a record of their own; handover_file.py saves it beside the video.
What a record may say is checked when one is made, whoever makes it: a window or a file.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError
from wan2gp_svi.svi import fingerprint as prints
from wan2gp_svi.svi.vae import STRIDE, STRIDES

FORMAT = 2
"""The newest format version. A hand-over has the lowest that holds it (`format_of`)."""

APART, UNKNOWN = "apart", "-"
"""The setting that tells, for the newest windows, how far each is from the one before in the frames
that both decoded, in levels of 255 (overlap.py): numbers and `UNKNOWN`, with blanks between."""

MAX_MOTION = 16
MAX_SIDE = 4096
MAX_COUNT = 2**31 - 1  # windows, frames
MAX_SEED = 2**63 - 1  # what torch.Generator.manual_seed takes
MAX_TEXT = 2**20  # characters of a prompt
MAX_NAME = 256
MAX_SETTINGS = 64

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.uint8)
_ID = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """A fresh id, 32 hexadecimal digits. Leaves the random state of torch and Python alone."""
    return uuid.uuid4().hex


def is_id(value: object) -> bool:
    """Whether `value` is an id: nothing else ever gets near a file name."""
    return type(value) is str and _ID.fullmatch(value) is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class HandOver:
    """The end of a chain. Everything is checked when one is made: `UserError` says what is wrong.

    latents        (16, n, height/8, width/8), normalised latent space: the last n latents whose
                   frames are kept (after discarded ones), n = `motion_latents`; of Wan 2.2 5B
                   (48, n, height/16, width/16), and the anchors alike
    start_anchor   (16, 1, height/8, width/8): the start image of the whole video
    anchor         the anchor that served the last window, None where it is the start anchor
    fingerprint    uint8, of the last frames as the model made them (`fingerprint.fingerprint`)
    shown          the same of the video's own last frames, where they were enlarged, given more
                   frames a second or film grain before they were written; else None
    shown_as       then width, height and frames a second of the video; else ()
    width, height  pixels, multiples of 8, and
    fps            frames a second, as the model makes them
    frames         of the whole video, what it continued included, as the model makes them
    windows        of the whole video, 1 or more
    window_ends    frames of the video after each window, as far as known, the newest 4096
    window_frames  frames that a full window generates, 4k+1
    motion_latents, discard   frames of the window before: latents reused, frames thrown away
    mode           "pro", "2.0", "unified", "shot", "film" or "tom": kept as text, not checked
    base_seed      of window 1 of the whole video
    seeds          "new" (+42 a window), "same", or "list" (then `seed_list` is the list given)
    seed_list      all seeds of the run's list, used and still to come
    seeds_used     of the windows so far, oldest first (the newest 4096)
    prompts        of the windows so far, oldest first (as many of the newest as fit in 64 kB)
    anchors_used   anchor images used so far, the start image not counted
    anchor_strength, motion_strength   1 = the authors'
    model_type     WanGP's name of the model
    settings       other settings that matter: names to numbers, texts, true/false or None
    wangp_version, extension_version   what the file was made with
    id             32 hexadecimal digits, also in the video's metadata
    format         of the file: its version

    Of the settings "previous" is the id of the hand-over before, and "apart" (see `APART`) is for
    the drift report. Nothing reads `discard`, `mode`, `seed_list` and `wangp_version` yet, nor any
    other setting. They stay: format 1 is exactly these fields (without `shown` and `shown_as`,
    which came with format 2), so that a file without one of them would be refused by every
    wan2gp-svi that is installed.
    """

    latents: Tensor
    start_anchor: Tensor
    anchor: Tensor | None = None
    fingerprint: Tensor
    shown: Tensor | None = None
    shown_as: tuple[float, ...] = ()
    width: int
    height: int
    fps: float
    frames: int
    windows: int
    window_ends: tuple[int, ...] = ()
    window_frames: int
    motion_latents: int
    discard: int = 0
    mode: str = "pro"
    base_seed: int
    seeds: str = "new"
    seed_list: tuple[int, ...] = ()
    seeds_used: tuple[int, ...] = ()
    prompts: tuple[str, ...] = ()
    anchors_used: int = 0
    anchor_strength: float = 1.0
    motion_strength: float = 1.0
    model_type: str
    settings: Mapping[str, int | float | str | bool | None] = field(default_factory=dict)
    wangp_version: str = ""
    extension_version: str = __version__
    id: str = field(default_factory=new_id)
    format: int | None = None

    def __post_init__(self) -> None:
        if self.format is None:
            object.__setattr__(self, "format", format_of(self.shown_as))
        check(self)

    @property
    def apart(self) -> dict[int, float]:
        """By window, counted from 1: how far it is from the one before (`APART`), where known."""
        noted = str(self.settings.get(APART) or "").split()
        first = self.windows - len(noted) + 1
        found: dict[int, float] = {}
        for number, text in enumerate(noted, first):
            with suppress(ValueError):
                found[number] = float(text)
        return found

    @property
    def anchor_in_force(self) -> Tensor:
        """The anchor, (16, 1, h, w), that the next window uses unless it is given another."""
        return self.start_anchor if self.anchor is None else self.anchor


TENSORS = ("latents", "start_anchor", "anchor", "fingerprint", "shown")
OPTIONAL = ("anchor", "shown")
PRINTS = ("fingerprint", "shown")
TEXTS = tuple(f.name for f in fields(HandOver) if f.name not in TENSORS)
SINCE = {"shown_as": 2}
"""Texts that came after format 1, and with which."""


def format_of(shown_as: tuple[float, ...]) -> int:
    """The lowest format that holds a hand-over: older extensions read all that they can."""
    return 2 if shown_as else 1


def texts_of(version: int) -> tuple[str, ...]:
    """The names of the texts that a hand-over of this format has."""
    return tuple(name for name in TEXTS if SINCE.get(name, 1) <= version)


# --- what a hand-over may say ------------------------------------------------------------------


def unusable(what: str) -> UserError:
    """The error of a hand-over that is wrong; `what` is told as part of a sentence."""
    return UserError(f"The hand-over is not usable: {what}.")


def _whole(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise unusable(f"{name} must be a whole number from {low} to {high}, not {short(value)}")


def _number(name: str, value: object, low: float, high: float) -> None:
    if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
        raise unusable(f"{name} must be a number from {low} to {high}, not {short(value)}")


def _text(name: str, value: object, longest: int) -> None:
    if type(value) is not str or len(value) > longest:
        raise unusable(f"{name} must be a text of at most {longest} characters, not {short(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise unusable(f"{name} holds characters that no text can hold") from None


def _several(name: str, value: object) -> tuple[Any, ...]:
    if type(value) is not tuple:
        raise unusable(f"{name} must be a list, not {short(value)}")
    return value


def short(value: object) -> str:
    """Any value in at most 40 ASCII characters, for a sentence."""
    if isinstance(value, (str, int, float)) and not (isinstance(value, int) and abs(value) >> 64):
        text = repr(value)
        return ascii(text if len(text) <= 40 else text[:37] + "...").strip("\"'")
    return f"a {type(value).__name__}"


def check_shape(name: str, shape: tuple[int, ...], values: Mapping[str, Any]) -> None:
    """Raise `UserError` unless a tensor has the shape that the other fields ask for.

    `values` holds those fields by name, already checked.
    """
    if name in PRINTS:
        of = (values["width"], values["height"])
        width, height = of if name == "fingerprint" else values["shown_as"][:2]
        thumbnail = prints.shape(height, width)
        most = min(values["frames"], prints.FRAMES)
        right = shape[1:] == thumbnail and 1 <= shape[0] <= most
    else:
        latents = values["motion_latents"] if name == "latents" else 1
        height, width = values["height"], values["width"]
        right = any(
            shape == (channels, latents, height // stride, width // stride)
            and height % stride == width % stride == 0
            for channels, stride in STRIDES.items()
        )
    if not right:
        raise unusable(f"{name} does not have the shape that its size and lengths ask for")


def check_fields(values: Mapping[str, Any]) -> None:
    """Raise `UserError` unless each field that is no tensor has its type and range."""
    get = values.__getitem__
    _whole("the format", get("format"), 1, FORMAT)
    if not is_id(get("id")):
        raise unusable("its id must be 32 hexadecimal digits")
    for side in ("width", "height"):
        _whole(f"the {side}", get(side), STRIDE, MAX_SIDE)
        if get(side) % STRIDE:
            raise unusable(f"the {side} must be a multiple of {STRIDE}, not {get(side)}")
    _number("the frame rate", get("fps"), 0.001, 1000)
    shown_as = _several("shown_as", get("shown_as"))
    if len(shown_as) not in (0, 3):
        raise unusable("what it is shown as must be a width, a height and a frame rate")
    for side in shown_as[:2]:
        _whole("a side of the video", side, 1, 4 * MAX_SIDE)
    for rate in shown_as[2:]:
        _number("the video's frame rate", rate, 0.001, 10_000)
    if get("format") != format_of(shown_as):
        raise unusable(f"a hand-over of format {get('format')} does not have these fields")
    for count in ("frames", "windows"):
        _whole(f"the number of {count}", get(count), 1, MAX_COUNT)
    _whole("the window's frames", get("window_frames"), 5, 2**20 + 1)
    if get("window_frames") % 4 != 1:
        raise unusable(f"a window must have 4k+1 frames, not {get('window_frames')}")
    _whole("the number of motion latents", get("motion_latents"), 1, MAX_MOTION)
    _whole("the number of discarded frames", get("discard"), 0, get("window_frames"))
    _whole("the base seed", get("base_seed"), 0, MAX_SEED)
    if get("seeds") not in ("new", "same", "list"):
        raise unusable(f"its seeds must be new, same or list, not {short(get('seeds'))}")
    for name in ("seed_list", "seeds_used"):
        for seed in _several(name, get(name)):
            _whole(f"a seed in {name}", seed, 0, MAX_SEED)
    for end in _several("window_ends", get("window_ends")):
        _whole("the end of a window", end, 1, MAX_COUNT)
    for prompt in _several("prompts", get("prompts")):
        _text("a prompt", prompt, MAX_TEXT)
    _whole("the number of anchors used", get("anchors_used"), 0, MAX_COUNT)
    for name in ("anchor_strength", "motion_strength"):
        _number(name, get(name), -100, 100)
    for name in ("mode", "model_type", "wangp_version", "extension_version"):
        _text(name, get(name), MAX_NAME)
    settings = get("settings")
    if not isinstance(settings, Mapping) or len(settings) > MAX_SETTINGS:
        raise unusable(f"settings must be at most {MAX_SETTINGS} names with their values")
    for name, value in settings.items():
        _text("the name of a setting", name, MAX_NAME)
        if type(value) is str:
            _text(f"the setting {short(name)}", value, MAX_TEXT)
        elif type(value) in (int, float):
            _number(f"the setting {short(name)}", value, -(2.0**64), 2.0**64)
        elif value is not None and type(value) is not bool:
            raise unusable(f"the setting {short(name)} must be a number or a text")


def check(handover: HandOver) -> None:
    """Raise `UserError` unless every field has its type, range and shape, and all is finite."""
    values = vars(handover)
    check_fields(values)
    if (handover.shown is None) != (not handover.shown_as):
        raise unusable("it must say both what its video is shown as and how that looks, or neither")
    for name in TENSORS:
        tensor = getattr(handover, name)
        if tensor is None and name in OPTIONAL:
            continue
        if not isinstance(tensor, Tensor):
            raise unusable(f"{name} must be a tensor, not {short(tensor)}")
        check_shape(name, tuple(tensor.shape), values)
        if (tensor.dtype == torch.uint8) != (name in PRINTS) or (tensor.dtype not in _DTYPES):
            raise unusable(f"{name} is of the type {tensor.dtype}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise unusable(f"{name} holds values that are not finite numbers")
    if {handover.start_anchor.shape[0], handover.anchor_in_force.shape[0]} != {
        handover.latents.shape[0]
    }:
        raise unusable("its latents are of two models")


def mismatch(
    handover: HandOver,
    *,
    width: int,
    height: int,
    fps: float,
    model_type: str,
    frames: int,
    tail: Tensor,
    shown: Tensor | None = None,
) -> str | None:
    """Why the hand-over does not belong to the video that is to be continued; None if it does.

    `width`, `height`, `fps` and `frames` are the video's as it is used (after trimming, resizing,
    changing its rate); `tail` its last frames, uint8 or -1..1, (3, F, height, width): the last
    nine are looked at, one is enough. `shown` are those of the file, in its own size and rate: they
    are looked at instead where the hand-over knows the video by what was made of the frames.
    """
    if model_type != handover.model_type:
        return f"it was made with the model {handover.model_type}, not with {model_type}"
    if (width, height) != (handover.width, handover.height):
        made = f"{handover.width}x{handover.height}"
        return f"it was made at {made}, and is to be continued at {width}x{height}"
    if abs(fps - handover.fps) > 0.01:
        return f"it was made at {handover.fps:g} frames a second, and is continued at {fps:g}"
    if frames != handover.frames:
        return f"it was made with {handover.frames} frames, and {frames} are to be continued"
    if tuple(tail.shape[2:]) != (height, width):
        return f"its frames are {tail.shape[3]}x{tail.shape[2]}"
    if handover.shown is None:
        return prints.difference(handover.fingerprint, tail)
    if shown is None or (shown.shape[3], shown.shape[2]) != tuple(handover.shown_as[:2]):
        return "its file does not have the size that was written"
    return prints.difference(handover.shown, shown)
