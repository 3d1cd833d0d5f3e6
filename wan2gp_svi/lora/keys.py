"""The key formats of Wan LoRA files, and their renaming to the one that WanGP and ComfyUI read.

The common format is `diffusion_model.<module>.lora_A.weight`, `.lora_B.weight`, `.alpha`, with the
module names of the original Wan release. Of the names that both hosts read it is the one that
diffusers reads as well (`_convert_non_diffusers_wan_lora_to_diffusers`).

| format | keys | strength of B.A in the tool itself |
| --- | --- | --- |
| DiffSynth, SVI authors | `pipe.dit.`, `dit.`, bare with `.default.` | 1, whatever the alpha [1] |
| ComfyUI | `diffusion_model.` | alpha/rank, 1 without alpha [2] |
| whole checkpoint's prefix | `model.diffusion_model.` | as ComfyUI |
| bare Wan names | `blocks.0.self_attn.q` | as ComfyUI |
| kohya, musubi | `lora_unet_blocks_0_self_attn_q` | alpha/rank, 1 if alpha is absent or 0 [3] |
| PEFT | `base_model.model.` | lora_alpha/r of adapter_config.json [4] |
| diffusers | `transformer.`, `attn1.to_q` | lora_alpha/r of the file's metadata [5] |

Where [4] and [5] have no such configuration the strength is 1 (alpha = rank), which is what
diffusers does; with use_rslora it is lora_alpha/sqrt(r). An alpha stored in the file goes before
the configuration. mmgp applies multiplier * alpha/rank, and 1 for alpha/rank without an alpha.

[1] vita-epfl/Stable-Video-Infinity diffsynth/models/lora.py, GeneralLoRAFromPeft.load
[2] Comfy-Org/ComfyUI comfy/lora.py load_lora, comfy/weight_adapter/lora.py
[3] kohya-ss/musubi-tuner networks/lora.py LoRAModule, utils/lora_utils.py
[4] huggingface/peft tuners/lora/layer.py update_layer
[5] huggingface/diffusers loaders/peft.py load_lora_adapter, metadata key lora_adapter_metadata
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from wan2gp_svi.errors import UserError

PREFIX = "diffusion_model."

DIFFSYNTH = "DiffSynth"
COMFY = "ComfyUI"
CHECKPOINT = "checkpoint prefix (model.diffusion_model.)"
BARE = "bare Wan names"
KOHYA = "kohya or musubi"
PEFT = "PEFT"
DIFFUSERS = "diffusers"
TRANSFORMER = "Wan names under transformer."

# WanGP alone reads these, when a file has one of them only (WanModel.preprocess_loras and mmgp).
WANGP_READS = {COMFY, BARE, KOHYA, TRANSFORMER}

_PREFIXES = {  # taken off again and again, the longest that fits first
    "base_model.model.": PEFT,
    "model.diffusion_model.": CHECKPOINT,
    "diffusion_model.": COMFY,
    "pipe.dit.": DIFFSYNTH,
    "dit.": DIFFSYNTH,
    "transformer.": TRANSFORMER,
}
_FLAT = re.compile(r"lora_(?:unet|transformer)_+")

# Module names of Wan-Video/Wan2.1 wan/modules/model.py and vace_model.py.
_BLOCK = (
    *(f"{attn}_attn.{leaf}" for attn in ("self", "cross") for leaf in "qkvo"),
    *(f"{attn}_attn.norm_{leaf}" for attn in ("self", "cross") for leaf in "qk"),
    *(f"cross_attn.{leaf}" for leaf in ("k_img", "v_img", "norm_k_img")),
    *("ffn.0", "ffn.2", "norm3", "modulation", "before_proj", "after_proj"),
)
_TOP = (
    *("patch_embedding", "vace_patch_embedding", "text_embedding.0", "text_embedding.2"),
    *("time_embedding.0", "time_embedding.2", "time_projection.1", "head.head", "head.modulation"),
    *("img_emb.proj.0", "img_emb.proj.1", "img_emb.proj.3", "img_emb.proj.4", "img_emb.emb_pos"),
)
# diffusers' names for them: convert_wan_transformer_to_diffusers in loaders/single_file_utils.py.
# norm2 and norm3 changed places; only Wan's norm3, diffusers' norm2, has weights.
_DIFFUSERS_BLOCK = {
    **{f"attn1.to_{leaf}": f"self_attn.{leaf}" for leaf in "qkv"},
    **{f"attn2.to_{leaf}": f"cross_attn.{leaf}" for leaf in "qkv"},
    **{"attn1.to_out.0": "self_attn.o", "attn2.to_out.0": "cross_attn.o"},
    **{f"attn1.norm_{leaf}": f"self_attn.norm_{leaf}" for leaf in "qk"},
    **{f"attn2.norm_{leaf}": f"cross_attn.norm_{leaf}" for leaf in "qk"},
    **{"attn2.add_k_proj": "cross_attn.k_img", "attn2.add_v_proj": "cross_attn.v_img"},
    **{"attn2.norm_added_k": "cross_attn.norm_k_img", "ffn.net.0.proj": "ffn.0"},
    **{"ffn.net.2": "ffn.2", "norm2": "norm3", "scale_shift_table": "modulation"},
}
_DIFFUSERS_TOP = {
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
    "scale_shift_table": "head.modulation",
}
_IN_BLOCK = {**{name: name for name in _BLOCK}, **_DIFFUSERS_BLOCK}
_ON_TOP = {**{name: name for name in _TOP}, **_DIFFUSERS_TOP}
_BLOCK_NAME = re.compile(r"(blocks|vace_blocks)([._])(\d{1,4})\2(.+)")

_MATRIX = re.compile(
    r"(?P<module>.+)\.lora(?:_linear_layer)?[._](?P<side>A|B|down|up)"
    r"(?:\.(?!weight$|bias$)(?P<adapter>[^.]+))?(?:\.weight)?"
)
_SUFFIX = re.compile(r"(?P<module>.+)\.(?P<part>alpha|diff|diff_b|dora_scale|lokr_w1|lokr_w2)")
_PART_OF = {"A": "lora_A.weight", "down": "lora_A.weight"}

# What may be left out: text encoder LoRAs (WanGP's encoder takes none) and one-number notes.
_TEXT_ENCODER = re.compile(r"(base_model\.model\.)?(lora_te\d?_|text_encoders?[._\d])")

_LOOKS_LIKE = (
    (r"transformer_2\.", "a diffusers file that holds the LoRAs of both Wan 2.2 models"),
    (r"dwpose|randomref|inpaint_embedding|learn_in_embedding", "SVI-Dance (UniAnimate modules)"),
    (r"hada_w", "LoHa (LyCORIS), which mmgp cannot apply"),
    (r"lora_magnitude_vector", "DoRA as PEFT stores it, which mmgp cannot apply"),
    (r"lora_[AB](\.[^.]+)?\.bias", "PEFT with lora_bias, which mmgp cannot apply"),
    (r"single_transformer_blocks|double_blocks|single_blocks", "a LoRA for Flux or HunyuanVideo"),
    (r"transformer_blocks", "a LoRA for LTX-Video, Qwen-Image or another diffusers model"),
    (r"(down|up|mid|input|output|middle)_blocks?[._]", "a LoRA for Stable Diffusion"),
    (r"layers[._]\d+[._]", "a LoRA for Z-Image, Lumina or a language model"),
    (r"lora", "a LoRA for another model"),
)


@dataclass(frozen=True)
class Key:
    """One tensor's name, taken apart. `module` is Wan's name, `written` the file's own for it."""

    module: str
    part: str  # lora_A.weight, lora_B.weight, alpha, diff, diff_b, dora_scale, lokr_w1, lokr_w2
    format: str
    written: str

    @property
    def common(self) -> str:
        return f"{PREFIX}{self.module}.{self.part}"


