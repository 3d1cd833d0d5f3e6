"""The pipeline: words, conditioning, noise, denoising by two models, pictures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from shared.flow_match import euler_step, sigmas
from shared.loras import load_loras_into_model, parse_multipliers
from shared.text_encoder import TextEncoder

from models.wan.modules.model import WanModel, trained_model
from models.wan.modules.vae import STRIDE, WanVAE

WEIGHTS = Path("ckpts")
"""A folder with high.safetensors and low.safetensors; without it weights are seeded."""
HIGH_NOISE_SEED, LOW_NOISE_SEED = 2101, 2115  # of 26 tried, the one with the least colour cast


class WanAny2V:
    """One high-noise and one low-noise model, the autoencoder and the text encoder."""

    def __init__(self, model_def: dict) -> None:
        self.model_def = model_def
        self.device, self.dtype, self.VAE_dtype = torch.device("cpu"), torch.float32, torch.float32
        self.vae, self.vae_stride, self.patch_size = WanVAE(), STRIDE, (1, 2, 2)
        trained = WEIGHTS.is_dir()
        if trained:
            self.model, self.model2 = (
                trained_model(WEIGHTS / f"{noise}.safetensors") for noise in ("high", "low")
            )
        else:
            self.model, self.model2 = WanModel(HIGH_NOISE_SEED), WanModel(LOW_NOISE_SEED)
        self.text_encoder, self.text_encoder_cache = TextEncoder(trained), None
        self.num_timesteps = 1000
        self._interrupt = False

    def set_loras(self, files: list[Path], multipliers: str, base_model_type: str) -> None:
        """Load LoRAs, "high;low" strengths, in place of the ones before."""
        strengths = parse_multipliers(multipliers, len(files))
        load_loras_into_model(self.model, files, [s[0] for s in strengths], base_model_type)
        load_loras_into_model(self.model2, files, [s[1] for s in strengths], base_model_type)

    def encode_prompt(self, prompt: str) -> torch.Tensor:
        """(1, text_len, 64): the words, then zeros."""
        words = self.text_encoder([prompt], self.device)[0][: self.model.text_len].to(self.dtype)
        padding = words.new_zeros(self.model.text_len - len(words), words.shape[1])
        return torch.cat([words, padding])[None]

    def i2v_mask(self, frames: int, known: int, height: int, width: int) -> torch.Tensor:
        """(4, T, h, w): 1 where a frame is known; frame 0 fills all channels of latent 0."""
        mask = torch.zeros(frames + 3)
        mask[: known + 3] = 1
        return mask.view(-1, 4).T[:, :, None, None].repeat(1, 1, height, width)

    def generate(
        self,
        input_prompt: str,
        input_ref_images: list | None = None,
        input_video: torch.Tensor | None = None,
        image_start: torch.Tensor | None = None,
        image_end: torch.Tensor | None = None,
        width: int = 256,
        height: int = 256,
        frame_num: int = 81,
        batch_size: int = 1,
        shift: float = 5.0,
        sampling_steps: int = 50,
        guide_scale: float = 5.0,
        guide2_scale: float = 5.0,
        switch_threshold: float = 0,
        n_prompt: str = "",
        seed: int = -1,
        callback: Callable | None = None,
        overlapped_latents: torch.Tensor | None = None,
        return_latent_slice: slice | None = None,
        overlap_size: int = 0,
        model_type: str | None = None,
        color_correction_strength: float = 0,
        prefix_frames_count: int = 0,
        window_no: int = 0,
        pre_video_frame: object = None,
        prefix_video: torch.Tensor | None = None,
        video_prompt_type: str = "",
        motion_amplitude: float = 1.0,
        window_start_frame_no: int = 0,
        custom_settings: dict | None = None,
        fps: float = 16,
        **_others: object,
    ) -> dict | None:
        """One window: {"x": uint8 (3, frame_num, H, W), "latent_slice": (1, 16, n, h, w) or None}.

        `input_video` (3, n, H, W) in [-1, 1] holds the known first frames. None when interrupted.
        """
        model_def = self.model_def
        context, context_null = self.encode_prompt(input_prompt), self.encode_prompt(n_prompt)
        kwargs: dict = {}
        extended_overlapped_latents = None
        if input_video is not None:
            height, width = input_video.shape[-2:]
        lat_frames = (frame_num - 1) // STRIDE[0] + 1
        lat_h, lat_w = height // STRIDE[1], width // STRIDE[2]

        if model_def.get("i2v_class", False):
            if input_video is None:
                input_video = torch.full((3, 1, height, width), -1.0)
            known = input_video.shape[1]
            padding = torch.zeros(3, frame_num - known, height, width)
            if image_end is not None:
                padding[:, -1] = image_end
            enc = torch.cat([input_video.float(), padding], dim=1)
            msk = self.i2v_mask(frame_num, known, lat_h, lat_w)
            if image_end is not None:
                msk[:, -1] = 1
            lat_y = self.vae.encode([enc])[0]
            y = torch.concat([msk, lat_y])
            extended_overlapped_latents = lat_y[None, :, : (known - 1) // STRIDE[0] + 1].clone()
            kwargs.update({"y": y})

        generator = torch.Generator(self.device).manual_seed(seed)
        shape = (batch_size, 16, lat_frames, lat_h, lat_w)
        latents = torch.randn(shape, generator=generator)
        noise = latents.clone() if extended_overlapped_latents is not None else None
        levels = sigmas(sampling_steps, shift).tolist()
        if callback is not None:
            callback(-1, None)
        for step, (sigma, sigma_next) in enumerate(pairwise(levels)):
            high = self.model2 is None or sigma * 1000 > switch_threshold
            trans, scale = (self.model, guide_scale) if high else (self.model2, guide2_scale)
            if extended_overlapped_latents is not None:
                kept = extended_overlapped_latents.shape[2]
                latents[:, :, :kept] = (1 - sigma) * extended_overlapped_latents
                latents[:, :, :kept] += sigma * noise[:, :, :kept]  # type: ignore[index]
            t = torch.tensor([sigma * 1000])
            velocity = trans(x=[latents], context=[context], t=t, x_id=0, **kwargs)[0]
            if scale > 1:
                without = trans(x=[latents], context=[context_null], t=t, x_id=1, **kwargs)[0]
                velocity = without + scale * (velocity - without)
            if self._interrupt:
                return None
            latents = euler_step(latents, velocity, sigma, sigma_next)
            if callback is not None:
                callback(step, latents[0])
        if extended_overlapped_latents is not None:
            latents[:, :, : extended_overlapped_latents.shape[2]] = extended_overlapped_latents

        latent_slice = None
        if return_latent_slice is not None:
            latent_slice = latents[:, :, return_latent_slice].clone()
        x0 = latents.unbind(dim=0)
        videos = self.vae.decode_to_cpu_uint8(list(x0))
        return {"x": videos[0], "latent_slice": latent_slice}
