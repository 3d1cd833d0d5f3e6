"""Timed prompts in WanGP: `timed` makes them act in one call of `WanAny2V.generate`.

    with timed(pipeline, segments) as prompt:
        result = generate(pipeline, **{**kwargs, "input_prompt": prompt})

The prompt handed to the host is the first segment's. While the block lasts

- `WanModel.forward` finds that prompt's context among the ones it is given (row 0; with NAG the
  negative prompt is row 1) and puts the other segments' contexts beside it as further rows, in
  front of the negative one. They pass through the text embedding, and in Wan 2.1 get their CLIP
  tokens, as rows do. The unconditional context is another one and stays as it is, whether it
  comes in the same call (joint pass) or in one of its own.
- `WanSelfAttention.text_cross_attention` splits its queries by latent frame and calls the host's
  own method for each group with the group's row (and the negative one), so NAG, the attention
  backend and Wan 2.1's image tokens are the host's business.

The step-skipping caches (TEA, MAG) hold the result of a whole pass and notice nothing. Without a
block, or with the same words throughout, no line of this acts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wan2gp_svi.errors import UserError
from wan2gp_svi.svi.schedule import Segment
from wan2gp_svi.svi.text_attention import Span, attend_by_time, project_distinct
from wan2gp_svi.wangp.wrapping import wrap

_MARK = "_svi_timed"


@dataclass
class Timed:
    """The texts of one window, on its models as the attribute `_svi_timed` while they act.

    contexts: (S, text_len, text_dim), zeros behind each row's words. lengths: tokens of words in
    each row. spans: the latent frames of each. seen: contexts of the host by id, each with what it
    was replaced by (kept alive with it, so that an id means one tensor).
    """

    contexts: Tensor
    lengths: tuple[int, ...]
    spans: tuple[Span, ...]
    seen: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def replaced(self, context: Tensor) -> Tensor:
        """(B, text_len, text_dim) with all segments in place of row 0, if row 0 is the first's."""
        if id(context) not in self.seen:
            rows = context
            same_shape = context.shape[1:] == self.contexts.shape[1:]
            if same_shape and torch.equal(context[0], self.contexts[0].to(context)):
                rows = torch.cat([self.contexts.to(context), context[1:]])
            self.seen[id(context)] = (context, rows)
        return self.seen[id(context)][1]


@dataclass(frozen=True)
class _Pass:
    """One call of a model with timed contexts in it."""

    timed: Timed
    may_overwrite: bool  # whether the cross-attention's input is a tensor of its own


_pass: _Pass | None = None
_attached = False


def attach(namespace: dict[str, Any]) -> None:
    """Wrap `WanModel.forward` and `WanSelfAttention.text_cross_attention` of modules/model.py."""
    global _attached
    model, attention = namespace.get("WanModel"), namespace.get("WanSelfAttention")
    if model is None or attention is None or not hasattr(attention, "text_cross_attention"):
        return  # a WanGP that has rebuilt this: `timed` says so when it is asked for
    wrap(model, "forward", _forward)
    wrap(attention, "text_cross_attention", _text_cross_attention)
    _attached = True


@contextmanager
def timed(pipeline: Any, segments: Sequence[Segment]) -> Iterator[str]:
    """While the block lasts, `pipeline` generates under `segments`; gives the prompt to hand it.

    pipeline: a WanAny2V with its text encoder and one or two models. segments: of the window
    that it is about to generate (`svi.schedule.schedule`).
    """
    words = [segment.words for segment in segments]
    if len(set(words)) == 1:
        yield words[0]
        return
    if not _attached:
        raise UserError(
            "Timed prompts cannot act in this version of WanGP: its text attention is not where it"
            " used to be. Take the (at ... seconds: ...) parts out, or update the extension."
        )
    encoded = _encode(pipeline, words)
    contexts = encoded[0].new_zeros(len(encoded), pipeline.model.text_len, encoded[0].shape[-1])
    for row, text in zip(contexts, encoded, strict=True):
        row[: len(text)] = text
    state = Timed(
        contexts=contexts,
        lengths=tuple(len(text) for text in encoded),
        spans=tuple((segment.first_latent, segment.stop_latent) for segment in segments),
    )
    models = [pipeline.model, getattr(pipeline, "model2", None)]
    models = [model for model in models if model is not None]
    for model in models:
        setattr(model, _MARK, state)
    try:
        with _answered(pipeline, words[0], encoded[0]):
            yield words[0]
    finally:
        for model in models:
            delattr(model, _MARK)


