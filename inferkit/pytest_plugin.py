"""The pytest plugin: a test that asks for one of the fixtures here runs over the cases of a matrix.

    def test_latency(inferkit_latency):
        inferkit_latency.check()

    def test_accuracy(inferkit_accuracy):
        inferkit_accuracy.check()

    def test_serving(inferkit_service):
        inferkit_service.check()

The cases come from `matrix.toml` beside the test file. In a project whose tests ask for neither, this plugin registers
its options and does nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from inferkit.errors import InferkitError
from inferkit.suite.session import options

if TYPE_CHECKING:
    from inferkit.suite.session.fixtures import AccuracyCheck, LatencyCheck, ServiceCheck
    from inferkit.suite.session.state import Parameter, Suite

_SUITE = pytest.StashKey["Suite"]()
_REFUSED = pytest.StashKey[set[str]]()
# Exit codes of a run that did not come to its end: interrupted, internal error, usage error.
_CUT_SHORT = (2, 3, 4)

# verdict -> (category in pytest's last line, letter, word with -v)
_WORDS = {
    "IMPROVED": ("improved", "+", "IMPROVED"),
    "NO_BASELINE": ("no baseline", "N", "NO_BASELINE"),
    "UNSUPPORTED": ("unsupported", "U", "UNSUPPORTED"),
    "INCONCLUSIVE": ("inconclusive", "?", "INCONCLUSIVE"),
    "INVALID": ("invalid", "I", "INVALID"),
    "SCREENED": ("screened", "S", "SCREENED"),
    "WAIVED": ("waived", "W", "WAIVED"),
}


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Long options at once; the short ones too where a conftest.py brought this plugin, since those are loaded then."""
    options.add_long_options(parser)
    if any((getattr(plugin, "__file__", "") or "").endswith("conftest.py") for plugin in pluginmanager.get_plugins()):
        options.add_short_options(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Iterator[None]:
    """Short options after the project's conftest files, so that those can have the names."""
    yield
    options.add_short_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """What several processes cannot do at the same time is told before they start."""
    if options.option(config, "accept-busy-host"):
        from inferkit.measure.machine import busy_host

        busy_host.accept()
    alone = options.option(config, "against") or options.option(config, "ray")
    if getattr(config.option, "dist", "no") != "no" and alone:
        from inferkit.suite.session.xdist import refuse

        refuse(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per case."""
    for name in options.FIXTURES:
        if name in metafunc.fixturenames and name not in _parametrized(metafunc):
            try:
                kind = name.removeprefix("inferkit_")
                parameters = _suite(metafunc.config).parameters(kind, metafunc.definition.path)
            except InferkitError as error:
                if _is_new(metafunc.config, str(error)):
                    raise pytest.Collector.CollectError(str(error)) from None
                parameters = []
            metafunc.parametrize(name, [_parameter(parameter) for parameter in parameters], indirect=True)


def _is_new(config: pytest.Config, error: str) -> bool:
    """Whether no test was refused for this yet: what is wrong with a matrix is told once, not for each of its tests."""
    refused = config.stash.setdefault(_REFUSED, set())
    is_new = error not in refused
    refused.add(error)
    return is_new


def _parametrized(metafunc: pytest.Metafunc) -> set[str]:
    return {str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize") if mark.args}


def _parameter(parameter: Parameter) -> Any:
    marks = (
        pytest.mark.benchmark(timer=parameter.timer, group=parameter.group),
        # A case that cannot be measured never gets to the benchmark fixture, and has a reason of its own.
        pytest.mark.filterwarnings("ignore:Benchmark fixture was not used"),
    )
    return pytest.param(parameter, id=parameter.id, marks=marks)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that the selection left without any case are not tests; pytest would show them as skipped.

    Nor are those of a case that one matrix lacks and another one of this run declares.
    """
    if _SUITE not in config.stash:
        return
    asking = [(item, _parameter_of(item)) for item in items if _asks(item)]
    needless = _suite(config).needless(parameter for _, parameter in asking if parameter is not None)
    empty = [item for item, parameter in asking if parameter is None or parameter in needless]
    if empty:
        items[:] = [item for item in items if item not in empty]
        config.hook.pytest_deselected(items=empty)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """A run without all cases says so, whoever left them out: -k, -m, --deselect, --lf, another plugin."""
    for item in items:
        parameter = _parameter_of(item)
        if parameter is not None and hasattr(parameter.case, "precision"):  # not one that vanished from a matrix
            _suite(item.config).left_out = True


def _asks(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return any(name in names for name in options.FIXTURES)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist says that this worker has collected
def pytest_collection_finish(session: pytest.Session) -> None:
    """What would spoil the run in the end is told before anything is measured."""
    parameters = _parameters(session)
    if not parameters:
        return
    from inferkit.suite.session import xdist as workers

    if workers.is_worker(session.config):
        from inferkit.backends import backend

        cases = [each.case for each in parameters if hasattr(each.case, "batch_size")]
        on_gpu = sum(backend(case.backend).facts.on_gpu for case in cases)
        _suite(session.config).family = on_gpu
        if on_gpu:
            workers.take_gpu(session.config)
    from inferkit.suite.session.pytest_benchmark import is_on

    if not is_on(session.config):
        raise pytest.UsageError(
            "the suite hands its times to pytest-benchmark, which is switched off (-p no:benchmark) or not installed; "
            "use --benchmark-skip to leave the cases out"
        )
    from inferkit.suite.session.problems import refuse_problems
    from inferkit.suite.session.run import check_json_path

    check_json_path(session.config)
    if not _is_idle(session.config):
        refuse_problems(session, _suite(session.config), parameters)


@pytest.hookimpl(tryfirst=True)
def pytest_collectreport(report: pytest.CollectReport) -> None:
    """The list of problems stands in its place alone: in CI pytest's summary would show all of it again."""
    if not (report.failed and isinstance(report.longrepr, str)):
        return  # and load nothing of the suite
    from inferkit.suite.session.problems import REFUSED, ShownOnce

    if getattr(report, REFUSED, False):
        report.longrepr = ShownOnce(report.longrepr)  # type: ignore[assignment]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Any) -> None:
    """pytest-xdist goes on after errors in the collection: not where the matrix names what is not there."""
    from inferkit.suite.session.problems import REFUSED

    reporter = node.config.pluginmanager.getplugin("terminalreporter")
    if any(getattr(report, REFUSED, False) for report in reporter.stats.get("error", ())):
        raise pytest.Session.Interrupted("error during collection")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Measure all selected cases, interleaved, before the first test; each test then judges its own."""
    if _may_measure(session) and _parameters(session):
        from inferkit.suite.session.run import measure

        measure(_suite(session.config), _parameters(session), _run_on_cluster)
    return (yield)


def _run_on_cluster(*campaign_and_cases: Any) -> None:
    from inferkit.cluster.campaign import run_on_cluster

    run_on_cluster(*campaign_and_cases)


def _may_measure(session: pytest.Session) -> bool:
    return not _is_idle(session.config) and not hasattr(session.config, "workerinput") and not session.testsfailed


def _is_idle(config: pytest.Config) -> bool:
    """Whether no test of this run is executed."""
    return any(getattr(config.option, name, False) for name in ("collectonly", "setuponly", "setupplan"))


def _parameters(session: pytest.Session) -> list[Parameter]:
    """What the selected tests are about, without those that are to be skipped."""
    items = [item for item in getattr(session, "items", ()) if item.get_closest_marker("skip") is None]
    return [parameter for item in items if (parameter := _parameter_of(item)) is not None]


def _parameter_of(item: pytest.Item) -> Parameter | None:
    """What a test is about, None for tests of others and where there was nothing to parametrize with."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    found = next((params[name] for name in options.FIXTURES if params.get(name)), None)
    return found if hasattr(found, "matrix") else None


@pytest.fixture
def inferkit_latency(request: pytest.FixtureRequest, benchmark: Any) -> LatencyCheck:
    """A latency case of the matrix; `check()` judges it."""
    from inferkit.suite.session.fixtures import LatencyCheck

    return LatencyCheck(_suite(request.config), _param(request), benchmark, request.node)


@pytest.fixture
def inferkit_accuracy(request: pytest.FixtureRequest, benchmark: Any) -> AccuracyCheck:
    """An accuracy case of the matrix; `check()` judges it."""
    from inferkit.suite.session.fixtures import AccuracyCheck

    return AccuracyCheck(_suite(request.config), _param(request), benchmark, request.node)


@pytest.fixture
def inferkit_service(request: pytest.FixtureRequest, benchmark: Any) -> ServiceCheck:
    """A service case of the matrix: a network under one of MLPerf's scenarios; `check()` judges it."""
    from inferkit.suite.session.fixtures import ServiceCheck

    return ServiceCheck(_suite(request.config), _param(request), benchmark, request.node)


def _param(request: pytest.FixtureRequest) -> Parameter:
    parameter: Parameter | None = getattr(request, "param", None)
    if parameter is None:
        raise pytest.UsageError("a test asks for this fixture by an argument; it cannot be asked for at run time")
    return parameter


def _suite(config: pytest.Config) -> Suite:
    if _SUITE not in config.stash:
        from inferkit.suite.session.state import Suite

        config.stash[_SUITE] = Suite(config)
    return config.stash[_SUITE]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """The result travels with the report, also from a worker of pytest-xdist to its controller."""
    report: Any = yield
    if _SUITE in item.config.stash and report.when == "call":
        from inferkit.suite.session.fixtures import RESULT

        if RESULT in item.stash:
            report.inferkit = item.stash[RESULT]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A failure that the table of verdicts explains is not shown by pytest too, unless the test printed something."""
    failure = getattr(report, "inferkit", {}).get("failure")
    if failure and str(report.longrepr).strip() == failure.strip() and not report.sections:
        report.__dict__["_pdbshown"] = True  # how pytest leaves out what its debugger has shown


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    """A verdict that is neither pass nor failure has its own word and letter."""
    result: dict[str, Any] = getattr(report, "inferkit", {})
    return _WORDS.get(result.get("verdict", "")) if report.outcome != "failed" else None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker of pytest-xdist ended: take what it found."""
    from inferkit.suite.session.xdist import received

    told = received(node)
    if told is not None:
        suite = _suite(node.config)
        suite.gathered.append(told)
        suite.notes += [note for note in told.notes if note not in suite.notes]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Write --benchmark-json whole or not at all, and give runs that say nothing an exit code of their own."""
    from inferkit.suite.session.xdist import is_controller, is_worker

    if is_controller(session.config) and _has_results(session.config):
        _suite(session.config)
    if _SUITE not in session.config.stash:
        return (yield)
    if is_worker(session.config):
        from inferkit.suite.session.run import hand_over

        hand_over(session.config.stash[_SUITE])
        return (yield)
    from inferkit.suite.session.history import compare_with_earlier_baselines
    from inferkit.suite.session.run import exit_code, write_json, write_verdicts

    if session.shouldfail or session.shouldstop:
        session.config.stash[_SUITE].left_out = True
    # Before the other finishers: pytest's own writes the summary, which tells what was written.
    suite = session.config.stash[_SUITE]
    cut_short = exitstatus in _CUT_SHORT
    code = write_json(suite, exit_code(suite, int(exitstatus)), interrupted=cut_short)
    if not cut_short:
        compare_with_earlier_baselines(suite)
    code = write_verdicts(suite, code, cut_short)
    if code != exitstatus:
        session.exitstatus = code
    return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Ours is one top-level key, beside what pytest-benchmark's own tools read."""
    if _SUITE in config.stash:
        from inferkit.suite.session.run_json import run_record

        output_json["inferkit"] = run_record(config.stash[_SUITE])


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The table of verdicts, in place of pytest-benchmark's where it would show the same times."""
    results = [report.inferkit for reports in terminalreporter.stats.values() for report in reports if _has(report)]
    if results or _SUITE in config.stash:
        from inferkit.suite.session.run import show

        show(terminalreporter, results, config.stash.get(_SUITE, None))


def _has(report: Any) -> bool:
    return hasattr(report, "inferkit")


def _has_results(config: pytest.Config) -> bool:
    from inferkit.suite.session.run import results_of

    return bool(results_of(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what was prepared for measuring."""
    if _SUITE in config.stash:
        config.stash[_SUITE].close()
