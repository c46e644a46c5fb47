"""TensorRT calibration caches: hexadecimal scales by tensor name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import PrecisionError
from inferkit.precision.calibration.caches import Header, format_cache, parse_cache, read_cache, write_cache
from inferkit.precision.calibration.methods import Calibration

# As TensorRT 5.1 wrote it for its MNIST sample, names of unnamed layers included.
OLD = b"""TRT-5105-EntropyCalibration2
data: 3c000889
conv1: 3c8954be
(Unnamed Layer* 4) [Fully Connected]_output: 3dcbd455
prob: 3c010a14
"""

NAMES = st.text(min_size=1).filter(lambda name: name.strip() and not set(name) & set("\n\r"))
AMAX = st.floats(0.0, float(np.float32(3e38)), width=32)


def test_scales_are_big_endian_float32_of_amax_over_127(tmp_path: Path) -> None:
    (tmp_path / "CalibrationTableMnist").write_bytes(OLD)
    result = read_cache(tmp_path / "CalibrationTableMnist")
    assert result.amax["data"] == pytest.approx(0.99245, abs=1e-5)
    assert result.amax["conv1"] == pytest.approx(2.12903, abs=1e-5)
    assert result.amax["prob"] == pytest.approx(1.00024, abs=1e-5)
    assert result.amax["(Unnamed Layer* 4) [Fully Connected]_output"] == pytest.approx(0.0995261 * 127, rel=1e-5)
    assert result.description == "EntropyCalibration2: calibration cache CalibrationTableMnist"


def test_the_oldest_files_have_no_header() -> None:
    header, scales = parse_cache(b"(Unnamed ITensor* 38): 3c3604b4\n")
    assert header is None
    assert scales == {"(Unnamed ITensor* 38)": pytest.approx(0.011109, abs=1e-6)}


def test_a_name_may_hold_colons_and_lines_may_end_as_on_windows() -> None:
    header, scales = parse_cache(b"TRT-8601-MinMaxCalibration\r\na: b: c:d: 3f800000\r\n\r\n")
    assert header == Header("8601", "MinMaxCalibration")
    assert scales == {"a: b: c:d": 1.0}


@given(st.dictionaries(NAMES, AMAX, min_size=1), st.one_of(st.none(), st.just(Header("100300", "EntropyCalibration2"))))
def test_what_is_written_is_read_back_bit_for_bit(amax: dict[str, float], header: Header | None) -> None:
    content = format_cache(Calibration(amax, "entropy"), header)
    found_header, scales = parse_cache(content)
    assert found_header == header
    assert scales == {name: np.float32(value / 127) for name, value in amax.items()}
    again = Calibration({name: float(scale) * 127 for name, scale in scales.items()}, "entropy")
    assert format_cache(again, header) == content  # reading and writing once more changes nothing


@given(st.binary(max_size=100))
def test_hostile_bytes_are_an_error_and_never_a_crash(content: bytes) -> None:
    try:
        _, scales = parse_cache(content)
    except PrecisionError:
        return
    assert all(np.isfinite(scale) and scale >= 0 for scale in scales.values())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"TRT-1-A\ndata 3c000889\n", "line 2: 'data 3c000889'"),
        (b"data: 3c00088g\n", "line 1"),
        (b"data: 3c00088900\n", "line 1"),
        (b": 3c000889\n", "line 1"),
        (b"a: 3f800000\na: 3f800001\n", "line 2: a second, different scale for 'a'"),
        (b"a: 7f800000\n", "line 1: 7f800000 is not a scale"),
        (b"a: bf800000\n", "line 1: bf800000 is not a scale"),
        (b"a: 7fc00000\n", "line 1: 7fc00000 is not a scale"),
        (b"TRT-8601-EntropyCalibration2\n", "has no scale"),
        (b"", "has no scale"),
        (b"\xff\xfe", "byte 0: is not UTF-8 text"),
    ],
)
def test_the_line_that_is_wrong_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.cache").write_bytes(content)
    with pytest.raises(PrecisionError, match=message) as error:
        read_cache(tmp_path / "bad.cache")
    assert "bad.cache" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PrecisionError, match=r"none\.cache"):
        read_cache(tmp_path / "none.cache")


def test_the_header_says_what_tensorrt_would(tmp_path: Path) -> None:
    for method, algorithm in {
        "entropy": "EntropyCalibration2",
        "max": "MinMaxCalibration",
        "mse": "EntropyCalibration2",
    }.items():
        write_cache(tmp_path / "a.cache", Calibration({"x": 1.0}, method), version="8601")
        assert (tmp_path / "a.cache").read_text().splitlines()[0] == f"TRT-8601-{algorithm}"
    write_cache(tmp_path / "a.cache", Calibration({"x": 127.0}, "max"), with_header=False)
    assert (tmp_path / "a.cache").read_bytes() == b"x: 3f800000\n"


def test_a_name_that_a_line_cannot_hold_is_refused() -> None:
    for name in ("", "  ", "a\nb"):
        with pytest.raises(PrecisionError, match="cannot be written"):
            format_cache(Calibration({name: 1.0}, "max"), None)
