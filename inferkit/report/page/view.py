"""What a report shows of a run, as plain values: the suite's verdict, where it was measured, and every case.

Verdicts come from the run itself, or from comparing it with other files; none is made here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inferkit.gate.comparison import compare
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.run_file import NO_COMMIT
from inferkit.gate.layer_diff import LayerDiff
from inferkit.gate.metrics import ACCURACY, LATENCY, MAIN, main_metric
from inferkit.gate.outcome import FAILING, Outcome, Verdict, by_case, deciding
from inferkit.gate.run import Run
from inferkit.report.charts.strips import Strip
from inferkit.report.facts import accuracy_facts, in_rounds, mapping, mappings, number, numbers, text
from inferkit.report.layers import WHY
from inferkit.report.page.hardware import differing
from inferkit.report.page.traces import Parts, Trace, Traces, pace, quantiles, split


@dataclass(frozen=True)
class CaseView:
    """One case and metric, with the replicates of head and base; `splits` are the parts of a batch's time of either.

    `base_facts` are what each file of base tells of the case.
    """

    case: str
    metric: str
    verdict: Verdict
    outcome: Outcome | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    base_facts: tuple[Mapping[str, Any], ...] = ()
    head: tuple[Strip, ...] = ()
    base: tuple[Strip, ...] = ()
    splits: tuple[tuple[str, Parts], ...] = ()
    reason: str = ""
    hint: str = ""

    @property
    def fails(self) -> bool:
        """Whether it fails a build."""
        return self.verdict in FAILING


@dataclass(frozen=True)
class ReportView:
    """A whole report. `against` says what the run was compared with; `base` are those files, if files they were.

    `differences` is what the machines of both sides differ in.
    """

    run: Run
    cases: tuple[CaseView, ...]
    against: str
    remarks: tuple[str, ...]
    base: tuple[Run, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many cases have each verdict, the most serious first."""
        return verdict_counts(self.cases)

    @property
    def verdict(self) -> str:
        """The suite's verdict in one sentence."""
        return headline(self.cases)

    @property
    def tone(self) -> str:
        """bad, unsure or good: for the colour beside the words."""
        if any(view.fails for view in _telling(self.cases)):
            return "bad"
        doubtful = {Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.NO_BASELINE, Verdict.SCREENED, Verdict.WAIVED}
        unsure = doubtful & set(self.counts)
        return "unsure" if unsure or not {Verdict.PASS, Verdict.IMPROVED} & set(self.counts) else "good"


ORDER = (
    Verdict.FAILED,
    Verdict.REGRESSED,
    Verdict.SUSPECT,
    Verdict.MISSING,
    Verdict.INVALID,
    Verdict.WAIVED,
    Verdict.INCONCLUSIVE,
    Verdict.SCREENED,
    Verdict.IMPROVED,
    Verdict.PASS,
    Verdict.NO_BASELINE,
    Verdict.UNSUPPORTED,
)


AGAINST = "against"  # the key of a case's facts that tells of the other side of an interleaved run
_MOST = 50.0  # of a logarithm of seconds: what is beyond is no time


def verdict_counts(cases: Sequence[CaseView]) -> dict[str, int]:
    """How many cases have each verdict, the most serious first; a case counts once, whatever was judged of it."""
    found = [view.verdict for view in _telling(cases)]
    return {verdict: found.count(verdict) for verdict in ORDER if verdict in found}


def headline(cases: Sequence[CaseView]) -> str:
    """The verdict on all cases in one sentence: what fails, else what could not be judged, else what passed."""
    if not cases:
        return "Nothing was measured"
    counts = Counter(verdict_counts(cases))
    failing = sum(view.fails for view in _telling(cases))
    if counts[Verdict.REGRESSED]:
        other = ", others failed or are missing" if failing > counts[Verdict.REGRESSED] else ""
        return f"{_cases(counts[Verdict.REGRESSED])} regressed{other}"
    if failing:
        return f"{_cases(failing)} failed or missing"
    if counts[Verdict.INVALID]:
        return f"{_cases(counts[Verdict.INVALID])} could not be judged: the measurement is invalid"
    judged = counts[Verdict.PASS] + counts[Verdict.IMPROVED] + counts[Verdict.INCONCLUSIVE]
    also = [
        f"{_cases(counts[verdict])} {words}"
        for verdict, words in ((Verdict.WAIVED, "waived"), (Verdict.SCREENED, "screened only"))
        if counts[verdict]
    ]
    if not judged:
        return "; ".join(["No case was judged", *also])
    if counts[Verdict.INCONCLUSIVE]:
        undecided = f"No regression found; {counts[Verdict.INCONCLUSIVE]} of {_cases(judged)} undecided"
        return "; ".join([undecided, *also])
    return "; ".join([f"No regression in {_cases(judged)}", *also])


def _telling(cases: Sequence[CaseView]) -> list[CaseView]:
    """The figure of each case whose verdict is the case's."""
    return [deciding(group) for group in by_case(cases).values()]


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"


