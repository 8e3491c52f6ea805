"""The class chain: its exact entropy against two other derivations, and what its text does."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest

from gptlib import class_chain, corpora
from gptlib.class_chain import ClassChain, make_chain

CHAIN = make_chain()
CLOSED_FORM = math.log(20) - sum(w / 100 * math.log(w / 100) for w in class_chain.WEIGHTS)


def small_chain() -> ClassChain:
    """Two classes of unlike sizes and rows of unlike entropy, so that nothing cancels."""
    classes = (("aa", "ab", "ac"), ("ba",))
    return ClassChain(classes, (((9, 1), (2, 3)), ((1, 1), (1, 4))))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_entropy_rate_is_the_closed_form(seed) -> None:
    # Every row deals out the same chances and every class has 20 words, so that the average
    # over visits is over equal numbers.
    assert make_chain(seed).entropy_rate() == pytest.approx(CLOSED_FORM, abs=1e-10)


def test_entropy_rate_of_unlike_rows_is_that_of_the_eigenvector() -> None:
    chain = small_chain()
    pairs = list(itertools.product(range(2), repeat=2))
    step = np.zeros((4, 4))
    for a, (i, j) in enumerate(pairs):
        for k, p in enumerate(chain.next_class_probs(i, j)):
            step[a, pairs.index((j, k))] = p
    values, vectors = np.linalg.eig(step.T)
    share = np.real(vectors[:, np.argmax(np.real(values))])
    share /= share.sum()
    expected = sum(
        share[a] * -p * math.log(p / len(chain.classes[k]))
        for a, (i, j) in enumerate(pairs)
        for k, p in enumerate(chain.next_class_probs(i, j))
    )
    assert chain.entropy_rate() == pytest.approx(expected, abs=1e-9)


def test_the_true_model_reaches_the_entropy_rate() -> None:
    words = CHAIN.generate(60_000, random.Random(7))
    # The loss of one word has a standard deviation of about 1.4 nats: 5 standard errors.
    assert CHAIN.perfect_loss(words) == pytest.approx(CHAIN.entropy_rate(), abs=0.03)


def test_perfect_loss_is_the_mean_of_the_word_probabilities() -> None:
    chain = small_chain()
    words = chain.generate(50, random.Random(3))
    each = [
        -math.log(chain.next_word_probs(words[t - 2], words[t - 1])[words[t]])
        for t in range(2, len(words))
    ]
    assert chain.perfect_loss(words) == pytest.approx(sum(each) / len(each))


def test_words_are_two_hundred_and_dealt_out_evenly() -> None:
    assert len(set(CHAIN.words)) == 200
    assert [len(members) for members in CHAIN.classes] == [20] * 10
    assert sum(CHAIN.next_word_probs("bami", "bani").values()) == pytest.approx(1)


def test_the_language_changes_with_its_seed() -> None:
    assert make_chain(0) == CHAIN
    assert make_chain(1).classes != CHAIN.classes


def test_counting_pairs_of_words_hardly_helps_and_classes_would() -> None:
    """What chapter 1 rests on: word bigrams overfit, while hidden class pairs carry a nat."""
    corpus = corpora.load("class-chain")
    train, val = corpus.train.split(), corpus.val.split()
    assert (len(train), len(val)) == (12_000, 6_000)
    ones, pairs = Counter(train), Counter(itertools.pairwise(train))

    def unigram(word: str) -> float:
        return (ones[word] + 1) / (len(train) + 200)

    def bigram(before: str, word: str) -> float:
        return 0.2 * pairs[before, word] / ones[before] + 0.8 * unigram(word)

    one_loss = -sum(math.log(unigram(w)) for w in val) / len(val)
    two_loss = -sum(math.log(bigram(a, b)) for a, b in itertools.pairwise(val)) / len(val)
    perfect = CHAIN.perfect_loss(val)
    assert 5.1 < two_loss < one_loss < math.log(200) + 0.02
    assert perfect < two_loss - 1


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="multiple"):
        make_chain(n_words=205)
    with pytest.raises(ValueError, match="not words of this language: xyz"):
        CHAIN.perfect_loss(["bami", "xyz", "bani"])
    with pytest.raises(ValueError, match="at least 3 words"):
        CHAIN.perfect_loss(["bami"])
