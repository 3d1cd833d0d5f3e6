"""LoRA files of every origin load: WanModel.preprocess_loras is given names that it understands.

Called by the hook in models/wan/modules/model.py. WanGP hands each file's tensors to
`preprocess_loras(self, model_type, sd)` (so in each of its versions since October 2025) and what
comes back to mmgp. The wrapper renames the keys first, by `wan2gp_svi.lora.keys`; no tensor is
copied. mmgp then adds multiplier * alpha/rank * B.A, and takes alpha/rank for 1 without an alpha.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from wan2gp_svi.errors import UserError
from wan2gp_svi.lora import check_selection, keys
from wan2gp_svi.wangp.console import say_once
from wan2gp_svi.wangp.run import current
from wan2gp_svi.wangp.wrapping import wrap

StateDict = dict[str, torch.Tensor]
_ADAPTER = ("dwpose_embedding", "randomref_embedding")
_IMAGE = ("cross_attn.k_img", "cross_attn.v_img", "cross_attn.norm_k_img", "img_emb.")


def attach(namespace: dict[str, Any]) -> bool:
    """Wrap `WanModel.preprocess_loras`. `namespace`: the globals of WanGP's modules/model.py."""
    return wrap(namespace["WanModel"], "preprocess_loras", _preprocessed)


def _preprocessed(
    original: Callable[..., StateDict], model: torch.nn.Module, model_type: str, sd: StateDict
) -> StateDict:
    """What WanGP makes of a file's tensors, given the names that it understands."""
    modules = frozenset(name for name, _ in model.named_modules())
    given = sd
    try:
        given = renamed(sd, modules)
    except UserError as error:
        _stop_svi(error)
    except Exception as error:
        say_once(f"A LoRA is left to WanGP as it is ({error!r}).")
    found = original(model, model_type, given)
    try:
        return fitting(found, modules)
    except UserError as error:
        _stop_svi(error)
    return found if given is sd else original(model, model_type, sd)


def _stop_svi(error: UserError) -> None:
    """In an SVI task WanGP shows the sentence and ends it; other models' files are WanGP's to
    judge, which may let them pass: then it is only said.
    """
    if current() is not None:
        raise error
    say_once(str(error))


def renamed(sd: StateDict, modules: Collection[str]) -> StateDict:
    """The same tensors under the names that WanGP reads.

    `modules`: names of the model's modules. Raises UserError if the file contradicts itself.
    """
    path, metadata = _origin(sd)
    where = path.name if path else "this LoRA"
    run = current()
    if run is not None and run.mode.skeleton:  # its file holds the pose adapter, too (dance.py)
        sd = {name: sd[name] for name in sd if not any(part in name for part in _ADAPTER)}
    shapes = {name: tuple(tensor.shape) for name, tensor in sd.items()}
    alphas = {name: _number(name, sd[name]) for name in sd if name.endswith(".alpha")}
    config = keys.adapter_config(sd, metadata, path)
    plan = keys.plan(shapes, alphas, config, modules, where)
    keys.check_dropped(plan, where)
    if plan.names == {name: name for name in sd} and not plan.alphas:
        return sd
    result = {new: sd[old] for old, new in plan.names.items()}
    for name, alpha in plan.alphas.items():
        result[name] = torch.tensor(alpha, dtype=torch.float64)
    result.update((name, sd[name]) for name in plan.unknown)
    if any(name.startswith(keys.PREFIX + "vace_blocks.") for name in result):
        # WanGP places VACE blocks itself, but only if the first name is theirs and is bare.
        bare = {name.removeprefix(keys.PREFIX): tensor for name, tensor in result.items()}
        result = dict(sorted(bare.items(), key=lambda item: not item[0].startswith("vace_")))
    if plan.formats and not set(plan.formats) <= keys.WANGP_READS:
        say_once(f"{where}: {' + '.join(plan.formats)} keys, renamed in memory.")
    for name, why in list(plan.dropped.items())[:3]:
        say_once(f"{where}: {name} is left out: {why}.")
    return result


