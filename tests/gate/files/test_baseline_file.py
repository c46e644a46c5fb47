"""Baselines: what is written is read back, what is damaged is refused with its place, nothing is rewritten."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore, baseline_bytes, read_baseline
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.run import AccuracyRun, CaseRun, Origin, Run
from tests.gate.run_files import stored

MACHINE = Fingerprint.of({"cpu": "AMD EPYC 7B13", "cpus": 2, "backend": "onnxruntime", "version": "1.31.1"})
CASE = "lenet-fp32-b1-onnxruntime"

names = st.text("abcdefghij0123456789_.-", min_size=1, max_size=20)
times = st.lists(st.floats(0, 1e4).map(lambda value: round(value, 6)), min_size=1, max_size=4).map(tuple)
logs = st.lists(st.floats(-20, 11).map(lambda value: round(value, 6)), min_size=1, max_size=6).map(tuple)
sizes = st.lists(st.integers(0, 2**50), min_size=1, max_size=4).map(tuple)
one_size = st.integers(0, 2**60).map(lambda value: (value,))
data = st.fixed_dictionaries(
    {"log_medians": logs},
    optional={
        **dict.fromkeys(("log_p99", "log_execution"), logs),
        **dict.fromkeys(("build_seconds", "cold_start"), times),
        **dict.fromkeys(("device_memory", "engine_bytes"), one_size),
        "memories": sizes,
    },
)
accepted = st.none() | st.text(max_size=20)


def baseline_of(cases, accuracies, origin):
    """A run of one fingerprint from data and accuracies by name."""
    slug = MACHINE.slug
    return Run(
        fingerprints={slug: MACHINE},
        cases={n: CaseRun(case=n, fingerprint=slug, data=d, accepted=why) for n, (d, why) in cases.items()},
        accuracy={
            n: AccuracyRun(case=n, fingerprint=slug, top1=top1, top5=top5, images=images)
            for n, (top1, top5, images) in accuracies.items()
        },
        origin=origin,
    )


def content_of(run):
    """What two baselines are compared by."""
    accuracies = {n: (a.top1, a.top5, a.images, a.accepted) for n, a in run.accuracy.items()}
    return run.fingerprints, run.cases, accuracies, run.references, run.origin


percents = st.floats(0, 100)
baselines = st.builds(
    baseline_of,
    st.dictionaries(names, st.tuples(data, accepted), max_size=5),
    st.dictionaries(names, st.tuples(percents, percents, st.integers(1, 10**7)), max_size=5),
    st.builds(Origin, *(st.text(max_size=20) for _ in range(3))),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("baselines")


@given(baseline=baselines)
def test_what_is_written_is_read_back(folder, baseline):
    store = BaselineStore(folder)
    store.path(MACHINE).write_bytes(baseline_bytes(baseline))  # without the fsync of store.write, which is slow
    assert content_of(store.find(MACHINE)) == content_of(baseline)


@given(baseline=baselines, data=st.data())
def test_a_file_cut_anywhere_is_refused(folder, baseline, data):
    content = baseline_bytes(baseline).rstrip()
    path = folder / "cut.json"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(BaselineError, match=r"cut\.json"):
        read_baseline(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(baseline=baselines, data=st.data(), value=json_values)
def test_whatever_is_put_anywhere_is_read_or_refused_but_never_crashes(folder, baseline, data, value):
    content = json.loads(baseline_bytes(baseline))
    place, key = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
        place, key = place[key], data.draw(st.sampled_from(sorted(place[key])))
    place[key] = value
    path = folder / "edited.json"
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    with contextlib.suppress(BaselineError):
        for case in read_baseline(path).cases.values():
            assert all(math.isfinite(value) for value in case.log_medians)
    assert path.read_bytes() == before


def edited(folder, **changes):
    """A good file with some top-level values replaced."""
    content = {**json.loads(baseline_bytes(stored({CASE: (-9.0, -9.1)}))), **changes}
    path = folder / "hand.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"schema": 2}, "written by a newer inferkit"),
        ({"schema": None}, "is no baseline"),
        ({"schema": True}, "is no baseline"),
        ({"fingerprint": {}}, "names no hardware"),
        ({"notes": "faster"}, "notes: is not known here"),
        ({"cases": {CASE: {"log_medians": [float("nan")]}}}, "NaN is not a number"),
        ({"cases": {CASE: {"log_medians": [12.0]}}}, f"cases/{CASE}/log_medians/0: 12.0 cannot be"),
        ({"cases": {CASE: {"log_medians": []}}}, "holds no replicate"),
        ({"cases": {CASE: {"log_medians": ["-9"]}}}, "must be a number, not '-9'"),
        ({"cases": {CASE: {"log_medians": [-9.0], "memory": -5}}}, "memory: -5 cannot be"),
        ({"cases": {CASE: {"log_medians": [-9.0], "engine_bytes": 0.5}}}, "whole bytes"),
        ({"cases": {CASE: {"log_medians": [-9.0], "memroy": 5}}}, "memroy: is not known here"),
        ({"cases": {CASE: {"log_medians": [-9.0], "build_seconds": [-1.0]}}}, "build_seconds/0: -1.0 cannot be"),
        ({"accuracy": {"lenet-int8-onnxruntime": {"top1": 101, "top5": 1, "images": 1}}}, "top1: 101 cannot be"),
        ({"cases": [1]}, "cases: must be an object"),
        ({"reference": {"name": "reference-1", "log_medians": []}}, "reference/log_medians: holds no replicate"),
        ({"reference": {"name": 1, "log_medians": [-7.0]}}, "reference/name: must be text"),
        ({"reference": {"name": "reference-1", "log_medians": [-7.0], "weights": 2}}, "weights: is not known here"),
    ],
)
def test_says_what_is_wrong_and_where(tmp_path, changes, said):
    path = edited(tmp_path, **changes)
    before = path.read_bytes()
    with pytest.raises(BaselineError) as refused:
        read_baseline(path)
    assert "hand.json" in str(refused.value)
    assert said in str(refused.value)
    assert path.read_bytes() == before


def test_a_key_that_stands_there_twice_is_refused(tmp_path):
    path = tmp_path / "twice.json"
    path.write_text('{"schema": 1, "schema": 1}')
    with pytest.raises(BaselineError, match="'schema' stands there twice"):
        read_baseline(path)


def test_the_store_writes_the_file_that_it_finds(tmp_path):
    store = BaselineStore(tmp_path / "baselines")
    baseline = stored({CASE: (-9.0, -9.1)}, origin=Origin("run.json", "0123abc"))
    assert content_of(read_baseline(store.write(baseline))) == content_of(baseline)
    assert content_of(store.find(MACHINE)) == content_of(baseline)
    assert [path.name for path in store.folder.iterdir()] == [f"{MACHINE.slug}.json"]


def test_no_file_is_no_baseline_and_names_the_nearest(tmp_path):
    store = BaselineStore(tmp_path)
    assert store.find(MACHINE) is None
    assert store.absence(MACHINE).endswith(f"{tmp_path}/")
    store.write(stored({}, machine=Fingerprint.of({**MACHINE.as_dict(), "backend": "tensorrt"})))
    assert store.absence(MACHINE).endswith(f"{tmp_path}/"), "a GPU's baseline is not near a CPU's"
    older = Fingerprint.of({**MACHINE.as_dict(), "version": "1.30.0"})
    store.write(stored({}, machine=older))
    (tmp_path / "broken.json").write_text("{")
    assert store.find(MACHINE) is None
    assert "version: base 1.30.0, head 1.31.1" in store.absence(MACHINE)


def test_a_file_renamed_to_another_machine_is_refused(tmp_path):
    store = BaselineStore(tmp_path)
    other = Fingerprint.of({**MACHINE.as_dict(), "cpus": 64})
    store.write(stored({}, machine=other)).rename(store.path(MACHINE))
    with pytest.raises(BaselineError, match="does not fit its name"):
        store.find(MACHINE)


def test_a_folder_that_cannot_be_written_is_an_error_and_not_a_traceback(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BaselineError, match="cannot be written"):
        BaselineStore(tmp_path / "file").write(stored({}))


def test_ten_thousand_cases(tmp_path):
    cases = {f"net{i}-fp32-b1-onnxruntime": (-9.0, -9.1, -9.2) for i in range(10_000)}
    path = BaselineStore(tmp_path).write(stored(cases))
    assert len(read_baseline(path).cases) == 10_000
