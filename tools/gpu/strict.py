"""Part `strict`: is FP32 strict, with and without NVIDIA_TF32_OVERRIDE=0 in the environment, and how long does it take.

Each case in a fresh process, one after the other: errors against ONNX Runtime's FP32 scores, and the median wall time.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from tools.gpu.common import (
    BATCHES,
    TIMED,
    Results,
    keep_to,
    reference,
    relative_error,
    say,
    scores_blob,
    side_by_side,
)

RUNS = 30


def measure(name: str, batch: int, strict: bool) -> dict[str, Any]:
    """One engine for this batch alone."""
    if strict:
        keep_to("fp32")
    import inferkit
    from inferkit.cli.study_engine import with_output

    images, want = reference(name)
    network = inferkit.load(name)
    network = inferkit.at_precision(with_output(network, scores_blob(network)), "fp32")
    engine: Any = inferkit.build(network, backend="tensorrt", max_batch=batch, static=True, cache=False)
    with engine.session() as session:
        session.load(images[:batch])
        session.execute()
        got = next(iter(session.fetch().values())).reshape(batch, -1)
        wall = median(session.execute().wall for _ in range(RUNS))
    return {"error": relative_error(got, want[:batch]), "wall": wall}


def run(results: Results) -> None:
    """Every timed network and batch, both ways. Needs what `prepare` made."""
    jobs = [(name, batch, strict) for strict in (True, False) for name in TIMED for batch in BATCHES]
    found = side_by_side(measure, jobs, 1)
    figures = {}
    for (name, batch, strict), answer in zip(jobs, found, strict=True):
        way = "NVIDIA_TF32_OVERRIDE=0" if strict else "as it is"
        figures[f"{name}-fp32-b{batch}, {way}"] = answer
        told = answer if isinstance(answer, str) else f"error {answer['error']:.1e}, {1e6 * answer['wall']:.0f} µs"
        say(f"  {name:10} batch {batch:3}  {way:23} {told}")
    results.put("strict", figures)
