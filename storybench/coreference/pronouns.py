"""Explains the pronouns that captions have themselves: whom each stands for, where that is certain.

Within its caption a singular pronoun is certain if exactly one person of its kind came before it, and no animal since;
"they" is certain if two or more people came before it and no unnamed person or plural noun. A pronoun with nobody
before it in the caption is explained by the earlier frames (:mod:`storybench.coreference.discourse`), or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from storybench.coreference.discourse import Discourse
from storybench.coreference.lexicon import Lexicon, Person
from storybench.coreference.reading import Named, Pronominal, Reading, Unnamed


@dataclass(frozen=True)
class Explained:
    """A pronoun of the caption; ``people`` is empty if its antecedent is not certain."""

    item: Pronominal
    people: tuple[Person, ...]
    candidates: int  # people of the same caption that it might mean

    @property
    def unclear(self) -> bool:
        """Say whether nothing at all explains it."""
        return not self.people and not self.candidates


def explain(reading: Reading, discourse: Discourse, lexicon: Lexicon) -> dict[int, Explained]:
    """Return token index -> explanation for every pronoun of a caption; "it" only if somebody of the cast is an it."""
    has_it = any(person.pronoun == "it" for person in lexicon.people.values())
    found: dict[int, Explained] = {}
    before: list[Named | Unnamed | Explained] = []
    for item in reading.items:
        if not isinstance(item, Pronominal):
            before.append(item)
        elif item.pronoun != "it" or has_it:
            known = _they(item, before, discourse, lexicon) if item.pronoun == "they" else _one(item, before, discourse)
            found[item.first] = known
            before.append(known)
    return found


def _one(item: Pronominal, before: list[Named | Unnamed | Explained], discourse: Discourse) -> Explained:
    """Explain she, he or it."""
    people: list[Person] = []
    strangers, animal_since = 0, False
    for earlier in before:
        if isinstance(earlier, Unnamed):
            if item.pronoun in earlier.pronouns:
                strangers += not earlier.weak
                animal_since = animal_since or earlier.weak
            continue
        fitting = [p for p in earlier.people if p.pronoun == item.pronoun]
        if fitting:
            animal_since = False
        people += [p for p in fitting if p not in people]
    if not people and not strangers:
        if animal_since:
            return Explained(item, (), 1)
        person = discourse.candidate(item.pronoun)
        known = person is not None and discourse.distance((person.name,)) is not None
        return Explained(item, (person,) if person and known else (), 0)
    certain = len(people) == 1 and not strangers and not (animal_since and item.form != "possessive")
    return Explained(item, tuple(people) if certain else (), len(people) + strangers)


def _they(
    item: Pronominal, before: list[Named | Unnamed | Explained], discourse: Discourse, lexicon: Lexicon
) -> Explained:
    """Explain they."""
    people: list[Person] = []
    strangers = 0
    for earlier in before:
        if isinstance(earlier, Unnamed):
            strangers += 1
        elif not (isinstance(earlier, Named) and earlier.owner):
            people += [p for p in earlier.people if p not in people]
    if not people and not strangers:
        found = discourse.group()
        if found is None or found[1] or discourse.distance(found[0]) is None:
            return Explained(item, (), 0)
        return Explained(item, tuple(lexicon.people[name] for name in sorted(found[0])), 0)
    certain = len(people) > 1 and not strangers
    return Explained(item, tuple(people) if certain else (), len(people) + strangers)


def named_before(reading: Reading, item: Pronominal) -> set[str]:
    """Return whom a caption names before a she or he that fits none of them: "Harry opens her wing"."""
    if item.pronoun not in ("she", "he"):
        return set()
    people = [p for n in reading.items if isinstance(n, Named) and n.first < item.first for p in n.people]
    return set() if any(p.pronoun == item.pronoun for p in people) else {p.name for p in people}


def opens_or_owns(reading: Reading, known: Explained) -> bool:
    """Say whether a pronoun opens a sentence or owns something, and has nobody of its kind before it in the caption.

    "Barney is here. She reads." may be about a woman of an earlier frame, and may be a slip of the annotator.
    """
    item = known.item
    opens = item.form == "subject" and reading.starts_sentence(item.first)
    return not known.candidates and (opens or item.form == "possessive")


def contradicts(reading: Reading) -> bool:
    """Say whether a caption may give somebody a pronoun that is not theirs."""
    return any(isinstance(item, Pronominal) and named_before(reading, item) for item in reading.items)
