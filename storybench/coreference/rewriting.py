"""Referential text: captions in which a character named in an earlier frame becomes a pronoun, every mention recorded.

One deterministic function of the captions of a story. Within a caption a character, or a group named as a list, becomes
a pronoun in all of its mentions or in none. All must hold:

1. The first of them is the first named mention of the caption, no earlier sentence speaks of people or of the scene as
   a scene, and the earlier frames explain the pronoun there (:mod:`storybench.coreference.discourse`). Frame 0 is never
   changed.
2. Every mention has a role that is known (:mod:`storybench.coreference.roles`).
3. No pronoun of the same kind in the caption means, or may mean, somebody else.
4. Nobody else of the same pronoun stands between: before a later mention only as the subject whom the verb opposes to
   it ("Barney looks at him"), or while the character stays the subject ("He talks to Barney. He laughs.").
5. A single name is not also part of a list in the caption, lists do not overlap, and no member of a list is named
   before it: that "they" would be explained by the caption itself.
6. In a sentence that opens with "while", "as" and such, nobody else of the same pronoun is named.
7. No caption of the story gives the character another pronoun ("Harry looks for her house"): some captions do.

Then the form follows the role (he, him, his), a capital opens a sentence and nothing else, and the verb after a
plural agrees ("They are").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from storybench.coreference.choosing import Replacement, choose
from storybench.coreference.discourse import Discourse, Seen
from storybench.coreference.lexicon import Lexicon, Person
from storybench.coreference.parsing import read
from storybench.coreference.pronouns import contradicts, explain, named_before, opens_or_owns
from storybench.coreference.reading import Named, Reading, Unnamed
from storybench.coreference.telling import Told, tell
from storybench.story import Caption

CACHED_READINGS = 4096  # a frame's five stories are near each other in every order that is used


class Rewriter:
    """Tells the captions of a story with their mentions, as published or with pronouns."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.read = lru_cache(CACHED_READINGS)(lambda text: read(text, lexicon))

    def original(self, captions: Sequence[str]) -> tuple[Caption, ...]:
        """Return the captions unchanged, with the mentions in them."""
        return self._tell(captions)[0]

    def referential(self, captions: Sequence[str]) -> tuple[Caption, ...]:
        """Return the captions with later mentions as pronouns wherever a reader can still tell."""
        disputed: frozenset[str] = frozenset()
        if any(contradicts(self.read(text)) for text in captions):
            disputed = self._tell(captions)[1]
        return self._tell(captions, disputed)[0]

    def _tell(
        self, captions: Sequence[str], disputed: frozenset[str] | None = None
    ) -> tuple[tuple[Caption, ...], frozenset[str]]:
        """Return captions, rewritten unless ``disputed`` is None, and whom they give a pronoun that is not theirs."""
        discourse = Discourse()
        told, contradicted = [], set()
        for text in captions:
            reading = self.read(text)
            explained = explain(reading, discourse, self.lexicon)
            replaced: dict[int, Replacement] = {}
            if disputed is not None and discourse.now:
                replaced = choose(reading, explained, discourse, disputed)
            frame = tell(reading, explained, replaced, discourse)
            told.append(frame.caption)
            for known in explained.values():
                if known.unclear or opens_or_owns(reading, known):
                    contradicted |= named_before(reading, known.item)
            unclear = frozenset(known.item.pronoun for known in explained.values() if known.unclear)
            discourse.close(_seen(reading, frame, unclear), frame.named)
        return tuple(told), frozenset(contradicted)


def _seen(reading: Reading, told: Told, unclear: frozenset[str]) -> Seen:
    """Return what a reader keeps of a frame."""
    unnamed = [item for item in reading.items if isinstance(item, Unnamed)]
    people: dict[str, Person] = {}
    acting: set[str] = set()
    for person, owner in told.people:
        people[person.name] = person
        if not owner:
            acting.add(person.name)
    return Seen(
        tuple(people.values()),
        frozenset(people) - acting,
        frozenset(p for item in unnamed if not item.weak for p in item.pronouns) - {"they"},
        any(item.weak for item in unnamed),
        any(item.many for item in unnamed),
        unclear,
        told.spoken,
        frozenset(frozenset(m.names) for m in reading.items if isinstance(m, Named)),
    )
