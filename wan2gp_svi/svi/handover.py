"""The hand-over file: what a chain needs to go on later as if it had never stopped.

SVI hands a window's last latents, not its decoded frames, to the next one. A video file does not
hold them, so they are saved beside it, as `<name>.svi.safetensors`:

    tensors     latents        (16, n, height/8, width/8)  last kept latents of the last window
                start_anchor   (16, 1, height/8, width/8)  the start image of the whole video
                anchor         the same shape; the anchor in force at the end, where it is another
                fingerprint    (F, 4, rows, columns)       see fingerprint.py
    metadata    every other field of `HandOver`, each a JSON text of its own, and
                checksum       SHA-256 of all the rest: a flipped bit is damage, not another latent

n is the number of motion latents of the chain, no more. Going on must give the same bits, so what
is stored are float32 values; but where all values of a tensor are float16 values (an anchor's are,
where the VAE runs in 16 bits), it takes half the room. At 832x480 a latent is 400 kB or 200 kB, and
with n = 1 a file has 0.6 MB, or 0.8 MB with an anchor of its own; with a VAE in 32 bits 0.8 MB, or
1.2 MB.

A hand-over file may come from anywhere, so nothing in it is trusted: no pickle, no paths, its
header is read and checked in full before memory is taken for what it describes, and that memory is
never more than the file itself is long. Whatever is wrong with it is a `UserError`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from wan2gp_svi import __version__
from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole
from wan2gp_svi.svi import fingerprint as prints

FORMAT = 1
"""Format version that this code writes. It reads this one and the earlier ones."""
SUFFIX = ".svi.safetensors"

CHANNELS, STRIDE = 16, 8  # of the Wan 2.1 VAE: latent channels, pixels a latent is wide and high
MAX_MOTION = 16
MAX_SIDE = 4096
MAX_COUNT = 2**31 - 1  # windows, frames
MAX_SEED = 2**63 - 1  # what torch.Generator.manual_seed takes
MAX_HEADER = 2**20
HISTORY = 4096  # newest windows whose seeds and ends are kept
HISTORY_TEXT = 2**16  # bytes of newest prompts kept
MAX_NAME = 256
MAX_SETTINGS = 64

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8}
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
                   frames are kept (after discarded ones), n = `motion_latents`
    start_anchor   (16, 1, height/8, width/8): the start image of the whole video
    anchor         the anchor that served the last window, None where it is the start anchor
    fingerprint    uint8, of the video's last frames (see `fingerprint.fingerprint`)
    width, height  pixels, multiples of 8
    fps            frames a second of the video
    frames         of the whole video, what it continued included
    windows        of the whole video, 1 or more
    window_ends    frames of the video after each window, as far as known, the newest 4096
    window_frames  frames that a full window generates, 4k+1
    motion_latents, discard   frames of the window before: latents reused, frames thrown away
    mode           "pro", "2.0", "2.0-wan2.1", "shot", "film" or "tom" - kept as text
    base_seed      of window 1 of the whole video
    seeds          "new" (+42 a window), "same", or "list" (then `seed_list` is the list given)
    seed_list      all seeds of the run's list, used and still to come
    seeds_used     of the windows so far, oldest first (the newest 4096)
    prompts        of the windows so far, oldest first (as many of the newest as fit in 64 kB)
    anchors_used   anchor images used so far, the start image not counted
    anchor_strength, motion_strength   1 = the authors'
    model_type     WanGP's name of the model
    settings       other settings that matter: names to numbers, texts, true/false or None
    id             32 hexadecimal digits, also in the video's metadata
    """

    latents: Tensor
    start_anchor: Tensor
    anchor: Tensor | None = None
    fingerprint: Tensor
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
    format: int = FORMAT

    def __post_init__(self) -> None:
        check(self)

    @property
    def anchor_in_force(self) -> Tensor:
        """The anchor, (16, 1, h, w), that the next window uses unless it is given another."""
        return self.start_anchor if self.anchor is None else self.anchor


TENSORS = ("latents", "start_anchor", "anchor", "fingerprint")
OPTIONAL = ("anchor",)
TEXTS = tuple(f.name for f in fields(HandOver) if f.name not in TENSORS)


def path_beside(video: str | Path) -> Path:
    """Where the hand-over file of a video lies: `clip.mp4` -> `clip.svi.safetensors`."""
    video = Path(video)
    return video.with_name(video.stem + SUFFIX)


# --- what a hand-over may say ------------------------------------------------------------------


def _bad(what: str) -> UserError:
    return UserError(f"The hand-over is not usable: {what}.")


