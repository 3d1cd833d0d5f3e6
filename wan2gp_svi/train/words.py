"""A fixed text encoder: the demo host's, tokens in context, padded. Nothing is trained."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from wan2gp_svi.demo.host.shared.text_encoder import TEXT_DIM, in_context, words_of

TEXT_LEN = 32


@functools.lru_cache(maxsize=1 << 16)
def encode(text: str) -> Tensor:
    """(TEXT_LEN, TEXT_DIM) of a text: a token a word, zeros behind them; no word is one token.

    Do not write into it: it is kept for the next call.
    """
    tokens = in_context(words_of(text, TEXT_LEN))
    return torch.cat([tokens, tokens.new_zeros(TEXT_LEN - len(tokens), TEXT_DIM)])


def encode_all(texts: list[str]) -> Tensor:
    """(B, TEXT_LEN, TEXT_DIM)."""
    return torch.stack([encode(text) for text in texts])
