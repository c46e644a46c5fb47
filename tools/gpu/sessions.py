"""Part `sessions`: what other sessions of the process cost an engine that runs alone meanwhile.

Each case has a fresh process. Beside its session others are opened, run once and stay idle: of the same plan, which
share the engine, and then of another network, which loads one more.
"""

from __future__ import annotations

import contextlib
from statistics import median
from typing import Any

from tools.gpu.common import BATCHES, TIMED, Results, fail, reference, say, settle, side_by_side, timed_plan_path
from tools.gpu.placement import window

OTHERS = 5  # of the same plan: a service of batches up to 32 has six sessions
ROUNDS = 5


def measure(name: str, batch: int) -> dict[str, Any]:
    """Windows of the first session, in seconds by part: alone, beside its like, beside another network as well."""
    from inferkit.backends.tensorrt import load_engine

    other = next((each for each in TIMED if each != name), None)
    with contextlib.ExitStack() as stack:

        def opened(engine: Any, images: Any) -> Any:
            session = stack.enter_context(engine.session())
            session.load(images)
            session.execute()
            return session

        engine, (images, _) = load_engine(timed_plan_path(name, batch)), reference(name)
        session = opened(engine, images[:batch])
        settle(lambda: session.execute().wall)
        found = {"alone": [window(session) for _ in range(ROUNDS)]}
        alone_bytes = session.memory_bytes()
        for _ in range(OTHERS):
            opened(engine, images[:batch])
        found[f"beside {OTHERS} of the same plan"] = [window(session) for _ in range(ROUNDS)]
        shared_bytes = session.memory_bytes()
        if other is not None:
            opened(load_engine(timed_plan_path(other, batch)), reference(other)[0][:batch])
            found[f"and beside {other}"] = [window(session) for _ in range(ROUNDS)]
    return {"windows": found, "memory_bytes": {"1": alone_bytes, str(OTHERS + 1): shared_bytes}}


def run(results: Results) -> None:
    """Every timed network and batch. Needs what `prepare` and `engines` made."""
    jobs = [(name, batch) for name in TIMED for batch in BATCHES]
    figures: dict[str, Any] = {}
    for (name, batch), found in zip(jobs, side_by_side(measure, jobs, 1), strict=True):
        if isinstance(found, str):
            fail(f"sessions {name}-b{batch}: {found}")
            continue
        figures[f"{name}-b{batch}"] = found
        executions = {
            how: median(each["compute"] for each in windows) * 1e6 for how, windows in found["windows"].items()
        }
        memory = ", ".join(f"{count}: {size / 1e6:.0f} MB" for count, size in found["memory_bytes"].items())
        told = ", ".join(f"{how} {micro:.1f} µs" for how, micro in executions.items())
        say(f"  {name} batch {batch}: execution {told}; device memory of sessions: {memory}")
    results.put("sessions", figures)
