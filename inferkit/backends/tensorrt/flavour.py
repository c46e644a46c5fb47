"""Which TensorRT: the one class that knows how `tensorrt` 10 and 11 and `tensorrt_rtx` 1.x differ.

Facts about versions (what was removed, added, refused) were read off the bindings of tensorrt 10.0.1 to 11.4 and by
running tensorrt_rtx 1.4, 1.6 and 1.7; `tools/gpu/building/check_tensorrt_api.py` compares USED with the bindings of any
version.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from functools import cache
from importlib import import_module, metadata
from typing import Any

from inferkit.backends.tensorrt.device import mib
from inferkit.backends.tensorrt.messages import Recorder, make_logger
from inferkit.errors import BackendError, BackendUnavailable, EngineError, UsageError

FLAVOURS = ("tensorrt", "tensorrt_rtx")
CHOICE = "INFERKIT_TENSORRT"
_LOG = logging.getLogger("inferkit.tensorrt")

# What is used of each class, in both flavours and all their versions.
USED = {
    "Builder": ("create_network", "create_builder_config", "create_optimization_profile", "build_serialized_network"),
    "IBuilderConfig": (
        "set_memory_pool_limit", "set_flag", "clear_flag", "profiling_verbosity", "add_optimization_profile",
        "create_timing_cache", "set_timing_cache", "get_timing_cache", "progress_monitor",
    ),
    "INetworkDefinition": ("num_inputs", "get_input", "num_outputs", "get_output", "name"),
    "IOptimizationProfile": ("set_shape",),
    "OnnxParser": ("parse", "num_errors", "get_error"),
    "ParserError": ("code", "desc", "node", "node_name", "node_operator"),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype", "get_tensor_shape",
        "get_tensor_profile_shape", "create_execution_context", "create_engine_inspector", "num_layers",
    ),
    "IExecutionContext": (
        "set_input_shape", "set_tensor_address", "get_tensor_shape", "execute_async_v3", "profiler",
    ),
    "EngineInspector": ("execution_context", "get_engine_information"),
    "ITimingCache": ("combine", "serialize"),
    "IProfiler": ("report_layer_time",),
    "ILogger": ("log",),
    "IProgressMonitor": ("phase_start", "step_complete", "phase_finish"),
    "BuilderFlag": ("TF32",),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "MemoryPoolType": ("WORKSPACE",),
    "ProfilingVerbosity": ("DETAILED",),
    "LayerInformationFormat": ("JSON",),
    "TensorIOMode": ("INPUT",),
}  # fmt: skip
USED_OF_RTX = {
    "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
    "Runtime": ("get_engine_validity",),
    "ICudaEngine": ("create_runtime_config", "device_memory_size_v2"),
    "IRuntimeConfig": ("create_runtime_cache", "set_runtime_cache", "dynamic_shapes_kernel_specialization_strategy"),
    "IRuntimeCache": ("serialize", "deserialize"),
    "IExecutionContext": ("is_stream_capturable",),
    "ComputeCapability": ("CURRENT",),
    "DynamicShapesKernelSpecializationStrategy": ("EAGER", "LAZY", "NONE"),
    "EngineValidity": ("INVALID",),
}

# Bits of get_engine_validity's diagnostics, by EngineInvalidityDiagnostics' names.
_DIAGNOSTICS = {
    "VERSION_MISMATCH": "it was built by another version of TensorRT-RTX",
    "UNSUPPORTED_CC": "neither the engine nor this version is for this GPU's compute capability",
    "OLD_CUDA_DRIVER": "the NVIDIA driver is too old; update it",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old",
    "INSUFFICIENT_GPU_MEMORY": "the GPU has too little memory",
    "MALFORMED_ENGINE": "the plan is malformed",
    "CUDA_ERROR": "CUDA reported an error",
}

SPECIALIZATIONS = ("eager", "lazy", "none")


class Context:
    """An execution context, and the just-in-time cache that it was made with (RTX only)."""

    def __init__(self, context: Any, jit_cache: Any = None, jit_loaded: bool = False, config: Any = None) -> None:
        self.context = context
        self.jit_loaded = jit_loaded
        self._jit_cache = jit_cache
        self._config = config  # must outlive the context

    def jit_content(self) -> bytes | None:
        """The kernels compiled so far, serialized for the next process; None where the flavour has no such cache."""
        if self._jit_cache is None:
            return None
        serialized = self._jit_cache.serialize()
        return bytes(serialized) if serialized is not None else None


_TF32 = "NVIDIA_TF32_OVERRIDE"


class Flavour:
    """One imported TensorRT library. All branching on flavour and version is in this class."""

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.module = module
        self.version: str = module.__version__
        self.number = tuple(int(part) for part in re.findall(r"\d+", self.version)[:4])
        self.is_rtx = name == "tensorrt_rtx"
        self.recorder = Recorder()
        self.logger = make_logger(module, self.recorder)

    def __repr__(self) -> str:
        return f"{self.name} {self.version}"

    # What it can do

    def refusal(self, precision: str, capability: tuple[int, int] | None = None) -> str | None:
        """Why this version cannot build `precision`, or run it on a GPU of this compute capability; None if it can."""
        if self.is_rtx and precision == "int8" and self.number < (1, 7):
            return f"TensorRT-RTX {self.version} builds no INT8 convolutions"
        if self.is_rtx and precision == "fp8" and self.number < (1, 6):
            return f"TensorRT-RTX {self.version} crashes on FP8 convolutions"
        if capability is None:
            return None
        major, minor = capability
        if precision == "fp8" and capability < (8, 9):
            return f"FP8 needs compute capability 8.9 or newer, this GPU has {major}.{minor}"
        if self.is_rtx and self.number >= (1, 7) and f"SM{major}{minor}" not in self._capabilities():
            hopper = "; 1.6.1.120 runs there (pip install tensorrt-rtx-cu13==1.6.1.120)" if capability == (9, 0) else ""
            return (
                f"TensorRT-RTX {self.version} runs on compute capability "
                f"{', '.join(_dotted(name) for name in self._capabilities())}, this GPU has {major}.{minor}{hopper}"
            )
        if capability < ((7, 5) if self.is_rtx or self.number >= (10, 5) else (7, 0)):
            return f"{self} does not run on compute capability {major}.{minor}"
        return None

    def caveats(self, precision: str) -> tuple[str, ...]:
        """What a user of an engine of this precision must know, beyond what its name says."""
        if any(os.environ.get(name) != value for name, value in self.environment(precision).items()):
            return (
                f"TensorRT-RTX {self.version} computes FP32 in TF32 on compute capability 9.0, whatever its flag says; "
                "with NVIDIA_TF32_OVERRIDE=0 set before the process starts, for building and for running, it is "
                "strict, and many times slower",
            )
        if precision == "tf32" and os.environ.get(_TF32) == "0":
            return (f"{_TF32}=0 is in the environment: what is called TF32 is computed in FP32; unset it",)
        return ()

    def environment(self, precision: str) -> dict[str, str]:
        """What must be in a process's environment before it starts, for an engine of this precision to keep to it."""
        if self.is_rtx and precision == "fp32" and self.number < (1, 7):  # seen in 1.4 and 1.6
            return {_TF32: "0"}
        return {}

    @property
    def builds_without_gpu(self) -> bool:
        return self.is_rtx

    @property
    def cuda_major(self) -> int | None:
        """The CUDA major version that the installed libraries were built for, as their package's name says."""
        prefix = self.name + "_cu"
        for package in metadata.distributions():
            name = (package.metadata["Name"] or "").lower().replace("-", "_")
            found = re.match(rf"{re.escape(prefix)}(\d+)", name)
            if found:
                return int(found.group(1))
        return None

    # Building

    def create_network(self, builder: Any) -> Any:
        """A strongly typed network: types are the graph's, never the builder's choice."""
        flags = self.module.NetworkDefinitionCreationFlag
        # TensorRT-RTX and TensorRT 11 have no other kind and ignore the flag.
        return builder.create_network(1 << int(flags.STRONGLY_TYPED))

    def configure(self, config: Any, *, tf32: bool, workspace: int | None, targets: tuple[str, ...]) -> None:
        """Set what is asked for; `workspace` in bytes, None leaves TensorRT's own limit."""
        module = self.module
        config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
        (config.set_flag if tf32 else config.clear_flag)(module.BuilderFlag.TF32)
        if workspace is not None:
            config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, workspace)
        if targets:
            config.num_compute_capabilities = len(targets)
            for index, target in enumerate(targets):
                if not config.set_compute_capability(self._capability(target), index):
                    raise BackendError(f"{self} does not take the target {target}")

    def check_targets(self, targets: tuple[str, ...]) -> None:
        """UsageError for targets that this flavour cannot build for."""
        if targets and not self.is_rtx:
            raise UsageError(f"{self.name} builds for the GPU that it runs on: only TensorRT-RTX takes a target")
        if "current" in targets and len(targets) > 1:
            raise UsageError("the target 'current' stands alone")
        for target in targets:
            self._capability(target)

    def attach_timing(self, config: Any, stored: bytes | None) -> None:
        """Give the builder a timing cache, a new one if `stored` is None. TensorRT-RTX has none: a no-op there."""
        if self.is_rtx:
            return
        cache = config.create_timing_cache(stored or b"")
        if cache is None or not config.set_timing_cache(cache, False):
            # Garbage, or of another GPU or version: start anew rather than fail, it is only a cache.
            _LOG.warning("%s does not take the timings of earlier builds: they are timed again", self)
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def merged_timing(self, config: Any, stored: bytes | None) -> bytes | None:
        """After a build: its timings together with those that others stored meanwhile. None where there is no cache."""
        cache = None if self.is_rtx else config.get_timing_cache()
        if cache is None:
            return None
        other = config.create_timing_cache(stored) if stored else None
        if other is not None:
            cache.combine(other, False)
        return bytes(cache.serialize())

    # Running

    def refused_by_runtime(self, runtime: Any, plan: bytes) -> str | None:
        """Why this runtime would not load the plan on this GPU, as far as it can tell; None if nothing is wrong."""
        if not self.is_rtx:
            return None
        validity, diagnostics = runtime.get_engine_validity(plan)
        if validity != self.module.EngineValidity.INVALID:
            return None
        names = getattr(self.module, "EngineInvalidityDiagnostics", None)
        reasons = [
            text for name, text in _DIAGNOSTICS.items() if names and int(getattr(names, name, 0)) & int(diagnostics)
        ]
        return "; ".join(reasons) or "TensorRT-RTX calls it invalid and gives no reason"

    def deserialize(self, runtime: Any, plan: bytes) -> Any:
        """The engine of a plan. EngineError with the reason where TensorRT does not take it.

        The runtime is asked for its reason only after it refused: RTX 1.4 calls every engine invalid on compute
        capability 9.0, and yet runs it.
        """
        with self.recorder.capture() as messages:
            engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            reason = self.refused_by_runtime(runtime, plan)
            raise EngineError(f"{self} does not load this engine{': ' + reason if reason else messages.because()}")
        return engine

    def create_context(self, engine: Any, *, jit_cache: bytes | None, specialization: str) -> Context:
        """An execution context. `specialization` and `jit_cache` matter to TensorRT-RTX only, which compiles kernels
        at run time: `eager` compiles them for the shape at the first execution, so that nothing is swapped later.
        """
        with self.recorder.capture() as messages:
            if self.is_rtx:
                made = self._create_rtx_context(engine, jit_cache, specialization)
            else:
                made = Context(engine.create_execution_context())
        if made.context is None:
            size = self.device_memory(engine)
            raise BackendError(
                f"no execution context: TensorRT needs {mib(size)} of device memory for it beside the weights"
                f"{messages.because()}"
            )
        return made

    def _create_rtx_context(self, engine: Any, jit_cache: bytes | None, specialization: str) -> Context:
        if specialization not in SPECIALIZATIONS:
            raise UsageError(f"kernel specialization is one of {', '.join(SPECIALIZATIONS)}, not {specialization!r}")
        config = engine.create_runtime_config()
        strategies = self.module.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = getattr(strategies, specialization.upper())
        cache = config.create_runtime_cache()
        loaded = False
        if jit_cache:
            # False for a cache of another GPU, driver or version: compile anew.
            loaded = bool(cache.deserialize(jit_cache))
        config.set_runtime_cache(cache)
        return Context(engine.create_execution_context(config), cache, loaded, config)

    def capturable(self, context: Any, stream: int) -> bool | None:
        """What TensorRT says of capturing this context, None where it says nothing: told, not obeyed.

        TensorRT-RTX says yes only of engines built with REQUIRE_USER_ALLOCATION, which Polygraphy cannot
        run, and which end the process in 1.4 where the batch is open. What any engine allocates while it is captured
        is stream-ordered (anything else breaks the capture) and belongs to the graph; replay.py proves the rest.
        """
        return bool(context.is_stream_capturable(stream)) if self.is_rtx else None

    def device_memory(self, engine: Any) -> int:
        """Bytes of scratch memory that one context of this engine takes."""
        if not self.is_rtx and self.number < (10, 1):
            return int(engine.device_memory_size)
        return int(engine.device_memory_size_v2)

    def inspect(self, engine: Any, context: Any) -> str:
        """The engine inspector's JSON."""
        inspector = engine.create_engine_inspector()
        inspector.execution_context = context
        return str(inspector.get_engine_information(self.module.LayerInformationFormat.JSON))

    def make_profiler(self, times: dict[str, float]) -> Any:
        """An IProfiler that adds up the milliseconds of each layer in `times`, until that is cleared."""
        module = self.module

        class LayerTimes(module.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                module.IProfiler.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                times[layer_name] = times.get(layer_name, 0.0) + float(ms)

        return LayerTimes()

    def _capabilities(self) -> list[str]:
        names = [name for name in dir(self.module.ComputeCapability) if re.fullmatch(r"SM\d+", name)]
        return sorted(names, key=lambda name: int(name[2:]))

    def _capability(self, target: str) -> Any:
        known = [name.lower() for name in self._capabilities()]
        if target == "current" or target in known:
            return getattr(self.module.ComputeCapability, target.upper())
        raise UsageError(
            f"unknown target {target!r}: {self} builds for {', '.join(known)} or current; "
            "without a target the engine is portable and is finished on the GPU that loads it"
        )


def _dotted(name: str) -> str:
    return f"{name[2:-1]}.{name[-1]}"


def chosen_flavour(name: str | None = None) -> str | None:
    """The flavour asked for by name or INFERKIT_TENSORRT; None leaves it to what is installed. May raise UsageError."""
    wanted = name or os.environ.get(CHOICE) or None
    if wanted is not None and wanted not in FLAVOURS:
        where = "" if name else f" in {CHOICE}"
        raise UsageError(f"unknown TensorRT flavour {wanted!r}{where}; there are {', '.join(FLAVOURS)}")
    return wanted


def load_flavour(name: str | None = None) -> Flavour:
    """Import the flavour asked for, else the first that is installed. Raises BackendUnavailable with a hint."""
    wanted = chosen_flavour(name)
    reasons = []
    for candidate in (wanted,) if wanted else FLAVOURS:
        loaded = _imported(candidate)
        if isinstance(loaded, Flavour):
            return loaded
        reasons.append(loaded)
    raise BackendUnavailable(
        "; ".join(reasons),
        "pip install tensorrt-rtx-cu13 (builds without a GPU) or tensorrt-cu13",
    )


@cache
def _imported(name: str) -> Flavour | str:
    """The flavour, one per process (its logger must live as long as TensorRT does), or why it cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = import_module(name)
            version = tuple(int(part) for part in re.findall(r"\d+", module.__version__)[:2])
    except Exception as error:  # a missing library is an ImportError, a broken one an OSError or worse
        return f"{name} cannot be imported ({error})"
    if name == "tensorrt" and version < (10,):
        return f"tensorrt {module.__version__} is too old: 10 or newer is needed"
    return Flavour(name, module)
