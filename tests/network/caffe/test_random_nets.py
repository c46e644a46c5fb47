"""Random small nets compute what real Caffe computes, or are refused where Caffe refuses them."""

from __future__ import annotations

import contextlib
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferkit.errors import NetworkError
from tests.network.caffe.caffe_judge import TOLERANCE, judge
from tests.network.caffe.pycaffe_oracle import CaffeAborted, oracle
from tests.network.caffe.random_nets import AgreeingWeights, blob_shapes, grow

pytestmark = pytest.mark.pycaffe

# Nets whose result hangs on the last bit of a rounding, on either side: what they give cannot be compared.
ILL_CONDITIONED = {
    100_674: "the position of a maximum among values that are equal but for their rounding",
    101_932: "a constant blob, less its mean: nothing but rounding is left",
}
# Refused, though Caffe goes on: with blobs of no elements, or over memory that it still has to read.
GOES_ON = re.compile(r"would have size 0\b|shares its memory with the bottom|changes the constant")


def check(text: str, seed: int, folder: Path) -> None:
    try:
        blob_shapes(text)
    except NetworkError as refusal:
        if GOES_ON.search(str(refusal)):
            return  # there is nothing to compare
        prototxt = folder / "net.prototxt"
        prototxt.write_text(text)
        with pytest.raises(CaffeAborted):
            oracle().run(prototxt)
        return
    # Whether layers that share weights agree on their shape is the weights' matter, which blob_shapes leaves out.
    if not shares_in_vain(text):
        assert judge(text, folder, seed=seed).error <= TOLERANCE, text


def shares_in_vain(text: str) -> bool:
    """Whether a layer shares a parameter of another shape."""
    with contextlib.suppress(NetworkError):
        blob_shapes(text, AgreeingWeights)
        return False
    return True


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(r=st.randoms(use_true_random=False), seed=st.integers(0, 10**6))
def test_a_random_net(r: random.Random, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(grow(r), seed, tmp_path_factory.mktemp("net"))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_random_nets(block: int, tmp_path: Path) -> None:
    for seed in range(100_000 + 100 * block, 100_000 + 100 * (block + 1)):
        if seed not in ILL_CONDITIONED:
            check(grow(random.Random(seed)), seed, tmp_path)
