"""Words as numbers: each word's hash seeds its embedding. No meaning, but always the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import torch

TEXT_DIM, TEXT_LEN = 64, 64


def embed(word: str) -> torch.Tensor:
    """The embedding (64,) of one word: normal numbers from a generator seeded by SHA-256."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "big")
    return torch.randn(TEXT_DIM, generator=torch.Generator().manual_seed(seed))


class TextEncoder:
    """Prompts -> one tensor (tokens, 64) each, 1 to TEXT_LEN tokens; what is more is dropped."""

    def __call__(self, prompts: Sequence[str], device: object = None) -> list[torch.Tensor]:
        return [
            torch.stack([embed(w) for w in (re.findall(r"\w+", p.lower()) or [""])[:TEXT_LEN]])
            for p in prompts
        ]
