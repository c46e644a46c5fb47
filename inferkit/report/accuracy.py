"""`inferkit accuracy` for people: top-1 and top-5, images whose class changed, and the error of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferkit.gate.units import percent
from inferkit.report.page.confusion import confusion_of
from inferkit.report.table import Column, table_lines

_PAIRS = 8


def _points(value: float) -> str:
    return f"{round(-value, 2) + 0.0:+.2f}"


def _lost(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"


_CLASSES = (
    Column("", "name", str, left=True),
    Column("base", "base", percent),
    Column("head", "head", percent),
    Column("points", "drop", _points),
    Column("upper bound of loss", "worst", _lost, rank=1),
    Column("lost", "lost", str, rank=2),
    Column("gained", "gained", str, rank=2),
)
_CHANGED = (
    Column("label", "label", str, left=True),
    Column("base", "base", str, left=True),
    Column("head", "head", str, left=True),
    Column("images", "count", str),
)
_LAYERS = (
    Column("layer", "name", str, left=True),
    Column("kind", "kind", str, rank=2, left=True),
    Column("SNR dB", "snr_db", str),
    Column("cosine", "cosine", "{:.6f}".format, rank=1),
    Column("max error", "max_error", "{:.3g}".format),
    Column("max value", "largest", "{:.3g}".format, rank=3),
    Column("", "mark", str, left=True),
)


def accuracy_lines(result: Mapping[str, Any], *, width: int = 0, color: bool = False) -> list[str]:
    """The lines below the title, from what the command prints as JSON."""
    lines: list[str] = []
    if "images" in result:
        lines += _class_lines(result, width, color)
    if "layers" in result:
        lines += ["", *_layer_lines(result["layers"], width, color)]
    return lines


def _class_lines(result: Mapping[str, Any], width: int, color: bool) -> list[str]:
    lines = [f"{result['dataset']}, {result['images']:,} images", ""]
    rows = [{"name": name, **result[key]} for name, key in (("top-1", "top1"), ("top-5", "top5")) if key in result]
    if rows:
        lines += [*table_lines(_CLASSES, rows, width, color), result["line"]]
    else:
        lines.append("the dataset has no labels: base and head are compared with each other only")
    confusion = confusion_of(result)
    if confusion is not None and confusion.changed:
        lines += ["", f"{confusion.changed:,} of {confusion.images:,} images changed their class:"]
        lines += table_lines(_CHANGED, [pair.__dict__ for pair in confusion.pairs[:_PAIRS]], width, color)
        if len(confusion.pairs) > _PAIRS:
            lines.append(f"and {len(confusion.pairs) - _PAIRS} more pairs of classes (--json)")
    elif confusion is not None:
        lines += ["", "every image has the same class in base and head"]
    if any(result["not_finite"]):
        base, head = result["not_finite"]
        lines.append(f"images with NaN or infinities: {base} in base, {head} in head")
    return lines


def _layer_lines(result: Mapping[str, Any], width: int, color: bool) -> list[str]:
    limit, first = result["limit_db"], result["first_divergent"]
    if not result["layers"]:
        return ["base and head have no layer of the same name and size: nothing to compare layer by layer"]
    rows = [
        {**layer, "snr_db": _decibel(layer), "mark": "first to diverge" if layer["name"] == first else ""}
        for layer in result["layers"]
    ]
    lines = [f"layers over {result['images']} images, in the order of base:", *table_lines(_LAYERS, rows, width, color)]
    rule = f"below {limit:g} dB, or where NaN and infinities differ"
    if first is None:
        lines.append(f"no layer diverges (a layer diverges {rule})")
    else:
        diverged = next(layer for layer in result["layers"] if layer["name"] == first)
        lines.append(f"first to diverge: {first} ({_decibel(diverged, ' dB')}); a layer diverges {rule}")
    alone = len(result["only_base"]) + len(result["only_head"])
    if alone:
        lines.append(f"{alone} blobs are in base or head only and are not compared")
    return lines


def _decibel(layer: Mapping[str, Any], unit: str = "") -> str:
    """Of a layer whose finite values are equal, whether the others are too."""
    if layer["snr_db"] is None:
        return "NaN and infinities differ" if layer["not_finite"] else "equal"
    return f"{layer['snr_db']:.1f}{unit}"
