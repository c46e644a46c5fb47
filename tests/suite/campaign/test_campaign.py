"""The campaign: rounds of all cases interleaved, suspicious cases measured again, each case's failure its own."""

from dataclasses import dataclass, field, replace

import pytest

from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.measure.progress import Progress
from inferkit.suite.campaign.campaign import Campaign, CampaignSettings
from inferkit.suite.matrix.read import load_matrix
from tests.suite.tiny_project import MATRIX

QUICK = CampaignSettings(replicates=1, min_time=0.001, reference=False)


@dataclass
class Steps(Progress):
    """Remembers the steps."""

    steps_seen: list = field(default_factory=list)
    planned: int = 0
    ended: int = 0

    def begin(self, steps):
        self.planned += steps

    def more(self, steps):
        self.planned += steps

    def step(self, what):
        self.steps_seen.append(what)

    def done(self):
        self.ended += 1


@dataclass
class Demanding:
    """A rule that wants two more replicates of one case, once, and regresses another."""

    case: str
    seen: list = field(default_factory=list)

    def judge(self, suite):
        self.seen.append({each.case: len(each.head) for each in suite})
        return [Outcome(each.case, LATENCY, Verdict.PASS, head=1.0, head_replicates=len(each.head)) for each in suite]

    def more(self, outcomes):
        return {} if len(self.seen) > 1 else {self.case: 2}


@pytest.fixture
def matrix(tiny_files, tmp_path):
    for path in tiny_files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "matrix.toml").write_text(MATRIX)
    return load_matrix(tmp_path / "matrix.toml")


def test_a_rule_that_wants_more_replicates_gets_them_in_fresh_processes(matrix, tmp_path):
    rule = Demanding("tiny-fp32-b4-onnxruntime")
    steps = Steps()
    with Campaign(matrix, BaselineStore(tmp_path / "none"), QUICK, rule, steps) as campaign:
        campaign.run(list(matrix.cases()), list(matrix.accuracy_cases()))
    assert rule.seen == [
        {"tiny-fp32-b1-onnxruntime": 1, "tiny-fp32-b4-onnxruntime": 1},
        {"tiny-fp32-b1-onnxruntime": 1, "tiny-fp32-b4-onnxruntime": 3},
    ]
    assert steps.planned == steps.ended == len(steps.steps_seen) == 1 + 2 + 2 + 1
    assert steps.steps_seen[3:5] == ["tiny-fp32-b4-onnxruntime, again 1 of 2", "tiny-fp32-b4-onnxruntime, again 2 of 2"]
    assert [record.outcome.verdict for record in campaign.records()] == [Verdict.PASS] * 3


def test_asking_again_measures_nothing_again(matrix, tmp_path):
    steps = Steps()
    with Campaign(matrix, BaselineStore(tmp_path / "none"), QUICK, progress=steps) as campaign:
        case = next(iter(matrix.cases()))
        campaign.run([case])
        first = campaign.latency[case].replicates
        campaign.run([case])
    assert campaign.latency[case].replicates is first
    assert len(steps.steps_seen) == 2


def test_what_was_prepared_is_gone_afterwards(matrix, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with Campaign(matrix, BaselineStore(tmp_path / "none"), CampaignSettings(smoke=True)) as campaign:
        campaign.run([next(iter(matrix.cases()))])
        assert len(list((tmp_path / "temporary").iterdir())) == 1
    assert list((tmp_path / "temporary").iterdir()) == []


class Throttled(Campaign):
    """A campaign on a machine that is not in a state to measure for its first replicates; the processes are real."""

    spoiled = 0

    def _replicate(self, record, left, which, details=False):
        super()._replicate(record, left, which, details)
        if self.spoiled:
            self.spoiled -= 1
            record.replicates[-1] = replace(record.replicates[-1], invalid=("the GPU was throttled",))


@pytest.mark.parametrize("spoiled, verdict, discarded", [(1, Verdict.NO_BASELINE, 1), (3, Verdict.INVALID, 2)])
def test_an_invalid_replicate_is_measured_again_at_most_twice(matrix, tmp_path, spoiled, verdict, discarded):
    with Throttled(matrix, BaselineStore(tmp_path / "none"), QUICK) as campaign:
        campaign.spoiled = spoiled
        campaign.run([next(iter(matrix.cases()))])
    (record,) = campaign.records()
    assert record.outcome.verdict is verdict
    assert (len(record.replicates), len(record.discarded)) == (1, discarded)


class Untrained(Campaign):
    """A campaign whose reference network cannot be made; its cases are real."""

    def _replicate(self, record, left, which, details=False):
        if record.case.model == "reference-2":
            record.network = replace(record.network, model="no-such-network")
        super()._replicate(record, left, which, details)


def test_a_reference_that_cannot_be_measured_is_told_and_stops_nothing(matrix, tmp_path):
    with Untrained(matrix, BaselineStore(tmp_path / "none"), replace(QUICK, reference=True)) as campaign:
        campaign.run([next(iter(matrix.cases()))])
        (line,) = campaign.references.lines(campaign.records())
    assert line.startswith("onnxruntime: the reference network could not be measured, so a change of the machine ")
    assert "no-such-network" in line
    assert campaign.references.as_dict() == {}
    assert campaign.records()[0].outcome.verdict is Verdict.NO_BASELINE
