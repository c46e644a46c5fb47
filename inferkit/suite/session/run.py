"""One pytest run over the suite: measuring with progress, the JSON files written whole, the table, the exit code."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inferkit.errors import InferkitError, UsageError
from inferkit.exit_codes import ExitCode
from inferkit.files import is_special, is_writable, write_atomically
from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.outputs import is_changed
from inferkit.measure.case import Case
from inferkit.measure.machine import busy_host
from inferkit.report.encoding import never_failing
from inferkit.report.progress import progress_on
from inferkit.report.table import stdout_look
from inferkit.report.terminal import render
from inferkit.suite.campaign.campaign import Campaign
from inferkit.suite.matrix.definition import AccuracyCase
from inferkit.suite.matrix.network_files import network_files
from inferkit.suite.session import history as remember
from inferkit.suite.session import pytest_benchmark
from inferkit.suite.session import reports as show_files
from inferkit.suite.session.options import option
from inferkit.suite.session.run_json import run_record, screen_lines, traces_npz, traces_path
from inferkit.suite.session.state import Parameter, Suite
from inferkit.suite.session.xdist import WorkerRun, by_name, is_controller, is_worker, send
from inferkit.suite.terminable import terminable
from inferkit.version import __version__

if TYPE_CHECKING:
    from inferkit.suite.interleaved.confirm import Confirmation

EXIT_NOT_WRITTEN = int(pytest.ExitCode.INTERNAL_ERROR)
VERDICTS_SCHEMA = 1  # of --verdict-json

# Campaign, address of the cluster, latency and accuracy cases: the campaign has their records afterwards.
ClusterRun = Callable[[Campaign, str, Sequence[Case], Sequence[AccuracyCase]], None]


def measure(suite: Suite, parameters: Sequence[Parameter], on_cluster: ClusterRun) -> None:
    """Run one campaign per matrix over the cases of these parameters; `on_cluster` measures them where --ray is given.

    It is handed in, since a cluster stands on the suite. SIGTERM ends it like Ctrl-C.
    """
    with terminable():
        _measure(suite, parameters, on_cluster)


def _measure(suite: Suite, parameters: Sequence[Parameter], on_cluster: ClusterRun) -> None:
    reporter = suite.config.pluginmanager.getplugin("terminalreporter")
    for path in dict.fromkeys(parameter.matrix for parameter in parameters):
        cases = [parameter.case for parameter in parameters if parameter.matrix == path]
        latency = list(dict.fromkeys(case for case in cases if isinstance(case, Case)))
        accuracy = list(dict.fromkeys(case for case in cases if isinstance(case, AccuracyCase)))
        campaign = suite.campaign(path)
        campaign.progress = progress_on(reporter)
        hashed = suite.files.setdefault(path, {})
        fresh = {case.model for case in latency} - hashed.keys()
        hashed |= network_files((each for each in campaign.matrix.networks if each.name in fresh), path.parent)
        against = option(suite.config, "against")
        plain = [case for case in latency if case in campaign.matrix.cases()]
        if against and plain and not campaign.settings.smoke:
            _against(suite, campaign, path, plain, against)
        cluster = option(suite.config, "ray")
        if cluster:
            if against:
                raise pytest.UsageError(
                    "--against measures two commits on this machine, and --ray on others: choose one"
                )
            try:
                on_cluster(campaign, cluster, latency, accuracy)
            except InferkitError as error:
                raise pytest.UsageError(f"--ray {cluster}: {error}") from None
        confirmation = _confirmation(suite, campaign, path)
        campaign.run(latency, accuracy)
        suite.notes += confirmation.run() if confirmation is not None else []
        suite.waive(path)
        suite.notes += _busy(campaign)
        suite.notes += _unlike_calibration(campaign)
        suite.notes += _changed_outputs(campaign)
        suite.notes += campaign.machine_lines()
        if campaign.logs.folder is not None:
            suite.notes.append(f"the load generator's logs: {campaign.logs.folder}")


def _confirmation(suite: Suite, campaign: Campaign, path: Path) -> Confirmation | None:
    """What measures suspects in turns with their base; None where nobody asks for it, or only times are wanted."""
    declared = campaign.matrix.suite
    wanted = option(suite.config, "confirm") or declared.confirm
    elsewhere = option(suite.config, "ray") or is_worker(suite.config)
    if wanted == "never" or campaign.settings.smoke or campaign.settings.for_baseline or elsewhere:
        return None
    from inferkit.suite.interleaved.confirm import Confirmation

    budget = option(suite.config, "confirm-budget") or declared.confirm_budget
    return Confirmation(campaign, path, wanted == "all", budget)


def _busy(campaign: Campaign) -> list[str]:
    """What is said where measurements on a busy host were accepted: how many of them, and what they are worth."""
    if not busy_host.is_accepted():
        return []
    on_cpus = [each for record in campaign.latency.values() for each in record.replicates if each.gpu is None]
    busy = sum(each.on_busy_cpus for each in on_cpus)
    if not busy:
        return []
    text = f"{busy} of {len(on_cpus)} processes were measured on a busy machine ({busy_host.OPTION})"
    return [f"{text}: their times say little, their p99 is not judged, and they make no baseline worth keeping"]


def _unlike_calibration(campaign: Campaign) -> list[str]:
    """The cases whose images are not like those that they were calibrated with."""
    accuracies = campaign.accuracy.items()
    return [
        f"{case.id}: {each.accuracy.warning}" for case, each in accuracies if each.accuracy and each.accuracy.warning
    ]


def _changed_outputs(campaign: Campaign) -> list[str]:
    """The lines of outputs that changed and fail nothing, as the matrix asks for no more."""
    outcomes = (outcome for record in campaign.latency.values() for outcome in record.outcomes)
    return [outcome.line for outcome in outcomes if is_changed(outcome) and outcome.verdict is Verdict.PASS]


def _against(suite: Suite, campaign: Campaign, path: Path, cases: Sequence[Case], ref: str) -> None:
    from inferkit.suite.interleaved.commits import run_against

    try:
        seed = run_against(campaign, path, cases, ref)
    except UsageError as error:
        raise pytest.UsageError(f"--against {ref}: {error}") from None
    suite.notes.append(f"latencies are judged against {ref}, measured in interleaved blocks (order from seed {seed})")


def check_json_path(config: pytest.Config) -> None:
    """UsageError where --benchmark-json or --report names a place that cannot be written to."""
    named = {"--benchmark-json": pytest_benchmark.json_path(config), "--report": option(config, "report")}
    named["--verdict-json"] = option(config, "verdict-json")
    for name, path in named.items():
        if path is not None and not is_writable(path):
            raise pytest.UsageError(f"{name} {path} cannot be written there")


def write_json(suite: Suite, code: int, interrupted: bool) -> int:
    """Write --benchmark-json in pytest-benchmark's stead, whole or not at all, and remember the run; the exit code.

    pytest-benchmark writes in place, so that a killed run leaves half a file. The content comes from its own hooks, and
    so has its own format. An interrupted run writes nothing: a part of a run is not one; nor does a run that measured
    nothing, so that it replaces no file of one that did. The raw traces go beside it, first, so that there is no JSON
    without them.
    """
    if not pytest_benchmark.is_on(suite.config):
        return code
    pytest_benchmark.keep_from_writing(suite.config, also_storage=interrupted)
    named = pytest_benchmark.json_path(suite.config)
    path = None if named is None else Path(named)
    history = remember.history_file(suite)
    if path is None and not show_files.wanted(suite) and history is None:
        return code
    if reason := not_to_write(suite, interrupted):
        for file in filter(None, (path, option(suite.config, "report"))):
            suite.notes.append(f"{file} is not written: {reason}")
        return code
    if path is None and not show_files.wanted(suite):
        assert history is not None
        remember.remember(suite, history, _record(suite))
        return code
    gathered = [entry for worker_run in suite.gathered for entry in worker_run.benchmarks]
    whole = finite(pytest_benchmark.run_json(suite.config, gathered))
    content = json.dumps(whole, default=str, indent=1, allow_nan=False).encode()
    if history is not None:
        remember.remember(suite, history, content)
    if show_files.wanted(suite) and not show_files.show_run(suite, content):
        code = code or EXIT_NOT_WRITTEN
    if path is None:
        return code
    try:
        # Beside a device or a pipe (/dev/null) there is no place for the raw traces.
        traces = None if is_special(path) else traces_path(path)
        if traces is not None:
            write_atomically(traces, traces_npz(suite))
        write_atomically(path, content)
    except OSError as error:
        suite.notes.append(f"ERROR: {path} could not be written: {error.strerror or error}")
        return code or EXIT_NOT_WRITTEN
    suite.notes.append(f"written: {path}" + (f" and {traces.name}" if traces is not None else ""))
    return code


def not_to_write(suite: Suite, interrupted: bool) -> str:
    """Why this run writes no file, so that it replaces none of a whole run; empty where it does."""
    if interrupted:
        return "the run was interrupted"
    return "nothing was measured" if measured_nothing(suite) else ""


def measured_nothing(suite: Suite) -> bool:
    """Whether no test ran that has a time or a verdict: --collect-only, a selection of no test, -x before the first."""
    ran = any(campaign.records() for campaign in suite.campaigns.values()) or suite.unmeasured or suite.gathered
    return not ran and not pytest_benchmark.entries(suite.config)


def write_verdicts(suite: Suite, code: int, interrupted: bool) -> int:
    """Write --verdict-json, what every case was judged as for machines, whole or not at all; returns the exit code.

    A run of which `not_to_write` says why writes nothing.
    """
    path = option(suite.config, "verdict-json")
    if path is None:
        return code
    if reason := not_to_write(suite, interrupted):
        suite.notes.append(f"{path} is not written: {reason}")
        return code
    content = json.dumps(_verdicts(suite, code), indent=1, allow_nan=False).encode() + b"\n"
    try:
        write_atomically(Path(path), content)
    except OSError as error:
        suite.notes.append(f"ERROR: {path} could not be written: {error.strerror or error}")
        return code or EXIT_NOT_WRITTEN
    suite.notes.append(f"written: {path}")
    return code


def _verdicts(suite: Suite, code: int) -> Any:
    """One entry per test in the order they ran, and the outcome of every metric that was judged."""
    results = results_of(suite.config)
    record = run_record(suite)
    return finite(
        {
            "schema": VERDICTS_SCHEMA,
            "version": __version__,
            "exit_code": code,
            "counts": dict(Counter(result["verdict"] for result in results.values())),
            "tests": [
                {"test": test, "case": result["row"].get("case"), "verdict": result["verdict"], "line": result["line"]}
                for test, result in results.items()
            ],
            "outcomes": record["outcomes"],
            "waivers": [waiver.as_dict() for path in suite.matrices for waiver in suite.waivers(path)],
            "needless_waivers": suite.needless_waivers(),
            "ratchet": [outcome.as_dict() for outcome in suite.ratchet],
            "layers": {name: case["why"] for name, case in record["cases"].items() if "why" in case},
        }
    )


def hand_over(suite: Suite) -> None:
    """What a worker of pytest-xdist does in place of writing: leave what it found for the controller."""
    wanted = pytest_benchmark.json_path(suite.config) is not None or show_files.wanted(suite)
    traces = traces_npz(suite) if wanted and pytest_benchmark.is_on(suite.config) else b""
    pytest_benchmark.keep_from_writing(suite.config, also_storage=True)
    entries = pytest_benchmark.entries(suite.config)
    lines = [line for campaign in suite.campaigns.values() for line in campaign.machine_lines()]
    send(suite.config, WorkerRun(finite(run_record(suite)), [*suite.notes, *lines], finite(entries), traces))


def _record(suite: Suite) -> bytes:
    """The same without pytest-benchmark's part, which needs a second to find the CPU's name: for the history."""
    commit = pytest_benchmark.commit_info(suite.config)
    output = {"machine_info": {}, "commit_info": commit, "benchmarks": [], "datetime": datetime.now(UTC).isoformat()}
    output["inferkit"] = run_record(suite)
    return json.dumps(finite(output), default=str, allow_nan=False).encode()


def finite(value: Any) -> Any:
    """The same without NaN and infinities, which JSON does not have: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def exit_code(suite: Suite, code: int) -> int:
    """What pytest would exit with, unless nothing failed and nothing was said either.

    NOTHING where every case is UNSUPPORTED: a gate that measured nothing must not look green. INVALID where a
    measurement is. A waiver that is not needed fails the run.
    """
    needless = [] if code not in (0, 1) or measured_nothing(suite) else suite.needless_waivers()
    suite.notes += [f"ERROR: {line}" for line in needless]
    if needless:
        return int(pytest.ExitCode.TESTS_FAILED)
    if code == 0 and is_controller(suite.config):
        # Each test's result came with its report; a case that was refused left nothing else.
        verdicts = {result["verdict"] for result in results_of(suite.config).values()}
        nothing = verdicts == {Verdict.UNSUPPORTED}
        return ExitCode.NOTHING if nothing else ExitCode.INVALID if Verdict.INVALID in verdicts else code
    records = [record for campaign in suite.campaigns.values() for record in campaign.records()]
    if code != 0 or not records:
        return code
    if all(record.unsupported is not None for record in records):
        return ExitCode.NOTHING
    invalid = any(outcome.says_nothing for record in records for outcome in record.outcomes)
    return ExitCode.INVALID if invalid else code


