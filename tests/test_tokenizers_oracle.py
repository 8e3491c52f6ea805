"""The tokenizers against other people's: tiktoken, its teaching version, Hugging Face's.

Tests that need Tiny Shakespeare or GPT-2's vocabulary are skipped where neither ``GPTLIB_DATA``
nor a network has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken._educational import SimpleBytePairEncoding
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from gptlib import corpora
from gptlib.bpe import SPLIT_PATTERN, bpe_encode, count_pieces, learn_merges, split_text
from gptlib.downloads import DataUnavailableError, fetch
from gptlib.tokenizers import BPETokenizer, gpt2_tokenizer, train_bpe

MANUAL = "".join(topics[name] for name in sorted(topics))
EOT = "<|endoftext|>"

SAMPLES = [
    "Hello world",
    "  two  spaces,\ttabs\t\tand\r\nlines\n\n\n",
    "語言模型預測下一個詞。语言模型",
    "🙂👩‍👩‍👧‍👦 e\u0301 naïve Ελληνικά हिन्दी",
    "\x00\x01\x1c\x1d\x1f\x7f\x85\xa0\u2003\u3000",
    "it's they'll I'VE don't 'tis 3.14159 x²½Ⅷ",
    " " * 300 + "def f():\n" + " " * 8 + "return 1" + "\n" * 50,
    f"before {EOT} after",
    MANUAL[100_000:110_000],
]

# Characters that no version of Unicode before Python's has assigned are left out: whether they
# are letters depends on how new each library's tables are.
assigned = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cn")))
spaced = st.text(alphabet=" \t\r\n\x0b\x1c\x85\xa0\u2028ab1.'s", max_size=40)
texts = st.one_of(assigned, spaced)


@pytest.fixture(scope="module")
def trained() -> BPETokenizer:
    return train_bpe(MANUAL[:100_000], 1000, [EOT])


@pytest.fixture(scope="module")
def gpt2() -> BPETokenizer:
    try:
        return gpt2_tokenizer()
    except DataUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def independent(trained: BPETokenizer) -> tiktoken.Encoding:
    """A tiktoken encoding made here from the merges alone, with the pattern as released."""
    tokens = [bytes([i]) for i in range(256)]
    for left, right in trained.merges:
        tokens.append(tokens[left] + tokens[right])
    return tiktoken.Encoding(
        "independent",
        pat_str=SPLIT_PATTERN,
        mergeable_ranks={token: i for i, token in enumerate(tokens)},
        special_tokens={EOT: len(tokens)},
    )


@given(text=texts)
def test_ids_equal_an_independent_tiktoken(trained, independent, text: str) -> None:
    assert trained.encode(text) == independent.encode(text, disallowed_special=())


@given(text=texts)
def test_the_taught_encoder_gives_the_same_ids(trained, text: str) -> None:
    assert bpe_encode(text, trained.ranks) == trained.encode(text)


LETTERS = " \t\n'stdmrevl1.-"
# Every pair of these characters is a token, so that a cut too many or too few shows in the ids.
PAIRS = BPETokenizer([(left, right) for left in LETTERS.encode() for right in LETTERS.encode()])


@given(text=st.text(alphabet=LETTERS, max_size=30))
@settings(max_examples=500)
def test_the_fast_pattern_makes_the_same_cuts(text: str) -> None:
    assert PAIRS.encode(text) == bpe_encode(text, PAIRS.ranks)


@pytest.mark.parametrize("ending", ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"])
def test_every_contraction_is_cut_alike(ending: str) -> None:
    text = f"mr{ending}v"
    assert split_text(text) == ["mr", ending, "v"]
    assert PAIRS.encode(text) == bpe_encode(text, PAIRS.ranks)


@pytest.mark.parametrize("text", SAMPLES, ids=range(len(SAMPLES)))
def test_samples_agree_with_tiktoken_and_its_teaching_version(
    trained, independent, text: str
) -> None:
    ids = trained.encode(text)
    assert ids == independent.encode(text, disallowed_special=())
    assert ids == bpe_encode(text, trained.ranks)
    teaching = SimpleBytePairEncoding(pat_str=SPLIT_PATTERN, mergeable_ranks=trained.ranks)
    assert ids == teaching.encode(text, visualise=None)
    with_special = trained.encode(text, allowed_special="all")
    assert with_special == independent.encode(text, allowed_special="all")


@given(text=texts)
def test_splits_are_those_of_hugging_face(text: str) -> None:
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    ends = [end for _, (_, end) in splitter.pre_tokenize_str(text)]
    ours: list[int] = []
    for piece in split_text(text):
        ours.append((ours[-1] if ours else 0) + len(piece))
    assert ours == ends


def hugging_face_merges(text: str, n_merges: int) -> list[tuple[int, int]]:
    """The merges that Hugging Face's trainer learns, as pairs of its own ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + n_merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return [(model["vocab"][left], model["vocab"][right]) for left, right in model["merges"]]


