"""A fixed text encoder: every word is a number that its letters give, mixed with its neighbours'.

A trained encoder's token knows where it stands: "blue" in "turns blue" is not the "blue" of "over
blue stripes", and what follows "then" comes second. Here a token is its word's own embedding plus,
weaker, those of the words before and behind it (each turned its own way, so that the two differ)
and that of the number of its clause, counted by "then". Nothing is trained.
"""

from __future__ import annotations

import functools
import hashlib
import re

import torch
from torch import Tensor

TEXT_DIM, TEXT_LEN = 64, 32
NEIGHBOUR, CLAUSE = 0.5, 0.7
"""How much a token holds of each neighbour, and of its clause's number."""


@functools.lru_cache(maxsize=4096)
def _embedding(word: str) -> Tensor:
    """Normal numbers (TEXT_DIM,) from a generator that the word's SHA-256 seeds."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "big")
    return torch.randn(TEXT_DIM, generator=torch.Generator().manual_seed(seed))


@functools.lru_cache(maxsize=1 << 16)
def encode(text: str) -> Tensor:
    """(TEXT_LEN, TEXT_DIM) of a text: a token a word, zeros behind them; no word is one token.

    Do not write into it: it is kept for the next call.
    """
    words = (re.findall(r"\w+", text.lower()) or [""])[:TEXT_LEN]
    own = torch.stack([_embedding(word) for word in words])
    nothing = own.new_zeros(1, TEXT_DIM)
    before = torch.cat([nothing, own[:-1]]).roll(1, dims=1)
    behind = torch.cat([own[1:], nothing]).roll(-1, dims=1)
    clause, clauses = 0, []
    for word in words:
        clause += word == "then"
        clauses.append(_embedding(f"clause {clause}"))
    tokens = own + NEIGHBOUR * (before + behind) + CLAUSE * torch.stack(clauses)
    return torch.cat([tokens, tokens.new_zeros(TEXT_LEN - len(tokens), TEXT_DIM)])


def encode_all(texts: list[str]) -> Tensor:
    """(B, TEXT_LEN, TEXT_DIM)."""
    return torch.stack([encode(text) for text in texts])
