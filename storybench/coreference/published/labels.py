"""Who is in a Flintstones clip, as the published loaders see it: the annotated labels in the order of the annotation.

A release with captions only has no labels. They are then approximated from the caption: the main characters named in
it, in the order of their first names. A name counts as a whole word in any case, and "Mr Slate" with or without the
point and the space (Mr. Slate, Mr.slate, mr slate); "Slate" alone does not count, nor does a minor character. This is
the rule, of several tried, that gives the counts of ``specs/datasets.md`` §5 on the test captions.
"""

from __future__ import annotations

import re
from functools import cache

from storybench.data.clips import Clip
from storybench.data.facts import load_facts


def labels_are_approximate(clip: Clip) -> bool:
    """Say whether the labels of a clip must be read from its caption.

    They need not if the clip has annotated labels, or was annotated as showing nobody.
    """
    return not clip.annotated and clip.characters != ()


def character_labels(clip: Clip) -> tuple[str, ...]:
    """Return the labels of a clip with a caption, lower case, as annotated or else approximated."""
    if labels_are_approximate(clip):
        return labels_named(clip.captions[0])
    return tuple(label.strip() for label in clip.annotated)


def labels_named(caption: str) -> tuple[str, ...]:
    """Return the main characters that a Flintstones caption names, lower case, in order of appearance."""
    hits = [(hit.start(), label) for label, pattern in _patterns().items() if (hit := pattern.search(caption))]
    return tuple(label for _, label in sorted(hits))


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    names = [character.name for character in load_facts("flintstones").cast]
    return {name.lower(): re.compile(rf"\b{_loose(name)}\b", re.IGNORECASE) for name in names}


def _loose(name: str) -> str:
    return r"\.? ?".join(map(re.escape, name.split()))
