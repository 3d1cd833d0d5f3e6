"""Reads and checks the header of a safetensors file, without torch and in bounded memory.

The layout (https://github.com/huggingface/safetensors#format): 8 bytes with the header's length N,
little endian; N bytes of JSON that give each tensor's dtype, shape and place; the tensors' bytes,
without holes. A file that does not keep to it is refused, like the reference implementation does.

`read_header` is for files that are named by a user, LoRAs above all. A hand-over's reader
(svi/handover_file.py) takes the same steps one by one, because its own rules come in between.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from wan2gp_svi.errors import UserError

MAX_HEADER = 10_000_000  # bytes; a LoRA's header has a few hundred thousand
SUFFIXES = (".safetensors", ".sft")
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
DTYPE_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
_SCALAR = {"F16": "<e", "F32": "<f", "F64": "<d", "I8": "<b", "U8": "<B", "I16": "<h", "U16": "<H"}
_SCALAR |= {"I32": "<i", "U32": "<I", "I64": "<q", "U64": "<Q"}
_NOT_SAFETENSORS = (
    (b"PK\x03\x04", "It is a pickled PyTorch file with another name; unpickling can run any code."),
    (b"\x80", "It is a pickle with another name; unpickling can run any code."),
    (b"version https://git-lfs", "It is only a Git LFS pointer; download the file itself."),
    (b"<", "It is a web page, so the download went wrong; download it again."),
    (b"{", "It is a JSON text, so the download went wrong; download it again."),
)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file. `start` and `end` are byte offsets from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself. `tensors` is in the order of their bytes.

    `in_order`: the header lists the tensors in that order too. mmgp's reader goes by the list and
    never looks at the offsets, so WanGP misreads a file where it is False.
    """

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    in_order: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {tensor.name: tensor.shape for tensor in self.tensors.values()}

    def numbers(self, ending: str) -> dict[str, float]:
        """The value of each tensor whose name ends so. Raises UserError if one has several."""
        with self.path.open("rb") as file:
            return {
                tensor.name: self._scalar(tensor, file.fileno())
                for tensor in self.tensors.values()
                if tensor.name.endswith(ending)
            }

    def _scalar(self, tensor: Tensor, fd: int) -> float:
        if math.prod(tensor.shape) != 1:
            raise UserError(f"{self.path}: {tensor.name} should be one number.")
        os.lseek(fd, tensor.start, os.SEEK_SET)
        data = os.read(fd, tensor.end - tensor.start)
        if tensor.dtype == "BF16":
            return struct.unpack("<f", b"\0\0" + data)[0]
        if tensor.dtype not in _SCALAR:
            raise UserError(f"{self.path}: {tensor.name} has the type {tensor.dtype}.")
        return float(struct.unpack(_SCALAR[tensor.dtype], data)[0])


def check_name(path: Path) -> None:
    """Raise UserError for a kind of file that is never opened."""
    if path.suffix.lower() in _PICKLES:
        raise UserError(
            f"{path}: {path.suffix} files are pickles, and opening one can run any code that its "
            "maker put in, so they are not read. Look for the LoRA as .safetensors."
        )


def read_header(path: Path) -> Header:
    """Read and check a safetensors file's header. Raises UserError; never reads the tensors."""
    check_name(path)
    try:
        if not path.is_file():
            kind = "is no file" if path.exists() else "does not exist"
            raise UserError(f"{path} {kind}.")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            entries, metadata, begin = read_entries(file, size)
        listed = tensors_of(entries, begin)
        tensors = in_place(listed, begin, size)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Refused as error:
        raise UserError(f"{path} {_SAID[error.kind].format(error)}") from None
    return Header(path, {t.name: t for t in tensors}, metadata, tensors == listed)


_SAID = {
    "stub": "is no safetensors file{}",
    "other": "is no safetensors file{}",
    "cut": "is cut short: {}. Download it again.",
    "damaged": "is damaged or made up: {}.",
    "long": "is damaged or made up: {}.",
}


# --- the steps, for a reader with rules and words of its own ------------------------------------


