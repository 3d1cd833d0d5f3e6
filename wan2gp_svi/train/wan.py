"""Real Wan transformers, as diffusers keeps them: what a folder holds, and how its model is asked.

A model must be told what a chain hands over. Two layouts can be (C: channels of a latent):

    y behind x     2C + 4 channels in, C out: i2v 14B of Wan 2.1 and 2.2, and smaller models of that
                   layout. x and y go in along channels, one time step a sample. Wan 2.1 also hears
                   CLIP's features of the picture that it is shown
    in place       C channels in, C out: TI2V 5B of Wan 2.2; T2V 1.3B, for which it is new. What is
                   known stands in x, and each token has its latent's time step, 0 where it is known

A time step is 1000 sigma and the velocity e - z, as flow.py has them. Source: WanTransformer3DModel
and pipelines/wan/pipeline_wan_i2v.py of huggingface/diffusers (`expand_timesteps`: in place).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.modes import Mode
from wan2gp_svi.svi.vae import MASK_CHANNELS
from wan2gp_svi.train.recycling import Ask, Model, Sample, mode_of

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
TEXT_TOKENS = 512
"""Tokens of a text with the zeros behind it; where there is CLIP, diffusers counts on it."""
PATCH = 2
"""Cells of a latent that a token is wide and high."""
_FOLDERS = {"shared": "transformer", "high": "transformer", "low": "transformer_2"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A layout: channels of a latent; whether the model is told in place, and hears CLIP."""

    channels: int
    in_place: bool
    picture: bool


def config(folder: Path, part: str) -> dict[str, Any]:
    """The config.json of a part of a model's folder. `UserError` where there is none."""
    path = folder / part / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(
            f"{folder} is no model as diffusers keeps it: {part}/config.json is missing or damaged."
            " Download a repository of Wan-AI whose name ends in -Diffusers, and name its folder."
        ) from None


def kind_of(folder: Path) -> Kind:
    """The layout of a folder's model. `UserError` for one that cannot be told what SVI tells."""
    told = config(folder, "transformer")
    inputs, outputs = told.get("in_channels", 0), told.get("out_channels", 0)
    in_place = inputs == outputs
    if told.get("_class_name") != "WanTransformer3DModel" or (
        not in_place and inputs != 2 * outputs + MASK_CHANNELS
    ):
        raise UserError(
            f"The transformer of {folder} is no Wan that SVI can be trained for: it is"
            f" {told.get('_class_name')} with {inputs} channels in and {outputs} out."
        )
    if told.get("pos_embed_seq_len"):
        raise UserError(f"{folder} is a model for first and last frames; SVI has no last frame.")
    return Kind(outputs, in_place, told.get("image_dim") is not None)


def check_mode(kind: Kind, name: str) -> Mode:
    """The mode of a name. `UserError` if there is none, or this kind of model cannot have it."""
    mode = mode_of(name)
    if mode.skeleton or mode.sound:
        raise UserError(f"{mode.name} needs modules that diffusers' Wan does not have.")
    if kind.in_place and not mode.in_place:
        raise UserError(
            f"{mode.name} shows its model a picture behind the first frames, and this model is told"
            " first frames alone. The modes pro, film and tom are for it."
        )
    return mode


def experts(folder: Path) -> tuple[str, ...]:
    """The experts of a folder, in the order in which they are trained; one model is `shared`."""
    return ("low", "high") if (folder / _FOLDERS["low"]).is_dir() else ("shared",)


def load(folder: Path, expert: str) -> nn.Module:
    """The transformer of an expert, in bfloat16, made to spare memory in training."""
    from diffusers import WanTransformer3DModel

    config(folder, _FOLDERS[expert])
    model = WanTransformer3DModel.from_pretrained(
        folder / _FOLDERS[expert], torch_dtype=torch.bfloat16, local_files_only=True
    )
    model.enable_gradient_checkpointing()
    return model


def velocity(kind: Kind, no_words: Tensor) -> Ask:
    """How a model of a kind is asked; `no_words` (L, D): the embedding of an empty text."""

    def ask(
        model: Model,
        x: Tensor,
        t: Tensor,
        y: Tensor,
        samples: Sequence[Sample],
        told: Sequence[bool],
    ) -> Tensor:
        texts = [s.text if heard else no_words for s, heard in zip(samples, told, strict=True)]
        text = torch.stack([padded(each) for each in texts]).to(x.device)
        seen = [s.picture for s in samples if s.picture is not None]
        picture = torch.stack(seen).to(x.device) if kind.picture else None
        if kind.in_place:
            t = t.repeat_interleave((x.shape[3] // PATCH) * (x.shape[4] // PATCH), dim=1)
        else:
            x = torch.cat([x, y], dim=1)
        return model(x, t, text, picture, return_dict=False)[0]

    return ask


def padded(text: Tensor | str) -> Tensor:
    """A text's embedding (L, D) with zeros behind it (512, D), as diffusers' pipelines pad it."""
    assert isinstance(text, Tensor)  # a real Wan's samples bring embeddings
    return F.pad(text.float(), (0, 0, 0, TEXT_TOKENS - len(text)))
