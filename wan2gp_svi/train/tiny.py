"""A Wan of three million parameters: the layout, names and arithmetic of a Wan 2.2 i2v model.

36 channels in (16 of noise, 4 of mask, 16 of conditioning), 16 out, patches of 1x2x2, heads of 128
with 3D rotary positions, norms of queries and keys, cross-attention to the words, a feed-forward
part, six modulations a block from the time step. Its file loads in WanGP's `WanModel` (i2v2_2) and
gives the same there (tests/real_wangp/test_tiny_wan.py). Facts from Wan's technical report (arXiv
2503.20314) and Wan-Video/Wan2.2 wan/modules/model.py.

It differs from the model of the demo's host in what training asks for: nothing is done in place,
each sample of a batch has a time step of its own, and no prior stands beside it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wan2gp_svi.demo.host.models.wan.modules.vae import DECODE_WEIGHTS, ENCODE_WEIGHTS, WanVAE
from wan2gp_svi.train.words import TEXT_DIM, TEXT_LEN

CHANNELS, MASK = 16, 4
PATCH = (1, 2, 2)
EPS = 1e-6
HEAD = 128


@dataclass(frozen=True, slots=True)
class Size:
    """What a model is built with; written into its file, in the names of WanGP's `WanModel`."""

    dim: int = 256
    ffn_dim: int = 384
    num_heads: int = 2
    num_layers: int = 4
    freq_dim: int = 256
    text_dim: int = TEXT_DIM
    text_len: int = TEXT_LEN

    def config(self) -> dict[str, object]:
        """The arguments of WanGP's `WanModel`."""
        return {"model_type": "i2v2_2", "in_dim": 36, "out_dim": CHANNELS, **asdict(self)}


DEFAULT = Size()


@functools.lru_cache(maxsize=8)
def rotary_table(grid: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T*H*W, HEAD/2): 22 pairs for time, 21 each for height and width."""
    side = 2 * (HEAD // 6)
    angles = []
    for axis, dims in enumerate((HEAD - 2 * side, side, side)):
        frequency = 10000.0 ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
        shape = [1, 1, 1, dims // 2]
        shape[axis] = grid[axis]
        table = torch.arange(grid[axis], dtype=torch.float64)[:, None] * frequency
        angles.append(table.reshape(shape).expand(*grid, dims // 2))
    angle = torch.cat(angles, dim=-1).reshape(-1, HEAD // 2)
    return torch.cos(angle).float(), torch.sin(angle).float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of neighbours of x (B, L, heads, HEAD) by its token's angle."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(dim=-1)
    c, s = cos[:, None], sin[:, None]
    return torch.stack([a * c - b * s, a * s + b * c], dim=-1).flatten(-2).to(x.dtype)


def time_features(t: Tensor, dim: int) -> Tensor:
    """Cosines and sines (B, dim) of time steps t (B,) in 0..1000."""
    half = dim // 2
    frequency = 10000.0 ** (-torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angle = t.float()[:, None] * frequency
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + EPS) * self.weight).to(x.dtype)


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""softmax(q k^T) v of q (B, heads, L, HEAD) and k, v (B, heads, words, HEAD)."""


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention by its formula: for some hundred tokens on a CPU quicker than the fused one."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return torch.softmax(scores.float(), dim=-1).to(v.dtype) @ v


class Attention(nn.Module):
    """Four layers and two norms: Wan's self-attention and its cross-attention alike."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        attend: Attend = softmax_attention,
    ) -> Tensor:
        q = self.norm_q(self.q(x)).unflatten(2, (self.heads, HEAD))
        k = self.norm_k(self.k(context)).unflatten(2, (self.heads, HEAD))
        v = self.v(context).unflatten(2, (self.heads, HEAD))
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        out = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.o(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        dim = size.dim
        self.self_attn = Attention(dim, size.num_heads)
        self.cross_attn = Attention(dim, size.num_heads)
        self.norm3 = nn.LayerNorm(dim, eps=EPS)
        self.ffn = nn.Sequential(
            nn.Linear(dim, size.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(size.ffn_dim, dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(
        self,
        x: Tensor,
        e: Tensor,
        words: Tensor,
        rotary: tuple[Tensor, Tensor],
        attend: Attend = softmax_attention,
    ) -> Tensor:
        """x (B, L, dim); e (B, 6, dim): shift, scale, gate of self-attention, of the rest."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation + e).chunk(6, dim=1)
        seen = _norm(x) * (1 + scale1) + shift1
        x = x + self.self_attn(seen, seen, rotary) * gate1
        x = x + self.cross_attn(self.norm3(x), words, None, attend)
        return x + self.ffn(_norm(x) * (1 + scale2) + shift2) * gate2


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


