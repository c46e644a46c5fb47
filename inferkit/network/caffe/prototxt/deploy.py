"""Derives the inference part of a training network: losses become activations, data layers become inputs.

A network with data or loss layers is changed as follows; any other is left as it is:

- SoftmaxWithLoss and InfogainLoss become a Softmax on the same logits, SigmoidCrossEntropyLoss a Sigmoid, unless the
  network has that layer already. Its top is named by the loss layer's own second top, else `prob`, or
  `<logits>_prob` where `prob` is taken or there are several.
- A loss whose label another loss with a greater loss_weight reads too is an auxiliary one (GoogLeNet's first two) and
  is removed with its branch.
- Other losses, Accuracy, Silence and HDF5Output are removed; the blobs that they evaluated become outputs, unless a
  layer reads them.
- Layers that then lead to no output are removed: labels, and the layers between them and a loss.
- The remaining data layers become inputs (data_layers.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inferkit.network.caffe.files.schema import LayerParameter, NetParameter
from inferkit.network.caffe.flow import Flow, Top, trace_flow
from inferkit.network.caffe.prototxt.check import is_known

DATA_LAYERS = ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData")
_LABELLED = ("Data", "ImageData", "MemoryData", "WindowData")  # the first top is the image, the second its label
_HEADS = {"SoftmaxWithLoss": "Softmax", "InfogainLoss": "Softmax", "SigmoidCrossEntropyLoss": "Sigmoid"}
_SINKS = ("Silence", "HDF5Output")
_LEARNING = ("Convolution", "Deconvolution", "InnerProduct", "Embed", "LSTM", "RNN")


@dataclass(frozen=True)
class _Head:
    """A loss that becomes an activation: the loss layer's index, the logits, the activation's type, its own name."""

    layer: int
    logits: Top
    kind: str
    axis: int
    name: str | None


def is_loss(layer: LayerParameter) -> bool:
    """Whether a layer's top is a loss: Caffe's loss layers, other types named so, and Python layers with a weight."""
    return layer.type.endswith("Loss") or (layer.type == "Python" and any(layer.loss_weight))


def is_data(layer: LayerParameter) -> bool:
    """Whether a layer reads training data: it has no bottoms, and its content is not in the prototxt."""
    return layer.type in DATA_LAYERS or (layer.type == "Python" and not layer.bottom and not is_loss(layer))


def is_training_net(net: NetParameter) -> bool:
    """Whether there is anything to derive: a data layer, a loss or an Accuracy."""
    return any(is_data(layer) or is_loss(layer) or layer.type == "Accuracy" for layer in net.layer)


def inference_part(net: NetParameter, unfiltered: NetParameter, source: object) -> tuple[NetParameter, list[str]]:
    """The part of `net` (upgraded, filtered) that inference needs, with data layers as they are; and notes on it.

    `unfiltered` has the layers of other phases too: the loss on logits that the TEST phase only measures accuracy of.
    Raises NetworkError as trace_flow does.
    """
    if not is_training_net(net):
        return net, []
    flow = trace_flow(net, source, unfiltered)
    ends = {index for index, layer in enumerate(net.layer) if _is_end(layer)}
    judged = _judged(flow, ends)
    auxiliary = _auxiliary(flow, judged)
    predictions = {top for index, tops in judged.items() if index not in auxiliary for top in tops}
    loose = {top for top in flow.unread() if top.layer not in ends and not is_data(flow.layer(top))}
    outputs = _about_images(flow, predictions | loose)
    live = _ancestors(flow, outputs)
    heads = _heads(flow, judged, auxiliary, live, outputs, unfiltered)
    notes = [_auxiliary_note(flow, index, judged[index], live) for index in sorted(auxiliary)]
    notes += _foreign_notes(flow, judged, live, outputs, heads)
    return _assemble(flow, live, outputs, heads), notes


def _is_end(layer: LayerParameter) -> bool:
    return is_loss(layer) or layer.type == "Accuracy" or layer.type in _SINKS


def _judged(flow: Flow, ends: Iterable[int]) -> dict[int, list[Top]]:
    """For each loss and Accuracy the tops that it judges (not the labels that it judges them by)."""
    judged = {}
    for index in ends:
        layer, bottoms = flow.net.layer[index], flow.bottoms[index]
        if layer.type in ("Accuracy", "MultinomialLogisticLoss", "HingeLoss", *_HEADS):
            judged[index] = list(bottoms[:1])
        elif layer.type == "ContrastiveLoss":
            judged[index] = list(bottoms[:2])
        elif layer.type == "HDF5Output" or is_loss(layer):
            # Either bottom of a EuclideanLoss may be the target: it is the one that no layer learned.
            learned = [top for top in bottoms if _is_learned(flow, top)]
            judged[index] = learned or list(bottoms[:1])
    return judged


def _auxiliary(flow: Flow, judged: dict[int, list[Top]]) -> set[int]:
    """Losses, and the Accuracy layers on the same tops, whose label a loss of greater weight has too."""
    labels: dict[Top, float] = {}
    weights = {}
    for index in judged:
        layer, bottoms = flow.net.layer[index], flow.bottoms[index]
        if layer.type in _HEADS and len(bottoms) > 1:
            weights[index] = layer.loss_weight[0] if layer.loss_weight else 1.0
            labels[bottoms[1]] = max(labels.get(bottoms[1], 0.0), weights[index])
    losses = {index for index, weight in weights.items() if weight < labels[flow.bottoms[index][1]]}
    tops = {top for index in losses for top in judged[index]}
    main = {top for index in weights if index not in losses for top in judged[index]}
    return losses | {
        index
        for index, judged_tops in judged.items()
        if flow.net.layer[index].type == "Accuracy" and set(judged_tops) <= tops - main
    }


def _ancestors(flow: Flow, tops: Iterable[Top]) -> set[int]:
    """The layers that the tops are computed by."""
    ancestors: set[int] = set()
    waiting = [top.layer for top in tops]
    while waiting:
        index = waiting.pop()
        if index not in ancestors:
            ancestors.add(index)
            waiting += [top.layer for top in flow.bottoms[index]]
    return ancestors


def _is_learned(flow: Flow, top: Top) -> bool:
    return any(flow.net.layer[index].type in _LEARNING for index in _ancestors(flow, [top]))


def _sources(flow: Flow, top: Top) -> set[Top]:
    """The tops of layers without bottoms that a top depends on."""
    sources: set[Top] = set()
    seen: set[Top] = set()
    waiting = [top]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        if flow.bottoms[current.layer]:
            waiting += flow.bottoms[current.layer]
        else:
            sources.add(current)
    return sources


def _about_images(flow: Flow, tops: set[Top]) -> set[Top]:
    """Those of `tops` that depend on the same sources as the learned ones: a resized label is not an output."""
    learned = [top for top in tops if _is_learned(flow, top)]
    images = {source for top in learned or tops for source in _sources(flow, top)}
    images -= {top for top in images if flow.layer(top).type in _LABELLED and top.place > 0}
    return {top for top in tops if not _sources(flow, top) or _sources(flow, top) & images}


def _heads(
    flow: Flow,
    judged: dict[int, list[Top]],
    auxiliary: set[int],
    live: set[int],
    outputs: set[Top],
    unfiltered: NetParameter,
) -> list[_Head]:
    """The activations to add, one for each top that a loss with an activation of its own is on."""
    heads: dict[tuple[Top, str, int], _Head] = {}
    for index, tops in judged.items():
        layer = flow.net.layer[index]
        loss = layer
        if layer.type == "Accuracy":
            training_loss = _training_loss(flow.name(tops[0]), unfiltered) if tops else None
            if training_loss is None:
                continue
            loss = training_loss
        if index in auxiliary or loss.type not in _HEADS or not tops or tops[0] not in outputs:
            continue
        head = _head(index, tops[0], loss)
        activated = flow.layer(tops[0]).type in ("Softmax", "Sigmoid") or any(
            reader.layer in live and _same_activation(flow.net.layer[reader.layer], head)
            for reader in flow.readers[tops[0]]
        )
        key = (tops[0], head.kind, head.axis)
        if not activated and (key not in heads or heads[key].name is None):
            heads[key] = head
    return sorted(heads.values(), key=lambda head: head.layer)


def _head(index: int, logits: Top, loss: LayerParameter) -> _Head:
    kind = _HEADS[loss.type]
    axis = loss.infogain_loss_param.axis if loss.type == "InfogainLoss" else loss.softmax_param.axis
    return _Head(index, logits, kind, axis if kind == "Softmax" else 0, loss.top[1] if len(loss.top) > 1 else None)


def _same_activation(layer: LayerParameter, head: _Head) -> bool:
    return layer.type == head.kind and (head.kind != "Softmax" or layer.softmax_param.axis == head.axis)


def _training_loss(logits: str, unfiltered: NetParameter) -> LayerParameter | None:
    """The loss with an activation that another phase has on a blob of this name."""
    losses = (layer for layer in unfiltered.layer if layer.type in _HEADS and layer.bottom[:1] == [logits])
    return next(losses, None)


def _assemble(flow: Flow, live: set[int], outputs: set[Top], heads: list[_Head]) -> NetParameter:
    """The live layers, heads in place of their losses; a Silence reads the tops that only removed layers read."""
    net = NetParameter()
    net.CopyFrom(flow.net)
    net.ClearField("layer")
    used_names = {name for index in live for name in flow.net.layer[index].top}
    by_place = {head.layer: head for head in heads}
    unwanted: list[str] = []
    for index, layer in enumerate(flow.net.layer):
        if index in by_place:
            head = by_place[index]
            name = _head_name(flow.name(head.logits), head, len(heads), used_names)
            used_names.add(name)
            added = net.layer.add(name=name, type=head.kind, bottom=[flow.name(head.logits)], top=[name])
            if head.kind == "Softmax" and head.axis != 1:
                added.softmax_param.axis = head.axis
        elif index in live:
            kept = net.layer.add()
            kept.CopyFrom(layer)
            tops = [Top(index, place) for place in range(len(layer.top))]
            dead = [top for top in tops if top not in outputs and not _is_read(flow, top, live, heads)]
            if is_data(layer) or layer.type in ("Input", "DummyData"):
                _keep_tops(kept, [top.place for top in tops if top not in dead])
            else:
                unwanted += [flow.name(top) for top in dead]
    if unwanted:
        net.layer.add(name="unwanted", type="Silence", bottom=unwanted)
    return net


def _keep_tops(layer: LayerParameter, places: Sequence[int]) -> None:
    """Keep only the tops at `places` of a source layer, and their entries of its lists per top."""
    dummy = layer.dummy_data_param
    lists: list[Any] = [layer.top]
    lists += [layer.input_param.shape] if layer.type == "Input" else []
    if layer.type == "DummyData":
        lists += [dummy.data_filler, dummy.shape, dummy.num, dummy.channels, dummy.height, dummy.width]
    count = len(layer.top)
    for values in lists:
        if len(values) == count > 1:
            for place in reversed(range(count)):
                if place not in places:
                    del values[place]


def _is_read(flow: Flow, top: Top, live: set[int], heads: list[_Head]) -> bool:
    return any(reader.layer in live for reader in flow.readers[top]) or any(head.logits == top for head in heads)


def _head_name(logits: str, head: _Head, count: int, used_names: set[str]) -> str:
    wanted = [head.name, "prob" if count == 1 else None, f"{logits}_prob"]
    for name in wanted:
        if name and name not in used_names:
            return name
    number = 2
    while f"{logits}_prob{number}" in used_names:
        number += 1
    return f"{logits}_prob{number}"


def _auxiliary_note(flow: Flow, index: int, tops: Sequence[Top], live: set[int]) -> str:
    """A note on an auxiliary loss, or its Accuracy, that says which layers go with it."""
    layer = flow.net.layer[index]
    what = "accuracy of an auxiliary loss" if layer.type == "Accuracy" else "auxiliary loss"
    branch = [flow.net.layer[place] for place in sorted(_ancestors(flow, tops) - live)]
    names = ", ".join(repr(each.name) for each in branch)
    return _note(layer, f"{what}: left out" + (f" with its branch (layers {names})" if branch else ""))


def _foreign_notes(
    flow: Flow, judged: dict[int, list[Top]], live: set[int], outputs: set[Top], heads: list[_Head]
) -> list[str]:
    """Notes on the layers that are left out and that Caffe 1.0 lacks: nothing is known of what they compute."""
    notes = []
    for index, layer in enumerate(flow.net.layer):
        if index in live or (is_known(layer) and layer.type != "Python"):
            continue
        if is_loss(layer):
            blobs = [flow.name(top) for top in judged[index] if top in outputs and not _is_read(flow, top, live, heads)]
            text = "not a loss of Caffe 1.0: left out"
            text += "".join(f"; the blob {blob!r} that it evaluates is an output as it is" for blob in blobs)
            notes.append(_note(layer, text))
        elif layer.type != "Python":
            notes.append(_note(layer, "not a layer of Caffe 1.0: left out, since no output needs it"))
    return notes


def _note(layer: LayerParameter, text: str) -> str:
    return f"layer {layer.name!r} ({layer.type}): {text}"
