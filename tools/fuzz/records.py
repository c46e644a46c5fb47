"""What runs leave and people keep: baselines and what lies beside them, benchmark JSON, traces, plans, load sweeps."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable

import numpy as np

from inferkit.backends.tensorrt.plan import PlanInfo, read_plan, sha256
from inferkit.cli import diff
from inferkit.gate.files.baseline import baseline_bytes, read_baseline
from inferkit.gate.files.checked_json import kind_of
from inferkit.gate.files.layer_store import read_layers
from inferkit.gate.files.output_store import read_outputs
from inferkit.gate.files.run_file import SCHEMA, read_run
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.run import AccuracyRun, CaseRun, Origin, Run
from inferkit.measure.latency.outputs import KeptOutputs
from inferkit.measure.layers.table import total_seconds
from inferkit.network.network import TensorInfo
from inferkit.report.charts.load_curves import KIND, load_charts, read_load
from inferkit.report.charts.svg import draw
from inferkit.report.charts.sweep import read_sweep, sweep_charts
from inferkit.report.page.traces import read_traces
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
    text = json.dumps(foreign)
    yield text.encode()
    for encoding in ("utf-8-sig", "utf-16"):  # as shells and editors on Windows write it
        yield text.encode(encoding)
    odd = '{"fullname": "a::c", "stats": {"median": 1, "median": 2}}, '  # one that is refused, beside one that is read
    yield text.replace('"benchmarks": [', f'"benchmarks": [{odd}').encode()
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


def layer_tables() -> Iterable[bytes]:
    """Those of a baseline, in the file beside it."""
    row = {"name": "conv1", "kind": "Conv", "precision": "fp32", "kernel": "Conv (nchwc)", "us": 41.2, "of": ["conv1"]}
    yield json.dumps({"schema": 1, "cases": {"a-fp32-b1-x": [row, {"name": "fc"}]}}).encode()


def read_layer_tables(content: bytes) -> None:
    with a_file(content, "a.json") as path:
        (path.parent / "layers").mkdir()
        path.rename(path.parent / "layers" / "a.json")
        for table in read_layers(path).values():
            total_seconds(table)


def kept_outputs() -> Iterable[bytes]:
    """Those of a baseline, in the file beside it."""
    arrays = {"prob": np.linspace(0, 1, 10, dtype=np.float32).reshape(1, 10)}
    kept = KeptOutputs.of(arrays, {"data": np.zeros((1, 1, 2, 2), np.float32)}, "fp32")
    yield json.dumps({"schema": 1, "cases": {"a-fp32-b1-x": kept.as_dict()}}).encode()


def read_kept(content: bytes) -> None:
    with a_file(content, "a.json") as path:
        (path.parent / "outputs").mkdir()
        path.rename(path.parent / "outputs" / "a.json")
        read_outputs(path)


def load_sweeps() -> Iterable[bytes]:
    """What `inferkit serve-bench --delays --json` prints."""
    point = {"offered": 100.0, "completed": 99.0, "p50": 0.001, "p99": 0.002, "mean_batch": 1.5}
    points = [point, {**point, "p50": None, "p99": None}]
    sweep = {"kind": KIND, "schema": 1, "model": "lenet", "precision": "fp32", "backend": "onnxruntime", "bound": 0.015}
    yield json.dumps({**sweep, "curves": [{"delay": 0.0, "points": points}, {"delay": 0.002, "points": []}]}).encode()


def read_latencies(content: bytes) -> None:
    with a_file(content, "load.json") as path:
        kind_of(path)
        for chart in load_charts([read_load(path)]):
            draw(chart, standalone=True)


def studies() -> Iterable[bytes]:
    """What `inferkit sweep --json` prints."""
    timing = {"low": 0.9e-3, "median": 1e-3, "high": 1.2e-3, "unsteady": []}
    counted = {"images": 100, "images_repeated": False, "correct_top1": 60, "correct_top5": 90}
    point = {"series": "FLOAT", "batch_size": 1, "status": "ok", "timing": timing, **counted}
    points = [
        {**point, "limit": {"seconds": 0.5e-3, "share": 0.5}, "card": "a card", "version": "10.6.0"},
        {**point, "batch_size": 10, "timing": {**timing, "unsteady": ["clocks changed"]}},
        {"series": "PyCaffe", "batch_size": 1, "status": "unsupported", "reason": "no Caffe"},
    ]
    facts = {"model": "vgg16.prototxt", "cpu": "some CPU", "cpus": 2, "backend": "tensorrt", "rounds": 6}
    yield json.dumps({"kind": "sweep", "schema": 2, **facts, "points": points}).encode()


def read_study(content: bytes) -> None:
    with a_file(content, "sweep.json") as path:
        for chart in sweep_charts(read_sweep(path)):
            draw(chart, standalone=True)


def profiles() -> Iterable[bytes]:
    """What `inferkit top --json` prints."""
    row = {"name": "conv1", "kind": "Conv", "precision": "fp32", "kernel": "Conv (nchwc)", "us": 41.2, "of": ["conv1"]}
    yield json.dumps({"model": "lenet", "table": [row]}).encode()


def read_layer_profile(content: bytes) -> None:
    with a_file(content, "top.json") as path:
        diff._profile(str(path))


TARGETS = (
    Target("baseline", read_stored, baselines, (*_NUMBERS, b'"log_medians"', b'"accuracy"', b'"fingerprint"')),
    Target("run_json", read_benchmark, runs, (*_NUMBERS, b'"top1_bits"', b'"outcomes"', b'"inferkit"', b'"verdict"')),
    Target("traces", read_raw, traces, (b"PK\x03\x04", b"PK\x01\x02", b"\x93NUMPY", b"'<f8'"), most_bytes=1 << 14),
    Target("plan", read_metadata, plans, (*_NUMBERS, b'"inputs"', b'"profile"', b'"shape"')),
    Target("layer_tables", read_layer_tables, layer_tables, (*_NUMBERS, b'"us"', b'"of"', b'"schema"')),
    Target("kept_outputs", read_kept, kept_outputs, (*_NUMBERS, b'"sample"', b'"shape"', b'"sha256"')),
    Target("load_sweep", read_latencies, load_sweeps, (*_NUMBERS, b'"points"', b'"curves"', b'"bound"')),
    Target("sweep", read_study, studies, (*_NUMBERS, b'"timing"', b'"limit"', b'"status"', b'"ok"')),
    Target("profile", read_layer_profile, profiles, (*_NUMBERS, b'"table"', b'"benchmarks"')),
)
