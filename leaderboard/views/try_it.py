"""Whom each pronoun of a drawn story stands for, as far as the picture tells.

A reading of the picture, not of the text: of the characters named before a pronoun that fit it, those that a classifier
sees in the frame. A character that the same sentence names is drawn for its name, so it tells nothing of a pronoun,
unless the sentence names it first ("Zara waves and she smiles"). Pure: no Streamlit, no torch.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from storybench.story import Character
from storybench.strips import Span

EXAMPLES = (  # docs/examples/stories.txt
    "Zara waves on the beach. She opens an umbrella. Mr Plum walks by. They dance together. He holds a kite.",
    "Finn and Otto run through the forest. They sit down to rest. Otto plays a guitar. Finn claps for him.",
    "Nora sleeps in the library. Pip hops in with a balloon. It waves to her. She wakes up and cheers.",
    "Bolt walks across the desert. It finds a flower. Mila runs up to it. She takes the flower. Both of them jump.",
    "Mr Plum bakes a cake in the kitchen. Zara comes in and waves at him. She holds the cake. They are happy.",
    "Robin walks in the city. They carry a guitar. They sit down there and play it.",
    "Mila throws a ball on the playground. Finn catches it. He runs after her. Pip watches them.",
    "Otto flies a kite in the meadow. Nora walks beside him. She holds a flower. He sleeps.",
    "Zara reads a book in the classroom. Mila sits next to her. Finn dances. The three of them cheer.",
    "Pip jumps in the snow on the mountains. Bolt jumps too. They stop. It opens an umbrella while Pip sleeps.",
)
STYLE = "<style>mark{background:rgba(234,88,12,.18);color:inherit;text-decoration:underline}</style>"
KINDS = {  # first word of a pronoun -> the cast's pronoun it can stand for
    **dict.fromkeys(("she", "her", "hers"), "she"),
    **dict.fromkeys(("he", "him", "his"), "he"),
    **dict.fromkeys(("it", "its"), "it"),
    **dict.fromkeys(("they", "them", "their", "theirs"), "they"),
}
LEAST = {"both": 2, "all": 3}  # "both of them", "all three of them"


class Meant(NamedTuple):
    """A pronoun and the characters the picture answers it with."""

    surface: str
    shown: tuple[str, ...]
    sentence: str


def meant(
    captions: Sequence[str],
    frame: int,
    pronouns: Sequence[Span],
    names: Sequence[Sequence[tuple[int, int, str]]],
    shown: Collection[str],
    cast: Sequence[Character],
) -> list[Meant]:
    """Return what the picture of a frame makes of each pronoun of its caption, in order.

    Args:
        captions: Of the whole story.
        frame: Index of the frame.
        pronouns: Where they stand in its caption.
        names: For each caption where names stand, and whose: (start, end, name).
        shown: Characters that the classifier sees in the frame.
        cast: Characters with their pronouns.
    """
    earlier = [name for found in names[:frame] for _, _, name in found]
    here = {name for _, _, name in names[frame]}
    out = []
    for span in pronouns:
        surface = captions[frame][span.start : span.end]
        before = [name for start, _, name in names[frame] if start < span.start]
        fitting = _fitting(surface, [*before, *earlier], cast)
        telling = [name for name in fitting if name not in here] or [name for name in fitting if name in before]
        answer = tuple(name for name in telling if name in shown)
        out.append(Meant(surface, answer, _sentence(surface, fitting, telling, answer)))
    return out


def marked(caption: str, pronouns: Sequence[Span]) -> str:
    """Return a caption as HTML, pronouns in ``<mark>``; everything typed is escaped."""
    out, position = [], 0
    for span in pronouns:
        word = html.escape(caption[span.start : span.end])
        out += [html.escape(caption[position : span.start]), f"<mark>{word}</mark>"]
        position = span.end
    return "".join(out) + html.escape(caption[position:])


def _fitting(surface: str, named: Sequence[str], cast: Sequence[Character]) -> list[str]:
    """Return the characters named before that a pronoun can stand for, in the order of the cast."""
    first = re.split(r"\s+", surface.lower())[0]
    kind = KINDS.get(first, "they")
    known = set(named)
    if kind == "they" and (len(known) > 1 or first in LEAST):  # several, or one that is called so
        return [c.name for c in cast if c.name in known]
    return [c.name for c in cast if c.name in known and c.pronoun == kind]


def _sentence(surface: str, fitting: Sequence[str], telling: Sequence[str], answer: Sequence[str]) -> str:
    """Return in words what the picture shows for a pronoun."""
    first = surface.lower().split()[0]
    least = LEAST.get(first, 2 if KINDS.get(first, "they") == "they" and len(fitting) > 1 else 1)
    if not fitting:
        return f"“{surface}”: no character named before fits; it may mean a thing"
    if not answer:
        return f"“{surface}” → nobody: the picture does not show {joined(telling or fitting, 'or')}"
    if len(answer) < least:
        return (
            f"“{surface}” → {joined(answer, 'and')} alone: the picture shows {len(answer)} of {joined(telling, 'and')}"
        )
    if least == 1 and len(answer) > 1:
        return f"“{surface}” → {joined(answer, 'or')}: the picture shows {_all(answer)}, so it does not tell which"
    return f"“{surface}” → {joined(answer, 'and')}: the picture shows {_all(answer)}"


def joined(names: Sequence[str], word: str) -> str:
    """Return "Zara", "Zara and Finn", "Zara, Finn and Pip"."""
    *some, last = names
    return f"{', '.join(some)} {word} {last}" if some else last


def _all(names: Sequence[str]) -> str:
    return {1: names[0], 2: "both"}.get(len(names), f"all {len(names)}")
