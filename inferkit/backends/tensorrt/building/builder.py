"""From a network to a plan: parse, configure, build; whatever fails says what TensorRT logged and for which layer."""

from __future__ import annotations

import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from inferkit.backends.tensorrt.blobs import BlobCache
from inferkit.backends.tensorrt.building.batch_range import Profile
from inferkit.backends.tensorrt.building.monitor import monitor
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.backends.tensorrt.messages import Messages, captured_errors
from inferkit.backends.tensorrt.plan import Plan, PlanInfo, sha256
from inferkit.errors import BackendError
from inferkit.network.network import Network, TensorInfo
from inferkit.precision.comparison.check import require_same
from inferkit.precision.rewrite.feeds import random_feeds
from inferkit.precision.rewrite.fold import fold_constants
from inferkit.precision.rewrite.graph import Graph
from inferkit.precision.rewrite.nodes import attribute, set_attribute
from inferkit.progress import is_heard
from inferkit.version import __version__

# The study gave the builder 1 << 25 bytes of workspace, the usual figure of TensorRT 3. Recorded, not used: by default
# TensorRT decides, and takes what the GPU has.
WORKSPACE_OF_THE_STUDY = 1 << 25

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
    "FP8": "float8_e4m3fn",
}


@dataclass(frozen=True)
class BuildOptions:
    """How to build: the batches, the compute capabilities (RTX; none is portable) and the workspace in bytes."""

    profile: Profile
    targets: tuple[str, ...] = ()
    workspace: int | None = None


@dataclass(frozen=True, eq=False)
class BuiltPlan:
    """A plan, and what was logged while it was built."""

    plan: Plan
    messages: Messages


def build_plan(
    network: Network,
    flavour: Flavour,
    options: BuildOptions,
    *,
    gpu: Mapping[str, Any] | None = None,
    timings: BlobCache | None = None,
) -> BuiltPlan:
    """Build `network`, which is at its precision already, into a plan for `options`.

    `gpu` is recorded, and `timings` used and added to, by flavours that build for the GPU at hand. Raises BackendError
    with the messages that TensorRT logged and the layers they are about; UsageError for targets that the flavour does
    not know.
    """
    flavour.check_targets(options.targets)
    start = time.perf_counter()
    with flavour.recorder.capture() as messages:
        builder = _builder(flavour, messages)
        # `model` and `parser` own weights that the builder reads: they stay alive until it is done.
        model = readable(network.model).SerializeToString()
        definition, parser = _parse(network, model, flavour, builder, messages)
        config = builder.create_builder_config()
        flavour.configure(
            config, tf32=network.precision == "tf32", workspace=options.workspace, targets=options.targets
        )
        _add_profile(network, options.profile, builder, config)
        watcher = monitor(flavour.module, network.name) if is_heard() else None  # lives as long as the build
        if watcher is not None:
            config.progress_monitor = watcher
        flavour.attach_timing(config, timings.read() if timings else None)
        content = _serialized(network, builder, definition, config, messages)
        if timings is not None:
            timings.update(lambda stored: flavour.merged_timing(config, stored))
        stated = {info.name: info for info in (*network.inputs, *network.outputs)}
        inputs = tuple(_info(definition.get_input(index), stated) for index in range(definition.num_inputs))
        outputs = tuple(_info(definition.get_output(index), stated) for index in range(definition.num_outputs))
        del parser
    seconds = time.perf_counter() - start
    info = PlanInfo(
        flavour=flavour.name,
        version=flavour.version,
        network=network.name,
        network_digest=network.digest,
        precision=network.precision,
        calibration=network.calibration,
        inputs=inputs,
        outputs=outputs,
        profile=(options.profile.minimum, options.profile.optimum, options.profile.maximum),
        static=options.profile.static,
        targets=options.targets,
        gpu=None if flavour.builds_without_gpu else gpu,
        tf32=network.precision == "tf32",
        workspace_bytes=options.workspace,
        build_seconds=seconds,
        size_bytes=len(content),
        sha256=sha256(content),
        inferkit=__version__,
        warnings=(*flavour.caveats(network.precision), *messages.warnings),
    )
    return BuiltPlan(Plan(content, info), messages)


