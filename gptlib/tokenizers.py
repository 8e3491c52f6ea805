"""Text in, token ids out, and back: characters, byte-level BPE, and GPT-2's own vocabulary.

Training is ours (:mod:`gptlib.bpe`, built in chapter 2); encoding runs in tiktoken, which gives
the same ids as the Python version there, some hundred times faster.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import tiktoken

from gptlib.bpe import count_pieces, learn_merges, split_text
from gptlib.downloads import fetch
from gptlib.tokenizer_file import read, unreadable, write

# gptlib.bpe.SPLIT_PATTERN in the spelling that tiktoken runs fastest. It makes the same cuts.
_FAST_SPLIT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""


# From a million of white space before a word on, tiktoken's pattern engine breaks down.
_LONG_SPACE = 250_000


class CharTokenizer:
    """One id for each character: ids follow the sorted alphabet. Built in chapter 1.

    ``text``: any text; its distinct characters are the alphabet. A ValueError says so when it
    is empty.
    """

    def __init__(self, text: str) -> None:
        _check_type(text)
        if not text:
            raise ValueError(
                "a character tokenizer needs at least one character: pass the training text or "
                "a string with its alphabet"
            )
        self.alphabet = "".join(sorted(set(text)))
        self._ids = {character: i for i, character in enumerate(self.alphabet)}

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        """One id for each character; a ValueError names the first unknown one."""
        _check_type(text)
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            position = next(i for i, character in enumerate(text) if character not in self._ids)
        character = text[position]
        raise ValueError(
            f"the character {character!r} (U+{ord(character):04X}) at position {position} is not "
            f"in this tokenizer's alphabet of {self.vocab_size} characters; build the tokenizer "
            "from a text that holds it, or take it out of this text"
        )

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a sequence of ids (a list, an array or a 1-D tensor)."""
        return "".join([self.alphabet[i] for i in _checked_ids(ids, self.vocab_size)])

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to a JSON file."""
        write(path, "char", {"alphabet": list(self.alphabet)})

    @classmethod
    def load(cls, path: str | Path) -> CharTokenizer:
        """Read what :meth:`save` wrote; a ValueError says what is wrong with any other file."""
        alphabet = read(path, "char", {"alphabet": list})["alphabet"]
        characters = all(isinstance(c, str) and len(c) == 1 for c in alphabet)
        if not alphabet or not characters or alphabet != sorted(set(alphabet)):
            raise unreadable(path, "its alphabet is not a sorted list of distinct characters")
        return cls("".join(alphabet))

    def __repr__(self) -> str:
        return f"CharTokenizer({self.alphabet!r})"


class BPETokenizer:
    """Byte-level BPE: 256 bytes, the merges as learned, special tokens (Radford et al. 2019, 2.2).

    ``merges``: pairs ``(left_id, right_id)``; merge number i makes the id 256 + i.
    ``special_tokens``: strings that stand for one id each, after the merges; they are found in
    text only where ``encode`` is told to. ``byte_order``: the byte of each of the ids 0 to 255;
    plain order unless another vocabulary, such as GPT-2's, has its own.

    Attributes: ``merges``; ``special_tokens``, a dict from string to id; ``ranks``, a dict from
    each ordinary token's bytes to its id; ``encoding``, the :class:`tiktoken.Encoding`.

    A ValueError names merges or special tokens that don't fit together. Built in chapter 2.
    """

    def __init__(
        self,
        merges: Iterable[tuple[int, int]],
        special_tokens: Sequence[str] = (),
        *,
        byte_order: bytes = bytes(range(256)),
    ) -> None:
        if sorted(byte_order) != list(range(256)):
            raise ValueError("byte_order must hold each of the 256 bytes once")
        self.byte_order = bytes(byte_order)
        self._tokens = [bytes([byte]) for byte in byte_order]
        self.merges: list[tuple[int, int]] = []
        self.ranks = {token: i for i, token in enumerate(self._tokens)}
        for left, right in merges:
            new_id = len(self._tokens)
            if not (0 <= left < new_id and 0 <= right < new_id):
                raise ValueError(
                    f"merge {new_id - 256} is ({left}, {right}), but it can only join ids from 0 "
                    f"to {new_id - 1}, which exist before it"
                )
            token = self._tokens[left] + self._tokens[right]
            if token in self.ranks:
                raise ValueError(
                    f"merge {new_id - 256}, ({left}, {right}), makes {token!r}, which already "
                    f"has the id {self.ranks[token]}; each merge must make a new token"
                )
            self.ranks[token] = new_id
            self._tokens.append(token)
            self.merges.append((left, right))
        _check_special_tokens(special_tokens, self.ranks)
        first = len(self._tokens)
        self.special_tokens = {token: first + i for i, token in enumerate(special_tokens)}
        self._tokens += [token.encode() for token in special_tokens]

    @property
    def vocab_size(self) -> int:
        """256 + the number of merges + the number of special tokens."""
        return len(self._tokens)

    @functools.cached_property
    def encoding(self) -> tiktoken.Encoding:
        """The same vocabulary as a :class:`tiktoken.Encoding`, built on first use."""
        return tiktoken.Encoding(
            f"gptlib-bpe-{self.vocab_size}",
            pat_str=_FAST_SPLIT,
            mergeable_ranks=self.ranks,
            special_tokens=self.special_tokens,
            explicit_n_vocab=self.vocab_size,
        )

    def encode(
        self, text: str, allowed_special: Literal["all"] | Collection[str] = ()
    ) -> list[int]:
        """The ids of a text; ``decode`` gives the same text back.

        Special tokens that occur in ``text`` are encoded like any other characters, so that
        text from outside can't forge one; those named in ``allowed_special`` (or ``"all"``)
        become their one id. A ValueError names a lone surrogate or an unknown special token.
        """
        _check_text(text)
        if not allowed_special:
            return self._encode_ordinary(text)
        allowed = set(self.special_tokens) if allowed_special == "all" else set(allowed_special)
        if unknown := allowed - set(self.special_tokens):
            raise ValueError(
                f"allowed_special names {sorted(unknown)}, but this tokenizer's special tokens "
                f'are {list(self.special_tokens)}; pass some of these as a set, or "all"'
            )
        if not _has_long_space(text):
            return self.encoding.encode(text, allowed_special=allowed, disallowed_special=())
        ids: list[int] = []
        for part in re.split(f"({'|'.join(map(re.escape, allowed))})", text):
            special = part in allowed
            ids += [self.special_tokens[part]] if special else self._encode_ordinary(part)
        return ids

    def _encode_ordinary(self, text: str) -> list[int]:
        if not _has_long_space(text):
            return self.encoding.encode_ordinary(text)
        return [i for piece in split_text(text) for i in self.encoding.encode_ordinary(piece)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of a sequence of ids (a list, an array or a 1-D tensor).

        Ids that cut a character's UTF-8 bytes give U+FFFD for the rest of it;
        :meth:`decode_bytes` is always exact.
        """
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of a sequence of ids; a ValueError names an id that isn't in the vocabulary."""
        return self.encoding.decode_bytes(_checked_ids(ids, self.vocab_size))

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token, special or not; a ValueError when there is no such id."""
        return self._tokens[_checked_ids([token_id], self.vocab_size)[0]]

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to a JSON file."""
        content = {
            "merges": self.merges,
            "special_tokens": list(self.special_tokens),
            "byte_order": list(self.byte_order),
        }
        write(path, "bpe", content)

    @classmethod
    def load(cls, path: str | Path) -> BPETokenizer:
        """Read what :meth:`save` wrote; a ValueError says what is wrong with any other file."""
        content = read(path, "bpe", {"merges": list, "special_tokens": list, "byte_order": list})
        merges = content["merges"]
        if not all(type(pair) is list and list(map(type, pair)) == [int, int] for pair in merges):
            raise unreadable(path, "its merges are not pairs of whole numbers")
        try:
            return cls(
                [(left, right) for left, right in merges],
                content["special_tokens"],
                byte_order=bytes(content["byte_order"]),
            )
        except (TypeError, ValueError) as error:
            reason = str(error)
        raise unreadable(path, reason)

    def __repr__(self) -> str:
        return (
            f"<BPETokenizer: {self.vocab_size} tokens, {len(self.merges)} of them merges, "
            f"special tokens {list(self.special_tokens)}>"
        )


