"""Reads a network from its files and prepares it for conversion: upgraded, filtered, reduced to its inference part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inferkit.errors import NetworkError
from inferkit.network.caffe.files.read import CaffeModel, PathLike, read_caffemodel, read_prototxt
from inferkit.network.caffe.files.schema import TEST, NetParameter, Phase
from inferkit.network.caffe.files.weights import Weights
from inferkit.network.caffe.flow import Flow, trace_flow
from inferkit.network.caffe.prototxt.check import check_layers
from inferkit.network.caffe.prototxt.data_layers import inputs_for_data, shape_advice
from inferkit.network.caffe.prototxt.deploy import inference_part, is_data
from inferkit.network.caffe.prototxt.filter import filter_net
from inferkit.network.caffe.prototxt.upgrade import upgrade


@dataclass(frozen=True, eq=False)
class Definition:
    """A network in the current format, of one phase, every source an Input, Parameter or constant DummyData layer.

    `flow` says which layer reads what; `weights` gives learned blobs; `notes` the changes and Caffe's own
    warnings.
    """

    source: Path
    net: NetParameter
    flow: Flow
    weights: Weights
    notes: tuple[str, ...]


def define(
    prototxt: PathLike,
    caffemodel: PathLike | None = None,
    *,
    phase: int = TEST,
    level: int = 0,
    stages: Sequence[str] = (),
    input_shapes: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
) -> Definition:
    """Read a network's prototxt and trained weights, up to the conversion, which needs shapes.

    `phase`, `level` and `stages` choose among layers with include and exclude rules, as Caffe's own options do.
    `input_shapes` (batch first, by blob name, or one shape for the only input) replaces or supplies the shapes of
    inputs. Raises NetworkError for any defect of the files, naming file, place and reason.
    """
    source = Path(prototxt)
    written = read_prototxt(source)
    if input_shapes is not None and not isinstance(input_shapes, Mapping):
        input_shapes = {_only_input(written, source, phase, level, stages): input_shapes}
    shapes = {name: _checked(name, shape) for name, shape in (input_shapes or {}).items()}
    if written.input and not written.input_shape and not written.input_dim:
        _complete_bare_inputs(written, shapes, _filtered(written, source, phase, level, stages), source)
    notes = upgrade(written, source)
    model = read_upgraded(caffemodel) if caffemodel is not None else None
    filtered = filter_net(written, source, phase=phase, level=level, stages=stages)
    if not filtered.layer:
        raise NetworkError(f"{source}: no layer belongs to the {Phase.Name(phase)} phase{_state(level, stages)}")
    check_layers(filtered, source)
    net, derived = inference_part(filtered, written, source)
    if not net.layer:
        raise NetworkError(f"{source}: no layer remains without data layers, losses and Accuracy")
    net, inputs = inputs_for_data(net, source, model, shapes)
    net = _with_input_shapes(net, shapes, source)
    flow = trace_flow(net, source, written)
    all_notes = (*notes, *(f"{source}: {note}" for note in derived + inputs))
    return Definition(source, net, flow, Weights(net, model, source), all_notes)


def read_upgraded(path: PathLike) -> CaffeModel:
    """A caffemodel in the current format. Raises NetworkError."""
    model = read_caffemodel(path)
    upgrade(model.net, path)
    return model


def _checked(name: str, shape: Sequence[int]) -> list[int]:
    dims = [int(dim) for dim in shape]
    if any(dim <= 0 for dim in dims):
        raise NetworkError(f"input shape {list(shape)} of {name!r}: every dimension must be at least 1")
    return dims


def _only_input(written: NetParameter, source: Path, phase: int, level: int, stages: Sequence[str]) -> str:
    """The name of the network's input. NetworkError where it has several (labels aside) or none."""
    names = list(written.input)
    for layer in _filtered(written, source, phase, level, stages).layer:
        if layer.type == "Input":
            names += layer.top
        elif is_data(layer):
            names += layer.top[:1]
    inputs = list(dict.fromkeys(names))
    if len(inputs) != 1:
        raise NetworkError(
            f"{source}: one input shape is given for the inputs {', '.join(inputs) or '(none)'}; give shapes by name"
        )
    return inputs[0]


def _filtered(written: NetParameter, source: Path, phase: int, level: int, stages: Sequence[str]) -> NetParameter:
    """The layers of a state, `written` left as it is."""
    net = NetParameter()
    net.CopyFrom(written)
    upgrade(net, source)
    return filter_net(net, source, phase=phase, level=level, stages=stages)


def _state(level: int, stages: Sequence[str]) -> str:
    return f", level {level}, stages {list(stages)}" if level or stages else ""


def _complete_bare_inputs(
    written: NetParameter, shapes: Mapping[str, list[int]], filtered: NetParameter, source: Path
) -> None:
    """Old `input` fields without dimensions get them from the caller.

    As in Caffe such a field alone makes no blob: where a layer makes it (an Input layer of that name), or no layer
    reads it, the field is dropped. NetworkError for a blob that is read and has no shape.
    """
    made = {top for layer in filtered.layer for top in layer.top}
    read = {bottom for layer in filtered.layer for bottom in layer.bottom}
    names = [name for name in written.input if name in shapes or name in read]
    names = [name for name in names if name not in made or _reads_first(filtered, name)]
    missing = [name for name in names if name not in shapes]
    if missing:
        raise NetworkError(
            f"{source}: input {missing[0]!r} has no shape; write input_shape into the prototxt, or give it: "
            f"{shape_advice(missing[0])}"
        )
    written.ClearField("input")
    for name in names:
        written.input.append(name)
        written.input_shape.add().dim.extend(shapes[name])


def _reads_first(net: NetParameter, name: str) -> bool:
    """Whether the first layer that has the blob reads it: in place on an input, not the layer that makes it."""
    return next(name in layer.bottom for layer in net.layer if name in (*layer.bottom, *layer.top))


def _with_input_shapes(net: NetParameter, shapes: Mapping[str, list[int]], source: Path) -> NetParameter:
    """`net` with the caller's shapes in its Input layers. NetworkError for a name that is no input."""
    inputs = {name for layer in net.layer if layer.type == "Input" for name in layer.top}
    unknown = sorted(set(shapes) - inputs)
    if unknown:
        raise NetworkError(f"{source} has no input {unknown[0]!r}; its inputs: {', '.join(sorted(inputs)) or 'none'}")
    changed = NetParameter()
    changed.CopyFrom(net)
    for layer in changed.layer:
        if layer.type == "Input" and shapes.keys() & set(layer.top):
            written = [list(shape.dim) for shape in layer.input_param.shape]
            if len(written) == 1:
                written *= len(layer.top)
            layer.input_param.ClearField("shape")
            for place, name in enumerate(layer.top):
                layer.input_param.shape.add().dim.extend(
                    shapes.get(name, written[place] if place < len(written) else [])
                )
    return changed
