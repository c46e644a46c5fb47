"""The case matrix on a cluster, a node of which is killed: every case measured once, judged as on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferkit.cluster.campaign import run_on_cluster
from inferkit.gate.files.baseline import BaselineStore
from inferkit.measure.progress import Progress
from inferkit.suite.campaign.campaign import Campaign, CampaignSettings
from inferkit.suite.matrix.read import load_matrix
from tests.suite.tiny_project import MATRIX, make_project, write_files

pytestmark = pytest.mark.slow
LINES = MATRIX.replace("batch_sizes = [1, 4]", 'batch_sizes = [1, 2, 4, 8]\nprecisions = ["fp32", "int8", "bf16"]')


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    write_files(tmp_path / "files")
    project = make_project(tmp_path / "project", tmp_path / "files")
    project.matrix(LINES)
    return project.folder / "bench" / "matrix.toml"


class KillsANode(Progress):
    """Hears what is done, and kills the node of the first worker that has measured a case."""

    def __init__(self, cluster: Any) -> None:
        self.cluster, self.lines = cluster, []

    def step(self, what: str) -> None:
        self.lines.append(what)
        if "replicates, by" in what and len(self.cluster.nodes) == 3:
            self.cluster.kill(what.split("/")[1])


def test_a_killed_node_changes_nothing(cluster: Any, matrix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    declared = load_matrix(matrix)
    progress = KillsANode(cluster)
    settings = CampaignSettings(replicates=2, min_time=0.01)
    with Campaign(declared, BaselineStore(tmp_path / "baselines"), settings, progress=progress) as campaign:
        cases, accuracies = list(declared.cases()), list(declared.accuracy_cases())
        run_on_cluster(campaign, cluster.address, cases, accuracies)
        for case, record in campaign.latency.items():
            if case.precision == "bf16":
                assert record.unsupported is not None, record
                assert record.unsupported.reason
            else:
                assert record.failure is None
                assert len(record.replicates) == 2
                assert record.outcome is not None
                assert record.fingerprint is not None
        done = [line.split(",")[0] for line in progress.lines if "replicates, by" in line]
        assert sorted(done) == sorted(case.id for case in cases if case.precision != "bf16")
        assert any("is lost" in line for line in progress.lines)
        with Campaign(declared, BaselineStore(tmp_path / "baselines"), settings) as alone:
            alone.run([], accuracies)
            for case, record in alone.accuracy.items():
                on_cluster = campaign.accuracy[case]
                assert (on_cluster.unsupported is None) is (record.unsupported is None)
                if record.accuracy is not None:
                    assert on_cluster.outcome == record.outcome
                    np.testing.assert_array_equal(on_cluster.accuracy.predictions, record.accuracy.predictions)
