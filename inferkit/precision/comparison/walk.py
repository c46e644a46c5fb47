"""Runs base and head side by side in ONNX Runtime, and hands over each tensor that both compute."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from inferkit.errors import PrecisionError
from inferkit.network.random_inputs import DRAWING
from inferkit.precision.comparison.branches import forced, taken, ways
from inferkit.precision.comparison.tensors import Tensor, common_tensors, last_uses, reads, upstream
from inferkit.precision.emulation import emulate
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.running import declared, is_array, run, run_part
from inferkit.precision.rewrite.value_types import ValueType

_HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# So many nodes of base are run at a time, at first and at most; few where they make tensors of many bytes.
_BLOCK = (4, 48)
_BLOCK_BYTES = 256 << 20
# Half constants of more values are widened once, and fed.
_FED = 4096

Values = Mapping[str, NDArray[Any]]


class Walk:
    """Two graphs on the same inputs. `values`: base's tensors that are still needed, by name.

    Head's half and FP8 values are computed as `precision` is emulated: ONNX Runtime lacks most kernels, and computes
    FP16 without the rounding between layers that overflows on a GPU.
    """

    def __init__(self, base: Graph, head: Graph, feeds: Values, precision: str = "fp32") -> None:
        self.base, self.head, self.precision = base, head, precision
        self.values: dict[str, NDArray[Any]] = dict(feeds)
        self._unknown: set[str] = set()
        self._widened: dict[str, NDArray[Any]] = {}  # half constants of head as float32, for the tensor at hand
        self._refused: list[onnx.NodeProto] = []

    @cached_property
    def types(self) -> dict[str, ValueType]:
        """The types of head's tensors."""
        return self.head.types()

    def run(self, compare: Callable[[Tensor], None]) -> tuple[str, ...]:
        """Compute base node by node, and call `compare` for every tensor as soon as head can compute it.

        Returns a note where nodes could not be compared, because ONNX Runtime cannot run them.
        """
        order = self.base.sorted_nodes()
        due = common_tensors(self.base, order, self.head)
        ended = last_uses(order, due)
        start, size = 0, _BLOCK[0]
        while start < len(order):
            stop = min(start + size, len(order))
            self._run_block(order[start:stop])
            largest = max((self.values[n].nbytes for n in _outputs(order[start:stop]) if n in self.values), default=0)
            for number in range(start, stop):
                for tensor in due[number]:
                    if self._is_comparable(tensor):
                        self._guarded(compare, tensor)
                for name in ended[number]:
                    self.values.pop(name, None)
            start, size = stop, max(1, min(_BLOCK[1], _BLOCK_BYTES // max(1, largest)))
        return self._notes()

    def _notes(self) -> tuple[str, ...]:
        if not self._refused:
            return ()
        first = self._refused[0]
        more = f" and {len(self._refused) - 1} more" if len(self._refused) > 1 else ""
        return (
            f"node {first.name!r} ({first.op_type}){more}: ONNX Runtime cannot run it, so that it and what depends "
            "on it were not compared with the network before the rewriting",
        )

    def _run_block(self, block: list[onnx.NodeProto]) -> None:
        """Compute the outputs of some nodes together; one by one where ONNX Runtime refuses them."""
        outputs = _outputs(block)
        nodes, leaves = upstream(self.base, outputs, self.values.keys() | self._unknown)
        is_known = all(name in self.values for name in leaves)
        try:
            if is_known:
                results = run_part(self.base, nodes, {name: self.values[name] for name in leaves}, outputs)
                self.values.update({name: np.asarray(value) for name, value in results.items() if is_array(value)})
                return
        except Exception:  # ONNX Runtime's exceptions have no common class below Exception
            if len(block) == 1:
                self._refused.append(block[0])
        if len(block) == 1:
            self._unknown.update(outputs)
        else:
            for node in block:
                self._run_block([node])

    def _is_comparable(self, tensor: Tensor) -> bool:
        drawn = any(node.op_type in DRAWING for node in (tensor.node, *tensor.chain))
        return not drawn and all(name in self.values for name in (tensor.name, *tensor.leaves.values()))

    def _guarded(self, compare: Callable[[Tensor], None], tensor: Tensor) -> None:
        try:
            compare(tensor)
        except PrecisionError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions have no common class below Exception
            if type(error).__name__ != "NotImplemented":  # it lacks the kernel; other engines may have it
                raise PrecisionError(
                    f"node {tensor.node.name!r} ({tensor.node.op_type}): ONNX Runtime refuses its rewritten form: "
                    f"{error}"
                ) from error
            self._refused.append(tensor.node)
        finally:
            self._widened.clear()

    def is_unchanged(self, tensor: Tensor) -> bool:
        """Whether head computes a tensor by the very node and constants of base."""
        if len(tensor.chain) != 1 or self.base.opset != self.head.opset:
            return False
        node, constants = tensor.chain[0], self.base.constants
        return (
            node.SerializeToString(deterministic=True) == tensor.node.SerializeToString(deterministic=True)
            and all(self.head.constants.get(name) is constants.get(name) for name in reads(node))
            and not any(self.is_half(name) for name in (*reads(node), *node.output))
        )

    def is_half(self, name: str) -> bool:
        """Whether a tensor of head is of half precision."""
        return name in self.types and self.types[name].element in _HALF

    def _is_float(self, name: str) -> bool:
        return name in self.types and self.types[name].element in (TensorProto.FLOAT, *_HALF)

    def base_value(self, name: str) -> NDArray[Any] | None:
        """The value of a tensor or constant of base."""
        return self.values.get(name, self.base.array(name))

    def head_constant(self, name: str) -> NDArray[Any] | None:
        """The value of a constant of head, half as float32; None where it is none."""
        if name in self._widened:
            return self._widened[name]
        values = self.head.array(name)
        if values is not None and self.head.constants[name].data_type in _HALF:
            values = self._widened[name] = values.astype(np.float32)
        return values

    def head_values(
        self, tensor: Tensor, inner: Iterable[str] = (), way: Values | None = None
    ) -> dict[str, NDArray[Any]]:
        """What head makes of base's values: the tensor, and those named `inner` on the way to it; half as float32.

        `way`: the one to take through the branches of the tensor's node (branches.py).
        """
        if not tensor.chain:
            return {tensor.name: numpy_helper.to_array(self.head.constants[tensor.name])}
        # What head's nodes compute gets another name than base's value of the tensor, which other nodes read.
        own = {name: f"{name}/head" for node in tensor.chain for name in node.output if name in self.values}
        chain = tensor.chain if way is None else [forced(n) if n is tensor.twin else n for n in tensor.chain]
        nodes = [_with_outputs(node, own) for node in chain]
        feeds: dict[str, NDArray[Any]] = dict(way or {})
        for leaf, name in tensor.leaves.items():
            values = self.values[name]
            if self.is_half(leaf) and values.dtype == np.float32:
                feeds[f"{leaf}/base"] = values
                nodes.append(_cast(f"{leaf}/base", leaf, self.types[leaf].element))
            else:
                feeds[leaf] = values
        results = {tensor.name: own[tensor.name], **{name: name for name in inner if name != tensor.name}}
        for name, shown in results.items():
            if self._is_float(name):
                results[name] = f"{shown}/float"
                nodes.append(_cast(shown, results[name], TensorProto.FLOAT))
        fed = {name: feeds[name] for name in results.values() if name in feeds}
        wanted = [name for name in dict.fromkeys(results.values()) if name not in fed]
        part = self.head.part(nodes, [declared(name, values) for name, values in feeds.items()], wanted)
        halves = [name for name, tensor in part.constants.items() if tensor.data_type in _HALF]
        for name in [name for name in halves if prod(part.constants[name].dims) > _FED]:
            wide = self.head_constant(name)
            assert wide is not None
            part.inputs.append(declared(name, wide))
            feeds[name] = wide
            del part.constants[name]
        own_types = {shown: self.types[name] for name, shown in own.items() if name in self.types}
        emulate(part, self.precision, ChainMap(own_types, self.types))
        if self.precision == "fp8":
            part.prune()  # the codes of weights
        computed = {**run(part, feeds), **fed}
        return {name: np.asarray(computed[shown]) for name, shown in results.items()}

    def branches(self, tensor: Tensor) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
        """What base and head make of base's values on every way through the branches of a node: the way, base, head.

        A way that does not run in base, as it is not meant for these values, is left out.
        """
        if tensor.twin is None:
            return
        node = forced(tensor.node)
        known = {name: self.values[name] for name in reads(node) if name in self.values}
        for way in ways(tensor.node):
            used = {name: value for name, value in way.items() if name in reads(node)}
            try:
                expected = run_part(self.base, [node], {**known, **used}, [tensor.name])[tensor.name]
            except Exception:  # ONNX Runtime's exceptions have no common class below Exception
                continue
            if is_array(expected):
                yield taken(way), np.asarray(expected), self.head_values(tensor, way=used)[tensor.name]

    def explained(self, node: onnx.NodeProto, given: Mapping[int, NDArray[Any]]) -> list[NDArray[Any]]:
        """What a node of base makes of the values `given` for some of its inputs, by number."""
        names = {number: f"{node.name}/{number}" for number in given}
        feeds = {names[number]: values for number, values in given.items()}
        for name in reads(node):
            if name in self.values:
                feeds[name] = self.values[name]
        alone = onnx.NodeProto()
        alone.CopyFrom(node)
        for number, name in names.items():
            alone.input[number] = name
        used = set(reads(alone))
        outputs = [name for name in node.output if name]
        results = run_part(self.base, [alone], {name: v for name, v in feeds.items() if name in used}, outputs)
        return [np.asarray(results[name]) if name else np.empty(0) for name in node.output]


def _outputs(nodes: list[onnx.NodeProto]) -> list[str]:
    return [name for node in nodes for name in node.output if name]


def _with_outputs(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.output[:] = [names.get(name, name) for name in node.output]
    return copy


def _cast(source: str, result: str, element: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [result], result, to=element)