def assert_equal_to_hugging_face(text: str, n_merges: int) -> None:
    """Both trainers break ties by the smallest pair of ids, but number the bytes differently.

    Hugging Face uses GPT-2's order: first the bytes that Latin-1 shows as a visible character.
    With the pieces written in that numbering the merges must be equal one by one.
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    order = visible + [byte for byte in range(256) if byte not in visible]
    number = {byte: i for i, byte in enumerate(order)}
    pieces = {
        tuple(number[byte] for byte in piece): count
        for piece, count in count_pieces([text]).items()
    }
    theirs = hugging_face_merges(text, n_merges)
    assert len(theirs) == n_merges
    assert learn_merges(pieces, n_merges) == theirs


def test_merges_equal_hugging_face_on_the_manual() -> None:
    assert_equal_to_hugging_face(MANUAL, 3000)


def test_merges_equal_hugging_face_on_awkward_text() -> None:
    assert_equal_to_hugging_face("\n".join(SAMPLES), 500)


def test_merges_equal_hugging_face_on_shakespeare() -> None:
    try:
        text = corpora.load("shakespeare").text
    except DataUnavailableError as error:
        pytest.skip(str(error))
    assert_equal_to_hugging_face(text, 1024)


# --- GPT-2's vocabulary ---------------------------------------------------------------------


def test_published_ids(gpt2: BPETokenizer) -> None:
    assert gpt2.vocab_size == 50257 and len(gpt2.merges) == 50_000
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.encode(EOT, allowed_special="all") == [50256] == [gpt2.special_tokens[EOT]]
    assert gpt2.encode(EOT) == [27, 91, 437, 1659, 5239, 91, 29]  # as tiktoken documents
    assert gpt2.encode("!") == [0] and gpt2.encode(" ") == [220] and gpt2.encode("\n") == [198]


@pytest.fixture(scope="module")
def published(gpt2: BPETokenizer) -> tiktoken.Encoding:
    """tiktoken's own "gpt2", read by tiktoken from the same two files."""
    found: list[Path] = []

    def remember(*arguments: str) -> Path:
        found.append(fetch(*arguments))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gptlib.tokenizers.fetch", remember)
        gpt2_tokenizer()
        encoder_file, merges_file = map(str, found)
        patch.setenv("TIKTOKEN_CACHE_DIR", "")  # read the files, keep no copy
        ranks = data_gym_to_mergeable_bpe_ranks(merges_file, encoder_file)
    return tiktoken.Encoding(
        "published", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={EOT: 50256}
    )


def test_ranks_are_those_that_tiktoken_reads(gpt2: BPETokenizer, published) -> None:
    assert gpt2.ranks == published._mergeable_ranks


@given(text=texts)
@settings(deadline=None)  # the first example builds the encoding
def test_gpt2_ids_equal_tiktoken_and_round_trip(gpt2, published, text: str) -> None:
    ids = gpt2.encode(text)
    assert ids == published.encode(text, disallowed_special=())
    assert ids == bpe_encode(text, gpt2.ranks)
    assert gpt2.decode(ids) == text


@pytest.mark.parametrize("text", SAMPLES, ids=range(len(SAMPLES)))
def test_gpt2_samples_equal_tiktoken(gpt2, published, text: str) -> None:
    assert gpt2.encode(text) == published.encode(text, disallowed_special=())
    assert gpt2.encode(text, allowed_special="all") == published.encode(text, allowed_special="all")
    assert gpt2.decode(gpt2.encode(text)) == text


@given(text=st.text())
@settings(deadline=None)
def test_gpt2_round_trips_any_text(gpt2, text: str) -> None:
    assert gpt2.decode(gpt2.encode(text)) == text


def test_gpt2_survives_a_file(gpt2: BPETokenizer, tmp_path) -> None:
    gpt2.save(tmp_path / "gpt2.json")
    again = BPETokenizer.load(tmp_path / "gpt2.json")
    assert again.ranks == gpt2.ranks and again.special_tokens == gpt2.special_tokens
    assert again.encode(MANUAL[:5000]) == gpt2.encode(MANUAL[:5000])
