"""The denoiser in miniature: a Wan-style transformer, trained, or with seeded weights on a prior.

36 channels come in (16 of noise, 4 of mask, 16 of conditioning), patches of 1x2x2 become tokens,
each block has self-attention with 3D rotary positions, cross-attention to the words and a
feed-forward part, all but the words modulated by the time step; 16 channels come out.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from shared.text_encoder import TEXT_DIM, TEXT_LEN
from torch import nn

from models.wan.modules.prior import GRAIN, prior, velocity
from models.wan.modules.vae import TERMS, WanVAE


def pay_attention(qkv_list: list[torch.Tensor]) -> torch.Tensor:
    """Scaled dot-product attention of [q, k, v], each (batch, tokens, heads, head_dim).

    Empties the list.
    """
    q, k, v = (x.transpose(1, 2) for x in qkv_list)
    qkv_list.clear()
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


@functools.lru_cache(maxsize=4)
def rotary_angles(grid: tuple[int, int, int], head_dim: int) -> torch.Tensor:
    """Angles (T*H*W, head_dim/2) of 3D rotary positions: a part of the pairs for each axis.

    Of the head's dimensions a third each (rounded down to even numbers) belong to height and width,
    the rest to time, with frequencies 10000^(-i/n) within each part, as in Wan.
    """
    side = 2 * (head_dim // 6)
    angles = []
    for axis, dims in enumerate((head_dim - 2 * side, side, side)):
        frequency = 10000.0 ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
        shape = [1, 1, 1, dims // 2]
        shape[axis] = grid[axis]
        table = torch.arange(grid[axis], dtype=torch.float64)[:, None] * frequency
        angles.append(table.reshape(shape).expand(*grid, dims // 2))
    return torch.cat(angles, dim=-1).reshape(-1, head_dim // 2)


def rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn each pair of dimensions of x (batch, tokens, heads, head_dim) by its token's angle."""
    cos, sin = (f(angles).to(x.dtype)[None, :, None, :] for f in (torch.cos, torch.sin))
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


def smooth(push: torch.Tensor, width: int = 7) -> torch.Tensor:
    """Average over width x width latents of each frame, twice: clouds in place of a mosaic."""
    frames = push.transpose(1, 2).flatten(0, 1)
    for _ in range(2):
        frames = F.avg_pool2d(frames, width, 1, width // 2, count_include_pad=False)
    return frames.unflatten(0, (len(push), -1)).transpose(1, 2)


def time_features(t: torch.Tensor, dim: int) -> torch.Tensor:
    """Sinusoids of time steps t (batch,) in 0..1000: (batch, dim)."""
    half = dim // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = t.double()[:, None] * frequency
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1).float()


class WanRMSNorm(nn.Module):
    """Root-mean-square norm over the last dimension; works in place, as its callers count on."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor, in_place: bool = True) -> torch.Tensor:
        scale = torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + self.eps) * self.weight
        return x.mul_(scale) if in_place else x * scale


class WanSelfAttention(nn.Module):
    """Attention among tokens; cross-attention to text shares its four linear layers."""

    def __init__(self, dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.dim, self.num_heads, self.head_dim = dim, num_heads, dim // num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = WanRMSNorm(dim, eps), WanRMSNorm(dim, eps)

    def text_cross_attention(
        self, xlist: list[torch.Tensor], context: torch.Tensor, return_q: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Tokens [x (batch, L, dim)] look at the words `context` (batch, words, dim).

        Empties `xlist`. Returns (batch, L, dim), before the output layer, and the queries if asked.
        """
        x = xlist.pop()
        heads = (-1, self.num_heads, self.head_dim)
        q, k = self.norm_q(self.q(x)).unflatten(2, heads[1:]), self.norm_k(self.k(context))
        k, v = k.unflatten(2, heads[1:]), self.v(context).unflatten(2, heads[1:])
        out = pay_attention([q, k, v]).flatten(2)
        return out, (q if return_q else None)

    def forward(
        self, xlist: list[torch.Tensor], grid_sizes: tuple[int, int, int], freqs: torch.Tensor
    ) -> torch.Tensor:
        x = xlist.pop()
        shape = (self.num_heads, self.head_dim)
        q = rotate(self.norm_q(self.q(x)).unflatten(2, shape), freqs)
        k = rotate(self.norm_k(self.k(x)).unflatten(2, shape), freqs)
        v = self.v(x).unflatten(2, shape)
        return self.o(pay_attention([q, k, v]).flatten(2))


