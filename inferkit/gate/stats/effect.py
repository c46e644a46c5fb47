"""The change of one case: how much slower (log ratio), how sure, and what could have been seen.

Two designs give the same kind of estimate: independent groups (a stored baseline, two files) and paired blocks
(interleaved A/B). Values are log-medians of fresh processes, so an effect of 0.02 is 2 % slower (exactly e^0.02 - 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # scipy.stats takes a second to import, and calls these


@dataclass(frozen=True)
class Evidence:
    """What one case's replicates say: the effect, the variance of one replicate, and how much they are worth.

    `information` is 1 / (variance of the effect in units of `variance`): n for n paired blocks, 1 / (1/a + 1/b) for
    two groups. `dof` are the degrees of freedom of `variance` (0: a single replicate a side, no variance known).
    `robust` is a median-based estimate of the same effect, which no single outlying process can move far.
    """

    effect: float
    variance: float
    dof: float
    information: float
    robust: float


def independent(base: ArrayLike, head: ArrayLike) -> Evidence:
    """Evidence from two groups of log-medians of a common variance. ValueError for an empty side or one not finite."""
    a, b = _checked(base, "base"), _checked(head, "head")
    dof = len(a) + len(b) - 2
    squares = float(np.sum((a - a.mean()) ** 2) + np.sum((b - b.mean()) ** 2))
    shift = float(np.median(b[:, None] - a[None, :]))  # Hodges and Lehmann's estimate of the shift
    return Evidence(
        effect=float(b.mean() - a.mean()),
        variance=squares / dof if dof > 0 else 0.0,
        dof=float(dof),
        information=1 / (1 / len(a) + 1 / len(b)),
        robust=shift,
    )


def paired(differences: ArrayLike) -> Evidence:
    """Evidence from paired blocks: each value is head minus base of one block. ValueError for none or not finite."""
    d = _checked(differences, "differences")
    walsh = (d[:, None] + d[None, :])[np.triu_indices(len(d))] / 2
    return Evidence(
        effect=float(d.mean()),
        variance=float(d.var(ddof=1)) if len(d) > 1 else 0.0,
        dof=float(len(d) - 1),
        information=float(len(d)),
        robust=float(np.median(walsh)),
    )


def _checked(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, float).ravel()
    if not len(array) or not np.all(np.isfinite(array)):
        raise ValueError(f"{name}: needs at least one replicate, all finite, got {array.tolist()}")
    return array


def p_above(effect: ArrayLike, tolerance: ArrayLike, error: ArrayLike, dof: ArrayLike) -> NDArray[np.float64]:
    """One-sided p-value of 'the effect is at most `tolerance`', from Student's t with `dof` degrees of freedom.

    `error` is the standard error of the effect; where it is zero the effect is taken as known exactly.
    """
    distance = np.asarray(effect, float) - np.asarray(tolerance, float)
    scale = np.asarray(error, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(scale > 0, distance / scale, np.where(distance > 0, np.inf, -np.inf))
    return np.asarray(special.stdtr(np.maximum(dof, 1e-9), -t))


def exceeded(chance: ArrayLike, dof: ArrayLike) -> NDArray[np.float64]:
    """What Student's t with `dof` degrees of freedom exceeds with this chance."""
    return np.asarray(-special.stdtrit(np.maximum(dof, 1e-9), chance))


def bound(effect: ArrayLike, error: ArrayLike, dof: ArrayLike, confidence: float) -> NDArray[np.float64]:
    """Half the width of the one-sided bounds at `confidence`, to be added to or taken from the effect."""
    return exceeded(1 - confidence, dof) * np.asarray(error, float) + 0 * np.asarray(effect, float)


def detectable(
    error: ArrayLike, dof: ArrayLike, tolerance: ArrayLike, alpha: ArrayLike, power: float = 0.95
) -> NDArray[np.float64]:
    """The smallest true effect found with `power` when testing at `alpha`: the case's MDE, as a log ratio.

    tolerance + (t at alpha + t at power) × standard error, the usual approximation to the noncentral t.
    """
    factor = exceeded(alpha, dof) + exceeded(1 - power, dof)
    return np.asarray(tolerance, float) + factor * np.asarray(error, float)
