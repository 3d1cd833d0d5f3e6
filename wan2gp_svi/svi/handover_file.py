"""The hand-over file: a record of handover.py beside its video, as `<name>.svi.safetensors`.

    tensors     latents        (16, n, height/8, width/8)  last kept latents of the last window
                start_anchor   (16, 1, height/8, width/8)  the start image of the whole video
                anchor         the same shape; the anchor in force at the end, where it is another
                fingerprint    (F, 4, rows, columns)       see fingerprint.py
                shown          the same of a video whose frames were changed before it was written
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
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from wan2gp_svi import tensor_file
from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole
from wan2gp_svi.svi.handover import (
    FORMAT,
    OPTIONAL,
    TENSORS,
    HandOver,
    check_fields,
    check_shape,
    format_of,
    is_id,
    short,
    texts_of,
    unusable,
)

SUFFIX = ".svi.safetensors"
MAX_HEADER = 2**20
HISTORY = 4096  # newest windows whose seeds and ends are kept
HISTORY_TEXT = 2**16  # bytes of newest prompts kept

_DTYPES = ("F32", "F16", "BF16", "U8")
_REFUSED = {
    "stub": "it is cut off",
    "other": "it is not a safetensors file, or not one of wan2gp-svi",
    "cut": "it is cut off",
    "damaged": "its header is damaged",
    "long": "it is longer than it should be",
}
"""What `tensor_file.Refused` comes to here, by its kind."""


def path_beside(video: str | Path) -> Path:
    """Where the hand-over file of a video lies: `clip.mp4` -> `clip.svi.safetensors`."""
    video = Path(video)
    return video.with_name(video.stem + SUFFIX)


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
    names = texts_of(format_of(handover.shown_as))
    texts = {name: json.dumps(_plain(getattr(handover, name))) for name in names}
    content = safetensors.torch.save(stored, {**texts, "checksum": _checksum(texts, stored)})
    if int.from_bytes(content[:8], "little") > MAX_HEADER:
        raise unusable(f"its texts are longer than {MAX_HEADER} bytes")
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
    for name in texts_of(json.loads(texts["format"])):
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
            entries, metadata, begin = tensor_file.read_entries(file, length, MAX_HEADER)
            texts = _read_texts(metadata)
            check_fields(texts)
            _check_tensors(entries, texts, begin, length)
            file.seek(0)
            # Not mapped into memory: on Windows that would keep the file from being replaced.
            content = file.read(length)
        if len(content) != length:
            raise unusable("it is cut off")
        tensors = safetensors.torch.load(content)
        if metadata["checksum"] != _checksum(metadata, tensors):
            raise unusable("it is damaged, its checksum is not right")
        full = {n: t if t.dtype == torch.uint8 else t.float() for n, t in tensors.items()}
        values: dict[str, Any] = {**texts, **full}
        return HandOver(**values)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from None
    except tensor_file.Refused as error:
        raise UserError(f"{path.name}: {unusable(_REFUSED[error.kind])}") from None
    except FileNotFoundError:
        raise UserError(f"There is no hand-over file {path.name}.") from None
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"The hand-over file {path.name} could not be read: {reason}.") from error
    except Exception as error:  # whatever the library finds that the checks above do not
        raise UserError(f"{path.name}: {unusable('it is damaged')}") from error


def read_id(path: str | Path) -> str | None:
    """The id of a hand-over file, None where it is not one; only its header is read."""
    try:
        found = _json(_metadata(Path(path)).get("id", ""))
    except (UserError, tensor_file.Refused, OSError):
        return None
    return found if is_id(found) else None


def read_facts(path: str | Path) -> dict[str, Any] | None:
    """What a hand-over file says, without its tensors; None where it is not one.

    Only the header is read and checked: for lists of many files. What goes on is `load`ed.
    """
    try:
        texts = _read_texts(_metadata(Path(path)))
        check_fields(texts)
    except (UserError, tensor_file.Refused, OSError):
        return None
    return texts


def _metadata(path: Path) -> Mapping[str, str]:
    """The texts in a file's header, as they stand; {} for what is no file of its own."""
    if not path.is_file():  # opening a pipe would wait for ever
        return {}
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        return tensor_file.read_entries(file, length, MAX_HEADER)[1]


def _json(text: str) -> Any:
    """A field of the metadata, strictly."""
    try:
        return tensor_file.strict_json(text)
    except (ValueError, RecursionError) as error:
        raise unusable("its header is damaged") from error


def _read_texts(metadata: Mapping[str, str]) -> dict[str, Any]:
    """All fields but the tensors, from the header's metadata."""
    if "format" not in metadata or "id" not in metadata:
        raise unusable("it is not one of wan2gp-svi")
    version = _json(metadata["format"])
    if type(version) is int and version > FORMAT:
        writer = _json(metadata.get("extension_version", '""'))
        later = f"{short(writer)} or later" if writer and type(writer) is str else "a later one"
        raise UserError(
            f"The hand-over has format {version}, which a newer wan2gp-svi wrote; this one reads"
            f" formats up to {FORMAT}. Update wan2gp-svi to version {later}."
        )
    names = texts_of(version if type(version) is int else FORMAT)
    known = {*names, "checksum"}
    if set(metadata) != known:
        name = min(known.symmetric_difference(metadata))
        raise unusable(f"its field {short(name)} is {'missing' if name in known else 'unknown'}")
    texts: dict[str, Any] = {"shown_as": (), **{name: _json(metadata[name]) for name in names}}
    return {n: tuple(v) if type(v) is list else v for n, v in texts.items()}


def _check_tensors(
    entries: Mapping[str, Any], texts: Mapping[str, Any], begin: int, length: int
) -> None:
    """Names, types, shapes and places of the tensors: as they must be, up to the file's end."""
    for name in TENSORS:
        if name not in entries and name not in OPTIONAL:
            raise unusable(f"its field {name} is missing")
    if ("shown" in entries) != bool(texts["shown_as"]):
        raise unusable("its field shown is missing, or nothing says what it is of")
    if not set(entries) <= set(TENSORS):
        raise unusable(f"its field {short(min(set(entries) - set(TENSORS)))} is unknown")
    tensors = tensor_file.tensors_of(entries, begin)
    for tensor in tensors:
        if tensor.dtype not in _DTYPES:
            raise unusable(f"{tensor.name} is of the type {tensor.dtype}")
        check_shape(tensor.name, tensor.shape, texts)
    tensor_file.in_place(tensors, begin, length)
