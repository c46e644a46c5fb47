"""What a node computes beside what it learned: its attributes and constants as text, whatever tensors are called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

_SHOWN = 8  # values of a tensor or a list that are shown; of a longer one the digest is


class NodeTexts:
    """The texts of one model's nodes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._versions = {_domain(each.domain): each.version for each in model.opset_import}
        self._functions = {(_domain(each.domain), each.name): each for each in model.functions}

    def attributes(self, node: onnx.NodeProto, source: Callable[[str], str]) -> tuple[tuple[str, str], ...]:
        """Name and text of every attribute, defaults included. `source` says what makes a tensor of its graph."""
        stated = {each.name: each for each in (*self._defaults(node), *node.attribute)}
        texts = {name: self._attribute(each, source) for name, each in stated.items()}
        domain = _domain(node.domain)
        if domain:
            texts["domain"] = domain
        function = self._functions.get((domain, node.op_type))
        if function is not None:
            texts["function"] = self._body(function.node, function.input, function.output, {}, str)
        return tuple(sorted(texts.items()))

    def _defaults(self, node: onnx.NodeProto) -> Iterable[onnx.AttributeProto]:
        from onnx import defs

        domain = _domain(node.domain)
        try:
            schema = defs.get_schema(node.op_type, self._versions.get(domain, 1), domain)
        except defs.SchemaError:  # an operator of somebody else's
            return ()
        defaults = (each.default_value for each in schema.attributes.values())
        return [each for each in defaults if each.type]

    def _attribute(self, attribute: onnx.AttributeProto, source: Callable[[str], str]) -> str:
        from onnx import helper

        if attribute.ref_attr_name:  # in a function: what its caller states
            return f"@{attribute.ref_attr_name}"
        graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
        if graphs:
            return ", ".join(self._graph(graph, source) for graph in graphs)
        return _value_text(helper.get_attribute_value(attribute))

    def _graph(self, graph: onnx.GraphProto, source: Callable[[str], str]) -> str:
        constants = {tensor.name: tensor_text(tensor) for tensor in graph.initializer}
        outputs = [value.name for value in graph.output]
        return self._body(graph.node, [value.name for value in graph.input], outputs, constants, source)

    def _body(
        self,
        nodes: Iterable[onnx.NodeProto],
        inputs: Sequence[str],
        outputs: Sequence[str],
        constants: Mapping[str, str],
        outer: Callable[[str], str],
    ) -> str:
        """A digest of what a subgraph or a function computes: its tensors go by their places, not by their names."""
        tensors = {name: f"input {place}" for place, name in enumerate(inputs)} | dict(constants)

        def source(name: str) -> str:
            return tensors[name] if name in tensors else outer(name)

        content: list[Any] = []
        for number, node in enumerate(nodes):
            content.append((node.op_type, self.attributes(node, source), [source(name) for name in node.input]))
            tensors.update({name: f"node {number}, output {place}" for place, name in enumerate(node.output) if name})
        content.append([source(name) for name in outputs])
        return _hash(repr(content).encode())


def tensor_text(tensor: onnx.TensorProto) -> str:
    """Type, shape and values, or their digest where there are many; the tensor's name is no part of it."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    sizes = "×".join(map(str, values.shape))
    if values.size > _SHOWN:
        return f"{values.dtype} {sizes} {digest_of([tensor])[:12]}"
    shown = ", ".join(map(str, values.ravel()))
    if values.ndim == 0:
        return f"{values.dtype} {shown}"
    return f"{values.dtype} [{shown}]" if values.ndim == 1 else f"{values.dtype} {sizes} [{shown}]"


def constant_text(node: onnx.NodeProto) -> str:
    """What a Constant node makes."""
    from onnx import helper

    return ", ".join(_value_text(helper.get_attribute_value(attribute)) for attribute in node.attribute)


def digest_of(tensors: Iterable[onnx.TensorProto]) -> str:
    """Of the values alone: a name or the way that they are stored makes no difference."""
    from onnx import numpy_helper

    content = hashlib.sha256()
    for tensor in tensors:
        values = numpy_helper.to_array(tensor)
        content.update(repr((tuple(values.shape), str(values.dtype))).encode())
        # Strings are Python objects, whose bytes would be addresses.
        content.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return content.hexdigest()[:16]


def _value_text(value: Any) -> str:
    import numpy as np
    import onnx

    if isinstance(value, onnx.TensorProto):
        return tensor_text(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float):
        return str(np.float32(value))  # attributes are single precision: 0.01, not 0.009999999776
    if isinstance(value, int):
        return str(value)
    if hasattr(value, "SerializeToString"):  # a type, or a sparse tensor
        return _hash(value.SerializeToString(deterministic=True))
    texts = [_value_text(each) for each in value]
    if len(texts) > _SHOWN:
        return f"{len(texts)} values {_hash(repr(texts).encode())}"
    return f"[{', '.join(texts)}]"


def _domain(name: str) -> str:
    """ONNX's own operators have two names for their domain."""
    return "" if name == "ai.onnx" else name


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
