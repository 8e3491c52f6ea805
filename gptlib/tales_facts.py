"""Facts of the story world: invented countries and people, questions, and how facts change.

Ten countries have a capital, a food and an animal; twenty people have a job and a country: 70
facts, dealt out by a seed. Nothing about them can be guessed or was ever written down elsewhere,
so a model that answers has either learned its answer from text or found it in what it was given.
``change_facts`` deals out a share of them anew: what was learned is then wrong, while what can be
looked up is still right.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gptlib.draws import below, pick, sample
from gptlib.tales_words import ANIMALS, CITIES, COUNTRIES, FOODS, JOBS, NAMES, article


@dataclass(frozen=True)
class Relation:
    """One kind of fact. In the templates {s} is the subject, {v} the value, {a} its article.

    ``unique``: no two subjects share a value. ``held_out``: phrasings that no training text has.
    """

    subjects: tuple[str, ...]
    values: tuple[str, ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    held_out: tuple[str, ...]
    unique: bool = False


RELATIONS: dict[str, Relation] = {
    "capital": Relation(
        COUNTRIES,
        CITIES,
        ("the capital of {s} is {v} .", "{v} is the capital of {s} ."),
        (
            "what is the capital of {s} ?",
            "tell me the capital of {s} .",
            "name the capital of {s} .",
        ),
        ("can you name the capital of {s} ?", "give me the capital of {s} ."),
        unique=True,
    ),
    "food": Relation(
        COUNTRIES,
        FOODS,
        ("people in {s} eat {v} .", "the food of {s} is {v} ."),
        (
            "what do people eat in {s} ?",
            "which food do people in {s} eat ?",
            "tell me what people eat in {s} .",
        ),
        ("can you tell me what people in {s} eat ?", "in {s} , what do people eat ?"),
    ),
    "animal": Relation(
        COUNTRIES,
        ANIMALS,
        ("the animal of {s} is the {v} .", "the {v} is the animal of {s} ."),
        (
            "what is the animal of {s} ?",
            "tell me the animal of {s} .",
            "name the animal of {s} .",
        ),
        ("can you name the animal of {s} ?", "give me the animal of {s} ."),
    ),
    "job": Relation(
        NAMES,
        JOBS,
        ("{s} is {a} {v} .",),
        ("what is the job of {s} ?", "what does {s} do ?", "tell me the job of {s} ."),
        ("can you tell me the job of {s} ?", "which job does {s} do ?"),
    ),
    "home": Relation(
        NAMES,
        COUNTRIES,
        ("{s} lives in {v} .",),
        (
            "where does {s} live ?",
            "which country does {s} live in ?",
            "tell me where {s} lives .",
        ),
        ("can you tell me where {s} lives ?", "in which country does {s} live ?"),
    ),
}


@dataclass(frozen=True)
class Fact:
    """``value`` is the ``relation`` of ``subject``: Fact("zorland", "capital", "vell")."""

    subject: str
    relation: str
    value: str

    def statement(self, form: int = 0) -> str:
        """The fact as a sentence; ``form`` picks the wording, and starts over after the last."""
        forms = RELATIONS[self.relation].statements
        return forms[form % len(forms)].format(s=self.subject, v=self.value, a=article(self.value))


@dataclass(frozen=True)
class Question:
    """A question, its answer as a sentence and as one word, and the facts that it needs."""

    prompt: str
    answer: str
    value: str
    facts: tuple[Fact, ...]


def facts(seed: int = 0) -> tuple[Fact, ...]:
    """All 70 facts of the world with this seed, always in the same order of subjects."""
    rng = random.Random(seed)
    world = []
    for name, relation in RELATIONS.items():
        n = len(relation.subjects)
        if relation.unique:
            values = sample(rng, relation.values, n)
        else:
            values = [pick(rng, relation.values) for _ in range(n)]
        world += [Fact(s, name, value) for s, value in zip(relation.subjects, values, strict=True)]
    return tuple(world)


def change_facts(
    world: Sequence[Fact], share: float = 0.3, seed: int = 1
) -> tuple[tuple[Fact, ...], tuple[int, ...]]:
    """The world after a share of its facts, chosen by the seed, has got other values.

    Returns (the new world in the same order, the places that changed); exactly
    ``round(share * len(world))`` change, each to a value that it didn't have, and capitals stay
    unique. ValueError where ``share`` isn't from 0 to 1. Used in chapter 15.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be from 0 to 1, for example 0.3")
    rng = random.Random(seed)
    new = list(world)
    places = sorted(sample(rng, range(len(new)), round(share * len(new))))
    for place in places:
        fact = new[place]
        relation = RELATIONS[fact.relation]
        taken = {fact.value}
        if relation.unique:
            taken |= {other.value for other in new if other.relation == fact.relation}
        free = [value for value in relation.values if value not in taken]
        new[place] = replace(fact, value=pick(rng, free))
    return tuple(new), tuple(places)


def lookup(world: Sequence[Fact], subject: str, relation: str) -> Fact:
    """The fact about this subject and relation. KeyError where the world has none."""
    for fact in world:
        if fact.subject == subject and fact.relation == relation:
            return fact
    raise KeyError(f"the world has no {relation!r} of {subject!r}")


def question(fact: Fact, phrasing: int = 0, held_out: bool = False) -> Question:
    """A question about one fact; ``phrasing`` starts over after the last one."""
    relation = RELATIONS[fact.relation]
    forms = relation.held_out if held_out else relation.questions
    prompt = forms[phrasing % len(forms)].format(s=fact.subject)
    return Question(prompt, fact.statement(), fact.value, (fact,))


def random_question(rng: random.Random, world: Sequence[Fact], held_out: bool = False) -> Question:
    """A question about one fact of the world in a random phrasing."""
    return question(pick(rng, world), below(rng, 60), held_out)


def questions(world: Sequence[Fact], held_out: bool = False) -> list[Question]:
    """Every fact asked for in every phrasing: of the training set, or of the held-out set."""
    return [
        question(fact, phrasing, held_out)
        for fact in world
        for phrasing in range(
            len(
                RELATIONS[fact.relation].held_out
                if held_out
                else RELATIONS[fact.relation].questions
            )
        )
    ]


def two_hop_questions(world: Sequence[Fact]) -> list[Question]:
    """Questions that need two facts, a person's country and then something about the country,
    such as "what is the capital of the country where mia lives ?". None is in a training text."""
    hops = []
    for home in world:
        if home.relation != "home":
            continue
        for relation in ("capital", "animal"):
            fact = lookup(world, home.value, relation)
            prompt = f"what is the {relation} of the country where {home.subject} lives ?"
            hops.append(Question(prompt, fact.statement(), fact.value, (home, fact)))
    return hops
