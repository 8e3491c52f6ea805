"""A training run, replayed: the loss curve, and what the model wrote at each checkpoint. Ch. 4."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets
from matplotlib.figure import Figure

from gptlib import plotting
from gptlib.widgets.base import InteractiveView, module


class SamplesOverTime(InteractiveView):
    """A scrubber over checkpoints: the loss so far, and the sample written at that moment.

    steps, losses, samples: one of each for a checkpoint, steps rising, losses in nats.
    ``curve``: ``(steps, losses)`` of the whole run, drawn as the line where given.
    ``value`` holds ``checkpoint`` (its number), ``step``, ``loss`` and ``sample``.
    """

    _esm = module("replay.js")

    checkpoint = traitlets.Int(0, min=0).tag(sync=True)
    steps = traitlets.List(traitlets.Float()).tag(sync=True)
    losses = traitlets.List(traitlets.Float()).tag(sync=True)
    samples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    curve = traitlets.List().tag(sync=True)
    step_in_browser = traitlets.Float(-1.0).tag(sync=True)

    def __init__(
        self,
        steps: Sequence[float],
        losses: Sequence[float],
        samples: Sequence[str],
        *,
        curve: tuple[Sequence[float], Sequence[float]] | None = None,
        checkpoint: int = 0,
    ) -> None:
        steps, losses = [float(s) for s in steps], [float(x) for x in losses]
        if not steps or not len(steps) == len(losses) == len(samples):
            raise ValueError(
                f"{len(steps)} steps, {len(losses)} losses and {len(samples)} samples; expected as "
                "many of each, one for a checkpoint"
            )
        if any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
            raise ValueError(f"the steps must rise; got {steps}")
        if not 0 <= checkpoint < len(steps):
            raise ValueError(f"checkpoint {checkpoint} is not one of the {len(steps)}")
        line = [list(map(float, part)) for part in (curve or (steps, losses))]
        if len(line) != 2 or len(line[0]) != len(line[1]):
            raise ValueError("curve is a pair (steps, losses) of equal length")
        if not np.isfinite([*losses, *line[1]]).all():
            raise ValueError("a loss is not a finite number; did the training diverge?")
        super().__init__(
            label="Samples over training",
            checkpoint=checkpoint,
            steps=steps,
            losses=losses,
            samples=[str(sample) for sample in samples],
            curve=line,
        )

    @property
    def value(self) -> dict[str, Any]:
        i = self.checkpoint
        now = {"step": self.steps[i], "loss": self.losses[i], "sample": self.samples[i]}
        return {"checkpoint": i, **now}

    def figure(self) -> Figure:
        shown = sorted({0, len(self.steps) // 2, len(self.steps) - 1})
        texts = [_wrapped(self.samples[i]) for i in shown]
        heights = [2.5, *[0.4 + 0.17 * (1 + text.count("\n")) for text in texts]]
        fig, axes = plotting.new_figure(
            len(heights), size=(7.2, sum(heights)), height_ratios=heights
        )
        plotting.curves(axes[0], {"loss": tuple(self.curve)}, xlabel="step", ylabel="loss (nats)")
        with plotting.style():
            for number, (ax, i, text) in enumerate(zip(axes[1:], shown, texts, strict=True), 1):
                spot = (self.steps[i], self.losses[i])
                axes[0].plot(*spot, "o", color=plotting.INK, markersize=7)
                axes[0].annotate(str(number), spot, (6, 6), textcoords="offset points")
                ax.set_axis_off()
                ax.set_title(
                    f"{number}  Step {self.steps[i]:g}, loss {self.losses[i]:.2f}", fontsize=11
                )
                ax.text(
                    0,
                    1,
                    text,
                    va="top",
                    family=["DejaVu Sans Mono"],
                    fontsize=9.5,
                    parse_math=False,
                )
        return fig

    def describe(self) -> str:
        first, last = 0, len(self.steps) - 1
        return (
            f"Loss against training step: {self.losses[first]:.2f} nats at step "
            f"{self.steps[first]:g}, {self.losses[last]:.2f} at step {self.steps[last]:g}. "
            f"Text written at the start: {_brief(self.samples[first])} "
            f"Text written at the end: {_brief(self.samples[last])}"
        )


def _wrapped(text: str, columns: int = 84, lines: int = 4) -> str:
    cut = [
        piece
        for line in text.splitlines()
        # An empty line stays; spaces within a line are part of the sample.
        for piece in textwrap.wrap(line, columns, replace_whitespace=False) or [""]
    ]
    return "\n".join(cut[:lines])


def _brief(text: str, most: int = 80) -> str:
    flat = " ".join(text.split())
    return f'"{flat[:most]}{"…" if len(flat) > most else ""}"'
