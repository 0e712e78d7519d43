"""Does the picture show whom the pronoun stands for?

A mention is an expression that names nobody and whose antecedent stands in an earlier frame. What is drawn is
compared with the characters it stands for; frames without such a mention are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def antecedent_hits(mentions: Sequence[Sequence[str]], seen: frozenset[str]) -> tuple[int, int]:
    r"""Return hits and total of one frame: :math:`\sum_m \sum_{c \in m} 1[c \in \hat C]` and :math:`\sum_m |m|`.

    Args:
        mentions: For each mention of the frame, the characters it stands for.
        seen: Characters seen in the generated frame.
    """
    return sum(c in seen for m in mentions for c in m), sum(len(m) for m in mentions)


def antecedent_accuracy(frames: Iterable[tuple[Sequence[Sequence[str]], frozenset[str]]]) -> float:
    """Return AA of metrics.md 3 over (mentions, seen) pairs; NaN without a mention."""
    pairs = [antecedent_hits(mentions, seen) for mentions, seen in frames]
    total = sum(n for _, n in pairs)
    return sum(h for h, _ in pairs) / total if total else float("nan")


def is_resolved_strictly(referred: frozenset[str], seen: frozenset[str], expected: frozenset[str]) -> bool:
    r"""Return :math:`1[R \subseteq \hat C \wedge \hat C \setminus C = \emptyset]`: drawing everybody does not pass."""
    return referred <= seen and seen <= expected


def conditional_resolution_rate(drawn_explicit: Sequence[bool], drawn_referential: Sequence[bool]) -> float:
    r"""Return CRR, :math:`\sum 1[a^{exp} = 1, a^{ref} = 1] / \sum 1[a^{exp} = 1]` (metrics.md 3).

    Given that the model draws the characters when they are named, does it draw them when they are only referred to?
    The two sequences are the same frames under explicit and referential captions with the same noise. NaN if nothing
    was drawn.
    """
    named = sum(drawn_explicit)
    both = sum(e and r for e, r in zip(drawn_explicit, drawn_referential, strict=True))
    return both / named if named else float("nan")


def chance_corrected(accuracy: float, chance: float) -> float:
    r"""Return :math:`\kappa = (AA - p_0) / (1 - p_0)`: 0 for the guess, 1 for perfect; NaN if chance is 1."""
    return (accuracy - chance) / (1 - chance) if chance < 1 else float("nan")
