"""Stories of a small world: drawn by a grammar, judged by the same grammar, scored objectively.

A story has one hero. Its first sentence names the hero; later ones say "she" or "he", which always
means the hero, or the name again. What makes a story right is more than the order of the words:

- "a" and "an" go by the next word; pronouns go by the name;
- "and" joins two adjectives of one polarity, "but" two of opposite polarity, which is how the
  orientation of words can be learned from raw text (Hatzivassiloglou and McKeown 1997, "Predicting
  the semantic orientation of adjectives");
- the hero smiles or frowns, once at most, by the polarity of the story's first such adjective,
  which ties each of the forty adjectives to one of two words, and makes polarity learnable soon;
- only what was found can be kept, lost or given away, once, and only who was given something
  thanks the hero, right after.

The gold score plays the person whom a model should please. It is a rule, so that chapters 11-14
can measure what a learned reward model only estimates.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from gptlib.draws import below, chance, pick, pick_weighted
from gptlib.tales_words import (
    ANIMALS,
    END,
    NAMES,
    NEGATIVE,
    OBJECTS,
    PLACES,
    POLAR,
    POSITIVE,
    QUALITIES,
    article,
    polarity,
    pronoun,
    to_words,
)

MAX_SENTENCES = 6
# What a sentence may tell, and how often where it is possible at all. After "gave", "thanked"
# may follow; "smiled" stands for "frowned" too, by the mood.
KINDS: dict[str, int] = {
    "was": 4,
    "met": 2,
    "found": 3,
    "went": 2,
    "gave": 12,
    "kept": 4,
    "lost": 4,
    "smiled": 5,
}


def story(
    rng: random.Random,
    hero: str | None = None,
    sentences: int | None = None,
    mood: int | None = None,
    adjectives: Sequence[str] = POLAR,
    but: float = 0.1,
    kinds: Sequence[str] = tuple(KINDS),
) -> str:
    """A random grammatical story, without an end token, such as
    "mia found a small lantern . she was kind and brave ."

    ``hero``: a name, random where not given. ``sentences``: 1 to 6, else 2 to 5 at random.
    ``mood``: +1 or -1 (else random): the polarity of all adjectives about hero and animals, except
    the second one in "X but Y", which has probability ``but`` where a pair is drawn.
    ``adjectives``: the polar adjectives to choose from; none is used twice in a story, and every
    story has at least one. ``kinds``: the kinds of sentence to choose from, for a simpler world,
    such as ("was", "found"). Used in chapters 5-14. ValueError where an argument is out of range.
    """
    hero = pick(rng, NAMES) if hero is None else hero
    n = 2 + below(rng, 4) if sentences is None else sentences
    mood = pick(rng, (1, -1)) if mood is None else mood
    if hero not in NAMES:
        raise ValueError(f"{hero!r} is no name of the story world, which has {', '.join(NAMES)}")
    if not 1 <= n <= MAX_SENTENCES or mood not in (1, -1):
        raise ValueError(
            f"sentences is {n}, mood is {mood}; sentences goes from 1 to {MAX_SENTENCES} and mood "
            "is 1 or -1"
        )
    unused = {sign: [word for word in adjectives if polarity(word) == sign] for sign in (1, -1)}
    if len(unused[mood]) < 2 * n or (but and len(unused[-mood]) < n):
        raise ValueError(
            f"too few adjectives for a story of {n} sentences: up to {2 * n} of its mood are used, "
            f"and up to {n} of the other after 'but' unless but=0"
        )

    def adjective(sign: int) -> str:
        return unused[sign].pop(below(rng, len(unused[sign])))

    if "was" not in kinds or not set(kinds) <= set(KINDS):
        raise ValueError(
            f"kinds is {tuple(kinds)}; it must have 'was', and others only from {tuple(KINDS)}"
        )

    # A sentence is chosen by what has happened: `held` was found, `friend` was given something.
    lines: list[str] = []
    held = friend = None
    described = reacted = False
    while len(lines) < n:
        subject = hero if not lines or chance(rng, 0.15) else pronoun(hero)
        last = len(lines) == n - 1
        if friend is not None and chance(rng, 0.8):
            kind = "thanked"
        else:
            blocked = {"gave", "kept", "lost"} if held is None else {"found"}
            blocked |= {"smiled"} if reacted else set()
            possible = [kind for kind in kinds if kind not in blocked]
            kind = pick_weighted(rng, possible, [KINDS[kind] for kind in possible])
        if last and not described:
            kind = "was"
        thanks_from, friend = friend, None
        if kind == "was":
            words = f"{subject} was {adjective(mood)}"
            if chance(rng, 0.6):
                contrast = chance(rng, but)
                other = adjective(-mood if contrast else mood)
                words += f" {'but' if contrast else 'and'} {other}"
            described = True
        elif kind == "found":
            held, quality = pick(rng, OBJECTS), pick(rng, QUALITIES)
            words = f"{subject} found {article(quality)} {quality} {held}"
        elif kind == "met":
            word = adjective(mood)
            words = f"{subject} met {article(word)} {word} {pick(rng, ANIMALS)}"
            described = True
        elif kind == "went":
            words = f"{subject} went to the {pick(rng, PLACES)}"
        elif kind == "smiled":
            words, reacted = f"{subject} {'smiled' if mood > 0 else 'frowned'}", True
        elif kind == "gave":
            friend = pick(rng, [name for name in NAMES if name != hero])
            words, held = f"{subject} gave the {held} to {friend}", None
        elif kind == "thanked":
            words = f"{thanks_from} thanked {'her' if pronoun(hero) == 'she' else 'him'}"
        else:
            words, held = f"{subject} {kind} the {held}", None
        lines.append(words + " .")
    return " ".join(lines)


def _noun_phrase_error(words: Sequence[str], kinds: Sequence[str], nouns: Sequence[str]) -> str:
    """Why these words aren't "a" or "an", one of ``kinds``, one of ``nouns``; else ""."""
    if len(words) != 3 or words[1] not in kinds or words[2] not in nouns:
        return f"{' '.join(words)!r} is not an article, an adjective and a noun that fit"
    if words[0] != article(words[1]):
        return f"before {words[1]!r} comes {article(words[1])!r}, not {words[0]!r}"
    return ""