def train_bpe(text: str, vocab_size: int, special_tokens: Sequence[str] = ()) -> BPETokenizer:
    """Learn a byte-level BPE vocabulary of exactly ``vocab_size`` tokens from ``text``.

    256 of them are the bytes, the last ``len(special_tokens)`` are special, and the rest are
    merges: the most frequent pair first, between equal counts the smallest pair of ids (see
    :func:`gptlib.bpe.learn_merges`). Special tokens in ``text`` are cut out before counting.
    The same text always gives the same merges.

    A ValueError says so when ``vocab_size`` is too small, when ``text`` is too short for that
    many merges, when it holds a lone surrogate, or when a special token can't be one.

    Sources: Sennrich et al. 2016 (arXiv:1508.07909); Radford et al. 2019, section 2.2. Built in
    chapter 2.
    """
    _check_text(text)
    _check_special_tokens(special_tokens)
    n_fixed = 256 + len(special_tokens)
    n_merges = vocab_size - n_fixed
    if n_merges < 0:
        raise ValueError(
            f"vocab_size is {vocab_size}, but 256 bytes and {len(special_tokens)} special tokens "
            f"already make {n_fixed}; pass vocab_size={n_fixed} or more (each one more is a merge)"
        )
    stretches = [text]
    if special_tokens:
        stretches = re.split("|".join(map(re.escape, special_tokens)), text)
    merges = learn_merges(count_pieces(stretches), n_merges)
    if len(merges) < n_merges:
        raise ValueError(
            f"vocab_size {vocab_size} asks for {n_merges} merges, but this text of {len(text)} "
            f"characters has only {len(merges)}: after them every piece of it is one token; pass "
            f"vocab_size={n_fixed + len(merges)} or less, or a longer text"
        )
    return BPETokenizer(merges, special_tokens)