@dataclass
class Plan:
    """How to rename one file. The tensors themselves stay as they are.

    `names`: old name -> new name. `alphas`: alphas to add, by new name. `dropped`: old name -> why.
    `strength`: module -> what B.A is multiplied by at multiplier 1. `ranks`: module -> rank.
    """

    names: dict[str, str] = field(default_factory=dict)
    alphas: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    ranks: dict[str, int] = field(default_factory=dict)
    strength: dict[str, float] = field(default_factory=dict)


@lru_cache(maxsize=8)
def _unflatten(modules: tuple[str, ...]) -> dict[str, str | None]:
    """Flat name -> module name; None where two modules have the same flat name."""
    flat: dict[str, str | None] = {}
    for name in modules:
        key = name.replace(".", "_")
        flat[key] = name if flat.get(key, name) == name else None
    return flat


def _resolve(name: str, modules: Collection[str]) -> tuple[str, bool] | None:
    """A dotted name -> (Wan's module name, whether it was written as diffusers writes it)."""
    if name in modules:
        return name, False
    table, prefix, leaf = _ON_TOP, "", name
    if (match := _BLOCK_NAME.fullmatch(name)) and match[2] == ".":
        table, prefix, leaf = _IN_BLOCK, f"{match[1]}.{int(match[3])}.", match[4]
    wan = table.get(leaf)
    return None if wan is None else (prefix + wan, wan != leaf)


