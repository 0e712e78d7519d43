"""The closed world of English that the rewriter knows: word lists from ``english.json`` and the forms of verbs.

No tagger: the captions of both data sets are simple sentences, half of them without capitals, and a tagger trained on
news reads "poby loopy and crong is" no better than a list does. What is not in a list is not touched.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Number = Literal["singular", "plural", "either"]
VOWELS = "aeiou"


@dataclass(frozen=True)
class People:
    """What a common noun for a living thing lets a pronoun mean.

    ``pronouns`` it may take; ``many`` for plural nouns; ``weak`` for animals and things that captions call he or she
    now and then.
    """

    pronouns: frozenset[str]
    many: bool = False
    weak: bool = False


class English:
    """Word lists and verb forms; all words in lower case."""

    def __init__(self, raw: dict[str, Any]) -> None:
        """Build every form of every verb.

        Args:
            raw: The content of ``english.json``.
        """
        self.adverbs = frozenset(raw["adverbs"])
        self.clause_openers = frozenset(raw["clause_openers"])
        self.fronted = frozenset(raw["fronted"])
        self.prepositions = frozenset(raw["prepositions"])
        self.person_prepositions = frozenset(raw["person_prepositions"])
        self.of_heads = frozenset(raw["of_heads"])
        self.determiners = frozenset(raw["determiners"])
        self.contraction_followers = frozenset(raw["contraction_followers"])
        self.noun_gerunds = frozenset(raw["noun_gerunds"])
        self.plural_of: dict[str, str] = dict(raw["plural_of"])
        self.base: dict[str, str] = {}  # any form -> verb
        self.finite: dict[str, Number] = {}  # a form that can stand after its subject -> number of that subject
        self.gerunds: set[str] = set()
        irregular: dict[str, list[str]] = raw["irregular"]
        doubling = frozenset(raw["doubling"])
        for verb in raw["verbs"]:
            self._add_verb(verb, irregular.get(verb), verb in doubling)
        for number, words in raw["auxiliaries"].items():
            self.finite.update(dict.fromkeys(words, number))
        self.auxiliaries = frozenset(w for words in raw["auxiliaries"].values() for w in words)
        self.quoting = frozenset(raw["quoting"])
        self.telling = frozenset(raw["telling"])
        self.giving = frozenset(raw["giving"])
        self.watching = frozenset(raw["watching"])
        self.scene_words = frozenset(raw["scene_words"])
        self.people = _people(raw["people"], frozenset(raw["ignored_people"]))

    def _add_verb(self, verb: str, irregular: list[str] | None, doubles: bool) -> None:
        stem = verb + verb[-1] if doubles else verb
        gerund = stem[:-1] + "ing" if _drops_e(verb) else (verb[:-2] + "ying" if verb.endswith("ie") else stem + "ing")
        third = _third_person(verb)
        if irregular is None:
            past = verb + "d" if verb.endswith("e") else (verb[:-1] + "ied" if _consonant_y(verb) else stem + "ed")
            pasts = [past]
        else:
            pasts = irregular
        for form in (verb, third, gerund, *pasts):
            self.base.setdefault(form, verb)
        self.gerunds.add(gerund)
        self.finite.setdefault(third, "singular")
        self.plural_of.setdefault(third, verb)
        self.finite.setdefault(verb, "plural")
        self.finite[pasts[0]] = "either"  # "put", "read", "cut": the past is also the plural, and goes with both

    def number(self, word: str) -> Number | None:
        """Return what subject a finite verb form goes with; None if ``word`` is no finite form that is known."""
        return self.finite.get(word)

    def verb(self, word: str) -> str | None:
        """Return the verb that ``word`` is a form of."""
        return self.base.get(word)


@cache
def english() -> English:
    """Return the shipped word lists."""
    return English(json.loads(resources.files(__package__).joinpath("english.json").read_text("utf-8")))


def _people(raw: dict[str, dict[str, list[str]]], ignored: frozenset[str]) -> dict[str, People]:
    pronouns = {"he": frozenset({"he"}), "she": frozenset({"she"})}
    found: dict[str, People] = {}
    for kind, words in raw.items():
        one = pronouns.get(kind, frozenset({"he", "she", "it"}))
        for word in words["one"]:
            if word not in ignored:
                found.setdefault(word, People(one, weak=kind == "weak"))
        for word in words["many"]:
            found.setdefault(word, People(frozenset({"they", *pronouns.get(kind, ())}), many=True))
    return found


def _third_person(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    return verb[:-1] + "ies" if _consonant_y(verb) else verb + "s"


def _consonant_y(verb: str) -> bool:
    return verb.endswith("y") and verb[-2:-1] not in VOWELS


def _drops_e(verb: str) -> bool:
    return verb.endswith("e") and not verb.endswith(("ee", "oe", "ye", "ie")) and len(verb) > 2
