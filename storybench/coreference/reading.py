"""What one caption says of people, before any story: names, groups, pronouns and unnamed people, in order.

A reading depends on the caption and the lexicon alone, so it is made once (:mod:`storybench.coreference.parsing`) and
shared by the five stories a frame is in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from storybench.coreference.lexicon import Person
from storybench.coreference.tokens import Token
from storybench.story import Pronoun

Form = Literal["subject", "object", "possessive", "reflexive"]
FORMS: dict[Pronoun, dict[Form, tuple[str, ...]]] = {
    "he": {"subject": ("he",), "object": ("him",), "possessive": ("his",), "reflexive": ("himself",)},
    "she": {"subject": ("she",), "object": ("her",), "possessive": ("her", "hers"), "reflexive": ("herself",)},
    "it": {"subject": ("it",), "object": ("it",), "possessive": ("its",), "reflexive": ("itself",)},
    "they": {
        "subject": ("they",),
        "object": ("them",),
        "possessive": ("their", "theirs"),
        "reflexive": ("themselves", "themself"),
    },
}


@dataclass(frozen=True)
class Role:
    """How a mention would be said as a pronoun.

    ``first`` and ``last`` are the tokens that the pronoun replaces (``last`` exclusive): the mention, its possessive
    mark, and a "both" before it. ``verb`` is the token that must agree with a subject.
    """

    form: Form
    first: int
    last: int
    verb: int | None = None
    both: bool = False


@dataclass(frozen=True)
class Named:
    """One name, or a list of names that acts as one: "Fred", "Fred's", "Pororo, Crong and Eddy".

    ``first`` and ``last`` are token indices, ``last`` exclusive and without a possessive mark; ``spans`` are the token
    ranges of the single names. ``owner`` says that a possessive mark follows. ``role`` is None if no rule tells it.
    """

    people: tuple[Person, ...]
    first: int
    last: int
    spans: tuple[tuple[int, int], ...]
    owner: bool
    sentence: int
    names: tuple[str, ...] = field(init=False)  # in the order of the caption
    role: Role | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(person.name for person in self.people))


@dataclass(frozen=True)
class Pronominal:
    """A pronoun that the caption itself has."""

    pronoun: Pronoun
    form: Form
    first: int
    sentence: int


@dataclass(frozen=True)
class Unnamed:
    """A common noun for people or animals: "the man", "friends", "a dog"."""

    pronouns: frozenset[str]
    many: bool
    weak: bool
    first: int
    sentence: int


Item = Named | Pronominal | Unnamed


@dataclass(frozen=True)
class Reading:
    """Tokens, the sentence of each token, and the items in order."""

    text: str
    tokens: tuple[Token, ...]
    sentences: tuple[int, ...]
    items: tuple[Item, ...]

    def word(self, index: int) -> str:
        """Return the lower-cased token at ``index``; empty outside of the caption."""
        return self.tokens[index].word if 0 <= index < len(self.tokens) else ""

    def starts_sentence(self, index: int) -> bool:
        """Say whether the token at ``index`` opens its sentence, quotation marks aside."""
        while index > 0 and self.word(index - 1) in ('"', "'", "(", "-"):
            index -= 1
        return index == 0 or self.sentences[index - 1] != self.sentences[index]
