"""Two layer tables matched by what their layers compute, whatever they are called and however they are fused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.gate.layer_diff import diff_layers
from inferkit.measure.layers.table import LayerRow, median_table, table_from

names = st.sampled_from([f"layer{number}" for number in range(12)])
rows = st.builds(
    LayerRow,
    name=st.text(min_size=1, max_size=8),
    kind=st.sampled_from(["", "Conv", "Reformat"]),
    precision=st.sampled_from(["", "fp32", "fp16"]),
    kernel=st.sampled_from(["", "a", "b"]),
    seconds=st.floats(0, 1, allow_nan=False),
    origins=st.lists(names, max_size=4, unique=True).map(tuple),
)
tables = st.lists(rows, max_size=10).map(tuple)


def near(one, other):
    return math.isclose(one or 0.0, other or 0.0, abs_tol=1e-9)


@given(tables, tables)
def test_every_row_is_in_one_group_and_groups_share_no_layer(base, head):
    changes = diff_layers(base, head).changes
    assert sorted(map(repr, base)) == sorted(repr(row) for change in changes for row in change.base)
    assert sorted(map(repr, head)) == sorted(repr(row) for change in changes for row in change.head)
    touched = [{name for row in (*change.base, *change.head) for name in row.origins} for change in changes]
    assert sum(map(len, touched)) == len(set().union(*touched))


@given(tables, tables)
def test_the_changes_add_up_to_the_change_of_the_whole(base, head):
    diff = diff_layers(base, head)
    whole = math.fsum(row.seconds for row in head) - math.fsum(row.seconds for row in base)
    assert near(math.fsum(change.delta for change in diff.changes), whole)


@given(tables)
def test_a_table_does_not_differ_from_itself(table):
    diff = diff_layers(table, table)
    assert not diff.altered
    assert not diff.culprits()
    assert near(diff.delta, 0)


@given(tables, tables)
def test_exchanging_the_sides_turns_every_change_around(base, head):
    there = {frozenset(c.layers): c.delta for c in diff_layers(base, head).changes}
    back = {frozenset(c.layers): c.delta for c in diff_layers(head, base).changes}
    assert there.keys() == back.keys()
    assert all(near(there[key], -back[key]) for key in there)


@given(tables, st.randoms(use_true_random=False))
def test_neither_names_nor_order_matter_to_what_computes_layers(table, random):
    known = [row for row in table if row.origins]
    renamed = [LayerRow("__myl_1", r.kind, r.precision, r.kernel, r.format, r.seconds, r.origins) for r in known]
    random.shuffle(renamed)
    diff = diff_layers(known, renamed)
    assert near(diff.delta, 0)
    assert all(near(change.delta, 0) for change in diff.changes)
    assert all(change.base and change.head for change in diff.changes)


@given(tables, tables)
def test_culprits_pull_in_the_direction_of_the_change(base, head):
    diff = diff_layers(base, head)
    assert len(diff.culprits()) <= 3
    assert all(change.delta * diff.delta > 0 for change in diff.culprits())
    json.dumps(diff.as_dict(), allow_nan=False)


@given(tables)
def test_a_table_survives_its_json_form(table):
    again = table_from(json.loads(json.dumps([row.as_dict() for row in table])))
    assert [(r.name, r.kind, r.precision, r.kernel, r.origins) for r in again] == [
        (r.name, r.kind, r.precision, r.kernel, r.origins) for r in table
    ]
    assert all(
        math.isclose(a.seconds, b.seconds, rel_tol=1e-3, abs_tol=1e-15) for a, b in zip(again, table, strict=True)
    )


def row(name, micros, *origins, **more):
    return LayerRow(name, seconds=micros / 1e6, origins=origins or (name,), **more)


BASE = (
    row("conv1 + relu1", 40, "conv1", "relu1", precision="fp16", kernel="sm90_a"),
    row("conv2", 30, precision="fp16", kernel="sm90_a"),
    row("pool", 5, precision="fp16"),
)


def test_a_layer_that_lost_its_precision_is_named():
    head = (BASE[0], row("conv2", 71, precision="fp32", kernel="sm80_b"), BASE[2])
    diff = diff_layers(BASE, head)
    assert diff.summary() == "layers: conv2 +41 µs (+137%, fp16 -> fp32); all layers together +41 µs"
    assert diff.summary(80e-6, 120e-6).endswith("; all layers together +41 µs of +40 µs")
    assert [change.kind for change in diff.changes] == ["changed", "same", "same"]


def test_a_split_fusion_is_compared_with_what_it_was():
    head = (row("conv1", 39, precision="fp16"), row("relu1", 9, precision="fp16"), *BASE[1:])
    (split,) = diff_layers(BASE, head).altered
    assert (split.kind, split.layers) == ("split", ("conv1", "relu1"))
    assert split.short == "conv1 (+1) +8 µs (+20%, split 1 -> 2)"
    (merged,) = diff_layers(head, BASE).altered
    assert merged.kind == "merged"


def test_a_copy_that_was_added_is_new():
    head = (*BASE, LayerRow("reformat to conv2", "Reformat", seconds=7e-6))
    assert diff_layers(BASE, head).summary(80e-6, 87e-6).startswith("layers: reformat to conv2 +7 µs (new)")


def test_a_change_that_is_not_in_the_layers_is_said_not_to_be():
    told = diff_layers(BASE, BASE).summary(80e-6, 140e-6)
    assert told.startswith("the layers' own times do not show it (±0 of +60 µs; the same kernels in base and head)")


def test_layers_whose_times_changed_far_more_than_the_latency_explain_nothing():
    head = tuple(LayerRow(r.name, r.kind, r.precision, r.kernel, r.format, r.seconds * 9, r.origins) for r in BASE)
    told = diff_layers(BASE, head).summary(80e-6, 82e-6)
    assert told.startswith("the layers' own times do not show it (+600 µs of +2 µs; the same kernels in base and head)")


def test_layers_timed_while_the_machine_was_faster_still_show_a_change_of_the_same_ratio():
    head = tuple(LayerRow(r.name, r.kind, r.precision, r.kernel, r.format, r.seconds * 2, r.origins) for r in BASE)
    diff = diff_layers(BASE, head)
    assert diff.summary(1e-3, 2.1e-3).startswith("layers: conv1 (+1) +40 µs (+100%), conv2 +30 µs (+100%); ")
    assert diff.summary(1e-3, 9e-3).startswith("the layers' own times do not show it")


def test_untimed_layers_still_tell_what_is_different():
    base, head = LayerRow("conv", kernel="a", origins=("conv",)), LayerRow("conv", kernel="b", origins=("conv",))
    diff = diff_layers([base], [head])
    assert diff.delta is None
    assert diff.summary(1e-3, 2e-3) == "layers were not timed; 1 groups of layers differ: conv (a -> b)"


def test_several_profiles_become_one_of_medians_and_another_engines_is_left_out():
    profiles = [(row("conv", micros),) for micros in (10, 30, 11)]
    assert median_table([*profiles, (row("other", 99),)]) == (row("conv", 11),)
    assert median_table([]) == ()


@pytest.mark.parametrize(
    "told", [None, 3, [3], [{}], [{"name": 1}], [{"name": "a", "us": -1}], [{"name": "a", "of": "a"}]]
)
def test_what_is_no_table_is_refused(told):
    with pytest.raises(ValueError, match=r"layer|list|time|texts"):
        table_from(told)