def grammar_error(text: str | Sequence[str], hero: str | None = None) -> str | None:
    """What breaks the grammar first, in words, or None where the story is grammatical.

    ``text`` may end in ``<e>``; whatever follows it is not read. With ``hero``, the story must
    also be about that person.
    """
    words = to_words(text)
    words = words[: words.index(END)] if END in words else words
    if not words:
        return "there is no story"
    if words[-1] != ".":
        return "the last sentence has no full stop"
    who = words[0]
    if who not in NAMES:
        return f"a story starts with the name of its hero, not with {who!r}"
    if hero is not None and who != hero:
        return f"the story is about {who}, not about {hero}"
    held = friend = None
    # The polarity of the first polar adjective and of the smile or frown, 0 before them.
    mood = reaction = 0
    for sentence in " ".join(words[:-1]).split(" . "):
        subject, *rest = sentence.split() or [""]
        verb, *tail = rest or [""]
        if verb == "thanked":
            pronoun_of_hero = "her" if pronoun(who) == "she" else "him"
            if friend is None or subject != friend:
                return f"{subject!r} thanked, but was not given anything just before"
            if tail != [pronoun_of_hero]:
                return f"{friend} thanked {' '.join(tail)!r} instead of {pronoun_of_hero!r}"
            friend = None
            continue
        friend = None
        if subject not in (who, pronoun(who)):
            return f"{subject!r} is not the hero: {who}, later {pronoun(who)!r}"
        if verb == "was":
            signs = [polarity(word) for word in tail[::2]]
            if len(tail) not in (1, 3) or 0 in signs:
                return f"{sentence!r} does not describe the hero with one or two adjectives"
            joint = "and" if sum(signs) else "but"
            if len(tail) == 3 and (tail[1] != joint or tail[0] == tail[2]):
                return f"{tail[0]!r} and {tail[2]!r} are joined by {joint!r}, if they differ"
            mood = mood or signs[0]
        elif verb == "found":
            if held is not None:
                return f"{who} still has the {held}"
            if error := _noun_phrase_error(tail, QUALITIES, OBJECTS):
                return error
            held = tail[-1]
        elif verb == "met":
            if error := _noun_phrase_error(tail, POLAR, ANIMALS):
                return error
            mood = mood or polarity(tail[1])
        elif verb == "went":
            if tail[:2] != ["to", "the"] or len(tail) != 3 or tail[2] not in PLACES:
                return f"{sentence!r} does not lead to a place"
        elif verb in ("smiled", "frowned"):
            if tail or reaction:
                return f"{sentence!r} goes on too long, or tells it a second time"
            reaction = 1 if verb == "smiled" else -1
        elif verb in ("kept", "lost", "gave"):
            if held is None or tail[:2] != ["the", held]:
                return f"in {sentence!r}, {who} has no such thing"
            held = None
            if verb != "gave" and len(tail) > 2:
                return f"{sentence!r} goes on too long"
            if verb == "gave":
                if len(tail) != 4 or tail[2] != "to" or tail[3] not in NAMES or tail[3] == who:
                    return f"{sentence!r} does not say to whom"
                friend = tail[3]
        else:
            return f"{sentence!r} has no verb that a story knows"
        if mood * reaction < 0:
            return f"{who} {'smiled' if reaction > 0 else 'frowned'} in a story of the other mood"
    return None


