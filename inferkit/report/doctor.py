"""What is installed, which backends run, and whether this machine is quiet enough to gate: one finding per line.

Nothing is changed, and nothing is measured for longer than a second.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from inferkit.backends import DEFAULT_BACKEND, backend, backend_names, build
from inferkit.backends.cores import cpu_quota
from inferkit.backends.cuda_header import NAME as HEADER
from inferkit.backends.cuda_header import cuda_header, pycuda_hint
from inferkit.cache import cache_root
from inferkit.measure.machine.gpu import DISTURBING, GpuTelemetry
from inferkit.measure.machine.host import HostState, cpu_model, usable_cpus
from inferkit.network.load import load
from inferkit.version import __version__

OK, NOTE, PROBLEM = "ok", "note", "problem"

_DISTRIBUTION = "pytest-inferkit"  # the name at PyPI of what is imported as inferkit
# A package's name at PyPI, and the module that is imported: several packages bring cv2 or onnxruntime.
_PACKAGES = {
    "duckdb": "duckdb",
    "filelock": "filelock",
    "jinja2": "jinja2",
    "ml-dtypes": "ml_dtypes",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "protobuf": "google.protobuf",
    "psutil": "psutil",
    "lmdb": "lmdb",
    "opencv-python-headless": "cv2",
    "pytest": "pytest",
    "pytest-benchmark": "pytest_benchmark",
    "rich": "rich",
    "scipy": "scipy",
    "shtab": "shtab",
}
_OPTIONAL = {
    "nvidia-ml-py": "pynvml",
    "pycuda": "pycuda",
    "cuda-python": "cuda",
    "matplotlib": "matplotlib",
    "mlcommons-loadgen": "mlperf_loadgen",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "grpcio": "grpc",
    "prometheus-client": "prometheus_client",
    "ray": "ray",
    "apache-otava": "otava",
}
# Below the first the suite gets slow or ends early, below the second it cannot run.
_ENOUGH, _LEAST = 2 * 2**30, 256 * 2**20
_BUSY = 0.25  # load per CPU above which other processes disturb measurements
_STOLEN = 0.01  # share of the CPUs above which what the hypervisor takes hides a change of 2 %
_PROBE_SECONDS = 0.6
_GATE = 0.02


@dataclass(frozen=True)
class Finding:
    """One line: the `name` of what was checked, its `state` (ok, note, problem), the result, and a hint.

    `blocks`: the default suite cannot run with it.
    """

    name: str
    state: str
    text: str
    hint: str = ""
    blocks: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON, where the text is called `found`."""
        values = asdict(self)
        return {("found" if name == "text" else name): value for name, value in values.items()}

    @property
    def line(self) -> str:
        """The line to print."""
        line = f"{self.state:<8}{self.name}: {self.text}"
        return f"{line}; {self.hint}" if self.hint else line


def examine(more: tuple[Callable[[], Iterator[Finding]], ...] = ()) -> list[Finding]:
    """All checks, and `more` of them; a check that breaks is a finding of its own."""
    with ThreadPoolExecutor(1) as beside:  # which waits most of the time, for what others do
        host = beside.submit(_checked, _host)
        checked = [host if check is _host else _checked(check) for check in (*_CHECKS, *more)]
        findings = [each for part in checked for each in (part.result() if isinstance(part, Future) else part)]
    findings.append(_can_gate(findings))
    return findings