def gpt2_tokenizer() -> BPETokenizer:
    """GPT-2's published vocabulary: 256 bytes, 50,000 merges and ``<|endoftext|>`` (50256).

    The two files come from ``$GPTLIB_DATA/gpt2-bpe/`` or are downloaded once from OpenAI's
    public storage; both are checked. Without either, a
    :class:`gptlib.downloads.DataUnavailableError` names the remedies.

    Source: Radford et al. 2019, section 2.2. Used from chapter 2 on.
    """
    home = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
    encoder_path = fetch(
        "gpt2-bpe/encoder.json",
        f"{home}/encoder.json",
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        "GPT-2's vocabulary (encoder.json)",
    )
    merges_path = fetch(
        "gpt2-bpe/vocab.bpe",
        f"{home}/vocab.bpe",
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        "GPT-2's list of merges (vocab.bpe)",
    )
    ids = json.loads(encoder_path.read_text(encoding="utf-8"))
    # The first line is a version; each other line is two tokens, written in visible characters.
    lines = merges_path.read_text(encoding="utf-8").split("\n")[1:-1]
    merges = [(ids[left], ids[right]) for left, right in map(str.split, lines)]
    # GPT-2 numbers the bytes that Latin-1 shows as a visible character first, then the others.
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return BPETokenizer(merges, ["<|endoftext|>"], byte_order=bytes(visible + hidden))


def _has_long_space(text: str) -> bool:
    """Whether some block is all white space, as one must be in a run twice its length."""
    starts = range(0, len(text) - _LONG_SPACE + 1, _LONG_SPACE)
    return any(text[i : i + _LONG_SPACE].isspace() for i in starts)


def _check_type(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(
            f"expected the text as a str, got {type(text).__name__}; of a corpus pass .text, of "
            "bytes pass data.decode('utf-8')"
        )


def _check_text(text: str) -> None:
    """Refuse what has no UTF-8 form: tiktoken would silently replace it."""
    _check_type(text)
    try:
        text.encode()
        return
    except UnicodeEncodeError as error:
        position = error.start
    raise ValueError(
        f"the character {text[position]!r} at position {position} is a lone surrogate, half of a "
        "UTF-16 pair: it has no UTF-8 bytes, so it can't be encoded; repair the text with "
        "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
    )


def _check_special_tokens(tokens: Sequence[str], ordinary: Collection[bytes] = ()) -> None:
    if not isinstance(tokens, (list, tuple)):
        raise TypeError(
            "special_tokens must be a list or tuple of strings, whose order gives the ids; got "
            f"{tokens!r:.80}"
        )
    for i, token in enumerate(tokens):
        _check_text(token)
        if not token:
            raise ValueError(f"special token {i} is empty; give it a text such as '<|endoftext|>'")
        if token in tokens[:i]:
            raise ValueError(f"the special token {token!r} is given twice; name each once")
        if token.encode() in ordinary or len(token.encode()) == 1:
            raise ValueError(
                f"the special token {token!r} is already an ordinary token of this vocabulary; "
                "choose a text that doesn't occur otherwise, such as '<|endoftext|>'"
            )
    # In sorted order a prefix stands right before some token that it begins.
    in_order = sorted(tokens)
    for shorter, longer in zip(in_order, in_order[1:], strict=False):
        if longer.startswith(shorter):
            raise ValueError(
                f"the special token {shorter!r} is how {longer!r} begins, so a text could be read "
                "in two ways; rename one of them"
            )


def _checked_ids(ids: Any, vocab_size: int) -> list[int]:
    """The ids as a list of plain ints, all of them inside the vocabulary."""
    try:
        values = ids.tolist() if hasattr(ids, "tolist") else ids
        values = [operator.index(value) for value in values]
    except TypeError:
        raise ValueError(
            f"expected one sequence of whole-number ids, got {ids!r:.80}; of a batch of shape "
            "(B, T), decode one row at a time"
        ) from None
    if values and not 0 <= min(values) <= max(values) < vocab_size:
        position = next(i for i, value in enumerate(values) if not 0 <= value < vocab_size)
        raise ValueError(
            f"the id {values[position]} at position {position} is not in this vocabulary, whose "
            f"ids are 0 to {vocab_size - 1}; was the text encoded with another tokenizer?"
        )
    return values
