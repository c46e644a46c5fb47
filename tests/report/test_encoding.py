"""Streams whose encoding lacks characters: nothing raises, and a table keeps its columns."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.report.encoding import never_failing
from inferkit.report.table import Column, sparkline, table_lines


def written(text: str, encoding: str) -> str:
    """What a stream of this encoding gets."""
    content = io.BytesIO()
    stream = never_failing(io.TextIOWrapper(content, encoding, errors="strict"))
    stream.write(text)
    stream.flush()
    return content.getvalue().decode(encoding)


@given(
    text=st.text(st.characters(exclude_characters="\r\n")), encoding=st.sampled_from(["ascii", "iso8859-1", "utf-8"])
)
def test_every_text_can_be_written_and_keeps_its_length(text: str, encoding: str) -> None:
    assert len(written(text, encoding)) == len(text)


def test_what_an_encoding_has_is_left_as_it_is() -> None:
    assert written("±0.4 % · 36.5 µs → Größe", "utf-8") == "±0.4 % · 36.5 µs → Größe"
    assert written("±0.4 % · 36.5 µs", "iso8859-1") == "±0.4 % · 36.5 µs"
    assert written("1×28×28 in 36.5 µs – 21 °C", "ascii") == "1x28x28 in 36.5 us - 21 oC"


def test_a_file_name_in_bytes_that_are_no_text_can_be_printed() -> None:
    assert written(b"caf\xe9.onnx".decode("utf-8", "surrogateescape"), "utf-8") == "caf?.onnx"


def test_the_columns_of_a_table_stay_below_each_other() -> None:
    columns = (Column("case", "case", str, left=True), Column("±", "spread", str), Column("trend", "trend", str))
    rows = [
        {"case": "lenet…", "spread": "±1.2%", "trend": sparkline([1, 2, 3])},
        {"case": "b", "spread": None, "trend": sparkline([3.0])},
    ]
    lines = table_lines(columns, rows, width=0, color=False)
    plain = [written(line, "ascii") for line in lines]
    assert [len(line) for line in plain] == [len(line) for line in lines]
    assert plain[1] == "-" * len(plain[1])
    assert plain[2].split() == ["lenet~", "~1.2%", "_=#"]


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_what_is_no_stream_of_bytes_is_left_as_it_is(stream: io.StringIO | None) -> None:
    assert never_failing(stream) is stream
