"""Which stories a split takes.

Every rule is a threshold on the story alone, never a rank among others: a story belongs to a split or not, whatever
else was loaded, so the ids can be made again from the data by anyone. All rules read the referential text and count
references that reach across frames (:func:`~storybench.coreference.chance.cross_frame_mentions`).

- ``distance_k``: some reference whose antecedent was last named k frames back.
- ``plural``: some reference that stands for two or more characters.
- ``ambiguous``: some reference that another character of the same pronoun could answer to.
- ``setting``: some frame keeps a place that an earlier caption states and its own caption does not.
- ``coref_heavy``: :data:`MIN_HARD_REFERENCES` hard references or more: :data:`FAR` or more frames back, ambiguous, or
  plural. An easy reference to the frame before never counts. That is 40 % of ToonSV's test stories and, of the stories
  with public captions, 35 % of FlintstonesSV's test stories and 14 % of PororoSV's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from storybench.coreference.chance import cross_frame_mentions
from storybench.data.facts import read_facts
from storybench.errors import unknown
from storybench.story import Mention, Story

TEXT = "referential"  # the text mode that the rules read
EVERY = "all"
MAX_DISTANCE = 4
MIN_HARD_REFERENCES = 3
FAR = 2  # frames back from which a reference is hard
_FUNCTION_TEXT = "a an and at by for from in inside into near next of on or outside s the to with"
FUNCTION_WORDS = frozenset(_FUNCTION_TEXT.split())
_WORD = re.compile(r"[a-z0-9]+")


def references(story: Story) -> tuple[Mention, ...]:
    """Return the references of a story that reach across frames, in reading order."""
    return tuple(m for frame in story.frames for m in cross_frame_mentions(frame.captions[TEXT].mentions))


def coref_heavy(story: Story) -> bool:
    """Return whether a story leans on references: :data:`MIN_HARD_REFERENCES` hard ones or more."""
    return _is_heavy(references(story))


def carries_setting(story: Story) -> bool:
    """Return whether some frame's place has to be remembered from an earlier caption.

    The later frame is annotated with the same place as an earlier one, whose caption states it (all content words of
    the place's name are in it, or another word for it) while the later caption has none of these words. Places are
    compared as annotated; other words for a place (a barn for a farm) are facts, in ``facts/places.json``.
    """
    stated: set[str] = set()
    for frame in story.frames:
        place = content_words(frame.setting)
        if not place:
            continue
        others = _other_words().get(frame.setting.lower(), frozenset())
        said = words(frame.captions[TEXT].text)
        if frame.setting in stated and not (place | others) & said:
            return True
        if place <= said or others & said:
            stated.add(frame.setting)
    return False


def words(text: str) -> frozenset[str]:
    """Return the lower-cased words of a text."""
    return frozenset(_WORD.findall(text.lower()))


def content_words(place: str) -> frozenset[str]:
    """Return the words that name a place, without articles and prepositions."""
    return words(place) - FUNCTION_WORDS


@cache
def _other_words() -> dict[str, frozenset[str]]:
    return {place: frozenset(other) for place, other in read_facts("places").items()}


def is_hard(mention: Mention) -> bool:
    """Return whether a reference needs more than the frame before and its pronoun."""
    return (mention.distance or 0) >= FAR or mention.ambiguous or len(mention.characters) > 1


def _is_heavy(found: Sequence[Mention]) -> bool:
    return sum(is_hard(m) for m in found) >= MIN_HARD_REFERENCES


def _at_distance(k: int) -> Callable[[Sequence[Mention]], bool]:
    return lambda found: any(m.distance == k for m in found)


_BY_REFERENCES: dict[str, Callable[[Sequence[Mention]], bool]] = {
    "coref_heavy": _is_heavy,
    **{f"distance_{k}": _at_distance(k) for k in range(1, MAX_DISTANCE + 1)},
    "plural": lambda found: any(len(m.characters) > 1 for m in found),
    "ambiguous": lambda found: any(m.ambiguous for m in found),
}
STRATA: tuple[str, ...] = (*_BY_REFERENCES, "setting")
SELECTIONS: tuple[str, ...] = (EVERY, *STRATA)


def strata(story: Story) -> frozenset[str]:
    """Return the names of all selections, but ``all``, that take the story."""
    found = references(story)
    taken = {name for name, takes in _BY_REFERENCES.items() if takes(found)}
    return frozenset(taken | ({"setting"} if carries_setting(story) else set()))


def takes(select: str, story: Story) -> bool:
    """Return whether the selection ``select`` takes a story.

    Raises:
        ConfigError: If there is no such selection.
    """
    check_selection(select)
    if select == EVERY:
        return True
    return carries_setting(story) if select == "setting" else _BY_REFERENCES[select](references(story))


def check_selection(select: str) -> None:
    """Raise ConfigError if there is no selection of that name."""
    if select not in SELECTIONS:
        raise unknown("selection", select, SELECTIONS)
