"""Attention heads: which token looks where, head by head, with every weight as a number. Ch. 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure

from gptlib import plotting
from gptlib.widgets.base import InteractiveView, module

MOST_TOKENS = 48  # a cell of the map must stay large enough to click


class AttentionHeads(InteractiveView):
    """Choose a head and a query; see its row of the map, and the weights as a table.

    weights: ``(H, T, T)``, row = query, column = key, rows sum to 1, as
    :func:`gptlib.attention.attention_weights` returns for one sequence; ``(T, T)`` is one head.
    tokens: T strings. ``value`` holds ``head``, ``query``, ``weights`` ``(T,)`` and ``looks_at``,
    the position with the largest weight.
    """

    _esm = module("heads.js")

    head = traitlets.Int(0, min=0).tag(sync=True)
    query = traitlets.Int(0, min=0).tag(sync=True)
    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    n_head = traitlets.Int(1).tag(sync=True)
    causal = traitlets.Bool(True).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)  # float32, (H, T, T)
    looks_at_in_browser = traitlets.Int(-1).tag(sync=True)

    def __init__(
        self, weights: Any, tokens: Sequence[str], *, head: int = 0, query: int | None = None
    ) -> None:
        if hasattr(weights, "detach"):
            weights = weights.detach().cpu().float().numpy()
        table = np.asarray(weights, dtype=np.float32)
        table = table[None] if table.ndim == 2 else table
        H, T = table.shape[0], len(tokens)
        if table.ndim != 3 or table.shape[1:] != (T, T) or not H:
            raise ValueError(
                f"weights have shape {table.shape} and there are {T} tokens; expected (H, T, T) "
                "for one sequence: take weights[0] of a batch"
            )
        if not 1 <= T <= MOST_TOKENS:
            raise ValueError(f"{T} tokens; the view shows 1 to {MOST_TOKENS}: pass a shorter text")
        if not np.allclose(table.sum(-1), 1.0, atol=1e-3):
            raise ValueError(
                "the rows don't sum to 1; pass the weights after the softmax, not the scores"
            )
        query = T - 1 if query is None else query
        if not (0 <= head < H and 0 <= query < T):
            raise ValueError(f"head {head}, query {query}: there are {H} heads and {T} tokens")
        self._table = table
        super().__init__(
            label="Attention heads",
            head=head,
            query=query,
            tokens=[plotting.visible(str(token)) for token in tokens],
            n_head=H,
            causal=bool((np.triu(table, 1) == 0).all()),
            weights=table.astype("<f4").tobytes(),
        )

    @property
    def value(self) -> dict[str, Any]:
        row = self._table[self.head, self.query]
        return {
            "head": self.head,
            "query": self.query,
            "weights": row.tolist(),
            "looks_at": int(row.argmax()),
        }

    def figure(self) -> Figure:
        H, T = self.n_head, len(self.tokens)
        cols = min(H, 2 if T > 6 else 4)
        rows = -(-H // cols)
        side = 7.2 / cols
        fig, axes = plotting.new_figure(rows, cols, size=(7.2, rows * (side * 0.9 + 0.3)))
        hidden = np.triu(np.ones((T, T), bool), 1) if self.causal else None
        for head, ax in enumerate(np.ravel(axes)):
            if head >= H:
                ax.set_axis_off()
                continue
            plotting.heatmap(
                ax,
                self._table[head],
                self.tokens,
                self.tokens,
                hidden=hidden,
                vmin=0.0,
                vmax=1.0,
                annotate=T <= 6 or (T <= 8 and cols <= 2),
                fmt=".2f",
                title=f"Head {head}",
                xlabel="key" if head // cols == rows - 1 else "",
                ylabel="query" if head % cols == 0 else "",
                colorbar="weight" if T > 8 and head % cols == cols - 1 else None,
            )
        return fig

    def describe(self) -> str:
        now = self.value
        said = "; ".join(
            f"in head {head}, {self.tokens[self.query]} looks most at "
            f"{self.tokens[int(row.argmax())]} ({row.max():.2f})"
            for head, row in enumerate(self._table[:, now["query"]])
        )
        return (
            f"Attention weights of {self.n_head} heads over {len(self.tokens)} tokens, a map for "
            f"each, row = query, column = key. From position {now['query']}: {said}."
        )
