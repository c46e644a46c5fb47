"""The `tensorrt` backend: availability, engines from the cache or the builder, sessions in two ways of running."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import Any

from inferkit.backends.base import Availability, Backend, Engine, EngineInfo
from inferkit.backends.tensorrt.building.plan import Plan, PlanInfo, check_fits, read_plan, write_plan
from inferkit.backends.tensorrt.flavour import Flavour, chosen_flavour, load_flavour
from inferkit.errors import BackendUnavailable, InferkitError, UsageError
from inferkit.network.network import PRECISIONS, Network

MODES = ("latency", "throughput")


class TensorRTEngine(Engine):
    """A plan, in memory or on disk. Opening a session checks it again: checksum, flavour, version and GPU."""

    def __init__(self, network: Network | None, info: PlanInfo, source: Plan | Path, from_cache: bool = False) -> None:
        if network is not None:
            self.network = network
        self.plan_info = info
        self.from_cache = from_cache
        self._source = source
        self.info = EngineInfo(
            backend="tensorrt",
            precision=info.precision,
            max_batch=info.profile[2],
            min_batch=info.profile[0],
            size_bytes=info.size_bytes,
            build_seconds=info.build_seconds,
            flavour=info.flavour,
            version=info.version,
            details={
                "profile": list(info.profile),
                "static": info.static,
                "targets": list(info.targets),
                "tf32": info.tf32,
                "calibration": info.calibration,
                "workspace_bytes": info.workspace_bytes,
                "from_cache": from_cache,
                "sha256": info.sha256,
                "warnings": list(info.warnings),
            },
        )

    @property
    def path(self) -> Path | None:
        """Where the plan lies, None where it is only in memory."""
        return self._source if isinstance(self._source, Path) else None

    def plan(self) -> Plan:
        """Bytes and metadata, read and verified anew where they lie on disk. EngineError where they are damaged."""
        return self._source if isinstance(self._source, Plan) else read_plan(self._source)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write plan and metadata (`path` and `path`.json)."""
        write_plan(path, self.plan())

    def session(self, **settings: Any) -> Any:
        """Open a session on a GPU: a LatencySession or a ThroughputSession.

        `mode`: latency (default) or throughput. `device`: a GPU's index or UUID (default $INFERKIT_GPU, else the
        first). `launch`: auto, graph or enqueue. `specialization`: eager, lazy or none (TensorRT-RTX). `buffers`: sets
        of buffers in throughput mode. Raises BackendUnavailable where it cannot run here, EngineError for a damaged or
        foreign engine, BackendError where TensorRT or CUDA fails.
        """
        from inferkit.backends.tensorrt.gpus import find_gpu

        mode = settings.pop("mode", "latency")
        device = settings.pop("device", None)
        specialization = settings.pop("specialization", "eager")
        known = {"launch"} if mode == "latency" else {"launch", "buffers"}
        if mode not in MODES:
            raise UsageError(f"unknown mode {mode!r}; there are {', '.join(MODES)}")
        if unknown := sorted(set(settings) - known):
            raise UsageError(f"unknown session settings in {mode} mode: {', '.join(unknown)}")
        flavour = load_flavour(chosen_flavour() or self.plan_info.flavour)
        gpu = find_gpu(device)
        problem = gpu_problem(flavour, self.plan_info.precision, gpu)
        if problem:
            raise BackendUnavailable(problem)
        where = str(self.path or f"the engine of {self.plan_info.network}")
        check_fits(self.plan_info, flavour=flavour.name, version=flavour.version, gpu=gpu.as_dict(), where=where)
        session_class = _session_class(mode)
        return session_class(self.plan(), flavour, gpu, specialization=specialization, **settings)