class WanT2VCrossAttention(WanSelfAttention):
    """Cross-attention to the words alone, as in Wan 2.2 image-to-video (no CLIP tokens)."""

    def forward(  # type: ignore[override]
        self, xlist: list[torch.Tensor], context: torch.Tensor, grid_sizes: tuple[int, int, int]
    ) -> torch.Tensor:
        x, _ = self.text_cross_attention(xlist, context)
        return self.o(x)


class WanAttentionBlock(nn.Module):
    """Self-attention, cross-attention, feed-forward; the time step scales and shifts 1 and 3."""

    def __init__(self, dim: int, ffn_dim: int, num_heads: int, eps: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = (
            nn.LayerNorm(dim, eps, elementwise_affine=False) for _ in range(2)
        )
        self.norm3 = nn.LayerNorm(dim, eps)
        self.self_attn = WanSelfAttention(dim, num_heads, eps)
        self.cross_attn = WanT2VCrossAttention(dim, num_heads, eps)
        self.ffn = nn.Sequential(
            nn.Linear(dim, ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(ffn_dim, dim)
        )
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim))

    def forward(
        self,
        x: torch.Tensor,
        e: torch.Tensor,
        context: torch.Tensor,
        grid_sizes: tuple[int, int, int],
        freqs: torch.Tensor,
    ) -> torch.Tensor:
        """x (batch, L, dim); e (batch, 6, dim): shift, scale, gate of attention, of the rest."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation + e).chunk(6, dim=1)
        seen = self.norm1(x) * (1 + scale1) + shift1
        x = x + self.self_attn([seen], grid_sizes, freqs) * gate1
        x = x + self.cross_attn([self.norm3(x)], context, grid_sizes)
        return x + self.ffn(self.norm2(x) * (1 + scale2) + shift2) * gate2


class Head(nn.Module):
    """Tokens back to patches of latents."""

    def __init__(self, dim: int, out_dim: int, patch: tuple[int, int, int], eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.head = nn.Linear(dim, out_dim * math.prod(patch))
        self.modulation = nn.Parameter(torch.zeros(1, 2, dim))

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        shift, scale = (self.modulation + e[:, None]).chunk(2, dim=1)
        return self.head(self.norm(x) * (1 + scale) + shift)


class WanModel(nn.Module):
    """Predicts the velocity of latents. Two of these make a pipeline: of different seeds, or with
    the weights of files (`trained_model`), which need no prior."""

    def __init__(
        self,
        seed: int | None,
        model_type: str = "i2v2_2",
        patch_size: tuple[int, int, int] = (1, 2, 2),
        text_len: int = TEXT_LEN,
        in_dim: int = 36,
        out_dim: int = 16,
        dim: int = 96,
        ffn_dim: int = 192,
        freq_dim: int = 64,
        text_dim: int = TEXT_DIM,
        num_heads: int = 2,
        num_layers: int = 2,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.model_type, self.patch_size, self.text_len = model_type, patch_size, text_len
        self.in_dim, self.out_dim, self.dim, self.freq_dim = in_dim, out_dim, dim, freq_dim
        self.num_heads, self.num_layers = num_heads, num_layers
        self.patch_embedding = nn.Conv3d(in_dim, dim, kernel_size=patch_size, stride=patch_size)
        self.text_embedding = nn.Sequential(
            nn.Linear(text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(
            nn.Linear(freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim * 6))
        self.blocks = nn.ModuleList(
            WanAttentionBlock(dim, ffn_dim, num_heads, eps) for _ in range(num_layers)
        )
        self.head = Head(dim, out_dim, patch_size, eps)
        self.vae = WanVAE()  # what the prior measures motion with; holds no parameters
        self.register_buffer("strength", self._strength(), persistent=False)
        self.trained = seed is None
        if seed is not None:
            self._seed_weights(seed)
        self.eval().requires_grad_(False)

    @staticmethod
    def _strength() -> torch.Tensor:
        """How far the transformer may move each channel: the hues most, fine detail least."""
        of = (0.3, 1.3, 1.3)
        return torch.tensor([of[c] / (1 + 4 * (v + h)) for c, v, h in TERMS])[:, None, None, None]

    def _seed_weights(self, seed: int) -> None:
        """Weights that keep variance, biases of 0, in a fixed order from one seed."""
        generator = torch.Generator().manual_seed(seed)
        for name, p in sorted(self.named_parameters()):
            if p.dim() < 2:
                nn.init.constant_(p, 0.0 if name.endswith("bias") else 1.0)
            elif "modulation" in name:
                p.data = 0.1 * torch.randn(p.shape, generator=generator)
            else:
                p.data = torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5
        for block in self.blocks:  # words speak up: a prompt is to be seen in the picture
            block.cross_attn.v.weight.data *= 10  # type: ignore[union-attr, operator]
        # The four latents of a patch get nearly the same push: no chequered pattern.
        rows = self.head.head.weight.data.unflatten(0, (-1, self.out_dim))
        self.head.head.weight.data = (0.25 * rows + 0.75 * rows.mean(0, keepdim=True) * 2).flatten(
            0, 1
        )

    def preprocess_loras(
        self, base_model_type: str, sd: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """LoRA tensors under the names this model knows: `diffusion_model.` and bare ones."""
        return {name.removeprefix("diffusion_model."): tensor for name, tensor in sd.items()}

    def unpatchify(self, x: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        """(batch, T*H*W, 4*out) -> (batch, out, T, 2H, 2W)."""
        x = x.unflatten(1, grid).unflatten(-1, (*self.patch_size, self.out_dim))
        x = x.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def forward(
        self,
        x: list[torch.Tensor],
        t: torch.Tensor,
        context: list[torch.Tensor],
        y: torch.Tensor | None = None,
        freqs: torch.Tensor | None = None,
        **_unused: object,
    ) -> list[torch.Tensor]:
        """The velocity for each stream (one with the prompt, one without, or one of them).

        x: latents [(batch, 16, T, h, w)]; t: the time step (1,), 1000 pure noise; context: words
        [(batch, text_len, text_dim)]; y: conditioning (20, T, h, w).
        """
        if y is None:
            raise ValueError("an image-to-video model needs conditioning y")
        grid = tuple(
            size // patch for size, patch in zip(x[0].shape[2:], self.patch_size, strict=True)
        )
        if freqs is None:
            freqs = rotary_angles(grid, self.dim // self.num_heads)  # type: ignore[arg-type]
        e = self.time_embedding(time_features(t, self.freq_dim))
        e6 = self.time_projection(e).unflatten(1, (6, self.dim))
        out = []
        for latents, words in zip(x, context, strict=True):
            words = self.text_embedding(words)
            tokens = self.patch_embedding(
                torch.cat([latents, y[None].expand(len(latents), -1, -1, -1, -1)], dim=1)
            )
            tokens = tokens.flatten(2).transpose(1, 2)
            for block in self.blocks:
                tokens = block(tokens, e6, words, grid, freqs)
            made = self.unpatchify(self.head(tokens, e), grid)  # type: ignore[arg-type]
            out.append(made if self.trained else self._on_prior(made, latents, t, y))
        return out

    def _on_prior(
        self, made: torch.Tensor, latents: torch.Tensor, t: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        """The velocity where what the transformer made only moves the prior's mean."""
        mean, freedom = prior(y, self.vae)
        freedom = freedom[None, None, :, None, None]
        shifted = mean + freedom * self.strength * smooth(torch.tanh(made))
        return velocity(latents, float(t.flatten()[0]) / 1000, shifted, GRAIN * freedom)


def trained_model(path: Path) -> WanModel:
    """A model whose sizes and weights are a file's (`train base` writes them)."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    model = WanModel(None, eps=1e-6, **config)
    model.load_state_dict(tensors)
    return model
