"""Small LoRA files in every key format, from literal templates, not from the code under test.

Numbers lie on a grid (multiples of 1/8, small), so that in float32 every product and sum of the
delta strength * B.A is exact, whatever the order of summation: equal to the bit means equal.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

RANK, DIM, ALPHA = 4, 256, 3.0

# Wan's module name -> (diffusers' name, inputs, outputs) in the tiny model of tests/real_wangp
MODULES = {
    "blocks.0.self_attn.q": ("blocks.0.attn1.to_q", DIM, DIM),
    "blocks.0.self_attn.k": ("blocks.0.attn1.to_k", DIM, DIM),
    "blocks.1.self_attn.v": ("blocks.1.attn1.to_v", DIM, DIM),
    "blocks.1.self_attn.o": ("blocks.1.attn1.to_out.0", DIM, DIM),
    "blocks.0.cross_attn.q": ("blocks.0.attn2.to_q", DIM, DIM),
    "blocks.1.cross_attn.o": ("blocks.1.attn2.to_out.0", DIM, DIM),
    "blocks.0.ffn.0": ("blocks.0.ffn.net.0.proj", DIM, DIM),
    "blocks.1.ffn.2": ("blocks.1.ffn.net.2", DIM, DIM),
    "text_embedding.0": ("condition_embedder.text_embedder.linear_1", 64, DIM),
    "time_embedding.2": ("condition_embedder.time_embedder.linear_2", DIM, DIM),
    "time_projection.1": ("condition_embedder.time_proj", DIM, 6 * DIM),
    "head.head": ("proj_out", DIM, 64),
}
Pairs = dict[str, tuple[torch.Tensor, torch.Tensor]]


def grid(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-8, 9, shape, generator=generator).float() / 8


def pairs(rank: int = RANK, random: bool = False) -> Pairs:
    """module -> (A [rank, in], B [out, rank])."""
    result = {}
    for seed, (module, (_, inputs, outputs)) in enumerate(MODULES.items()):
        a, b = grid(rank, inputs, seed=2 * seed), grid(outputs, rank, seed=2 * seed + 1)
        if random:
            generator = torch.Generator().manual_seed(seed)
            a = torch.randn(a.shape, generator=generator)
            b = torch.randn(b.shape, generator=generator)
        result[module] = (a, b)
    return result


def _dotted(data: Pairs, prefix: str, a: str, b: str, diffusers: bool = False) -> dict:
    return {
        f"{prefix}{MODULES[module][0] if diffusers else module}.{end}.weight": tensor.clone()
        for module, matrices in data.items()
        for end, tensor in zip((a, b), matrices, strict=True)
    }


def _with_alpha(sd: dict, alpha: float = ALPHA) -> dict:
    modules = {name.split(".lora_")[0] for name in sd}
    return sd | {f"{module}.alpha": torch.tensor(alpha) for module in modules}


def _kohya(data: Pairs, prefix: str = "lora_unet_") -> dict:
    return {
        f"{prefix}{module.replace('.', '_')}.{end}.weight": tensor.clone()
        for module, matrices in data.items()
        for end, tensor in zip(("lora_down", "lora_up"), matrices, strict=True)
    }


def _mixed(data: Pairs) -> dict:
    sd = _dotted(data, "", "lora_A", "lora_B")
    odd = sorted(sd)[::2]  # half of the keys get a prefix, A and B of one module differ too
    return {("diffusion_model." if name in odd else "") + name: t for name, t in sd.items()}


def _peft_config(prefix: str = "", **extra: object) -> str:
    config = {"r": RANK, "lora_alpha": 6, "alpha_pattern": {}, "peft_type": "LORA", **extra}
    return json.dumps({prefix + name: value for name, value in config.items()})


def _write_peft(path: Path, data: Pairs) -> None:
    save_file(_dotted(data, "base_model.model.", "lora_A", "lora_B"), path)
    (path.parent / "adapter_config.json").write_text(_peft_config())


def formats() -> dict[str, tuple]:
    """label -> (tensors of `pairs` in that format, the file's metadata, strength of B.A)."""
    stored = ALPHA / RANK
    ab, du = ("lora_A", "lora_B"), ("lora_down", "lora_up")
    default = ("lora_A.default", "lora_B.default")
    in_metadata = {"lora_adapter_metadata": _peft_config("transformer.")}
    rslora = {"lora_adapter_metadata": _peft_config("transformer.", use_rslora=True)}

    def of(make, metadata=None, strength=1.0):
        return (make, metadata, strength)

    return {
        "pipe_dit_default": of(lambda d: _dotted(d, "pipe.dit.", *default)),
        "pipe_dit": of(lambda d: _dotted(d, "pipe.dit.", *ab)),
        "dit_default": of(lambda d: _dotted(d, "dit.", *default)),
        "dit": of(lambda d: _dotted(d, "dit.", *ab)),
        "bare_default": of(lambda d: _dotted(d, "", *default)),
        "diffsynth_alpha_ignored": of(lambda d: _with_alpha(_dotted(d, "pipe.dit.", *ab))),
        "checkpoint_prefix": of(lambda d: _dotted(d, "model.diffusion_model.", *ab)),
        "checkpoint_alpha": of(
            lambda d: _with_alpha(_dotted(d, "model.diffusion_model.", *du)), None, stored
        ),
        "peft": of(lambda d: _dotted(d, "base_model.model.", *ab)),
        "bare": of(lambda d: _dotted(d, "", *ab)),
        "bare_down_up": of(lambda d: _with_alpha(_dotted(d, "", *du)), None, stored),
        "comfy": of(lambda d: _dotted(d, "diffusion_model.", *ab)),
        "comfy_alpha": of(lambda d: _with_alpha(_dotted(d, "diffusion_model.", *du)), None, stored),
        "transformer": of(lambda d: _dotted(d, "transformer.", *ab)),
        "diffusers": of(lambda d: _dotted(d, "transformer.", *ab, diffusers=True)),
        "diffusers_bare": of(lambda d: _dotted(d, "", *ab, diffusers=True)),
        "diffusers_old": of(lambda d: _dotted(d, "transformer.", "lora.down", "lora.up", True)),
        "diffusers_config": of(
            lambda d: _dotted(d, "transformer.", *ab, diffusers=True), in_metadata, 1.5
        ),
        "diffusers_rslora": of(
            lambda d: _dotted(d, "transformer.", *ab, diffusers=True), rslora, 3.0
        ),
        "kohya": of(lambda d: _with_alpha(_kohya(d)), None, stored),
        "kohya_no_alpha": of(_kohya),
        "kohya_alpha_0": of(lambda d: _with_alpha(_kohya(d), 0.0)),
        "kohya_two_underscores": of(lambda d: _with_alpha(_kohya(d, "lora_unet__")), None, stored),
        "kohya_A_B": of(
            lambda d: {
                name.replace("lora_down", "lora_A").replace("lora_up", "lora_B"): tensor
                for name, tensor in _kohya(d).items()
            }
        ),
        "mixed": of(_mixed),
    }


def write(label: str, path: Path, data: Pairs | None = None) -> float:
    """Write the LoRA `data` (default: `pairs()`) in a format; returns the strength of its B.A."""
    make, metadata, strength = formats()[label]
    save_file(make(data or pairs()), path, metadata=metadata)
    return strength


def raw(path: Path, entries: Mapping[str, object] | bytes, data: bytes = b"") -> Path:
    """A file with this header (a dict, or its very bytes) and these bytes after it."""
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def entry(dtype: str, shape: list, start: int, end: int) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def shaped(path, dim, extra=(), blocks=2, metadata=None, prefix="diffusion_model."):
    """A file that only has a header of weight: U8 zeros of the right shapes, rank 1."""
    entries, place = {"__metadata__": metadata or {}}, 0
    for block in range(blocks):
        for leaf in ("self_attn.q", "ffn.0", *extra):
            for side, shape in (("A", [1, dim]), ("B", [dim, 1])):
                name = f"{prefix}blocks.{block}.{leaf}.lora_{side}.weight"
                entries[name] = entry("U8", shape, place, place + dim)
                place += dim
    return raw(path, entries, bytes(place))
