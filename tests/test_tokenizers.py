"""What the tokenizers promise on their own: round trips, rules, files and error messages."""

from __future__ import annotations

import json
from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlib.bpe import (
    bpe_encode,
    bpe_encode_bytes,
    count_pieces,
    learn_merges,
    merge_pair,
    split_text,
)
from gptlib.tokenizers import BPETokenizer, CharTokenizer, gpt2_tokenizer, train_bpe

MANUAL = "".join(topics[name] for name in sorted(topics))[:50_000]
EOT = "<|endoftext|>"

AWKWARD = [
    "",
    " ",
    "\x00",
    "\x00\x01\x1f\x7f\x85",
    "one\r\ntwo\r\n\r\n",
    " " * 500 + "x" + "\t" * 300 + "\n" * 200,
    "語言模型預測下一個詞。",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 é",
    "it's we'll I'D 3rd 1234567890 !?!?",
    "\ufeffbyte order mark, \ufffd, \U0010ffff",
    "الذكاء हिन्दी ไทย",
    EOT,
]


@pytest.fixture(scope="module")
def small() -> BPETokenizer:
    return train_bpe(MANUAL, 600, [EOT, "<|user|>"])


# --- gptlib.bpe -----------------------------------------------------------------------------


def test_split_follows_the_published_examples() -> None:
    assert split_text("It's 42!") == ["It", "'s", " 42", "!"]
    assert split_text("a  b\n\n c ") == ["a", " ", " b", "\n\n", " c", " "]
    # The contractions are lower case only, as released.
    assert split_text("I'M") == ["I", "'", "M"]


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(split_text(text)) == text


def test_merge_pair_takes_from_the_left() -> None:
    assert merge_pair([1, 1, 1, 2], (1, 1), 9) == [9, 1, 2]
    assert merge_pair([1, 2, 1, 2, 1], (1, 2), 9) == [9, 9, 1]
    assert merge_pair([], (1, 2), 9) == []
    assert merge_pair([2, 1], (1, 2), 9) == [2, 1]


def test_count_pieces_counts_bytes() -> None:
    assert count_pieces(["a b b", " b é"]) == {b"a": 1, b" b": 3, " é".encode(): 1}


def recount_merges(words: dict[bytes, int], n_merges: int) -> list[tuple[int, int]]:
    """The rule as a student would write it: count everything again before every merge."""
    table = [(list(word), count) for word, count in words.items()]
    merges: list[tuple[int, int]] = []
    while len(merges) < n_merges:
        counts: Counter[tuple[int, int]] = Counter()
        for ids, count in table:
            for i in range(len(ids) - 1):
                counts[ids[i], ids[i + 1]] += count
        if not counts:
            break
        highest = max(counts.values())
        best = min(pair for pair, count in counts.items() if count == highest)
        for ids, _ in table:
            i = 0
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == best:
                    ids[i : i + 2] = [256 + len(merges)]
                i += 1
        merges.append(best)
    return merges


# Few letters and short texts: many pairs with equal counts, and runs such as "aaaa".
ties = st.text(alphabet="aab \n1'é", max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.one_of(ties, st.text(max_size=40)), st.integers(0, 40))
def test_incremental_training_equals_a_recount(text: str, n_merges: int) -> None:
    pieces = count_pieces([text])
    assert learn_merges(pieces, n_merges) == recount_merges(pieces, n_merges)


def test_incremental_training_equals_a_recount_on_the_manual() -> None:
    pieces = count_pieces([MANUAL])
    merges = learn_merges(pieces, 300)
    assert len(merges) == 300
    assert merges == recount_merges(pieces, 300)


@given(ties, st.randoms(use_true_random=False))
def test_training_does_not_depend_on_the_order_of_the_pieces(text: str, random) -> None:
    pieces = count_pieces([text])
    items = list(pieces.items())
    random.shuffle(items)
    assert learn_merges(dict(items), 20) == learn_merges(pieces, 20)


def test_ties_go_to_the_smallest_pair() -> None:
    # Every pair occurs once. After (b, c) = (98, 99) the pair (x, y) is smaller than any
    # with the new id 256 on its left.
    assert learn_merges({b"xy": 1, b"bcd": 1}, 3) == [(98, 99), (120, 121), (256, 100)]


def test_encoder_applies_the_lowest_rank_first() -> None:
    ranks = {bytes([i]): i for i in range(256)} | {b"bc": 256, b"ab": 257, b"abc": 258}
    assert bpe_encode_bytes(b"abc", ranks) == [258]
    assert bpe_encode_bytes(b"abbc", ranks) == [257, 256]
    assert bpe_encode_bytes(b"", ranks) == []
    assert bpe_encode("ab bc", ranks) == [257, 32, 256]


