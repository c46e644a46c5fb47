"""The gate's own figures: false alarms and power, simulated and on recorded noise, beside other tools' rules.

    python -m tools.gate_numbers simulate --suites 1000
    python -m tools.gate_numbers recordings
    python -m tools.gate_numbers pipeline --suites 400 [--run RUN.json] [--stored 3]
    python -m tools.gate_numbers speed

Prints Markdown. Recordings (tests/gate/recordings) are latencies of identical engines in fresh processes on an H100.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from inferkit.gate.stats.looks import SINGLE_LOOK
from numpy.typing import NDArray
from scipy.stats import binomtest

from inferkit.gate import simulate
from inferkit.gate.outcome import Verdict
from inferkit.gate.stats.effect import independent
from inferkit.gate.stats.judge import judge
from tools.peer_rules import RULES

RECORDINGS = Path(__file__).resolve().parent.parent / "tests" / "gate" / "recordings"
# Replicates in the stored baseline; None: as many as each case needs, up to 20 (`pytest bench --for-baseline`).
STORED = {3: "3", 5: "5", 8: "8", None: "what it needs"}
WARM_UP = 0.1  # share of a process's iterations at its start that are left out

Recording = list[NDArray[np.float64]]
Suites = dict[str, dict[str, NDArray[np.float64]]]


def read_recordings(folder: Path = RECORDINGS) -> dict[str, Recording]:
    """Every recorded case: name (file: network batch, way of running) -> latencies in ms, one array per process."""
    cases: dict[str, Recording] = {}
    for path in sorted(folder.glob("*.json.gz")):
        with gzip.open(path, "rt") as source:
            content = json.load(source)
        networks = {"vgg16": content} if "run1" in content else content
        for network, runs in networks.items():
            for batches in runs.values():
                for batch, series in batches.items():
                    for key, values in series.items():
                        if not key.endswith("wall_ms"):
                            continue
                        way = key.removesuffix("wall_ms").strip("_").rstrip("2") or "enqueue"
                        name = f"{path.name.removesuffix('.json.gz')}: {network} batch {batch}, {way}"
                        array = np.asarray(values, float)
                        cases.setdefault(name, []).append(array[int(WARM_UP * len(array)) :])
    return cases


def medians(case: Recording) -> NDArray[np.float64]:
    return np.array([np.log(np.median(process)) for process in case])


def splits(count: int, a_side: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All ways to give `a_side` processes to the base and as many others to the head."""
    for base in combinations(range(count), a_side):
        rest = [index for index in range(count) if index not in base]
        for head in combinations(rest, a_side):
            yield base, head


