"""Mentions that reach across frames, and how far a reader without history gets by guessing.

The guess is what antecedent accuracy is corrected for: it knows the pronoun, and from train which characters that
pronoun mostly stands for, and nothing of the story (metrics.md 3).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from storybench.story import Mention

PRONOUN_CLASS = {
    **dict.fromkeys(("she", "her", "hers", "herself"), "she"),
    **dict.fromkeys(("he", "him", "his", "himself"), "he"),
    **dict.fromkeys(("it", "its", "itself"), "it"),
    **dict.fromkeys(("they", "them", "their", "theirs", "themselves", "themself"), "they"),
}
OTHER_CLASS = "phrase"  # "both of them", "the two", a definite noun phrase


def cross_frame_mentions(mentions: Iterable[Mention]) -> tuple[Mention, ...]:
    """Return the referential mentions whose antecedent stands one or more frames back."""
    return tuple(m for m in mentions if m.kind == "referential" and m.distance is not None and m.distance >= 1)


def pronoun_class(mention: Mention) -> str:
    """Return what a reader without history knows of a mention: its pronoun, and how many it stands for."""
    first = mention.surface.lower().removesuffix("'s").split()[0] if mention.surface.split() else ""
    kind = PRONOUN_CLASS.get(mention.surface.lower(), PRONOUN_CLASS.get(first, OTHER_CLASS))
    return kind if len(mention.characters) == 1 else f"{kind}:{len(mention.characters)}"


def learn_pronoun_guess(mentions: Iterable[Mention]) -> dict[str, dict[str, float]]:
    """Return pronoun class -> character -> share of the class's mentions that stand for it, sorted by name."""
    totals: Counter[str] = Counter()
    shares: dict[str, Counter[str]] = {}
    for mention in mentions:
        kind = pronoun_class(mention)
        totals[kind] += 1
        shares.setdefault(kind, Counter()).update(mention.characters)
    return {k: {c: shares[k][c] / totals[k] for c in sorted(shares[k])} for k in sorted(totals)}


def guessed_hits(mention: Mention, guess: Mapping[str, Mapping[str, float]]) -> int:
    """Return how many of a mention's characters the best history-blind constant guess draws.

    The guess for a class is its most frequent characters on train, as many as the mention stands for, ties by name;
    p0 is the hit rate of this guess (metrics.md 3).
    """
    shares = guess.get(pronoun_class(mention), {})
    best = sorted(shares, key=lambda c: (-shares[c], c))[: len(mention.characters)]
    return len(set(best) & set(mention.characters))
