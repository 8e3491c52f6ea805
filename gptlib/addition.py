"""Sums as strings of digits: a task with right and wrong answers, split into seen and unseen.

Two numbers of n digits and their sum, which has n + 1, are written one after another with leading
zeros: 85 + 50 = 135 becomes "8550135". A model that predicts the next digit has learned to add
when it completes sums that it never saw. Written from the last digit to the first ("8550531"), the
sum comes in the order in which people carry, and every digit depends on what is already there.

The task and its format: Karpathy, minGPT, projects/adder. Used in chapter 4.
"""

from __future__ import annotations

import random

from gptlib.draws import below, shuffled

# Up to here every pair is listed and shuffled; 4 digits have 100 million pairs.
MAX_DIGITS = 3


def _check_digits(digits: int) -> None:
    if not 1 <= digits <= MAX_DIGITS:
        raise ValueError(f"digits is {digits}; this task lists every pair, for 1 to {MAX_DIGITS}")


def split(
    digits: int = 2, seed: int = 0, test: int | None = None
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """All pairs of numbers below 10**digits, shuffled by the seed and split in two lists.

    Returns (train, test): together every ordered pair exactly once, 10,000 for two digits.
    ``test`` is the number of pairs held out, a tenth where it isn't given. A pair (a, b) may be in
    one list and (b, a) in the other. ValueError outside 1-3 digits, or where a list would be empty.
    """
    _check_digits(digits)
    n = 10**digits
    held_out = n * n // 10 if test is None else test
    if not 0 < held_out < n * n:
        raise ValueError(f"test is {held_out}; it must be from 1 to {n * n - 1} of {n * n} pairs")
    order = shuffled(random.Random(seed), range(n * n))
    pairs = [divmod(index, n) for index in order]
    return pairs[:-held_out], pairs[-held_out:]


def encode(a: int, b: int, digits: int = 2, reverse: bool = True) -> str:
    """The sum as 3 * digits + 1 digits: a, b, then a + b, last digit first where ``reverse``.

    >>> encode(85, 50), encode(85, 50, reverse=False)
    ('8550531', '8550135')
    """
    _check_digits(digits)
    for number in (a, b):
        if not 0 <= number < 10**digits:
            raise ValueError(f"{number} is not a whole number from 0 to {10**digits - 1}")
    total = f"{a + b:0{digits + 1}d}"
    return f"{a:0{digits}d}{b:0{digits}d}" + (total[::-1] if reverse else total)


def decode(text: str, digits: int = 2, reverse: bool = True) -> tuple[int, int, int]:
    """(a, b, claimed sum) of a string made as in ``encode``; the sum may be wrong.

    ValueError where the string has another length or anything but the digits 0-9.
    """
    _check_digits(digits)
    expected = 3 * digits + 1
    if len(text) != expected or not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a sum of {digits}-digit numbers: {expected} digits 0-9")
    total = text[2 * digits :]
    return (
        int(text[:digits]),
        int(text[digits : 2 * digits]),
        int(total[::-1] if reverse else total),
    )


def is_correct(text: str, digits: int = 2, reverse: bool = True) -> bool:
    """Whether the string is a well-formed, true sum. Never raises for what a model wrote."""
    try:
        a, b, total = decode(text, digits, reverse)
    except ValueError:
        return False
    return a + b == total


def to_ids(text: str) -> list[int]:
    """Token ids of a string of digits: every digit is its own id, so the vocabulary has 10."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} has something other than the digits 0-9")
    return [int(digit) for digit in text]


def from_ids(ids: list[int]) -> str:
    """The string of digits with these token ids."""
    wrong = [i for i in ids if not 0 <= i <= 9]
    if wrong:
        raise ValueError(f"{wrong[0]} is not a token id of this task; ids go from 0 to 9")
    return "".join(str(int(i)) for i in ids)


def line(a: int, b: int, digits: int = 2, reverse: bool = False) -> str:
    """The sum as people write it, with leading zeros: "85+50=135", or "85+50=531" reversed."""
    text = encode(a, b, digits, reverse)
    return f"{text[:digits]}+{text[digits : 2 * digits]}={text[2 * digits :]}"


def random_pair(rng: random.Random, digits: int = 2) -> tuple[int, int]:
    """Two numbers below 10**digits, drawn independently."""
    _check_digits(digits)
    return below(rng, 10**digits), below(rng, 10**digits)