def results_of(config: pytest.Config) -> dict[str, dict[str, Any]]:
    """What each test left for the reports, by its id, in the order they ran."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    groups = reporter.stats.values() if reporter is not None else ()
    reports = [report for group in groups for report in group if hasattr(report, "inferkit")]
    # The reporter has them by category: passed, failed, each of ours.
    return {report.nodeid: report.inferkit for report in sorted(reports, key=lambda report: report.start)}


def show(reporter: Any, results: Iterable[dict[str, Any]], suite: Suite | None) -> None:
    """Write the table, and keep pytest-benchmark from showing the same times again, unless it was asked to."""
    never_failing(reporter._tw._file)
    shown = list(results)
    if suite is not None and suite.gathered:
        shown.sort(key=lambda result: by_name(str(result["row"].get("case", ""))))
    if shown:
        reporter.section("inferkit", sep="=")
        for line in () if suite is None else screen_lines(suite):
            reporter.write_line(line)
        width, _ = stdout_look()
        for line in render(shown, width=width, color=bool(reporter._tw.hasmarkup)):
            reporter.write_line(line)
    for note in suite.notes if suite is not None else ():
        reporter.write_line(note)
    if suite is not None:
        ours = {record.case.id for campaign in suite.campaigns.values() for record in campaign.records()}
        pytest_benchmark.hide_table(suite.config, ours)
