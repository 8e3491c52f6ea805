"""Causal self-attention: the version that a student writes, and the fast one that is equal to it.

Letters for shapes are listed in :mod:`gptlib.model`. Built in chapter 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptlib.linear import Linear


def causal_mask(
    n_queries: int, n_keys: int | None = None, device: torch.device | None = None
) -> Tensor:
    """Which query may look at which key: a boolean table, True where looking is allowed.

    The queries are the *last* ``n_queries`` of ``n_keys`` positions, as they are when the
    earlier keys come from a cache. Returns ``(n_queries, n_keys)``.

    Source: Vaswani et al. 2017, section 3.2.3. Built in chapter 3.
    """
    n_keys = n_queries if n_keys is None else n_keys
    if n_keys < n_queries:
        raise ValueError(
            f"{n_queries} queries but only {n_keys} keys: every query needs at least its own key; "
            "pass n_keys >= n_queries"
        )
    table = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return table.tril(diagonal=n_keys - n_queries)


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax of the scaled scores, one row a query.

    q: ``(..., T, D)``; k: ``(..., S, D)``; mask: boolean, broadcast to ``(..., T, S)``, True
    where a query may look. Returns ``(..., T, S)``; each row sums to 1.

    Source: Vaswani et al. 2017, equation 1. Built in chapter 3.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (..., T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1)


def naive_attention(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Causal attention step by step, as chapter 3 writes it.

    q: ``(B, H, T, D)``; k and v: ``(B, H, S, D)`` with ``S >= T`` (the queries are the last T
    positions). Returns ``(B, H, T, D)``. ``dropout`` is applied to the weights.
    """
    weights = attention_weights(q, k, causal_mask(q.size(-2), k.size(-2), q.device))
    if dropout:
        weights = F.dropout(weights, dropout)
    return weights @ v


def fused_attention(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """The same function as :func:`naive_attention` in one call that never stores all weights.

    The table of ``T x S`` weights is what costs memory; the fused kernel (Dao et al. 2022,
    FlashAttention) keeps only a tile of it at a time.
    """
    n_queries, n_keys = q.size(-2), k.size(-2)
    if n_queries == n_keys:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
    if n_queries == 1:  # one new token may look at everything before it: no mask is needed
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    mask = causal_mask(n_queries, n_keys, q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


KERNELS = {"naive": naive_attention, "fused": fused_attention}


@dataclass
class LayerCache:
    """Keys and values that one layer has already computed; room for ``S_max`` positions.

    keys, values: ``(B, H, S_max, D)``, filled up to ``length``.
    """

    keys: Tensor
    values: Tensor
    length: int = 0

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new ``(B, H, T, D)`` and return views of all keys and values so far."""
        end = self.length + k.size(2)
        if end > self.keys.size(2):
            raise ValueError(
                f"the cache has room for {self.keys.size(2)} positions but {end} are needed; "
                "make it with a larger length"
            )
        self.keys[:, :, self.length : end] = k
        self.values[:, :, self.length : end] = v
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]


class CausalSelfAttention(nn.Module):
    """Multi-head causal self-attention, ``(B, T, C)`` to ``(B, T, C)``.

    Queries, keys and values of all heads come from one matrix product.

    Source: Vaswani et al. 2017, section 3.2; Radford et al. 2018. Built in chapter 3.
    """

    def __init__(
        self,
        n_embd: int,
        n_head: int,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        kernel: str = "fused",
    ):
        super().__init__()
        if n_embd % n_head:
            raise ValueError(
                f"n_embd is {n_embd} and n_head is {n_head}: the heads share the channels, "
                "so n_embd must be a multiple of n_head"
            )
        if kernel not in KERNELS:
            raise ValueError(f"kernel is {kernel!r}; choose one of {sorted(KERNELS)}")
        self.n_head = n_head
        self.kernel = kernel
        self.dropout = dropout
        self.qkv = Linear(n_embd, 3 * n_embd, bias=bias)
        self.out = Linear(n_embd, n_embd, bias=bias)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        B, T, C = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head)  # (B, T, 3, H, D)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D)
        if cache is not None:
            k, v = cache.extend(k, v)  # (B, H, S, D): everything seen so far
        y = KERNELS[self.kernel](q, k, v, self.dropout if self.training else 0.0)  # (B, H, T, D)
        return self.out(y.transpose(1, 2).reshape(B, T, C))
