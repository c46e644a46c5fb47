"""Parts `placement` and `sessions`: what makes an engine slower: where it runs, the moment, or sessions beside it."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Sequence
from statistics import mean, median, variance
from typing import Any

from tools.gpu.common import BATCHES, TIMED, Results, fail, reference, say, settle, side_by_side, timed_plan_path

PLACES, ROUNDS = 6, 10  # a session keeps a graph for each of eight memories
WINDOW = 0.1  # seconds
PARTS = ("wall", "host_to_device", "compute", "device_to_host", "rest")
OTHERS = 5  # sessions of the same plan: a service of batches up to 32 has six
BESIDE_ROUNDS = 5


def visit_places(name: str, batch: int) -> dict[str, Any]:
    """Medians of every window: by kind of place, place and part; seconds.

    One engine, one process. The same few page-locked memories, cores and sessions (each with device memory of its own)
    are visited again and again in random order, a window of iterations at each.
    """
    from inferkit.backends.tensorrt import load_engine

    images, _ = reference(name)
    everywhere = os.sched_getaffinity(0)
    order = random.Random(1)
    engine = load_engine(timed_plan_path(name, batch))

    def visit(places: Sequence[int], go: Callable[[int], Any]) -> dict[str, list[dict[str, float]]]:
        """`go` makes ready for a place and returns the session that runs there."""
        seen: dict[str, list[dict[str, float]]] = {}
        for _ in range(ROUNDS):
            for place in order.sample(places, len(places)):
                seen.setdefault(str(place), []).append(window(go(place)))
        return seen

    with contextlib.ExitStack() as opened:
        session, *others = (opened.enter_context(engine.session()) for _ in range(PLACES))
        memories = [session.host_memory(batch) for _ in range(PLACES)]
        for memory in memories:
            for array in memory.values():
                array[:] = images[:batch]
        for each in (session, *others):
            each.load(memories[0])
            each.execute()
        settle(lambda: session.execute().wall)

        def with_memory(index: int) -> Any:
            session.load(memories[index])
            return session

        def on_core(core: int) -> Any:
            os.sched_setaffinity(0, {core})
            return session

        by_session = visit(range(PLACES), [session, *others].__getitem__)
        by_memory = visit(range(PLACES), with_memory)
        session.load(memories[0])
        cores = order.sample(sorted(everywhere), min(PLACES, len(everywhere)))
        by_core = visit(cores, on_core)
        os.sched_setaffinity(0, everywhere)
    return {"memory": by_memory, "core": by_core, "session": by_session}


def window(session: Any) -> dict[str, float]:
    """Medians of a tenth of a second of iterations, by part; seconds."""
    traces = [session.execute() for _ in range(max(int(WINDOW / session.execute().wall), 10))]
    parts = {part: median(getattr(trace, part) for trace in traces) for part in PARTS[:-1]}
    return {**parts, "rest": parts["wall"] - sum(parts[part] for part in PARTS[1:-1])}


def between(places: dict[str, list[float]]) -> float:
    """The share of the variance of all windows that belongs to the places (an intraclass correlation), 0 to 1.

    A cause that belongs to the place comes back with the place; the rest is the moment's.
    """
    groups = list(places.values())
    size = len(groups[0])
    within = mean(variance(group) for group in groups)
    among = max(variance([mean(group) for group in groups]) - within / size, 0.0)
    return among / (among + within) if among + within else 0.0


def placement(results: Results) -> None:
    """Every timed network and batch, one after the other. Needs what `prepare` and `engines` made."""
    figures: dict[str, Any] = {}
    for name in TIMED:
        for batch in BATCHES:
            figures[f"{name}-b{batch}"] = visited = visit_places(name, batch)
            for kind, places in visited.items():
                texts = []
                for part in PARTS:
                    windows = {place: [each[part] for each in taken] for place, taken in places.items()}
                    values = sorted(value for taken in windows.values() for value in taken)
                    share = f"{100 * between(windows):.0f} % the place's"
                    texts.append(f"{part} {1e6 * values[0]:.1f}-{1e6 * values[-1]:.1f} µs ({share})")
                say(f"  {name} batch {batch}, by {kind}: " + "; ".join(texts))
    results.put("placement", figures)


def run_beside(name: str, batch: int) -> dict[str, Any]:
    """Windows of the first session, in seconds by part: alone, beside its like, beside another network as well.

    The other sessions are run once and stay idle: those of the same plan share the engine, another network loads one
    more.
    """
    from inferkit.backends.tensorrt import load_engine

    other = next((each for each in TIMED if each != name), None)
    with contextlib.ExitStack() as stack:

        def opened(engine: Any, images: Any) -> Any:
            session = stack.enter_context(engine.session())
            session.load(images)
            session.execute()
            return session

        def windows() -> list[dict[str, float]]:
            return [window(session) for _ in range(BESIDE_ROUNDS)]

        engine, (images, _) = load_engine(timed_plan_path(name, batch)), reference(name)
        session = opened(engine, images[:batch])
        settle(lambda: session.execute().wall)
        taken = {"alone": windows()}
        memory = {"1": session.memory_bytes()}
        for _ in range(OTHERS):
            opened(engine, images[:batch])
        taken[f"beside {OTHERS} of the same plan"] = windows()
        memory[str(OTHERS + 1)] = session.memory_bytes()
        if other is not None:
            opened(load_engine(timed_plan_path(other, batch)), reference(other)[0][:batch])
            taken[f"and beside {other}"] = windows()
    return {"windows": taken, "memory_bytes": memory}


def sessions(results: Results) -> None:
    """Every timed network and batch, each in a fresh process. Needs what `prepare` and `engines` made."""
    jobs = [(name, batch) for name in TIMED for batch in BATCHES]
    figures: dict[str, Any] = {}
    for (name, batch), answer in zip(jobs, side_by_side(run_beside, jobs, 1), strict=True):
        if isinstance(answer, str):
            fail(f"sessions {name}-b{batch}: {answer}")
            continue
        figures[f"{name}-b{batch}"] = answer
        executions = ", ".join(
            f"{how} {1e6 * median(each['compute'] for each in windows):.1f} µs"
            for how, windows in answer["windows"].items()
        )
        memory = ", ".join(f"{count}: {size / 1e6:.0f} MB" for count, size in answer["memory_bytes"].items())
        say(f"  {name} batch {batch}: execution {executions}; device memory of sessions: {memory}")
    results.put("sessions", figures)
