"""Sharing variance between cases: the empirical-Bayes ("moderated") variance of Smyth, as in limma's squeezeVar.

Three replicates say little about how noisy a case is, two hundred cases say a lot about how noisy a case usually is.
The variances of the cases are taken as draws from a scaled inverse chi-square distribution with `dof` degrees of
freedom around `variance`; each case's own variance is then pulled towards it.

Source: G. K. Smyth, "Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments", Statistical Applications in Genetics and Molecular Biology 3 (2004), sections 6.2 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, polygamma

# A variance of zero (two identical medians) has no logarithm; limma lifts it to this share of the median variance.
_ZERO_SHARE = 1e-5


@dataclass(frozen=True)
class VariancePrior:
    """What the other cases say of a case's variance: `variance`, worth `dof` degrees of freedom (may be infinite).

    `pooled_dof` is all the evidence there was: no moderated variance can be worth more than that.
    """

    dof: float
    variance: float
    pooled_dof: float

    def posterior(self, variance: ArrayLike, dof: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Moderated variances and their degrees of freedom for cases of their own `variance` with `dof`.

        A case without degrees of freedom of its own (one replicate) takes the prior's variance.
        """
        own, own_dof = np.broadcast_arrays(np.asarray(variance, float), np.asarray(dof, float))
        own = np.where(own_dof > 0, own, 0.0)
        if np.isinf(self.dof):
            return np.full(own.shape, self.variance), np.full(own.shape, max(self.pooled_dof, 1.0))
        total = self.dof + own_dof
        moderated = np.divide(
            self.dof * self.variance + own_dof * own, total, out=np.zeros_like(total), where=total > 0
        )
        return moderated, np.minimum(total, np.maximum(self.pooled_dof, own_dof))


NO_PRIOR = VariancePrior(dof=0.0, variance=0.0, pooled_dof=0.0)


def fit_prior(variance: ArrayLike, dof: ArrayLike) -> VariancePrior:
    """Fit the prior to the variances of many cases (each with its degrees of freedom), by moments of their logarithms.

    Cases without degrees of freedom or with a variance that is not finite are left out; with fewer than two cases left
    nothing is shared (NO_PRIOR). Same result as limma's fitFDist without covariate.
    """
    values, freedoms = np.broadcast_arrays(np.asarray(variance, float), np.asarray(dof, float))
    usable = (freedoms > 0) & np.isfinite(values) & (values >= 0)
    values, freedoms = values[usable], freedoms[usable]
    if len(values) < 2 or not np.any(values > 0):
        return NO_PRIOR
    middle = float(np.median(values)) or float(np.mean(values[values > 0]))
    values = np.maximum(values, max(_ZERO_SHARE * middle, np.finfo(float).tiny))
    centred = np.log(values) - digamma(freedoms / 2) + np.log(freedoms / 2)
    spread = float(np.var(centred, ddof=1) - np.mean(polygamma(1, freedoms / 2)))
    pooled = float(np.sum(freedoms))
    if spread <= 0:
        return VariancePrior(np.inf, float(np.mean(values)), pooled)
    prior_dof = 2 * trigamma_inverse(spread)
    scale = float(np.exp(np.mean(centred) + digamma(prior_dof / 2) - np.log(prior_dof / 2)))
    return VariancePrior(prior_dof, scale, pooled)


def trigamma_inverse(value: float) -> float:
    """The y with trigamma(y) = value, for value > 0, by Newton's method on 1/trigamma (Smyth 2004, appendix)."""
    if value > 1e7:
        return float(1 / np.sqrt(value))
    if value < 1e-6:
        return 1 / value
    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:
            break
    return y
