"""Words as numbers: each word's hash seeds its embedding. No meaning, but always the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import torch

TEXT_DIM = 64


def embed(word: str) -> torch.Tensor:
    """The embedding (64,) of one word or mark: normal numbers from a generator seeded by SHA-256."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "big")
    return torch.randn(TEXT_DIM, generator=torch.Generator().manual_seed(seed))


class TextEncoder:
    """Prompts -> one tensor (tokens, 64) each, at least one token."""

    def __call__(self, prompts: Sequence[str], device: object = None) -> list[torch.Tensor]:
        return [
            torch.stack([embed(w) for w in re.findall(r"\w+|[^\w\s]", p.lower()) or [""]])
            for p in prompts
        ]