def _whole(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise _bad(f"{name} must be a whole number from {low} to {high}, not {_short(value)}")


def _number(name: str, value: object, low: float, high: float) -> None:
    if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
        raise _bad(f"{name} must be a number from {low} to {high}, not {_short(value)}")


def _text(name: str, value: object, longest: int) -> None:
    if type(value) is not str or len(value) > longest:
        raise _bad(f"{name} must be a text of at most {longest} characters, not {_short(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _bad(f"{name} holds characters that no text can hold") from None


def _several(name: str, value: object) -> tuple[Any, ...]:
    if type(value) is not tuple:
        raise _bad(f"{name} must be a list, not {_short(value)}")
    return value


def _short(value: object) -> str:
    if isinstance(value, (str, int, float)) and not (isinstance(value, int) and abs(value) >> 64):
        text = repr(value)
        return ascii(text if len(text) <= 40 else text[:37] + "...").strip("\"'")
    return f"a {type(value).__name__}"


def _check_shape(name: str, shape: tuple[int, ...], values: Mapping[str, Any]) -> None:
    """Whether a tensor has the shape that the other fields, checked before, ask for."""
    if name == "fingerprint":
        thumbnail = prints.shape(values["height"], values["width"])
        most = min(values["frames"], prints.FRAMES)
        right = shape[1:] == thumbnail and 1 <= shape[0] <= most
    else:
        latents = values["motion_latents"] if name == "latents" else 1
        right = shape == (CHANNELS, latents, values["height"] // STRIDE, values["width"] // STRIDE)
    if not right:
        raise _bad(f"{name} does not have the shape that its size and lengths ask for")


def _check_fields(values: Mapping[str, Any]) -> None:
    """Every field that is not a tensor."""
    get = values.__getitem__
    _whole("the format", get("format"), 1, FORMAT)
    if not is_id(get("id")):
        raise _bad("its id must be 32 hexadecimal digits")
    for side in ("width", "height"):
        _whole(f"the {side}", get(side), STRIDE, MAX_SIDE)
        if get(side) % STRIDE:
            raise _bad(f"the {side} must be a multiple of {STRIDE}, not {get(side)}")
    _number("the frame rate", get("fps"), 0.001, 1000)
    for count in ("frames", "windows"):
        _whole(f"the number of {count}", get(count), 1, MAX_COUNT)
    _whole("the window's frames", get("window_frames"), 5, 2**20 + 1)
    if get("window_frames") % 4 != 1:
        raise _bad(f"a window must have 4k+1 frames, not {get('window_frames')}")
    _whole("the number of motion latents", get("motion_latents"), 1, MAX_MOTION)
    _whole("the number of discarded frames", get("discard"), 0, get("window_frames"))
    _whole("the base seed", get("base_seed"), 0, MAX_SEED)
    if get("seeds") not in ("new", "same", "list"):
        raise _bad(f"its seeds must be new, same or list, not {_short(get('seeds'))}")
    for name in ("seed_list", "seeds_used"):
        for seed in _several(name, get(name)):
            _whole(f"a seed in {name}", seed, 0, MAX_SEED)
    for end in _several("window_ends", get("window_ends")):
        _whole("the end of a window", end, 1, MAX_COUNT)
    for prompt in _several("prompts", get("prompts")):
        _text("a prompt", prompt, MAX_HEADER)
    _whole("the number of anchors used", get("anchors_used"), 0, MAX_COUNT)
    for name in ("anchor_strength", "motion_strength"):
        _number(name, get(name), -100, 100)
    for name in ("mode", "model_type", "wangp_version", "extension_version"):
        _text(name, get(name), MAX_NAME)
    settings = get("settings")
    if not isinstance(settings, Mapping) or len(settings) > MAX_SETTINGS:
        raise _bad(f"settings must be at most {MAX_SETTINGS} names with their values")
    for name, value in settings.items():
        _text("the name of a setting", name, MAX_NAME)
        if type(value) is str:
            _text(f"the setting {_short(name)}", value, MAX_HEADER)
        elif type(value) in (int, float):
            _number(f"the setting {_short(name)}", value, -(2.0**64), 2.0**64)
        elif value is not None and type(value) is not bool:
            raise _bad(f"the setting {_short(name)} must be a number or a text")


def check(handover: HandOver) -> None:
    """Raise `UserError` unless every field has its type, range and shape, and all is finite."""
    values = vars(handover)
    _check_fields(values)
    for name in TENSORS:
        tensor = getattr(handover, name)
        if tensor is None and name in OPTIONAL:
            continue
        if not isinstance(tensor, Tensor):
            raise _bad(f"{name} must be a tensor, not {_short(tensor)}")
        _check_shape(name, tuple(tensor.shape), values)
        if (tensor.dtype == torch.uint8) != (name == "fingerprint") or (
            tensor.dtype not in _DTYPES.values()
        ):
            raise _bad(f"{name} is of the type {tensor.dtype}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise _bad(f"{name} holds values that are not finite numbers")


def mismatch(
    handover: HandOver,
    *,
    width: int,
    height: int,
    fps: float,
    model_type: str,
    frames: int,
    tail: Tensor,
) -> str | None:
    """Why the hand-over does not belong to the video that is to be continued; None if it does.

    `width`, `height`, `fps` and `frames` are the video's as it is used (after trimming, resizing,
    changing its rate); `tail` its last frames, uint8 or -1..1, (3, F, height, width): the last
    nine are looked at, one is enough.
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
    return prints.difference(handover.fingerprint, tail)


# --- writing -----------------------------------------------------------------------------------


def _newest(prompts: tuple[str, ...]) -> tuple[str, ...]:
    """As many of the last prompts as fit in `HISTORY_TEXT` bytes of JSON; the last one always."""
    kept = size = 0
    for prompt in reversed(prompts):
        size += len(json.dumps(prompt)) + 2
        if kept and size > HISTORY_TEXT:
            break
        kept += 1
    return prompts[len(prompts) - kept :]


def save(handover: HandOver, path: str | Path) -> None:
    """Write the file: whole, or not at all. An earlier one in its place stays until then.

    Raises `UserError` when it cannot be written (folder gone, no permission, disk full).
    """
    path = Path(path)
    handover = replace(
        handover,
        prompts=_newest(handover.prompts),
        seeds_used=handover.seeds_used[-HISTORY:],
        window_ends=handover.window_ends[-HISTORY:],
    )
    tensors = {name: getattr(handover, name) for name in TENSORS}
    if handover.anchor is not None and torch.equal(handover.anchor, handover.start_anchor):
        del tensors["anchor"]
    stored = {n: _narrow(t.detach().cpu()) for n, t in tensors.items() if t is not None}
    texts = {name: json.dumps(_plain(getattr(handover, name))) for name in TEXTS}
    content = safetensors.torch.save(stored, {**texts, "checksum": _checksum(texts, stored)})
    if int.from_bytes(content[:8], "little") > MAX_HEADER:
        raise _bad(f"its texts are longer than {MAX_HEADER} bytes")
    try:
        with whole(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise UserError(
            f"The hand-over file {path.name} could not be written: {error.strerror or error}."
            " The video is not affected, but it can only be continued by encoding its end again.",
            exit_code=1,
        ) from error


def _narrow(tensor: Tensor) -> Tensor:
    """The tensor as it is stored: float16 where that holds every value to the bit."""
    if tensor.dtype == torch.uint8:
        return tensor.contiguous()
    full = tensor.float().contiguous()
    half = full.half()
    same = torch.equal(half.float().view(torch.int32), full.view(torch.int32))
    return half if same else full


def _checksum(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """JSON of the SHA-256, in hexadecimal, over every field's name and content in order."""
    total = hashlib.sha256()
    for name in TEXTS:
        total.update(f"{name}={texts[name]}\n".encode())
    for name in TENSORS:
        if name in tensors:
            total.update(f"{name}: {tensors[name].dtype}\n".encode())
            total.update(tensors[name].contiguous().view(torch.uint8).numpy().data)
    return json.dumps(total.hexdigest())


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


# --- reading -----------------------------------------------------------------------------------


def load(path: str | Path) -> HandOver:
    """Read and check a hand-over file; tensors are on the CPU, latents in float32.

    Raises `UserError` with a plain sentence for anything that is wrong with the file.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise UserError(f"{path.name} is not a file.")
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            header, room = _read_header(file, length)
            texts = _read_texts(header)
            _check_fields(texts)
            _check_layout(header, texts, room)
            file.seek(0)
            # Not mapped into memory: on Windows that would keep the file from being replaced.
            content = file.read(length)
        if len(content) != length:
            raise _bad("it is cut off")
        tensors = safetensors.torch.load(content)
        if header["__metadata__"]["checksum"] != _checksum(header["__metadata__"], tensors):
            raise _bad("it is damaged, its checksum is not right")
        full = {n: t if t.dtype == torch.uint8 else t.float() for n, t in tensors.items()}
        values: dict[str, Any] = {**texts, **full}
        return HandOver(**values)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from None
    except FileNotFoundError:
        raise UserError(f"There is no hand-over file {path.name}.") from None
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"The hand-over file {path.name} could not be read: {reason}.") from error
    except Exception as error:  # whatever the library finds that the checks above do not
        raise UserError(f"{path.name}: {_bad('it is damaged')}") from error


def read_id(path: str | Path) -> str | None:
    """The id of a hand-over file, None where it is not one; only its header is read."""
    path = Path(path)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            header, _ = _read_header(file, os.fstat(file.fileno()).st_size)
        found = _json(header["__metadata__"].get("id", ""))
    except (UserError, OSError, TypeError, AttributeError):
        return None
    return found if is_id(found) else None


def _read_header(file: BinaryIO, length: int) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file (8 bytes that say its length, then JSON), and the bytes
    that follow it."""
    start = file.read(8)
    if len(start) < 8:
        raise _bad("it is cut off")
    size = int.from_bytes(start, "little")
    if size > MAX_HEADER or size < 2:
        raise _bad("it is not a safetensors file, or not one of wan2gp-svi")
    if size > length - 8:
        raise _bad("it is cut off")
    raw = file.read(size)
    if len(raw) < size:
        raise _bad("it is cut off")
    header = _json(raw)
    if type(header) is not dict or type(header.get("__metadata__")) is not dict:
        raise _bad("it is not one of wan2gp-svi")
    return header, length - 8 - size


def _json(raw: bytes | str) -> Any:
    """JSON, strictly: no name twice, no NaN, no numbers without end, nothing nested too deep."""
    try:
        return json.loads(
            raw.decode() if isinstance(raw, bytes) else raw,
            object_pairs_hook=_no_name_twice,
            parse_int=_short_int,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise _bad("its header is damaged") from error


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name occurs twice")
    return names


def _short_int(digits: str) -> int:
    if len(digits) > 20:  # 2**64 has 20; long ones take quadratic time to read
        raise ValueError("a number is too long")
    return int(digits)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _read_texts(header: dict[str, Any]) -> dict[str, Any]:
    """All fields but the tensors, from the header's metadata."""
    metadata = header["__metadata__"]
    if "format" not in metadata or "id" not in metadata:
        raise _bad("it is not one of wan2gp-svi")
    if any(type(value) is not str for value in metadata.values()):
        raise _bad("its header is damaged")
    version = _json(metadata["format"])
    if type(version) is int and version > FORMAT:
        writer = _json(metadata.get("extension_version", '""'))
        later = f"{_short(writer)} or later" if writer and type(writer) is str else "a later one"
        raise UserError(
            f"The hand-over has format {version}, which a newer wan2gp-svi wrote; this one reads"
            f" formats up to {FORMAT}. Update wan2gp-svi to version {later}."
        )
    known = {*TEXTS, "checksum"}
    if set(metadata) != known:
        name = min(known.symmetric_difference(metadata))
        raise _bad(f"its field {_short(name)} is {'missing' if name in known else 'unknown'}")
    texts = {name: _json(metadata[name]) for name in TEXTS}
    return {n: tuple(v) if type(v) is list else v for n, v in texts.items()}


def _check_layout(header: dict[str, Any], texts: dict[str, Any], room: int) -> None:
    """Types, shapes and places of the tensors: as they must be, no gaps, up to the file's end."""
    names = set(header) - {"__metadata__"}
    for name in TENSORS:
        if name not in names and name not in OPTIONAL:
            raise _bad(f"its field {name} is missing")
    if not names <= set(TENSORS):
        raise _bad(f"its field {_short(min(names - set(TENSORS)))} is unknown")
    end = 0
    for name, entry in sorted(((n, header[n]) for n in names), key=_begin):
        if type(entry) is not dict or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise _bad("its header is damaged")
        kind, shape, (begin, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if type(kind) is not str or kind not in _DTYPES:
            raise _bad(f"{name} is of the type {_short(kind)}")
        if type(shape) is not list or any(type(extent) is not int for extent in shape):
            raise _bad("its header is damaged")
        _check_shape(name, tuple(shape), texts)
        if begin != end or stop != begin + math.prod(shape) * _DTYPES[kind].itemsize:
            raise _bad("its header is damaged")
        end = stop
    if end != room:
        raise _bad("it is cut off" if end > room else "it is longer than it should be")


def _begin(item: tuple[str, Any]) -> int:
    offsets = item[1].get("data_offsets") if type(item[1]) is dict else None
    if type(offsets) is not list or len(offsets) != 2 or any(type(o) is not int for o in offsets):
        raise _bad("its header is damaged")
    return offsets[0]
