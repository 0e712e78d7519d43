"""Which mentions of a caption become pronouns: the conditions of :mod:`storybench.coreference.rewriting`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storybench.coreference.discourse import Discourse, Reference
from storybench.coreference.english import english
from storybench.coreference.lexicon import Person
from storybench.coreference.pronouns import Explained
from storybench.coreference.reading import Named, Pronominal, Reading, Role, Unnamed


@dataclass(frozen=True)
class Replacement:
    """A mention that becomes a pronoun."""

    named: Named
    role: Role
    reference: Reference
    sized: bool = False  # "both of them", "all three of them"


def choose(
    reading: Reading, explained: Mapping[int, Explained], discourse: Discourse, disputed: frozenset[str] = frozenset()
) -> dict[int, Replacement]:
    """Return first token -> replacement for the mentions of a caption that become pronouns.

    Args:
        reading: The caption.
        explained: Its own pronouns, by token.
        discourse: The frames before.
        disputed: Names that never become a single pronoun (condition 7).
    """
    mentions = [item for item in reading.items if isinstance(item, Named)]
    chosen: dict[int, Replacement] = {}
    spoken: set[str] = set()  # pronouns in use: two people of one pronoun are never both replaced
    for group in dict.fromkeys(frozenset(m.names) for m in mentions):
        own = [m for m in mentions if frozenset(m.names) == group]
        people = own[0].people
        pronoun = people[0].pronoun if len(group) == 1 else "they"
        if (
            pronoun in spoken
            or not all(p.cast for p in people)
            or len(group) != len(people)
            or (len(group) == 1 and group <= disputed)
        ):
            continue
        found = _Choice(reading, explained, discourse, mentions, own, pronoun).replacements()
        if found:
            spoken.add(pronoun)
            chosen.update((r.named.first, r) for r in found)
    return chosen


@dataclass(frozen=True)
class _Choice:
    """The decision for one character or group in one caption."""

    reading: Reading
    explained: Mapping[int, Explained]
    discourse: Discourse
    mentions: Sequence[Named]
    own: Sequence[Named]
    pronoun: str

    def replacements(self) -> list[Replacement]:
        """Return all mentions as replacements, or none."""
        if not self._apart() or not self._pronouns_agree():
            return []
        reference = self._explained_by_history()
        if reference is None or (reference.sized and not self._told_apart_later()):
            return []
        found: list[Replacement] = []
        for mention in self.own:
            role = mention.role
            if role is None or not self._fits(mention, role, found):
                return []
            sized = reference.sized or role.both
            found.append(Replacement(mention, role, reference, sized and self._takes_number(mention, role, found)))
        return found

    @property
    def _people(self) -> tuple[Person, ...]:
        return self.own[0].people

    def _apart(self) -> bool:
        """Condition 5: no member is named before, no other list shares one."""
        names = set(self.own[0].names)
        others = [m for m in self.mentions if m not in self.own and names & set(m.names)]
        before = any(m.first < self.own[0].first for m in others)
        return not before and not any(len(m.people) > 1 or len(names) == 1 for m in others)

    def _pronouns_agree(self) -> bool:
        """Condition 3."""
        names = frozenset(self.own[0].names)
        same = [e for e in self.explained.values() if e.item.pronoun == self.pronoun]
        return all(frozenset(p.name for p in e.people) == names for e in same)

    def _explained_by_history(self) -> Reference | None:
        """Condition 1."""
        first = self.own[0]
        role = first.role
        if role is None or any(
            item.first < first.first and (item.sentence < first.sentence or isinstance(item, Named))
            for item in self.reading.items
            if not isinstance(item, Pronominal)
        ):
            return None
        if self._scene_reset(first):
            return None
        if len(self._people) > 1:
            return self.discourse.plural(frozenset(first.names))
        beside = [
            name
            for m in self.mentions
            if role.form == "subject" and m.sentence == first.sentence and m.role and m.role.form == "object"
            for name in m.names
        ]
        return self.discourse.singular(self._people[0], beside)

    def _scene_reset(self, first: Named) -> bool:
        """Say whether the sentences before ``first`` turn the reader away from whom the frame before showed."""
        words = [t.word for t, s in zip(self.reading.tokens, self.reading.sentences, strict=True) if s < first.sentence]
        emptied = not english().scene_words.isdisjoint(words) or "no one" in " ".join(words)
        last = self.discourse.seen[-1].people if self.discourse.seen else ()
        return emptied or bool(words and self._people[0] not in last)

    def _told_apart_later(self) -> bool:
        """Say whether the caption goes on to name every member of the group alone."""
        alone = {m.names[0] for m in self.mentions if len(m.people) == 1 and m.first > self.own[0].first}
        return set(self.own[0].names) <= alone

    def _takes_number(self, mention: Named, role: Role, found: Sequence[Replacement]) -> bool:
        """Say whether "both of them" reads well: once, of two to four, and not before "both" or "each other"."""
        words = {
            t.word for t, s in zip(self.reading.tokens, self.reading.sentences, strict=True) if s == mention.sentence
        }
        counted = self.reading.word(role.last) in ("both", "all") or words & RECIPROCAL
        return not found and not counted and role.form != "possessive" and len(self._people) in SIZES

    def _fits(self, mention: Named, role: Role, found: Sequence[Replacement]) -> bool:
        """Conditions 4 and 6, and a verb that can agree."""
        if self._fronted(mention) or self._second_verb(role):
            return False
        rivals = self._rivals_before(mention)
        if not rivals:
            return True
        return self._stays_subject(mention, role, found, rivals) or self._opposed(mention, role, rivals)

    def _second_verb(self, role: Role) -> bool:
        """Say whether a verb to be put into the plural has another beside it: "Fred and Wilma is ... are here"."""
        if len(self._people) == 1 or role.verb is None or english().number(self.reading.word(role.verb)) != "singular":
            return False
        later = range(role.verb + 1, len(self.reading.tokens))
        return any(
            self.reading.word(i) in english().auxiliaries
            or (self.reading.word(i - 1) == "and" and english().number(self.reading.word(i)) == "singular")
            for i in later
            if self.reading.sentences[i] == self.reading.sentences[role.verb]
        )

    def _kind(self, item: Named | Unnamed) -> bool:
        """Say whether ``item`` could be meant by this pronoun too."""
        if isinstance(item, Unnamed):
            return item.many if self.pronoun == "they" else self.pronoun in item.pronouns
        if self.pronoun == "they":
            return len(item.people) > 1
        return any(p.pronoun == self.pronoun for p in item.people)

    def _rivals_before(self, mention: Named) -> list[Named | Unnamed]:
        return [
            item
            for item in self.reading.items
            if item.first < mention.first
            and isinstance(item, (Named, Unnamed))
            and item not in self.own
            and self._kind(item)
        ]

    def _fronted(self, mention: Named) -> bool:
        """Say whether the mention stands in a sentence that opens with a subordinate clause beside its like."""
        words = [self.reading.word(i) for i, s in enumerate(self.reading.sentences) if s == mention.sentence]
        if not words or words[0] not in english().fronted:
            return False
        return any(m.sentence == mention.sentence and m not in self.own and self._kind(m) for m in self.mentions)

    def _stays_subject(
        self, mention: Named, role: Role, found: Sequence[Replacement], rivals: Sequence[Named | Unnamed]
    ) -> bool:
        """Say whether the character opens this sentence as it opened the one before, which names its rivals later."""
        if role.form != "subject" or not self.reading.starts_sentence(role.first):
            return False
        last = found[-1] if found else None
        return (
            last is not None
            and last.role.form == "subject"
            and self.reading.starts_sentence(last.role.first)
            and last.named.sentence == mention.sentence - 1
            and all(r.sentence == last.named.sentence and r.first > last.named.first for r in rivals)
            and not any(self._acts(r) for r in rivals)
        )

    def _acts(self, rival: Named | Unnamed) -> bool:
        """Say whether a rival is the subject of a clause."""
        if isinstance(rival, Named):
            role = rival.role
            return role is None or role.form == "subject"
        return english().number(self.reading.word(rival.first + 1)) is not None

    def _opposed(self, mention: Named, role: Role, rivals: Sequence[Named | Unnamed]) -> bool:
        """Say whether all rivals are subjects of the very clause whose object this is."""
        if role.form != "object":
            return False
        language = english()
        for rival in rivals:
            owner = self.reading.word(rival.first + 1) == "'s" or (isinstance(rival, Named) and rival.owner)
            if rival.sentence != mention.sentence or owner:
                return False
            last = rival.last if isinstance(rival, Named) else rival.first + 1
            between = [self.reading.word(i) for i in range(last, role.first)]
            if not between or not all(
                language.verb(w)
                or w in language.prepositions
                or w in language.adverbs
                or w in language.auxiliaries
                or w in ("next", "front")
                for w in between
            ):
                return False
        return True


RECIPROCAL = frozenset({"each", "another", "face", "together", "side"})
SIZES = {2: "both of them", 3: "all three of them", 4: "all four of them"}
