"""Byte-pair encoding, written out: split, learn merges, apply merges.

GPT-2 cuts text into pieces with a pattern, writes each piece as UTF-8 bytes, and then joins
neighbours: training finds which pairs are worth a token of their own, encoding applies what
training found. Bytes are the base vocabulary, so that no text is ever unknown.

Sources: Sennrich, Haddow and Birch 2016 (arXiv:1508.07909), algorithm 1; Radford et al. 2019
(GPT-2), section 2.2. Built in chapter 2; the tokenizers that use this are in
:mod:`gptlib.tokenizers`.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import regex

# The pattern released with GPT-2: English contractions, then runs of letters, of numbers and of
# other signs, each with the one space before it; then what is left of the white space.
SPLIT_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""

_SPLIT = regex.compile(SPLIT_PATTERN)


def split_text(text: str) -> list[str]:
    """Cut text into the pieces that merges never cross; joined, they are the text again.

    ``split_text("It's 42!")`` is ``["It", "'s", " 42", "!"]``.
    Source: Radford et al. 2019, section 2.2. Built in chapter 2.
    """
    return _SPLIT.findall(text)


def count_pieces(texts: Iterable[str]) -> Counter[bytes]:
    """How often each piece occurs in ``texts``, the piece as its UTF-8 bytes.

    Learning from this table costs a step for each *distinct* piece; in English text those are
    some twenty times fewer than the pieces. Built in chapter 2.
    """
    pieces: Counter[str] = Counter()
    for text in texts:
        pieces.update(split_text(text))
    return Counter({piece.encode(): count for piece, count in pieces.items()})


def merge_pair(ids: Sequence[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """``ids`` with every occurrence of ``pair`` replaced by ``new_id``, taken from the left.

    ``merge_pair([1, 1, 1, 2], (1, 1), 9)`` is ``[9, 1, 2]``: occurrences don't overlap.
    Built in chapter 2.
    """
    left, right = pair
    merged: list[int] = []
    position = 0
    last = len(ids) - 1
    while position <= last:
        if ids[position] == left and position < last and ids[position + 1] == right:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


def learn_merges(
    pieces: Mapping[Sequence[int], int], n_merges: int, first_id: int = 256
) -> list[tuple[int, int]]:
    """Learn at most ``n_merges`` merges from a table of pieces and their counts.

    ``pieces``: each piece as a sequence of base ids below ``first_id`` (``bytes`` are such a
    sequence). Merge number i is a pair ``(left_id, right_id)`` and makes the id
    ``first_id + i``. The list is shorter than ``n_merges`` when every piece has become a
    single token.

    The rule: merge the pair with the highest count; between equal counts, the smallest pair,
    compared as Python compares tuples of ids. The result therefore doesn't depend on the order
    of the pieces. A pair counts once for each place where its two ids are neighbours, so that
    "aaa" holds the pair (a, a) twice.

    Recounting everything after each merge would be correct and slow. A merge changes only the
    pieces that hold its pair, so an index from pairs to pieces says where to look, and a heap
    gives the best pair. Built in chapter 2.
    """
    words = [list(piece) for piece in pieces]
    frequencies = list(pieces.values())
    counts: dict[tuple[int, int], int] = defaultdict(int)
    places: dict[tuple[int, int], set[int]] = defaultdict(set)  # pair -> indices into words
    for place, (word, frequency) in enumerate(zip(words, frequencies, strict=True)):
        for pair in zip(word, word[1:], strict=False):
            counts[pair] += frequency
            places[pair].add(place)

    # The smallest entry of the heap is the highest count and then the smallest pair. Every pair
    # has one entry; its count may be out of date, but then it is too high, never too low.
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int]] = []
    while heap and len(merges) < n_merges:
        count, best = heapq.heappop(heap)
        if -count != counts[best]:
            if counts[best] > 0:
                heapq.heappush(heap, (-counts[best], best))
            continue
        new_id = first_id + len(merges)
        merges.append(best)
        new_pairs: set[tuple[int, int]] = set()
        for place in places.pop(best):
            before, frequency = words[place], frequencies[place]
            after = merge_pair(before, best, new_id)
            if len(after) == len(before):
                continue  # an earlier merge already took this piece's last such pair
            words[place] = after
            for pair in zip(before, before[1:], strict=False):
                counts[pair] -= frequency
            for pair in zip(after, after[1:], strict=False):
                counts[pair] += frequency
                if new_id in pair:
                    places[pair].add(place)
                    new_pairs.add(pair)
        # Only pairs with the new id can have gained, and none of them is in the heap yet.
        for pair in new_pairs:
            heapq.heappush(heap, (-counts[pair], pair))
    return merges


def bpe_encode_bytes(piece: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """The ids of one piece: join the neighbours of lowest rank, again and again.

    ``ranks``: the bytes of every token, to its id; tokens learned earlier have lower ids, and
    all 256 single bytes must be there. This is the slow, readable form of what tiktoken does.
    Source: Radford et al. 2019, section 2.2. Built in chapter 2.
    """
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while len(parts) > 1:
        joined = [a + b for a, b in zip(parts, parts[1:], strict=False)]
        candidates = [(ranks[token], i) for i, token in enumerate(joined) if token in ranks]
        if not candidates:
            break
        _, i = min(candidates)  # lowest rank, and the leftmost of equals
        parts[i : i + 2] = [joined[i]]
    return [ranks[part] for part in parts]


def bpe_encode(text: str, ranks: Mapping[bytes, int]) -> list[int]:
    """The ids of a text: its pieces, encoded one by one. Built in chapter 2."""
    return [
        token for piece in split_text(text) for token in bpe_encode_bytes(piece.encode(), ranks)
    ]
