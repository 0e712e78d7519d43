"""Writes a caption with its replacements and records every mention in it, with spans in the text as told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storybench.coreference.choosing import SIZES, Replacement
from storybench.coreference.discourse import Discourse
from storybench.coreference.english import english
from storybench.coreference.lexicon import Person
from storybench.coreference.pronouns import Explained
from storybench.coreference.reading import FORMS, Form, Named, Reading
from storybench.story import Caption, Mention, MentionKind


@dataclass(frozen=True)
class Told:
    """A caption as told, who is in it (and whether as an owner), whom it calls by name, and whom by which pronoun."""

    caption: Caption
    people: tuple[tuple[Person, bool], ...]
    named: frozenset[str]
    spoken: frozenset[tuple[str, frozenset[str]]]


def tell(
    reading: Reading,
    explained: Mapping[int, Explained],
    replaced: Mapping[int, Replacement],
    discourse: Discourse,
) -> Told:
    """Return a caption with the chosen mentions as pronouns.

    Args:
        reading: The caption as published.
        explained: Its own pronouns, by token.
        replaced: What becomes a pronoun, by first token.
        discourse: The frames before.
    """
    writer = _Writer(reading, discourse)
    for item in reading.items:
        if isinstance(item, Named):
            if item.first in replaced:
                writer.replace(replaced[item.first])
            else:
                writer.name(item)
        elif item.first in explained:
            writer.pronoun(explained[item.first])
    return writer.finish()


@dataclass
class _Writer:
    """Copies a caption from left to right."""

    reading: Reading
    discourse: Discourse
    text: str = ""
    copied: int = 0  # characters of the caption that are dealt with
    mentions: list[Mention] = field(default_factory=list)
    people: list[tuple[Person, bool]] = field(default_factory=list)
    here: dict[str, bool] = field(default_factory=dict)  # who has been named in this caption so far
    spoken: set[tuple[str, frozenset[str]]] = field(default_factory=set)

    def name(self, named: Named) -> None:
        """Copy a mention as it stands."""
        role = named.role
        default: Form = "subject" if self.reading.starts_sentence(named.first) else "object"
        form: Form = "possessive" if named.owner else role.form if role else default
        for person, (first, last) in zip(named.people, named.spans, strict=True):
            owns = named.owner and last == named.last
            self._copy_to(self.reading.tokens[first].start)
            start = len(self.text)
            self._copy_to(self.reading.tokens[last - 1 + owns].end)
            self.people.append((person, named.owner))
            self.here[person.name] = True
            if person.cast:
                self._record(start, (person,), "explicit", form)

    def pronoun(self, explained: Explained) -> None:
        """Copy a pronoun that the caption has."""
        token = self.reading.tokens[explained.item.first]
        self._copy_to(token.start)
        start = len(self.text)
        self._copy_to(token.end)
        people = explained.people
        form = explained.item.form
        self.people += [(p, form == "possessive") for p in people]
        self._speak(people)
        distance = self.discourse.distance([p.name for p in people], self.here) if people else None
        if distance is None or not all(p.cast for p in people):
            self._record(start, (), "uncertain", form)
            return
        self._record(start, people, "referential", form, distance, bool(distance) and self._ambiguous(people))

    def replace(self, replacement: Replacement) -> None:
        """Write a pronoun for a mention, and make its verb agree."""
        role, people, reference = replacement.role, replacement.named.people, replacement.reference
        self._copy_to(self.reading.tokens[role.first].start)
        start = len(self.text)
        words = pronoun_words(people, role.form, replacement.sized)
        self.text += words[0].upper() + words[1:] if self.reading.starts_sentence(role.first) else words
        self.copied = self.reading.tokens[role.last - 1].end
        self.people += [(p, role.form == "possessive") for p in people]
        self._speak(people)
        distance = self.discourse.distance(replacement.named.names, self.here)
        self._record(start, people, "referential", role.form, distance, reference.ambiguous)
        if role.verb is not None and len(people) > 1:
            self._agree(role.verb)

    def finish(self) -> Told:
        """Copy the rest."""
        self._copy_to(len(self.reading.text))
        caption = Caption(self.text, tuple(self.mentions))
        return Told(caption, tuple(self.people), frozenset(self.here), frozenset(self.spoken))

    def _speak(self, people: tuple[Person, ...]) -> None:
        """Keep whom a pronoun stood for."""
        if people:
            pronoun = people[0].pronoun if len(people) == 1 else "they"
            self.spoken.add((pronoun, frozenset(p.name for p in people)))

    def _agree(self, verb: int) -> None:
        """Put the verb of a plural subject into the plural."""
        token = self.reading.tokens[verb]
        plural = english().plural_of.get(token.word)
        if plural is not None:
            self._copy_to(token.start)
            self.text += plural
            self.copied = token.end

    def _ambiguous(self, people: tuple[Person, ...]) -> bool:
        return len(people) == 1 and self.discourse.rivals(people[0])

    def _record(
        self,
        start: int,
        people: tuple[Person, ...],
        kind: MentionKind,
        form: Form,
        distance: int | None = None,
        ambiguous: bool = False,
    ) -> None:
        surface = self.text[start:]
        names = tuple(p.name for p in people)
        self.mentions.append(
            Mention(self.discourse.now, start, len(self.text), surface, names, kind, form, distance, ambiguous)
        )

    def _copy_to(self, position: int) -> None:
        self.text += self.reading.text[self.copied : position]
        self.copied = max(self.copied, position)


def pronoun_words(people: tuple[Person, ...], form: Form, sized: bool) -> str:
    """Return what stands for ``people`` in lower case: him, their, both of them."""
    if len(people) == 1:
        return FORMS[people[0].pronoun][form][0]
    if sized and form in ("subject", "object"):
        return SIZES[len(people)]
    return FORMS["they"][form][0]
