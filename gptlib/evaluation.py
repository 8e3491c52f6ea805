"""How well a model predicts a text: loss, perplexity and bits, over a whole split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ID_TYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Evaluation:
    """The score of a model on a text.

    ``loss``: mean over the predicted tokens, nats per token. ``predicted``: how many tokens were
    predicted, all but the first. ``characters`` and ``bytes`` (of UTF-8): the length of the whole
    text, None when :func:`evaluate` was given neither text nor tokenizer.

    Loss and perplexity depend on how the text was cut into tokens, so they compare models only
    under one tokenizer. Bits per character or byte compare any two:
    ``bits_per_character = bits_per_token * tokens / characters``, where ``tokens`` counts all
    tokens of the text (the first, which nothing predicts, is counted at the mean of the others;
    so with one token a character, bits per character and per token are the same number).
    Derived in chapter 2.
    """

    loss: float
    predicted: int
    characters: int | None = None
    bytes: int | None = None

    @property
    def perplexity(self) -> float:
        """exp(loss): as unsure as a fair choice among this many tokens."""
        try:
            return math.exp(self.loss)
        except OverflowError:  # above 709 nats: only a broken model gets there
            return math.inf

    @property
    def bits_per_token(self) -> float:
        """The loss in bits: loss / ln 2."""
        return self.loss / math.log(2)

    @property
    def bits_per_character(self) -> float:
        """Bits per character of the text; needs ``text=`` or ``tokenizer=`` in evaluate."""
        return self.bits_per(self.characters)

    @property
    def bits_per_byte(self) -> float:
        """Bits per UTF-8 byte of the text; needs ``text=`` or ``tokenizer=`` in evaluate."""
        return self.bits_per(self.bytes)

    def bits_per(self, count: int | None) -> float:
        """Bits per unit, when the whole text has ``count`` of them (words, characters, pages)."""
        if count is None:
            raise ValueError(
                "the length of the text in characters is not known; call "
                "evaluate(..., text=...) or evaluate(..., tokenizer=...), or give the number "
                "yourself: evaluation.bits_per(len(text))"
            )
        if count < 1:
            raise ValueError(f"count is {count}; the text must have at least one unit")
        return self.bits_per_token * (self.predicted + 1) / count

    def __str__(self) -> str:
        return (
            f"{self.loss:.4f} nats per token, perplexity {self.perplexity:.2f} "
            f"({self.predicted:,} tokens predicted)"
        )


def evaluate(
    model: nn.Module | Callable[..., tuple[Any, Tensor]],
    ids: Tensor,
    *,
    block_size: int | None = None,
    batch_size: int = 32,
    stride: int | None = None,
    text: str | None = None,
    tokenizer: Any = None,
) -> Evaluation:
    """Score ``model`` on all of ``ids`` ``(N,)``: each token but the first is predicted once.

    The text is cut into windows of ``block_size`` (the model's own unless given), side by side;
    the last may be shorter and counts by its number of tokens. A token at the start of a window
    is predicted from little context, so the score is somewhat pessimistic. ``stride`` below
    ``block_size`` lets windows overlap: each starts ``stride`` tokens after the one before and
    scores only what that one did not, so that from the second window on every token has at least
    ``block_size - stride`` tokens of context, at ``block_size / stride`` times the cost.

    ``model(ids, targets)`` must return ``(logits, loss)``, the loss being the mean over targets
    that are not -100. It is run without gradients, a module in eval mode; the mode it had is put
    back. ``text`` is the text of ``ids``, or ``tokenizer`` one whose ``decode`` gives it back:
    either one adds bits per character and per byte.

    Source: perplexity in windows as in Radford et al. 2019, section 3.1; overlapping windows as
    in Baevski and Auli 2019, arXiv:1809.10853, section 4. Built in chapter 4.
    """
    config = getattr(model, "config", None)
    check_ids(ids, "ids", at_least=2, vocab_size=getattr(config, "vocab_size", None))
    if block_size is None:
        block_size = getattr(config, "block_size", None)
        if block_size is None:
            raise ValueError("the model has no config.block_size; pass block_size=")
    stride = block_size if stride is None else stride
    if block_size < 1 or batch_size < 1:
        raise ValueError(f"block_size is {block_size}, batch_size {batch_size}; both must be >= 1")
    if not 1 <= stride <= block_size:
        raise ValueError(
            f"stride is {stride}; it must be between 1 and block_size ({block_size}), "
            "or some tokens would never be predicted"
        )
    text = _text_of(ids, text, tokenizer)

    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    device = ids.device if parameter is None else parameter.device
    was_training = getattr(model, "training", False)
    if was_training:
        model.eval()
    total = 0.0  # nats, summed in float64: a Python float
    try:
        with torch.inference_mode():
            for inputs, targets, scored in _windows(ids, block_size, stride, batch_size):
                _, loss = model(inputs.to(device), targets.to(device))
                # The loss is a mean; a batch with fewer tokens must weigh less.
                total += loss.item() * scored
    finally:
        if was_training:
            model.train()
    predicted = ids.numel() - 1
    return Evaluation(
        loss=total / predicted,
        predicted=predicted,
        characters=None if text is None else len(text),
        bytes=None if text is None else len(text.encode("utf-8", "surrogatepass")),
    )


def _windows(
    ids: Tensor, block_size: int, stride: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Inputs and targets ``(B, T)``, and how many targets of the batch are not -100."""
    inputs, targets = ids[:-1].long(), ids[1:].long()  # (N - 1,) each
    n_targets = targets.numel()
    n_full = max(0, (n_targets - block_size) // stride + 1)  # windows of full length
    if n_full:
        x = inputs.unfold(0, block_size, stride)  # (n_full, T): views, nothing is copied
        y = targets.unfold(0, block_size, stride)
        for first in range(0, n_full, batch_size):
            batch_y = y[first : first + batch_size].clone()  # (B, T)
            # All windows but the very first leave out what the window before has scored.
            batch_y[1 if first == 0 else 0 :, : block_size - stride] = -100
            kept = batch_y.size(0) * stride + (block_size - stride if first == 0 else 0)
            yield x[first : first + batch_size], batch_y, kept
    done = (n_full - 1) * stride + block_size if n_full else 0
    if done < n_targets:
        start = n_full * stride
        last_y = targets[start:].clone()
        last_y[: done - start] = -100
        yield inputs[start:][None], last_y[None], n_targets - done


def check_ids(ids: Any, name: str, *, at_least: int, vocab_size: int | None = None) -> None:
    """Raise an error that says what to do unless ``ids`` is a usable 1-D tensor of token ids."""
    if not isinstance(ids, Tensor):
        raise TypeError(
            f"{name} is a {type(ids).__name__}; expected a 1-D tensor of token ids: "
            "torch.tensor(tokenizer.encode(text))"
        )
    if ids.dim() != 1:
        raise ValueError(
            f"{name} has shape {tuple(ids.shape)}; expected one long row of token ids, (N,)"
        )
    if ids.dtype not in ID_TYPES:
        raise TypeError(f"{name} is of type {ids.dtype}; token ids are integers: use {name}.long()")
    if ids.numel() < at_least:
        raise ValueError(
            f"{name} has {ids.numel()} tokens but at least {at_least} are needed: "
            "give a longer text or a smaller block_size"
        )
    low, high = (int(x) for x in torch.aminmax(ids))
    if low < 0 or (vocab_size is not None and high >= vocab_size):
        raise ValueError(
            f"{name} holds ids from {low} to {high}, but the model knows 0 to "
            f"{'...' if vocab_size is None else vocab_size - 1}: was the text encoded with "
            "another tokenizer than the one the model was made for?"
        )


def _text_of(ids: Tensor, text: str | None, tokenizer: Any) -> str | None:
    if tokenizer is None:
        return text
    decoded = tokenizer.decode(ids.tolist())
    if text is not None and decoded != text:
        raise ValueError(
            "the tokenizer decodes ids to another text than the one given: "
            f"{len(decoded)} characters against {len(text)}; pass the text that was encoded"
        )
    return decoded
