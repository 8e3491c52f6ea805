"""From logits to text: temperature, top-k, top-p, repetition penalty, stop tokens, a KV cache.

The order is the one in common use: repetition penalty, temperature, top-k, top-p, then a draw
from what is left. Built in chapter 1; the cache is built in chapter 6.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gptlib.model import GPT


def filter_logits(logits: Tensor, top_k: int | None = None, top_p: float | None = None) -> Tensor:
    """Set the logits of all tokens outside the chosen set to minus infinity.

    logits: ``(..., V)``. ``top_k`` keeps exactly k tokens, the most probable ones (Fan et al.
    2018, arXiv:1805.04833). ``top_p`` keeps the *smallest* set of most probable tokens whose
    mass is at least p (nucleus sampling, Holtzman et al. 2019, arXiv:1904.09751, section 3.1),
    measured after top-k where both are given. Tokens of equal logit count in order of their id.
    Returns a new tensor of the same shape. Built in chapter 1.
    """
    _check_filters(top_k, top_p)
    V = logits.size(-1)
    if (top_k is None or top_k >= V) and (top_p is None or top_p == 1.0):
        return logits.clone()
    ranked, order = logits.sort(dim=-1, descending=True, stable=True)  # (..., V)
    if top_k is not None and top_k < V:
        ranked[..., top_k:] = float("-inf")
    if top_p is not None and top_p < 1.0:
        probs = ranked.softmax(dim=-1, dtype=_precise(ranked.dtype))
        mass_before = probs.cumsum(dim=-1) - probs  # what the more probable tokens hold already
        ranked[mass_before >= top_p] = float("-inf")
    return torch.empty_like(logits).scatter_(-1, order, ranked)


def penalise_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens that have occurred less probable: divide positive logits, multiply negative ones.

    logits: ``(B, V)``; seen: ``(B, T)`` ids. A penalty of 1 changes nothing. Returns ``(B, V)``.
    Source: Keskar et al. 2019 (CTRL), arXiv:1909.05858, section 4.1.
    """
    if not penalty > 0:
        raise ValueError(
            f"repetition_penalty is {penalty}; it must be above 0, and 1 changes nothing"
        )
    old = logits.gather(-1, seen)  # (B, T)
    return logits.scatter(-1, seen, torch.where(old > 0, old / penalty, old * penalty))