def view_of(
    run: Run,
    base: Sequence[Run] = (),
    *,
    traces: Traces | None = None,
    base_traces: Sequence[Traces] = (),
    baselines: Path | None = None,
) -> ReportView:
    """The view of a run; with `base` its verdicts are those of comparing the two, else its own.

    `traces` are the raw traces beside the run's JSON, `base_traces` those of each base; `baselines` is a folder to show
    the baseline's replicates from.
    """
    remarks: tuple[str, ...] = ()
    outcomes: Sequence[Outcome]
    layers: Mapping[str, LayerDiff] | None = None
    if base:
        comparison = compare(base, [run])
        outcomes, remarks, layers = comparison.outcomes, comparison.remarks, comparison.layers
    else:
        outcomes = run.outcomes
        if run.smoke:
            remarks = ("made with --benchmark-disable: its times say nothing",)
        told = run.record.get("remarks")
        remarks += tuple(remark for remark in told if isinstance(remark, str)) if isinstance(told, list) else ()
    judged = {(outcome.case, outcome.metric): outcome for outcome in outcomes}
    of_base = _base_of(run, base, traces or {}, base_traces, baselines)
    cases = [
        _latency(name, run, judged.pop((name, LATENCY), None), of_base.get(name, _Side()), traces or {})
        for name in run.cases
    ]
    told = accuracy_facts(run)
    for name in run.accuracy:
        accuracy = judged.pop((name, ACCURACY), None)
        cases.append(_judged(name, ACCURACY, accuracy, told[name]))
    cases += cases_of(tuple(judged.values()))
    known = {case.case for case in cases}
    cases += [case for case in _unmeasured(run) if case.case not in known]
    cases = [case if layers is None else _with_layers(case, layers) for case in cases]
    return ReportView(run, _sorted(cases), _against(run, base), remarks, tuple(base), differing(base, [run]))


def cases_of(outcomes: Sequence[Outcome], layers: Mapping[str, LayerDiff] | None = None) -> tuple[CaseView, ...]:
    """Outcomes of a comparison as cases, the most serious first; with the layers that explain a changed latency."""
    cases = [_judged(outcome.case, outcome.metric, outcome, {}) for outcome in outcomes]
    return _sorted([case if not layers else _with_layers(case, layers) for case in cases])


def _with_layers(case: CaseView, layers: Mapping[str, LayerDiff]) -> CaseView:
    """The layers of this comparison, in place of those of the run's own one with its baseline."""
    facts = {key: value for key, value in case.facts.items() if key != WHY}
    if case.metric == LATENCY and case.case in layers:
        facts[WHY] = layers[case.case].as_dict()
    return replace(case, facts=facts)


def _sorted(cases: Sequence[CaseView]) -> tuple[CaseView, ...]:
    """The most serious first; of what regressed latency and accuracy first, the worst of each first."""

    def key(case: CaseView) -> tuple[int, bool, float]:
        rank = ORDER.index(case.verdict) if case.verdict in ORDER else len(ORDER)
        if case.verdict != Verdict.REGRESSED:
            return rank, False, 0.0
        change = case.outcome.change if case.outcome is not None else None
        return rank, case.metric not in MAIN, -(change or 0.0)

    return tuple(sorted(cases, key=key))


def _against(run: Run, base: Sequence[Run]) -> str:
    if base:
        return "compared with " + ", ".join(_named(file) for file in base)
    refs = {text(mapping(case.facts, AGAINST), "ref") for case in run.cases.values()} - {None}
    if refs:
        return f"compared with {', '.join(sorted(map(str, refs)))}, measured in turns with this run"
    known = mapping(run.record, "baselines")
    origins = {f"{slug}.json": mapping(known, slug) for slug in known}
    stored = [
        _with_origin(file, text(told, "commit") or "", text(told, "date") or "") for file, told in origins.items()
    ]
    if stored:
        return f"compared with the stored baseline{'s' if len(stored) > 1 else ''} {', '.join(stored)}"
    judged = any(outcome.base is not None for outcome in run.outcomes)
    return "compared with the stored baseline" if judged else "compared with nothing"


def _with_origin(file: str, commit: str, date: str) -> str:
    """A file, and the commit and time that its figures were measured at."""
    known = "" if commit in NO_COMMIT else commit[:12]
    told = ", ".join(part for part in (known, date[:16].replace("T", " ")) if part)
    return f"{file} ({told})" if told else file


def _named(file: Run) -> str:
    return _with_origin(Path(file.name).name, file.origin.commit, file.origin.date)


@dataclass(frozen=True)
class _Side:
    """The replicates of base of a case: their data and raw traces (None where there is none), and its files' facts."""

    log_medians: tuple[float, ...] = ()
    traces: tuple[Trace | None, ...] = ()
    facts: tuple[Mapping[str, Any], ...] = ()


