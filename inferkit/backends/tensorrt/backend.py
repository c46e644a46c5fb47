"""The `tensorrt` backend behind the common interface: TensorRT and TensorRT-RTX, on the GPUs of this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from inferkit.backends.base import Availability, Backend, Facts, ReferenceNetwork, metadata_of
from inferkit.backends.gpus import find_gpu, narrowed
from inferkit.backends.nvml import gpu_parts
from inferkit.backends.tensorrt.engine import TensorRTEngine, gpu_problem, load_engine
from inferkit.backends.tensorrt.flavour import FLAVOURS, load_flavour
from inferkit.backends.tensorrt.plan import read_info, read_plan
from inferkit.errors import BackendUnavailable, InferkitError
from inferkit.network.network import PRECISIONS, Network


class TensorRTBackend(Backend):
    """TensorRT 10 and 11 and TensorRT-RTX 1.x, always strongly typed: the graph says what every layer computes in."""

    name = "tensorrt"
    precisions = PRECISIONS
    facts = Facts(
        runs_on="gpu",
        latency_margin=0.05,  # replayed from a graph with warm clocks: replicates differ by less than 1 %
        # A batch that keeps a GPU at work; in FP16, since TensorRT-RTX 1.4 cannot run strict FP32 at such a batch. Of a
        # larger batch most is copying in, which varies more.
        reference=ReferenceNetwork("reference-1", "fp16", 64),
        memory_reference=ReferenceNetwork("memory-1", "fp16", 32),
        engine_suffixes=(".plan", ".engine", ".trt"),
        rebuilt_by_timing=True,
        engine_parts=("version", "gpu", "gpu_memory_gib", "mig", "cuda", "system", "machine"),
        build_anew={"cache": False, "timings": False},
        build_settings=(
            *("min_batch", "opt_batch", "static", "target", "flavour", "workspace", "cache", "device", "timings"),
        ),
        session_settings=("mode", "device", "launch", "specialization", "buffers"),
    )

    def availability(self, precision: str = "fp32") -> Availability:
        """Whether engines can be built and run here; the reason names what is missing (library, GPU, PyCUDA)."""
        try:
            flavour = load_flavour()
            version = f"{flavour.name} {flavour.version}"
            refused = flavour.refusal(precision)
            if refused:
                return Availability(False, refused, "choose another version or flavour of TensorRT", version)
            from inferkit.backends.tensorrt.device import pycuda_driver

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
        return narrowed(settings.get("device"))

    def device(self, **settings: Any) -> str | None:
        """The UUID of the GPU that a session with these settings (`device`) would use."""
        return find_gpu(settings.get("device")).uuid

    def build(self, network: Network, max_batch: int, **options: Any) -> TensorRTEngine:
        """Build `network`, which is at its precision, for batches up to `max_batch`, or take it from the cache.

        Options: `min_batch` (1), `opt_batch` (max_batch), `static` (fix the batch in the graph: fastest), `target` (one
        or more compute capabilities such as "sm89", TensorRT-RTX only; none is portable), `flavour` (tensorrt or
        tensorrt_rtx), `workspace` (bytes), `cache` (True), `device` (the GPU that `tensorrt` builds on), `timings`
        (True: tactics timed by earlier builds are not timed again; False: this build picks its own).
        """
        from inferkit.backends.tensorrt.building.build import build_engine

        return build_engine(network, max_batch, **options)

    def fingerprint_parts(self, build: Mapping[str, Any], session: Mapping[str, Any]) -> dict[str, object]:
        """The GPU's own, and the threads of the host."""
        return {**gpu_parts(session.get("device")), **super().fingerprint_parts(build, session)}

    def load_engine(self, path: str | os.PathLike[str]) -> TensorRTEngine:
        """See inferkit.backends.tensorrt.load_engine."""
        return load_engine(path)

    def read_info(self, path: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
        """The fields of a PlanInfo (building/plan.py)."""
        info = read_plan(path).info if verify else read_info(path)
        fields: dict[str, Any] = json.loads(info.to_json())
        return fields

    def owns(self, path: str | os.PathLike[str]) -> bool:
        """By the flavour in the metadata."""
        return metadata_of(path).get("flavour") in FLAVOURS
