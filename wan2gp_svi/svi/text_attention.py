"""Timed prompts act: the queries of each latent frame attend to the words that hold at its time.

Cross-attention has one query for every patch of every latent frame. The queries are split by
latent frame into the segments of the schedule (`schedule.schedule`), and each group attends to the
text of its own segment: softmax(Q_s K_s^T / sqrt(d)) V_s. There is no mask, so any attention
function serves (sdpa, flash, sage, xformers), and the scores that are computed are as many as
without timed parts. Only the conditional pass is split, the negative prompt stays whole.

Each segment's text is encoded alone, as the prompt that the model would get if the whole window
were under these words ("outside text + part"), with the text encoder's own padding. What speaks
for that, against one encoding of the whole prompt whose tokens are handed out to the segments:

- The encoder (umT5) is bidirectional: in a joint encoding the tokens of one part already hold
  what the other parts say, so no split of the tokens can keep a part out of the others' frames.
- Wan's cross-attention does not mask the padding: of 512 tokens those behind the words are all
  alike and take part in the softmax. A group that saw some of the words and all or none of the
  padding would see proportions that the model never saw; here they are those of training.

Prompt Relay (arXiv 2604.10030) keeps the joint encoding and subtracts a penalty from the scores of
a part's tokens: C = relu(|f - m| - w)^2 / (2 sigma^2) at latent frame f, m the middle of the
segment, L its length, w = max(L/2 - 2, 0), sigma = 0.1448. It is not used here:

- A penalty is a mask, which leaves sdpa as the only backend, and costs time there too: 0.9 to
  1.9 % of a block's text attention on a CPU (benchmarks/timed_prompts.py; the split -0.2 to 2.4 %).
- It sets in before the segment ends: half a latent past w the weight of the part's own words is
  down to 0.0026, one latent past it to 4e-11. Of four parts over 21 latents, 5 latents keep more
  than a hundredth of that weight, of two parts 13 (benchmarks/timed_prompts.py prints it); on the
  others no part acts. With the split all 21 are steered, and "from its time on" is what the user
  was told.
- Where it does act, it switches as hard as the split does.

A border is softened over one latent: the first latent of a span takes the mean of its own output
and of what it would be under the words before. A hard border makes the object jump: the model draws
each frame as if its words had held from the start (docs/evidence.md has the figures). No part acts
before its time so; its first quarter of a second is half the part's before it. A span of a single
latent keeps its own words whole. The border's latent is attended twice: one latent's queries more.

K and V are needed once for each segment, but all padding tokens are alike and need to be projected
only once (`project_distinct`). With 512 tokens against 32760 queries that is less work than a
plain run's as long as the segments' words are fewer than 512 tokens together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Span = tuple[int, int]
"""Latent frames first..stop-1 of a window."""


def attend_by_time(
    attend: Callable[[Tensor, int], Tensor],
    queries: Tensor,
    spans: Sequence[Span],
    out: Tensor | None = None,
) -> Tensor:
    """Attention of one window's queries, each span of latent frames under its own text.

    attend: (queries (B, n, C), number of the span whose text they see) -> their output (B, n, D).
    queries: (B, T*P, C), frame after frame, P patches of each of the T latent frames.
    spans: of all T latent frames, each in exactly one, in order.
    out: where the result is written, if its shape and dtype fit. It may be `queries` itself: a
        span's queries are not read after its output has been written.

    The first latent of each span of two or more but the first one is half under the words before.

    Returns (B, T*P, D). Raises ValueError if the spans leave a latent frame out or name it twice,
    or if the queries are not so many for each latent frame.
    """
    latents = spans[-1][1] if spans else 0
    if [first for first, _ in spans] != [0, *(stop for _, stop in spans[:-1])] or any(
        first >= stop for first, stop in spans
    ):
        raise ValueError(f"the spans must cover each latent frame once: {list(spans)}")
    batch, tokens, _ = queries.shape
    if tokens % latents:
        raise ValueError(f"{tokens} queries do not make {latents} latent frames")
    patches = tokens // latents
    for number, (first, stop) in enumerate(spans):
        group = slice(first * patches, stop * patches)
        before = None
        if number and stop - first > 1:
            border = queries[:, first * patches : (first + 1) * patches]
            before = attend(border.clone(), number - 1)
        part = attend(queries[:, group], number)
        if number == 0:
            shape = (batch, tokens, part.shape[-1])
            if out is None or out.shape != shape or out.dtype != part.dtype:
                out = part.new_empty(shape)
        assert out is not None
        out[:, group] = part
        if before is not None:
            border = out[:, first * patches : (first + 1) * patches]
            border.copy_((border + before) / 2)
    assert out is not None
    return out


def project_distinct(
    project: Callable[[Tensor], Tensor],
    contexts: Tensor,
    lengths: Sequence[int],
    granularity: int = 64,
) -> Tensor:
    """`project(contexts)` for a projection of each token alone, most of the padding projected once.

    project: (1, n, C) -> (1, n, D), a linear layer.
    contexts: (S, N, C), of which row s has `lengths[s]` tokens of words; all tokens behind them,
        in all rows, are alike (an encoder's zero padding, through a layer or not).
    granularity: each row gives its words and padding up to a multiple of this. So another text in
        one row moves no token of the others, and their results stay the same to the bit.

    Returns (S, N, D).
    """
    rows, tokens, _ = contexts.shape
    sizes = [min(-(-length // granularity) * granularity, tokens) for length in lengths]
    distinct = [contexts[row, :size] for row, size in enumerate(sizes)]
    padded = [row for row, size in enumerate(sizes) if size < tokens]
    if padded:
        distinct.append(contexts[padded[0], -1:])
    projected = project(torch.cat(distinct).unsqueeze(0))[0]
    result = projected.new_empty(rows, tokens, projected.shape[-1])
    start = 0
    for row, size in enumerate(sizes):
        result[row, :size] = projected[start : start + size]
        result[row, size:] = projected[-1]
        start += size
    return result
