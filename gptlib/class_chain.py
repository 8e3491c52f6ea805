"""A made-up language whose best possible loss is known exactly.

200 invented words fall into 10 hidden classes. A text is drawn class by class: the next class
depends on the two classes before it (a second-order Markov chain), and the word is then drawn
from the 20 words of that class, all equally likely. Nobody sees the classes.

The language separates two kinds of model. An n-gram model counts words: of 40,000 pairs of words
a text of 12,000 words shows only a part, most of them once, so it can hardly use its context. A
neural language model (Bengio et al. 2003) can place the words of a class near each other, and
then 100 pairs of classes are all that it has to learn. Because we own the generator, the entropy
rate is known, and with it how far every model is from perfect.

Class-based chains: Brown et al. 1992, "Class-based n-gram models of natural language".
Used in chapter 1.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gptlib.draws import below, pick, pick_weighted, sample, shuffled

N_WORDS = 200
N_CLASSES = 10
TRAIN_WORDS = 12_000
VAL_WORDS = 6_000
# Chances in percent of the ten next classes, most likely first; each pair of classes deals them
# out anew. Whole numbers keep the drawing exact on every machine.
WEIGHTS = (75, 10, 5, 3, 2, 1, 1, 1, 1, 1)

# Letters that spell few real words, so that nothing but the text tells what a word does.
_CONSONANTS = "bdlmnrstv"
_VOWELS = "aiou"


def invented_words(n: int, rng: random.Random) -> list[str]:
    """n different pronounceable words of two syllables, such as "balu", in random order."""
    syllables = [c + v for c in _CONSONANTS for v in _VOWELS]
    return sample(rng, [a + b for a in syllables for b in syllables if a != b], n)


@dataclass(frozen=True)
class ClassChain:
    """The language: ``classes`` holds the words of each class; ``weights[i][j][k]`` is the weight
    (a whole number) of class k after class i and then class j."""

    classes: tuple[tuple[str, ...], ...]
    weights: tuple[tuple[tuple[int, ...], ...], ...]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All words, sorted: a word-level vocabulary."""
        return tuple(sorted(word for members in self.classes for word in members))

    @cached_property
    def class_of(self) -> dict[str, int]:
        """The hidden class of every word."""
        return {word: k for k, members in enumerate(self.classes) for word in members}

    def next_class_probs(self, before: int, last: int) -> list[float]:
        """Probabilities of the next class after the classes ``before`` and ``last``."""
        row = self.weights[before][last]
        total = sum(row)
        return [weight / total for weight in row]

    def next_word_probs(self, before: str, last: str) -> dict[str, float]:
        """Exact probabilities of every next word after two words: what no model can beat."""
        probs = self.next_class_probs(self.class_of[before], self.class_of[last])
        return {
            word: probs[k] / len(members)
            for k, members in enumerate(self.classes)
            for word in members
        }

    def stationary(self, tolerance: float = 1e-13) -> list[list[float]]:
        """Long-run share of every pair of classes, [before][last], by power iteration."""
        n = len(self.classes)
        probs = [[self.next_class_probs(i, j) for j in range(n)] for i in range(n)]
        share = [[1 / n**2] * n for _ in range(n)]
        for _ in range(10_000):
            moved = [
                [sum(share[i][j] * probs[i][j][k] for i in range(n)) for k in range(n)]
                for j in range(n)
            ]
            change = sum(abs(moved[i][j] - share[i][j]) for i in range(n) for j in range(n))
            share = moved
            if change < tolerance:
                return share
        raise ValueError("the chain did not settle: some classes may never reach each other")

    def entropy_rate(self) -> float:
        """Exact entropy rate in nats per word: the loss of a perfect model.

        The entropy of the next class given the last two, plus that of the word in its class,
        each averaged over how often the chain visits them.
        """
        n = len(self.classes)
        share = self.stationary()
        nats = 0.0
        for i in range(n):
            for j in range(n):
                for k, p in enumerate(self.next_class_probs(i, j)):
                    if p > 0:
                        nats += share[i][j] * p * (math.log(len(self.classes[k])) - math.log(p))
        return nats

    def perfect_loss(self, words: Sequence[str]) -> float:
        """Mean loss in nats of the true probabilities on this text, from its third word on.

        It scatters around the entropy rate, as every finite text does. A ValueError names a word
        that isn't in the language, or asks for at least three words.
        """
        if len(words) < 3:
            raise ValueError(f"a loss needs at least 3 words, here are {len(words)}")
        unknown = sorted({word for word in words if word not in self.class_of})
        if unknown:
            raise ValueError(f"not words of this language: {', '.join(unknown[:5])}")
        k = [self.class_of[word] for word in words]
        nats = 0.0
        for t in range(2, len(k)):
            p = self.next_class_probs(k[t - 2], k[t - 1])[k[t]]
            nats += math.log(len(self.classes[k[t]])) - (math.log(p) if p else -math.inf)
        return nats / (len(k) - 2)

    def generate(self, n: int, rng: random.Random) -> list[str]:
        """n words, from two classes drawn at random."""
        before, last = below(rng, len(self.classes)), below(rng, len(self.classes))
        words = []
        for _ in range(n):
            row = self.weights[before][last]
            before, last = last, pick_weighted(rng, range(len(row)), row)
            words.append(pick(rng, self.classes[last]))
        return words


def make_chain(seed: int = 0, n_words: int = N_WORDS, n_classes: int = N_CLASSES) -> ClassChain:
    """The language of this seed. Built in chapter 1.

    ValueError where the words can't be dealt out evenly or the number of classes isn't 10, for
    which the weights are made.
    """
    if n_classes != len(WEIGHTS) or n_words < n_classes or n_words % n_classes:
        raise ValueError(
            f"{n_words} words in {n_classes} classes were asked for; the chain has "
            f"{len(WEIGHTS)} classes, and the number of words must be a multiple of that"
        )
    rng = random.Random(seed)
    words = invented_words(n_words, rng)
    size = n_words // n_classes
    classes = tuple(tuple(sorted(words[k * size : (k + 1) * size])) for k in range(n_classes))
    weights = tuple(
        tuple(tuple(shuffled(rng, WEIGHTS)) for _ in range(n_classes)) for _ in range(n_classes)
    )
    return ClassChain(classes, weights)
