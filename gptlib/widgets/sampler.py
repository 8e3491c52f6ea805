"""The sampling explorer: what temperature, top-k and top-p leave of a distribution. Chapter 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import traitlets
from matplotlib.figure import Figure

from gptlib import plotting
from gptlib.sampling import next_token_probs
from gptlib.widgets.base import InteractiveView, module


class SamplingExplorer(InteractiveView):
    """Sliders for temperature, top-k and top-p; bars for the tokens that stay and those cut.

    logits: ``(V,)`` scores of the next token, or ``probs`` ``(V,)`` in their place; labels: V
    strings. The ``rows`` most probable tokens are drawn, all V are computed with. ``value`` holds
    ``temperature``, ``top_k``, ``top_p``, ``kept`` (ids, most probable first) and ``probs``
    ``(V,)``, from :func:`gptlib.sampling.next_token_probs`.
    """

    _esm = module("sampler.js")

    temperature = traitlets.Float(1.0, min=0.0, max=2.0).tag(sync=True)
    top_k = traitlets.Int(None, min=1, allow_none=True).tag(sync=True)
    top_p = traitlets.Float(1.0, min=0.01, max=1.0).tag(sync=True)
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    ranked = traitlets.Bytes().tag(sync=True)  # float64 logits, most probable first
    count_in_browser = traitlets.Int(-1).tag(sync=True)
    first_in_browser = traitlets.Float(-1.0).tag(sync=True)

    def __init__(
        self,
        logits: Any = None,
        labels: Sequence[str] = (),
        *,
        probs: Any = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        rows: int = 12,
    ) -> None:
        if (logits is None) == (probs is None):
            raise ValueError("give either logits or probs, the scores of the next token, not both")
        if probs is None:
            scores = torch.as_tensor(logits).detach().cpu().double()
        else:
            scores = torch.as_tensor(probs).detach().cpu().double().log()
        if scores.dim() != 1 or len(labels) != scores.numel():
            raise ValueError(
                f"{len(labels)} labels for scores of shape {tuple(scores.shape)}; expected one "
                "label for each of V scores: pass the logits of one position, logits[0, -1]"
            )
        if scores.isnan().any() or not scores.isfinite().any():
            raise ValueError("the scores hold NaN, or no finite number at all")
        self._logits = scores
        self._order = scores.sort(descending=True, stable=True).indices
        self._labels = [str(label) for label in labels]
        super().__init__(
            label="Sampling explorer",
            temperature=temperature,
            top_k=top_k,
            top_p=1.0 if top_p is None else top_p,
            labels=[plotting.visible(self._labels[i]) for i in self._order[:rows].tolist()],
            ranked=scores[self._order].numpy().astype("<f8").tobytes(),
        )

    def _probs(self, *settings: float | None) -> torch.Tensor:
        return next_token_probs(self._logits[None], *settings)[0]  # (V,)

    @property
    def value(self) -> dict[str, Any]:
        settings = (self.temperature, self.top_k, None if self.top_p >= 1 else self.top_p)
        probs = self._probs(*settings)
        names = ("temperature", "top_k", "top_p")
        kept = [i for i in self._order.tolist() if probs[i] > 0]
        return {**dict(zip(names, settings, strict=True)), "kept": kept, "probs": probs}

    def _settings(self) -> str:
        words = [f"temperature {self.temperature:g}"]
        if self.top_k is not None:
            words.append(f"top-k {self.top_k}")
        if self.top_p < 1:
            words.append(f"top-p {self.top_p:g}")
        return ", ".join(words)

    def figure(self) -> Figure:
        now, shown = self.value, self._order[: len(self.labels)]
        fig, ax = plotting.new_figure(size=(7.2, 1.1 + 0.32 * len(shown)))
        plotting.distribution(
            ax,
            now["probs"][shown],
            [self._labels[i] for i in shown.tolist()],
            kept=(now["probs"][shown] > 0).numpy(),
            before=self._probs(1.0)[shown],
            title=f"Next token at {self._settings()} (outline: the model's own)",
        )
        return fig

    def describe(self) -> str:
        now = self.value
        best = ", ".join(
            f"{plotting.visible(self._labels[i])} {now['probs'][i]:.1%}" for i in now["kept"][:5]
        )
        return (
            f"Bars: the probability of the next token at {self._settings()}. "
            f"{len(now['kept'])} of {len(self._labels)} tokens stay; the most probable are {best}."
        )
