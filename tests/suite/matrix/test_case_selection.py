"""Narrowing: every selected case is declared, and what was asked for in vain is told."""

import itertools
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import UsageError
from inferkit.measure.case import Case
from inferkit.suite.matrix.definition import AccuracyCase
from inferkit.suite.matrix.selection import CASE_OPTIONS, Selection

DIMENSIONS = (["lenet", "vgg16"], ["fp32", "int8"], [1, 8, 64], ["onnxruntime", "caffe"])
CASES = [Case(*values) for values in itertools.product(*DIMENSIONS)]


def some(values):
    return st.lists(st.sampled_from([str(value) for value in values]), unique=True).map(tuple)


selections = st.builds(Selection, *map(some, DIMENSIONS))


def test_the_words_of_repeated_options_and_of_one_with_commas_are_the_same():
    repeated = {"model": ["lenet", "vgg16"], "precision": ["FLOAT", "int8"], "batch_size": ["1", "8"], "backend": None}
    joined = {"model": ["lenet, vgg16"], "precision": ["FLOAT,int8"], "batch_size": ["1 8"], "backend": None}
    expected = Selection(("lenet", "vgg16"), ("fp32", "int8"), ("1", "8"))
    assert Selection.from_options(repeated) == Selection.from_options(joined) == expected
    assert tuple(CASE_OPTIONS) == tuple(field.name for field in fields(Selection))
    assert not Selection.from_options(dict.fromkeys(CASE_OPTIONS)).narrows


@given(selections)
def test_a_selection_keeps_order_and_takes_every_case_that_fits(selection):
    chosen = selection.of(CASES)
    assert chosen == [case for case in CASES if case in chosen]
    sizes = [len(getattr(selection, name)) for name in ("model", "precision", "batch_size", "backend")]
    expected = 1
    for size, values in zip(sizes, DIMENSIONS, strict=True):
        expected *= size or len(values)
    assert len(chosen) == expected
    assert selection.narrows == any(sizes)


@given(selections)
def test_a_batch_size_leaves_accuracy_cases_alone(selection):
    cases = [AccuracyCase(model, precision, "caffe") for model in DIMENSIONS[0] for precision in DIMENSIONS[1]]
    assert selection.of(cases) == Selection(selection.model, selection.precision, (), selection.backend).of(cases)


def test_the_studys_names_of_precisions_are_understood():
    assert Selection(precision=("FLOAT", "Half", "INT8")).precision == ("fp32", "fp16", "int8")


def test_values_that_no_case_has_together_are_told():
    cases = [Case("lenet", "fp32", 1, "onnxruntime"), Case("vgg16", "int8", 1, "onnxruntime")]
    with pytest.raises(UsageError, match="no case of the matrix has --model lenet --precision int8 together"):
        Selection(("lenet",), ("int8",)).check(cases)
