"""Tensors to and from safetensors files, and what is said about them; written whole or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.files import whole


def save(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors; each value of `about` becomes a line of JSON in the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "pt", **{key: json.dumps(value) for key, value in about.items()}}
    solid = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with whole(path) as part:
        save_file(solid, part, metadata)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save` wrote: the tensors by name, and what was said. `UserError` for anything else."""
    try:
        with safe_open(path, framework="pt") as file:
            about = {
                key: json.loads(value)
                for key, value in (file.metadata() or {}).items()
                if key != "format"
            }
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a safetensors file of ours: {error}") from None


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix` and a full stop, without it."""
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with `prefix` and a full stop before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def as_type(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}