def _resolve_flat(name: str, modules: Collection[str]) -> tuple[str, bool] | None:
    """The same for a name whose dots became underscores, as in `blocks_0_self_attn_q`."""
    if modules and (own := _unflatten(tuple(modules)).get(name)):
        return own, False
    match = _BLOCK_NAME.fullmatch(name)
    if match and match[2] == "_":
        leaf = _unflatten(tuple(_IN_BLOCK)).get(match[4])
        dotted = f"{match[1]}.{int(match[3])}.{leaf}" if leaf else None
    else:
        dotted = _unflatten(tuple(_ON_TOP)).get(name)
    return _resolve(dotted, modules) if dotted else None


def parse(key: str, modules: Collection[str] = ()) -> Key | None:
    """Take one key apart; None if it is no key of a Wan LoRA.

    `modules`: names of the modules of the model at hand, which count besides those of Wan itself.
    """
    match = _MATRIX.fullmatch(key)
    if match:
        part, adapter = _PART_OF.get(match["side"], "lora_B.weight"), match["adapter"]
    else:
        match = _SUFFIX.fullmatch(key)
        if not match:
            return None
        part, adapter = match["part"], None
    name, kind = match["module"], BARE
    if flat := _FLAT.match(name):
        found = _resolve_flat(name[flat.end() :], modules)
        written = name[flat.end() :]
        return Key(found[0], part, KOHYA, written) if found else None
    while not (found := _resolve(name, modules)):
        prefix = next((p for p in _PREFIXES if name.startswith(p)), None)
        if prefix is None:
            return None
        if kind in (BARE, PEFT):  # PEFT may wrap another prefix; that one says more
            kind = _PREFIXES[prefix] if kind == BARE else kind
        name = name[len(prefix) :]
    if found[1] and kind in (BARE, TRANSFORMER):
        kind = DIFFUSERS
    if kind == BARE and adapter == "default":
        kind = DIFFSYNTH
    return Key(found[0], part, kind, name)


def adapter_config(
    names: Iterable[str], metadata: Mapping[str, str], path: Path | None
) -> dict[str, Any]:
    """PEFT's configuration of a LoRA; empty if there is none that can be read.

    diffusers (from 0.35) writes it into the file's metadata, PEFT into an adapter_config.json
    beside its adapter_model.safetensors. In a folder of several LoRAs such a file counts only for
    the one with that name.
    """
    text = metadata.get("lora_adapter_metadata")
    if text is None and path is not None and any(n.startswith("base_model.model.") for n in names):
        try:
            siblings = list(path.parent.glob("*.safetensors"))
            if path.name != "adapter_model.safetensors" and siblings != [path]:
                return {}
            with (path.parent / "adapter_config.json").open("rb") as file:
                text = file.read(1 << 20).decode()
        except (OSError, UnicodeDecodeError):
            return {}
    try:
        config = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(config, dict):
        return {}
    return {name.removeprefix("transformer."): value for name, value in config.items()}


def _config_alpha(config: Mapping[str, Any], written: str, rank: int) -> float | None:
    """The alpha with which alpha/rank is the strength that PEFT gives the module `written`."""
    alpha = config.get("lora_alpha")
    patterns = config.get("alpha_pattern") or {}
    if isinstance(patterns, dict):
        for pattern, value in patterns.items():
            # PEFT takes these as regular expressions; what is written to files are plain names.
            if written == pattern.lstrip("^") or (
                not pattern.startswith("^") and written.endswith("." + pattern)
            ):
                alpha = value
                break
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)):
        return None
    return alpha * math.sqrt(rank) if config.get("use_rslora") else float(alpha)


