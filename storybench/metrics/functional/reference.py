"""Does the picture show whom the pronoun stands for?

A mention is an expression that names nobody and whose antecedent stands in an earlier frame. What is drawn is
compared with the characters it stands for; frames without such a mention are not looked at. The swaps of the
counterfactual and the places that carry over are judged here too: they ask the same of a text with one name changed,
and of a place instead of a person.

Legend of shapes: D distances.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

Array = np.ndarray
FASTEST = 10.0  # decay rates above lose everything within a tenth of a frame: no half-life can be told


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


class Discordant(NamedTuple):
    """Frames that the two captions decide differently, as McNemar's test counts them."""

    b: int  # drawn from the explicit caption only
    c: int  # drawn from the referential caption only


def discordant_frames(drawn_explicit: Sequence[bool], drawn_referential: Sequence[bool]) -> Discordant:
    """Return how many frames are right under one of the two captions alone, with the same noise."""
    pairs = list(zip(drawn_explicit, drawn_referential, strict=True))
    return Discordant(sum(e and not r for e, r in pairs), sum(r and not e for e, r in pairs))


def reference_gap(drawn_explicit: Sequence[bool], drawn_referential: Sequence[bool]) -> float:
    r"""Return :math:`\Delta`, the mean of :math:`a^{exp} - a^{ref}` over frames (metrics.md 3); NaN without frames."""
    found = discordant_frames(drawn_explicit, drawn_referential)
    return (found.b - found.c) / len(drawn_explicit) if len(drawn_explicit) else float("nan")


def chance_corrected(accuracy: float, chance: float) -> float:
    r"""Return :math:`\kappa = (AA - p_0) / (1 - p_0)`: 0 for the guess, 1 for perfect; NaN if chance is 1."""
    return (accuracy - chance) / (1 - chance) if chance < 1 else float("nan")


def recency_hits(antecedents: Sequence[str], fitting: Collection[str], earlier: Sequence[Sequence[str]]) -> int:
    """Return how many antecedents the rule "who was mentioned last, of the same gender and number" finds.

    One antecedent: the last mentioned of ``fitting``. Several: everybody of the latest frame that mentions exactly as
    many; without such a frame, as many as were mentioned last. A pinned row and not the chance of
    :func:`chance_corrected`: it reads the history (metrics.md 3).

    Args:
        antecedents: Whom the mention stands for.
        fitting: Characters that the mention's pronoun can stand for; not looked at for several.
        earlier: For each earlier frame, whom its caption mentions, in reading order.
    """
    size = len(antecedents)
    if size > 1:
        same_size = next((set(frame) for frame in reversed(earlier) if len(set(frame)) == size), None)
        guess = same_size if same_size is not None else set(_latest(earlier)[:size])
    else:
        guess = set([name for name in _latest(earlier) if name in fitting][:1])
    return len(guess & set(antecedents))


def _latest(earlier: Sequence[Sequence[str]]) -> list[str]:
    """Return everybody mentioned, the last first, each once."""
    return list(dict.fromkeys(name for frame in reversed(earlier) for name in reversed(frame)))


def logit_slope(distances: Array, hits: Array, totals: Array) -> float | None:
    """Return the change of logit AA(d) per frame of distance, by maximum likelihood.

    Args:
        distances: (D,) frames since the antecedent was last named.
        hits: (D,) antecedents drawn at each distance.
        totals: (D,) antecedents asked for at each distance.

    Returns:
        The slope; None where the likelihood has no finite maximum: one distance, no hit, no miss, or a threshold in d
        that parts all hits from all misses.

    Reference:
        metrics.md 3, distance curve.
    """
    d, k, n = (np.asarray(x, dtype=np.float64) for x in (distances, hits, totals))
    hit, missed = d[k > 0], d[n - k > 0]
    if not len(hit) or not len(missed) or len(d[n > 0]) < 2:
        return None
    if hit.max() <= missed.min() or missed.max() <= hit.min():
        return None
    centre = (n * d).sum() / n.sum()
    x = d - centre

    def loss(parameters: Array) -> tuple[float, Array]:
        z = parameters[0] + parameters[1] * x  # (D,)
        slope = n * expit(z) - k
        value = float((n * np.logaddexp(0, z) - k * z).sum() / n.sum())
        return value, np.array([slope.sum(), (slope * x).sum()]) / n.sum()

    found = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(found.x[1])


def half_life(distances: Array, hits: Array, totals: Array, chance: float) -> float | None:
    r"""Return in how many frames the accuracy above chance falls to one half, :math:`\ln 2 / \lambda`.

    :math:`\lambda` is the least-squares fit, weighted by n(d), of
    :math:`AA(d) - p_0 = (AA(1) - p_0) \exp(-\lambda (d - 1))` over d > 1.

    Args:
        distances: (D,) frames since the antecedent was last named.
        hits: (D,) antecedents drawn at each distance.
        totals: (D,) antecedents asked for at each distance.
        chance: :math:`p_0`.

    Returns:
        Frames; None without distance 1 or a further one, with AA(1) not above chance, or where the accuracy does not
        fall, or falls to chance at once.

    Reference:
        metrics.md 3, distance curve.
    """
    d, k, n = (np.asarray(x, dtype=np.float64) for x in (distances, hits, totals))
    near, far = (d == 1) & (n > 0), (d > 1) & (n > 0)
    if not near.any() or not far.any():
        return None
    start = k[near].sum() / n[near].sum() - chance
    if start <= 0:
        return None
    above, lag, weight = k[far] / n[far] - chance, d[far] - 1, n[far]

    def loss(rate: float) -> float:
        return float((weight * (above - start * np.exp(-rate * lag)) ** 2).sum())

    rate = float(minimize_scalar(loss, bounds=(0.0, FASTEST), method="bounded", options={"xatol": 1e-9}).x)
    return float(np.log(2) / rate) if 1e-6 < rate < 0.99 * FASTEST else None


def follows_swap(seen: frozenset[str], original: str, replacement: str) -> bool:
    r"""Return :math:`1[c' \in \hat C \wedge c \notin \hat C]`: the picture follows the name that was swapped in."""
    return replacement in seen and original not in seen


def carried_settings(predicted: Sequence[str], expected: Sequence[str], named: Sequence[bool]) -> list[int]:
    """Return the frames of one story whose place is that of the frame before and is not told again.

    Args:
        predicted: Places read in the generated frames; empty where nothing reads places.
        expected: True places; empty where none is annotated.
        named: Whether each caption tells its place.
    """
    kept = range(1, len(expected))
    return [t for t in kept if predicted[t] and expected[t] and expected[t] == expected[t - 1] and not named[t]]
