"""Chapter 2 against gptlib.bpe, tiktoken and Python's own codec: bytes, merges, ids, words."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

import pytest
import tiktoken

from gptlib.bpe import (
    SPLIT_PATTERN,
    bpe_encode,
    bpe_encode_bytes,
    count_pieces,
    learn_merges,
    merge_pair,
    split_text,
)
from gptlib.tokenizers import BPETokenizer, train_bpe
from tests.chapter_definitions import definitions

CHAPTER = "02_tokenization"
SEEDS = pytest.mark.parametrize("seed", range(4))
FEW = "ab"  # so few letters that counts are often equal and pairs often overlap
MANY = "etaoin  \n\t'.,s019é你好🙂सωЖ"


def some_text(seed, length, alphabet):
    rng = random.Random(seed)
    return "".join(rng.choice(alphabet) for _ in range(length))


def some_words(seed, n_words, alphabet="abcde"):
    """Text of few different words, so that there is something to merge."""
    rng = random.Random(seed)
    words = [some_text(rng.random(), rng.randrange(1, 9), alphabet) for _ in range(12)]
    return " ".join(rng.choice(words) for _ in range(n_words))


def test_utf8_by_hand_is_pythons_codec():
    own = definitions(CHAPTER, "utf8_by_hand")
    edges = [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF]
    rng = random.Random(0)
    others = [rng.randrange(2 ** rng.randrange(1, 20)) for _ in range(3000)]
    for code_point in edges + [c for c in others if not 0xD800 <= c < 0xE000]:
        assert own.utf8_by_hand(code_point) == chr(code_point).encode()


@SEEDS
def test_word_units_are_words_and_single_signs(seed):
    own = definitions(CHAPTER, "word_units")
    text = some_text(seed, 60, "ab1_ .,!é你\n")
    expected = []
    for block in text.split():
        word = ""
        for character in block:
            if character.isalnum() or character == "_":
                word += character
                continue
            expected += [word, character] if word else [character]
            word = ""
        expected += [word] if word else []
    assert own.word_units(text) == expected


@SEEDS
@pytest.mark.parametrize("n_kinds", [1, 2, 4])
def test_pairs_are_counted_and_merged_as_in_gptlib(seed, n_kinds):
    own = definitions(CHAPTER, "count_pairs", "best_pair", "merge")
    rng = random.Random(seed)
    for length in (0, 1, 2, 3, 50):
        ids = [rng.randrange(n_kinds) for _ in range(length)]
        pairs = [(ids[i], ids[i + 1]) for i in range(length - 1)]
        counts = own.count_pairs(ids)
        assert counts == Counter(pairs)
        if pairs:
            assert learn_merges({tuple(ids): 1}, 1, first_id=9) == [own.best_pair(counts)]
        for pair in [*set(pairs), (0, 0), (7, 7)]:
            assert own.merge(ids, pair, 9) == merge_pair(ids, pair, 9)


@SEEDS
@pytest.mark.parametrize("alphabet", [FEW, MANY])
def test_naive_training_learns_gptlibs_merges_of_one_piece(seed, alphabet):
    own = definitions(CHAPTER, "train_bpe_naive", "spell")
    text = some_text(seed, 120, alphabet)
    for n_merges in (0, 1, 30, 500):  # 500 are more than there are
        merges = own.train_bpe_naive(text, n_merges)
        assert merges == learn_merges({text.encode(): 1}, n_merges)
        tokenizer = BPETokenizer(merges[:20])
        expected = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
        assert own.spell(merges[:20]) == expected


@SEEDS
@pytest.mark.parametrize("alphabet", [FEW, "abcde", MANY])
def test_slow_training_learns_gptlibs_merges(seed, alphabet):
    own = definitions(CHAPTER, "learn_merges_slow")
    text = some_words(seed, 150, alphabet)
    pieces = count_pieces([text])
    merges = own.learn_merges_slow(pieces, 500)
    assert merges == learn_merges(pieces, 500)
    assert merges[:8] == train_bpe(text, 256 + min(8, len(merges))).merges


@SEEDS
def test_text_is_cut_as_in_gptlib(seed):
    own = definitions(CHAPTER, "split_by_pattern", "PATTERN")
    assert own.PATTERN == SPLIT_PATTERN
    for text in (some_text(seed, 300, MANY), "I'll don't 'tis x²\r\n\n  y\u3000 ", ""):
        assert own.split_by_pattern(text) == split_text(text)


@pytest.mark.oracle
@SEEDS
@pytest.mark.parametrize("alphabet", [FEW, "abcde", MANY])
def test_encoding_by_rank_is_gptlibs_and_tiktokens(seed, alphabet):
    own = definitions(CHAPTER, "encode_by_rank", "encode_piece_by_rank")
    ranks = BPETokenizer(learn_merges(count_pieces([some_words(seed, 200, alphabet)]), 40)).ranks
    oracle = tiktoken.Encoding(
        "chapter 2", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    for text in (some_words(seed, 60, alphabet), some_text(seed + 10, 200, alphabet + "? ")):
        ids = own.encode_by_rank(text, ranks)
        assert ids == bpe_encode(text, ranks) == oracle.encode(text)
        whole = text.encode()[:60]  # one piece, whatever signs it holds
        assert own.encode_piece_by_rank(whole, ranks) == bpe_encode_bytes(whole, ranks)


@SEEDS
def test_greedy_encoding_takes_the_longest_token_each_time(seed):
    own = definitions(CHAPTER, "encode_greedily")
    text = some_words(seed, 100)
    ranks = BPETokenizer(learn_merges(count_pieces([text]), 40)).ranks
    by_length = sorted(ranks, key=len, reverse=True)
    longest_first = re.compile(b"|".join(map(re.escape, by_length)), re.DOTALL)
    expected = [
        ranks[token]
        for piece in split_text(text)
        for token in longest_first.findall(piece.encode())
    ]
    assert own.encode_greedily(text, ranks) == expected


@SEEDS
@pytest.mark.parametrize("longest", [2, 4])
def test_max_match_takes_the_longest_word_each_time(seed, longest):
    own = definitions(CHAPTER, "max_match")
    text = some_text(seed, 200, "我爱读书你好")
    rng = random.Random(seed)
    starts = [rng.randrange(190) for _ in range(25)]
    lexicon = {text[i : i + rng.randrange(1, 5)] for i in starts}
    words = sorted((w for w in lexicon if 1 < len(w) <= longest), key=len, reverse=True)
    assert own.max_match(text, lexicon, longest) == re.findall("|".join([*words, "."]), text)
    for word in own.max_match(text, lexicon, longest):
        assert word in lexicon or len(word) == 1


@SEEDS
@pytest.mark.parametrize("order", [1, 2, 3])
def test_witten_bell_is_chapter_1s(seed, order):
    own = definitions(CHAPTER, "WittenBell")
    first = definitions("01_next_token", "Counts", "Interpolated", "losses")
    text, other = some_text(seed, 100, "abc"), some_text(seed + 10, 50, "abcd")
    model = own.WittenBell(list(text), order, 6)
    reference = first.Interpolated(first.Counts(tuple(text), order, 6))
    bits = sum(first.losses(reference, tuple(other), order)) / math.log(2)
    assert model.bits(list(other)) == pytest.approx(bits, rel=1e-9)
    for context in ((), ("a",), ("d",), ("a", "d"))[: order + 1]:
        for unit in "abcd":
            gram = (*context, unit)
            assert model.probability(gram) == pytest.approx(reference.prob(gram), rel=1e-9)