class Head(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, CHANNELS * math.prod(PATCH))
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        shift, scale = (self.modulation + e[:, None]).chunk(2, dim=1)
        return self.head(_norm(x) * (1 + scale) + shift)


class TinyWan(nn.Module):
    """The velocity of latents. Its state's names are those of a Wan checkpoint."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        dim = size.dim
        self.patch_embedding = nn.Conv3d(CHANNELS * 2 + MASK, dim, PATCH, PATCH)
        self.text_embedding = nn.Sequential(
            nn.Linear(size.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(
            nn.Linear(size.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, dim * 6))
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.num_layers))
        self.head = Head(dim)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        words: Tensor,
        y: Tensor,
        attend: Attend = softmax_attention,
    ) -> Tensor:
        """Velocities (B, 16, T, h, w) of latents x at time steps t (B,), 1000 being pure noise.

        words: (B, text_len, text_dim); y: conditioning (B, 20, T, h, w), the mask in front;
        attend: what the cross-attention is done with.
        """
        frames, height, width = x.shape[2:]
        grid = (frames // PATCH[0], height // PATCH[1], width // PATCH[2])
        cos, sin = rotary_table(grid)
        rotary = (cos.to(x.device), sin.to(x.device))
        e = self.time_embedding(time_features(t, self.size.freq_dim))
        e6 = self.time_projection(e).unflatten(1, (6, self.size.dim))
        words = self.text_embedding(words)
        tokens = self._patches(torch.cat([x, y], dim=1), grid)
        for block in self.blocks:
            tokens = block(tokens, e6, words, rotary, attend)
        out = self.head(tokens, e).unflatten(1, grid).unflatten(-1, (*PATCH, CHANNELS))
        return out.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def _patches(self, x: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """`patch_embedding` as a matrix product, (B, L, dim): a CPU is quicker at it."""
        kernel = self.patch_embedding.weight.flatten(1)
        x = x.unflatten(4, (grid[2], 2)).unflatten(3, (grid[1], 2))
        x = x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)
        return F.linear(x, kernel, self.patch_embedding.bias)


def new_model(size: Size, seed: int) -> TinyWan:
    """A model to be trained, its weights drawn from a seed, the last layer zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = TinyWan(size)
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(model.patch_embedding.weight.flatten(1))
        nn.init.zeros_(model.get_parameter("patch_embedding.bias"))
        for layer in (*model.time_embedding, *model.text_embedding):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(model.head.head.weight)
    return model


# --- the demo's VAE, for batches -----------------------------------------------------------------

VAE = WanVAE()


def encode(videos: Tensor) -> Tensor:
    """Latents (B, 16, k+1, H/8, W/8) of videos (B, 3, 4k+1, H, W) in [-1, 1]; as `WanVAE.encode`.

    The encoder is linear and averages over time before anything else, so it is done for all.
    """
    groups = videos[:, :, 1:].unflatten(2, (-1, 4))
    weights = groups.new_tensor(ENCODE_WEIGHTS)[:, None, None]
    pictures = torch.cat([videos[:, :, :1], (groups * weights).sum(dim=3)], dim=2)
    z = VAE.transform.analyse(pictures.transpose(1, 2))
    return ((z - VAE.mean[:, None, None]) / VAE.std[:, None, None]).transpose(1, 2)


def decode(latents: Tensor) -> Tensor:
    """Videos (B, 3, 4k+1, 8h, 8w) in [-1, 1] of latents (B, 16, k+1, h, w); as `WanVAE.decode`."""
    z = latents.float().transpose(1, 2) * VAE.std[:, None, None] + VAE.mean[:, None, None]
    pictures = VAE.transform.synthesise(z).transpose(1, 2)
    weights = pictures.new_tensor(DECODE_WEIGHTS)[:, None, None]
    before, this = pictures[:, :, :-1, None], pictures[:, :, 1:, None]
    frames = ((1 - weights) * before + weights * this).flatten(2, 3)
    return torch.cat([pictures[:, :, :1], frames], dim=2).clamp(-1, 1)
