"""Top-1 and top-5: Caffe 1.0's rule for ties, scores that are not numbers, and the choice of the output."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferkit.errors import UsageError
from inferkit.measure.accuracy.top_k import Accuracy, rank_of_labels, scores_output

VALUES = (0.0, 0.25, 0.5, 1.0)  # few, so that ties are common

scores_and_labels = st.integers(2, 12).flatmap(
    lambda classes: st.tuples(
        hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.just(classes)), elements=st.sampled_from(VALUES)),
        st.integers(0, 2**31),
    )
)


def caffe_counts_as_right(scores, label, top_k):
    """accuracy_layer.cpp's loop: count classes at least as good, the label itself being the one that starts at -1."""
    better = -1
    for score in scores:
        better += score >= scores[label]
        if better >= top_k:
            return False
    return True


@given(scores_and_labels, st.integers(1, 6))
def test_counts_as_caffes_accuracy_layer_does(case, top_k):
    scores, seed = case
    labels = np.random.default_rng(seed).integers(0, scores.shape[1], len(scores))
    theirs = [caffe_counts_as_right(row, label, top_k) for row, label in zip(scores, labels, strict=True)]
    assert (rank_of_labels(scores, labels) < top_k).tolist() == theirs


def test_a_tie_counts_against_the_network():
    scores = np.array([[0.5, 0.5, 0.0]], np.float32)
    assert rank_of_labels(scores, np.array([0]))[0] == 1
    assert rank_of_labels(scores, np.array([1]))[0] == 1


@pytest.mark.parametrize("row", [[np.nan, 0.1, 0.2], [0.1, np.nan, 0.2], [np.nan] * 3])
def test_a_row_with_nan_is_wrong_at_any_k(row):
    # Compared naively, nothing is at least as good as NaN, and a network that computes nothing else would be perfect.
    for label in range(3):
        assert rank_of_labels(np.array([row], np.float32), np.array([label]))[0] >= 5  # of three classes only


@pytest.mark.parametrize("label", [-1, 3, 9])
def test_a_label_without_a_class_is_wrong_at_any_k(label):
    assert rank_of_labels(np.array([[0.1, 0.2, 0.7]], np.float32), np.array([label]))[0] >= 5


@given(scores_and_labels)
def test_top_k_never_falls_with_k(case):
    scores, seed = case
    labels = np.random.default_rng(seed).integers(0, scores.shape[1], len(scores))
    right = [(rank_of_labels(scores, labels) < k).sum() for k in range(1, scores.shape[1] + 1)]
    assert right == sorted(right)
    assert right[-1] == len(scores)


def test_percentages():
    top1, top5 = np.array([True, False, False, False]), np.array([True, True, True, False])
    accuracy = Accuracy(np.zeros(4, np.int32), top1, top5, 1.0, 2.0)
    assert (accuracy.images, accuracy.top1_percent, accuracy.top5_percent) == (4, 25.0, 75.0)


def test_the_scores_are_the_only_output_or_the_one_with_a_usual_name():
    assert scores_output(["anything"]) == "anything"
    assert scores_output(["aux", "prob"]) == "prob"
    with pytest.raises(UsageError, match="has the outputs a, b"):
        scores_output(["a", "b"])
