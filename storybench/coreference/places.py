"""Does a caption tell where it plays?

Frames that keep a place without telling it are what setting carry-over is measured on (metrics.md 3), so a doubt is
decided for "told": a frame that tells half of its place is not counted as one that has to be remembered.
"""

from __future__ import annotations

import re
from functools import cache

from storybench.coreference.selection import content_words, words
from storybench.data.facts import read_facts
from storybench.data.toonsv.phrases import ABOVE, PLACE_PHRASES
from storybench.story import Character

TOONSV = "toonsv"


def names_place(text: str, setting: str, dataset: str, cast: tuple[Character, ...] = ()) -> bool:
    """Return whether a caption names its place.

    In ToonSV that is a phrase of the grammar for the setting: "there" and "in the same place" are none. Elsewhere it
    is any content word of the setting as annotated, singular or plural, or a known other word for it ("barn" for a
    farm); "Fred's living room" is not named by a caption that names Fred.

    Args:
        text: The caption that the frame was drawn from.
        setting: The true place; a frame without one never names it.
        dataset: Id of the data set.
        cast: Whose names are no words of a place.
    """
    if dataset == TOONSV and setting in PLACE_PHRASES:
        return _phrases(setting).search(text) is not None
    names = {word for c in cast for name in (c.name, *c.aliases) for word in words(name)}
    place = content_words(setting) or words(setting)  # "outside" has only words that are left out elsewhere
    known = {_singular(word) for word in (place - names) | _other_words(setting)}
    return bool(known & {_singular(word) for word in words(text)})


@cache
def _phrases(setting: str) -> re.Pattern[str]:
    options = (*PLACE_PHRASES[setting], ABOVE[setting])
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, options))})\b", re.IGNORECASE)


@cache
def _other_words(setting: str) -> frozenset[str]:
    return frozenset(read_facts("places").get(setting.lower(), ()))


def _singular(word: str) -> str:
    """Take the plural off a noun; wrong for a few words, but alike on both sides."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
