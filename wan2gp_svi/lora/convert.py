"""Writes a LoRA file in the format that WanGP and ComfyUI read (keys.py says which).

With the number type kept, only the header is new. The tensors' bytes are copied by the kernel, or
through a small buffer, so memory does not grow with the file. Then source and target are read
again, tensor by tensor through the target's own header, and compared byte for byte: that finds a
wrong offset as well as a bad write, and costs less than a hash. It does not prove what the disk
will return later: the operating system may answer from its memory. Meanwhile the target is flushed
to the disk; only then does it get its name.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole
from wan2gp_svi.lora.inspect import read_plan
from wan2gp_svi.lora.keys import Plan
from wan2gp_svi.tensor_file import (
    DTYPE_BYTES,
    SUFFIXES,
    Header,
    Tensor,
    check_name,
    read_header,
)

CHUNK = 1 << 20  # bytes at a time through user space
KERNEL_CHUNK = 64 << 20  # bytes at a time inside the kernel, so that the bar moves
_DTYPES = {"bf16": "BF16", "fp16": "F16", "fp32": "F32"}
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_KERNEL_REFUSES = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Part:
    """One tensor of the file to be written: its new name and type, and where its bytes are from.

    `value`: a number that the source file does not hold as a tensor, an alpha; `source` is None.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: Tensor | None
    value: float = 0.0

    @property
    def size(self) -> int:
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


def parts_of(header: Header, plan: Plan, dtype: str) -> tuple[list[Part], dict[str, str]]:
    """The tensors and the metadata to write.

    Wide types come first, as the reference implementation has it, so that each tensor lies at a
    multiple of its number size; otherwise the source's order is kept. Alphas that were in a PEFT
    configuration are added as float64, which holds any of them exactly; the configuration then
    gets another name in the metadata, because diffusers would apply it a second time.
    """
    parts = [Part(name, "F64", (), None, alpha) for name, alpha in plan.alphas.items()]
    for old, new in plan.names.items():
        tensor = header.tensors[old]
        matrix = tensor.dtype in _FLOATS and not new.endswith(".alpha")
        kind = _DTYPES[dtype] if dtype != "keep" and matrix else tensor.dtype
        parts.append(Part(new, kind, tensor.shape, tensor))
    order = {tensor.name: place for place, tensor in enumerate(header.tensors.values())}
    parts.sort(key=lambda p: (-DTYPE_BYTES[p.dtype], order[p.source.name] if p.source else -1))
    metadata = dict(header.metadata)
    if plan.alphas and (config := metadata.pop("lora_adapter_metadata", None)):
        metadata["wan2gp_svi.source_lora_adapter_metadata"] = config
    metadata["wan2gp_svi.converted_from"] = " + ".join(plan.formats)
    return parts, metadata


def _header_bytes(parts: list[Part], metadata: dict[str, str]) -> bytes:
    content: dict[str, object] = {"__metadata__": metadata}
    place = 0
    for part in parts:
        offsets = [place, place + part.size]
        content[part.name] = {"dtype": part.dtype, "shape": part.shape, "data_offsets": offsets}
        place += part.size
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _runs(parts: list[Part]) -> Iterator[tuple[int, int]]:
    """(start, end) of the source's bytes for consecutive kept parts, neighbours joined."""
    start = end = -1
    for part in parts:
        assert part.source is not None
        if part.source.start != end:
            if end > start:
                yield start, end
            start = part.source.start
        end = part.source.end
    if end > start:
        yield start, end


def _copy(source: BinaryIO, target: BinaryIO, start: int, end: int, progress: Progress) -> None:
    """Append the bytes [start, end) of `source` to `target`, both unbuffered."""
    kernel = getattr(os, "copy_file_range", None)
    while kernel and start < end:
        try:
            count = min(KERNEL_CHUNK, end - start)
            done = kernel(source.fileno(), target.fileno(), count, start)
        except OSError as error:
            if error.errno not in _KERNEL_REFUSES:
                raise
            break
        if done == 0:
            break
        start += done
        progress(done)
    source.seek(start)
    while start < end:
        data = _read(source, min(CHUNK, end - start))
        _write(target, data)
        start += len(data)
        progress(len(data))