def rate(hits: int, trials: int) -> str:
    low, high = binomtest(hits, trials).proportion_ci(0.95, method="exact")
    return f"{hits}/{trials} = {100 * hits / trials:.1f} % ({100 * low:.1f}-{100 * high:.1f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def report_simulation(suites: int, seed: int) -> None:
    """False alarms of 200-case suites, and power by effect, for the noise of enqueue and of graph replay."""
    random = np.random.default_rng(seed)
    rows = []
    for name, noises in (
        ("enqueue (batch 1, 8, 64)", simulate.NOISY_SUITE),
        ("graph replay", (simulate.GRAPH_REPLAY,)),
    ):
        for stored in STORED:
            failed = improved = measured = 0
            suite = [noises[case % len(noises)] for case in range(200)]
            for _ in range(suites):
                outcome = simulate.against_baseline(suite, [0.0] * 200, random, baseline_replicates=stored)
                verdicts = [item.verdict for item in outcome.judgements]
                failed += Verdict.REGRESSED in verdicts
                improved += Verdict.IMPROVED in verdicts
                measured += sum(outcome.counts)
            rows.append(
                [name, STORED[stored], rate(failed, suites), rate(improved, suites), f"{measured / suites / 200:.1f}"]
            )
    failed = improved = 0
    blocks = 0
    ab_suites = max(suites // 5, 1)
    for _ in range(ab_suites):
        outcome = simulate.interleaved([simulate.NOISY_SUITE[case % 4] for case in range(200)], [0.0] * 200, random)
        verdicts = [item.verdict for item in outcome.judgements]
        failed, improved = failed + (Verdict.REGRESSED in verdicts), improved + (Verdict.IMPROVED in verdicts)
        blocks += sum(outcome.counts)
    rows.append(
        [
            "enqueue, interleaved A/B",
            "-",
            rate(failed, ab_suites),
            rate(improved, ab_suites),
            f"{blocks / ab_suites / 200:.1f}",
        ]
    )
    print("Identical suites of 200 cases, margin 2 %: suites with any false verdict (95 % Clopper-Pearson)\n")
    table(["noise", "replicates in the baseline", "REGRESSED", "IMPROVED", "replicates measured per case"], rows)

    rows = []
    trials = max(suites // 5, 20)
    wanted = [
        ("graph replay", simulate.GRAPH_REPLAY, (0.01, 0.02, 0.05)),
        ("enqueue batch 64", simulate.ENQUEUE_BATCH_64, (0.02, 0.05)),
        ("enqueue batch 8", simulate.ENQUEUE_BATCH_8, (0.05, 0.1)),
        ("enqueue batch 1 (bimodal)", simulate.ENQUEUE_BATCH_1, (0.05, 0.1)),
        ("enqueue batch 1 (tails)", simulate.ENQUEUE_BATCH_1_TAILS, (0.05, 0.1)),
    ]
    for name, noise, effects in wanted:
        for effect in effects:
            for size in (12, 200):
                row = [name, f"+{100 * effect:g} %", str(size)]
                for stored in (3, 8, None):
                    suite = [noise, *(simulate.NOISY_SUITE[case % 4] for case in range(size - 1))]
                    if noise is simulate.GRAPH_REPLAY:
                        suite = [noise] * size
                    found = sum(
                        simulate.against_baseline(
                            suite, [np.log1p(effect)] + [0.0] * (size - 1), random, baseline_replicates=stored
                        )
                        .judgements[0]
                        .verdict
                        is Verdict.REGRESSED
                        for _ in range(trials)
                    )
                    row.append(rate(found, trials))
                rows.append(row)
    print("Power against a stored baseline, one case of the suite slowed down\n")
    table(["noise", "slowdown", "cases", *(f"baseline: {STORED[stored]}" for stored in (3, 8, None))], rows)

    rows = []
    for process in (0.002, 0.003, 0.005, 0.01):
        noise = simulate.Noise(process=process)
        for effect in (0.01, 0.02):
            found = sum(
                simulate.interleaved([noise] * 12, [np.log1p(effect)] + [0.0] * 11, random).judgements[0].verdict
                is Verdict.REGRESSED
                for _ in range(trials)
            )
            rows.append([f"{100 * process:g} %", f"+{100 * effect:g} %", rate(found, trials)])
    print("Power of interleaved A/B (12 cases, margin 2 %)\n")
    table(["process noise", "slowdown", "found"], rows)


def report_recordings(folder: Path, per_side: int) -> None:
    """All ways to split each recorded case's processes into two sides: who cries wolf, who finds a slowdown."""
    rows = []
    effects = (0.02, 0.05, 0.1)
    for name, case in read_recordings(folder).items():
        if len(case) < 2 * per_side:
            continue
        ways = list(splits(len(case), per_side))
        values = medians(case)
        for rule_name, rule in {"inferkit (replicates, moderated t)": None, **RULES}.items():
            counts = []
            for effect in (0.0, *effects):
                hits = 0
                for base, head in ways:
                    if rule is None:
                        evidence = independent(values[list(base)], values[list(head)] + np.log1p(effect))
                        hits += judge([evidence], [0.02], plan=SINGLE_LOOK, look=0)[0].verdict is Verdict.REGRESSED
                    else:
                        hits += rule([case[i] for i in base], [case[i] * (1 + effect) for i in head])
                counts.append(f"{100 * hits / len(ways):.0f} %")
            rows.append([name, rule_name, *counts])
    print(f"{per_side} processes a side, every split of the recorded processes\n")
    table(["recording", "rule", "false alarms", *(f"finds +{100 * effect:g} %" for effect in effects)], rows)


def recorded_suites(folder: Path) -> Suites:
    """The log medians of every recorded case, by file and case."""
    files: Suites = {}
    for name, case in read_recordings(folder).items():
        file, _, rest = name.partition(": ")
        files.setdefault(file, {})[rest] = medians(case)
    return files


def measured_suites(runs: Sequence[Path]) -> Suites:
    """The same of `pytest bench --benchmark-json RUN.json`."""
    cases = {path.stem: json.loads(path.read_text())["inferkit"]["cases"] for path in runs}
    return {run: {name: np.array(case["log_medians"]) for name, case in found.items()} for run, found in cases.items()}


def report_pipeline(files: Suites, stored: int | None, trials: int, seed: int) -> None:
    """The whole rule on recorded noise: suspicious cases are measured on. The cases of one file are one suite.

    Processes are drawn with replacement from those recorded of the case, `stored` of them for the baseline.
    """
    random = np.random.default_rng(seed)
    rows = []
    effects = (0.02, 0.05, 0.1)
    for file, cases in files.items():
        noises = [simulate.Recorded(tuple(values)) for values in cases.values()]
        failed = 0
        for _ in range(trials):
            outcome = simulate.against_baseline(noises, [0.0] * len(noises), random, baseline_replicates=stored)
            failed += any(item.verdict is Verdict.REGRESSED for item in outcome.judgements)
        rows.append([f"{file}: any case of the suite", rate(failed, trials), *["" for _ in effects]])
        for index, case_name in enumerate(cases):
            row = [f"{file}: {case_name}", ""]
            for effect in effects:
                shifts = [np.log1p(effect) if at == index else 0.0 for at in range(len(noises))]
                found = sum(
                    simulate.against_baseline(noises, shifts, random, baseline_replicates=stored)
                    .judgements[index]
                    .verdict
                    is Verdict.REGRESSED
                    for _ in range(trials // 4)
                )
                row.append(rate(found, trials // 4))
            rows.append(row)
    size = "what each case needs" if stored is None else f"{stored} processes"
    print(f"Recorded processes drawn anew, baselines of {size}, margin 2 %\n")
    table(["recording", "false alarms", *(f"finds +{100 * effect:g} %" for effect in effects)], rows)


def report_speed() -> None:
    """Time to judge 200 cases with 20 replicates a side."""
    random = np.random.default_rng(0)
    data = 0.003 * random.standard_normal((200, 2, 20))
    judge([independent(a, b) for a, b in data], [0.02] * 200, plan=SINGLE_LOOK, look=0)
    started = time.perf_counter()
    judge([independent(a, b) for a, b in data], [0.02] * 200, plan=SINGLE_LOOK, look=0)
    print(f"200 cases x 20 replicates a side judged in {time.perf_counter() - started:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["simulate", "recordings", "pipeline", "speed"])
    parser.add_argument("--suites", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-side", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=RECORDINGS, help="where recordings (*.json.gz) lie")
    parser.add_argument("--run", type=Path, nargs="+", help="pipeline: benchmark JSON in the place of the recordings")
    parser.add_argument("--stored", type=int, help="pipeline: processes in a baseline (default: what each case needs)")
    options = parser.parse_args()
    if options.what == "simulate":
        report_simulation(options.suites, options.seed)
    elif options.what == "recordings":
        report_recordings(options.folder, options.per_side)
    elif options.what == "pipeline":
        suites = measured_suites(options.run) if options.run else recorded_suites(options.folder)
        report_pipeline(suites, options.stored, options.suites, options.seed)
    else:
        report_speed()


if __name__ == "__main__":
    main()
