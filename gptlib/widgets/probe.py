"""The causal probe: change one input of attention and see which outputs move. Chapter 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from gptlib import plotting
from gptlib.attention import attention_weights, causal_mask
from gptlib.widgets.base import InteractiveView, module

MOVED = 1e-6  # below this a difference is rounding, in float64 by a wide margin
MOST_TOKENS = 10


def outputs_moved(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, position: int, change: float, masked: bool
) -> Tensor:
    """How far each output of one attention head moves when one input is changed.

    x: ``(T, C)``; w_q, w_k: ``(C, D)``; w_v: ``(C, V)``. ``change`` is added to every channel of
    ``x[position]``. Returns ``(T,)``: the largest absolute difference over the channels of each
    output, in float64. Built in chapter 3.
    """

    def attend(x: Tensor) -> Tensor:
        mask = causal_mask(x.size(0)) if masked else None
        return attention_weights(x @ w_q, x @ w_k, mask) @ (x @ w_v)  # (T, V)

    x, w_q, w_k, w_v = (t.detach().cpu().double() for t in (x, w_q, w_k, w_v))
    changed = x.clone()
    changed[position] += change
    return (attend(changed) - attend(x)).abs().amax(dim=-1)


class CausalProbe(InteractiveView):
    """Drag one input; see which outputs move, with the causal mask on and off.

    x: ``(T, C)``, one short sequence; tokens: T strings; w_q, w_k, w_v: ``(C, D)`` projections,
    the identity where left out. ``value`` holds ``position``, ``change``, ``masked``, ``moved``
    ``(T,)`` from :func:`outputs_moved`, and ``which``, the positions that moved.
    """

    _esm = module("probe.js")

    position = traitlets.Int(0, min=0).tag(sync=True)
    change = traitlets.Float(1.0, min=-2.0, max=2.0).tag(sync=True)
    masked = traitlets.Bool(False).tag(sync=True)
    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    inputs = traitlets.List().tag(sync=True)  # nested lists: x, w_q, w_k, w_v
    threshold = traitlets.Float(MOVED).tag(sync=True)
    moved_in_browser = traitlets.List(traitlets.Float()).tag(sync=True)

    def __init__(
        self,
        x: Any,
        tokens: Sequence[str],
        w_q: Any = None,
        w_k: Any = None,
        w_v: Any = None,
        *,
        position: int | None = None,
        change: float = 1.0,
        masked: bool = False,
    ) -> None:
        x = torch.as_tensor(x).detach().cpu().double()
        if x.dim() != 2 or len(tokens) != x.size(0) or not 1 <= len(tokens) <= MOST_TOKENS:
            raise ValueError(
                f"x has shape {tuple(x.shape)} and there are {len(tokens)} tokens; expected (T, C) "
                f"with T tokens, at most {MOST_TOKENS}: take x[0] of a batch, or fewer positions"
            )
        T, C = x.shape
        maps = [torch.eye(C) if w is None else torch.as_tensor(w) for w in (w_q, w_k, w_v)]
        if any(w.dim() != 2 or w.size(0) != C for w in maps) or maps[0].shape != maps[1].shape:
            raise ValueError(
                f"the projections have shapes {[tuple(w.shape) for w in maps]}; expected (C, D) "
                f"with C = {C}, the same D for w_q and w_k (a Linear's weight is (D, C): pass .T)"
            )
        position = (T - 1) // 2 + 1 if position is None and T > 1 else position or 0
        if not 0 <= position < T:
            raise ValueError(f"position {position} is not one of the {T} inputs")
        self._tensors = [x, *[w.detach().cpu().double() for w in maps]]
        super().__init__(
            label="Causal probe",
            position=position,
            change=change,
            masked=masked,
            tokens=[plotting.visible(str(token)) for token in tokens],
            inputs=[t.tolist() for t in self._tensors],
        )

    def _moved(self, masked: bool) -> list[float]:
        return outputs_moved(*self._tensors, self.position, self.change, masked).tolist()

    @property
    def value(self) -> dict[str, Any]:
        moved = self._moved(self.masked)
        return {
            "position": self.position,
            "change": self.change,
            "masked": self.masked,
            "moved": moved,
            "which": [i for i, far in enumerate(moved) if far > MOVED],
        }

    def figure(self) -> Figure:
        fig, axes = plotting.new_figure(1, 2, size=(7.2, 3.0), sharey=True)
        labels = [f"{token}\n{i}" for i, token in enumerate(self.tokens)]
        labels[self.position] += "\nchanged"
        for ax, masked in zip(axes, (False, True), strict=True):
            moved = np.array(self._moved(masked))
            with plotting.style():
                ax.bar(range(len(moved)), moved, color=plotting.COLORS[0], width=0.6)
                for i, far in enumerate(moved):
                    said = f"{far:.2f}" if far > MOVED else "still"
                    ax.annotate(said, (i, far), (0, 3), textcoords="offset points", ha="center")
                ax.set_xticks(range(len(moved)), labels)
                ax.margins(y=0.15)
                ax.set_title("With the causal mask" if masked else "Without a mask")
                ax.set_xlabel("output position")
        axes[0].set_ylabel("how far it moved")
        return fig

    def describe(self) -> str:
        def who(masked: bool) -> str:
            which = [str(i) for i, far in enumerate(self._moved(masked)) if far > MOVED]
            return "outputs " + ", ".join(which) if which else "no output"

        return (
            f"Bars: how far each output of attention moves when input {self.position} "
            f"({self.tokens[self.position]}) changes by {self.change:g}. Without a mask "
            f"{who(False)} move; with the causal mask {who(True)} move."
        )
