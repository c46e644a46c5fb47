"""Images whose class differs between two precisions, engines or networks: pairs of classes, and small pictures.

The facts that `confusion` returns go into a run's JSON and into `inferkit accuracy --json`; what a report shows of
them is read, and checked, by inferkit.report.page.confusion.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inferkit.errors import DataError, InferkitError

if TYPE_CHECKING:
    from inferkit.data.dataset import Dataset

MOST_PAIRS = 20
MOST_IMAGES = 24
THUMBNAIL = 56  # pixels of the longer side: a Fashion-MNIST image at twice its size


def confusion(
    base: NDArray[np.integer[Any]],
    head: NDArray[np.integer[Any]],
    dataset: str,
    *,
    first: bool = False,
) -> dict[str, Any]:
    """The images whose predicted class `base` [N] and `head` [N] differ; JSON-able.

    {"changed", "images_seen", "lost", "gained", "classes": {number: name},
    "pairs": [{"label", "base", "head", "count"}], "images": [{"index", "key", "label", "base", "head", "png"}]}, with
    the class in base and that in head: the most frequent pairs first; of the images those that base had right come
    first, `png` is a data URI. A prediction of -1 means no class. With `first` only the dataset's first N images were
    classified. DataError where it has another number of images than were classified, or cannot be read.
    """
    from inferkit.data import open_dataset

    with open_dataset(dataset) as source:
        labels = np.asarray(source.labels)
        if first:
            labels = labels[: len(head)]
        if not len(base) == len(head) == len(labels):
            raise DataError(
                f"{dataset}: has {len(labels)} images, but {len(base)} and {len(head)} were classified: they cannot "
                "be paired"
            )
        changed = np.flatnonzero(base != head)
        counted = Counter((int(labels[i]), int(base[i]), int(head[i])) for i in changed)
        right = base[changed] == labels[changed]
        chosen = [*changed[right], *changed[~right]][:MOST_IMAGES]
        names = _names(dataset)
        seen = {number for pair in counted for number in pair}
        return {
            "changed": len(changed),
            "images_seen": len(labels),
            "lost": int(right.sum()),
            "gained": int((head[changed] == labels[changed]).sum()),
            "classes": {str(number): names[number] for number in sorted(seen) if 0 <= number < len(names)},
            "pairs": [
                {"label": label, "base": base_class, "head": head_class, "count": count}
                for (label, base_class, head_class), count in counted.most_common(MOST_PAIRS)
            ],
            "images": [_image(source, int(i), int(labels[i]), int(base[i]), int(head[i])) for i in chosen],
        }


def _image(source: Dataset, index: int, label: int, base: int, head: int) -> dict[str, Any]:
    key, png = picture(source, index)
    return {"index": index, "key": key, "label": label, "base": base, "head": head, "png": png}


def picture(source: Dataset, index: int, longest: int = THUMBNAIL) -> tuple[str, str | None]:
    """Key and PNG (a data URI) of one image as the dataset stores it, at most `longest` pixels wide and high.

    None in place of the PNG where the image has neither one nor three channels, or cannot be decoded.
    """
    from inferkit.data.memory import Scratch

    entry = next(iter(source.entries(index)))
    key = source.key(entry)
    try:
        stored = source.read(entry, None, Scratch())
    except InferkitError:
        return key, None
    pixels = stored.pixels if stored.layout == "HWC" else np.moveaxis(stored.pixels, 0, -1)
    content = _png(np.array(pixels), longest)
    return key, None if content is None else f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _png(pixels: NDArray[Any], longest: int) -> bytes | None:
    """[H, W, C] of 1 or 3 channels (blue first, as Caffe has them); floats are stretched over the grey values."""
    import cv2

    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        return None
    if pixels.dtype != np.uint8:
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
        if not np.isfinite([low, high]).all():
            return None
        pixels = np.nan_to_num((pixels - low) * (255 / (high - low) if high > low else 0.0)).astype(np.uint8)
    scale = longest / max(pixels.shape[:2])
    size = [max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0])]
    # Small images grow by whole pixels, so that what the network saw can be seen; large ones are averaged.
    how = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    done, content = cv2.imencode(".png", cv2.resize(pixels, size, interpolation=how), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return content.tobytes() if done else None


def _names(dataset: str) -> Sequence[str]:
    """The names of the classes, where they are known: those of the embedded dataset."""
    from inferkit.data import fashion_mnist

    return fashion_mnist.LABELS if dataset == fashion_mnist.NAME else ()