def plan(
    shapes: Mapping[str, tuple[int, ...]],
    alphas: Mapping[str, float],
    config: Mapping[str, Any] | None = None,
    modules: Collection[str] = (),
    where: str = "this LoRA",
) -> Plan:
    """Decide the renaming of a whole file.

    `shapes`: shape of each tensor, [rank, in] for A and [out, rank] for B. `alphas`: the value of
    each `.alpha` tensor. `config`: see `adapter_config`. `modules`: see `parse`. `where`: how to
    name the file in an error. Raises UserError if the file contradicts itself (two tensors for one
    place, A without B, ranks that differ, an alpha that is no number).
    """
    result = Plan()
    keys: dict[str, Key] = {}
    for name, shape in shapes.items():
        key = parse(name, modules)
        if key is not None:
            keys[name] = key
        elif _TEXT_ENCODER.match(name):
            result.dropped[name] = "for the text encoder, where WanGP applies no LoRA"
        elif "lora" not in name and math.prod(shape) <= 1:
            result.dropped[name] = "a note of the tool that wrote the file, no weight"
        else:
            result.unknown.append(name)
    result.formats = list(dict.fromkeys(key.format for key in keys.values()))
    taken: dict[str, str] = {}
    for name, key in keys.items():
        if key.part == "alpha":
            if not math.isfinite(alphas[name]):
                raise UserError(f"{where}: {name} is {alphas[name]}, which is no strength.")
            if DIFFSYNTH in result.formats:
                result.dropped[name] = "DiffSynth, which wrote the file, does not apply it"
                continue
            if key.format == KOHYA and alphas[name] == 0:
                result.dropped[name] = "alpha 0 means alpha = rank to kohya and musubi"
                continue
        if key.common in taken:
            raise UserError(
                f"{where} holds two tensors for one place: {taken[key.common]} and {name}."
            )
        taken[key.common] = name
        result.names[name] = key.common
    _check_pairs(shapes, taken, keys, result, where)
    for module, rank in result.ranks.items():
        stored = taken.get(f"{PREFIX}{module}.alpha")
        alpha = alphas[stored] if stored else None
        if alpha is None and config:
            key = keys[taken[f"{PREFIX}{module}.lora_A.weight"]]
            if key.format in (PEFT, DIFFUSERS, TRANSFORMER):
                alpha = _config_alpha(config, key.written, rank)
                if alpha is not None:
                    result.alphas[f"{PREFIX}{module}.alpha"] = alpha
        result.strength[module] = 1.0 if alpha is None else alpha / rank
    return result


def _check_pairs(
    shapes: Mapping[str, tuple[int, ...]],
    taken: Mapping[str, str],
    keys: Mapping[str, Key],
    result: Plan,
    where: str,
) -> None:
    """A and B come in pairs of one rank, and only for linear layers; fills `result.ranks`."""
    for name in taken.values():
        key = keys[name]
        if key.part not in ("lora_A.weight", "lora_B.weight"):
            continue
        other = "lora_B.weight" if key.part == "lora_A.weight" else "lora_A.weight"
        if f"{PREFIX}{key.module}.{other}" not in taken:
            raise UserError(
                f"{where}: {name} has no {other[:6]} to go with it; the file is damaged."
            )
        if len(shapes[name]) != 2:
            raise UserError(
                f"{where}: {name} is for a convolution (shape {list(shapes[name])}); "
                "WanGP applies low-rank pairs to linear layers only."
            )
        if key.part == "lora_A.weight":
            rank, up = shapes[name][0], shapes[taken[f"{PREFIX}{key.module}.lora_B.weight"]]
            if rank == 0 or up[-1:] != (rank,):
                raise UserError(
                    f"{where}: the two matrices of {key.module} do not fit each other "
                    f"({list(up)} and {list(shapes[name])})."
                )
            result.ranks[key.module] = rank


def looks_like(names: Iterable[str]) -> str:
    """A guess, in words, at what a file with such keys is."""
    text = "\n".join(names)
    for pattern, guess in _LOOKS_LIKE:
        if re.search(pattern, text):
            return guess
    return "no LoRA at all (a model or something else)"


def refuse(names: Collection[str], where: str) -> UserError:
    """The error for keys that cannot be left out."""
    first = ", ".join(list(names)[:3])
    return UserError(
        f"{where} looks like {looks_like(names)}: {len(names)} of its keys are not for Wan, "
        f"the first: {first[:300]}."
    )


def check_dropped(result: Plan, where: str) -> None:
    """Raise UserError if what is left out as harmless is more than a little."""
    harmless = [name for name, why in result.dropped.items() if not name.endswith(".alpha")]
    if len(harmless) > max(2, len(result.names) // 20):
        raise refuse(harmless, where)


def check_unknown(result: Plan, where: str) -> None:
    """Raise UserError unless all that is not renamed is known to be harmless, and is little."""
    if result.unknown:
        raise refuse(result.unknown, where)
    if not any(
        new.endswith(("_A.weight", "diff", "diff_b", "w1")) for new in result.names.values()
    ):
        raise refuse(list(result.dropped) or ["(none)"], where)
    check_dropped(result, where)
