"""Filters layers by phase, level and stages, as Caffe's Net::FilterNet does."""

from __future__ import annotations

from collections.abc import Sequence

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.schema import TEST, NetParameter, NetState, NetStateRule


def filter_net(
    net: NetParameter, source: object, *, phase: int = TEST, level: int = 0, stages: Sequence[str] = ()
) -> NetParameter:
    """A copy of `net` with the layers whose rules the state meets; the state is written into it.

    As when Caffe loads a file, phase and level replace those in the file's own `state`, and `stages` add to its
    stages. Raises NetworkError for a layer with both include and exclude rules.
    """
    state = NetState()
    state.CopyFrom(net.state)
    state.phase, state.level = phase, level
    state.stage.extend(stages)
    kept = NetParameter()
    kept.CopyFrom(net)
    kept.ClearField("layer")
    kept.state.CopyFrom(state)
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise NetworkError(
                f"{source}, layer {layer.name!r} ({layer.type}): it has both include and exclude rules; Caffe allows "
                "only one of these kinds"
            )
        if layer.include:
            included = any(meets(state, rule) for rule in layer.include)
        else:
            included = not any(meets(state, rule) for rule in layer.exclude)
        if included:
            kept.layer.append(layer)
    return kept


def meets(state: NetState, rule: NetStateRule) -> bool:
    """Whether every condition that the rule states holds."""
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and stages.issuperset(rule.stage)
        and stages.isdisjoint(rule.not_stage)
    )
