"""Where the time goes: seconds per node of the optimized graph, from ONNX Runtime's own profiler."""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from inferkit.backends.base import Feeds
from inferkit.backends.onnxruntime.model import build_session
from inferkit.backends.onnxruntime.session import OnnxSession
from inferkit.backends.onnxruntime.settings import Settings
from inferkit.errors import BackendError
from inferkit.network.network import Network


@dataclass(frozen=True)
class NodeTime:
    """One node of the optimized graph: its name, its operator and the median seconds of its kernel."""

    node: str
    op: str
    seconds: float


def profile_nodes(network: Network, images: Feeds, settings: Settings, max_batch: int, runs: int) -> list[NodeTime]:
    """Run a batch `runs` times (and twice before, uncounted) under the profiler. BackendError if its file is unlike
    what is known of it."""
    if runs < 1:
        raise BackendError(f"a profile of {runs} runs has no times; ask for at least 1")
    with tempfile.TemporaryDirectory(prefix="inferkit-profile-") as folder:
        runtime = build_session(network, settings, profile=Path(folder, "profile")).session
        with OnnxSession(network, runtime, settings, max_batch, lambda: 0) as session:
            session.load(images)
            for _ in range(runs + 2):
                session.execute()
        text = Path(runtime.end_profiling()).read_text(encoding="utf-8")
    return read_profile(text, runs)


def read_profile(text: str, runs: int) -> list[NodeTime]:
    """The medians over the last `runs` times of each node in a profile file, in the order of execution."""
    times: dict[str, list[float]] = {}
    ops: dict[str, str] = {}
    try:
        for event in json.loads(text):
            name = event.get("name", "")
            if event.get("cat") == "Node" and name.endswith("_kernel_time"):
                node = name.removesuffix("_kernel_time")
                times.setdefault(node, []).append(event["dur"] / 1e6)  # the profiler counts microseconds
                ops[node] = event["args"]["op_name"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(f"ONNX Runtime's profile cannot be read: {error!r}") from error
    return [NodeTime(node, ops[node], statistics.median(found[-runs:])) for node, found in times.items()]
