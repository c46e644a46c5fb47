"""The output of every layer of a network: the graph with its inner blobs as outputs, run by a backend.

Layers keep the names of their blobs through every rewrite, so those of an FP32 graph, of its FP16 or INT8 rewrite and
of Caffe are matched by name. With its inner blobs as outputs a graph cannot be fused as it is for speed: what is seen
is what the graph says (INT8 with its Q/DQ pairs in floating point), not the rounding of a backend's fused kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from inferkit import backends
from inferkit.network.network import Network
from inferkit.precision.work.scope import scope_of

if TYPE_CHECKING:
    import onnx

    from inferkit.backends.base import Session

_FLOATS = (1, 10, 16)  # ONNX: float, float16, bfloat16
# Their outputs are the same values in another form, or of another layer.
_NO_LAYERS = ("QuantizeLinear", "DequantizeLinear", "Cast", "Identity", "Constant", "Shape")


class LayerProbe:
    """A session that gives every layer's blob that its backend can show. `kinds` are the operators of all of them, in
    the graph's order."""

    def __init__(self, session: Session, kinds: Mapping[str, str]) -> None:
        self.kinds = dict(kinds)
        self._session = session

    def run(self, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The blobs of one batch by name."""
        return self._session.run(images)

    def close(self) -> None:
        """Release the session."""
        self._session.close()


def layer_blobs(network: Network) -> dict[str, str]:
    """The floating-point blobs that layers compute from the input, and the operators that do, in the graph's order."""
    values = scope_of(network).values
    fed = {info.name for info in network.inputs}
    blobs = {}
    for node in network.model.graph.node:
        if not fed.intersection(node.input):
            continue
        fed.update(node.output)
        if node.op_type not in _NO_LAYERS and _kind(values.get(node.output[0])) in _FLOATS:
            blobs[node.output[0]] = node.op_type
    return blobs


def _kind(value: onnx.ValueInfoProto | None) -> int:
    return 0 if value is None else value.type.tensor_type.elem_type


def with_blobs(network: Network, names: Sequence[str]) -> Network:
    """The network with these blobs as its outputs, beside its own."""
    import onnx

    values = scope_of(network).values
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    present = {value.name for value in model.graph.output}
    for name in names:
        if name not in present:
            tensor = values[name].type.tensor_type
            dims = [None] * len(tensor.shape.dim) if tensor.HasField("shape") else None  # the first run tells
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, tensor.elem_type, dims))
    return network.with_model(model)


def open_probe(network: Network, backend: str, batch: int) -> LayerProbe:
    """A probe of `network` for batches up to `batch`. Raises the backend's errors, also where it cannot show what a
    precision computes blob by blob."""
    kinds = layer_blobs(network)
    return LayerProbe(backends.backend(backend).probe(with_blobs(network, list(kinds)), batch), kinds)
