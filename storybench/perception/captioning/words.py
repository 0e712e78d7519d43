"""Words of a closed vocabulary to numbers and back.

A caption is a sequence of lower-case words and punctuation, as :func:`storybench.data.toonsv.lexicon.tokenize_words`
splits it. Writing it out again gives capitals to names and to the first word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from storybench.data.toonsv.lexicon import tokenize_words

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
_NO_SPACE_BEFORE = {".", ",", "'s"}


class Words:
    """A vocabulary: the four special words, then ``words`` in their order."""

    def __init__(self, words: Sequence[str], names: Iterable[str]) -> None:
        """Start from a vocabulary without special words and from names, which are written with capitals."""
        self.words = tuple(words)
        self._number = {word: k for k, word in enumerate((*SPECIAL, *words))}
        self._proper = {part.lower() for name in names for part in name.split()}

    def __len__(self) -> int:
        """Return the number of words, special ones included."""
        return len(self._number)

    def encode(self, text: str, limit: int) -> list[int]:
        """Return the numbers of a caption between START and END, cut to ``limit`` of them in all."""
        numbers = [self._number.get(word.lower(), UNKNOWN) for word in tokenize_words(text)]
        return [START, *numbers[: limit - 2], END]

    def batch(self, texts: Sequence[str], limit: int) -> Tensor:
        """Return the numbers of captions, (B, L) int64, filled up with PAD to the longest."""
        rows = [self.encode(text, limit) for text in texts]
        length = max(len(row) for row in rows)
        return torch.tensor([row + [PAD] * (length - len(row)) for row in rows])

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the sentence that numbers up to END stand for; special words are not written."""
        text = ""
        for number in numbers:
            if number == END:
                break
            if number < len(SPECIAL):
                continue
            word = self.words[number - len(SPECIAL)]
            shown = word[0].upper() + word[1:] if word in self._proper or not text else word
            text += shown if not text or word in _NO_SPACE_BEFORE else f" {shown}"
        return text


def collect(texts: Iterable[str]) -> tuple[str, ...]:
    """Return every word of ``texts`` in lower case, sorted."""
    return tuple(sorted({word.lower() for text in texts for word in tokenize_words(text)}))
