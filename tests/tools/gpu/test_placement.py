"""How much of the variance between windows belongs to the places that were visited."""

from __future__ import annotations

import numpy as np
import pytest

from tools.gpu.placement import between


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_the_share_of_the_places_is_found(share):
    random = np.random.default_rng(3)
    offsets = random.normal(size=400) * np.sqrt(share)
    windows = {str(n): list(at + random.normal(size=12) * np.sqrt(1 - share)) for n, at in enumerate(offsets)}
    assert between(windows) == pytest.approx(share, abs=0.06)


def test_windows_that_never_differ_have_no_share():
    assert between({"0": [1.0, 1.0], "1": [1.0, 1.0]}) == 0.0
