"""Histograms of magnitudes: exact, and the same bits in whatever order and parts the values came."""

from __future__ import annotations

import contextlib
import io
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inferkit.errors import PrecisionError
from inferkit.precision.calibration.ranges import BINS, Histogram, Ranges

# Any finite float32; hypothesis likes zeros, subnormal numbers and the largest ones.
VALUES = hnp.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


def as_numpy_counts(values: NDArray[np.float32], histogram: Histogram) -> NDArray[np.int64]:
    edges = (0.0, float(np.ldexp(1.0, histogram.exponent)))
    counts, _ = np.histogram(np.abs(values.astype(np.float64)), bins=BINS, range=edges)
    return counts


@given(VALUES)
def test_counts_are_those_of_numpy_over_the_same_range(values: NDArray[np.float32]) -> None:
    histogram = Histogram.of(values)
    np.testing.assert_array_equal(histogram.counts, as_numpy_counts(values, histogram))
    assert histogram.total == values.size
    assert histogram.maximum == float(np.abs(values).max(initial=0.0))


@pytest.mark.parametrize("size", [1, 255, (1 << 18) - 1, (1 << 18) + 3, 3_000_001])
def test_counts_of_large_arrays_are_those_of_numpy(size: int) -> None:
    values = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    histogram = Histogram.of(values)
    np.testing.assert_array_equal(histogram.counts, as_numpy_counts(values, histogram))


def test_values_on_an_edge_belong_to_the_bin_above_it() -> None:
    values = np.arange(BINS, dtype=np.float32) / 256  # every lower edge of [0, 8)
    np.testing.assert_array_equal(Histogram.of(values).counts, np.ones(BINS))
    np.testing.assert_array_equal(Histogram.of(-values).counts, np.ones(BINS))


@given(VALUES, VALUES)
def test_merging_gives_the_histogram_of_all_values_together(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    assert Histogram.of(a).merged(Histogram.of(b)) == Histogram.of(np.concatenate([a, b]))


@given(VALUES, VALUES, VALUES)
def test_merging_is_commutative_and_associative(
    a: NDArray[np.float32], b: NDArray[np.float32], c: NDArray[np.float32]
) -> None:
    x, y, z = (Histogram.of(values) for values in (a, b, c))
    assert x.merged(y) == y.merged(x)
    assert x.merged(y).merged(z) == x.merged(y.merged(z))
    assert x.merged(Histogram.empty()) == x


@settings(max_examples=30)
@given(st.data())
def test_any_order_and_any_partition_of_the_values_gives_the_same_bits(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    values = (random.standard_normal(2000) * 10.0 ** random.uniform(-30, 30, 2000)).astype(np.float32)
    reference = Histogram.of(values)
    shuffled = data.draw(st.permutations(range(20)))
    parts = [Histogram.of(values.reshape(20, 100)[index]) for index in shuffled]
    assert reduce(Histogram.merged, parts) == reference


def test_the_maximum_lies_in_the_last_bin_that_is_used() -> None:
    for maximum in (1.0, 0.999, 1.001, 3e38, 1e-20, 127.99999):
        histogram = Histogram.of(np.array([maximum, -maximum / 3], dtype=np.float32))
        assert histogram.counts[histogram.used - 1] == 1
        assert histogram.counts[histogram.used :].sum() == 0
        assert histogram.used > BINS // 2


def test_zeros_alone_have_no_range() -> None:
    histogram = Histogram.of(np.zeros(10, dtype=np.float32))
    assert (histogram.maximum, histogram.total, histogram.counts[0]) == (0.0, 10, 10)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    values = np.zeros(1000, dtype=np.float32)
    values[777] = bad
    with pytest.raises(PrecisionError, match="not finite"):
        Histogram.of(values)


RANGES = st.builds(
    Ranges,
    st.dictionaries(st.text(max_size=20).filter(lambda name: "\0" not in name and name), VALUES.map(Histogram.of)),
    st.integers(0, 10**6),
    st.text(max_size=20).filter(lambda text: "\0" not in text),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranges")


@settings(max_examples=40)
@given(ranges=RANGES)
def test_ranges_come_back_from_their_file_as_they_were(folder: Path, ranges: Ranges) -> None:
    ranges.save(folder / "ranges.npz")
    result = Ranges.load(folder / "ranges.npz")
    assert result == ranges
    assert result.source == ranges.source


@settings(max_examples=100)
@given(content=st.binary(max_size=300), cut=st.integers(0, 2000), byte=st.integers(0, 255))
def test_any_other_content_is_an_error_and_never_a_crash(folder: Path, content: bytes, cut: int, byte: int) -> None:
    path = folder / "hostile.npz"
    path.write_bytes(content)
    with pytest.raises(PrecisionError, match="hostile"):
        Ranges.load(path)
    Ranges({"a": Histogram.of(np.ones(3, dtype=np.float32))}, 1).save(path)
    sound = bytearray(path.read_bytes())
    sound[cut % len(sound)] = byte
    path.write_bytes(sound)
    with contextlib.suppress(PrecisionError):  # a changed byte may leave the content sound: zip files have spare ones
        Ranges.load(path)
    path.write_bytes(sound[: cut % len(sound)])
    with pytest.raises(PrecisionError):
        Ranges.load(path)


def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    for name, wrong in {"counts": -1, "maxima": 5.0, "format": 99}.items():
        Ranges({"a": Histogram.of(np.ones(3, dtype=np.float32))}, 1).save(tmp_path / "a.npz")
        with np.load(tmp_path / "a.npz") as file:
            arrays = {key: file[key] for key in file.files}
        arrays[name] = np.full_like(arrays[name], wrong)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        (tmp_path / "a.npz").write_bytes(buffer.getvalue())
        with pytest.raises(PrecisionError, match="calibrate again"):
            Ranges.load(tmp_path / "a.npz")


def test_ranges_of_different_tensors_cannot_be_merged() -> None:
    first, second = (Ranges({name: Histogram.empty()}, 1) for name in ("a", "b"))
    with pytest.raises(PrecisionError, match="a, b"):
        first.merged(second)


def test_ranges_merge_tensor_by_tensor() -> None:
    a, b = np.float32([1, 2]), np.float32([100, 0])
    merged = Ranges({"t": Histogram.of(a)}, 2).merged(Ranges({"t": Histogram.of(b)}, 3))
    assert merged == Ranges({"t": Histogram.of(np.concatenate([a, b]))}, 5)
