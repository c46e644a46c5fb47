"""Why did it change: the layer tables of base and head, matched and compared. Pure; no verdict rests on it.

Layers are matched by what they compute, not by what they are called: rows of both that share a layer of the
network belong together (the connected components of that relation), so a fusion that is put together otherwise, or has
another name, is still compared with what it replaces. A group that takes more rows in head was split, one that takes
fewer was merged. What the backend added itself (a copy, a change of format) computes no layer of the network and is
matched by its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from inferkit.errors import some
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.units import seconds
from inferkit.measure.layers.table import LayerRow, LayerTable, total_seconds

_NAMED = 3  # layers that a verdict's line names
_ENOUGH = 0.8  # of the change: once the named layers explain it, no more are named
_LEAST = 0.05  # of the change: what explains less is not worth a name
# What the layers' times must show to explain the latency's change: so much of its seconds, or of its logarithm. More
# than that is noise of the profiles, not an explanation.
_OF_CHANGE = (0.3, 3.0)
_OF_RATIO = (0.5, 2.0)
NOT_SHOWN = "the layers' own times do not show it"
_PROPERTIES = ("precision", "kernel", "format")
_WIDE = 48  # characters of a kernel's name in a line


@dataclass(frozen=True)
class LayerChange:
    """One group: the same layers of the network in base and head. `layers` are their names, in the network's order.

    `kind` is same, changed (kernel, precision or format), split, merged, regrouped, new or gone.
    """

    layers: tuple[str, ...]
    base: LayerTable
    head: LayerTable

    @property
    def delta(self) -> float | None:
        """Seconds that the group takes more in head; None where one that has it was not timed."""
        base, head = (total_seconds(rows) if rows else 0.0 for rows in (self.base, self.head))
        return None if base is None or head is None else head - base

    @property
    def kind(self) -> str:
        """What became of the group."""
        if not self.base or not self.head:
            return "gone" if self.base else "new"
        if len(self.base) == len(self.head):
            if _parts(self.base) != _parts(self.head):
                return "regrouped"
            return "changed" if self.properties else "same"
        if len(self.base) < len(self.head):
            return "split" if len(self.base) == 1 else "regrouped"
        return "merged" if len(self.head) == 1 else "regrouped"

    @property
    def properties(self) -> tuple[tuple[str, str, str], ...]:
        """(name, base, head) of precision, kernel and format where they differ; "a, b" where one has several."""
        differing = []
        for name in _PROPERTIES:
            base, head = (", ".join(_values(rows, name)) for rows in (self.base, self.head))
            if base and head and base != head:
                differing.append((name, base, head))
        return tuple(differing)

    @property
    def name(self) -> str:
        """The group in few words: its first layer, and how many others."""
        return self.layers[0] if len(self.layers) == 1 else f"{self.layers[0]} (+{len(self.layers) - 1})"

    @property
    def what(self) -> str:
        """What changed in words: `fp16 -> fp32, other kernel`; empty where only the time did."""
        words = []
        if self.kind in ("new", "gone"):
            words.append(self.kind)
        if self.kind in ("split", "merged", "regrouped"):
            words.append(f"{self.kind} {len(self.base)} -> {len(self.head)}")
        differing = {name: (base, head) for name, base, head in self.properties}
        if "precision" in differing:
            words.append(" -> ".join(differing["precision"]))
        elif "kernel" in differing:
            words.append(" -> ".join(_short(text) for text in differing["kernel"]))
        elif "format" in differing:
            words.append(" -> ".join(_short(text) for text in differing["format"]))
        return ", ".join(words)

    @property
    def short(self) -> str:
        """For a verdict's line: `conv3_2 +41 µs (+34%, fp16 -> fp32)`."""
        time = "" if self.delta is None else f" {signed(self.delta)}"
        words = ", ".join(filter(None, (share_of(self.delta, total_seconds(self.base)), self.what)))
        return f"{self.name}{time}" + (f" ({words})" if words else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: microseconds."""
        base, head = (total_seconds(rows) for rows in (self.base, self.head))
        return {
            "layers": list(self.layers),
            "kind": self.kind,
            "what": self.what,
            "base_us": _micros(base),
            "head_us": _micros(head),
            "delta_us": _micros(self.delta),
            **{name: [base, head] for name, base, head in self.properties},
        }


@dataclass(frozen=True)
class LayerDiff:
    """All groups of two tables: those whose time changed most first, of equal ones those that differ in something."""

    changes: tuple[LayerChange, ...]

    @property
    def delta(self) -> float | None:
        """Seconds that all layers together take more in head; None where one was not timed."""
        base, head = self._seconds()
        return None if base is None or head is None else head - base

    @property
    def altered(self) -> tuple[LayerChange, ...]:
        """The groups that differ in more than their time."""
        return tuple(change for change in self.changes if change.kind != "same")

    def culprits(self) -> tuple[LayerChange, ...]:
        """The few groups that explain most of the change: its largest parts, up to four fifths of it, at most three."""
        total = self.delta
        if not total:
            return ()
        parts = [change for change in self.changes if change.delta is not None and change.delta * total > 0]
        chosen, explained = [], 0.0
        for change in sorted(parts, key=lambda change: -abs(change.delta or 0.0))[:_NAMED]:
            if explained >= _ENOUGH * abs(total) or abs(change.delta or 0.0) < _LEAST * abs(total):
                break
            chosen.append(change)
            explained += abs(change.delta or 0.0)
        return tuple(chosen)

    def summary(self, base: float | None = None, head: float | None = None) -> str:
        """One sentence for a verdict's line. `base` and `head` are the latency itself, in seconds.

        Where the layers' own times do not show its change it says so, and what of the engine is different all the same.
        They show it with a third to three times its seconds, or, on a machine that was slower or faster while they
        were timed, with half to twice its ratio.
        """
        total = self.delta
        if total is None:
            return f"layers were not timed; {self._structure()}" if self.altered else ""
        change = None if base is None or head is None else head - base
        if change and not self._shows(total, change, (head or 0.0) / (base or 1.0)):
            return (
                f"{NOT_SHOWN} ({signed(total)} of {signed(change)}; {self._structure()}): "
                "look at launching, copies, threads and clocks"
            )
        named = self.culprits()
        if not named:
            return ""
        text = f"layers: {', '.join(each.short for each in named)}; all layers together {signed(total)}"
        return text if change is None else f"{text} of {signed(change)}"

    def _shows(self, total: float, change: float, ratio: float) -> bool:
        if _OF_CHANGE[0] <= total / change <= _OF_CHANGE[1]:
            return True
        base, head = self._seconds()
        if not base or not head or ratio <= 0:
            return False
        wanted = math.log(ratio)
        return bool(wanted) and _OF_RATIO[0] <= math.log(head / base) / wanted <= _OF_RATIO[1]

    def _seconds(self) -> tuple[float | None, ...]:
        """All layers of base, and of head; None where none was timed."""
        sides = ([row for change in self.changes for row in getattr(change, side)] for side in ("base", "head"))
        return tuple(map(total_seconds, sides))

    def _structure(self) -> str:
        altered = self.altered
        if not altered:
            return "the same kernels in base and head"
        names = some([f"{each.name} ({each.what or each.kind})" for each in altered], _NAMED)
        return f"{len(altered)} groups of layers differ: {names}"

    def as_dict(self, most: int | None = None) -> dict[str, Any]:
        """For JSON; at most the first `most` groups."""
        changes = [change.as_dict() for change in self.changes[:most]]
        head = _micros(self._seconds()[1])
        return {"delta_us": _micros(self.delta), "head_us": head, "groups": len(self.changes), "changes": changes}


def diff_layers(base: Sequence[LayerRow], head: Sequence[LayerRow]) -> LayerDiff:
    """Match and compare two layer tables. Every row of either is in exactly one group."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for row in (*base, *head):
        first, *others = _keys(row)
        for other in others:
            parent[root(other)] = root(first)
    groups: dict[str, tuple[list[LayerRow], list[LayerRow]]] = {}
    for side, rows in enumerate((base, head)):
        for row in rows:
            groups.setdefault(root(_keys(row)[0]), ([], []))[side].append(row)
    changes = [LayerChange(_layers((*one, *other)), tuple(one), tuple(other)) for one, other in groups.values()]
    return LayerDiff(tuple(sorted(changes, key=lambda change: (-abs(change.delta or 0.0), change.kind == "same"))))


def _keys(row: LayerRow) -> tuple[str, ...]:
    """What a row is matched by; a copy's name is kept apart from the names of layers."""
    return tuple(f"layer {name}" for name in row.origins) or (f"added {row.name}",)


def _layers(rows: Sequence[LayerRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in (row.origins or (row.name,))))


def _parts(rows: LayerTable) -> list[list[str]]:
    return sorted(sorted(row.origins) for row in rows)


def _values(rows: LayerTable, name: str) -> list[str]:
    return sorted({value for row in rows if (value := str(getattr(row, name)))})


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"


def _micros(value: float | None) -> float | None:
    return None if value is None else round(value * 1e6, 3)


def signed(value: float) -> str:
    """A change of time in words: `+41 µs`, `-1.2 ms`."""
    if value == 0:
        return "±0"
    return f"{'+' if value > 0 else '-'}{seconds(float(f'{abs(value):.3g}'))}"


def share_of(change: float | None, base: float | None) -> str:
    """A change of time as a share of its base: `+34%`; empty where one is not known, or there was nothing before."""
    return f"{change / base:+.0%}" if change is not None and base else ""


def without_names(line: str) -> str:
    """A verdict's line without the layers that `LayerDiff.summary` named in it: for reports that list them below it."""
    return re.sub(r"layers: .*?; (?=all layers together )", "", line)


EXPLAINED = (Verdict.REGRESSED, Verdict.IMPROVED)


def wants_explaining(outcome: Outcome) -> bool:
    """Whether there is a change of the latency to explain."""
    changed = outcome.base is not None and outcome.head is not None
    return outcome.metric == LATENCY and outcome.verdict in EXPLAINED and changed


def explain(outcome: Outcome, base: LayerTable, head: LayerTable) -> tuple[Outcome, LayerDiff | None]:
    """The outcome with the layers added to its reason, and the difference; as it was, and None, without tables."""
    if not wants_explaining(outcome) or not base or not head:
        return outcome, None
    assert outcome.base is not None
    assert outcome.head is not None
    diff = diff_layers(base, head)
    summary = diff.summary(outcome.base, outcome.head)
    reason = "; ".join(part for part in (outcome.reason, summary) if part)
    return replace(outcome, reason=reason), diff