def _base_of(
    run: Run, base: Sequence[Run], own: Traces, traces: Sequence[Traces], baselines: Path | None
) -> dict[str, _Side]:
    """The replicates of base, by case: of the base files, else of the commit that the run itself measured
    in turns, else of the baseline, which keeps medians only."""
    found: dict[str, _Side] = {}
    for position, file in enumerate(base):
        for name, case in file.cases.items():
            side = found.get(name, _Side())
            measured = _traces_of(name, len(case.log_medians), traces[position] if position < len(traces) else {})
            found[name] = _Side(side.log_medians + case.log_medians, side.traces + measured, (*side.facts, case.facts))
    if base:
        return found
    found = _baseline_of(run, baselines) if baselines is not None else {}
    for name, case in run.cases.items():
        data = tuple(datum for datum in numbers(mapping(case.facts, AGAINST), "log_medians") if abs(datum) < _MOST)
        if data:  # what the verdict rests on comes before what lies in a baseline
            found[name] = _Side(data, _traces_of(name, len(data), own, _prefix(name, own)))
    return found


def _prefix(case: str, traces: Traces) -> str:
    """What the traces of the base of an interleaved run are named by; earlier versions wrote `before0`."""
    return "before" if f"{case}/before0" in traces else "base"


def _baseline_of(run: Run, baselines: Path) -> dict[str, _Side]:
    found: dict[str, _Side] = {}
    store = BaselineStore(baselines)
    for slug, fingerprint in run.fingerprints.items():
        baseline = store.find(fingerprint)
        if baseline is not None:
            found |= {
                name: _Side(data := baseline.cases[name].log_medians, (None,) * len(data))
                for name, case in run.cases.items()
                if case.fingerprint == slug and name in baseline.cases
            }
    return found


def _judged(case: str, metric: str, outcome: Outcome | None, facts: Mapping[str, Any]) -> CaseView:
    verdict = outcome.verdict if outcome is not None else Verdict.NO_BASELINE
    reason = outcome.reason if outcome is not None else "the file has no verdict on it"
    hint = outcome.hint if outcome is not None else ""
    return CaseView(case, metric, verdict, outcome, facts, reason=reason, hint=hint)


def _latency(name: str, run: Run, outcome: Outcome | None, base: _Side, traces: Traces) -> CaseView:
    case = run.cases[name]
    measured = _traces_of(name, len(case.log_medians), traces)
    strips = _strips(case.log_medians, measured)
    builds = numbers(case.facts, "builds")
    if len(builds) == len(strips):
        strips = tuple(replace(strip, build=int(build)) for strip, build in zip(strips, builds, strict=True))
    sides = (("head", measured), ("base", base.traces))
    splits = [(side, split([trace for trace in of_side if trace is not None])) for side, of_side in sides]
    return replace(
        _judged(name, LATENCY, outcome, case.facts),
        base_facts=base.facts,
        head=strips,
        base=_strips(base.log_medians, base.traces),
        # Parts of a round overlap: they have no shares of it.
        splits=() if in_rounds(case.facts) else tuple((side, parts) for side, parts in splits if parts),
    )


def _traces_of(case: str, count: int, traces: Traces, prefix: str = "") -> tuple[Trace | None, ...]:
    return tuple(traces.get(f"{case}/{prefix}{number}") for number in range(count))


def _strips(log_medians: Sequence[float], traces: Sequence[Trace | None]) -> tuple[Strip, ...]:
    """The replicates of a case, each with the spread and the pace of its iterations where its raw trace is known."""
    return tuple(
        Strip(math.exp(datum)) if trace is None else Strip(math.exp(datum), quantiles(trace), pace=pace(trace))
        for datum, trace in zip(log_medians, traces, strict=True)
    )


def _unmeasured(run: Run) -> list[CaseView]:
    """Cases that could not run; those that failed are outcomes."""
    found = []
    for name in mapping(run.record, "unsupported"):
        told = mapping(mapping(run.record, "unsupported"), name)
        reason, hint = text(told, "reason") or "", text(told, "hint") or ""
        found.append(CaseView(name, main_metric(name), Verdict.UNSUPPORTED, reason=reason, hint=hint))
    return found


def telemetry_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the host and the GPU did during each replicate; None where it is not known."""
    rows = []
    for position, replicate in enumerate(mappings(facts, "replicates"), 1):
        host, gpu = mapping(replicate, "host"), mapping(replicate, "gpu")
        rows.append(
            {
                "replicate": position,
                "iterations": number(replicate, "iterations"),
                "load": number(host, "load_before"),
                "others": number(host, "others"),
                "stolen": number(host, "stolen"),
                "governor": text(host, "governor"),
                "sm_mhz": number(gpu, "sm_mhz_mean"),
                "power_watts": number(gpu, "power_watts_mean"),
                "temperature": number(gpu, "temperature_max"),
                "reasons": gpu.get("reasons") if isinstance(gpu.get("reasons"), list) else None,
                "energy_per_image": number(gpu, "energy_per_image"),
                "invalid": replicate.get("invalid") if isinstance(replicate.get("invalid"), list) else None,
            }
        )
    return rows