@torch.no_grad()
def _encode(pipeline: Any, words: Sequence[str]) -> list[Tensor]:
    """Each text's tokens (n, text_dim), by the way and in the precision that generate() uses."""

    def encode(prompts: list[str]) -> list[Tensor]:
        return pipeline.text_encoder(prompts, pipeline.device)

    cache = getattr(pipeline, "text_encoder_cache", None)  # since v12
    distinct = {}
    for text in dict.fromkeys(words):
        if cache is None:
            (tokens,) = encode([text])
        else:
            (tokens,) = cache.encode(encode, [text], device=pipeline.device)
        distinct[text] = tokens.to(pipeline.dtype)[: pipeline.model.text_len]
    return [distinct[text] for text in words]


@contextmanager
def _answered(pipeline: Any, prompt: str, tokens: Tensor) -> Iterator[None]:
    """The text encoder answers `prompt` with `tokens`: not encoded twice, and equal to the bit."""
    encoder = pipeline.text_encoder

    @functools.wraps(encoder, updated=())
    def answer(prompts: Any, *args: Any, **kwargs: Any) -> Any:
        if list(prompts) == [prompt]:
            return [tokens]
        return encoder(prompts, *args, **kwargs)

    pipeline.text_encoder = answer
    try:
        yield
    finally:
        pipeline.text_encoder = encoder


def _forward(original: Callable[..., Any], model: Any, *args: Any, **kwargs: Any) -> Any:
    """A pass of the model: with all segments' contexts in it, where it is one with the prompt's."""
    state: Timed | None = model.__dict__.get(_MARK)
    contexts = kwargs.get("context")
    if state is None or not isinstance(contexts, list):
        return original(model, *args, **kwargs)
    rows = [state.replaced(context) for context in contexts]
    acts = any(new is not given for new, given in zip(rows, contexts, strict=True))
    if not acts:
        if kwargs.get("x_id", 0) == 0:
            raise RuntimeError("the prompt's context is not among those of the pass")
        return original(model, *args, **kwargs)
    latents = kwargs["x"][0].shape[2]
    if latents != state.spans[-1][1]:
        raise RuntimeError(
            f"timed prompts were laid out for {state.spans[-1][1]} latent frames, not {latents}"
        )
    global _pass
    _pass = _Pass(state, may_overwrite=bool(getattr(model, "cross_attn_norm", False)))
    try:
        return original(model, *args, **{**kwargs, "context": rows})
    finally:
        _pass = None


def _text_cross_attention(
    original: Callable[..., Any],
    module: Any,
    xlist: list[Tensor],
    context: Tensor,
    return_q: bool = False,
) -> Any:
    """The text cross-attention of a block, each latent frame with the words of its time."""
    if _pass is None:
        return original(module, xlist, context, return_q)
    return _by_time(original, module, xlist, context, return_q)


class _StandIn:
    """A cross-attention whose projections are others; all else is the module's."""

    def __init__(self, module: Any, q: Any, k: Any, v: Any) -> None:
        self._module, self.q, self.k, self.v = module, q, k, v

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@torch.compiler.disable()  # else every pass would be compiled anew
def _by_time(
    original: Any, module: Any, xlist: list[Tensor], context: Tensor, return_q: bool
) -> tuple[Tensor, Tensor | None]:
    """`text_cross_attention` of queries from `xlist` (B, T*P, C), each group with its own row.

    context: (S, N, C), or (S+1, N, C) with NAG's negative prompt as the last row. With fewer rows
    it is a negative prompt in a joint pass, and none of ours.
    """
    now = _pass
    if now is None or context.shape[0] < len(now.timed.spans):
        return original(module, xlist, context, return_q)
    x = xlist[0]
    xlist.clear()  # the host frees its reference here; a group of x is overwritten by its output
    segments, rows = len(now.timed.spans), context.shape[0]
    lengths = [*now.timed.lengths, *[context.shape[1]] * (rows - segments)]
    keys = project_distinct(module.k, context, lengths)
    values = project_distinct(module.v, context, lengths)
    # Wan 2.1's image attention needs all queries afterwards; else a group's are freed at once.
    queries = module.q(x) if return_q else x

    def attend(group: Tensor, segment: int) -> Tensor:
        own = [segment, *range(segments, rows)]
        stand_in = _StandIn(
            module,
            q=(lambda given: given) if return_q else module.q,
            k=lambda _: keys[own],
            v=lambda _: values[own],
        )
        part, normalised = original(stand_in, [group], context[own], return_q)
        if return_q and normalised.data_ptr() != group.data_ptr():  # WanGP normalises in place
            group.copy_(normalised.flatten(2))
        return part

    result = attend_by_time(attend, queries, now.timed.spans, x if now.may_overwrite else None)
    if not return_q:
        return result, None
    return result, queries.view(*queries.shape[:2], module.num_heads, module.head_dim)
