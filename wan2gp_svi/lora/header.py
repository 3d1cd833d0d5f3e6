"""Reads and checks the header of a safetensors file, without torch and in bounded memory.

The layout (https://github.com/huggingface/safetensors#format): 8 bytes with the header's length N,
little endian; N bytes of JSON that give each tensor's dtype, shape and place; the tensors' bytes,
without holes. A file that does not keep to it is refused, like the reference implementation does.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

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

    def alphas(self) -> dict[str, float]:
        """The value of each `.alpha` tensor. Raises UserError if one is not a single number."""
        with self.path.open("rb") as file:
            return {
                tensor.name: self._scalar(tensor, file.fileno())
                for tensor in self.tensors.values()
                if tensor.name.endswith(".alpha")
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
            first = file.read(8)
            length = int.from_bytes(first, "little")
            if len(first) < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
                _refuse_start(path, first + file.read(64), length, size)
            text = file.read(length)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    fail = _failer(path)
    if not text.startswith(b"{"):
        _refuse_start(path, first + text[:64], length, size)
    try:
        content = json.loads(text.decode(), object_pairs_hook=_no_twins, parse_constant=_no_nan)
    except UnicodeDecodeError:
        fail("its header is not UTF-8")
    except RecursionError:
        fail("its header is nested too deeply")
    except ValueError as error:
        fail(f"its header is no proper JSON ({str(error)[:200]})")
    metadata = content.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        fail("its metadata are not texts")
    begin = 8 + length
    listed = [_tensor(name, entry, begin, fail) for name, entry in content.items()]
    tensors = sorted(listed, key=lambda tensor: (tensor.start, tensor.end))
    place = begin
    for tensor in tensors:
        if tensor.start != place:
            kind = "overlaps another" if tensor.start < place else "leaves a hole before it"
            fail(f"the tensor {tensor.name[:100]!r} {kind}")
        place = tensor.end
    if place > size:
        raise UserError(
            f"{path} is cut short: {place - size} of its {place} bytes are missing. "
            "Download it again."
        )
    if place < size:
        fail(f"{size - place} bytes follow after its last tensor")
    return Header(path, {t.name: t for t in tensors}, metadata, tensors == listed)


def _failer(path: Path) -> Callable[[str], NoReturn]:
    def fail(what: str) -> NoReturn:
        raise UserError(f"{path} is damaged or made up: {what}.")

    return fail


def _refuse_start(path: Path, start: bytes, length: int, size: int) -> NoReturn:
    for magic, hint in _NOT_SAFETENSORS:
        if start.startswith(magic):
            raise UserError(f"{path} is no safetensors file. {hint}")
    if 8 <= size < 8 + length <= 8 + MAX_HEADER:
        raise UserError(f"{path} is cut short: not even its header is whole. Download it again.")
    raise UserError(f"{path} is no safetensors file: it does not begin with a header.")


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


def _no_nan(text: str) -> NoReturn:
    raise ValueError(f"the number {text}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _tensor(name: str, entry: Any, begin: int, fail: Callable[[str], NoReturn]) -> Tensor:
    label = f"the tensor {name[:100]!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        fail(f"{label} lacks its dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        fail(f"{label} has the unknown type {str(dtype)[:30]}")
    if not isinstance(shape, list) or len(shape) > 16 or not all(map(_is_count, shape)):
        fail(f"{label} has the impossible shape {str(shape)[:60]}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        fail(f"{label} has the impossible offsets {str(offsets)[:60]}")
    if offsets[1] - offsets[0] != math.prod(shape) * DTYPE_BYTES[dtype]:
        fail(f"{label} has {offsets[1] - offsets[0]} bytes, which does not fit its shape")
    return Tensor(name, dtype, tuple(shape), begin + offsets[0], begin + offsets[1])
