"""A TensorRT engine: a plan in memory or on disk, and the sessions that it opens in two ways of running."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import Any

from inferkit.backends.base import Engine, EngineInfo
from inferkit.backends.gpus import driver_problem, find_gpu
from inferkit.backends.tensorrt.flavour import Flavour, chosen_flavour, load_flavour
from inferkit.backends.tensorrt.plan import Plan, PlanInfo, check_fits, read_plan, write_plan
from inferkit.errors import BackendUnavailable, UsageError
from inferkit.network.network import Network

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
                "comparison": info.comparison,
                "precision_share": info.precision_share,
            },
            network=info.network,
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


def gpu_problem(flavour: Flavour, precision: str, gpu: Any) -> str | None:
    """Why this flavour cannot run `precision` on this GPU, or None."""
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
