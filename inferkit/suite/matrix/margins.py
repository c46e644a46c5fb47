"""How the matrix states margins: by metric, for all cases, a backend, a network, a service, or the cases of a pattern.

[margins]                                    # for all cases
latency = "5 %"                              # a share: 0.05 says the same
"engine size" = "2 %"
"host memory" = "10 MiB"                     # or an amount
accuracy = "0.5 points"                      # of top-1, that a reduced precision may lose against FP32
"lenet-*-b1-*" = 0.4                         # a pattern of case ids: the latency's margin
"lenet-int8-*" = { accuracy = "1 point" }    # or those of several metrics

[backends.tensorrt.margins]                  # the same keys in any of these, and `margins = {…}` in a network's table
p99 = "10 %"

How much of the work must run in the precision asked for stands beside them, in a network's table, [defaults] or a
backend's: `precision_share = "95 %"`, or by precision: `precision_share = { int8 = "40 %", fp16 = 0 }`.
"""

from __future__ import annotations

from inferkit.gate.metrics import LATENCY
from inferkit.gate.stated.margins import Margin, Margins, metric_names, metric_of, parse_margin
from inferkit.network.network import PRECISIONS
from inferkit.suite.matrix.toml_table import Table, nearest


def stated_margins(table: Table, **short: str) -> dict[str, Margin]:
    """The `margins` of a table by metric, and those with a key of their own (`short`: metric by key)."""
    inner = table.table("margins")
    margins = _by_metric(inner, {name: (name, value) for name, value in inner.rest().items()})
    for key, metric in short.items():
        value = table.any(key)
        if value is None:
            continue
        if metric in margins:
            table.note(f"the margin of {metric} is stated twice, here and in `margins`", key)
        margins |= _by_metric(table, {metric: (key, value)})
    return margins


def all_margins(table: Table) -> tuple[Margins, tuple[tuple[str, Margins], ...]]:
    """The table `[margins]`: those of all cases, and those by pattern of case ids."""
    margins: dict[str, Margin] = {}
    patterns: list[tuple[str, Margins]] = []
    for key, value in table.rest().items():
        if metric_of(key) is not None:
            margins |= _by_metric(table, {key: (key, value)})
        elif isinstance(value, dict):
            patterns.append((key, _by_metric(table, {name: (key, inner) for name, inner in value.items()})))
        else:
            patterns.append((key, _by_metric(table, {LATENCY: (key, value)})))
    return margins, tuple(patterns)


def stated_shares(table: Table) -> dict[str, float]:
    """The `precision_share` of a table in percent, by precision: one for all of them, or a table of several."""
    key = "precision_share"
    value = table.any(key)
    if value is None:
        return {}
    stated = value if isinstance(value, dict) else dict.fromkeys(PRECISIONS, value)
    shares = {}
    for precision, share in stated.items():
        if precision not in PRECISIONS:
            table.note(f"{precision!r} is no precision{nearest(precision, PRECISIONS)}", key)
            continue
        try:
            shares[precision] = _percent(share)
        except ValueError:
            table.note(f"a share is from 0 to 1, or a text such as '95 %', not {share!r}", key)
            break
    return shares


def _percent(value: object) -> float:
    """A share as a number from 0 to 1 or as a text in percent. ValueError for anything else."""
    if isinstance(value, str) and value.rstrip().endswith("%"):
        percent = float(value.rstrip().removesuffix("%"))
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        percent = 100.0 * value
    else:
        raise ValueError(value)
    if not 0 <= percent <= 100:
        raise ValueError(value)
    return percent


def _by_metric(table: Table, stated: dict[str, tuple[str, object]]) -> dict[str, Margin]:
    """The margins of these names, each with the key to blame and its value."""
    margins = {}
    for name, (key, value) in stated.items():
        metric = metric_of(name)
        if metric is None:
            table.note(f"{name!r} is no metric with a margin{nearest(name, metric_names())}", key)
            continue
        try:
            margins[metric.name] = parse_margin(value, metric)
        except ValueError as error:
            table.note(str(error), key)
    return margins
