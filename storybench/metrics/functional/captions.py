"""BLEU and the words it counts, as pure functions.

Corpus BLEU is a function of sums: matched and total n-grams of each order and the two lengths. They are gathered per
frame, so that any weighting of frames gives the BLEU of that corpus.

Legend of shapes: S = 10 sums, matches of orders 1 to 4, totals of orders 1 to 4, length of the caption, length of the
reference closest to it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

Array = np.ndarray

ORDERS = 4
SUMS = 2 * ORDERS + 2
_ENDING = re.compile(r"(n't|'(?:s|m|d|ll|re|ve))\b")  # contractions stand apart
_WORD = re.compile(r"n't\b|'(?:s|m|d|ll|re|ve)\b|\w+(?:[-.']\w+)*")


def ptb_tokens(text: str) -> list[str]:
    """Return the lower-case words of ``text`` in the manner of the Penn Treebank, punctuation left out.

    ``"Zara's kite doesn't fly."`` gives ``zara 's kite does n't fly``. On plain sentences equal to the tokeniser of the
    COCO caption evaluation, which needs Java; brackets and abbreviations with full stops differ.
    """
    return _WORD.findall(_ENDING.sub(r" \1", text.lower().replace("\u2019", "'")))


def bleu_sums(caption: Sequence[str], references: Sequence[Sequence[str]]) -> Array:
    """Return what corpus BLEU needs of one caption and its references, (10,) float64.

    Matches are clipped at the largest count in any one reference; of two equally close reference lengths the shorter
    counts.
    """
    matches, totals = np.zeros(ORDERS), np.zeros(ORDERS)
    for order in range(1, ORDERS + 1):
        said = _ngrams(caption, order)
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= _ngrams(reference, order)
        matches[order - 1] = sum((said & most).values())
        totals[order - 1] = max(len(caption) - order + 1, 0)
    closest = min((abs(len(r) - len(caption)), len(r)) for r in references)[1]
    return np.concatenate([matches, totals, [len(caption), closest]])


def bleu(sums: Array, orders: int = ORDERS) -> Array:
    r"""Return :math:`BP \exp(\frac14 \sum_n \log p_n)` from sums (..., 10), in [0, 1].

    An order without a match makes it 0; no word at all makes it NaN. Nothing is smoothed.

    Reference:
        metrics.md 6; Papineni et al. 2002.
    """
    matches, totals = sums[..., :orders], sums[..., ORDERS : ORDERS + orders]
    said, expected = sums[..., -2], sums[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(totals > 0, matches / totals, 0.0)
        brevity = np.minimum(0.0, 1 - expected / said)
        value = np.exp(brevity + np.log(precision).mean(-1))
    return np.where(said > 0, value, np.nan)


def _ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[k : k + order]) for k in range(len(words) - order + 1))
