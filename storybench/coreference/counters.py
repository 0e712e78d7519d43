"""Counting references: by words, which is the truth, and as the published code does, which is an artefact.

By words: a frame refers if one of its words is he, she or they. A word is a run of letters, so that "the", "her" and
"there" are none of them, and "he's" is.

The published counters (Make-A-Story ``flintstones_data_ref.py`` and ``pororo_data.py``) look for "he" as a substring,
which "the", "her" and "where" contain. StoryGPT-V's Table 11, references per story 3.58 -> 4.61 (FlintstonesSV) and
1.01 -> 1.16 (PororoSV), was very probably made with them: unchanged captions alone give 3.66 and 1.02.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from storybench.errors import unknown

PRONOUNS = ("he", "she", "they")
_WORD = re.compile("[a-z]+")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower())


def frame_words(texts: Iterable[str]) -> dict[str, int]:
    """Return he, she, they -> number of texts in which the word stands; a text may count for several."""
    counts = dict.fromkeys(PRONOUNS, 0)
    for text in texts:
        present = set(words(text))
        for pronoun in PRONOUNS:
            counts[pronoun] += pronoun in present
    return counts


def frames_containing(texts: Iterable[str]) -> int:
    """Return the number of texts in which he, she or they stands as a word."""
    return sum(not set(PRONOUNS).isdisjoint(words(text)) for text in texts)


def frames_beginning(texts: Iterable[str]) -> int:
    """Return the number of texts whose first word is he, she or they."""
    return sum(words(text)[:1] in ([pronoun] for pronoun in PRONOUNS) for text in texts)


def published_counter(dataset: str, texts: Sequence[str], replaced: Sequence[bool] = ()) -> int:
    """Return the references that the published code counts in one story. An artefact: see above.

    FlintstonesSV: one for the first frame if "he" is a substring of its text, one for every later frame if it is one of
    all text *before* that frame, and one for every frame that the code replaced. "she" and "they" add nothing to "he".
    PororoSV: one if "he", and one more if "she", is a substring of the story; 2 at most.

    Args:
        dataset: ``flintstones`` or ``pororo``.
        texts: The captions of the story, as told.
        replaced: One flag a frame, :attr:`.published.PublishedFrame.replaced`; none for original captions. Does not
            matter for PororoSV.

    Raises:
        ConfigError: If the data set has no published counter.
    """
    lowered = [text.lower() for text in texts]
    if dataset == "flintstones":
        hits = ["he" in text for text in lowered]
        return sum(any(hits[: max(index, 1)]) for index in range(len(hits))) + sum(replaced)
    if dataset == "pororo":
        return any("he" in text for text in lowered) + any("she" in text for text in lowered)
    raise unknown("data set with a published counter", dataset, ("flintstones", "pororo"))
