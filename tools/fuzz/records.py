"""What people keep and edit: baselines, benchmark JSON, traces, plans' metadata, and the matrix of a suite."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable

import numpy as np

from inferkit.backends.tensorrt.plan import PlanInfo, read_plan, sha256
from inferkit.gate.files.baseline import baseline_bytes, read_baseline
from inferkit.gate.files.run_file import SCHEMA, read_run
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.run import AccuracyRun, CaseRun, Origin, Run
from inferkit.network.network import TensorInfo
from inferkit.report.page.traces import read_traces
from inferkit.suite.matrix.read import load_matrix
from tools.fuzz.target import Target, a_file

_MACHINE = Fingerprint.of({"cpu": "AMD EPYC 7B13", "cpus": 2, "backend": "onnxruntime"})
_NUMBERS = (b"1e999", b"-1", b"NaN", b"null", b"9" * 400, b"[[[[", b"{}", b'""', b"true", b"1e-320")


def baselines() -> Iterable[bytes]:
    """One case and one accuracy, with everything that is kept."""
    slug = _MACHINE.slug
    logs = dict.fromkeys(("log_medians", "log_execution", "log_p99"), (-9.0, -9.1))
    others = {"memories": (1 << 20,), "build_seconds": (0.1,), "cold_start": (0.2,), "engine_bytes": (1 << 19,)}
    about = {"accepted": "it is so", "builds": (1, 2), "network": "0123abc"}
    case = CaseRun(case="a-fp32-b1-x", fingerprint=slug, data={**logs, **others}, **about)  # type: ignore[arg-type]
    accuracy = AccuracyRun(case="a-fp32-x", fingerprint=slug, top1=91.0, top5=99.0, images=100)
    yield baseline_bytes(
        Run(
            fingerprints={slug: _MACHINE},
            cases={case.case: case},
            accuracy={accuracy.case: accuracy},
            references={slug: CaseRun(case="reference-2", fingerprint=slug, data={"log_medians": (-7.0,)})},
            origin=Origin("run.json", "0123abc", "2026-11-22T10:00:00+00:00"),
        )
    )


def read_stored(content: bytes) -> None:
    """What was read is written again, and says the same."""
    with a_file(content, "baseline.json") as path:
        written = baseline_bytes(read_baseline(path))
        path.write_bytes(written)
        if baseline_bytes(read_baseline(path)) != written:
            raise AssertionError("a baseline that was read is another one once it was written")


def runs() -> Iterable[bytes]:
    """A run of any project, and inferkit's own as every version wrote them."""
    right = np.arange(16) % 4 != 0
    foreign = {
        "machine_info": {"machine": "x86_64", "system": "Linux", "python_version": "3.11.7", "cpu": {"count": 2}},
        "commit_info": {"id": "0123abc"},
        "benchmarks": [{"fullname": "a::b", "name": "b", "stats": {"median": 0.5}}],
        "datetime": "2026-11-22T10:00:00+00:00",
    }
    ours = {
        "fingerprints": {_MACHINE.slug: _MACHINE.as_dict()},
        "declared": {_MACHINE.slug: ["a-fp32-b1-x"]},
        "cases": {"a-fp32-b1-x": {"log_medians": [math.log(0.5)], "fingerprint": _MACHINE.slug, "memory": 5}},
        "accuracy": {
            "a-fp32-x": {
                "images": 16,
                "top1": 75.0,
                "top5": 80.0,
                "dataset": "d",
                "fingerprint": _MACHINE.slug,
                "top1_bits": base64.b64encode(np.packbits(right).tobytes()).decode(),
            }
        },
        "outcomes": [],
    }
    yield json.dumps(foreign).encode()
    for schema in range(1, SCHEMA + 1):
        yield json.dumps({**foreign, "inferkit": {"schema": schema, **ours}}).encode()


def read_benchmark(content: bytes) -> None:
    with a_file(content, "run.json") as path:
        read_run(path)
        read_run(path, foreign=True)


def traces() -> Iterable[bytes]:
    buffer = io.BytesIO()
    columns = np.array(("start", "host_to_device", "compute", "device_to_host", "wall", "enqueue"))
    np.savez(buffer, columns=columns, **{"a/0": np.ones((3, 6))})  # type: ignore[arg-type]
    yield buffer.getvalue()


def read_raw(content: bytes) -> None:
    with a_file(content, "run.npz") as path:
        for trace in read_traces(path).values():
            trace.sum()


_PLAN = b"a plan"


def plans() -> Iterable[bytes]:
    tensor = TensorInfo("data", "float32", (None, 3, 4, 4))
    yield PlanInfo(
        "tensorrt_rtx", "1.7.1.116", "tiny", "00" * 32, "int8", None, (tensor,), (tensor,), (1, 4, 8), False,
        ("sm90",), {"name": "NVIDIA H200"}, False, None, 1.0, len(_PLAN), sha256(_PLAN), "0.1.0",
    ).to_json()  # fmt: skip


def read_metadata(content: bytes) -> None:
    """The metadata beside a plan that fits it."""
    with a_file(content, "engine.plan.json") as path:
        path.with_name("engine.plan").write_bytes(_PLAN)
        read_plan(path.with_name("engine.plan"))


_MATRIX = b"""[suite]
replicates = 3
[defaults]
precisions = ["fp32"]
[[networks]]
name = "lenet"
batch_sizes = [1, 8]
dataset = "fashion_mnist"
preprocessing = { crop = 8, mean_values = [1.0], scale = 0.5 }
[[networks]]
name = "mine"
model = "mine.onnx"
backends = ["onnxruntime"]
[backends.onnxruntime]
latency_margin = 0.1
[backends.onnxruntime.session]
threads = 1
[margins]
"mine-*" = 0.4
"""


def read_suite(content: bytes) -> None:
    with a_file(content, "matrix.toml") as path:
        load_matrix(path)


TARGETS = (
    Target("baseline", read_stored, baselines, (*_NUMBERS, b'"log_medians"', b'"accuracy"', b'"fingerprint"')),
    Target("run_json", read_benchmark, runs, (*_NUMBERS, b'"top1_bits"', b'"outcomes"', b'"inferkit"', b'"verdict"')),
    Target("traces", read_raw, traces, (b"PK\x03\x04", b"PK\x01\x02", b"\x93NUMPY", b"'<f8'"), most_bytes=1 << 14),
    Target("plan", read_metadata, plans, (*_NUMBERS, b'"inputs"', b'"profile"', b'"shape"')),
    Target(
        "matrix", read_suite, lambda: [_MATRIX], (b"[[networks]]", b"[margins]", b"include", b"inf", b"nan", b"../")
    ),
)
