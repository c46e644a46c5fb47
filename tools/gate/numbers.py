"""False alarms and detected slowdowns: of simulated suites, of suites drawn from measured processes, of other rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np

from inferkit.gate.metrics import EXECUTION
from inferkit.gate.outcome import Verdict
from inferkit.gate.power import Share
from inferkit.gate.stats.analyses import SINGLE_ANALYSIS
from inferkit.gate.stats.effect import independent
from inferkit.gate.stats.judge import judge
from tools.gate.peers import RULES
from tools.gate.read import Suites, medians, read_recordings
from tools.gate.rules import Logs, is_slower, judged
from tools.gate.simulate import (
    ENQUEUE_BATCH_1,
    ENQUEUE_BATCH_1_TAILS,
    ENQUEUE_BATCH_8,
    ENQUEUE_BATCH_64,
    GRAPH_REPLAY,
    NOISY_SUITE,
    Noise,
    Played,
    Recorded,
    against_baseline,
    interleaved,
)

# Replicates in the stored baseline; None: as many as each case needs, up to 20 (`pytest bench --for-baseline`).
STORED = {3: "3", 5: "5", 8: "8", None: "what it needs"}
EFFECTS = (0.02, 0.05, 0.1)


def splits(count: int, size: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All ways to give `size` of `count` processes to base and as many others to head."""
    for base in combinations(range(count), size):
        rest = [index for index in range(count) if index not in base]
        for head in combinations(rest, size):
            yield base, head


