"""Latency over offered load: one curve per delay, every point a run of the load generator, in a documented JSON."""

import json

import pytest

from inferkit.cli.main import main
from inferkit.measure.latency.statistics import samples_needed

pytest.importorskip("mlperf_loadgen", reason="MLPerf's load generator is missing: pip install mlcommons-loadgen")

KEYS = {"schema", "kind", "model", "backend", "precision", "max_batch", "device", "cpu", "cpus", "engine_rate"}
KEYS |= {"bound", "seconds", "is_short", "curves"}
COMMAND = ["serve-bench", "lenet", "--scenario", "server", "--threads", "1", "--max-batch", "4"]


def test_a_sweep_writes_a_curve_for_each_delay(tmp_path, capsys):
    path = tmp_path / "curve.json"
    kept = ["--logs", str(tmp_path / "logs"), "--json", str(path)]
    sweep = ["--delays", "0,20ms", "--rates", "2000,1500", "--duration", "100ms", "--p99", "5s"]
    assert main([*COMMAND, *sweep, *kept]) == 0
    sweep = json.loads(path.read_text())
    assert set(sweep) == KEYS
    assert (sweep["schema"], sweep["kind"]) == (1, "latency-over-load")
    assert sweep["is_short"] is True
    assert [curve["delay"] for curve in sweep["curves"]] == [0.0, 0.02]
    for curve in sweep["curves"]:
        assert [point["offered"] for point in curve["points"]] == [1500, 2000]
        for point in curve["points"]:
            assert 0 < point["p50"] <= point["p90"] <= point["p99"]
            assert point["queries"] >= samples_needed(99.0)
            assert 1 <= point["mean_batch"] <= 4
            assert point["queue_p50"] <= point["p99"]  # a wait is a part of a latency
            with open(f"{point['logs']}/mlperf_log_summary.txt") as log:
                assert ("Result is : VALID" in log.read()) is point["valid"]
    head, *rows = capsys.readouterr().out.splitlines()[:5]
    assert head.split() == ["delay", "ms", "queries/s", "completed/s", "queries", "median", "ms", "p99", "ms", "batch"]
    assert [row.split()[:2] for row in rows] == [["0", "1,500"], ["20", "1,500"], ["0", "2,000"], ["20", "2,000"]]
    queries = {f"{point['queries']:,}" for curve in sweep["curves"] for point in curve["points"]}
    assert {row.split()[3] for row in rows} == queries


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--delays", "0,0"], "distinct"),
        (["--delays", "0", "--qps", "5"], "cannot be used with --qps"),
        (["--rates", "5"], "needs --delays"),
        (["--delays", "0", "--rates", "0"], "rates above 0"),
    ],
)
def test_sweeps_that_make_no_sense_are_refused(options, message, capsys):
    assert main([*COMMAND, *options]) == 2
    assert message in capsys.readouterr().err
