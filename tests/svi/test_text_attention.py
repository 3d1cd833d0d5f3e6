"""The split of the queries by latent frame: exact spans, nothing else changed, padding once."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from wan2gp_svi.svi.text_attention import attend_by_time, project_distinct


@st.composite
def windows(draw):
    """(latents, patches, spans that cover the latents)."""
    latents = draw(st.integers(1, 21))
    cuts = draw(st.sets(st.integers(1, latents - 1))) if latents > 1 else set()
    borders = [0, *sorted(cuts), latents]
    return latents, draw(st.integers(1, 6)), list(pairwise(borders))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=50, deadline=None)
@given(windows(), st.integers(1, 2), st.booleans())
def test_each_latent_frame_attends_to_its_own_text_and_a_border_to_both(
    window, batch, in_place
) -> None:
    """Against softmax attention of every latent frame alone, over the text of its span.

    The first latent frame of a span of several has the mean of that and the span's before it.
    """
    latents, patches, spans = window
    channels, tokens = 8, 5
    texts = noise(len(spans), tokens, channels, seed=1)
    queries = noise(batch, latents * patches, channels, seed=2)
    expected = torch.empty_like(queries)
    for number, (first, stop) in enumerate(spans):
        for latent in range(first, stop):
            rows = slice(latent * patches, (latent + 1) * patches)
            border = latent == first and number > 0 and stop - first > 1
            seen = [number - 1, number] if border else [number]
            each = [
                (queries[:, rows] @ texts[n].T / math.sqrt(channels)).softmax(-1) @ texts[n]
                for n in seen
            ]
            expected[:, rows] = torch.stack(each).mean(0)

    def attend(group: Tensor, number: int) -> Tensor:
        text = texts[number].expand(batch, -1, -1)
        return scaled_dot_product_attention(group, text, text)

    given_queries = queries.clone()
    out = given_queries if in_place else None
    result = attend_by_time(attend, given_queries, spans, out)
    torch.testing.assert_close(result, expected)
    if in_place:
        assert result is given_queries
    else:
        assert torch.equal(given_queries, queries)


def test_the_result_may_have_another_width_and_type_than_where_it_was_to_go() -> None:
    queries = noise(1, 6, 4)
    result = attend_by_time(
        lambda g, _: g.double().repeat(1, 1, 2), queries, [(0, 1), (1, 3)], queries
    )
    assert result.shape == (1, 6, 8) and result.dtype == torch.float64
    assert torch.equal(queries, noise(1, 6, 4))


@pytest.mark.parametrize(
    "spans", [[], [(0, 2)], [(1, 3)], [(0, 2), (1, 3)], [(0, 1), (2, 3)], [(0, 0), (0, 3)]]
)
def test_spans_that_leave_a_latent_out_or_name_it_twice(spans) -> None:
    with pytest.raises(ValueError):
        attend_by_time(lambda group, _: group, noise(1, 5, 4), spans)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=5))
def test_padding_is_projected_once_and_everything_else_as_it_was(lengths: list[int]) -> None:
    layer = nn.Linear(6, 10)
    contexts = noise(len(lengths), 12, 6)
    for row, length in enumerate(lengths):
        contexts[row, length:] = 0.25
    projected_tokens = []

    def project(tokens: Tensor) -> Tensor:
        projected_tokens.append(tokens.shape[1])
        return layer(tokens)

    result = project_distinct(project, contexts, lengths, granularity=4)
    torch.testing.assert_close(result, layer(contexts))
    sizes = [(length + 3) // 4 * 4 for length in lengths]
    assert projected_tokens == [sum(sizes) + any(size < 12 for size in sizes)]


def test_another_text_leaves_the_bits_of_the_others_alone() -> None:
    layer = nn.Linear(64, 96)
    contexts = noise(3, 512, 64)
    contexts[0, 20:], contexts[1, 7:], contexts[2, 100:] = 0.25, 0.25, 0.25
    before = project_distinct(layer, contexts, (20, 7, 100))
    contexts[1, :30] = noise(30, 64, seed=4)
    after = project_distinct(layer, contexts, (20, 30, 100))
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])