def simulated(suites: int, seed: int) -> None:
    """False alarms of 200-case suites, and power by effect, for the noise of enqueue and of graph replay."""
    random = np.random.default_rng(seed)
    nothing = [0.0] * 200
    rows = []
    for name, noises in (("enqueue (batch 1, 8, 64)", NOISY_SUITE), ("graph replay", (GRAPH_REPLAY,))):
        suite = [noises[case % len(noises)] for case in range(200)]
        for stored, label in STORED.items():
            play = partial(against_baseline, suite, nothing, random, stored)
            rows.append([name, label, *_unchanged(play, suites)])
    play = partial(interleaved, [NOISY_SUITE[case % 4] for case in range(200)], nothing, random)
    rows.append(["enqueue, interleaved A/B", "-", *_unchanged(play, max(suites // 5, 1))])
    print("Identical suites of 200 cases, margin 2 %: suites with any false verdict (95 % Clopper-Pearson)\n")
    _table(["noise", "replicates in the baseline", "REGRESSED", "IMPROVED", "replicates measured per case"], rows)

    trials = max(suites // 5, 20)
    rows = []
    for name, noise, effects in (
        ("graph replay", GRAPH_REPLAY, (0.01, 0.02, 0.05)),
        ("enqueue batch 64", ENQUEUE_BATCH_64, (0.02, 0.05)),
        ("enqueue batch 8", ENQUEUE_BATCH_8, (0.05, 0.1)),
        ("enqueue batch 1 (bimodal)", ENQUEUE_BATCH_1, (0.05, 0.1)),
        ("enqueue batch 1 (tails)", ENQUEUE_BATCH_1_TAILS, (0.05, 0.1)),
    ):
        for effect in effects:
            for size in (12, 200):
                others = [noise if noise is GRAPH_REPLAY else NOISY_SUITE[case % 4] for case in range(size - 1)]
                plays = (
                    partial(against_baseline, [noise, *others], _slowed(effect, 0, size), random, stored)
                    for stored in (3, 8, None)
                )
                rows.append([name, f"+{100 * effect:g} %", str(size), *(_found(play, trials) for play in plays)])
    print("Power against a stored baseline, one case of the suite slowed down\n")
    _table(["noise", "slowdown", "cases", *(f"baseline: {STORED[stored]}" for stored in (3, 8, None))], rows)

    rows = []
    for process in (0.002, 0.003, 0.005, 0.01):
        for effect in (0.01, 0.02):
            play = partial(interleaved, [Noise(process=process)] * 12, _slowed(effect, 0, 12), random)
            rows.append([f"{100 * process:g} %", f"+{100 * effect:g} %", _found(play, trials)])
    print("Power of interleaved A/B (12 cases, margin 2 %)\n")
    _table(["process noise", "slowdown", "found"], rows)


def pipeline(files: Suites, stored: int | None, trials: int, seed: int) -> None:
    """The whole rule on measured noise: suspicious cases are measured on. The cases of one file are one suite.

    Processes are drawn with replacement from those measured of the case, `stored` of them for the baseline.
    """
    random = np.random.default_rng(seed)
    rows = []
    for file, cases in files.items():
        noises = [Recorded(tuple(values)) for values in cases.values()]
        play = partial(against_baseline, noises, [0.0] * len(noises), random, stored)
        rows.append([f"{file}: any case of the suite", _unchanged(play, trials)[0], *["" for _ in EFFECTS]])
        for index, case in enumerate(cases):
            plays = (
                partial(against_baseline, noises, _slowed(effect, index, len(noises)), random, stored)
                for effect in EFFECTS
            )
            rows.append([f"{file}: {case}", "", *(_found(play, trials // 4, index) for play in plays)])
    size = "what each case needs" if stored is None else f"{stored} processes"
    print(f"Recorded processes drawn anew, baselines of {size}, margin 2 %\n")
    _table(["recording", "false alarms", *(f"finds +{100 * effect:g} %" for effect in EFFECTS)], rows)


def execution(
    levels: Mapping[str, Sequence[float]], margins: Mapping[str, float], suites: int, stored: int
) -> tuple[int, dict[str, tuple[int, int]]]:
    """How many unchanged suites failed by the GPU's execution, and how often each case was found of how often slowed.

    `levels` are the logarithms of each process's execution. Each suite draws `stored` processes for base and as many
    for head, without replacement; one case after the other gets 2 % more.
    """
    names, random = list(levels), np.random.default_rng(1)
    failed, found, tried = 0, dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for number in range(suites):
        drawn = {name: random.permutation(values) for name, values in levels.items()}
        base = {name: values[:stored] for name, values in drawn.items()}
        head = {name: values[stored:][:stored] for name, values in drawn.items()}
        failed += bool(_slower(base, head, margins))
        slow = names[number % len(names)]
        head[slow] = head[slow] + np.log1p(0.02)
        tried[slow] += 1
        found[slow] += slow in _slower(base, head, margins)
    return failed, {name: (found[name], tried[name]) for name in names}


def _slower(base: Logs, head: Logs, margins: Mapping[str, float]) -> set[str]:
    outcomes = judged(base, head, margins, EXECUTION)
    return {outcome.case for outcome in outcomes if outcome.verdict is Verdict.REGRESSED}


def recordings(size: int) -> None:
    """All ways to split each recorded case's processes into base and head: false alarms and slowdowns found."""
    rows = []
    for name, case in read_recordings().items():
        if len(case) < 2 * size:
            continue
        ways, values = list(splits(len(case), size)), medians(case)
        for rule_name, rule in {"inferkit (replicates, moderated t)": None, **RULES}.items():
            shares = []
            for effect in (0.0, *EFFECTS):
                hits = sum(
                    is_slower(values[list(base)], values[list(head)] + np.log1p(effect))
                    if rule is None
                    else rule([case[i] for i in base], [case[i] * (1 + effect) for i in head])
                    for base, head in ways
                )
                shares.append(f"{100 * hits / len(ways):.0f} %")
            rows.append([name, rule_name, *shares])
    print(f"{size} processes a side, every split of the recorded processes\n")
    _table(["recording", "rule", "false alarms", *(f"finds +{100 * effect:g} %" for effect in EFFECTS)], rows)


def speed() -> None:
    """Time to judge 200 cases with 20 replicates a side, the second time."""
    data = 0.003 * np.random.default_rng(0).standard_normal((200, 2, 20))
    for _ in range(2):
        started = time.perf_counter()
        judge([independent(base, head) for base, head in data], [0.02] * 200, plan=SINGLE_ANALYSIS)
        took = time.perf_counter() - started
    print(f"200 cases x 20 replicates a side judged in {took:.3f} s")


def _unchanged(play: Callable[[], Played], suites: int) -> list[str]:
    """Suites with any REGRESSED, with any IMPROVED, and the replicates measured for a case."""
    regressed = improved = 0
    measured = 0.0
    for _ in range(suites):
        played = play()
        regressed += Verdict.REGRESSED in played.verdicts
        improved += Verdict.IMPROVED in played.verdicts
        measured += sum(played.counts) / len(played.counts)
    return [_rate(regressed, suites), _rate(improved, suites), f"{measured / suites:.1f}"]


def _found(play: Callable[[], Played], trials: int, case: int = 0) -> str:
    return _rate(sum(play().verdicts[case] is Verdict.REGRESSED for _ in range(trials)), trials)


def _slowed(effect: float, case: int, size: int) -> list[float]:
    return [float(np.log1p(effect)) if place == case else 0.0 for place in range(size)]


def _rate(hits: int, trials: int) -> str:
    share = Share.of(hits, trials)
    return f"{hits}/{trials} = {100 * hits / trials:.1f} % ({100 * share.lower:.1f}-{100 * share.upper:.1f})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()
