"""MLPerf's load generator against the batcher: every scenario, accuracy mode, and a request that fails."""

import json
from argparse import Namespace

import numpy as np
import pytest

from inferkit.cli.main import main
from inferkit.cli.serve_bench import _highest, exit_code
from inferkit.errors import MeasurementError, UsageError
from inferkit.exit_codes import ExitCode
from inferkit.measure.latency.statistics import samples_needed
from inferkit.network.network import TensorInfo
from inferkit.serve import Batcher
from inferkit.serve.load.loadgen import SCENARIOS, Load, _top1, run_load
from inferkit.serve.load.samples import Samples, read_samples
from inferkit.serve.load.search import RateSearch

pytest.importorskip("mlperf_loadgen", reason="MLPerf's load generator is missing: pip install mlcommons-loadgen")

CLASSES = 5
SAMPLES = Samples(
    {"x": np.eye(CLASSES, dtype=np.float32)[np.arange(40) % CLASSES]}, np.arange(40) % CLASSES, "one-hot rows"
)
INPUT = TensorInfo("x", "float32", (None, CLASSES))


@pytest.fixture
def batcher():
    with Batcher(lambda arrays: {"prob": arrays["x"]}, 8, inputs=[INPUT], delay=0.0, queue_limit=1 << 20) as batcher:
        yield batcher


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_scenario_runs_and_leaves_its_logs(scenario, batcher, tmp_path):
    load = Load(scenario, 0.05, rate=200.0, expected=0.0001, bound=5.0, queries=50)
    result = run_load(batcher, SAMPLES, load, tmp_path / "logs")
    assert result.valid is (result.figures["result_validity"] == "VALID")
    assert (result.reasons == ()) or not result.valid
    assert result.is_short
    assert result.latency("99.00") > 0
    assert "Result is" in (tmp_path / "logs" / "mlperf_log_summary.txt").read_text()


def test_a_bound_that_cannot_hold_is_invalid_and_says_why(batcher, tmp_path):
    result = run_load(batcher, SAMPLES, Load("server", 0.05, rate=500, bound=1e-9, queries=50), tmp_path)
    assert result.valid is False
    assert "latency bound not met" in result.reasons


@pytest.mark.parametrize("scenario", ["server", "offline", "multi-stream"])
def test_accuracy_counts_every_sample_once(scenario, batcher, tmp_path):
    labels = SAMPLES.labels.copy()
    labels[:10] = (labels[:10] + 1) % CLASSES
    samples = Samples(SAMPLES.arrays, labels, "a quarter is labelled wrong")
    result = run_load(batcher, samples, Load(scenario, rate=2000, accuracy=True), tmp_path)
    assert result.top1 == 75.0
    assert result.valid is None


def test_accuracy_counts_a_sample_once_where_the_last_query_repeats_some(batcher, tmp_path):
    labels = SAMPLES.labels.copy()
    labels[:11] = (labels[:11] + 1) % CLASSES
    samples = Samples({"x": SAMPLES.arrays["x"][:33]}, labels[:33], "33 rows: four queries of 8, and one of the fifth")
    result = run_load(batcher, samples, Load("multi-stream", accuracy=True, queries=1), tmp_path)
    assert len(json.loads((tmp_path / "mlperf_log_accuracy.json").read_text())) == 40
    assert result.top1 == pytest.approx(100 * 22 / 33)


@pytest.mark.parametrize(
    ("answers", "message"),
    [(((0, 1), (1, 2), (0, 3)), "two different answers for sample 0"), (((0, 1), (0, 1)), "1 of 2 samples")],
)
def test_answers_that_are_missing_or_contradict_are_no_accuracy(answers, message, tmp_path):
    log = tmp_path / "mlperf_log_accuracy.json"
    log.write_text(json.dumps([{"qsl_idx": index, "data": f"0{data}000000"} for index, data in answers]))
    with pytest.raises(MeasurementError, match=message):
        _top1(log, Samples({"x": np.zeros((2, CLASSES), np.float32)}, np.zeros(2, int), "two rows"))


