"""The ONNX Runtime backend behind the common interface: what it can compute, and its engines."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from inferkit.backends.base import Availability, Backend, Engine, EngineInfo, Facts, Feeds, ReferenceNetwork, Session
from inferkit.backends.layer_table import LayerTable
from inferkit.backends.onnxruntime.integers import lower, worth_lowering
from inferkit.backends.onnxruntime.layers import onnx_layers
from inferkit.backends.onnxruntime.lrn import replace_lrn
from inferkit.backends.onnxruntime.model import BuiltSession, build_session, warm_session
from inferkit.backends.onnxruntime.profile import NodeTime, profile_nodes
from inferkit.backends.onnxruntime.session import Arrays, OnnxSession
from inferkit.backends.onnxruntime.settings import Settings
from inferkit.errors import BackendError, BackendUnavailable
from inferkit.network.network import Network

_ELSEWHERE = "run this case with tensorrt"
_EMULATE = f"{_ELSEWHERE}, or build with emulate=True for its accuracy (not its speed) on the CPU"
_HINTS = {"tf32": _ELSEWHERE, "bf16": _EMULATE, "fp8": _EMULATE}
# What ONNX Runtime's CPU provider lacks, as measured with 1.31: it loads no such graph, or loads one it cannot fuse.
_REASONS = {
    "tf32": "TF32 is a mode of NVIDIA's tensor cores; a CPU computes such a graph in FP32",
    "bf16": "ONNX Runtime has no BF16 arithmetic on the CPU",
    "fp8": "ONNX Runtime has no FP8 arithmetic on the CPU",
}
_NOTES = {"fp16": "ONNX Runtime's CPU kernels are mostly FP32: it puts casts around them and drops those in between"}


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime's CPU provider. Options of `build`: the fields of Settings, `warm_start`, `emulate`, `integers`.

    `warm_start` (True, or a folder) keeps the optimized model for the next process. `emulate` runs FP16, BF16 and
    FP8 as FP32 with every value rounded to the type: right in accuracy, meaningless in speed.
    `integers` rewrites INT8 graphs for the integer kernels (integers.py); without it ONNX Runtime fuses what it can.
    """

    name = "onnxruntime"
    precisions = ("fp32", "fp16", "int8")
    facts = Facts(
        # Small layers that wait for each other: a CPU that slows down shows in them.
        reference=ReferenceNetwork("reference-2"),
        memory_reference=ReferenceNetwork("memory-1"),
        computes_in_fp32=("fp16",),
        emulates=("bf16", "fp8"),
        build_settings=("warm_start", "emulate", "integers", *Settings.__dataclass_fields__),
        session_settings=tuple(Settings.__dataclass_fields__),
        path_settings=("warm_start",),
    )

    def availability(self, precision: str = "fp32") -> Availability:
        try:
            import onnxruntime as ort
        except Exception as error:  # a broken installation fails in any way it likes
            return Availability(False, f"import onnxruntime fails: {error}", "pip install onnxruntime")
        if precision not in self.precisions:
            reason = _REASONS.get(precision, f"there is no precision {precision}")
            return Availability(False, reason, _HINTS.get(precision, ""), ort.__version__)
        return Availability(True, version=ort.__version__)

    def build(
        self,
        network: Network,
        max_batch: int,
        *,
        warm_start: bool | str | Path = False,
        emulate: bool = False,
        integers: bool = True,
        **options: Any,
    ) -> OnnxEngine:
        if max_batch < 1:
            raise BackendError(f"max_batch is {max_batch}; a batch holds at least one image")
        for info in network.inputs:
            if info.batch is not None and info.batch > max_batch:
                raise BackendError(
                    f"input {info.name!r} of {network.name} takes exactly {info.batch} images; "
                    f"build for max_batch={info.batch}, or give the model a dynamic batch dimension"
                )
        found = self.availability("fp32" if emulate else network.precision)
        if not found.ok:
            raise BackendUnavailable(found.reason, found.hint)
        before, start = _resident(), time.perf_counter()
        graph, settings, details = _graph_for(network, _settings(options), emulate, integers)
        spent = time.perf_counter() - start
        if warm_start:
            built = warm_session(graph, settings, None if warm_start is True else Path(warm_start), spent)
            details |= {"from_cache": built.from_cache, "optimized_bytes": built.stored_bytes}
        else:
            built = build_session(graph, settings, spent=spent)
        known = EngineInfo(
            "onnxruntime",
            network.precision,
            max_batch,
            graph.model.ByteSize(),
            built.build_seconds,
            version=found.version,
            details=details,
            network=network.name,
        )
        return OnnxEngine(network, known, graph, settings, {settings: built}, before)

    def probe(self, network: Network, max_batch: int) -> Session:
        """Node by node: fusing would keep the values and round elsewhere. What a CPU lacks is rounded in FP32."""
        emulate = network.precision in self.facts.emulates
        return self.build(network, max_batch, optimization="none", integers=False, emulate=emulate).session()


