"""Find the token that stands for each character in a caption (storygptv.md section 2, character token index).

The published search misses "Mr Slate", "Fred's" and "Fred,"; this one matches whole names and aliases in the text and
maps character offsets to tokens, so possessives, punctuation, sub-word splits and truncation are all handled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from storybench.story import Character


class NameSpan(NamedTuple):
    """``text[start:end]`` names the ``character``-th member of the cast."""

    start: int
    end: int
    character: int


@lru_cache(maxsize=64)
def _pattern(names: tuple[tuple[str, ...], ...]) -> tuple[re.Pattern[str], dict[str, int]]:
    owner: dict[str, int] = {}
    for i, spellings in enumerate(names):
        for spelling in spellings:
            owner.setdefault(" ".join(spelling.lower().split()), i)
    longest_first = sorted(owner, key=len, reverse=True)
    words = (r"\s+".join(re.escape(part) for part in spelling.split()) for spelling in longest_first)
    return re.compile(rf"(?<![\w])(?:{'|'.join(words)})(?![\w])", re.IGNORECASE), owner


def find_name_spans(text: str, cast: Sequence[Character]) -> list[NameSpan]:
    """Return every mention of the cast by name or alias in ``text``, in order; the longest spelling wins."""
    if not cast:
        return []
    pattern, owner = _pattern(tuple((c.name, *c.aliases) for c in cast))
    return [NameSpan(m.start(), m.end(), owner[" ".join(m.group().lower().split())]) for m in pattern.finditer(text)]


def find_character_tokens(
    spans: Sequence[NameSpan], offsets: Sequence[tuple[int, int]], start: int = 0
) -> list[tuple[int, int]]:
    """Return (token index, character) of the last token of each name, names lost to truncation left out.

    Args:
        spans: Names in the text, in order.
        offsets: Character span of each token; (0, 0) for special tokens.
        start: First token to look at.
    """
    found, token = [], start
    for span in spans:
        last = None
        while token < len(offsets):
            a, b = offsets[token]
            if a >= span.end:
                break
            if b > a and b > span.start:  # overlaps the name (some tokenizers' tokens swallow the space before)
                last = token
            token += 1
        complete = last is not None and offsets[last][1] >= span.end
        if last is not None and complete:
            found.append((last, span.character))
    return found
