"""What a reader of the earlier frames can still resolve: the rules that allow a pronoun.

*Singular* (she, he, it) may stand for X if, in the latest earlier frame with anybody of that pronoun, X is the only
one of them: not counting one whom the sentence at hand names beside the pronoun ("He talks to Barney" is not Barney),
counting unnamed people ("a man") and pronouns that nothing explains. That frame is at most ``MAX_GAP`` back. X must
have been there as more than an owner ("Fred's house"), no animal may have come between, the frame before may not have
used the pronoun for somebody else, and a frame at most ``MAX_DISTANCE`` back must name X.

*They* may stand for a group if the latest earlier frame with two or more people, at most ``MAX_GAP`` back, had exactly
that group and nobody else, three or more in one list, nobody else has come since, and the frame before did not say
"they" of others. If single members have come since, the number is said: "both of them".

The same two rules explain pronouns that the captions have themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from storybench.coreference.lexicon import Person

MAX_DISTANCE = 4  # frames back to the last naming: the longest that a five-frame story can test
MAX_GAP = 2  # frames back to the last mention of any kind: beyond it readers no longer expect the character
MAX_BESIDE = 1  # people whom a reader can rule out because the sentence names them


class Reference(NamedTuple):
    """A pronoun that is allowed: frames back to the last naming, whether others would fit, whether to say how many."""

    distance: int
    ambiguous: bool
    sized: bool = False


@dataclass(frozen=True)
class Seen:
    """Whom one frame showed its reader.

    Attributes:
        people: Named people, by name or by a pronoun that was explained.
        owners: Those of them who only own something.
        unnamed: Pronouns that unnamed people of the frame may take; "men" counts, for captions say it of one.
        weak: Whether there are animals, which captions call he or she now and then.
        many: Whether a plural noun stands for people ("friends").
        unclear: Pronouns of the frame that nothing explains.
        spoken: Whom the frame, as told, called by a pronoun: (pronoun, names).
        listed: Those whom the caption named in one list.
    """

    people: tuple[Person, ...] = ()
    owners: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()
    weak: bool = False
    many: bool = False
    unclear: frozenset[str] = frozenset()
    spoken: frozenset[tuple[str, frozenset[str]]] = frozenset()
    listed: frozenset[frozenset[str]] = frozenset()

    def calls_others(self, pronoun: str, names: Collection[str]) -> bool:
        """Say whether the frame used ``pronoun`` for others than exactly ``names``."""
        return any(said == pronoun and whom != frozenset(names) for said, whom in self.spoken)

    def has(self, pronoun: str) -> bool:
        """Say whether anybody here may be called by ``pronoun``."""
        return any(p.pronoun == pronoun for p in self.people) or pronoun in self.unnamed or pronoun in self.unclear

    def together(self) -> frozenset[str]:
        """Return the people who do something here."""
        return frozenset(p.name for p in self.people) - self.owners

    def is_group(self, names: frozenset[str]) -> bool:
        """Say whether a reader takes ``names`` for a group: two, or more that were listed or called "they"."""
        return len(names) == 2 or names in self.listed or ("they", names) in self.spoken

    def several(self) -> bool:
        """Say whether "they" could mean people of this frame."""
        return self.many or "they" in self.unclear or len(self.together()) + bool(self.unnamed) > 1


@dataclass
class Discourse:
    """What the frames so far have told, for one story."""

    seen: list[Seen] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)  # name -> last frame whose caption names it

    @property
    def now(self) -> int:
        """Return the index of the frame at hand."""
        return len(self.seen)

    def close(self, seen: Seen, named: Collection[str]) -> None:
        """End the frame at hand: ``named`` are those whom its caption, as told, calls by name."""
        self.named.update(dict.fromkeys(named, self.now))
        self.seen.append(seen)

    def candidate(self, pronoun: str, beside: Collection[str] = ()) -> Person | None:
        """Return whom a singular pronoun at this frame stands for, if a reader can tell.

        Args:
            pronoun: she, he or it.
            beside: Names that the same clause gives to others.
        """
        for frame in reversed(self.seen[-MAX_GAP:]):
            if frame.has(pronoun):
                people = [p for p in frame.people if p.pronoun == pronoun]
                fitting = [p for p in people if p.name not in beside]
                clear = pronoun not in frame.unnamed and pronoun not in frame.unclear
                if not clear or len(fitting) != 1 or len(people) > 1 + MAX_BESIDE:
                    return None
                person = fitting[0]
                switched = self.seen[-1].calls_others(pronoun, (person.name,))
                return None if switched or person.name in frame.owners else person
            if frame.weak:
                return None
        return None

    def singular(self, person: Person, beside: Collection[str] = ()) -> Reference | None:
        """Return how a pronoun for ``person`` refers, or None if a reader could not tell."""
        distance = self.distance((person.name,))
        if distance is None or self.candidate(person.pronoun, beside) != person:
            return None
        return Reference(distance, self.rivals(person))

    def group(self) -> tuple[frozenset[str], bool] | None:
        """Return whom a plural pronoun at this frame stands for and whether its number must be said."""
        since: set[str] = set()
        strangers = False
        for frame in reversed(self.seen[-MAX_GAP:]):
            if frame.several():
                names = frame.together()
                clear = frame.is_group(names) and not (frame.many or frame.unnamed or strangers)
                clear = clear and "they" not in frame.unclear
                switched = self.seen[-1].calls_others("they", names)
                return (names, bool(since)) if clear and not switched and since <= names else None
            since |= frame.together()
            strangers = strangers or bool(frame.unnamed or frame.unclear)
        return None

    def plural(self, names: frozenset[str]) -> Reference | None:
        """Return how "they" for exactly ``names`` refers, or None if a reader could not tell."""
        found = self.group()
        distance = self.distance(names)
        if found is None or distance is None or found[0] != names:
            return None
        others = any(f.many or f.unnamed or f.together() - names for f in self.seen)
        return Reference(distance, others, found[1])

    def rivals(self, person: Person) -> bool:
        """Say whether an earlier frame has somebody else of the same pronoun."""
        return any(
            person.pronoun in frame.unnamed
            or any(p.pronoun == person.pronoun and p.name != person.name for p in frame.people)
            for frame in self.seen
        )

    def distance(self, names: Collection[str], here: Mapping[str, bool] | None = None) -> int | None:
        """Return how many frames one must read back to have all ``names`` named; None if that is too far or never.

        Args:
            names: Characters.
            here: Those whom the caption at hand has already named.
        """
        back = [0 if here and here.get(n) else self.now - self.named[n] if n in self.named else None for n in names]
        if any(b is None or b > MAX_DISTANCE for b in back):
            return None
        return max(b for b in back if b is not None)
