"""NaN and infinity in outputs: counted, so that a broken network is seen and not averaged away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def count_nonfinite(arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """How many elements of each array are NaN or infinite; arrays without any are left out."""
    found = {}
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating):
            count = int(array.size - np.count_nonzero(np.isfinite(array)))
            if count:
                found[name] = count
    return found
