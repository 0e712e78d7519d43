"""Who can be named in a data set, by which words, and which pronoun each takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from storybench.data.facts import load_facts
from storybench.errors import ConfigError
from storybench.story import Character, Pronoun

PRONOUNS = ("she", "he", "it")  # a singular they beside plural groups could not be told from them
_WORDS = re.compile(r"[a-z]+|[.-]")


@dataclass(frozen=True)
class Person:
    """A named character; only members of the cast are ever replaced by a pronoun or scored."""

    name: str
    pronoun: Pronoun
    cast: bool


class Lexicon:
    """The alias table of one data set: token sequences in lower case -> person.

    Names are matched as whole tokens and in any case: "Mr. Slate", "mr slate" and "Mr.slate" are one person. A name of
    one word that is also an English noun ("slate" beside "Mr Slate") counts only with a capital letter.
    """

    def __init__(self, cast: Sequence[Character], others: Sequence[Character] = ()) -> None:
        self.people = {c.name: Person(c.name, c.pronoun, c in cast) for c in (*cast, *others)}
        self.aliases: dict[tuple[str, ...], Person] = {}
        self.capital_only: set[tuple[str, ...]] = set()
        for character in (*cast, *others):
            person = self.people[character.name]
            for alias in (character.name, *character.aliases):
                words = tuple(_WORDS.findall(alias.lower()))
                self.aliases[words] = person
                if words[0] in ("mr", "mrs") and len(words) > 1:  # the dot may be there or not
                    self.aliases[(words[0], ".", *[w for w in words[1:] if w != "."])] = person
                elif len(words) == 1 and len(_WORDS.findall(character.name.lower())) > 1:
                    self.capital_only.add(words)
        self.longest = max(len(words) for words in self.aliases)

    def name_at(self, words: Sequence[str], index: int, raw: str) -> tuple[Person, int] | None:
        """Return who is named at ``index`` of the lower-cased ``words`` and by how many tokens, longest alias first.

        Args:
            words: Lower-cased tokens of a caption.
            index: Where to look.
            raw: The token at ``index`` as written.
        """
        for length in range(min(self.longest, len(words) - index), 0, -1):
            key = tuple(words[index : index + length])
            person = self.aliases.get(key)
            if person is not None and not (key in self.capital_only and not raw[0].isupper()):
                return person, length
        return None


@cache
def load_lexicon(dataset: str) -> Lexicon:
    """Return the lexicon of a published data set with the pronouns of its facts file."""
    facts = load_facts(dataset)
    return Lexicon(facts.cast, facts.others)


def with_pronouns(dataset: str, pronouns: Mapping[str, str]) -> Lexicon:
    """Return the lexicon with other pronouns for some characters: ``{"Rody": "it"}``.

    Raises:
        ConfigError: If a name or a pronoun is unknown.
    """
    if not pronouns:
        return load_lexicon(dataset)
    facts = load_facts(dataset)
    names = [c.name for c in (*facts.cast, *facts.others)]
    for name, pronoun in pronouns.items():
        if name not in names or pronoun not in PRONOUNS:
            raise ConfigError(
                f"dataset.pronouns has {name!r}: {pronoun!r}, expected one of {', '.join(names)} with "
                f"{', '.join(PRONOUNS)}."
            )
    cast, others = (
        tuple(replace(c, pronoun=pronouns.get(c.name, c.pronoun)) for c in group)  # type: ignore[arg-type]
        for group in (facts.cast, facts.others)
    )
    return Lexicon(cast, others)
