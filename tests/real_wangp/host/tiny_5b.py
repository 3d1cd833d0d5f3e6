"""Wan 2.2 5B made tiny: WanGP's own classes, 48 channels, a latent a sixteenth of the picture."""

import torch

from wan2gp_svi.selftest.tiny import randomise

TRANSFORMER = {"model_type": "ti2v2_2", "in_dim": 48, "out_dim": 48}


def give_vae(pipe, seed=13):
    """Put a small Wan2_2_VAE of seeded random weights into a tiny pipeline."""
    from models.wan.modules import vae2_2

    vae = object.__new__(vae2_2.Wan2_2_VAE)
    vae.dtype, vae.device = torch.float32, torch.device("cpu")
    generator = torch.Generator().manual_seed(seed)
    vae.scale = [torch.randn(48, generator=generator) / 4, torch.full((48,), 1.5)]
    model = vae2_2.WanVAE_(
        dim=16,
        dec_dim=16,
        z_dim=48,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        dropout=0.0,
    )
    randomise(model, seed)
    vae.model = model.float().eval().requires_grad_(False)
    vae.model._model_dtype = torch.float32
    vae.upsampling_set = None
    pipe.vae, pipe.vae_stride = vae, (4, 16, 16)
