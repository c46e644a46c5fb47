"""Who shares: a few cases far noisier than the rest speak for themselves and leave the others' shared variance alone.

One enqueue-bound case of 7 % noise among graph replays of 0.3 % would widen the prior until it says nothing of anyone.
As in limma's robust fit, such cases are told by how improbable their variance is under the prior of the others, and
keep their own variance with its own degrees of freedom. Only noisy cases are set apart, and at most a third of the
suite: a case that looks quiet by chance must go on being drawn up towards the others, or it would give false alarms.

Source of the idea: B. Phipson et al., "Robust hyperparameter estimation protects against hypervariable genes and
improves power to detect differential expression", Annals of Applied Statistics 10 (2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from inferkit.gate.stats.variance import NO_PRIOR, VariancePrior, fit_prior

_MOST_APART = 1 / 3
_IMPROBABLE = 1e-3  # over the whole suite


@dataclass(frozen=True, eq=False)
class Sharing:
    """The prior of the cases that share, and which cases are set apart (True) and have only their own variance."""

    prior: VariancePrior
    apart: NDArray[np.bool_]

    def posterior(self, variance: ArrayLike, dof: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Moderated variances and their degrees of freedom, one per case, in the order that `share` was given."""
        shared, freedom = self.prior.posterior(variance, dof)
        own, own_freedom = NO_PRIOR.posterior(variance, dof)
        return np.where(self.apart, own, shared), np.where(self.apart, own_freedom, freedom)


def share(variance: ArrayLike, dof: ArrayLike) -> Sharing:
    """Fit the prior to the cases that are alike; `variance` and `dof` hold one value per case.

    Starts from the quieter two thirds and takes in the others by rising variance, up to the first that is improbably
    noisy for a case of those taken in, as often as that takes in more.
    """
    values, freedoms = np.broadcast_arrays(np.asarray(variance, float), np.asarray(dof, float))
    usable = np.flatnonzero((freedoms > 0) & np.isfinite(values))
    order = usable[np.argsort(values[usable], kind="stable")]
    alike = len(order) - int(len(order) * _MOST_APART)
    prior = fit_prior(values[order[:alike]], freedoms[order[:alike]])
    while alike < len(order) and prior != NO_PRIOR:
        rest = order[alike:]
        improbable = _chance(prior, values[rest], freedoms[rest]) < _IMPROBABLE / len(order)
        more = int(np.argmax(improbable)) if improbable.any() else len(rest)
        if not more:
            break
        alike += more
        prior = fit_prior(values[order[:alike]], freedoms[order[:alike]])
    apart = np.zeros(len(values), bool)
    if prior == NO_PRIOR:
        return Sharing(fit_prior(values, freedoms), apart)
    apart[order[alike:]] = True
    return Sharing(prior, apart)


def _chance(prior: VariancePrior, variance: NDArray[np.float64], dof: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance of a variance of `dof` degrees of freedom at least this large, for a case of the prior."""
    if not prior.variance:  # cases that never differ: any variance at all is improbable among them
        return np.where(variance > 0, 0.0, 1.0)
    with np.errstate(over="ignore"):  # infinitely improbable then
        ratio = variance / prior.variance
        known = np.isinf(prior.dof)
        chance = special.chdtrc(dof, ratio * dof) if known else special.fdtrc(dof, prior.dof, ratio)
    return np.asarray(chance, float)
