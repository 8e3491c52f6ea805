"""Chats of the story world: instructions in several phrasings, memory over turns, a fair judge.

Eight skills: tell a name or a favourite colour, ask for it turns later (the last one told counts),
ask for a fact, add two numbers in words, list n members of a group, tell a story about somebody.
Each has three or four phrasings for training and two that are held out; every word of those occurs
in training, so that they test phrasings and not unknown words. Facts, sums, lists and stories can
be asked for politely, which calls for exactly one "thank you for asking ." at the end.

``judge`` decides by rule whether an answer is right. It gives the verifiable reward of chapters
13 and 14, and says what is wrong, so that an imperfect reward model can be caught.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gptlib.draws import below, chance, pick, pick_weighted, sample
from gptlib.tales_facts import RELATIONS, Fact, facts, random_question
from gptlib.tales_stories import grammar_error, story
from gptlib.tales_words import (
    ASSISTANT,
    COLOURS,
    END,
    GROUPS,
    NAMES,
    NUMBERS,
    USER,
    joined,
    to_words,
)

THANKS = "thank you for asking ."

# Training phrasings, held-out phrasings. Those of facts are in tales_facts.RELATIONS.
PHRASINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tell-name": (
        ("my name is {name} .", "i am {name} .", "call me {name} ."),
        ("you can call me {name} .", "people call me {name} ."),
    ),
    "ask-name": (
        ("what is my name ?", "who am i ?", "tell me my name ."),
        ("can you tell me my name ?", "do you know my name ?"),
    ),
    "tell-colour": (
        (
            "my favourite colour is {colour} .",
            "i like {colour} best .",
            "{colour} is my favourite colour .",
        ),
        ("i like the colour {colour} best .", "the colour i like best is {colour} ."),
    ),
    "ask-colour": (
        (
            "what is my favourite colour ?",
            "which colour do i like best ?",
            "tell me my favourite colour .",
        ),
        ("can you tell me my favourite colour ?", "do you know my favourite colour ?"),
    ),
    "sum": (
        ("what is {a} plus {b} ?", "add {a} and {b} .", "tell me what {a} plus {b} is ."),
        ("can you add {a} and {b} ?", "give me {a} plus {b} ."),
    ),
    "list": (
        (
            "list {n} {group} .",
            "name {n} {group} .",
            "give me {n} {group} .",
            "can you list {n} {group} ?",
        ),
        ("can you name {n} {group} ?", "tell me {n} {group} ."),
    ),
    "story": (
        (
            "tell me a story about {name} .",
            "write a story about {name} .",
            "i want a story about {name} .",
        ),
        ("can you tell me a story about {name} ?", "give me a story about {name} ."),
    ),
}
POLITE = (("be polite .", "answer politely .", "please answer politely ."), ("please be polite .",))
SKILLS = (*PHRASINGS, "fact")
_WEIGHTS = (2, 3, 2, 3, 3, 3, 3, 3)


@dataclass(frozen=True)
class Instruction:
    """What the user says, one right answer, and what the judge needs to know.

    ``target`` is by skill: the name or the colour (none where it was never told), the three
    numbers of a sum, count and group of a list, the hero of a story, relation and value of a fact.
    """

    skill: str
    prompt: str
    answer: str
    target: tuple[str, ...]
    polite: bool = False


def instruction(
    rng: random.Random,
    skill: str,
    *,
    world: Sequence[Fact] | None = None,
    told: dict[str, str] | None = None,
    held_out: bool = False,
    polite: bool = False,
    sentences: int = 2,
) -> Instruction:
    """A random instruction of this skill with a right answer.

    ``world``: the facts, those of seed 0 where not given. ``told``: what the user has told before,
    {"name": ..., "colour": ...}, for "ask-name" and "ask-colour". ``held_out``: phrase it as no
    training text does. ``sentences``: of a story. ValueError for an unknown skill.
    """
    if skill not in SKILLS:
        raise ValueError(f"{skill!r} is not a skill; the skills are {', '.join(SKILLS)}")
    told = told or {}
    target: tuple[str, ...]
    if skill == "fact":
        asked = random_question(rng, facts() if world is None else world, held_out)
        fact = asked.facts[0]
        prompt, answer, target = asked.prompt, asked.answer, (fact.relation, fact.value)
    else:
        fields = {"name": pick(rng, NAMES), "colour": pick(rng, COLOURS)}
        fields["group"] = pick(rng, tuple(GROUPS))
        if skill == "tell-name":
            target = (fields["name"],)
            answer = f"nice to meet you , {fields['name']} ."
        elif skill == "tell-colour":
            target = (fields["colour"],)
            answer = f"i will remember that you like {fields['colour']} ."
        elif skill.startswith("ask-"):
            what = skill.removeprefix("ask-")
            phrase = "favourite colour" if what == "colour" else what
            target = (told[what],) if what in told else ()
            answer = (
                f"your {phrase} is {told[what]} ."
                if what in told
                else f"i do not know your {phrase} ."
            )
        elif skill == "sum":
            a, b = below(rng, 10), below(rng, 10)
            fields["a"], fields["b"] = NUMBERS[a], NUMBERS[b]
            target = (NUMBERS[a], NUMBERS[b], NUMBERS[a + b])
            answer = f"{NUMBERS[a]} plus {NUMBERS[b]} is {NUMBERS[a + b]} ."
        elif skill == "list":
            n = 2 + below(rng, 4)
            fields["n"], target = NUMBERS[n], (NUMBERS[n], fields["group"])
            answer = joined(sample(rng, GROUPS[fields["group"]], n)) + " ."
        else:
            target = (fields["name"],)
            answer = story(rng, hero=fields["name"], sentences=sentences)
        prompt = pick(rng, PHRASINGS[skill][held_out]).format(**fields)
    if polite:
        prompt, answer = f"{prompt} {pick(rng, POLITE[held_out])}", f"{answer} {THANKS}"
    return Instruction(skill, prompt, answer, target, polite)


@dataclass(frozen=True)
class Dialogue:
    """Turns of a chat. ``text``: all of it, ``<u> prompt <a> answer <e> <u> ...``."""

    turns: tuple[Instruction, ...]

    @property
    def text(self) -> str:
        return " ".join(f"{USER} {t.prompt} {ASSISTANT} {t.answer} {END}" for t in self.turns)

    def context(self, turn: int) -> str:
        """What the assistant has before it when it answers this turn; ends in ``<a>``."""
        if not 0 <= turn < len(self.turns):
            raise ValueError(f"turn is {turn}, but the dialogue has {len(self.turns)}, from 0")
        before = Dialogue(self.turns[:turn]).text
        return f"{before} {USER} {self.turns[turn].prompt} {ASSISTANT}".strip()


def dialogue(
    rng: random.Random,
    turns: int | None = None,
    *,
    world: Sequence[Fact] | None = None,
    held_out: bool = False,
    polite: float = 0.2,
) -> Dialogue:
    """A random chat of 1 to 4 turns (or of ``turns``), at most 96 tokens with up to 4 turns.

    Names and colours that were told are remembered, and overwritten when told again.
    ``polite``: share of the facts, sums, lists and stories that are asked for politely.
    """
    n = 1 + below(rng, 4) if turns is None else turns
    if n < 1:
        raise ValueError(f"turns is {n}; a dialogue has at least 1")
    told: dict[str, str] = {}
    made: list[Instruction] = []
    while len(made) < n:
        skill = pick_weighted(rng, SKILLS, _WEIGHTS)
        verb, _, what = skill.partition("-")
        if verb == "ask" and what not in told and chance(rng, 0.8):
            skill, verb = f"tell-{what}", "tell"  # ask for what was never told only now and then
        manners = skill in ("fact", "sum", "list", "story") and chance(rng, polite)
        turn = instruction(rng, skill, world=world, told=told, held_out=held_out, polite=manners)
        if len(Dialogue((*made, turn)).text.split()) > 96 and n <= 4:
            continue
        if verb == "tell":
            told[what] = turn.target[0]
        made.append(turn)
    return Dialogue(tuple(made))


def answer_mask(text: str | Sequence[str]) -> list[bool]:
    """For every word of a chat, whether the assistant wrote it: after ``<a>``, up to and with
    ``<e>``. The loss of instruction tuning counts these words only. Used in chapter 10."""
    mask, inside = [], False
    for word in to_words(text):
        mask.append(inside)
        inside = word == ASSISTANT or (inside and word != END)
    return mask


@dataclass(frozen=True)
class Verdict:
    """The judge's ruling: each check by name, and whether it passed."""

    checks: dict[str, bool]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(self.checks.values())

    @property
    def score(self) -> float:
        """Share of the checks that passed, from 0 to 1."""
        return sum(self.checks.values()) / len(self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """The names of the checks that failed."""
        return tuple(name for name, passed in self.checks.items() if not passed)


def judge(instruction: Instruction, answer: str | Sequence[str]) -> Verdict:
    """Whether this answer does what the instruction asks, by rule.

    Words after the first ``<e>`` are not read. Checks, by skill: "right" (the one right value and
    no other of its kind), "count", "members", "distinct" (lists), "grammar" (stories), "form" (one
    sentence, or a list written as lists are), and for all of them "manners": thanks once, at the
    end, where politeness was asked for, and nowhere else. Used in chapters 10-14.
    """
    words = to_words(answer)
    words = words[: words.index(END)] if END in words else words
    thanks = THANKS.split()
    polite_end = words[-len(thanks) :] == thanks
    body = words[: -len(thanks)] if polite_end else words
    manners = polite_end == instruction.polite and "thank" not in body
    target = instruction.target
    checks: dict[str, bool]

    def mentioned(pool: Sequence[str]) -> list[str]:
        return [word for word in body if word in pool]

    one_sentence = body.count(".") == 1 and body[-1] == "."
    if instruction.skill == "story":
        checks = {"grammar": grammar_error(body, hero=target[0]) is None}
    elif instruction.skill == "list":
        count, group = target
        items = [word for word in body if word not in (",", "and", ".")]
        checks = {
            "count": len(items) == NUMBERS.index(count),
            "members": bool(items) and all(item in GROUPS[group] for item in items),
            "distinct": bool(items) and len(set(items)) == len(items),
            "form": body == [*joined(items).split(), "."],
        }
    elif instruction.skill == "sum":
        right = mentioned(NUMBERS) in ([target[2]], list(target))
        checks = {"right": right, "form": one_sentence}
    elif instruction.skill == "fact":
        relation, value = target
        checks = {
            "right": set(mentioned(RELATIONS[relation].values)) == {value},
            "form": one_sentence,
        }
    else:
        pool = NAMES if instruction.skill.endswith("name") else COLOURS
        unknown = "do not know" in " ".join(body)
        checks = {
            "right": set(mentioned(pool)) == set(target) and unknown == (not target),
            "form": one_sentence,
        }
    return Verdict({**checks, "manners": manners})
