"""LoRA files on linear layers: W + sum of strength * B A, taken out again to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

A, B = ".lora_A.weight", ".lora_B.weight"


def parse_multipliers(text: str, count: int) -> list[tuple[float, float]]:
    """Strengths (high noise, low noise) of `count` LoRAs from "1;0 0.8"; 1 where none is given."""
    words = text.split()
    pairs = []
    for i in range(count):
        high, _, low = (words[i] if i < len(words) else "1").partition(";")
        pairs.append((float(high), float(low or high)))
    return pairs


def unload_loras_from_model(model: nn.Module) -> None:
    """Put back the weights that were there before any LoRA."""
    kept: dict[str, torch.Tensor] = model.__dict__.pop("_weights_without_loras", {})
    for name, weight in kept.items():
        model.get_submodule(name).weight.data = weight  # type: ignore[assignment, union-attr]


def load_loras_into_model(
    model: nn.Module, files: Sequence[Path], strengths: Sequence[float], base_model_type: str
) -> None:
    """Add LoRA files to the model in place of the ones it had; ValueError for unknown keys."""
    unload_loras_from_model(model)
    kept = model.__dict__.setdefault("_weights_without_loras", {})
    layers = {n for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    for file, strength in zip(files, strengths, strict=True):
        tensors = model.preprocess_loras(base_model_type, load_file(str(file)))  # type: ignore[operator]
        for key in tensors:
            name = key.removesuffix(A).removesuffix(B)
            if name not in layers:
                unload_loras_from_model(model)
                raise ValueError(f"{file.name}: unexpected key {key}")
        if strength == 0:
            continue
        for name in sorted({key.removesuffix(A).removesuffix(B) for key in tensors}):
            layer = model.get_submodule(name)
            kept.setdefault(name, layer.weight.data)
            delta = tensors[name + B].float() @ tensors[name + A].float()
            layer.weight.data = layer.weight.data + strength * delta  # type: ignore[operator]
