"""A baseline that is made anew since the driver changed takes over what no driver changes, and hides no loss of it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from inferkit.backends import backend
from inferkit.cli.main import main
from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore, read_baseline
from inferkit.gate.files.run_file import read_run
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.promotion import plan_promotion, promote
from inferkit.gate.run import AccuracyRun, Run
from tests.gate.run_files import measured, ours, write

GPU = {"gpu": "NVIDIA H200", "driver": "580.1", "cpu": "Intel Xeon", "backend": "tensorrt", "version": "tensorrt 10.6"}
OLD = Fingerprint.of(GPU)
NEW_DRIVER = Fingerprint.of({**GPU, "driver": "590.2"})
NEW_LIBRARY = Fingerprint.of({**GPU, "version": "tensorrt 10.9"})
TIMES = [0.0100, 0.0101, 0.0102]
ENGINE_PARTS = backend("tensorrt").facts.engine_parts


def source(store, size=100_000):
    """The baseline of the old driver, on file."""
    logs = tuple(map(math.log, TIMES))
    case = measured("c", logs, engine_bytes=(size,))
    return store.write(
        Run(
            fingerprints={OLD.slug: OLD},
            cases={"c": replace(case, fingerprint=OLD.slug)},
            accuracy={
                name: AccuracyRun(case=name, fingerprint=OLD.slug, top1=90.0, top5=99.0, images=100)
                for name in ("x", "y")
            },
        )
    )


def run_on(folder, machine, *, size=100_000, right=90):
    content = ours({"c": TIMES}, accuracy={"y": np.arange(100) < right}, machine=machine)
    content["inferkit"]["cases"]["c"]["engine_bytes"] = size
    return write(folder / "run.json", content)


def plan(folder, machine, **figures):
    store = BaselineStore(folder / "baselines")
    path = source(store)
    run = read_run(run_on(folder, machine, **figures))
    return plan_promotion(run, store, source=read_baseline(path), engine_parts=ENGINE_PARTS), store


def test_accuracies_that_were_not_evaluated_and_sizes_of_engines_come_from_the_other_baseline(tmp_path):
    promotions, store = plan(tmp_path, NEW_DRIVER, size=100_900)
    promote(promotions, store)
    kept = store.find(NEW_DRIVER)
    assert kept.accuracy["x"].top1 == 90.0
    assert kept.accuracy["y"].top1 == 90.0
    # Growth within the margin is not what the next growth is measured from.
    assert kept.cases["c"].data["engine_bytes"] == (100_000,)
    assert "1 accuracies, 1 engine sizes" in promotions[0].carried.line


@pytest.mark.parametrize(
    "figures, said", [({"size": 110_000}, "c engine size: REGRESSED"), ({"right": 80}, "y top-1: REGRESSED")]
)
def test_what_got_worse_is_not_accepted_with_the_driver(tmp_path, figures, said):
    promotions, store = plan(tmp_path, NEW_DRIVER, **figures)
    with pytest.raises(BaselineError, match=said):
        promote(promotions, store)


def test_another_library_builds_engines_of_another_size(tmp_path):
    promotions, store = plan(tmp_path, NEW_LIBRARY, size=150_000)
    promote(promotions, store)
    kept = store.find(NEW_LIBRARY)
    assert kept.cases["c"].data["engine_bytes"] == (150_000,)
    assert kept.accuracy["x"].top1 == 90.0


def test_the_command_names_the_other_baseline(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source(BaselineStore("baselines"))
    run_on(tmp_path, NEW_DRIVER)
    assert main(["baseline", "promote", "run.json", "--from", OLD.slug]) == 0
    assert "carried over from baselines/" in capsys.readouterr().out
    assert "x" in BaselineStore("baselines").find(NEW_DRIVER).accuracy
