"""Part `builds`: how far engines of one network differ that a builder times anew, and what disturbs a build.

Each case ($INFERKIT_SUITE_BUILDS, by default resnet50-int8-b64 and resnet50-fp16-b64) is built three times anew, once
more with the first build's timings, twice at once in two processes, and once while another process calibrates on the
CPU. Then every engine is measured in three processes, the engines in turns: executions only. Whatever was built or
measured already is left out the next time.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean, median
from threading import Event
from typing import Any

from tools.gpu.common import Results, fail, folder, in_fresh_process, say, settle

CASES = tuple(os.environ.get("INFERKIT_SUITE_BUILDS", "resnet50-int8-b64 resnet50-fp16-b64").split())
ANEW = ("anew 1", "anew 2", "anew 3")
CACHED, BESIDE_CPU = "with timings", "beside calibration"
TOGETHER = ("together 1", "together 2")
_PROCESSES, _EXECUTIONS, _CALIBRATION = 3, 300, 64
_SECONDS = 570.0  # for one process


def child(text: str) -> Any:
    """One job in a process of its own: a network prepared, an engine built, or one measured."""
    job = json.loads(text)
    work: dict[str, Callable[..., Any]] = {"prepare": _prepare, "build": _build, "measure": _measure}
    return work[job.pop("do")](**job)


def _prepare(network: str, precision: str, batch: int, to: str) -> dict[str, float]:
    from inferkit.measure.engine.prepared_network import Recipe, prepare

    start = time.perf_counter()
    prepare(Recipe(network, network, precision, calibration_images=_CALIBRATION, images=batch), Path(to))
    return {"seconds": time.perf_counter() - start}


def _build(prepared: str, backend: str, batch: int, plan: str) -> dict[str, Any]:
    """Build without the cache of engines, and with the timings that lie in $INFERKIT_CACHE; seconds and bytes."""
    from inferkit.backends import backend as backend_named
    from inferkit.measure.engine.prepared_network import load_prepared

    network = load_prepared(Path(prepared))
    start = time.perf_counter()
    engine = backend_named(backend).build(network, batch, static=True, cache=False)
    seconds = time.perf_counter() - start
    engine.save(plan)
    return {
        "build_seconds": engine.info.build_seconds,
        "seconds": seconds,  # with the comparison with the network in ONNX Runtime
        "bytes": engine.info.size_bytes,
        "version": engine.info.version,
        "sha256": engine.info.details.get("sha256"),
    }


def _measure(prepared: str, backend: str, batch: int, plan: str) -> dict[str, Any]:
    """Median seconds of executions, the share by which their quartiles differ, and each layer's kernel."""
    from inferkit.backends import backend as backend_named
    from inferkit.measure.engine.prepared_network import timing_batch

    with backend_named(backend).load_engine(plan).session() as session:
        session.load(timing_batch(Path(prepared), batch))
        settle(lambda: session.execute().wall)
        times = sorted(session.execute().compute for _ in range(_EXECUTIONS))
        quarter = len(times) // 4
        middle = median(times)
        inspect = getattr(session, "inspect", None)
        kernels = kernels_of(inspect()) if inspect is not None else {}
        return {"compute": middle, "quartiles": (times[-quarter] - times[quarter]) / middle, "kernels": kernels}


def kernels_of(inspected: Any) -> dict[str, str]:
    """The kernel of each layer by the layer's name, from what the engine inspector says; empty where it does not."""
    rows = inspected.get("Layers", []) if isinstance(inspected, Mapping) else []
    return {str(row.get("Name")): str(row.get("TacticName", "")) for row in rows if isinstance(row, Mapping)}


def differing(base: Mapping[str, str], head: Mapping[str, str]) -> int:
    """How many layers of `head` are not in `base`, or run there by another kernel."""
    return sum(base.get(layer) != kernel for layer, kernel in head.items())


def run(results: Results, backend: str = "tensorrt") -> None:
    """Build and measure what is missing of every case; the table of each as soon as it is whole."""
    done: dict[str, Any] = dict(results.parts.get("builds", {}))
    for case in CASES:
        figures = done.setdefault(case, {"built": {}, "measured": {}})
        try:
            _complete(case, figures, backend, lambda: results.put("builds", done))
        except RuntimeError as error:
            fail(f"builds {case}: {error}")
            continue
        figures["summary"] = summary(figures["built"], figures["measured"])
        results.put("builds", done)
        _report(case, figures)


