"""A caption as tokens with their spans, and where its sentences are."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""[^\W\d_]+(?:['’]t(?![^\W\d_]))      # doesn't, can't: one word
      | [^\W\d_]+                            # a word in any script
      | ['’`](?:s|re|ll|ve|d|m)(?![^\W\d_])  # the clitic of Fred's, they're
      | \d+
      | [^\s\w]|_                            # one mark at a time""",
    re.VERBOSE | re.IGNORECASE,
)
SENTENCE_ENDS = frozenset(".!?;")


class Token(NamedTuple):
    """A word or a mark: as written, in lower case, and ``text[start:end]``."""

    raw: str
    word: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """Return the tokens of ``text`` in order; what lies between two of them is white space."""
    return [Token(m[0], m[0].lower().replace("’", "'").replace("`", "'"), *m.span()) for m in _TOKEN.finditer(text)]
