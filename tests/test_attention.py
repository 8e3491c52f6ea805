"""Attention against torch's own, against a loop over positions, and against itself by kernel."""

import math

import pytest
import torch
import torch.nn.functional as F

from gptlib.attention import (
    CausalSelfAttention,
    LayerCache,
    attention_weights,
    causal_mask,
    fused_attention,
    naive_attention,
)


def random_qkv(seed, B=2, H=3, T=7, S=None, D=5):
    g = torch.Generator().manual_seed(seed)
    S = T if S is None else S
    q = torch.randn(B, H, T, D, generator=g)
    k, v = torch.randn(2, B, H, S, D, generator=g)
    return q, k, v


def attention_by_loop(q, k, v):
    """One query at a time in float64: softmax over what it may see, then a weighted mean."""
    q, k, v = q.double(), k.double(), v.double()
    T, S = q.size(-2), k.size(-2)
    rows = []
    for t in range(T):
        seen = S - T + t + 1
        scores = (k[..., :seen, :] * q[..., t : t + 1, :]).sum(-1) / math.sqrt(q.size(-1))
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        rows.append((weights.unsqueeze(-1) * v[..., :seen, :]).sum(-2))
    return torch.stack(rows, dim=-2)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 1), (2, 3, 7, 7, 5), (2, 2, 1, 9, 8), (1, 4, 3, 11, 16)]
)
def test_both_kernels_equal_a_loop_over_positions(shape):
    B, H, T, S, D = shape
    q, k, v = random_qkv(0, B, H, T, S, D)
    expected = attention_by_loop(q, k, v)
    for kernel in (naive_attention, fused_attention):
        assert torch.allclose(kernel(q, k, v).double(), expected, atol=1e-5), kernel.__name__


@pytest.mark.parametrize("seed", range(5))
def test_naive_equals_torch(seed):
    q, k, v = random_qkv(seed, T=33, D=16)
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(naive_attention(q, k, v), theirs, atol=1e-5)


def test_kernels_have_the_same_gradients():
    grads = []
    for kernel in (naive_attention, fused_attention):
        q, k, v = (x.requires_grad_() for x in random_qkv(3, T=19))
        kernel(q, k, v).square().sum().backward()
        grads.append([x.grad for x in (q, k, v)])
    for naive, fused in zip(*grads, strict=True):
        assert torch.allclose(naive, fused, atol=1e-5)


def test_weights_are_rows_that_sum_to_one_and_never_look_ahead():
    q, k, _ = random_qkv(1)
    weights = attention_weights(q, k, causal_mask(7))
    assert torch.allclose(weights.sum(-1), torch.ones(2, 3, 7), atol=1e-6)
    assert torch.equal(weights.triu(1), torch.zeros_like(weights))


def test_mask_counts_queries_from_the_end():
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]
    with pytest.raises(ValueError, match="3 queries but only 2 keys"):
        causal_mask(3, 2)


@pytest.mark.parametrize("kernel", ["naive", "fused"])
def test_layer_is_causal(kernel):
    torch.manual_seed(0)
    layer = CausalSelfAttention(12, 3, kernel=kernel)
    x = torch.randn(2, 9, 12)
    changed = x.clone()
    changed[:, 5:] += 1.0
    difference = (layer(x) - layer(changed)).abs().amax(dim=(0, 2))
    assert difference[:5].max() < 1e-6
    assert difference[5:].min() > 1e-4


def test_layer_equals_torch_multihead_attention():
    torch.manual_seed(0)
    ours = CausalSelfAttention(24, 4)
    theirs = torch.nn.MultiheadAttention(24, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x = torch.randn(2, 10, 24)
    forbidden = ~causal_mask(10)
    expected, _ = theirs(x, x, x, attn_mask=forbidden, need_weights=False)
    assert torch.allclose(ours(x), expected, atol=1e-5)


def test_dropout_acts_only_in_training():
    torch.manual_seed(0)
    layer = CausalSelfAttention(16, 4, dropout=0.5)
    x = torch.randn(1, 8, 16)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_cache_says_when_it_is_full():
    cache = LayerCache(torch.empty(1, 2, 4, 3), torch.empty(1, 2, 4, 3))
    step = torch.zeros(1, 2, 3, 3)
    cache.extend(step, step)
    with pytest.raises(ValueError, match="room for 4 positions but 6 are needed"):
        cache.extend(step, step)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="n_embd must be a multiple of n_head"):
        CausalSelfAttention(10, 3)
    with pytest.raises(ValueError, match="choose one of"):
        CausalSelfAttention(12, 3, kernel="flash")