def fitting(sd: StateDict, modules: Collection[str]) -> StateDict:
    """What of `sd` the model has a place for. Raises UserError unless the rest is harmless: the
    image attention of Wan 2.1, which Wan 2.2 does not have.
    """
    strange = [name for name in sd if not name.endswith(".alpha") and not _fits(name, modules)]
    if not strange:
        return sd
    image = {name for name in strange if any(part in name for part in _IMAGE)}
    if rest := [name for name in strange if name not in image]:
        path, _ = _origin(None)
        where = path.name if path else "this LoRA"
        if all(keys.parse(name) for name in rest):
            raise UserError(
                f"{where} is for another variant of Wan: the model has no place for {len(rest)} "
                f"of its keys, the first: {', '.join(rest[:3])}."
            )
        raise keys.refuse(rest, where)
    say_once(f"{len(image)} LoRA keys for Wan 2.1's image attention are left out.")
    return {name: tensor for name, tensor in sd.items() if name not in image}


def warn(pipeline: Any, kwargs: Mapping[str, Any]) -> None:
    """Say in the console, once, what `wrong_pairs` finds. Never stops a task."""
    try:
        for sentence in wrong_pairs(pipeline, kwargs):
            say_once(sentence)
    except Exception as error:
        say_once(f"The choice of LoRAs was not checked ({error!r}).")


def wrong_pairs(pipeline: Any, kwargs: Mapping[str, Any]) -> list[str]:
    """Sentences about LoRAs that probably do not belong where they are; see `check_selection`.

    `pipeline`, `kwargs`: a WanAny2V and what its `generate` was called with. WanGP runs the
    high-noise model in the phases up to `model_switch_phase`, the low-noise model in the others;
    `loras_slists` holds each LoRA's multipliers, one or one a step, for each phase.
    """
    files = list((getattr(pipeline.model, "_loras_adapters", None) or {}).values())
    slists = kwargs.get("loras_slists") or {}
    count, switch = kwargs.get("guide_phases") or 1, kwargs.get("model_switch_phase") or 1
    try:
        phases = [slists[f"phase{number}"][: len(files)] for number in range(1, count + 1)]
    except (KeyError, TypeError):
        return []
    if any(len(phase) < len(files) for phase in phases):
        return []
    words = []
    for values in zip(*phases, strict=True):
        parts = [values[:switch], values[switch:]] if count > switch else [values]
        words.append(";".join(str(int(any(map(_is_on, part)))) for part in parts))
    two_models = getattr(pipeline, "model2", None) is not None
    model_type = kwargs.get("model_type") or ("i2v_2_2" if two_models else "i2v")
    return check_selection(files, " ".join(words), model_type)


def _is_on(multiplier: float | list[float]) -> bool:
    return any(multiplier) if isinstance(multiplier, list) else bool(multiplier)


def _fits(name: str, modules: Collection[str]) -> bool:
    key = keys.parse(name, modules)
    return key is not None and key.module in modules


def _number(name: str, tensor: torch.Tensor) -> float:
    if tensor.numel() != 1:
        raise UserError(f"{name} should be one number; the LoRA is damaged.")
    return float(tensor)


def _origin(sd: StateDict | None) -> tuple[Path | None, Mapping[str, str]]:
    """The file that mmgp read last, if it is the one `sd` is from, and that file's metadata.

    mmgp passes on neither, but its reader remembers both (mmgp/safetensors2.py, since 3.6 at
    least). Without them only the alpha in a PEFT configuration is lost.
    """
    try:
        from mmgp import safetensors2

        entry = safetensors2._cached_entry
        catalog: Mapping[str, Any] = entry.catalog
        if sd is not None and list(catalog) != list(sd):
            return None, {}
        path = Path(entry.file_path)
        metadata = {k: v for k, v in entry.metadata.items() if isinstance(v, str)}
    except (ImportError, AttributeError):
        return None, {}
    if sd is not None:
        _check_order(catalog, path)
    return path, metadata


def _check_order(catalog: Mapping[str, Any], path: Path) -> None:
    """mmgp's reader takes the tensors in the order of the header, whatever their offsets say."""
    place = 0
    for name, entry in catalog.items():
        if entry["data_offsets"][0] != place:
            raise UserError(
                f"{path.name} lists its tensors in another order than it stores them, and WanGP "
                f"would mix them up (the first: {name[:100]}). Convert it first: "
                "wan2gp-svi lora convert."
            )
        place = entry["data_offsets"][1]