def _complete(case: str, figures: dict[str, Any], backend: str, put: Callable[[], None]) -> None:
    """RuntimeError where a process fails; what was done before it is kept."""
    network, precision, size = case.rsplit("-", 2)
    batch = int(size.removeprefix("b"))
    place = folder("builds", case)
    prepared = place / "network"
    built, measured = figures["built"], figures["measured"]

    def work(do: str, label: str = "", **job: Any) -> Any:
        cache = str(place / f"cache of {ANEW[0] if label == CACHED else label}")
        own = {"INFERKIT_CACHE": cache, "INFERKIT_TIMINGS": f"{cache}/timing"}
        return in_fresh_process("builds", json.dumps({"do": do, **job}), _SECONDS, **own)

    def prepare(to: Path) -> Any:
        return work("prepare", network=network, precision=precision, batch=batch, to=str(to))

    def build(label: str) -> Any:
        return work("build", label, **common, plan=str(place / f"{label}.plan"))

    def missing(*labels: str) -> bool:
        return not all(label in built and (place / f"{label}.plan").exists() for label in labels)

    common = {"prepared": str(prepared), "backend": backend, "batch": batch}
    if not (prepared / "network.json").exists():
        figures["prepare_seconds"] = prepare(prepared)["seconds"]
    for label in (*ANEW, CACHED):
        if missing(label):
            built[label] = build(label)
            put()
    if missing(*TOGETHER):
        with ThreadPoolExecutor(len(TOGETHER)) as pool:
            built.update(zip(TOGETHER, list(pool.map(build, TOGETHER)), strict=True))
        put()
    if missing(BESIDE_CPU):
        with ThreadPoolExecutor(1) as pool:
            ended = Event()
            calibrating = pool.submit(_again, ended, lambda: prepare(place / "another network"))
            try:
                built[BESIDE_CPU] = build(BESIDE_CPU)
            finally:
                ended.set()
            built[BESIDE_CPU]["calibrations"] = calibrating.result()
        put()
    for number in range(_PROCESSES):
        for label in (*ANEW, CACHED, *TOGETHER, BESIDE_CPU):
            if len(measured.setdefault(label, [])) == number:
                measured[label].append(work("measure", label, **common, plan=str(place / f"{label}.plan")))
        put()


def _again(ended: Event, go: Callable[[], Any]) -> int:
    """Call `go` again and again until the event; how often it was called."""
    count = 0
    while not ended.is_set():
        go()
        count += 1
    return count


def summary(built: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """Spread of the builds anew (shares), seconds of each kind of build, and each engine against those built anew.

    `execution` is the mean of an engine's processes over that of the three built anew; `kernels` counts the layers
    whose kernel is not that of the first engine built anew.
    """
    from inferkit.gate.builds import build_spread

    logs = {label: [math.log(each["compute"]) for each in runs] for label, runs in measured.items()}
    numbers = [number for number, label in enumerate(ANEW) for _ in logs[label]]
    spread = build_spread([log for label in ANEW for log in logs[label]], numbers)
    centre = fmean(fmean(logs[label]) for label in ANEW)
    base = measured[ANEW[0]][0]["kernels"]
    seconds = {label: each["build_seconds"] for label, each in built.items()}
    alone = fmean(seconds[label] for label in ANEW)
    return {
        "between_builds": spread.between,
        "within_a_build": spread.within,
        "execution": {label: math.exp(fmean(values) - centre) for label, values in logs.items()},
        "kernels": {label: differing(base, runs[0]["kernels"]) for label, runs in measured.items()},
        "layers": len(base),
        "seconds_anew": alone,
        "seconds_with_timings": seconds[CACHED],
        "seconds_together": max(seconds[label] for label in TOGETHER),
        "together_against_in_turn": 2 * alone / max(seconds[label] for label in TOGETHER),
    }


def _report(case: str, figures: Mapping[str, Any]) -> None:
    summed, built, measured = figures["summary"], figures["built"], figures["measured"]
    say(f"  {case}: {_share(summed['between_builds'])} between builds, {_share(summed['within_a_build'])} within one")
    for label, execution in summed["execution"].items():
        middle = median(_times(measured[label]))
        say(
            f"    {label:20} built in {built[label]['build_seconds']:6.1f} s  {1e6 * middle:9.1f} µs  "
            f"{execution:.4f} of those anew  {summed['kernels'][label]:3} of {summed['layers']} kernels are others"
        )
    say(f"    two builds at once take {1 / summed['together_against_in_turn']:.2f} of the time of two in turn")


def _times(runs: Iterable[Mapping[str, Any]]) -> list[float]:
    return [each["compute"] for each in runs]


def _share(value: float | None) -> str:
    return "-" if value is None else f"±{value:.2%}"
