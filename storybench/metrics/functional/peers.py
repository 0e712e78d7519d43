"""What other benchmarks compute, exactly as their code does, so that a column of theirs can stand beside ours.

None of these is used for ranking here. Several call a frozen picture perfect: a story of one repeated frame has self
similarity 1, VBench consistency 1 and, by strict comparison, reciprocal rank 1 (metrics.md 4.2, 8).

Legend of shapes: G crops of a character, R its reference pictures, C characters, T frames, E width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

Array = np.ndarray
COPY_PASTE_TEMPERATURE = 0.01  # metrics.md 4.2
OCCM_EPSILON = 1e-6
LPIPS_EPSILON = 1e-10  # lpips 0.1.4, normalize_tensor


class Cids(NamedTuple):
    """Similarity to the references and among the crops."""

    cross: float
    self_similarity: float


def cosine(a: Array, b: Array) -> Array:
    """Return the cosine of rows, (..., E) and (..., E) -> (...,); 0 where a row has no length. CLIP-I and DINO."""
    x, y = _unit(a), _unit(b)
    return np.sum(x * y, axis=-1)


def cids_similarity(crops: Array, references: Sequence[Array]) -> Array:
    """Return for each crop and character the greatest cosine over the character's references, (G, C).

    Args:
        crops: (G, E).
        references: For each of C characters (R, E).
    """
    x = _unit(crops)
    return np.stack([(x @ _unit(r).T).max(1) for r in references], axis=1)


def cids_match(similarity: Array) -> Array:
    """Return the crop of each expected character, (C,) int64, -1 for none: Hungarian on (G, C), no threshold."""
    found = np.full(similarity.shape[1], -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    found[columns] = rows
    return found


def cids_character(crops: Array, references: Array | None = None) -> Cids:
    """Return CIDS of one character over a story.

    Cross is the mean over matched crops x references (NaN without references); self the mean over pairs of crops, 1 for
    one crop. A character without a crop has (0, 0).

    Args:
        crops: Matched crops of the character, (G, E).
        references: Its reference pictures, (R, E).

    Reference:
        ViStoryBench, content/cids_evaluator.py; metrics.md 4.2.
    """
    if not len(crops):
        return Cids(0.0, 0.0)
    x = _unit(crops)
    cross = float("nan") if references is None else float((x @ _unit(references).T).mean())
    return Cids(cross, 1.0 if len(x) == 1 else _mean_pair(x))


def occm(detected: int, expected: int) -> float:
    r"""Return :math:`100 \exp(-|D - E| / (10^{-6} + E))` of one shot; NaN for E = 0, which is skipped.

    Reference:
        ViStoryBench, content/cids_evaluator.py; metrics.md 4.2.
    """
    return 100.0 * float(np.exp(-abs(detected - expected) / (OCCM_EPSILON + expected))) if expected else float("nan")


def copy_paste(crops: Array, reference: Array, mirrored: Array) -> float:
    """Return how much the crops of a character copy its reference, 0.5 for none, 1 for a copy; NaN without a crop.

    The softmax over the cosines with the reference and with its mirror image, temperature 0.01, mean over crops.

    Args:
        crops: (G, E).
        reference: (E,).
        mirrored: (E,), of the reference mirrored left to right.

    Reference:
        ViStoryBench at the commit of metrics.md; metrics.md 4.2.
    """
    if not len(crops):
        return float("nan")
    edge = (cosine(crops, mirrored) - cosine(crops, reference)) / COPY_PASTE_TEMPERATURE  # (G,)
    return float(np.mean(1.0 / (1.0 + np.exp(np.clip(edge, -700, 700)))))


def csd_self(styles: Array) -> float:
    """Return the mean cosine over pairs of the style embeddings of a story, (T, E); 0 for fewer than two pictures."""
    return _mean_pair(_unit(styles)) if len(styles) > 1 else 0.0


def csd_cross(styles: Array, references: Sequence[Array]) -> float:
    """Return the mean over shots of the mean cosine of a shot's style with those of its characters' first references.

    Args:
        styles: (T, E).
        references: For each shot (characters on stage, E); a shot without any is left out.

    Returns:
        NaN if no shot has a character.
    """
    each = [float(cosine(refs, style).mean()) for style, refs in zip(styles, references, strict=True) if len(refs)]
    return float(np.mean(each)) if each else float("nan")


def vbench_consistency(features: Array) -> Array:
    r"""Return :math:`\frac12 (\cos^+(f_{t-1}, f_t) + \cos^+(f_1, f_t))` of the frames after the first, (T - 1,).

    VBench's subject consistency over DINO features, its background consistency over CLIP features of whole frames, and
    its score the mean over frames of all videos (on one GPU).

    Args:
        features: (T, E), in the order of frames.

    Reference:
        VBench, subject_consistency.py and background_consistency.py; metrics.md 4.2.
    """
    x = _unit(features)
    before = np.maximum(np.sum(x[:-1] * x[1:], axis=1), 0.0)
    first = np.maximum(x[1:] @ x[0], 0.0) if len(x) else np.zeros(0)
    return (before + first) / 2


def reciprocal_rank(score: float, candidates: Array) -> float:
    """Return 1 / (1 + candidates that score higher): ties are free, so identical pictures all rank first.

    Reference:
        VinaBench, clip_text_rank.py:13-20,71; metrics.md 4.2.
    """
    return 1.0 / (1.0 + float(np.sum(np.asarray(candidates) > score)))


def dreamsim_distance(a: Array, b: Array) -> Array:
    """Return 1 - cosine of DreamSim's embeddings, (..., E) -> (...,).

    Reference:
        dreamsim/model.py:105; metrics.md 4.2.
    """
    return 1.0 - cosine(a, b)


def lpips_distance(layers_a: Sequence[Array], layers_b: Sequence[Array], weights: Sequence[Array]) -> float:
    r"""Return LPIPS of two pictures from their activations.

    :math:`\sum_l \frac{1}{H_l W_l} \sum_{hw} w_l \cdot (\hat a_l - \hat b_l)^2`, each place normalised over channels.
    With weights that are not negative it is a squared Euclidean distance, see :func:`squared_distance`.

    Args:
        layers_a: Activations (channels, H, W) of each layer.
        layers_b: The same of the other picture.
        weights: (channels,) of each layer.

    Reference:
        Zhang et al. 2018, eq. 1; lpips 0.1.4.
    """
    total = 0.0
    for a, b, weight in zip(layers_a, layers_b, weights, strict=True):
        difference = (_unit_channels(a) - _unit_channels(b)) ** 2  # (channels, H, W)
        total += float(np.tensordot(np.asarray(weight, dtype=np.float64), difference, 1).mean())
    return total


def squared_distance(a: Array, b: Array) -> Array:
    """Return the squared Euclidean distance of rows, (..., D) -> (...,)."""
    return np.sum((np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)) ** 2, axis=-1)


def _unit_channels(layer: Array) -> Array:
    x = np.asarray(layer, dtype=np.float64)
    return x / (np.sqrt(np.sum(x**2, axis=0, keepdims=True)) + LPIPS_EPSILON)


def _unit(x: Array) -> Array:
    x = np.asarray(x, dtype=np.float64)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def _mean_pair(x: Array) -> float:
    """Return the mean cosine over pairs of different rows of unit length, (N, E) with N > 1."""
    i, j = np.triu_indices(len(x), k=1)
    return float(np.sum(x[i] * x[j], axis=1).mean())
