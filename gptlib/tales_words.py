"""The words of the story world: every word that a tale, a fact, a question or a chat may use.

A word-level model of this world has a small exact vocabulary: words and punctuation marks are
separated by spaces, so ``text.split()`` is the whole tokenizer, and nothing is ever unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

USER, ASSISTANT, END = "<u>", "<a>", "<e>"
PAD, START, DELIMITER, EXTRACT = "<pad>", "<s>", "<d>", "<x>"
# <u> what the user says <a> what the assistant answers <e>. The other four are for the chapters:
# <pad> fills a batch, <s> starts, <d> divides and <x> ends an input of GPT-1's fine-tuning.
SPECIAL = (PAD, START, DELIMITER, EXTRACT, USER, ASSISTANT, END)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SHE = ("mia", "ann", "lucy", "rosa", "emma", "nora", "clara", "ida", "ella", "june")
HE = ("tom", "ben", "sam", "max", "leo", "jack", "oscar", "hugo", "paul", "felix")
NAMES = SHE + HE

POSITIVE = _words(
    "kind brave gentle clever cheerful honest patient polite generous loyal "
    "calm friendly graceful merry wise helpful tender humble witty amusing"
)
NEGATIVE = _words(
    "mean rude lazy greedy selfish cruel grumpy angry jealous nasty "
    "careless gloomy impatient sneaky bossy spiteful vain hostile unfair boastful"
)
POLAR = POSITIVE + NEGATIVE

ANIMALS = _words("fox bear owl rabbit horse cat dog duck goat mouse")
COLOURS = _words("red blue green yellow purple orange white black")
FRUITS = _words("apple pear plum cherry lemon peach grape melon")
FOODS = _words("bread soup rice cake cheese honey noodles pie")
JOBS = _words("baker sailor teacher farmer doctor painter tailor actor")
GROUPS: dict[str, tuple[str, ...]] = {
    "animals": ANIMALS,
    "colours": COLOURS,
    "fruits": FRUITS,
    "foods": FOODS,
    "jobs": JOBS,
}

QUALITIES = _words("small large old new round heavy shiny wooden golden empty") + COLOURS
OBJECTS = _words(
    "lantern kite key map bell basket drum coin mirror book letter ring clock umbrella"
)
PLACES = _words("forest river market hill garden harbour bridge castle")

COUNTRIES = _words("zorland belmora taluna kelmar drenna ulvany sabrith novika perrow ostrel")
CITIES = _words(
    "vell marrick tolby quessa lindra hapley rusk ambry fennick sorra dolm pirra gansk ithel"
)

NUMBERS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen"
)

# Everything else: the words of the grammar, of questions, of instructions and of answers.
FUNCTION_WORDS = _words(
    """
    . , ? : a an the and but she he her him was found met went to gave lost kept thanked smiled
    frowned question answer tldr who what where which did does has find go is of in live lives
    people eat capital country food animal job colour name my your favourite i you am me call
    can tell list give write add plus story about want like best know do not nice meet will
    remember that be polite politely please thank for asking
    """
)

VOWEL_SOUNDS = frozenset("aeiou")


def article(word: str) -> str:
    """ "a" or "an" before this word, by sound: "an owl", and "an honest" in spite of its letter."""
    return "an" if word[0] in VOWEL_SOUNDS or word == "honest" else "a"


def polarity(word: str) -> int:
    """+1 for a positive adjective, -1 for a negative one, 0 for every other word."""
    return (word in POSITIVE) - (word in NEGATIVE)


def pronoun(name: str) -> str:
    """ "she" or "he" for a name of this world."""
    return "she" if name in SHE else "he"


def to_words(text: str | Sequence[str]) -> list[str]:
    """The words of a text, given as a string or as a sequence of words."""
    return text.split() if isinstance(text, str) else list(text)


def joined(items: Sequence[str]) -> str:
    """A list as people write it: "fox", "fox and owl", "fox , owl and duck"."""
    if len(items) < 2:
        return " ".join(items)
    return " , ".join(items[:-1]) + " and " + items[-1]


VOCABULARY: tuple[str, ...] = tuple(
    sorted(
        {
            *SPECIAL,
            *NAMES,
            *POLAR,
            *QUALITIES,
            *OBJECTS,
            *PLACES,
            *COUNTRIES,
            *CITIES,
            *NUMBERS,
            *FUNCTION_WORDS,
            *GROUPS,
            *(member for members in GROUPS.values() for member in members),
        }
    )
)
"""All words, sorted, special tokens included: a word's place is its token id."""

_IDS = {word: i for i, word in enumerate(VOCABULARY)}


def encode(text: str | Sequence[str]) -> list[int]:
    """Token ids of a text of this world. A ValueError names a word that isn't in it."""
    words = to_words(text)
    try:
        return [_IDS[word] for word in words]
    except KeyError as error:
        raise ValueError(
            f"{error.args[0]!r} is not one of the {len(VOCABULARY)} words of the story world; "
            "words are in small letters, with spaces around every punctuation mark"
        ) from None


def decode(ids: Sequence[int]) -> str:
    """The text with these token ids, words separated by single spaces."""
    wrong = [int(i) for i in ids if not 0 <= int(i) < len(VOCABULARY)]
    if wrong:
        raise ValueError(f"{wrong[0]} is not a token id; ids go from 0 to {len(VOCABULARY) - 1}")
    return " ".join(VOCABULARY[int(i)] for i in ids)
