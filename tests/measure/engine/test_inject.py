"""What is injected is there: measured in real processes of a tiny network, or on the wrapper itself."""

from dataclasses import replace

import pytest

from inferkit.backends.base import Session, Trace
from inferkit.errors import UsageError
from inferkit.measure.accuracy.top_k import AccuracySpec
from inferkit.measure.engine import inject
from inferkit.measure.engine.engine_file import EngineSpec
from inferkit.measure.engine.prepared_network import Recipe
from inferkit.measure.jobs.launch import prepare_network, run_accuracy, run_replicate
from inferkit.measure.latency.replicate import ReplicateSpec
from tests.suite.tiny_project import write_files


class Still(Session):
    """A session whose own time is known: it says what it took, and takes nothing."""

    inputs = outputs = ()

    def load(self, images):
        pass

    def execute(self):
        return Trace(0.0, 0.001, 0.0, 0.001)

    def fetch(self):
        return {}

    def close(self):
        pass


def test_a_delay_is_waited_and_counted_in_proportion_to_the_case():
    session = inject.slowed(Still(), {"latency": 0.5})
    walls = [session.execute().wall for _ in range(20)]
    assert min(walls) >= 0.0015  # never less than what was asked for: the wait ends after it


def test_only_the_tail_is_slower_where_only_the_tail_was_asked_for():
    session = inject.slowed(Still(), {"tail": 1.0})
    walls = [session.execute().wall for _ in range(2 * inject.TAIL_EVERY)]
    assert sorted(walls)[-3] == 0.001
    assert sorted(walls)[-2] >= 0.002


def test_nothing_injected_is_the_session_itself():
    session = Still()
    assert inject.slowed(session, {}) is session


@pytest.mark.parametrize("wanted", [{"speed": 0.1}, {"latency": -0.1}, {"accuracy": 2}])
def test_what_cannot_be_injected_is_refused(wanted):
    with pytest.raises(UsageError, match="cannot be injected"):
        inject.checked(wanted)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inject")
    write_files(folder)
    recipe = Recipe("tiny", str(folder / "tiny.onnx"), "fp32", dataset=str(folder / "images.npz"), images=1)
    prepare_network(recipe, folder / "prepared")
    return folder


def test_a_process_is_slower_by_what_was_injected(prepared):
    spec = ReplicateSpec(EngineSpec(str(prepared / "prepared"), "onnxruntime", 1), min_time=0.02, warmup_limit=0.1)
    slow = replace(spec, inject={"latency": 20.0, "memory": 1.0})
    plain, slower = run_replicate(spec, "plain"), run_replicate(slow, "slow")
    # A factor of 21, in the quickest executions: neighbours on the machine can only make the others slower.
    assert slower.walls.min() > 5 * plain.walls.min()
    assert slower.memory > plain.memory


def test_a_share_of_the_predictions_becomes_wrong(prepared):
    spec = AccuracySpec(EngineSpec(str(prepared / "prepared"), "onnxruntime", 100), str(prepared / "images.npz"))
    hurt = replace(spec, inject={"accuracy": 0.5})
    plain, worse = run_accuracy(spec, "plain"), run_accuracy(hurt, "hurt")
    assert worse.top1.mean() < plain.top1.mean() / 1.5
    assert not (worse.top1 & ~plain.top1).any()


def test_a_slowed_session_has_as_many_batches_a_round_as_the_one_it_wraps():
    session = Still()
    assert inject.slowed(session, {"latency": 0.5}).batches_per_round == 1
    session.batches_per_round = 48
    assert inject.slowed(session, {"latency": 0.5}).batches_per_round == 48