def _checked(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except Exception as error:  # the other checks are wanted all the same
        return [Finding(check.__name__.strip("_"), PROBLEM, f"failed: {error!r}", blocks=check is _trial)]


def _versions() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", OK, f"{version} ({sys.executable})")
    yield Finding("inferkit", OK, f"{__version__} ({Path(__file__).parents[1]})")
    unmet = _unmet()
    for name, module in _PACKAGES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # an incompatible library may raise anything
            yield Finding(name, PROBLEM, f"{module} cannot be imported ({error})", f"pip install {name}", blocks=True)
        else:
            wanted = unmet.get(name)
            if wanted is None:
                yield Finding(name, OK, _version(name, module))
            else:
                text = f"{_version(name, module)}, but inferkit needs {wanted}"
                yield Finding(name, PROBLEM, text, f"pip install '{wanted}'", blocks=True)
    for name, module in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield _absent(name)
        else:
            yield Finding(name, OK, _version(name, module))


def _absent(name: str) -> Finding:
    """A package that is optional and not installed; what pip cannot compile says what is missing for it."""
    if name != "pycuda":
        return Finding(name, NOTE, "not installed (optional)", f"pip install {name}")
    cannot = "" if cuda_header() else f", and pip cannot compile it: {HEADER} is missing"
    return Finding(name, NOTE, f"not installed (optional: tensorrt runs engines with it){cannot}", pycuda_hint())


def _unmet() -> dict[str, str]:
    """inferkit's requirements of which another version is installed, by the package's name."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(text) for text in importlib.metadata.requires(_DISTRIBUTION) or ()]
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return {}
    unmet = {}
    for each in declared:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:  # several packages bring cv2: importing is the test
            continue
        if not each.specifier.contains(version, prereleases=True):
            unmet[each.name] = f"{each.name}{each.specifier}"
    return unmet


def _version(name: str, module: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(module), "__version__", "installed"))


def _backends() -> Iterator[Finding]:
    for name in backend_names():
        checked = backend(name)
        available = checked.availability()
        needed = name == DEFAULT_BACKEND  # of the default suite; the others are UNSUPPORTED without their parts
        if not available.ok:
            state = PROBLEM if needed else NOTE
            yield Finding(f"backend {name}", state, f"does not run: {available.reason}", available.hint, blocks=needed)
            continue
        precisions = {precision: checked.availability(precision) for precision in checked.precisions}
        runs = ", ".join(precision for precision, each in precisions.items() if each.ok)
        version = f" ({available.version})" if available.version else ""
        yield Finding(f"backend {name}", OK, f"runs{version}: {runs}")
        for precision, each in precisions.items():
            if not each.ok:
                yield Finding(f"backend {name} {precision}", NOTE, f"does not run: {each.reason}", each.hint)


def _trial() -> Iterator[Finding]:
    """One batch of the smallest network through the backend that the default suite needs."""
    import numpy as np

    with build(load("lenet"), backend=DEFAULT_BACKEND).session() as session:
        session.run(np.zeros((1, 1, 28, 28), np.float32))
        trace = session.last_trace
    duration = "" if trace is None else f" in {trace.wall * 1e3:.2f} ms"
    yield Finding("trial", OK, f"lenet ran on {DEFAULT_BACKEND}{duration}")


def _padding() -> Iterator[Finding]:
    """A problem where this ONNX Runtime counts uneven padding wrongly: 1.21 to 1.24 confuse the axes."""
    import numpy as np
    from onnx import TensorProto, helper

    from inferkit.network.network import Network

    shape = [1, 1, 3, 2]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    window = {"kernel_shape": [3, 1], "pads": [1, 0, 1, 0], "count_include_pad": 1}
    graph = helper.make_graph(
        [helper.make_node("AveragePool", ["x"], ["y"], **window)], "padding", sides[:1], sides[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    with build(Network.from_model(model, "padding"), backend=DEFAULT_BACKEND).session() as session:
        rows = session.run(np.ones(shape, np.float32))["y"][0, 0, :, 0]
    if not np.allclose(rows, [2 / 3, 1, 2 / 3]):
        text = "this version computes AveragePool with uneven padding and count_include_pad wrongly"
        hint = "pip install -U onnxruntime; networks imported from Caffe are not affected"
        yield Finding("average pooling", PROBLEM, text, hint)


def _gpus() -> Iterator[Finding]:
    count = 0
    while True:
        gpu = GpuTelemetry(count)
        if not gpu.available:
            break
        yield from _gpu(gpu, f"gpu {count}")
        count += 1
    if not count:
        yield Finding(
            "gpu", NOTE, "NVML finds none", "not needed for CPU backends; else install nvidia-ml-py and NVIDIA's driver"
        )


def _gpu(gpu: GpuTelemetry, name: str) -> Iterator[Finding]:
    facts, reading = gpu.facts(), gpu.read(own_context=False)
    yield Finding(name, OK, f"{facts.get('name')}, driver {facts.get('driver')}, CUDA {facts.get('cuda')}")
    if reading.memory_used_bytes is not None and facts.get("memory_bytes"):
        free = (facts["memory_bytes"] - reading.memory_used_bytes) / 2**30
        yield Finding(f"{name} memory", OK, f"{free:.1f} of {facts['memory_bytes'] / 2**30:.1f} GiB free")
    clock = f"SM {reading.sm_mhz} of {facts.get('max_sm_mhz')} MHz"
    power = f"{reading.power_watts} of {reading.power_limit_watts} W"
    yield Finding(f"{name} clocks", OK, f"{clock}, {power}, {reading.temperature} °C")
    disturbing = [reason for reason in reading.reasons or () if reason in DISTURBING]
    if disturbing:
        yield Finding(
            f"{name} throttling", PROBLEM, ", ".join(disturbing), "cool the GPU, or let it idle before measuring"
        )
    elif reading.reasons is not None:
        yield Finding(f"{name} throttling", OK, f"none ({', '.join(reading.reasons) or 'full clocks'})")
    if reading.other_processes:
        others = f"{reading.other_processes} other processes compute on it"
        yield Finding(f"{name} processes", PROBLEM, others, "end them, or use another GPU")
    if facts.get("persistence") is False:
        yield Finding(f"{name} persistence", NOTE, "off: each process starts slowly", "nvidia-smi -pm 1")


def _host() -> Iterator[Finding]:
    cpus = usable_cpus()
    yield Finding("cpu", OK, f"{cpu_model()}, {cpus} usable")
    quota = cpu_quota()
    if quota is not None and quota < cpus:
        text = f"this container may use {quota:g} of {cpus} CPUs, and is paused for the rest of each period"
        yield Finding("cpu quota", PROBLEM, text, "give it whole CPUs (--cpuset-cpus), not a quota (--cpus)")
    first, began = HostState.now(), time.monotonic()
    time.sleep(_PROBE_SECONDS)
    last, passed = HostState.now(), time.monotonic() - began
    if last.governor is None:
        yield Finding("governor", NOTE, "not known: the system shows none (usual in virtual machines)")
    elif last.governor == "performance":
        yield Finding("governor", OK, last.governor)
    else:
        text = f"{last.governor}: clocks vary with the load"
        yield Finding("governor", PROBLEM, text, "cpupower frequency-set -g performance")
    if last.load is not None:
        busy = last.load > _BUSY * cpus
        text = f"{last.load:.2f} on {cpus} CPUs over the last minute"
        yield Finding("load", PROBLEM if busy else OK, text, "end other processes, or wait" if busy else "")
    if first.stolen is not None and last.stolen is not None:
        share = max(last.stolen - first.stolen, 0.0) / passed
        bad = share > _STOLEN * cpus
        text = f"{share:.1%} of a CPU in {passed:.1f} s" + (" goes to other virtual machines" if bad else "")
        yield Finding("steal", PROBLEM if bad else OK, text, "use a machine with dedicated CPUs" if bad else "")


def _room() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    yield _amount("memory", memory.available, text, "free 2 GiB: the suite's networks need it")
    for name, folder, variable in (
        ("disk", cache_root(), "INFERKIT_CACHE"),
        ("temporary disk", Path(tempfile.gettempdir()), "TMPDIR"),
    ):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(existing).free
        text, move = f"{free / 2**30:.1f} GiB free in {folder}", f"set {variable} to another folder"
        yield _amount(name, free, text, f"free 2 GiB, or {move}")
        if not os.access(existing, os.W_OK):
            yield Finding(name, PROBLEM, f"{existing} cannot be written to", move, blocks=True)


def _amount(name: str, free: int, text: str, hint: str) -> Finding:
    """Memory or disk space that is enough, short, or too little to run at all."""
    if free >= _ENOUGH:
        return Finding(name, OK, text)
    return Finding(name, PROBLEM, text, hint, blocks=free < _LEAST)


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (_versions, _backends, _trial, _padding, _gpus, _host, _room)


def _can_gate(findings: list[Finding]) -> Finding:
    """Whether changes of 2 % are detectable: from what disturbs, and how much the times of equal work vary."""
    disturbed = [finding.name for finding in findings if finding.state == PROBLEM and _disturbs(finding.name)]
    variation = variation_of_times()
    text = f"the time of a fixed computation varies by {variation:.1%}"
    if not disturbed and variation <= _GATE:
        return Finding("gate at 2 %", OK, f"likely: {text}; each case's `detectable` change is decisive")
    reasons = [*([f"disturbed by {', '.join(disturbed)}"] if disturbed else []), text]
    hint = "fix the problems above, or gate with a larger margin"
    return Finding("gate at 2 %", NOTE, f"no: {'; '.join(reasons)}", hint)


def _disturbs(name: str) -> bool:
    return name in ("governor", "load", "steal", "cpu quota") or name.endswith((" throttling", " processes"))


def variation_of_times(rounds: int = 15) -> float:
    """Half the range of the middle 80 % of the times of equal work, as a share of their median."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        total = 0.0
        for number in range(1, 60_000):
            total += math.sqrt(number)
        times.append(time.perf_counter() - began)
    times.sort()
    cut = rounds // 10
    return (times[-1 - cut] - times[cut]) / 2 / times[rounds // 2]


def can_run(findings: list[Finding]) -> bool:
    """Whether the default suite can run."""
    return not any(finding.blocks for finding in findings)