def next_token_probs(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float | None = None,
    seen: Tensor | None = None,
) -> Tensor:
    """The distribution that the next token is drawn from. logits: ``(B, V)``; returns ``(B, V)``.

    ``seen``: ``(B, T)``, the ids that a repetition penalty looks at. At temperature 0 all the
    mass is on the most probable token (the first of equals).
    """
    _check_filters(top_k, top_p)
    logits = logits.to(_precise(logits.dtype))
    if not 0.0 <= temperature < float("inf"):
        raise ValueError(f"temperature is {temperature}; it must be 0 (greedy) or a number above 0")
    if repetition_penalty is not None and repetition_penalty != 1.0:
        if seen is None:
            raise ValueError(
                "a repetition penalty needs the ids so far: pass seen=ids, shape (B, T)"
            )
        logits = penalise_repetition(logits, seen, repetition_penalty)
    if temperature == 0.0:
        probs = torch.zeros_like(logits)
        return probs.scatter_(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    if temperature != 1.0:
        logits = logits / temperature
    if top_k is not None or top_p is not None:
        logits = filter_logits(logits, top_k, top_p)
    return logits.softmax(dim=-1)


def generate(
    model: GPT,
    ids: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    repetition_penalty: float | None = None,
    stop: int | Iterable[int] | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Tensor:
    """Continue each row of ``ids`` by up to ``max_new_tokens`` tokens.

    ids: ``(B, T)``, at least one token a row. ``temperature=0`` is greedy. ``stop``: one id or
    several; a row that has produced one is filled up with that id, and generation ends when all
    rows have. Past ``block_size`` the model sees the last ``block_size`` tokens. With the cache
    each position is computed once, with the same result as without.
    Returns ``(B, T + n)`` with ``n <= max_new_tokens``, prompt included. Built in chapters 1 and 6.
    """
    _check_prompt(model, ids, max_new_tokens)
    _check_filters(top_k, top_p)
    T = ids.size(1)
    tokens = torch.cat([ids.long(), ids.new_zeros(ids.size(0), max_new_tokens).long()], dim=1)
    stop_ids = _stop_ids(stop, ids.device)
    finished = torch.zeros(ids.size(0), dtype=torch.bool, device=ids.device)
    end = T
    with torch.inference_mode(), _for_decoding(model):
        for logits in _next_logits(model, tokens, T, use_cache):
            probs = next_token_probs(
                logits, temperature, top_k, top_p, repetition_penalty, tokens[:, :end]
            )
            new = torch.multinomial(probs, 1, generator=generator).squeeze(1)  # (B,)
            tokens[:, end] = torch.where(finished, tokens[:, end - 1], new)
            end += 1
            if stop_ids is not None:
                finished |= torch.isin(tokens[:, end - 1], stop_ids)
                if finished.all():
                    break
    return tokens[:, :end].clone()


def _next_logits(model: GPT, tokens: Tensor, start: int, use_cache: bool) -> Iterator[Tensor]:
    """Yield the logits ``(B, V)`` for position ``start``, then the next, to the end of ``tokens``.

    The caller writes each new token into ``tokens`` before it asks for the next logits.
    """
    B, last = tokens.shape
    block_size = model.config.block_size
    threads = torch.get_num_threads()
    cache = None
    if use_cache and start <= block_size:
        cache = model.new_cache(B, min(block_size, last))
    for end in range(start, last):
        if cache is not None and end <= block_size:
            # The work on one token is too small to share out: threads would wait for each other.
            torch.set_num_threads(1 if B == 1 and cache.length else threads)
            x = model.features(tokens[:, cache.length : end], cache)  # only what is new
        else:  # positions have moved with the window, so nothing computed before can be kept
            torch.set_num_threads(threads)
            x = model.features(tokens[:, max(0, end - block_size) : end])
        yield model.lm_head(x[:, -1])


@contextmanager
def _for_decoding(model: GPT) -> Iterator[None]:
    """Evaluation mode for a while, then modules (some may be frozen) and threads as they were."""
    threads = torch.get_num_threads()
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        torch.set_num_threads(threads)


def _precise(dtype: torch.dtype) -> torch.dtype:
    """float32 for the short floats, whose sums of many small probabilities go wrong."""
    return torch.promote_types(dtype, torch.float32)


def _check_filters(top_k: int | None, top_p: float | None) -> None:
    whole = hasattr(top_k, "__index__") and not isinstance(top_k, bool)
    if top_k is not None and (not whole or top_k < 1):
        raise ValueError(f"top_k is {top_k!r}; it must be a whole number of at least 1, or None")
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise ValueError(f"top_p is {top_p!r}; it must be above 0 and at most 1, or None")


def _check_prompt(model: GPT, ids: Tensor, max_new_tokens: int) -> None:
    if not isinstance(ids, Tensor):
        raise TypeError(
            f"ids is a {type(ids).__name__}; expected a tensor of shape (B, T): for one prompt "
            "use torch.tensor([tokenizer.encode(text)])"
        )
    if ids.dim() != 2:
        raise ValueError(
            f"ids has shape {tuple(ids.shape)}; expected (B, T): for one prompt use ids[None]"
        )
    if ids.size(1) == 0:
        raise ValueError("the prompt is empty; give at least one token, for example a line break")
    if ids.dtype.is_floating_point or ids.dtype == torch.bool:
        raise ValueError(f"ids has dtype {ids.dtype}; token ids are integers, use ids.long()")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; it must be 0 or more")
    V = model.config.vocab_size
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= V):
        raise ValueError(
            f"ids holds {int(ids.min())} to {int(ids.max())} but the model knows 0 to {V - 1}; "
            "was the text encoded with the tokenizer that the model was trained with?"
        )


def _stop_ids(stop: int | Iterable[int] | None, device: torch.device) -> Tensor | None:
    if stop is None:
        return None
    try:
        ids = [operator.index(stop)]
    except TypeError:
        ids = [int(i) for i in stop]
    return torch.tensor(ids, dtype=torch.long, device=device) if ids else None
