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
"""

from __future__ import annotations

from inferkit.gate.metrics import LATENCY
from inferkit.gate.stated.margins import Margin, Margins, metric_names, metric_of, parse_margin
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