# --- characters -----------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(), min_size=1))
def test_characters_round_trip(text: str) -> None:
    tokenizer = CharTokenizer(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.alphabet == "".join(sorted(set(text)))
    assert len(ids) == len(text) and max(ids) < tokenizer.vocab_size == len(set(text))


def test_character_ids_follow_the_sorted_alphabet() -> None:
    tokenizer = CharTokenizer("hello")
    assert tokenizer.alphabet == "ehlo"
    assert tokenizer.encode("hello") == [1, 0, 2, 2, 3]
    assert CharTokenizer("ehlo").encode("hello") == [1, 0, 2, 2, 3]
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""


def test_unknown_character_is_named() -> None:
    with pytest.raises(ValueError, match=r"'é' \(U\+00E9\) at position 2 .* 4 characters; build"):
        CharTokenizer("hello").encode("heé")


def test_character_errors() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        CharTokenizer("")
    with pytest.raises(TypeError, match="got bytes"):
        CharTokenizer("ab").encode(b"ab")
    with pytest.raises(ValueError, match="id -1 at position 1 .* 0 to 1"):
        CharTokenizer("ab").decode([0, -1])
    with pytest.raises(ValueError, match="id 2 at position 0"):
        CharTokenizer("ab").decode([2])


@given(st.text(alphabet=st.characters(exclude_categories=()), min_size=1))
@settings(max_examples=30)
def test_characters_survive_a_file(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.mktemp("char") / "chars.json"
    CharTokenizer(text).save(path)
    assert CharTokenizer.load(path).alphabet == CharTokenizer(text).alphabet


def test_two_halves_of_a_pair_stay_two_characters_in_a_file(tmp_path) -> None:
    tokenizer = CharTokenizer("\ud83d\ude00")  # written as one JSON string, they would be an emoji
    tokenizer.save(tmp_path / "chars.json")
    assert CharTokenizer.load(tmp_path / "chars.json").vocab_size == tokenizer.vocab_size == 2


# --- byte-level BPE -------------------------------------------------------------------------


def test_vocabulary_is_bytes_then_merges_then_special(small: BPETokenizer) -> None:
    assert small.vocab_size == 600 and len(small.merges) == 600 - 256 - 2
    assert [small.token_bytes(i) for i in range(256)] == [bytes([i]) for i in range(256)]
    for i, (left, right) in enumerate(small.merges):
        assert small.token_bytes(256 + i) == small.token_bytes(left) + small.token_bytes(right)
    assert small.special_tokens == {EOT: 598, "<|user|>": 599}
    assert small.token_bytes(599) == b"<|user|>"
    assert small.encoding.n_vocab == 600


@given(st.text())
def test_any_text_round_trips(small: BPETokenizer, text: str) -> None:
    ids = small.encode(text)
    assert small.decode(ids) == text
    assert small.decode_bytes(ids) == text.encode()


@pytest.mark.parametrize("text", AWKWARD, ids=ascii)
def test_awkward_text_round_trips(small: BPETokenizer, text: str) -> None:
    assert small.decode(small.encode(text)) == text
    assert small.decode(small.encode(text, allowed_special="all")) == text
    assert train_bpe(text, 256).encode(text) == list(text.encode())


def test_a_million_spaces_before_a_word_round_trip() -> None:
    tokenizer = train_bpe("ab ab  ab", 259, [EOT])
    few, many = (f"ab{' ' * n}ab{' ' * n}{EOT}ab" for n in (9, 1_000_001))
    assert tokenizer.decode(tokenizer.encode(many)) == many
    ids = tokenizer.encode(many, allowed_special="all")
    assert tokenizer.decode(ids) == many
    assert ids.count(258) == 1
    # The same pieces as in the short text, which goes to tiktoken in one call.
    short = tokenizer.encode(few, allowed_special="all")
    assert [i for i in ids if i != 32] == [i for i in short if i != 32]
    assert len(ids) - len(short) == 2 * (1_000_001 - 9)


@given(st.lists(st.integers(0, 599)))
def test_any_ids_decode_to_their_bytes(small: BPETokenizer, ids: list[int]) -> None:
    expected = b"".join(small.token_bytes(i) for i in ids)
    assert small.decode_bytes(ids) == expected
    assert small.decode(ids) == expected.decode(errors="replace")


def test_a_cut_character_decodes_to_the_replacement_character() -> None:
    tokenizer = train_bpe("", 256)
    ids = tokenizer.encode("語")
    assert len(ids) == 3
    assert tokenizer.decode(ids[:2]) == "\ufffd"
    assert tokenizer.decode_bytes(ids[:2]) == "語".encode()[:2]


def test_special_tokens_only_where_allowed(small: BPETokenizer) -> None:
    text = f"a{EOT}b<|user|>"
    assert 598 not in small.encode(text)
    assert small.encode(text, allowed_special={EOT})[1] == 598
    assert 599 not in small.encode(text, allowed_special=[EOT])
    assert small.encode(text, allowed_special="all") == [97, 598, 98, 599]
    with pytest.raises(ValueError, match=r"names \['<\|assistant\|>'\], but"):
        small.encode(text, allowed_special={"<|assistant|>"})


def test_special_tokens_are_not_learned_from() -> None:
    documents = ["low lower", " lowest slow", "the end of text"]
    tokenizer = train_bpe(EOT.join(documents * 3), 275, [EOT])
    assert tokenizer.merges == learn_merges(count_pieces(documents * 3), 18)
    # They also cut: the pair (a, b) never meets across one.
    assert train_bpe(f"a{EOT}b", 257, [EOT]).merges == []
    with pytest.raises(ValueError, match="has only 0"):
        train_bpe(f"a{EOT}b", 258, [EOT])


def test_ids_may_come_as_arrays_and_tensors(small: BPETokenizer) -> None:
    ids = small.encode("the language")
    assert small.decode(torch.tensor(ids)) == "the language"
    assert small.decode(np.array(ids)) == "the language"
    assert small.decode([torch.tensor(i) for i in ids]) == "the language"
    assert small.decode(iter(ids)) == "the language"
    for wrong in (torch.tensor([ids]), torch.tensor(5), 5, "the", [1.0], [None]):
        with pytest.raises(ValueError, match="one sequence of whole-number ids"):
            small.decode(wrong)


@pytest.mark.parametrize("bad", [-1, 600, 2**40])
def test_ids_outside_the_vocabulary_are_named(small: BPETokenizer, bad: int) -> None:
    with pytest.raises(ValueError, match=rf"id {bad} at position 1 .* 0 to 599"):
        small.decode([0, bad])
    with pytest.raises(ValueError, match=rf"id {bad} "):
        small.token_bytes(bad)


def test_a_lone_surrogate_is_refused(small: BPETokenizer) -> None:
    text = "ab\ud800"
    for refuse in (small.encode, lambda t: train_bpe(t, 256)):
        with pytest.raises(ValueError, match=r"'\\ud800' at position 2 is a lone surrogate"):
            refuse(text)
    # The remedy that the message names.
    repaired = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert small.decode(small.encode(repaired)) == "ab\ufffd"


def test_text_must_be_a_string(small: BPETokenizer) -> None:
    with pytest.raises(TypeError, match="got bytes; of a corpus pass .text"):
        small.encode(b"ab")
    with pytest.raises(TypeError, match="got list"):
        train_bpe(["ab"], 256)


def test_a_vocabulary_too_small_or_too_large() -> None:
    with pytest.raises(ValueError, match="vocab_size is 255, .* already make 256; pass vocab_size"):
        train_bpe("text", 255)
    with pytest.raises(ValueError, match="1 special tokens already make 257"):
        train_bpe("text", 256, [EOT])
    with pytest.raises(ValueError, match=r"asks for 44 merges, .* only 3: .* vocab_size=259 or"):
        train_bpe("text", 300)
    assert len(train_bpe("text", 259).merges) == 3
    with pytest.raises(ValueError, match="has only 0: .* vocab_size=257 or less"):
        train_bpe("", 258, [EOT])
    assert train_bpe("", 257, [EOT]).merges == []


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([""], "special token 0 is empty"),
        ([EOT, EOT], "given twice"),
        (["a"], "'a' is already an ordinary token"),
        (["<|a|>", "<|b|>", "<|a|>b"], "'<|a|>' is how '<|a|>b' begins"),
        (["\udc80x"], "lone surrogate"),
    ],
)
def test_special_tokens_that_collide(tokens: list[str], message: str) -> None:
    for make in (lambda: train_bpe("text", 300, tokens), lambda: BPETokenizer([], tokens)):
        with pytest.raises(ValueError) as raised:
            make()
        assert message in str(raised.value)