def is_grammatical(text: str | Sequence[str], hero: str | None = None) -> bool:
    """Whether the grammar accepts the story; ``grammar_error`` says why not."""
    return grammar_error(text, hero) is None


@dataclass(frozen=True)
class GoldScore:
    """The gold score of a story and its parts, all counts but the last."""

    positive: int
    """Different positive adjectives; three at most count."""
    negative: int
    """Negative adjectives, every use."""
    repeats: int
    """Uses of a polar adjective after its first."""
    ungrammatical: bool
    unfinished: bool
    """No end token."""
    excess: int
    """Words beyond 13, the end token not counted."""

    @property
    def total(self) -> float:
        """min(positive, 3) - negative - 0.7 repeats - 2 ungrammatical - unfinished - 0.15 excess"""
        return (
            min(self.positive, 3)
            - self.negative
            - 0.7 * self.repeats
            - 2.0 * self.ungrammatical
            - 1.0 * self.unfinished
            - 0.15 * self.excess
        )


def gold_parts(words: str | Sequence[str], hero: str | None = None) -> GoldScore:
    """What the gold score counts in a story. Words after the first ``<e>`` are not read.

    With ``hero``, a story about anybody else is off its prompt, and counts as ungrammatical.
    """
    words = to_words(words)
    finished = END in words
    words = words[: words.index(END)] if finished else words
    polar = [word for word in words if polarity(word)]
    return GoldScore(
        positive=len({word for word in polar if word in POSITIVE}),
        negative=sum(word in NEGATIVE for word in polar),
        repeats=len(polar) - len(set(polar)),
        ungrammatical=not is_grammatical(words, hero),
        unfinished=not finished,
        excess=max(0, len(words) - 13),
    )


def gold_score(words: str | Sequence[str], hero: str | None = None) -> float:
    """The objective score of a story that ends in ``<e>``: 3 at best. See ``GoldScore.total``.

    >>> gold_score("mia was kind and brave . she was wise . <e>")
    3.0
    """
    return gold_parts(words, hero).total
