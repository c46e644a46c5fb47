"""Which images changed their class: the pairs, the pictures, and what a report may show of them."""

import base64

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inferkit.data import fashion_mnist, open_dataset
from inferkit.errors import DataError
from inferkit.measure.accuracy.confusion import THUMBNAIL, confusion, picture
from inferkit.report.page.confusion import confusion_of


@pytest.fixture(scope="module")
def labels():
    with open_dataset(fashion_mnist.NAME) as dataset:
        return np.array(dataset.labels)


def test_counts_pairs_and_pictures_of_real_images(labels):
    head = labels.copy()
    shirts = np.flatnonzero(labels == 6)[:5]
    head[shirts] = 0
    lost = int(np.flatnonzero(labels == 1)[0])
    head[lost] = -1
    base = labels.copy()
    gained = int(np.flatnonzero(labels == 2)[0])
    base[gained] = 3  # wrong before, right now
    facts = confusion(base, head, fashion_mnist.NAME)
    assert (facts["changed"], facts["lost"], facts["gained"]) == (7, 6, 1)
    assert facts["pairs"][0] == {"label": 6, "base": 6, "head": 0, "count": 5}
    assert [each["index"] for each in facts["images"]] == [*sorted([*shirts, lost]), gained]
    shown = confusion_of({"confusion": facts})
    assert shown is not None
    assert (shown.pairs[0].label, shown.pairs[0].head) == ("Shirt", "T-shirt/top")
    assert all(each.png is not None for each in shown.pictures)
    assert [each.head for each in shown.pictures if each.label == "Trouser"] == ["no class"]


def test_a_picture_is_the_image_at_twice_its_size(labels):
    images, _ = fashion_mnist.read_embedded()
    with open_dataset(fashion_mnist.NAME) as dataset:
        _, png = picture(dataset, 42)
    content = np.frombuffer(base64.b64decode(png.removeprefix("data:image/png;base64,")), np.uint8)
    decoded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    assert decoded.shape == (THUMBNAIL, THUMBNAIL)
    np.testing.assert_array_equal(decoded[::2, ::2], images[42])


@given(
    pixels=arrays(
        np.float32,
        st.tuples(st.sampled_from([1, 3]), st.integers(1, 90), st.integers(1, 90)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_any_image_of_one_or_three_channels_becomes_a_small_png(pixels):
    from inferkit.data.arrays import ArrayDataset

    _, png = picture(ArrayDataset(pixels[None], np.zeros(1, np.int64)), 0)
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(png.partition(",")[2]), np.uint8), cv2.IMREAD_UNCHANGED)
    assert max(decoded.shape[:2]) == THUMBNAIL
    assert (1 if decoded.ndim == 2 else decoded.shape[2]) == len(pixels)


def test_images_that_have_no_picture_are_still_told():
    from inferkit.data.arrays import ArrayDataset

    assert picture(ArrayDataset(np.zeros((1, 2, 4, 4), np.float32), np.zeros(1, np.int64)), 0)[1] is None


def test_other_images_than_were_classified_are_refused(labels):
    with pytest.raises(DataError, match="cannot be paired"):
        confusion(labels[:10], labels[:10], fashion_mnist.NAME)


@pytest.mark.parametrize(
    "png", ["javascript:alert(1)", 'data:image/png;base64,AAAA" onerror="x', "data:text/html;base64,AAAA", 5]
)
def test_nothing_but_a_png_gets_into_a_page(png):
    facts = {"images": [{"index": 1, "label": 1, "base": 1, "head": 2, "png": png}]}
    shown = confusion_of({"confusion": facts})
    assert shown is not None
    assert shown.pictures[0].png is None


@pytest.mark.parametrize("facts", [{}, {"confusion": None}, {"confusion": []}])
def test_a_case_without_confusion_has_none(facts):
    assert confusion_of(facts) is None
