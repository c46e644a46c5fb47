"""One error for the whole suite: Holm's rule over its cases, so that 200 cases do not cry wolf 200 times.

Holm and not Benjamini-Hochberg: a single false case fails a build, so it is the chance of any false one that counts.
Written out (three lines) because statsmodels' `multipletests` takes a second to import and runs a full garbage
collection at every call, in processes that time things; the tests hold the two to the same result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Holm-adjusted p-values, in the order given; a case is rejected at level q when its value is at most q.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).
    """
    values = np.asarray(p, float)
    order = np.argsort(values)
    remaining = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * remaining), 1.0)
    return adjusted