class Refused(Exception):
    """A file that is not read. Its text says more; `kind` is what it comes to:

    stub      shorter than the 8 bytes that every file begins with
    other     no safetensors file, or one with a longer header than is read
    cut       bytes are missing at its end
    damaged   its header is not what the format asks for
    long      bytes follow after its last tensor
    """

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(what)
        self.kind = kind


def read_entries(
    file: BinaryIO, size: int, limit: int = MAX_HEADER
) -> tuple[dict[str, Any], dict[str, str], int]:
    """Each tensor's entry by its name, unchecked; the metadata; where the tensors' bytes begin.

    `file` is at its beginning and has `size` bytes; a header of more than `limit` is not read.
    Raises Refused.
    """
    first = file.read(8)
    if len(first) < 8:
        raise Refused("stub", _something_else(first))
    length = int.from_bytes(first, "little")
    if not 2 <= length <= limit:
        raise Refused("other", _something_else(first + file.read(64)))
    text = file.read(length) if length <= size - 8 else b""
    if len(text) < length:
        raise Refused("cut", "not even its header is whole")
    if not text.startswith(b"{"):
        raise Refused("other", _something_else(first + text[:64]))
    try:
        entries = strict_json(text.decode())
    except UnicodeDecodeError:
        raise Refused("damaged", "its header is not UTF-8") from None
    except RecursionError:
        raise Refused("damaged", "its header is nested too deeply") from None
    except ValueError as error:
        what = f"its header is no proper JSON ({str(error)[:200]})"
        raise Refused("damaged", what) from None
    metadata = entries.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise Refused("damaged", "its metadata are not texts")
    return entries, metadata, 8 + length


def tensors_of(entries: Mapping[str, Any], begin: int) -> list[Tensor]:
    """The tensors of `read_entries`, in its order, each right in itself. Raises Refused."""
    return [_tensor(name, entry, begin) for name, entry in entries.items()]


def in_place(tensors: Iterable[Tensor], begin: int, size: int) -> list[Tensor]:
    """In the order of their bytes, which fill the file from `begin` to `size`. Raises Refused."""
    ordered = sorted(tensors, key=lambda tensor: (tensor.start, tensor.end))
    place = begin
    for tensor in ordered:
        if tensor.start != place:
            kind = "overlaps another" if tensor.start < place else "leaves a hole before it"
            raise Refused("damaged", f"the tensor {tensor.name[:100]!r} {kind}")
        place = tensor.end
    if place > size:
        raise Refused("cut", f"{place - size} of its {place} bytes are missing")
    if place < size:
        raise Refused("long", f"{size - place} bytes follow after its last tensor")
    return ordered


def strict_json(text: str) -> Any:
    """No name twice, no NaN, no lone surrogate in a name, no number of more than 20 digits.

    Raises ValueError, or RecursionError where it is nested too deeply.
    """
    return json.loads(
        text, object_pairs_hook=_no_twins, parse_int=_short_int, parse_constant=_no_nan
    )


def _something_else(start: bytes) -> str:
    for magic, hint in _NOT_SAFETENSORS:
        if start.startswith(magic):
            return f". {hint}"
    return ": it does not begin with a header."


def _no_twins(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"the name {name[:100]!r} twice")
        for text in (name, value):
            if isinstance(text, str):
                text.encode()  # a lone surrogate is a ValueError
        result[name] = value
    return result


def _short_int(digits: str) -> int:
    if len(digits) > 20:  # 2**64 has 20; long ones take quadratic time to read
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _no_nan(text: str) -> NoReturn:
    raise ValueError(f"the number {text}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _tensor(name: str, entry: Any, begin: int) -> Tensor:
    def fail(what: str) -> NoReturn:
        raise Refused("damaged", f"the tensor {name[:100]!r} {what}")

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        fail("lacks its dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        fail(f"has the unknown type {str(dtype)[:30]}")
    if not isinstance(shape, list) or len(shape) > 16 or not all(map(_is_count, shape)):
        fail(f"has the impossible shape {str(shape)[:60]}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        fail(f"has the impossible offsets {str(offsets)[:60]}")
    if offsets[1] - offsets[0] != math.prod(shape) * DTYPE_BYTES[dtype]:
        fail(f"has {offsets[1] - offsets[0]} bytes, which does not fit its shape")
    return Tensor(name, dtype, tuple(shape), begin + offsets[0], begin + offsets[1])
