"""Chapter 1 against gptlib, torch and plain counting: codec, n-grams, measures, filters."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gptlib.evaluation import evaluate
from gptlib.sampling import filter_logits, penalise_repetition
from gptlib.tokenizers import CharTokenizer
from tests.chapter_definitions import definitions

CHAPTER = "01_next_token"
SEEDS = pytest.mark.parametrize("seed", range(3))


def some_logits(seed, *shape, dtype=torch.float32):
    """Random logits; those of an odd seed are whole numbers, so that many are equal."""
    logits = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return logits.round() if seed % 2 else logits


def some_text(seed, length=200, alphabet="abcde"):
    """Random letters in which a letter often stands next to itself."""
    rng = random.Random(seed)
    letters = [rng.choice(alphabet)]
    for _ in range(length - 1):
        letters.append(letters[-1] if rng.random() < 0.3 else rng.choice(alphabet))
    return "".join(letters)


def places(text, gram):
    """How often a gram stands in a text, looked for at every place."""
    return sum(text[i : i + len(gram)] == gram for i in range(len(text) - len(gram) + 1))


@SEEDS
def test_the_codec_is_a_char_tokenizer(seed):
    own = definitions(CHAPTER, "CharCodec")
    text = some_text(seed, 80, "zeta \n'.?é你好🙂" * 2 + "ZA")
    codec, tokenizer = own.CharCodec(text), CharTokenizer(text)
    assert "".join(codec.alphabet) == tokenizer.alphabet
    for part in (text, text[::-3], text[:1], ""):
        ids = codec.encode(part)
        assert ids == tokenizer.encode(part)
        assert codec.decode(ids) == tokenizer.decode(ids) == part


@SEEDS
@pytest.mark.parametrize("V", [1, 2, 7])
def test_bigrams_are_counted_as_by_looking_at_every_place(seed, V):
    own = definitions(CHAPTER, "bigram_counts")
    ids = torch.randint(V, (40,), generator=torch.Generator().manual_seed(seed))
    pairs = [[places(ids.tolist(), [a, b]) for b in range(V)] for a in range(V)]
    assert own.bigram_counts(ids, V).tolist() == pairs


def test_a_path_through_a_table_is_drawn_by_its_rows():
    own = definitions(CHAPTER, "sample_bigram")
    table = torch.tensor([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    path = own.sample_bigram(table, 2, 8000, torch.Generator().manual_seed(0))
    assert path[0] == 2 and len(path) == 8001
    counts = Counter(itertools.pairwise(path))
    for a, b in itertools.product(range(3), repeat=2):
        share = counts[a, b] / sum(counts[a, c] for c in range(3))
        assert share == pytest.approx(table[a, b].item(), abs=0.03)
    again = own.sample_bigram(table, 2, 8000, torch.Generator().manual_seed(0))
    assert again == path


@SEEDS
@pytest.mark.parametrize("n_characters", [50, 71, 150])
def test_perplexity_and_bits_are_those_of_evaluate(seed, n_characters):
    own = definitions(CHAPTER, "perplexity", "bits_per_character")
    V, N = 6, 50
    log_table = some_logits(seed, V, V, dtype=torch.float64).log_softmax(-1)
    ids = torch.randint(V, (N,), generator=torch.Generator().manual_seed(seed))

    def model(ids, targets):
        logits = log_table[ids]
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    scored = evaluate(model, ids, block_size=7, text="x" * n_characters)
    charges = [log_table[a, b].item() for a, b in itertools.pairwise(ids.tolist())]
    assert own.perplexity(charges) == pytest.approx(scored.perplexity, rel=1e-9)
    # evaluate counts the first token, which nothing predicts, at the mean of the others.
    expected = scored.bits_per_character * (N - 1) / N
    assert own.bits_per_character(charges, n_characters) == pytest.approx(expected, rel=1e-9)


@SEEDS
@pytest.mark.parametrize("order", [1, 2, 4])
def test_counts_are_those_of_every_place(seed, order):
    own = definitions(CHAPTER, "Counts")
    text = some_text(seed, 60, "abc")
    counts = own.Counts(text, order, 3)
    assert (counts.order, counts.vocab_size) == (order, 3)
    assert max(map(len, counts.count)) == order
    for n in range(1, order + 1):
        for gram in map("".join, itertools.product("abc", repeat=n)):
            assert counts.count[gram] == places(text, gram)
            followers = [places(text, gram[:-1] + c) for c in "abc"]
            assert counts.total[gram[:-1]] == sum(followers)
            assert counts.kinds[gram[:-1]] == sum(f > 0 for f in followers)
    words = own.Counts(tuple(text), order, 3)  # of words, a gram is a tuple
    assert words.count == {tuple(gram): c for gram, c in counts.count.items()}


MODELS = {
    "plain": lambda own, counts: own.NGram(counts),
    "add-one": lambda own, counts: own.AddOne(counts),
    "Witten-Bell": lambda own, counts: own.Interpolated(counts),
    "strength 20": lambda own, counts: own.Interpolated(counts, 20),
    "Kneser-Ney": lambda own, counts: own.KneserNey(counts),
    "Kneser-Ney 0.3": lambda own, counts: own.KneserNey(counts, 0.3),
}


def expected_prob(name, text, gram, V, shorter=False):
    """The formulas of chapter 1 from scratch; a count is a search of the text."""
    letters = sorted(set(text))
    context = gram[:-1]

    def count(g):
        if not shorter:
            return places(text, g)
        return sum(places(text, c + g) > 0 for c in letters)  # different tokens before g

    followers = [count(context + c) for c in letters]
    total, kinds = sum(followers), sum(f > 0 for f in followers)
    if name == "plain":
        return count(gram) / total if total else 0.0
    if name == "add-one":
        return (count(gram) + 1) / (total + V)
    kneser_ney = name.startswith("Kneser-Ney")
    below = expected_prob(name, text, gram[1:], V, kneser_ney) if len(gram) > 1 else 1 / V
    if name == "Witten-Bell":
        return (count(gram) + kinds * below) / (total + kinds) if total else below
    if name == "strength 20":
        return (count(gram) + 20 * below) / (total + 20)
    discount = 0.3 if name.endswith("0.3") else 0.75
    if not total:
        return below
    return max(count(gram) - discount, 0) / total + discount * kinds / total * below


@SEEDS
@pytest.mark.parametrize("name", MODELS)
def test_ngram_models_follow_their_formulas_and_sum_to_one(seed, name):
    own = definitions(CHAPTER, "Counts", "NGram", "AddOne", "Interpolated", "KneserNey")
    text, V = some_text(seed, 50, "abc"), 5  # two tokens of the vocabulary never occur
    model = MODELS[name](own, own.Counts(text, 3, V))
    for n in (0, 1, 2):
        for context in map("".join, itertools.product("abcd", repeat=n)):
            probs = [model.prob(context + c) for c in "abcde"]
            expected = [expected_prob(name, text, context + c, V) for c in "abcde"]
            assert probs == pytest.approx(expected, rel=1e-9)
            unseen = name == "plain" and not any(expected)
            assert sum(probs) == pytest.approx(0 if unseen else 1, rel=1e-9)


@SEEDS
@pytest.mark.parametrize("n", [1, 2, 3])
def test_losses_charge_every_token_once(seed, n):
    own = definitions(CHAPTER, "Counts", "NGram", "AddOne", "losses", "mean")
    text, other = some_text(seed, 50), some_text(seed + 10, 40)
    counts = own.Counts(text, 3, 5)
    charged = own.losses(own.AddOne(counts), other, n)
    probs = [expected_prob("add-one", text, other[max(0, t - n + 1) : t + 1], 5) for t in range(40)]
    assert charged == pytest.approx([-math.log(p) for p in probs], rel=1e-9)
    assert own.mean(charged) == pytest.approx(math.log(math.prod(probs)) / -40, rel=1e-9)
    assert own.losses(own.NGram(counts), "z", n) == [math.inf]


@SEEDS
@pytest.mark.parametrize(("B", "n_context", "n_embd", "n_hidden"), [(4, 2, 16, 64), (1, 3, 5, 8)])
def test_the_neural_model_is_a_sequence_of_torch_layers(seed, B, n_context, n_embd, n_hidden):
    own = definitions(CHAPTER, "NeuralLM")
    V = 11
    model = own.NeuralLM(V, n_context, n_embd, n_hidden, seed=seed)
    layers = nn.Sequential(
        nn.Embedding(V, n_embd),
        nn.Flatten(),
        nn.Linear(n_context * n_embd, n_hidden),
        nn.Tanh(),
        nn.Linear(n_hidden, V),
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for bias in (model.d, model.b):  # they begin at 0, where an error would not show
            bias.normal_(generator=generator)
        layers[0].weight.copy_(model.C)
        layers[2].weight.copy_(model.H.T)
        layers[2].bias.copy_(model.d)
        layers[4].weight.copy_(model.U.T)
        layers[4].bias.copy_(model.b)
    ids = torch.randint(V, (B, n_context), generator=generator)
    torch.testing.assert_close(model(ids), layers(ids), rtol=1e-5, atol=1e-5)
    again = own.NeuralLM(V, n_context, n_embd, n_hidden, seed=seed)
    assert torch.equal(again.C, model.C) and torch.equal(again.H, model.H)


FILTERED = pytest.mark.parametrize("shape", [(9,), (4, 40), (2, 3, 7)])


@pytest.mark.parametrize("seed", range(4))
@FILTERED
@pytest.mark.parametrize("k", [1, 2, 6, 50])
def test_top_k_is_gptlibs(seed, shape, k):
    own = definitions(CHAPTER, "top_k_filter")
    logits = some_logits(seed, *shape)
    assert torch.equal(own.top_k_filter(logits, k), filter_logits(logits, top_k=k))


@pytest.mark.parametrize("seed", range(4))
@FILTERED
@pytest.mark.parametrize("p", [0.01, 0.3, 0.8, 0.95])
def test_top_p_is_gptlibs(seed, shape, p):
    own = definitions(CHAPTER, "top_p_filter")
    logits = some_logits(seed, *shape)
    assert torch.equal(own.top_p_filter(logits, p), filter_logits(logits, top_p=p))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("p", [0.01, 0.3, 0.8, 0.95])
def test_gpt2s_rule_keeps_the_largest_set_of_top_tokens_within_p(seed, p):
    own = definitions(CHAPTER, "top_p_at_most")
    logits = some_logits(seed, 3, 8, dtype=torch.float64)
    for row, kept in zip(logits, own.top_p_at_most(logits, p), strict=True):
        probs = row.softmax(-1).tolist()
        ranked = sorted(range(8), key=lambda i: (-probs[i], i))
        fitting = [n for n in range(9) if sum(probs[i] for i in ranked[:n]) <= p]
        chosen = ranked[: max(1, *fitting, 0)]
        expected = [row[i].item() if i in chosen else -math.inf for i in range(8)]
        assert kept.tolist() == expected


@SEEDS
@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3])
@pytest.mark.parametrize(("B", "T"), [(1, 1), (3, 12)])
def test_the_repetition_penalty_is_gptlibs(seed, penalty, B, T):
    own = definitions(CHAPTER, "repetition_penalty")
    logits = some_logits(seed, B, 9)
    seen = torch.randint(9, (B, T), generator=torch.Generator().manual_seed(seed))
    expected = penalise_repetition(logits, seen, penalty)
    assert torch.equal(own.repetition_penalty(logits, seen, penalty), expected)
