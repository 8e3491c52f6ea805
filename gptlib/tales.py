"""The story world: everything that chapters 5 to 14 train on and measure with, in one place.

Six kinds of document share one vocabulary of fewer than 300 words: stories, facts, questions with
answers, stories with a question, stories with a summary after "tldr :", and chats. The parts are
in ``tales_words``, ``tales_stories``, ``tales_facts`` and ``tales_chat``; this module gathers
them, and mixes them into the default text. Randomness comes from a ``random.Random``, and equal
seeds give equal bytes on every Python and every operating system (see ``gptlib.draws``).

    rng = random.Random(0)
    story(rng)                      "mia found a small lantern . she was kind and brave ."
    gold_score(words)               an objective score
    facts(seed=0), questions(...)   what can be asked, with answers
    dialogue(rng).text              "<u> my name is ann . <a> nice to meet you , ann . <e>"
    judge(instruction, answer)      right or wrong, and why
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gptlib.draws import below, pick, pick_weighted, shuffled
from gptlib.tales_chat import (
    SKILLS,
    Dialogue,
    Instruction,
    Verdict,
    answer_mask,
    dialogue,
    instruction,
    judge,
)
from gptlib.tales_facts import (
    RELATIONS,
    Fact,
    Question,
    change_facts,
    facts,
    lookup,
    question,
    questions,
    random_question,
    two_hop_questions,
)
from gptlib.tales_stories import (
    GoldScore,
    gold_parts,
    gold_score,
    grammar_error,
    is_grammatical,
    story,
)
from gptlib.tales_words import (
    ASSISTANT,
    DELIMITER,
    END,
    EXTRACT,
    NAMES,
    NEGATIVE,
    PAD,
    POLAR,
    POSITIVE,
    SPECIAL,
    START,
    USER,
    VOCABULARY,
    article,
    decode,
    encode,
    polarity,
)

__all__ = [
    "ASSISTANT",
    "DELIMITER",
    "DOCUMENTS",
    "END",
    "EXTRACT",
    "KINDS",
    "NAMES",
    "NEGATIVE",
    "PAD",
    "POLAR",
    "POSITIVE",
    "RELATIONS",
    "SKILLS",
    "SPECIAL",
    "START",
    "USER",
    "VOCABULARY",
    "Dialogue",
    "Fact",
    "GoldScore",
    "Instruction",
    "Question",
    "Reading",
    "Verdict",
    "answer_mask",
    "change_facts",
    "decode",
    "dialogue",
    "document",
    "documents",
    "encode",
    "facts",
    "gold_parts",
    "gold_score",
    "grammar_error",
    "instruction",
    "is_grammatical",
    "judge",
    "lookup",
    "polarity",
    "question",
    "questions",
    "random_question",
    "reading",
    "story",
    "summary",
    "two_hop_questions",
]

DOCUMENTS = 4000
KINDS: dict[str, int] = {
    "story": 40,
    "facts": 10,
    "questions": 10,
    "reading": 10,
    "summary": 5,
    "dialogue": 25,
}
"""The kinds of document, and their shares of the default text in percent."""


@dataclass(frozen=True)
class Reading:
    """A story with a question that the story answers; the answer is one word."""

    story: str
    question: str
    answer: str

    @property
    def prompt(self) -> str:
        """The story and the question, up to where the answer starts."""
        return f"{self.story} question : {self.question} answer :"

    @property
    def text(self) -> str:
        return f"{self.prompt} {self.answer} ."


def _events(text: str) -> list[tuple[str, list[str]]]:
    """(verb, words after it) of every sentence of a story."""
    sentences = [sentence.split() for sentence in text.removesuffix(" .").split(" . ")]
    return [(words[1], words[2:]) for words in sentences]


def reading(rng: random.Random, hero: str | None = None) -> Reading:
    """A random story with a question about it that has exactly one answer.

    Asked are what the hero found or met, where the hero went, and who has the thing in the end,
    which takes following it from hand to hand.
    """
    while True:
        text = story(rng, hero)
        who, events = text.split()[0], _events(text)
        verbs = [verb for verb, _ in events]
        choices = []
        for verb, rest in events:
            if verbs.count(verb) > 1:
                continue  # two things were found: the question would have two answers
            if verb == "found":
                choices.append((f"what did {who} find ?", rest[-1]))
            elif verb == "met":
                choices.append((f"what did {who} meet ?", rest[-1]))
            elif verb == "went":
                choices.append((f"where did {who} go ?", rest[-1]))
            elif verb in ("gave", "kept") and verbs.count("found") == 1:
                choices.append((f"who has the {rest[1]} ?", rest[3] if verb == "gave" else who))
        if choices:
            return Reading(text, *pick(rng, choices))


def summary(text: str) -> str:
    """The story in one sentence: its weightiest event, without adjectives where there is one.

    Giving weighs most, then finding, meeting, going, and last what the hero was like. ValueError
    where the story isn't grammatical.
    """
    if error := grammar_error(text):
        raise ValueError(f"only a grammatical story can be summed up: {error}")
    who, events = text.split()[0], _events(text)
    for wanted in ("gave", "found", "met", "went", "was", "smiled", "frowned"):
        for verb, rest in events:
            if verb != wanted:
                continue
            if verb in ("found", "met"):
                rest = [article(rest[-1]), rest[-1]]
            return f"{who} {verb} {' '.join(rest)} ."
    raise AssertionError("every grammatical story has an event of its hero")


def document(rng: random.Random, kind: str, world: Sequence[Fact]) -> str:
    """One document of this kind, on one line, in training phrasings only."""
    if kind == "story":
        return story(rng)
    if kind == "facts":
        subject = pick(rng, world).subject
        told = shuffled(rng, [fact for fact in world if fact.subject == subject])
        return " ".join(fact.statement(below(rng, 2)) for fact in told)
    if kind == "questions":
        asked = [random_question(rng, world) for _ in range(2 + below(rng, 2))]
        return " ".join(f"question : {q.prompt} answer : {q.value} ." for q in asked)
    if kind == "reading":
        return reading(rng).text
    if kind == "summary":
        text = story(rng)
        return f"{text} tldr : {summary(text)}"
    if kind == "dialogue":
        return dialogue(rng, world=world).text
    raise ValueError(f"{kind!r} is not a kind of document; the kinds are {', '.join(KINDS)}")


def documents(n: int = DOCUMENTS, seed: int = 0, world: Sequence[Fact] | None = None) -> list[str]:
    """n documents, drawn by the shares of ``KINDS``; ``world`` is that of seed 0 if not given.

    To train on them as one stream, end each with ``END``: chats end so already.
    """
    rng = random.Random(seed)
    world = facts() if world is None else world
    kinds, shares = tuple(KINDS), tuple(KINDS.values())
    return [document(rng, pick_weighted(rng, kinds, shares), world) for _ in range(n)]
