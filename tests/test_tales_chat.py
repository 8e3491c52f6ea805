"""Facts, questions, chats and their judge."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlib import corpora, tales
from gptlib.tales import RELATIONS, SKILLS, VOCABULARY, Instruction
from gptlib.tales_chat import PHRASINGS, POLITE, THANKS
from gptlib.tales_words import GROUPS, NUMBERS

WORLD = tales.facts()
TRAIN_TEXT = corpora.load("tales").text


# Facts.


def test_the_world_has_every_fact_once() -> None:
    assert len(WORLD) == 70 == len({(fact.subject, fact.relation) for fact in WORLD})
    assert all(fact.value in RELATIONS[fact.relation].values for fact in WORLD)
    capitals = [fact.value for fact in WORLD if fact.relation == "capital"]
    assert len(set(capitals)) == len(capitals) == 10
    assert tales.facts(0) == WORLD != tales.facts(1)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.3, 1.0]))
def test_changed_facts_are_exactly_the_share(seed, share) -> None:
    new, places = tales.change_facts(WORLD, share, seed)
    different = [i for i, (a, b) in enumerate(zip(WORLD, new, strict=True)) if a != b]
    assert different == list(places) and len(places) == round(share * 70)
    assert [(f.subject, f.relation) for f in new] == [(f.subject, f.relation) for f in WORLD]
    capitals = [fact.value for fact in new if fact.relation == "capital"]
    assert len(set(capitals)) == len(capitals)


def test_change_facts_goes_by_its_seed_and_checks_its_share() -> None:
    assert tales.change_facts(WORLD, seed=1) == tales.change_facts(WORLD, seed=1)
    assert tales.change_facts(WORLD, seed=1) != tales.change_facts(WORLD, seed=2)
    with pytest.raises(ValueError, match="share is 30"):
        tales.change_facts(WORLD, 30)


def test_questions_are_answered_by_their_facts() -> None:
    asked = tales.questions(WORLD)
    assert len(asked) == 210 and len(tales.questions(WORLD, held_out=True)) == 140
    assert len({q.prompt for q in asked}) == 210
    for question in asked:
        assert question.value in question.answer.split()
        assert question.facts[0].subject in question.prompt
        tales.encode(f"{question.prompt} {question.answer}")
    fact = tales.Fact("mia", "job", "actor")
    assert fact.statement() == "mia is an actor ."
    with pytest.raises(KeyError, match="'age' of 'mia'"):
        tales.lookup(WORLD, "mia", "age")


def test_two_hop_questions_follow_both_facts() -> None:
    hops = tales.two_hop_questions(WORLD)
    assert len(hops) == 40
    for question in hops:
        home, fact = question.facts
        assert home.subject in question.prompt and home.value == fact.subject
        assert fact.value == question.value


def test_the_training_text_tells_every_fact() -> None:
    for fact in WORLD:
        assert any(fact.statement(form) in TRAIN_TEXT for form in (0, 1)), fact


# Phrasings.


def phrase(template: str) -> str:
    """A regular expression for a phrasing, whatever word fills its slots."""
    groups = "|".join(GROUPS)
    parts = re.split(r"({[a-z]+})", template)
    slots = {"{group}": f"(?:{groups})", "{n}": f"(?:{'|'.join(NUMBERS)})"}
    return r"(?<!\S)" + "".join(
        slots.get(part, r"\w+") if part.startswith("{") else re.escape(part) for part in parts
    )


HELD_OUT = [
    *(template for _, held_out in PHRASINGS.values() for template in held_out),
    *(template for relation in RELATIONS.values() for template in relation.held_out),
    *POLITE[1],
]
TRAINING = [
    *(template for training, _ in PHRASINGS.values() for template in training),
    *(template for relation in RELATIONS.values() for template in relation.questions),
    *POLITE[0],
]


@pytest.mark.parametrize("template", HELD_OUT)
def test_held_out_phrasings_are_never_in_the_text_but_their_words_are(template) -> None:
    assert not re.search(phrase(template), TRAIN_TEXT)
    words = set(re.sub(r"{[a-z]+}", "", template).split())
    assert words <= set(TRAIN_TEXT.split())


@pytest.mark.parametrize("template", TRAINING)
def test_training_phrasings_are_in_the_text(template) -> None:
    assert re.search(phrase(template), TRAIN_TEXT)


def test_two_hop_questions_are_never_in_the_text() -> None:
    assert "country where" not in TRAIN_TEXT


# Instructions and dialogues.


@pytest.mark.parametrize("skill", SKILLS)
@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("polite", [False, True])
def test_reference_answers_satisfy_the_judge(skill, held_out, polite) -> None:
    rng = random.Random(1)
    for turn in range(100):
        told = {"name": "ann", "colour": "blue"} if turn % 2 else {}
        made = tales.instruction(rng, skill, told=told, held_out=held_out, polite=polite)
        verdict = tales.judge(made, made.answer + " <e>")
        assert verdict.passed and verdict.score == 1 and verdict.failed == ()
        assert made.answer.endswith(THANKS) == polite
        tales.encode(f"{made.prompt} {made.answer}")


def ask(skill: str, *target: str, polite: bool = False) -> Instruction:
    return Instruction(skill, "", "", target, polite)


LIST = ask("list", "three", "animals")


@pytest.mark.parametrize(
    "asked, answer, failed",
    [
        (LIST, "fox , owl and duck .", ()),
        (LIST, "fox and owl .", ("count",)),
        (LIST, "fox , owl , cat and duck .", ("count",)),
        (LIST, "fox , owl and fox .", ("distinct",)),
        (LIST, "fox , owl and pear .", ("members",)),
        (LIST, "fox owl and duck .", ("form",)),
        (LIST, "fox , owl and duck", ("form",)),
        (LIST, f"fox , owl and duck . {THANKS}", ("manners",)),
        (LIST, "", ("count", "members", "distinct", "form")),
        (ask("list", "two", "foods", polite=True), f"rice and pie . {THANKS}", ()),
        (ask("list", "two", "foods", polite=True), "rice and pie .", ("manners",)),
        (
            ask("list", "two", "foods", polite=True),
            f"rice and pie . {THANKS} {THANKS}",
            ("count", "members", "form", "manners"),
        ),
        (ask("sum", "two", "three", "five"), "two plus three is five .", ()),
        (ask("sum", "two", "three", "five"), "five .", ()),
        (ask("sum", "two", "three", "five"), "two plus three is six .", ("right",)),
        (ask("sum", "two", "three", "five"), "five . five .", ("right", "form")),
        (ask("fact", "capital", "vell"), "the capital of zorland is vell .", ()),
        (ask("fact", "capital", "vell"), "vell or rusk .", ("right",)),
        (ask("fact", "capital", "vell"), "it is rusk .", ("right",)),
        (ask("ask-name", "ann"), "your name is ann .", ()),
        (ask("ask-name", "ann"), "your name is tom .", ("right",)),
        (ask("ask-name", "ann"), "i do not know your name .", ("right",)),
        (ask("ask-name"), "i do not know your name .", ()),
        (ask("ask-name"), "your name is ann .", ("right",)),
        (ask("ask-colour", "red"), "your favourite colour is red .", ()),
        (ask("ask-colour", "red"), "red or blue .", ("right",)),
        (ask("tell-name", "ann"), "nice to meet you , ann .", ()),
        (ask("story", "mia"), "mia was kind . she smiled .", ()),
        (ask("story", "mia"), "mia was kind . he smiled .", ("grammar",)),
        (ask("story", "mia"), "tom was kind .", ("grammar",)),
        (ask("story", "mia", polite=True), f"mia was kind . {THANKS}", ()),
    ],
)
def test_judge(asked, answer, failed) -> None:
    verdict = tales.judge(asked, answer)
    assert verdict.failed == failed
    assert verdict.passed == (not failed)
    assert tales.judge(asked, f"{answer} <e> tom tom").failed == failed


@given(st.sampled_from(SKILLS), st.lists(st.sampled_from(VOCABULARY), max_size=20))
def test_any_answer_gets_a_ruling(skill, words) -> None:
    made = tales.instruction(random.Random(0), skill)
    assert 0 <= tales.judge(made, words).score <= 1


def replay(dialogue: tales.Dialogue) -> None:
    """Checks a dialogue's memory from its words alone."""
    told: dict[str, str] = {}
    for turn in dialogue.turns:
        verb, _, what = turn.skill.partition("-")
        if verb == "tell":
            told[what] = turn.target[0]
            assert turn.target[0] in turn.prompt.split()
        elif verb == "ask":
            assert turn.target == ((told[what],) if what in told else ())


