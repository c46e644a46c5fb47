"""A baseline of several runs: replicates of all of them, where they may be one."""

import math

import numpy as np
import pytest

from inferkit.cli.main import main
from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.pooling import pooled, require_alike
from inferkit.gate.files.run_file import read_run
from inferkit.gate.promotion import plan_promotion, promote
from tests.gate.run_files import MACHINE, foreign, ours, write

ONE, OTHER = [0.0100, 0.0101, 0.0102], [0.0103, 0.0104]


def runs(folder, *contents):
    return [read_run(write(folder / f"card{number}.json", content)) for number, content in enumerate(contents)]


def test_replicates_of_all_runs_are_stored_and_their_files_named(tmp_path):
    reference = {MACHINE.slug: {"name": "reference-1", "log_medians": [-7.0, -7.1]}}
    one = ours({"a": ONE, "b": ONE}, accuracy={"x": np.ones(50, bool)}, references=reference)
    run = pooled(runs(tmp_path, one, ours({"a": OTHER}, references=reference)))
    store = BaselineStore(tmp_path / "baselines")
    promote(plan_promotion(run, store), store)
    stored = store.find(MACHINE)
    assert [math.exp(value) for value in stored.cases["a"].log_medians] == pytest.approx(ONE + OTHER, rel=1e-5)
    assert len(stored.cases["a"].data["build_seconds"]) == 5
    assert len(stored.cases["b"].log_medians) == 3
    assert stored.accuracy["x"].images == 50
    assert len(stored.references[MACHINE.slug].log_medians) == 4
    assert stored.origin.source == "card0.json + card1.json"


def test_one_run_is_as_it_was(tmp_path):
    (run,) = runs(tmp_path, ours({"a": ONE}))
    assert pooled([run]) is run


def test_a_case_that_is_invalid_in_one_run_needs_a_reason(tmp_path):
    spoiled = {"case": "a", "metric": "latency", "verdict": "INVALID", "reason": "the GPU was throttled"}
    run = pooled(runs(tmp_path, ours({"a": ONE}), ours({"a": OTHER}, outcomes=[spoiled])))
    store = BaselineStore(tmp_path / "baselines")
    with pytest.raises(BaselineError, match="the GPU was throttled"):
        promote(plan_promotion(run, store), store)


def test_a_case_that_one_run_refused_unmeasured_is_as_the_others_measured_it(tmp_path):
    refused = {"case": "a", "metric": "latency", "verdict": "INVALID", "reason": "shares the CPU with other workers"}
    run = pooled(runs(tmp_path, ours({"b": ONE}, outcomes=[refused]), ours({"a": OTHER})))
    store = BaselineStore(tmp_path / "baselines")
    promote(plan_promotion(run, store), store)
    assert len(store.find(MACHINE).cases["a"].log_medians) == 2


def test_what_is_not_one_thing_is_not_pooled(tmp_path):
    other_commit = ours({"a": OTHER})
    other_commit["commit_info"]["id"] = "fedcba9"
    with pytest.raises(BaselineError, match=r"card1.json was measured at commit fedcba9, .*card0.json at 0123abc"):
        require_alike(runs(tmp_path, ours({"a": ONE}), other_commit))
    other_network = ours({"a": OTHER})
    other_network["inferkit"]["cases"]["a"]["network"] = "another"
    with pytest.raises(BaselineError, match=r"card1\.json: a is another network"):
        require_alike(runs(tmp_path, ours({"a": ONE}), other_network))
    with pytest.raises(BaselineError, match="holds no replicates"):
        require_alike(runs(tmp_path, ours({"a": ONE}), foreign({"a": 0.01})))


def test_the_command_takes_several_runs(tmp_path, capsys):
    files = [
        str(write(tmp_path / f"card{number}.json", ours({"a": times}))) for number, times in enumerate((ONE, OTHER))
    ]
    folder = tmp_path / "baselines"
    assert main(["baseline", "promote", *files, "--baseline-dir", str(folder)]) == 0
    assert len(BaselineStore(folder).find(MACHINE).cases["a"].log_medians) == 5
    assert "written" in capsys.readouterr().out
