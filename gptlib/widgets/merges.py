"""The merge stepper: byte-level BPE at work on one text, a merge at a time. Chapter 2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets
from matplotlib.figure import Figure

from gptlib import plotting
from gptlib.bpe import merge_pair, split_text
from gptlib.tokenizers import BPETokenizer
from gptlib.widgets.base import InteractiveView, module

MOST_BYTES = 400  # more would not fit on a screen


@dataclass(frozen=True)
class MergeStep:
    """The text after one merge: ``number`` in the merge list, its two parts, what is there now."""

    number: int
    left: bytes
    right: bytes
    tokens: tuple[bytes, ...]


def merge_steps(text: str, tokenizer: BPETokenizer) -> list[MergeStep]:
    """The merges that change ``text``, in the order in which they were learned.

    Merges of the vocabulary that find nothing in this text are left out; the last step's tokens
    are what ``tokenizer.encode(text)`` gives. Built in chapter 2.
    """
    rank = {pair: i for i, pair in enumerate(tokenizer.merges)}
    ids = {tokenizer.token_bytes(i): i for i in range(256)}  # the base vocabulary
    words = [[ids[bytes([byte])] for byte in piece.encode()] for piece in split_text(text)]
    steps: list[MergeStep] = []
    while True:
        pairs = {pair for word in words for pair in zip(word, word[1:], strict=False)}
        found = min((rank[pair] for pair in pairs if pair in rank), default=None)
        if found is None:
            return steps
        left, right = tokenizer.merges[found]
        words = [merge_pair(word, (left, right), 256 + found) for word in words]
        now = tuple(tokenizer.token_bytes(i) for word in words for i in word)
        parts = (tokenizer.token_bytes(left), tokenizer.token_bytes(right))
        steps.append(MergeStep(found, *parts, now))


def token_text(token: bytes) -> str:
    """A token for the eye: white space visible, and bytes that are no whole character as \\xe4."""
    try:
        return plotting.visible(token.decode())
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in token)


class BPEMergeStepper(InteractiveView):
    """Step forwards and back through the merges that a tokenizer makes in ``text``.

    tokenizer: a :class:`~gptlib.tokenizers.BPETokenizer`, or its list of merges
    (``tokenizer.merges``, pairs of ids). ``step`` is where to start, 0 for single bytes.
    ``value`` holds ``step``, ``steps``, ``tokens`` (bytes) and ``merge``, the pair joined last.
    """

    _esm = module("merges.js")

    step = traitlets.Int(0, min=0).tag(sync=True)
    pieces = traitlets.List().tag(sync=True)  # a list for each piece, each byte as two hex digits
    rules = traitlets.List().tag(sync=True)  # [number, left, right], hex digits
    tokens_in_browser = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self, text: str, tokenizer: BPETokenizer | Iterable[Sequence[int]], *, step: int = 0
    ) -> None:
        if not isinstance(tokenizer, BPETokenizer):
            tokenizer = BPETokenizer([(int(left), int(right)) for left, right in tokenizer])
        if not text or len(text.encode()) > MOST_BYTES:
            raise ValueError(
                f"the text has {len(text.encode())} bytes; the stepper shows 1 to {MOST_BYTES}: "
                "pass a sentence or two"
            )
        self._steps = merge_steps(text, tokenizer)
        self._start = tuple(bytes([byte]) for byte in text.encode())
        if not 0 <= step <= len(self._steps):
            raise ValueError(f"step {step} of {len(self._steps)}: this text has no such merge")
        super().__init__(
            label="BPE merge stepper",
            step=step,
            pieces=[[f"{byte:02x}" for byte in piece.encode()] for piece in split_text(text)],
            rules=[[s.number, s.left.hex(), s.right.hex()] for s in self._steps],
        )

    def _tokens(self, step: int) -> tuple[bytes, ...]:
        return self._steps[step - 1].tokens if step else self._start

    @property
    def value(self) -> dict[str, Any]:
        last = self._steps[self.step - 1] if self.step else None
        return {
            "step": self.step,
            "steps": len(self._steps),
            "tokens": list(self._tokens(self.step)),
            "merge": (last.left, last.right) if last else None,
        }

    def figure(self) -> Figure:
        last = len(self._steps)
        moments = {0, last // 3, 2 * last // 3, last}
        if self.step not in moments:  # the present step takes the place of its neighbour
            moments -= {min((last // 3, 2 * last // 3), key=lambda m: abs(m - self.step))}
        moments = sorted(moments | {self.step})
        heights = [0.5 + 0.34 * self._lines(moment) for moment in moments]
        fig, axes = plotting.new_figure(
            len(moments), size=(7.2, sum(heights)), height_ratios=heights
        )
        for ax, moment in zip(axes if len(moments) > 1 else [axes], moments, strict=True):
            tokens = self._tokens(moment)
            joined = b"".join(self._merge(moment)) if moment else None
            plotting.token_strip(
                ax,
                [token_text(token) for token in tokens],
                marked=[token == joined for token in tokens],
                title=f"{self._after(moment)}: {len(tokens)} tokens",
            )
        return fig

    def _lines(self, step: int, columns: int = 64) -> int:
        wide = sum(len(token_text(token)) + 1 for token in self._tokens(step))
        return 1 + wide // (columns - 4)

    def _merge(self, step: int) -> tuple[bytes, bytes]:
        return self._steps[step - 1].left, self._steps[step - 1].right

    def _after(self, step: int) -> str:
        if not step:
            return "Bytes, before any merge"
        left, right = (token_text(part) for part in self._merge(step))
        return f"After {step} of {len(self._steps)} merges, the last {left} + {right}"

    def describe(self) -> str:
        first, last = self._start, self._tokens(len(self._steps))
        return (
            f"The text as tokens while {len(self._steps)} byte-pair merges are applied: "
            f"{len(first)} bytes become {len(last)} tokens, "
            f"{' | '.join(token_text(token) for token in last)}."
        )