def load_engine(path: str | os.PathLike[str], network: Network | None = None) -> TensorRTEngine:
    """An engine that `inferkit build` wrote. EngineError where plan or metadata are missing, damaged or foreign.

    `network` is only remembered. The bytes never reach TensorRT unless their checksum is the one written down.
    """
    plan = read_plan(path)
    flavour = load_flavour(chosen_flavour() or plan.info.flavour)
    check_fits(plan.info, flavour=flavour.name, version=flavour.version, where=os.fspath(path))
    return TensorRTEngine(network, plan.info, Path(path))


class TensorRTBackend(Backend):
    """TensorRT 10 and 11 and TensorRT-RTX 1.x, always strongly typed: the graph says what every layer computes in."""

    name = "tensorrt"
    precisions = PRECISIONS

    def availability(self, precision: str = "fp32") -> Availability:
        """Whether engines can be built and run here; the reason names what is missing (library, GPU, PyCUDA)."""
        try:
            flavour = load_flavour()
            version = f"{flavour.name} {flavour.version}"
            refused = flavour.refusal(precision)
            if refused:
                return Availability(False, refused, "choose another version or flavour of TensorRT", version)
            from inferkit.backends.tensorrt.device import pycuda_driver
            from inferkit.backends.tensorrt.gpus import find_gpu

            gpu = find_gpu()
            problem = gpu_problem(flavour, precision, gpu)
            if problem:
                return Availability(False, problem, "choose another version of TensorRT or another GPU", version)
            pycuda_driver()
        except BackendUnavailable as error:
            return Availability(False, error.reason, error.hint)
        except InferkitError as error:
            return Availability(False, str(error))
        return Availability(True, version=version)

    def environment(self, precision: str) -> dict[str, str]:
        """What makes FP32 strict where the builder's flag does not; empty where there is no TensorRT."""
        try:
            return load_flavour().environment(precision)
        except InferkitError:
            return {}

    def alone(self, **settings: Any) -> dict[str, str]:
        """Hides the other GPUs: CUDA starts every one that a process can see, some 0.25 s each.

        Empty where only one is there, and where `device` is an index, which would then mean another GPU.
        """
        from inferkit.backends.tensorrt.gpus import narrowed

        return narrowed(settings.get("device"))

    def device(self, **settings: Any) -> str | None:
        """The UUID of the GPU that a session with these settings (`device`) would use."""
        from inferkit.backends.tensorrt.gpus import find_gpu

        return find_gpu(settings.get("device")).uuid

    def build(self, network: Network, max_batch: int, **options: Any) -> TensorRTEngine:
        """Build `network`, which is at its precision, for batches up to `max_batch`, or take it from the cache.

        Options: `min_batch` (1), `opt_batch` (max_batch), `static` (fix the batch in the graph: fastest), `target` (one
        or more compute capabilities such as "sm89", TensorRT-RTX only; none is portable), `flavour` (tensorrt or
        tensorrt_rtx), `workspace` (bytes), `uint8_input` (a Uint8Input of building/uint8_input.py: take raw pixels
        and do mean and scale in the engine), `cache` (True), `device` (the GPU that `tensorrt` builds on),
        `timings` (True: tactics timed by earlier builds are not timed again; False: this build picks its own).
        """
        from inferkit.backends.tensorrt.building.build import build_engine

        return build_engine(network, max_batch, **options)


def gpu_problem(flavour: Flavour, precision: str, gpu: Any) -> str | None:
    """Why this flavour cannot run `precision` on this GPU, or None."""
    from inferkit.backends.tensorrt.gpus import driver_problem

    return driver_problem(gpu.driver, flavour.cuda_major) or flavour.refusal(precision, gpu.capability)


def _session_class(mode: str) -> Any:
    from inferkit.backends.tensorrt.running.session import close_sessions

    atexit.unregister(close_sessions)
    atexit.register(close_sessions)
    if mode == "latency":
        from inferkit.backends.tensorrt.running.latency import LatencySession

        return LatencySession
    from inferkit.backends.tensorrt.running.throughput import ThroughputSession

    return ThroughputSession