@dataclass(frozen=True, eq=False)
class OnnxEngine(Engine):
    """An optimized graph in memory. Sessions of the same settings share it; other settings build it once more."""

    network: Network
    info: EngineInfo
    graph: Network
    settings: Settings
    _built: dict[Settings, BuiltSession] = field(repr=False)
    _resident_before: int = 0

    def session(self, **settings: Any) -> OnnxSession:
        """Open a session; `settings` are fields of Settings that shall differ from the engine's own."""
        chosen = _settings(settings, self.settings)
        if chosen not in self._built:
            self._built[chosen] = build_session(self.graph, chosen)

        def layers(images: Arrays, runs: int) -> LayerTable:
            """The model is opened once more, with ONNX Runtime's profiler on."""
            return onnx_layers(profile_nodes(self.graph, images, chosen, self.info.max_batch, runs), self.network)

        runtime = self._built[chosen].session
        return OnnxSession(self.graph, runtime, chosen, self.info.max_batch, self._memory, layers)

    def profile(self, images: Feeds, *, runs: int = 5, **settings: Any) -> list[NodeTime]:
        """Median seconds of each node of the optimized graph over `runs` runs of one batch, in execution order.

        Profiling slows every node a little: compare profiles with profiles.
        """
        return profile_nodes(self.graph, images, _settings(settings, self.settings), self.info.max_batch, runs)

    def _memory(self) -> int:
        return max(0, _resident() - self._resident_before)


def _settings(options: dict[str, Any], base: Settings | None = None) -> Settings:
    try:
        return replace(base or Settings(), **options)
    except TypeError as error:
        known = ", ".join(Settings.__dataclass_fields__)
        raise BackendError(f"onnxruntime has no such setting: {', '.join(sorted(options))}; it has {known}") from error


def _graph_for(
    network: Network, settings: Settings, emulate: bool, integers: bool
) -> tuple[Network, Settings, dict[str, Any]]:
    """The graph that ONNX Runtime is given for a network, the settings it needs, and what is worth knowing of it."""
    details: dict[str, Any] = {"threads": settings.intra_op, "optimization": settings.optimization}
    if emulate and network.precision in ("fp16", "bf16", "fp8"):
        details["emulated"] = True
        from inferkit.precision.emulation import emulated

        return emulated(network), settings, details
    if network.precision in _NOTES:
        details["note"] = _NOTES[network.precision]
    model = network.model
    if integers and settings.fuse_quantized and worth_lowering(model):
        lowered = lower(model)
        details |= {"integer_layers": lowered.integer_layers, "float_layers": lowered.float_layers}
        if lowered.integer_layers:
            model, settings = lowered.model, replace(settings, fuse_quantized=False)
    if settings.optimization != "none":
        model = replace_lrn(model)
    return network if model is network.model else replace(network, model=model), settings, details


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


BACKEND = OnnxRuntimeBackend()