@pytest.mark.parametrize("tokens", [EOT, {EOT}])
def test_special_tokens_need_an_order(tokens) -> None:
    with pytest.raises(TypeError, match="list or tuple"):
        train_bpe("text", 300, tokens)


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ([(97, 256)], r"merge 0 is \(97, 256\), but it can only join ids from 0 to 255"),
        ([(-1, 97)], "ids from 0 to 255"),
        ([(97, 98), (97, 98)], r"merge 1, \(97, 98\), makes b'ab', which already has the id 256"),
        ([(97, 98), (98, 99), (97, 257), (256, 99)], "merge 3"),
    ],
)
def test_merges_that_do_not_fit_together(merges, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BPETokenizer(merges)


def test_an_ordinary_token_cannot_be_special() -> None:
    with pytest.raises(ValueError, match="'ab' is already an ordinary token"):
        BPETokenizer([(97, 98)], ["ab"])


def test_training_is_repeatable(small: BPETokenizer) -> None:
    assert train_bpe(MANUAL, 600, [EOT, "<|user|>"]).merges == small.merges


# --- files ----------------------------------------------------------------------------------


def test_bpe_survives_a_file(small: BPETokenizer, tmp_path) -> None:
    path = tmp_path / "new folder" / "bpe.json"
    small.save(path)
    again = BPETokenizer.load(path)
    assert again.merges == small.merges
    assert again.special_tokens == small.special_tokens
    assert again.encode(MANUAL, allowed_special="all") == small.encode(
        MANUAL, allowed_special="all"
    )
    assert [file.name for file in path.parent.iterdir()] == ["bpe.json"]


def test_another_byte_order_survives_a_file(tmp_path) -> None:
    reverse = bytes(range(255, -1, -1))
    tokenizer = BPETokenizer([(255 - 97, 255 - 98)], byte_order=reverse)
    tokenizer.save(tmp_path / "bpe.json")
    assert BPETokenizer.load(tmp_path / "bpe.json").encode("abc") == [256, 255 - 99]
    with pytest.raises(ValueError, match="each of the 256 bytes once"):
        BPETokenizer([], byte_order=b"abc")


def test_a_failed_write_leaves_the_old_file(small: BPETokenizer, tmp_path, monkeypatch) -> None:
    path = tmp_path / "bpe.json"
    small.save(path)
    before = path.read_bytes()

    def no_room(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", no_room)
    with pytest.raises(OSError, match="no space"):
        train_bpe("", 256).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["bpe.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a tokenizer file"),
        ({"version": 2}, "its version is 2"),
        ({"kind": "char"}, "kind 'char', not 'bpe'"),
        ({"merges": None}, "'merges' is missing or not a list"),
        ({"merges": [[1, 2, 3]]}, "not pairs of whole numbers"),
        ({"merges": [[1.5, 2]]}, "not pairs of whole numbers"),
        ({"merges": [[1, 999]]}, "merge 0 is (1, 999)"),
        ({"special_tokens": ["", ""]}, "special token 0 is empty"),
        ({"special_tokens": [5]}, "expected the text as a str, got int"),
        ({"byte_order": [1, 2]}, "256 bytes once"),
        ({"byte_order": ["a"]}, "can't be read as a tokenizer"),
    ],
)
def test_damaged_files_say_what_is_wrong(small, tmp_path, change: dict, message: str) -> None:
    path = tmp_path / "bpe.json"
    small.save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError) as raised:
        BPETokenizer.load(path)
    assert message in str(raised.value) and "bpe.json" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'"text"'])
def test_files_that_are_no_tokenizer(tmp_path, content: bytes) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(content)
    for load in (BPETokenizer.load, CharTokenizer.load):
        with pytest.raises(ValueError, match="not a tokenizer file"):
            load(path)
    with pytest.raises(FileNotFoundError):
        CharTokenizer.load(tmp_path / "absent.json")


def test_a_damaged_alphabet(tmp_path) -> None:
    path = tmp_path / "chars.json"
    CharTokenizer("ab").save(path)
    for alphabet in ([], ["b", "a"], ["a", "a", "b"], ["ab"], [1, 2]):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"alphabet": alphabet}))
        with pytest.raises(ValueError, match="sorted list of distinct characters"):
            CharTokenizer.load(path)


# --- GPT-2's vocabulary: what can be said without it; the rest is in the oracle tests ----------


def test_a_damaged_gpt2_vocabulary_is_refused(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "gpt2-bpe"
    folder.mkdir()
    (folder / "encoder.json").write_text("{}")
    (folder / "vocab.bpe").write_text("#version: 0.2\n")
    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    with pytest.raises(RuntimeError, match="encoder.json is not GPT-2's vocabulary .* SHA-256"):
        gpt2_tokenizer()
