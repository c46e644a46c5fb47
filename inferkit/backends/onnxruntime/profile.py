"""Where the time goes: seconds per node of the optimized graph, from ONNX Runtime's own profiler."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from inferkit.backends.base import Feeds
from inferkit.backends.onnxruntime.model import build_session
from inferkit.backends.onnxruntime.session import OnnxSession
from inferkit.backends.onnxruntime.settings import OPTIMIZED, Settings
from inferkit.errors import BackendError
from inferkit.network.network import Network

# What the profiler calls the types that layers compute in.
_PRECISIONS = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "uint8": "int8", "double": "fp64"}

_WARM_UP_SECONDS, _MOST_WARM_UP = 0.05, 400  # runs are in the profiler's file too, which must not become long


@dataclass(frozen=True)
class NodeTime:
    """One node of the optimized graph: name, operator, median seconds of its kernel, and the type of its first input.

    `precision` is as inferkit calls it (fp32, int8), empty where the profiler does not tell. `inputs` and `outputs` are
    the tensors' names in the optimized graph; empty for a node that is in the body of another.
    """

    node: str
    op: str
    seconds: float
    precision: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def profile_nodes(network: Network, images: Feeds, settings: Settings, max_batch: int, runs: int) -> list[NodeTime]:
    """Run a batch `runs` times under the profiler, and before that, uncounted, until the threads are awake.

    BackendError if the profiler's file is unlike what is known of it.
    """
    if runs < 1:
        raise BackendError(f"a profile of {runs} runs has no times; ask for at least 1")
    network = _told_apart(network)
    with tempfile.TemporaryDirectory(prefix="inferkit-profile-") as folder:
        runtime = build_session(network, settings, profile=Path(folder)).session
        optimized = _nodes(Path(folder, OPTIMIZED))
        with OnnxSession(network, runtime, settings, max_batch, lambda: 0) as session:
            session.load(images)
            _wake(session)
            for _ in range(runs):
                session.execute()
        text = Path(runtime.end_profiling()).read_text(encoding="utf-8")
    return [
        replace(time, inputs=tuple(node.input), outputs=tuple(node.output))
        if (node := optimized.get(time.node)) is not None
        else time
        for time in read_profile(text, runs)
    ]


def _nodes(path: Path) -> dict[str, onnx.NodeProto]:
    """The nodes of the optimized graph; none where it was not stored."""
    if not path.exists():
        return {}
    return {node.name: node for node in onnx.load_model_from_string(path.read_bytes()).graph.node}


def _wake(session: OnnxSession) -> None:
    """Threads of the pool join in only after milliseconds: until then a layer takes up to twice its time."""
    began = time.perf_counter()
    for number in range(_MOST_WARM_UP):
        session.execute()
        if number and time.perf_counter() - began > _WARM_UP_SECONDS:
            break


def _told_apart(network: Network) -> Network:
    """Every node with a name, since the profiler knows them by it: those without are named by what they make.

    Most models have names already and are not copied. ONNX Runtime itself refuses a name that two nodes have.
    """
    if all(node.name for node in network.model.graph.node):
        return network
    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    for node in model.graph.node:
        node.name = node.name or next((name for name in node.output if name), "")
    return replace(network, model=model)


def read_profile(text: str, runs: int) -> list[NodeTime]:
    """The medians over the last `runs` times of each node in a profile file, in the order of execution."""
    times: dict[str, list[float]] = {}
    ops: dict[str, str] = {}
    types: dict[str, str] = {}
    try:
        for event in json.loads(text):
            name = event.get("name", "")
            if event.get("cat") == "Node" and name.endswith("_kernel_time"):
                node = name.removesuffix("_kernel_time")
                times.setdefault(node, []).append(event["dur"] / 1e6)  # the profiler counts microseconds
                ops[node] = event["args"]["op_name"]
                types[node] = _precision(event["args"].get("input_type_shape") or [])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(f"ONNX Runtime's profile cannot be read: {error!r}") from error
    return [NodeTime(node, ops[node], statistics.median(found[-runs:]), types[node]) for node, found in times.items()]


def _precision(inputs: list[dict[str, list[int]]]) -> str:
    kind = next(iter(inputs[0]), "") if inputs else ""
    return _PRECISIONS.get(kind, kind)
