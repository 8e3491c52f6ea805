"""The story world: its words, its grammar, the gold score, and the mixed text."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlib import corpora, tales
from gptlib.tales import NEGATIVE, POLAR, POSITIVE, VOCABULARY
from gptlib.tales_stories import KINDS
from gptlib.tales_words import ANIMALS, GROUPS, HE, SHE, article

GOOD = (
    "mia found an old lantern . she was kind but lazy . she gave the lantern to tom . "
    "tom thanked her . mia smiled ."
)


def random_stories(n: int, seed: int = 0, **options) -> list[str]:
    rng = random.Random(seed)
    return [tales.story(rng, **options) for _ in range(n)]


# Words.


def test_vocabulary_is_small_sorted_and_has_the_special_tokens() -> None:
    assert len(VOCABULARY) <= 400
    assert list(VOCABULARY) == sorted(set(VOCABULARY))
    assert {"<u>", "<a>", "<e>", "<pad>", "<s>", "<d>", "<x>"} <= set(VOCABULARY)
    assert all(len(word.split()) == 1 for word in VOCABULARY)


def test_word_lists_have_the_promised_sizes() -> None:
    assert len(POSITIVE) == len(NEGATIVE) == 20 and len(set(POLAR)) == 40
    assert all(8 <= len(set(members)) == len(members) <= 10 for members in GROUPS.values())
    assert not set(SHE) & set(HE)


def test_every_word_of_the_default_text_is_in_the_vocabulary_and_back() -> None:
    text = corpora.load("tales").text
    words = text.split()
    assert set(words) <= set(VOCABULARY)
    assert tales.decode(tales.encode(text)) == " ".join(words)
    # Only what fills a batch or serves fine-tuning, and cities that change_facts brings in,
    # never occur.
    absent = set(VOCABULARY) - set(words)
    cities = set(tales.RELATIONS["capital"].values)
    assert absent - cities == {"<pad>", "<s>", "<d>", "<x>"}
    assert len(absent & cities) == 4


def test_unknown_words_and_ids_are_named() -> None:
    with pytest.raises(ValueError, match="'Mia' is not one of .* small letters"):
        tales.encode("Mia was kind .")
    with pytest.raises(ValueError, match="999 is not a token id"):
        tales.decode([0, 999])


def test_article() -> None:
    assert [article(word) for word in ("owl", "honest", "kind", "unfair")] == [
        "an",
        "an",
        "a",
        "an",
    ]


# Grammar.


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_every_generated_story_is_grammatical(seed, sentences) -> None:
    text = tales.story(random.Random(seed), sentences=sentences)
    assert tales.grammar_error(text) is None
    assert text.count(" .") == sentences
    assert any(word in POLAR for word in text.split())


@pytest.mark.parametrize(
    "broken, why",
    [
        (GOOD[:-2], "no full stop"),
        ("", "no story"),
        (GOOD.replace("mia found", "she found"), "starts with the name"),
        (GOOD.replace("an old", "a old"), "comes 'an'"),
        (GOOD.replace("an old lantern", "an old tom"), "article, an adjective and a noun"),
        (GOOD.replace("she was", "he was"), "not the hero"),
        (GOOD.replace("but", "and"), "joined by 'but'"),
        (GOOD.replace("but lazy", "but gentle"), "joined by 'and'"),
        (GOOD.replace("but lazy", "and kind"), "if they differ"),
        (GOOD.replace("kind but", "wooden but"), "one or two adjectives"),
        (GOOD.replace("the lantern", "the kite"), "no such thing"),
        (GOOD.replace("to tom", "to mia"), "to whom"),
        (GOOD.replace("tom thanked her", "tom thanked him"), "instead of 'her'"),
        (GOOD.replace("tom thanked", "ben thanked"), "not given anything"),
        (GOOD.replace("tom thanked", "mia smiled . tom thanked"), "not given anything"),
        (GOOD.replace("smiled", "frowned"), "other mood"),
        ("mia frowned . she was kind .", "other mood"),
        (GOOD + " she smiled .", "second time"),
        (GOOD + " she kept the lantern .", "no such thing"),
        ("mia found a key . ", "article, an adjective and a noun"),
        ("mia found a red key . she found a new map .", "still has the key"),
        ("mia went to the lantern .", "lead to a place"),
        ("mia met a red fox .", "article, an adjective and a noun"),
        ("mia kind .", "no verb"),
        ("mia was kind . .", "one or two adjectives"),
        (". mia was kind .", "starts with the name"),
        ("mia", "no full stop"),
        (".", "starts with the name"),
    ],
)
def test_the_grammar_says_what_is_wrong(broken, why) -> None:
    assert why in str(tales.grammar_error(broken))
    assert not tales.is_grammatical(broken)


def test_grammar_reads_up_to_the_end_token_and_checks_the_hero() -> None:
    assert tales.is_grammatical(GOOD)
    assert tales.is_grammatical(GOOD + " <e> the the")
    assert tales.is_grammatical(GOOD.split(), hero="mia")
    assert "not about ann" in str(tales.grammar_error(GOOD, hero="ann"))


def test_most_random_changes_break_a_story() -> None:
    rng = random.Random(3)
    broken = 0
    for text in random_stories(400, seed=4):
        words = text.split()
        words[rng.randrange(len(words))] = rng.choice(VOCABULARY)
        broken += not tales.is_grammatical(words)
    assert broken > 350


@given(st.lists(st.sampled_from(VOCABULARY), max_size=30))
def test_any_words_at_all_get_a_ruling(words) -> None:
    tales.grammar_error(words)
    tales.gold_score(words)


def test_options_of_a_story() -> None:
    for text in random_stories(200, mood=1, but=0):
        assert not set(NEGATIVE) & set(text.split())
    for text in random_stories(200, kinds=("was", "found"), sentences=2):
        assert set(text.split()) & {"was"} and not set(text.split()) & {"met", "went", "smiled"}
    few = (*POSITIVE[:9], *NEGATIVE[:9])
    for text in random_stories(200, adjectives=few, sentences=4):
        assert not set(POLAR) - set(few) & set(text.split())
    assert all(text.startswith("rosa ") for text in random_stories(20, hero="rosa"))


def test_every_kind_of_sentence_occurs() -> None:
    words = Counter(" ".join(random_stories(1000)).split())
    assert all(words[kind] > 30 for kind in (*KINDS, "frowned", "thanked", "but"))


def test_wrong_options_are_named() -> None:
    rng = random.Random(0)
    with pytest.raises(ValueError, match="'bob' is no name"):
        tales.story(rng, hero="bob")
    with pytest.raises(ValueError, match="sentences is 9"):
        tales.story(rng, sentences=9)
    with pytest.raises(ValueError, match="too few adjectives"):
        tales.story(rng, adjectives=("kind", "mean"))
    with pytest.raises(ValueError, match="unless but=0"):
        tales.story(rng, adjectives=(*POSITIVE, "mean"), mood=1, sentences=3)
    assert tales.story(rng, adjectives=POSITIVE, mood=1, but=0)
    with pytest.raises(ValueError, match="must have 'was'"):
        tales.story(rng, kinds=("found",))


def test_and_joins_like_with_like_and_but_unlike() -> None:
    joined = Counter()
    for text in random_stories(3000):
        words = text.split()
        for a, joint, b in zip(words, words[1:], words[2:], strict=False):
            if joint in ("and", "but"):
                joined[joint, tales.polarity(a) * tales.polarity(b)] += 1
    assert set(joined) == {("and", 1), ("but", -1)}
    assert joined["but", -1] > 50


# Gold score: each term of rlhf.md's rule on its own.


@pytest.mark.parametrize(
    "text, expected",
    [
        ("mia was kind . <e>", 1),
        ("mia was kind and brave . <e>", 2),
        ("mia was kind and brave . she was wise . <e>", 3),
        # A fourth positive adjective counts no more.
        ("mia was kind and brave . she was wise and calm . <e>", 3),
        # Animals' adjectives count as well.
        ("mia met a gentle owl . <e>", 1),
        # A negative one costs 1.
        ("mia was mean . <e>", -1),
        ("mia was kind but mean . <e>", 0),
        # A repeat costs 0.7, and does not count twice.
        ("mia was kind . she was kind . <e>", 1 - 0.7),
        ("mia was mean . she was mean . <e>", -2 - 0.7),
        # Ungrammatical: 2.
        ("mia were kind . <e>", 1 - 2),
        ("<e>", -2),
        # No end: 1.
        ("mia was kind .", 1 - 1),
        ("", -2 - 1),
        # 16 words, 3 too many: 0.45. The end token is not counted.
        ("mia was kind . she went to the hill . she went to the river . <e>", 1 - 0.45),
        # What comes after the end is not read.
        ("mia was kind . <e> mean mean <e>", 1),
    ],
)
def test_gold_score(text, expected) -> None:
    assert tales.gold_score(text) == pytest.approx(expected)
    assert tales.gold_score(text.split()) == pytest.approx(expected)


def test_gold_score_of_a_story_about_somebody_else() -> None:
    assert tales.gold_score("mia was kind . <e>", hero="mia") == 1
    assert tales.gold_score("mia was kind . <e>", hero="tom") == 1 - 2


def test_gold_parts() -> None:
    parts = tales.gold_parts("mia was kind . she was kind . she was mean and kind")
    assert (parts.positive, parts.negative, parts.repeats, parts.excess) == (1, 1, 2, 0)
    assert parts.ungrammatical and parts.unfinished


def test_the_gold_score_spreads_and_peaks_at_three() -> None:
    scores = [tales.gold_score(text + " <e>") for text in random_stories(2000, sentences=2)]
    assert max(scores) == 3 and min(scores) < -2
    assert -0.5 < sum(scores) / len(scores) < 0.5


# Stories with questions, summaries, the mixed text.


def test_readings_are_answered_by_their_story() -> None:
    rng = random.Random(5)
    kinds = Counter()
    for _ in range(500):
        reading = tales.reading(rng)
        assert tales.is_grammatical(reading.story)
        words = reading.story.split()
        assert reading.answer in words
        kinds[" ".join(reading.question.split()[:2])] += 1
        if reading.question.startswith("who has") and reading.answer != words[0]:
            thing = reading.question.split()[3]
            assert f"gave the {thing} to {reading.answer}" in reading.story
        elif "meet" in reading.question:
            assert reading.answer in ANIMALS
    assert all(kinds[start] > 30 for start in ("what did", "where did", "who has"))


def test_summary() -> None:
    assert tales.summary(GOOD) == "mia gave the lantern to tom ."
    assert tales.summary("mia met a kind owl . she was calm .") == "mia met an owl ."
    assert tales.summary("tom smiled . he was wise and calm .") == "tom was wise and calm ."
    with pytest.raises(ValueError, match="only a grammatical story"):
        tales.summary("mia kind .")
    for text in random_stories(300):
        assert len(tales.summary(text).split()) <= len(text.split())


def test_documents_mix_all_kinds() -> None:
    docs = tales.documents(1000)
    assert tales.documents(1000) == docs and tales.documents(1000, seed=1) != docs
    assert all("\n" not in doc for doc in docs)
    share = {
        "dialogue": sum(doc.startswith("<u>") for doc in docs),
        "summary": sum(" tldr : " in doc for doc in docs),
        "questions": sum(doc.startswith("question :") for doc in docs),
        "story": sum(tales.is_grammatical(doc) for doc in docs),
    }
    for kind, count in share.items():
        assert abs(count / 10 - tales.KINDS[kind]) < 6, kind


def test_no_document_of_val_is_copied_from_train_too_often() -> None:
    corpus = corpora.load("tales")
    train, val = corpus.train.split("\n\n"), corpus.val.split("\n\n")
    seen = set(train)
    stories = [doc for doc in val if tales.is_grammatical(doc)]
    assert sum(doc in seen for doc in stories) < 0.05 * len(stories)
