"""What `inferkit doctor` says of the suite in this folder: cases, files, baselines, and what those can show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from inferkit.errors import InferkitError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.judging import default_rule
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.run import Run
from inferkit.measure.case import Case
from inferkit.report.doctor import NOTE, OK, PROBLEM, Finding
from inferkit.suite.campaign.target import availability, fingerprint_of
from inferkit.suite.matrix.definition import Matrix
from inferkit.suite.matrix.files import problems_by_networks
from inferkit.suite.matrix.read import USUAL_FILES, load_matrix

_GATE = 0.02


def suite() -> Iterator[Finding]:
    """The matrix of this folder, and the baselines beside it; a note where there is none."""
    path = next((Path(name) for name in USUAL_FILES if Path(name).is_file()), None)
    if path is None:
        yield Finding("suite", NOTE, f"no {' or '.join(USUAL_FILES)} in this folder", "run it in the suite's folder")
        return
    try:
        matrix = load_matrix(path)
    except InferkitError as error:
        for problem in str(error).splitlines():
            yield Finding("suite", PROBLEM, problem, "correct that line", blocks=True)
        return
    cases = matrix.cases()
    labelled = [case.model for case in matrix.accuracy_cases()]
    stopped = set()
    for problem, networks in problems_by_networks(matrix.networks, labelled, matrix.all_cases()):
        stopped |= {network.name for network in networks}
        yield Finding("suite files", PROBLEM, problem, "correct that line, or the file", blocks=True)
    supported = [case for case in cases if availability(case.backend, case.precision).ok]
    runs = [case for case in supported if case.model not in stopped]
    counted = Counter(case.backend for case in cases if case not in supported)
    rest = "".join(f", {count} {name} UNSUPPORTED" for name, count in counted.items())
    rest += f", {len(supported) - len(runs)} wait for their files" if len(runs) < len(supported) else ""
    text = f"{path}: {len(runs)} of {len(cases)} latency cases can run here{rest}"
    if runs:
        yield Finding("suite", OK, text)
    else:
        hint = "correct the files, see above" if supported else "install a backend, see above"
        yield Finding("suite", PROBLEM, text, hint, blocks=True)
    for name in dict.fromkeys(case.backend for case in runs):
        yield from _baseline(name, matrix, [case for case in runs if case.backend == name])


def _baseline(name: str, matrix: Matrix, cases: list[Case]) -> Iterator[Finding]:
    store = BaselineStore("baselines")
    fingerprint = fingerprint_of(name, matrix.settings(name))
    try:
        stored = store.find(fingerprint)
    except InferkitError as error:
        yield Finding(f"baseline {name}", PROBLEM, str(error), "restore the file from the last commit", blocks=False)
        return
    if stored is None:
        hint = "pytest --benchmark-json run.json, then inferkit baseline promote run.json"
        text = f"none for this machine in {store.folder}/ ({fingerprint.slug}.json), {len(store.files())} for others"
        yield Finding(f"baseline {name}", NOTE, text, hint)
        return
    with_baseline = [case for case in cases if case.id in stored.cases]
    path = store.path(fingerprint)
    yield Finding(f"baseline {name}", OK, f"{path}: {len(with_baseline)} of {len(cases)} cases")
    yield from _detectable(name, stored, with_baseline, path)


def _detectable(name: str, stored: Run, cases: list[Case], path: Path) -> Iterator[Finding]:
    """The smallest detectable changes with as many processes as were stored, if they are as noisy as those."""
    same = {case.id: stored.cases[case.id].log_medians for case in cases}
    outcomes = default_rule().judge([LogSamples(each, logs, logs, _GATE) for each, logs in same.items()])
    smallest = sorted(outcome.mde for outcome in outcomes if outcome.mde is not None)
    if not smallest:
        return
    enough = sum(each <= _GATE for each in smallest)
    span = f"smallest detectable changes {smallest[0]:.1%} to {smallest[-1]:.1%}"
    text = f"+2 % is detectable in {enough} of {len(smallest)} cases ({span}), by the noise in {path.name}"
    hint = "" if enough == len(smallest) else "use more replicates, a quieter machine, or a larger margin"
    yield Finding(f"detectable {name}", OK if enough == len(smallest) else NOTE, text, hint)
