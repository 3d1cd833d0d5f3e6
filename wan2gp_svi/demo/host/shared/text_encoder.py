"""Words as numbers: each word's hash seeds its embedding. No meaning, but always the same.

A trained encoder's token knows where it stands: "blue" in "turns blue" is not the "blue" of "over
blue stripes", and what follows "then" comes second. `in_context` adds that, weaker: the embeddings
of the words before and behind (each turned its own way, so that the two differ) and that of the
number of the clause, counted by "then". Trained models hear words so; nothing of it is trained.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence

import torch

TEXT_DIM, TEXT_LEN = 64, 64
NEIGHBOUR, CLAUSE = 0.5, 0.7
"""How much a token in context holds of each neighbour, and of its clause's number."""


@functools.lru_cache(maxsize=4096)
def embed(word: str) -> torch.Tensor:
    """The embedding (64,) of one word: normal numbers from a generator seeded by SHA-256."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "big")
    return torch.randn(TEXT_DIM, generator=torch.Generator().manual_seed(seed))


def words_of(text: str, most: int) -> list[str]:
    """Its first words, in lower case; of no words one empty word."""
    return (re.findall(r"\w+", text.lower()) or [""])[:most]


def in_context(words: Sequence[str]) -> torch.Tensor:
    """(words, 64): each with some of its neighbours and of its clause."""
    own = torch.stack([embed(word) for word in words])
    nothing = own.new_zeros(1, TEXT_DIM)
    before = torch.cat([nothing, own[:-1]]).roll(1, dims=1)
    behind = torch.cat([own[1:], nothing]).roll(-1, dims=1)
    clause, clauses = 0, []
    for word in words:
        clause += word == "then"
        clauses.append(embed(f"clause {clause}"))
    return own + NEIGHBOUR * (before + behind) + CLAUSE * torch.stack(clauses)


class TextEncoder:
    """Prompts -> one tensor (tokens, 64) each, 1 to TEXT_LEN tokens; what is more is dropped."""

    def __init__(self, context: bool = False) -> None:
        self.context = context

    def __call__(self, prompts: Sequence[str], device: object = None) -> list[torch.Tensor]:
        texts = [words_of(prompt, TEXT_LEN) for prompt in prompts]
        if self.context:
            return [in_context(words) for words in texts]
        return [torch.stack([embed(word) for word in words]) for words in texts]
