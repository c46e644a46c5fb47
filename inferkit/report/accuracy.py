"""`inferkit accuracy` for people: who is right, whose class changed, and how far each layer is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferkit.gate.units import percent
from inferkit.report.page.confusion import confusion_of
from inferkit.report.table import Column, table_lines

_PAIRS = 8


def _points(value: float) -> str:
    return f"{round(-value, 2) + 0.0:+.2f}"


_CLASSES = (
    Column("", "name", str, left=True),
    Column("A", "first", percent),
    Column("B", "second", percent),
    Column("points", "drop", _points),
    Column("at worst", "worst", _points, rank=1),
    Column("lost", "lost", str, rank=2),
    Column("gained", "gained", str, rank=2),
)
_CHANGED = (
    Column("label", "label", str, left=True),
    Column("A said", "before", str, left=True),
    Column("B says", "now", str, left=True),
    Column("images", "count", str),
)
_LAYERS = (
    Column("layer", "name", str, left=True),
    Column("kind", "kind", str, rank=2, left=True),
    Column("SNR dB", "snr_db", str),
    Column("cosine", "cosine", "{:.6f}".format, rank=1),
    Column("max error", "max_error", "{:.3g}".format),
    Column("of at most", "largest", "{:.3g}".format, rank=3),
    Column("", "mark", str, left=True),
)


def accuracy_lines(told: Mapping[str, Any], *, width: int = 0, color: bool = False) -> list[str]:
    """The lines below the title, from what the command prints as JSON."""
    lines: list[str] = []
    if "images" in told:
        lines += _class_lines(told, width, color)
    if "layers" in told:
        lines += ["", *_layer_lines(told["layers"], width, color)]
    return lines


def _class_lines(told: Mapping[str, Any], width: int, color: bool) -> list[str]:
    lines = [f"{told['dataset']}, {told['images']:,} images", ""]
    rows = [{"name": name, **told[key]} for name, key in (("top-1", "top1"), ("top-5", "top5")) if key in told]
    if rows:
        lines += [*table_lines(_CLASSES, rows, width, color), told["line"]]
    else:
        lines.append("the dataset has no labels: only whether both sides agree can be told")
    found = confusion_of(told)
    if found is not None and found.changed:
        lines += ["", f"{found.changed:,} of {found.images:,} images changed their class:"]
        lines += table_lines(_CHANGED, [pair.__dict__ for pair in found.pairs[:_PAIRS]], width, color)
        if len(found.pairs) > _PAIRS:
            lines.append(f"and {len(found.pairs) - _PAIRS} more kinds of change (--json)")
    elif found is not None:
        lines += ["", "every image has the same class on both sides"]
    if any(told["not_finite"]):
        lines.append(f"images with NaN or infinities: {told['not_finite'][0]} on A, {told['not_finite'][1]} on B")
    return lines


def _layer_lines(told: Mapping[str, Any], width: int, color: bool) -> list[str]:
    limit, first = told["limit_db"], told["first_divergent"]
    if not told["layers"]:
        return ["no layer has the same name and size on both sides: there is nothing to compare layer by layer"]
    rows = [
        {
            **layer,
            "snr_db": _decibel(layer),
            "mark": "first to diverge" if layer["name"] == first else "",
        }
        for layer in told["layers"]
    ]
    lines = [f"layers over {told['images']} images, in the order of A:", *table_lines(_LAYERS, rows, width, color)]
    rule = f"below {limit:g} dB, or with other NaN and infinities"
    if first is None:
        lines.append(f"no layer diverges (none is {rule})")
    else:
        found = next(layer for layer in told["layers"] if layer["name"] == first)
        by = _decibel(found, " dB")
        lines.append(f"first to diverge: {first} ({by}); a layer has diverged {rule}")
    alone = len(told["only_first"]) + len(told["only_second"])
    if alone:
        lines.append(f"{alone} blobs are on one side only and are not compared")
    return lines


def _decibel(layer: Mapping[str, Any], unit: str = "") -> str:
    """Of a layer whose finite values are equal, whether the others are too."""
    if layer["snr_db"] is None:
        return "other NaN and infinities" if layer["not_finite"] else "equal"
    return f"{layer['snr_db']:.1f}{unit}"
