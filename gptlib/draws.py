"""Random draws that are the same on every Python and every operating system.

Python promises one thing only about ``random.Random``: that ``random()`` gives the same numbers
for the same integer seed in every version. ``choice``, ``shuffle``, ``sample`` and ``randrange``
carry no such promise, and have changed before. The generated corpora must be equal byte for byte
everywhere, so everything that they draw is built here from ``random()`` alone, and the items to
draw from are sequences, never sets, whose order depends on the hash seed.

Source: Python documentation, module ``random``, "Notes on Reproducibility".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def below(rng: random.Random, n: int) -> int:
    """A whole number from 0 to n - 1, all equally likely. ValueError where n is below 1."""
    if n < 1:
        raise ValueError(f"there is no whole number from 0 to {n - 1}; n must be at least 1")
    return int(rng.random() * n)


def chance(rng: random.Random, probability: float) -> bool:
    """True with the given probability."""
    return rng.random() < probability


def pick(rng: random.Random, items: Sequence[T]) -> T:
    """One of the items, all equally likely."""
    return items[below(rng, len(items))]


def pick_weighted(rng: random.Random, items: Sequence[T], weights: Sequence[int]) -> T:
    """One of the items, with chances in proportion to whole-number weights.

    Whole numbers keep the running sum exact, so that no rounding can move a boundary.
    """
    target = below(rng, sum(weights))
    for item, weight in zip(items, weights, strict=True):
        target -= weight
        if target < 0:
            return item
    raise AssertionError("the weights add up to less than their sum")


def shuffled(rng: random.Random, items: Sequence[T]) -> list[T]:
    """A new list with the items in random order (Fisher and Yates, from the end)."""
    mixed = list(items)
    for last in range(len(mixed) - 1, 0, -1):
        other = below(rng, last + 1)
        mixed[last], mixed[other] = mixed[other], mixed[last]
    return mixed


def sample(rng: random.Random, items: Sequence[T], k: int) -> list[T]:
    """k different items in random order. ValueError where there are fewer than k."""
    if not 0 <= k <= len(items):
        raise ValueError(f"{k} different items were asked for, but there are {len(items)}")
    return shuffled(rng, items)[:k]