def test_a_failed_request_is_no_result(tmp_path):
    def engine(arrays):
        raise ValueError("broken")

    with Batcher(engine, 8, inputs=[INPUT], delay=0.0) as batcher, pytest.raises(MeasurementError, match="broken"):
        run_load(batcher, SAMPLES, Load("single-stream", 0.01, queries=5), tmp_path)


def test_what_makes_no_sense_is_refused(batcher, tmp_path):
    with pytest.raises(UsageError, match="unknown scenario"):
        run_load(batcher, SAMPLES, Load("interactive"), tmp_path)
    unlabelled = Samples(SAMPLES.arrays, None, "rows without labels")
    with pytest.raises(UsageError, match="rows without labels has none"):
        run_load(batcher, unlabelled, Load("offline", accuracy=True), tmp_path)
    with pytest.raises(UsageError, match="feeds one input"):
        read_samples([INPUT, INPUT], "fashion_mnist", 1)


def test_the_command_runs_a_trained_network_and_writes_what_it_found(tmp_path, capsys):
    options = ["--scenario", "server", "--qps", "1000", "--p99", "5s", "--duration", "100ms", "--threads", "1"]
    kept = ["--logs", str(tmp_path / "logs"), "--json", str(tmp_path / "run.json")]
    code = main(["serve-bench", "lenet", *options, *kept])
    shown = capsys.readouterr().out
    written = json.loads((tmp_path / "run.json").read_text())
    run = written["runs"][0]
    assert written["delay_seconds"] == 0.002
    assert run["load"]["queries"] == samples_needed(99.0)  # or its p99 could never be VALID at a low rate
    assert code == (ExitCode.OK if run["valid"] else ExitCode.INVALID)  # the bound of 5 s is met in any case
    assert "short run (0.1 s; MLPerf requires 600 s)" in shown
    assert ("· VALID ·" in shown) is run["valid"]
    assert (tmp_path / "logs" / "mlperf_log_detail.txt").is_file()


def test_the_delay_that_is_told_is_the_one_that_was_used(tmp_path):
    options = ["--scenario", "single-stream", "--duration", "10ms", "--threads", "1", "--delay", "5ms"]
    main(["serve-bench", "lenet", *options, "--logs", str(tmp_path / "logs"), "--json", str(tmp_path / "run.json")])
    assert json.loads((tmp_path / "run.json").read_text())["delay_seconds"] == 0.0


def test_a_search_in_vain_says_how_low_it_went():
    search = RateSearch(None, ((64.0, False), (1.0, False)))
    text = _highest(search, Namespace(p99=0.015, duration=1.0))
    assert text == "no rate meets p99 <= 15 ms; the lowest of 2 runs was 1 queries/s"


def test_a_bound_that_is_missed_is_worse_and_a_run_that_is_too_short_is_invalid(batcher, tmp_path):
    missed = run_load(batcher, SAMPLES, Load("server", 0.05, rate=500, bound=1e-9, queries=50), tmp_path / "missed")
    short = run_load(batcher, SAMPLES, Load("offline", 0.5, rate=1, queries=1), tmp_path / "short")
    assert [result.valid for result in (missed, short)] == [False, False], short.figures
    assert [exit_code(result) for result in (missed, short)] == [ExitCode.REGRESSED, ExitCode.INVALID]


@pytest.mark.parametrize("options", [[], ["--uint8-input"]])
def test_accuracy_of_a_trained_network_is_what_its_card_says(options, tmp_path, capsys):
    from inferkit.network import zoo

    scenario = ["--scenario", "offline", "--accuracy", "--logs", str(tmp_path)]
    assert main(["serve-bench", "lenet", *scenario, *options]) == 0
    shown = float(capsys.readouterr().out.split("top-1 ")[1].split(" %")[0])
    # 0.02 points are two of the 10,000 images: rounding may turn a near tie.
    assert shown == pytest.approx(100 * zoo.card("lenet")["accuracy"]["caffe"]["top1"], abs=0.02)
