"""Small Wans of diffusers' own classes, randomly filled, in the folders that diffusers keeps."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedTokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

from wan2gp_svi.train import world

TEXT_DIM, PICTURE_DIM = 64, 32
# kind -> (channels in, channels of a latent, hears CLIP, experts, pixels of a cell of a latent)
KINDS = {
    "i2v-2.2": (36, 16, False, 2, 8),
    "i2v-2.1": (36, 16, True, 1, 8),
    "ti2v-5b": (48, 48, False, 1, 16),
    "t2v-1.3b": (16, 16, False, 1, 8),
}


def fill(module: torch.nn.Module, seed: int) -> None:
    """Seeded numbers of a size that keeps signals alive, in every parameter."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(module.named_parameters()):
        numbers = torch.randn(p.shape, generator=generator)
        plain = p.dim() < 2 or "norm" in name or "scale_shift" in name
        p.data = (numbers * 0.02 + ("norm" in name) if plain else numbers / p[0].numel() ** 0.5).to(
            p.dtype
        )


def transformer(kind: str, seed: int = 1, **size: int) -> WanTransformer3DModel:
    inputs, channels, picture, _, _ = KINDS[kind]
    shape = {"num_attention_heads": 2, "ffn_dim": 256, "num_layers": 2, "freq_dim": 64, **size}
    model = WanTransformer3DModel(
        in_channels=inputs,
        out_channels=channels,
        attention_head_dim=128,
        text_dim=TEXT_DIM,
        image_dim=PICTURE_DIM if picture else None,
        added_kv_proj_dim=256 if picture else None,
        **shape,
    )
    fill(model, seed)
    return model


def vae(kind: str) -> AutoencoderKLWan:
    channels, pixels = KINDS[kind][1], KINDS[kind][4]
    wide = {
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_spatial": 16,
    }
    generator = torch.Generator().manual_seed(7)
    made = AutoencoderKLWan(
        base_dim=4,
        z_dim=channels,
        num_res_blocks=1,
        latents_mean=torch.randn(channels, generator=generator).tolist(),
        latents_std=(0.5 + torch.rand(channels, generator=generator)).tolist(),
        **(wide if pixels == 16 else {}),
    )
    fill(made, 7)
    return made


def tokenizer() -> PreTrainedTokenizerFast:
    names = ["<pad>", "</s>", "<unk>", *world.COLOURS, *world.SHAPES, "moves", "left", "over"]
    made = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def save(folder: Path, kind: str) -> Path:
    """A whole model's folder."""
    experts, picture = KINDS[kind][3], KINDS[kind][2]
    for seed, part in enumerate(("transformer", "transformer_2")[:experts], start=1):
        transformer(kind, seed).save_pretrained(folder / part)
    vae(kind).save_pretrained(folder / "vae")
    text = UMT5EncoderModel(
        UMT5Config(vocab_size=64, d_model=TEXT_DIM, d_kv=8, d_ff=64, num_layers=1, num_heads=2)
    )
    fill(text, 3)
    text.save_pretrained(folder / "text_encoder")
    tokenizer().save_pretrained(folder / "tokenizer")
    if picture:
        clip = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=PICTURE_DIM,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=28,
                patch_size=14,
            )
        )
        fill(clip, 4)
        clip.save_pretrained(folder / "image_encoder")
    return folder


def clips(folder: Path, lengths: dict[str, int], fps: int = 16, width: int = 80) -> Path:
    """Captioned clips of the small world, `width` x 64; `lengths`: name -> frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, count) in enumerate(lengths.items()):
        told = world.tell(world.random_clip(np.random.default_rng(number), count))
        video = world.draw([told.scene], told.rows[None], width)[0, :, :, :64]
        frames = ((video + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy()
        with av.open(str(folder / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=fps, options={"crf": "12"})
            stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
            for frame in frames:
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame)))
                )
            container.mux(stream.encode())
        (folder / f"{name}.txt").write_text(told.words() + "\n")
    return folder
