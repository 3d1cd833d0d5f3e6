"""What a Wan hears and sees through: its text encoder, its VAE, and CLIP, as diffusers keeps them.

VAE and CLIP run in float32, as the SVI authors run them, and untiled: a VAE in bfloat16 with tiles
leaves errors in still backgrounds that this training never meets.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wan2gp_svi.train.wan import TEXT_TOKENS, config

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""What CLIP's pictures are normalised with (openai/CLIP clip/clip.py)."""


def text_encoder(folder: Path, device: torch.device) -> Callable[[str], Tensor]:
    """Words -> their embedding (L, D), L at most 512, bfloat16."""
    from transformers import AutoTokenizer, UMT5EncoderModel

    config(folder, "text_encoder")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    model: Any = UMT5EncoderModel.from_pretrained(
        folder / "text_encoder", dtype=torch.bfloat16, local_files_only=True
    )
    model.to(device).eval()

    @torch.no_grad()
    def encode(text: str) -> Tensor:
        tokens = tokenizer(text, truncation=True, max_length=TEXT_TOKENS, return_tensors="pt")
        asked = tokens.input_ids.to(device), tokens.attention_mask.to(device)
        return model(*asked).last_hidden_state[0].cpu()

    return encode


def vae_encoder(folder: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A video (3, 4k+1, H, W) in -1..1 -> its normalised latents (C, k+1, h, w)."""
    from diffusers import AutoencoderKLWan

    config(folder, "vae")
    vae: Any = AutoencoderKLWan.from_pretrained(
        folder / "vae", torch_dtype=torch.float32, local_files_only=True
    )
    vae.to(device).eval()
    mean, std = (
        torch.tensor(vae.config[name], device=device).view(-1, 1, 1, 1)
        for name in ("latents_mean", "latents_std")
    )

    @torch.no_grad()
    def encode(video: Tensor) -> Tensor:
        z = vae.encode(video[None].to(device)).latent_dist.mode()[0]
        return ((z - mean) / std).cpu()

    return encode


def stride(folder: Path) -> int:
    """Pixels that a cell of the VAE's latents is wide and high."""
    return int(config(folder, "vae").get("scale_factor_spatial", 8))


def clip_encoder(folder: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A picture (3, 1, H, W) in -1..1 -> CLIP's features (tokens, D), of the last layer but one.

    The picture is squeezed into CLIP's square, not cut, as in Wan's own code (wan/modules/clip.py).
    """
    from transformers import CLIPVisionModel

    config(folder, "image_encoder")
    model: Any = CLIPVisionModel.from_pretrained(
        folder / "image_encoder", dtype=torch.float32, local_files_only=True
    )
    model.to(device).eval()
    side = model.config.image_size
    mean, std = (torch.tensor(n, device=device).view(3, 1, 1) for n in (CLIP_MEAN, CLIP_STD))

    @torch.no_grad()
    def encode(picture: Tensor) -> Tensor:
        seen = picture[:, 0][None].to(device)
        small = F.interpolate(seen, size=(side, side), mode="bicubic", align_corners=False)
        asked = (small / 2 + 0.5 - mean) / std
        return model(asked, output_hidden_states=True).hidden_states[-2][0].cpu()

    return encode