def _write(target: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[target.write(view) :]


def _read(file: BinaryIO, count: int) -> bytes:
    """Exactly `count` bytes from an unbuffered file."""
    data = file.read(count)
    while len(data) < count:
        if not (more := file.read(count - len(data))):
            raise UserError("A file became shorter while it was read.", exit_code=1)
        data += more
    return data


def _cast(source: BinaryIO, target: BinaryIO, part: Part, progress: Progress) -> int:
    """Append one tensor in another number type, a piece at a time; returns the CRC of its bytes."""
    import torch  # only here: a conversion that keeps the type needs no torch

    types = {
        **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16},
        **{"BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2},
    }
    tensor = part.source
    assert tensor is not None
    source.seek(tensor.start)
    left, crc = tensor.end - tensor.start, 0
    while left:
        data = bytearray(_read(source, min(CHUNK, left)))
        numbers = torch.frombuffer(data, dtype=types[tensor.dtype]).to(torch.float64)
        cast = numbers.to(types[part.dtype])
        if (lost := torch.isfinite(numbers) & ~torch.isfinite(cast.float())).any():
            raise UserError(
                f"{tensor.name} holds {numbers[lost][0].item():g}, which {part.dtype} cannot; "
                "choose bf16 or fp32."
            )
        result = cast.view(torch.uint8).numpy().tobytes()
        _write(target, result)
        crc = zlib.crc32(result, crc)
        left -= len(data)
        progress(len(data))
    return crc


def _write_data(
    source: BinaryIO, target: BinaryIO, parts: list[Part], metadata: dict[str, str], bar: Progress
) -> dict[str, int]:
    """Write the whole target; returns the CRCs of the tensors that are no copies."""
    _write(target, _header_bytes(parts, metadata))
    kept: list[Part] = []
    crcs: dict[str, int] = {}

    def flush() -> None:
        for start, end in _runs(kept):
            _copy(source, target, start, end, bar)
        kept.clear()

    for part in parts:
        if part.source is not None and part.source.dtype == part.dtype:
            kept.append(part)
            continue
        flush()
        if part.source is None:
            data = struct.pack("<d", part.value)
            _write(target, data)
            crcs[part.name] = zlib.crc32(data)
        else:
            crcs[part.name] = _cast(source, target, part, bar)
    flush()
    return crcs


def _check(
    source: BinaryIO, target: BinaryIO, written: Header, parts: list[Part], crcs: dict[str, int]
) -> None:
    """Compare what was written with what was to be, through the target's own header."""
    if list(written.tensors) != [part.name for part in parts]:
        raise _Mismatch
    for part in parts:
        there = written.tensors[part.name]
        if (there.dtype, there.shape) != (part.dtype, part.shape):
            raise _Mismatch
        target.seek(there.start)
        crc = crcs.get(part.name)
        if crc is None and part.source is not None:
            source.seek(part.source.start)
        left, now = part.size, 0
        while left:
            data = _read(target, min(CHUNK, left))
            if crc is None and data != _read(source, len(data)):
                raise _Mismatch
            now = zlib.crc32(data, now) if crc is not None else 0
            left -= len(data)
        if crc is not None and now != crc:
            raise _Mismatch


class _Mismatch(Exception):
    """What is on the disk is not what was to be written."""


@contextmanager
def _bar(label: str, total: int) -> Iterator[Progress]:
    """A progress bar on a terminal: tqdm's if it is there, else a percentage."""
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        done = 0

        def show(count: int) -> None:
            nonlocal done
            done += count
            print(f"\r{label}: {100 * done // max(total, 1)}%", end="", file=sys.stderr, flush=True)

        yield show
        print(file=sys.stderr)
        return
    with tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024) as bar:
        yield lambda count: bar.update(count) and None


@contextmanager
def _sentences(target: Path) -> Iterator[None]:
    """Turn the disk's errors into sentences."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(f"The disk is full: {target} was not written.", exit_code=1) from error
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}.", exit_code=1
        ) from error
    except _Mismatch as error:
        raise UserError(
            f"{target} was not written: what came back from the disk is not what was sent to it.",
            exit_code=1,
        ) from error


def convert_file(source: Path, target: Path, dtype: str = "keep") -> None:
    """Write the LoRA `source` to the new file `target`; both whole or nothing.

    `dtype`: keep, bf16, fp16 or fp32; alphas keep theirs. Raises UserError if the source is no
    LoRA for Wan, the target exists, the disk is full or a number does not fit its new type.
    """
    header, plan = read_plan(source)
    parts, metadata = parts_of(header, plan, dtype)
    if target.exists() and source.samefile(target):
        raise UserError(f"{target} is the source itself; give the result another name.")
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} exists already; give the result another name.")
    if target.suffix.lower() not in SUFFIXES:
        raise UserError(f"{target} should end in .safetensors, or WanGP will not list it.")
    if not target.parent.is_dir():
        raise UserError(f"The folder {target.parent} does not exist.")
    needed = sum(part.size for part in parts) + 200 * len(parts)
    with _sentences(target):
        if shutil.disk_usage(target.parent).free < needed:
            raise OSError(errno.ENOSPC, "no space")
        total = sum(p.source.end - p.source.start for p in parts if p.source)
        with (
            whole(target) as part,
            source.open("rb", buffering=0) as reader,
            part.open("xb+", buffering=0) as writer,
            _bar(source.name, total) as bar,
        ):
            crcs = _write_data(reader, writer, parts, metadata, bar)
            with ThreadPoolExecutor(1) as flusher:
                flushed = flusher.submit(os.fsync, writer.fileno())
                _check(reader, writer, read_header(part), parts, crcs)
                flushed.result()


def convert(source: Path, target: Path, dtype: str = "keep") -> tuple[list[Path], dict[Path, str]]:
    """Convert a file, or each file of a folder and of the folders in it.

    Returns what was written, and why the other files were not. With a single file an error is
    raised instead.
    """
    if not source.is_dir():
        check_name(source)
        target = target / source.name if target.is_dir() else target
        convert_file(source, target, dtype)
        return [target], {}
    if target.exists() and (not target.is_dir() or target.samefile(source)):
        raise UserError(f"{target} should be a folder of its own for the results.")
    written, failed = [], {}
    files = sorted(p for p in source.rglob("*") if p.is_file() and not p.name.startswith("."))
    inside = target.resolve()
    for path in files:
        if inside in path.resolve().parents:
            continue  # an earlier result
        place = target / path.relative_to(source)
        try:
            check_name(path)
            if path.suffix.lower() not in SUFFIXES:
                continue
            with _sentences(place):
                place.parent.mkdir(parents=True, exist_ok=True)
            convert_file(path, place, dtype)
            written.append(place)
        except UserError as error:
            failed[path] = str(error)
    if not written and not failed:
        raise UserError(f"{source} holds no .safetensors files.")
    return written, failed
