"""Was the precision asked for computed in: the share of a network's work that a built engine does at its precision.

A rewritten graph asks for a precision layer by layer; what a builder makes of it, the engine's layer table says. The
work are operations of convolutions, products of matrices and recurrent layers, as precision/work/ counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inferkit.backends.layer_table import FP32_OR_TF32, LayerRow, LayerTable
from inferkit.errors import some

if TYPE_CHECKING:
    from inferkit.network.network import Network

# Of the work asked for: where more is not known, no share is stated. By default a case may compute so much elsewhere.
_MOST_UNKNOWN = 0.05
_NAMED = 3


@dataclass(frozen=True)
class OtherPrecision:
    """A layer that ran in another precision than it was asked for; `share` of the work asked for, 0 to 1."""

    layer: str
    precision: str
    share: float

    @property
    def text(self) -> str:
        """`conv1 (fp32, 12 %)`."""
        return f"{self.layer} ({self.precision}, {100 * self.share:.3g} %)"


@dataclass(frozen=True)
class PrecisionShare:
    """The share of the work asked for at `precision` that ran in it, 0 to 1, of the layers whose type is known.

    `others` ran in another precision, the largest first. `share` is None where it is not known, for `reason`.
    """

    precision: str
    share: float | None = None
    others: tuple[OtherPrecision, ...] = field(default=())
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The share in words, with the layers that ran elsewhere, or why it is not known."""
        if self.share is None:
            return f"the share computed in {self.precision} is not known: {self.reason}"
        others = f"; not {named(self.others)}" if self.others else ""
        return f"{100 * self.share:.4g} % of the work asked for in {self.precision} runs in it{others}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `percent` is the share in percent."""
        said = {"sentence": self.sentence}
        if self.share is None:
            return said | {"reason": self.reason}
        others = [{"layer": each.layer, "precision": each.precision, "share": each.share} for each in self.others]
        return said | {"percent": 100 * self.share, "others": others}


def named(others: Sequence[OtherPrecision]) -> str:
    """The first layers with what they ran in and their part of the work, and how many more there are."""
    return some([each.text for each in others], _NAMED)


def others_from(content: object) -> tuple[OtherPrecision, ...]:
    """The inverse of `as_dict` for `others`, without what is none: for showing, no figure rests on it."""
    found = []
    for each in content if isinstance(content, list | tuple) else ():
        values = each if isinstance(each, Mapping) else {}
        layer, precision, share = (values.get(key) for key in ("layer", "precision", "share"))
        if isinstance(layer, str) and isinstance(precision, str) and isinstance(share, float) and 0 <= share <= 1:
            found.append(OtherPrecision(layer, precision, share))
    return tuple(found)


def precision_share(network: Network, table: LayerTable, build: Mapping[str, Any] | None = None) -> PrecisionShare:
    """How much of what `network`, at its precision, asks for ran in it, by the layer table of its engine.

    `build` are the options that the engine was built with: `emulate` asks for another precision on purpose.
    """
    precision = network.precision
    if build is not None and build.get("emulate"):
        return PrecisionShare(precision, reason=f"{precision} is emulated in fp32, as asked")
    from inferkit.precision.work.coverage import asked_work  # needs onnx, which who only reads shares does not

    asked = asked_work(network)
    total = sum(asked.values())
    if not total:
        return PrecisionShare(
            precision, reason=f"no convolution, product or recurrent layer is asked for in {precision}"
        )
    rows: dict[str, list[LayerRow]] = {}
    for row in table:
        for name in row.origins:
            rows.setdefault(name, []).append(row)
    ran = {name: _ran_in(precision, rows.get(name, ())) for name in asked}
    unknown = [name for name in asked if not ran[name]]
    lacking = sum(asked[name] for name in unknown)
    if lacking > _MOST_UNKNOWN * total:
        return PrecisionShare(precision, reason=_unknown(unknown, lacking / total, table))
    others = [
        OtherPrecision(name, ran[name], asked[name] / total) for name in asked if ran[name] not in ("", precision)
    ]
    right = sum(work for name, work in asked.items() if ran[name] == precision)
    largest = sorted(others, key=lambda each: -each.share)
    return PrecisionShare(precision, right / (total - lacking), tuple(largest))


def _ran_in(precision: str, rows: Sequence[LayerRow]) -> str:
    """What one layer ran in, by the rows that name it; empty where that is not known.

    Rows that multiply decide, where there are any: others only move or convert its values.
    """
    multiplying = {row.precision for row in rows if row.multiplies}
    types = multiplying or {row.precision for row in rows}
    is_certain = types and "" not in types and (multiplying or len(types) == 1)
    if not is_certain or (FP32_OR_TF32 in types and precision in ("fp32", "tf32")):
        return ""
    return next(iter(sorted(types - {precision})), precision)


def _unknown(names: Sequence[str], share: float, table: LayerTable) -> str:
    if not any(row.precision for row in table):
        return "the backend does not say what its layers compute in"
    return f"what {100 * share:.3g} % of the work runs in is not known: {some(names, _NAMED)}"