def _builder(flavour: Flavour, messages: Messages) -> Any:
    try:
        return flavour.module.Builder(flavour.logger)
    except (TypeError, RuntimeError) as error:  # pybind11: the factory returned a null pointer
        raise BackendError(f"{flavour} cannot start its builder{messages.because()} ({error})") from error


def _parse(network: Network, model: bytes, flavour: Flavour, builder: Any, messages: Messages) -> tuple[Any, Any]:
    definition = flavour.create_network(builder)
    definition.name = network.name
    parser = flavour.module.OnnxParser(definition, flavour.logger)
    if not parser.parse(model) or parser.num_errors:
        raise BackendError(f"{flavour} cannot parse {network.name}: {captured_errors(messages, parser)}")
    return definition, parser


def _add_profile(network: Network, profile: Profile, builder: Any, config: Any) -> None:
    open_inputs = [info for info in network.inputs if None in info.shape]
    if not open_inputs:
        return
    optimization = builder.create_optimization_profile()
    for info in open_inputs:
        try:
            optimization.set_shape(info.name, *profile.shapes(info))
        except (ValueError, RuntimeError) as error:
            raise BackendError(
                f"input {info.name!r} of {network.name}: TensorRT refuses its batches ({error})"
            ) from error
    if config.add_optimization_profile(optimization) < 0:
        raise BackendError(f"TensorRT refuses the batches {profile.as_list()} for {network.name}")


def _serialized(network: Network, builder: Any, definition: Any, config: Any, messages: Messages) -> bytes:
    serialized = builder.build_serialized_network(definition, config)
    if serialized is None:
        raise BackendError(f"the engine of {network.name} at {network.precision} cannot be built{messages.because()}")
    content = bytes(serialized)
    if not content:
        raise BackendError(f"TensorRT built an empty engine of {network.name}{messages.because()}")
    return content


def _info(tensor: Any, stated: Mapping[str, TensorInfo]) -> TensorInfo:
    """Type and shape as TensorRT has them; names of dimensions and the batch's axis as the network states them."""
    dtype = tensor.dtype.name
    shape = tuple(None if dim < 0 else int(dim) for dim in tensor.shape)
    info = stated[tensor.name]
    # An open first dimension that nothing else explains is tried as the batch: the executor compares the shapes.
    axis = 0 if info.batch_axis is None and shape[:1] == (None,) else info.batch_axis
    return TensorInfo(tensor.name, _DTYPES.get(dtype, dtype.lower()), shape, info.axes, axis)


def readable(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, or where the parser would refuse it another that computes the same; `model` itself is untouched.

    The letters of an Einsum become lower case, without spaces. Weights that are normalized in the graph (by a
    BatchNormalization in training mode, as exporters write weight standardization) are computed ahead. PrecisionError,
    with the first node, where the other model would compute something else.
    """
    changed = _in_dialect(model)
    base = Graph(model) if changed is not model else None
    feeds = random_feeds(base) if base is not None else None
    if base is not None and feeds is not None:
        what = f"writing {model.graph.name!r} as TensorRT's parser reads it"
        require_same(base, Graph(changed), feeds, what, "export the model with its weights as constants")
    return changed


def _in_dialect(model: onnx.ModelProto) -> onnx.ModelProto:
    nodes = model.graph.node
    if any(node.op_type == "BatchNormalization" and attribute(node, "training_mode", 0) for node in nodes):
        graph = Graph(model)
        fold_constants(graph)
        graph.prune()
        model = graph.model()
    if any(_plain(node) != attribute(node, "equation") for node in model.graph.node if node.op_type == "Einsum"):
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for node in changed.graph.node:
            if node.op_type == "Einsum":
                set_attribute(node, "equation", _plain(node))
        return changed
    return model


def _plain(einsum: onnx.NodeProto) -> str:
    """Its equation with the letters a, b, c, … in the order in which they come; as it is where these do not suffice."""
    equation = str(attribute(einsum, "equation", "")).replace(" ", "")
    letters = list(dict.fromkeys(letter for letter in equation if letter.isalpha()))
    if "->" not in equation:
        letters.sort()  # the result's axes are in the order of the alphabet, capital letters first
    if equation.islower() or len(letters) > len(string.ascii_lowercase):
        return equation
    return equation.translate({ord(old): new for old, new in zip(letters, string.ascii_lowercase, strict=False)})
