"""What timed prompts cost one block's text cross-attention, at Wan 14B's real shapes.

    python benchmarks/timed_prompts.py [--parts 4] [--words 60] [--rounds 5] [--wangp DIR]

Compared in one run, in an order drawn anew each round: the attention as it is, with one text of
512 tokens; split by latent frame for `--parts` texts of `--words` tokens each; and with the penalty
of Prompt Relay on the scores of one joint text, which is a mask and leaves only sdpa. The weights
are random, which changes no time. `--wangp` measures WanGP's own class, else one in its shape.
CPU seconds of one thread are counted, as a loaded machine disturbs them least; on a GPU, time.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from wan2gp_svi.wangp import timed_prompts

TEXT_LEN = 512


class RMSNorm(nn.Module):
    """In place, as WanGP's."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        x *= x.float().pow(2).mean(-1, keepdim=True).add_(1e-6).rsqrt_()
        x *= self.weight
        return x


class WanSelfAttention(nn.Module):
    """Cross-attention in the shape that the bridge wraps."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(dim), RMSNorm(dim)

    def text_cross_attention(
        self, xlist: list[Tensor], context: Tensor, return_q: bool = False, mask: Any = None
    ) -> tuple[Tensor, Tensor | None]:
        heads = (self.num_heads, self.head_dim)
        q = self.q(xlist.pop())
        k = self.k(context)
        self.norm_q(q)
        self.norm_k(k)
        q, k, v = (t.unflatten(2, heads).transpose(1, 2) for t in (q, k, self.v(context)))
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        return out, q.transpose(1, 2) if return_q else None

    def forward(self, xlist: list[Tensor], context: Tensor, _grid: Any) -> Tensor:
        return self.o(self.text_cross_attention(xlist, context)[0])


class WanModel:
    """Only to be wrapped."""

    def forward(self) -> None: ...


def wangps_own(folder: str, dim: int, heads: int) -> nn.Module:
    """WanGP's cross-attention of Wan 2.2, with the bridge attached to its module."""
    sys.path.insert(0, str(Path(folder).resolve()))
    from mmgp import offload
    from models.wan.modules import model

    offload.shared_state["_attention"] = "sdpa"
    timed_prompts.attach(vars(model))
    return model.WanT2VCrossAttention(dim, heads)


SIGMA = 1 / math.log(1 / 1e-3)
"""Of Prompt Relay, in latents."""


def penalty_past(distance: Tensor) -> Tensor:
    """Prompt Relay's C at a distance past w, in latents."""
    return distance.clamp(min=0) ** 2 / (2 * SIGMA**2)


def relay_penalties(borders: list[int]) -> Tensor:
    """Prompt Relay's C, (parts, T), float32, for parts between these borders."""
    latents = torch.arange(borders[-1], dtype=torch.float32)
    rows = []
    for first, stop in pairwise(borders):
        middle, reach = (first + stop - 1) / 2, max((stop - first) / 2 - 2, 0)
        rows.append(penalty_past((latents - middle).abs() - reach))
    return torch.stack(rows)


def steered(borders: list[int]) -> int:
    """Latents that keep more than a hundredth of their part's weight, exp(-C), in Prompt Relay."""
    weights = torch.exp(-relay_penalties(borders))
    return sum(
        int((weights[part, first:stop] > 0.01).sum())
        for part, (first, stop) in enumerate(pairwise(borders))
    )


def relay_mask(borders: list[int], patches: int, words: int, like: Tensor) -> Tensor:
    """-C of Prompt Relay, (T*P, 512): part s has the tokens s*words.. of the joint text."""
    mask = torch.zeros(borders[-1], TEXT_LEN)
    for part, penalty in enumerate(relay_penalties(borders)):
        mask[:, part * words : (part + 1) * words] = -penalty[:, None]
    return mask.repeat_interleave(patches, 0).to(like)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--words", type=int, default=60, help="tokens of each part's whole text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latents", type=int, default=21)
    parser.add_argument("--patches", type=int, default=30 * 52)
    parser.add_argument("--dim", type=int, default=5120)
    parser.add_argument("--heads", type=int, default=40)
    parser.add_argument("--wangp", metavar="DIR")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.bfloat16)

    timed_prompts.attach({"WanModel": WanModel, "WanSelfAttention": WanSelfAttention})
    own = WanSelfAttention(args.dim, args.heads)
    used: Any = wangps_own(args.wangp, args.dim, args.heads) if args.wangp else own
    own, used = (module.to(device).requires_grad_(False) for module in (own, used))
    x = torch.randn(1, args.latents * args.patches, args.dim, device=device)
    texts = torch.randn(args.parts, TEXT_LEN, args.dim, device=device)
    texts[:, args.words :] = texts[0, -1]  # padding: the same vector throughout
    borders = [round(part * args.latents / args.parts) for part in range(args.parts + 1)]
    spans = tuple(pairwise(borders))
    state = timed_prompts.Timed(texts[..., :1], (args.words,) * args.parts, spans)
    mask = relay_mask(borders, args.patches, min(args.words, TEXT_LEN // args.parts), x)

    def plain() -> Tensor:
        return used([x.clone()], texts[:1], None)

    def split() -> Tensor:
        timed_prompts._pass = timed_prompts._Pass(state, may_overwrite=True)
        try:
            return used([x.clone()], texts, None)
        finally:
            timed_prompts._pass = None

    def penalty() -> Tensor:
        heads = (own.num_heads, own.head_dim)
        q, k = own.norm_q(own.q(x.clone())), own.norm_k(own.k(texts[:1]))
        q, k, v = (t.unflatten(2, heads).transpose(1, 2) for t in (q, k, own.v(texts[:1])))
        out = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return own.o(out.transpose(1, 2).flatten(2))

    def seconds(work: Callable[[], Tensor]) -> float:
        if device == "cpu":
            began = time.process_time()
            work()
            return time.process_time() - began
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - began

    ways = {"plain": plain, "split": split, "penalty": penalty}
    took: dict[str, list[float]] = {name: [] for name in ways}
    with torch.no_grad():
        for round_ in range(args.rounds + 1):  # the first one warms up
            for name in random.sample(list(ways), len(ways)):
                spent = seconds(ways[name])
                if round_:
                    took[name].append(spent)
    unit = "CPU seconds" if device == "cpu" else "seconds"
    shape = f"{args.latents} x {args.patches} queries, dim {args.dim}, {args.heads} heads"
    print(f"{shape}, {args.parts} parts of {args.words} tokens in {TEXT_LEN}, bf16, {device}")
    base = statistics.median(took["plain"])
    for name, times in took.items():
        median = statistics.median(times)
        print(
            f"{name:>8}: {median:7.3f} {unit} (median of {len(times)},"
            f" {min(times):.3f}-{max(times):.3f}), {100 * (median / base - 1):+.1f} %"
        )
    half, one = torch.exp(-penalty_past(torch.tensor([0.5, 1.0], dtype=torch.float64))).tolist()
    print(
        f"Prompt Relay: weight {half:.2g} half a latent past w, {one:.1g} one latent past;"
        f" {steered(borders)} of {args.latents} latents keep more than a hundredth"
    )


if __name__ == "__main__":
    main()
