"""What a rate would be if the classifier made no mistakes: the estimator of Rogan and Gladen.

It assumes that the classifier errs on generated frames as it does on true ones, which no one can know: a column to see
how much noise matters, never the headline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from storybench.statistics.bootstrap import divide

Array = np.ndarray
MIN_YOUDEN = 0.5  # below, the classifier knows too little to correct with (metrics.md 2)


class Corrected(NamedTuple):
    """Corrected rates and their standard errors; NaN where the classifier is too weak."""

    rate: Array
    standard_error: Array


def rogan_gladen(observed: Array, sensitivity: Array, specificity: Array) -> Array:
    r"""Return :math:`\pi = (p + sp - 1) / J` with :math:`J = se + sp - 1`, clipped to [0, 1]; NaN where J < 0.5.

    Args:
        observed: Observed rates p, any shape.
        sensitivity: Share of true positives that the classifier finds, broadcast against ``observed``.
        specificity: Share of true negatives that it leaves alone.

    Reference:
        Rogan and Gladen 1978; metrics.md 2.
    """
    youden = np.asarray(sensitivity) + specificity - 1
    rate = np.clip(divide(np.asarray(observed) + specificity - 1, np.where(youden == 0, np.nan, youden)), 0.0, 1.0)
    return np.where(youden >= MIN_YOUDEN, rate, np.nan)


def rogan_gladen_with_error(
    observed: Array, n: Array, sensitivity: Array, n_positive: Array, specificity: Array, n_negative: Array
) -> Corrected:
    r"""Return the corrected rate and its standard error from independent samples.

    .. math:: Var\,\pi = [Var\,p + \pi^2 Var\,se + (1 - \pi)^2 Var\,sp] / J^2

    Args:
        observed: Observed rates.
        n: Units each was observed on.
        sensitivity: As in :func:`rogan_gladen`.
        n_positive: Units it was measured on.
        specificity: As in :func:`rogan_gladen`.
        n_negative: Units it was measured on.
    """
    rate = rogan_gladen(observed, sensitivity, specificity)
    youden = np.asarray(sensitivity) + specificity - 1
    variance = (
        _binomial(observed, n)
        + rate**2 * _binomial(sensitivity, n_positive)
        + (1 - rate) ** 2 * _binomial(specificity, n_negative)
    )
    return Corrected(rate, np.sqrt(divide(variance, youden**2)))


def _binomial(rate: Array, n: Array) -> Array:
    rate = np.asarray(rate, dtype=np.float64)
    return divide(rate * (1 - rate), np.asarray(n, dtype=np.float64))