def test_dialogues_remember_what_was_told_last() -> None:
    rng = random.Random(2)
    recalled = overwritten = unknown = 0
    for _ in range(2000):
        dialogue = tales.dialogue(rng)
        replay(dialogue)
        assert 1 <= len(dialogue.turns) <= 4
        assert len(dialogue.text.split()) <= 96
        skills = [turn.skill for turn in dialogue.turns]
        recalled += any(t.skill.startswith("ask") and bool(t.target) for t in dialogue.turns)
        unknown += any(t.skill.startswith("ask") and not t.target for t in dialogue.turns)
        overwritten += skills.count("tell-name") > 1
    assert recalled > 200 and overwritten > 50 and unknown > 50


def test_long_dialogues_and_the_context_of_a_turn() -> None:
    dialogue = tales.dialogue(random.Random(3), turns=9, polite=0)
    assert len(dialogue.turns) == 9
    replay(dialogue)
    assert dialogue.text.startswith(dialogue.context(8))
    assert dialogue.context(0) == f"<u> {dialogue.turns[0].prompt} <a>"
    assert THANKS not in dialogue.text
    with pytest.raises(ValueError, match="from 0"):
        dialogue.context(9)
    with pytest.raises(ValueError, match="at least 1"):
        tales.dialogue(random.Random(0), turns=0)
    with pytest.raises(ValueError, match="'sing' is not a skill"):
        tales.instruction(random.Random(0), "sing")


def test_answer_mask_covers_answers_and_their_ends() -> None:
    text = "<u> who am i ? <a> your name is ann . <e> <u> add one and one . <a> two . <e>"
    mask = tales.answer_mask(text)
    kept = [word for word, inside in zip(text.split(), mask, strict=True) if inside]
    assert " ".join(kept) == "your name is ann . <e> two . <e>"


def test_the_gold_of_lists_is_what_people_would_say() -> None:
    rng = random.Random(4)
    counts = set()
    for _ in range(200):
        made = tales.instruction(rng, "list")
        count, group = made.target
        counts.add(count)
        assert f"{count} {group}" in made.prompt
        assert len(set(GROUPS[group]) & set(made.answer.split())) == NUMBERS.index(count)
    assert counts == {"two", "three", "four", "five"}
