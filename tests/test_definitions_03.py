"""Chapter 3 against gptlib.attention: averages, weights, causal attention, heads."""

from __future__ import annotations

import math

import pytest
import torch

from gptlib.attention import (
    CausalSelfAttention,
    attention_weights,
    causal_mask,
    fused_attention,
    naive_attention,
)
from tests.chapter_definitions import definitions

CHAPTER = "03_self_attention"
SEEDS = pytest.mark.parametrize("seed", range(3))
SHAPES = pytest.mark.parametrize("shape", [(1, 1, 1, 4), (2, 3, 7, 8), (1, 2, 33, 5)])
TIGHT = dict(rtol=1e-9, atol=1e-9)


def some(n, seed, *shape):
    """n random tensors in float64, where two orders of the same sums agree to many digits."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *shape, generator=generator, dtype=torch.float64)


@SEEDS
@pytest.mark.parametrize("shape", [(1, 3), (6, 4), (2, 9, 5)])
def test_an_average_of_the_past_is_attention_with_equal_scores(seed, shape):
    own = definitions(CHAPTER, "average_past", "average_past_loop")
    x = some(1, seed, *shape)[0].float()
    zeros = torch.zeros_like(x)
    expected = attention_weights(zeros, zeros, causal_mask(shape[-2])) @ x
    torch.testing.assert_close(own.average_past(x), expected, rtol=1e-5, atol=1e-5)
    if len(shape) == 2:
        torch.testing.assert_close(own.average_past_loop(x), expected, rtol=1e-5, atol=1e-5)


@SEEDS
@SHAPES
def test_content_weights_are_attention_weights_without_a_mask(seed, shape):
    own = definitions(CHAPTER, "content_weights", "open_weights")
    q, k = some(2, seed, *shape)
    torch.testing.assert_close(own.content_weights(q, k), attention_weights(q, k), **TIGHT)
    fewer = q[..., :1, :]  # T and S may differ
    torch.testing.assert_close(own.content_weights(fewer, k), attention_weights(fewer, k), **TIGHT)
    scores = q @ k.mT / math.sqrt(shape[-1])
    torch.testing.assert_close(own.open_weights(scores), attention_weights(q, k), **TIGHT)


@SEEDS
@SHAPES
def test_masked_weights_are_attention_weights_with_the_causal_mask(seed, shape):
    own = definitions(CHAPTER, "masked_weights")
    q, k = some(2, seed, *shape)
    scores = q @ k.mT / math.sqrt(shape[-1])
    expected = attention_weights(q, k, causal_mask(shape[-2]))
    torch.testing.assert_close(own.masked_weights(scores), expected, **TIGHT)


@SEEDS
@SHAPES
def test_causal_attention_is_both_kernels(seed, shape):
    own = definitions(CHAPTER, "causal_attention")
    q, k, v = some(3, seed, *shape)
    for kernel in (naive_attention, fused_attention):
        torch.testing.assert_close(own.causal_attention(q, k, v), kernel(q, k, v), **TIGHT)
        short = [t.float() for t in (q, k, v)]
        found, expected = own.causal_attention(*short), kernel(*short)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@SEEDS
@SHAPES
def test_causal_attention_has_the_gradient_of_the_fused_kernel(seed, shape):
    own = definitions(CHAPTER, "causal_attention")
    inputs = [t.requires_grad_() for t in some(3, seed, *shape).unbind(0)]
    towards = some(1, seed + 10, *shape)[0]
    found = torch.autograd.grad((own.causal_attention(*inputs) * towards).sum(), inputs)
    expected = torch.autograd.grad((fused_attention(*inputs) * towards).sum(), inputs)
    torch.testing.assert_close(found, expected, **TIGHT)


@SEEDS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("B", "T", "C", "H"), [(1, 1, 4, 1), (2, 7, 12, 3), (3, 20, 16, 16)])
def test_multi_head_attention_is_causal_self_attention(seed, bias, B, T, C, H):
    own = definitions(CHAPTER, "MultiHeadAttention")
    theirs = CausalSelfAttention(C, H, bias=bias)
    ours = own.MultiHeadAttention(C, H, bias=bias)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in theirs.parameters():
            p.normal_(std=0.5, generator=generator)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(B, T, C, generator=generator)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_heads_that_do_not_fit_are_refused_by_both():
    own = definitions(CHAPTER, "MultiHeadAttention")
    for make in (own.MultiHeadAttention, CausalSelfAttention):
        with pytest.raises(ValueError, match="heads"):
            make(10, 3)
