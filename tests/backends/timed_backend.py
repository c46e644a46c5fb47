"""A backend whose builder picks one of several kernels by chance, as one that times them does; a stand-in for TensorRT.

$TIMED_KERNELS says by which shares its kernels are slower than the fastest. It has engine files, and keeps what it
picked in `$INFERKIT_CACHE/picked.json` for builds that take earlier timings. Its times are stated, not measured: those
of a kernel differ a little from process to process. Installed by `tests.backends.distributions.distribution`, so it
imports nothing of the tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from pathlib import Path

import onnx

from inferkit.backends.base import Availability, Backend, Engine, EngineInfo, Facts, Session, Trace
from inferkit.backends.feeds import check_feeds
from inferkit.cache import cache_dir
from inferkit.files import info_path
from inferkit.network.network import Network

SECONDS = 1e-3  # of an execution with the fastest kernel
SLOWER = tuple(float(each) for each in os.environ.get("TIMED_KERNELS", "0 0.02 0.04").split())
_PROCESS = secrets.randbelow(1000) / 1e6  # up to 0.1 %: how much slower this process is than others


class TimedSession(Session):
    def __init__(self, engine):
        import onnxruntime

        self.inputs, self.outputs, self._engine = engine.network.inputs, engine.network.outputs, engine
        model = engine.network.model.SerializeToString()
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._results: list = []

    def load(self, images):
        self._feeds, _ = check_feeds(images, self.inputs, self._engine.info.max_batch)

    def execute(self):
        self._results = self._session.run([info.name for info in self.outputs], self._feeds)
        seconds = SECONDS * (1 + SLOWER[self._engine.kernel] + _PROCESS)
        return Trace(host_to_device=0.0, compute=seconds, device_to_host=0.0, wall=seconds)

    def fetch(self):
        return {info.name: array for info, array in zip(self.outputs, self._results, strict=True)}

    def inspect(self):
        return {"Layers": [{"Name": "everything", "TacticName": f"kernel {self._engine.kernel}"}]}

    def close(self):
        self._results = []


class TimedEngine(Engine):
    def __init__(self, network, max_batch, kernel, seconds):
        self.network, self.kernel = network, kernel
        self.info = EngineInfo(
            "timed", network.precision, max_batch, build_seconds=seconds, version="1", network=network.name
        )

    def save(self, path):
        info_path(path).write_text(
            json.dumps(
                {
                    "backend": "timed",
                    "network": self.network.name,
                    "precision": self.network.precision,
                    "profile": [1, self.info.max_batch, self.info.max_batch],
                    "kernel": self.kernel,
                    "build_seconds": self.info.build_seconds,
                }
            )
        )
        Path(path).write_bytes(self.network.model.SerializeToString())

    def session(self):
        return TimedSession(self)


class TimedBackend(Backend):
    name, precisions = "timed", ("fp32",)
    facts = Facts(
        latency_margin=0.02,
        engine_suffixes=(".timed",),
        rebuilt_by_timing=True,
        build_anew={"timings": False},
        build_settings=("static", "cache", "timings"),
    )

    def availability(self, precision="fp32"):
        ok = precision in self.precisions
        return Availability(ok, "" if ok else f"timed computes in fp32, not in {precision}", version="1")

    def build(self, network, max_batch, static=False, cache=True, timings=True):
        start = time.perf_counter()
        picked = cache_dir() / "picked.json"
        key = hashlib.sha256(network.model.SerializeToString()).hexdigest()
        known = json.loads(picked.read_text()) if timings and picked.exists() else {}
        kernel = known.get(key, secrets.randbelow(len(SLOWER)))
        if timings:
            picked.write_text(json.dumps({**known, key: kernel}))
        return TimedEngine(network, max_batch, kernel, time.perf_counter() - start)

    def load_engine(self, path):
        facts = self.read_info(path)
        network = Network.from_model(onnx.load(os.fspath(path)), facts["network"], precision=facts["precision"])
        return TimedEngine(network, facts["profile"][-1], facts["kernel"], facts["build_seconds"])

    def read_info(self, path, *, verify=False):
        return json.loads(info_path(path).read_text())

    def fingerprint_parts(self, build, session):
        return {"threads": 1}


BACKEND = TimedBackend()
