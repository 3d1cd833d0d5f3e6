"""A chain of three windows with wan2gp_svi/svi/ alone: no WanGP, no weights.

    PYTHONPATH=. python docs/chain.py

Put your VAE into `encode` and `decode` and your denoising loop into `generate`; the rest stays.
"""

import torch
import torch.nn.functional as F

from wan2gp_svi.svi import carry
from wan2gp_svi.svi.vae import CHANNELS, STRIDE, VAE_STRIDE
from wan2gp_svi.svi.windows import Chain, Size, plan

mix = torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, generator=torch.Generator().manual_seed(0)))
TO_LATENT = mix.Q[:, :3]


def encode(video):  # (3, F, H, W), -1 to 1 -> (16, T, H/8, W/8): here just colours, of frame 4j
    return torch.einsum("cp,pthw->cthw", TO_LATENT, F.avg_pool3d(video[:, ::VAE_STRIDE], (1, 8, 8)))


def decode(latents):  # (16, T, h, w) -> (3, 4T-3, 8h, 8w)
    colours = torch.einsum("cp,cthw->pthw", TO_LATENT, latents)
    frames = colours.repeat_interleave(VAE_STRIDE, dim=1)[:, VAE_STRIDE - 1 :]
    return frames.repeat_interleave(STRIDE, dim=2).repeat_interleave(STRIDE, dim=3)


def generate(window, y, seed):  # y = [mask 4 | latents 16], noise of this window's own seed
    noise = torch.randn(y[4:].shape, generator=torch.Generator().manual_seed(seed))
    known = y[4:, 1:2] if window.motion_latents else y[4:, :1]
    return torch.cat([y[4:, :1], known + 0.1 * noise[:, 1:].cumsum(dim=1)], dim=1)


chain = Chain(Size(33), fps=16, seed=7)
image = torch.linspace(-1, 1, 64).expand(3, 1, 64, 64)
start = carry.Carry(chain)
steps = carry.run(plan(89, chain), start, generate, encode, decode, lambda number: image)
for window, _, frames in steps:
    print(f"window {window.index}: seed {window.seed}, {frames.shape[1]} new frames")
