"""Sums: the split is exact and complete, strings go there and back, wrong sums are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlib import addition, corpora


@pytest.mark.parametrize("digits, pairs", [(1, 100), (2, 10_000), (3, 1_000_000)])
def test_every_pair_is_in_exactly_one_list(digits, pairs) -> None:
    train, test = addition.split(digits)
    assert len(train) + len(test) == len(set(train) | set(test)) == pairs
    assert len(test) == pairs // 10
    assert all(0 <= a < 10**digits and 0 <= b < 10**digits for a, b in test)


def test_the_split_goes_by_its_seed_and_size() -> None:
    assert addition.split(2, seed=3) == addition.split(2, seed=3)
    assert addition.split(2, seed=3)[1] != addition.split(2, seed=4)[1]
    assert len(addition.split(2, test=500)[1]) == 500


def test_the_sums_of_the_paper_format() -> None:
    assert addition.encode(85, 50) == "8550531"
    assert addition.encode(85, 50, reverse=False) == "8550135"
    assert addition.encode(6, 39) == "0639540"
    assert addition.line(6, 39) == "06+39=045"
    assert addition.to_ids("0639") == [0, 6, 3, 9]


@given(st.integers(1, 3), st.booleans(), st.data())
def test_strings_go_there_and_back(digits, reverse, data) -> None:
    number = st.integers(0, 10**digits - 1)
    a, b = data.draw(number), data.draw(number)
    text = addition.encode(a, b, digits, reverse)
    assert addition.decode(text, digits, reverse) == (a, b, a + b)
    assert addition.is_correct(text, digits, reverse)
    assert addition.from_ids(addition.to_ids(text)) == text
    place = data.draw(st.integers(2 * digits, len(text) - 1))
    wrong = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    assert not addition.is_correct(wrong, digits, reverse)


@pytest.mark.parametrize("text", ["", "855053", "85505311", "85+5053", "855053x", "85505３1"])
def test_what_is_no_sum_is_not_correct_and_names_the_form(text) -> None:
    assert not addition.is_correct(text)
    with pytest.raises(ValueError, match="7 digits 0-9"):
        addition.decode(text)


def test_errors() -> None:
    with pytest.raises(ValueError, match="digits is 4"):
        addition.split(4)
    with pytest.raises(ValueError, match="test is 10000"):
        addition.split(2, test=10_000)
    with pytest.raises(ValueError, match="100 is not a whole number from 0 to 99"):
        addition.encode(100, 1)
    with pytest.raises(ValueError, match="12 is not a token id"):
        addition.from_ids([1, 12])


@pytest.mark.parametrize("reverse", [False, True])
def test_the_corpus_holds_the_split(reverse) -> None:
    corpus = corpora.load("addition", reverse=reverse)
    train, test = addition.split(2)
    assert corpus.train.split() == [addition.line(a, b, reverse=reverse) for a, b in train]
    assert corpus.val.split() == [addition.line(a, b, reverse=reverse) for a, b in test]
    assert not set(corpus.train.split()) & set(corpus.val.split())
