"""Comparing benchmark files: ours and anyone's, case by case, with exit codes that a build can act on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import BaselineError
from inferkit.gate.comparison import compare, exit_code
from inferkit.gate.files.run_file import read_run
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.metrics import ACCURACY, LATENCY
from inferkit.gate.outcome import Verdict
from tests.gate.run_files import MACHINE, accuracy_of, foreign, ours, write

CASE = "lenet-fp32-b1-onnxruntime"
FAST, SLOW = [0.0100, 0.0101, 0.0102], [0.0150, 0.0151, 0.0152]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def comparison(folder, base, head, **options):
    base, head = (side if isinstance(side, list) else [side] for side in (base, head))
    sides = [
        [read_run(write(folder / f"{name}{number}.json", content)) for number, content in enumerate(side)]
        for name, side in (("base", base), ("head", head))
    ]
    return compare(*sides, **options)


def verdicts(result):
    return {outcome.case: outcome.verdict for outcome in result.outcomes if outcome.metric in (LATENCY, ACCURACY)}


@pytest.mark.parametrize(
    "base, head, verdict, code",
    [
        (FAST, FAST, Verdict.PASS, 0),
        (FAST, SLOW, Verdict.REGRESSED, 1),
        (SLOW, FAST, Verdict.IMPROVED, 0),
    ],
)
def test_what_is_in_both_is_judged(tmp_path, base, head, verdict, code):
    result = comparison(tmp_path, ours({CASE: base}), ours({CASE: head}))
    assert verdicts(result) == {CASE: verdict}
    assert exit_code(result.outcomes) == code


def test_what_is_in_one_only_is_named_and_nothing_common_is_exit_12(tmp_path):
    result = comparison(tmp_path, ours({"gone": FAST}), ours({"new": FAST}))
    assert verdicts(result) == {"gone": Verdict.MISSING, "new": Verdict.NO_BASELINE}
    assert exit_code(result.outcomes) == 12


def test_a_vanished_case_is_neutral_unless_strict(tmp_path):
    result = comparison(tmp_path, ours({CASE: FAST, "gone": FAST}), ours({CASE: FAST}))
    assert (exit_code(result.outcomes), exit_code(result.outcomes, strict=True)) == (0, 11)


def test_a_case_that_failed_in_head_is_no_pass(tmp_path):
    images = np.ones(1000, bool)
    base = ours({CASE: FAST, "other": FAST}, accuracy={"lenet": images})
    head = ours({CASE: FAST}, failures={"other": "no such file", "lenet": "no images"})
    result = comparison(tmp_path, base, head)
    assert verdicts(result) == {CASE: Verdict.PASS, "other": Verdict.FAILED, "lenet": Verdict.FAILED}
    reasons = {outcome.case: outcome.reason for outcome in result.outcomes}
    assert reasons["other"].endswith("head0.json: no such file")
    assert exit_code(result.outcomes) == 10
    back = comparison(tmp_path, head, base)
    assert verdicts(back)["other"] is Verdict.NO_BASELINE
    assert "base0.json: no such file" in next(each.reason for each in back.outcomes if each.case == "other")
    assert exit_code(back.outcomes) == 0


def test_another_machine_is_invalid_and_says_what_differs(tmp_path):
    other = Fingerprint.of({**MACHINE.as_dict(), "version": "1.30.0"})
    result = comparison(tmp_path, ours({CASE: FAST}), ours({CASE: SLOW}, machine=other))
    assert verdicts(result) == {CASE: Verdict.INVALID}
    assert "version: base 1.31.1, head 1.30.0" in result.outcomes[0].line
    assert result.outcomes[0].head == pytest.approx(SLOW[1], rel=0.01)
    assert exit_code(result.outcomes) == 10


def test_a_regression_outweighs_an_invalid_case(tmp_path):
    invalid = {"case": "b", "metric": "latency", "verdict": "INVALID", "reason": "the GPU was throttled"}
    head = ours({CASE: SLOW, "b": FAST}, outcomes=[invalid])
    result = comparison(tmp_path, ours({CASE: FAST, "b": FAST}), head)
    assert verdicts(result) == {CASE: Verdict.REGRESSED, "b": Verdict.INVALID}
    assert "throttled" in result.outcomes[1].line
    assert exit_code(result.outcomes) == 1


def test_a_larger_engine_is_found_where_the_machine_spoiled_the_latency(tmp_path):
    """Others on the machine change no engine's size: not to judge it would hide that it grew."""
    invalid = {"case": CASE, "metric": "latency", "verdict": "INVALID", "reason": "other processes used the GPU"}
    base, head = ours({CASE: FAST}), ours({CASE: FAST}, outcomes=[invalid])
    for content, size in ((base, 1_000_000), (head, 1_500_000)):
        content["inferkit"]["cases"][CASE] |= {"engine_bytes": size, "rebuilt": True}
    result = comparison(tmp_path, base, head)
    found = {outcome.metric: outcome.verdict for outcome in result.outcomes}
    assert found == {"latency": Verdict.INVALID, "engine size": Verdict.REGRESSED}
    assert exit_code(result.outcomes) == 1


def test_several_files_of_a_side_are_replicates(tmp_path):
    result = comparison(tmp_path, [ours({CASE: FAST}), ours({CASE: FAST})], ours({CASE: FAST}))
    assert (result.outcomes[0].base_replicates, result.outcomes[0].head_replicates) == (6, 3)


def test_files_of_different_machines_are_no_side(tmp_path):
    other = Fingerprint.of({**MACHINE.as_dict(), "cpus": 64})
    result = comparison(tmp_path, [ours({CASE: FAST}), ours({CASE: FAST}, machine=other)], ours({CASE: FAST}))
    assert "its files are of different machines" in result.outcomes[0].line


def test_margins_are_the_callers_else_the_files_else_5_percent(tmp_path):
    slower = [time * 1.2 for time in FAST]
    for margin, stated, verdict in (
        (0.1, None, Verdict.REGRESSED),
        (0.1, 0.3, Verdict.PASS),
        (None, None, Verdict.REGRESSED),
        (0.25, None, Verdict.PASS),
    ):
        base, head = ours({CASE: FAST}), ours({CASE: slower}, margin=margin)
        result = comparison(tmp_path, base, head, margins=lambda case, stated=stated: stated)
        assert verdicts(result) == {CASE: verdict}


def test_a_file_that_inferkit_did_not_write_is_compared_and_what_it_lacks_is_said(tmp_path):
    result = comparison(tmp_path, foreign({"test_a.py::test_x": 0.010}), foreign({"test_a.py::test_x": 0.014}))
    assert verdicts(result) == {"test_a.py::test_x": Verdict.REGRESSED}
    assert "how much processes differ is not known" in result.remarks[0]
    assert "one replicate each of base and head" in result.outcomes[0].line


@pytest.mark.parametrize(
    "info, comparable",
    [
        ({"node": "another-host", "release": "6.1"}, True),
        ({"python_version": "3.11.9"}, True),
        ({"cpu": {"brand_raw": "AMD EPYC 7B13", "count": 2, "hz_actual": [3000000000, 0]}}, True),
        ({"python_version": "3.12.1"}, False),
        ({"cpu": {"brand_raw": "Intel Xeon", "count": 2}}, False),
    ],
)
def test_a_foreign_machine_is_known_by_buckets_not_by_host_name_or_clock(tmp_path, info, comparable):
    name = "test_a.py::test_x"
    result = comparison(tmp_path, foreign({name: 0.01}), foreign({name: 0.01}, **info))
    assert (exit_code(result.outcomes) == 0) is comparable


def test_accuracies_are_paired_image_by_image(tmp_path):
    before = np.arange(10_000) >= 1_000
    after = before.copy()
    after[9_000:9_100] = False
    name = "lenet-int8-onnxruntime"
    result = comparison(tmp_path, ours({}, accuracy={name: before}), ours({}, accuracy={name: after}))
    assert verdicts(result) == {name: Verdict.REGRESSED}
    assert "100 images lost, 0 gained of 10000" in result.outcomes[0].line
    tolerated = comparison(tmp_path, ours({}, accuracy={name: before}), ours({}, accuracy={name: after}), tolerance=2.0)
    assert exit_code(tolerated.outcomes) == 0


def test_accuracies_on_other_images_cannot_be_paired(tmp_path):
    name = "lenet-int8-onnxruntime"
    base = ours({}, accuracy={name: np.ones(100, bool)})
    result = comparison(tmp_path, base, ours({}, accuracy={name: np.ones(99, bool)}))
    assert verdicts(result) == {name: Verdict.INVALID}


times = st.lists(st.floats(1e-5, 1.0), min_size=1, max_size=4)
sides = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), times, max_size=4)


@given(base=sides, head=sides)
def test_every_case_of_either_side_has_exactly_one_verdict(place, base, head):
    result = comparison(place, ours(base), ours(head))
    judged = [outcome for outcome in result.outcomes if outcome.metric in (LATENCY, ACCURACY)]
    assert sorted(outcome.case for outcome in judged) == sorted({*base, *head})


@given(base=sides, head=sides)
def test_swapping_the_files_mirrors_the_verdicts(place, base, head):
    """What is no slower for sure may be no faster for sure, so PASS may become INCONCLUSIVE; a change may not."""
    forth, back = comparison(place, ours(base), ours(head)), comparison(place, ours(head), ours(base))
    mirror = {
        Verdict.REGRESSED: Verdict.IMPROVED,
        Verdict.IMPROVED: Verdict.REGRESSED,
        Verdict.MISSING: Verdict.NO_BASELINE,
        Verdict.NO_BASELINE: Verdict.MISSING,
    }
    for one, other in ((forth, back), (back, forth)):
        mirrored = {case: mirror[verdict] for case, verdict in verdicts(one).items() if verdict in mirror}
        assert mirrored.items() <= verdicts(other).items()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"schema": 3}, "inferkit/schema: was written by a newer inferkit"),
        ({"cases": {CASE: {"log_medians": [], "fingerprint": MACHINE.slug}}}, "holds no replicate"),
        ({"cases": {CASE: {"log_medians": [99], "fingerprint": MACHINE.slug}}}, "log_medians/0: 99 cannot be"),
        ({"cases": {CASE: {"log_medians": [-5], "fingerprint": "other"}}}, "names the fingerprint 'other'"),
        ({"cases": {CASE: {"log_medians": [-5], "fingerprint": MACHINE.slug, "memory": "much"}}}, "memory: must be"),
        ({"outcomes": [{"case": CASE, "metric": "latency", "verdict": "GOOD"}]}, "outcomes: is damaged"),
        (
            {"outcomes": [{"case": CASE, "metric": "latency", "verdict": "INVALID", "machine": "much"}]},
            "machine: must be a number",
        ),
        ({"references": {MACHINE.slug: {"name": "reference-1", "log_medians": [99]}}}, "log_medians/0: 99 cannot be"),
        ({"references": {MACHINE.slug: {"log_medians": [-5]}}}, "name: must be text, not None"),
        ({"references": {MACHINE.slug: {"name": "reference-1"}}}, "log_medians: holds no replicate"),
        ({"accuracy": {"a": {**accuracy_of(np.ones(9, bool)), "top1": 50.0}}}, "does not fit the bits"),
        ({"accuracy": {"a": {**accuracy_of(np.ones(9, bool)), "images": 90}}}, "not one bit for each of 90 images"),
        ({"accuracy": {"a": {**accuracy_of(np.ones(9, bool)), "top1_bits": "?"}}}, "top1_bits: is damaged"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(tmp_path, change, said):
    content = ours({CASE: FAST})
    content["inferkit"] |= change
    with pytest.raises(BaselineError) as refused:
        read_run(write(tmp_path / "run.json", content))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "content, said",
    [
        ({}, "is no pytest-benchmark JSON"),
        ({**foreign({}), "benchmarks": 3}, "benchmarks: must be a list"),
    ],
)
def test_what_is_no_benchmark_file_is_refused(tmp_path, content, said):
    with pytest.raises(BaselineError) as refused:
        read_run(write(tmp_path / "run.json", content))
    assert said in str(refused.value)


def test_nan_in_ones_own_figures_is_refused_with_its_place(tmp_path):
    content = ours({CASE: FAST})
    content["inferkit"]["cases"][CASE]["samples"] = float("nan")
    with pytest.raises(BaselineError, match=f"inferkit/cases/{CASE}/samples: nan is not a number"):
        read_run(write(tmp_path / "run.json", content))


GOOD = {"fullname": "good", "stats": {"median": 0.01}}


@pytest.mark.parametrize("median", [0.0, -1.0, 5e-10, float("nan"), float("inf"), 1e9, True, "quick"])
def test_a_median_that_is_no_time_makes_one_case_invalid_and_costs_the_others_nothing(tmp_path, median):
    content = {**foreign({}), "benchmarks": [{"fullname": "odd", "stats": {"median": median}}, GOOD]}
    result = comparison(tmp_path, content, content)
    assert verdicts(result)["odd"] is Verdict.INVALID
    assert verdicts(result)["good"] in (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert "is no time that a benchmark takes" in next(o.reason for o in result.outcomes if o.case == "odd")


@pytest.mark.parametrize(
    "odd, said",
    [
        (3, "benchmarks/0: must be an object: left out"),
        ({"stats": {"median": 0.01}}, "benchmarks/0/fullname: must be text, not None: left out"),
        ({"fullname": "failed", "stats": None}, "benchmarks/0/stats: failed has no median: left out"),
        ({"fullname": "failed", "stats": {}}, "benchmarks/0/stats: failed has no median: left out"),
        (GOOD, "good is listed twice"),
    ],
)
def test_an_odd_benchmark_is_named_and_the_others_are_compared(tmp_path, odd, said):
    result = comparison(tmp_path, {**foreign({}), "benchmarks": [odd, GOOD]}, foreign({"good": 0.01}))
    assert set(verdicts(result)) == {"good"}
    assert said in " ".join(result.remarks)


@pytest.mark.parametrize(
    "info, said",
    [
        ('{"a": 1, "a": 2}', "bench[odd] is damaged: 'a' stands there twice: left out"),
        ('{"most": ' + "9" * 5000 + "}", "bench[odd] is damaged: Exceeds the limit"),
        ('{"deep": ' + "[" * 3000 + "]" * 3000 + "}", "bench[odd] is damaged: it is nested too deeply: left out"),
        ('{"text": "]} , [{", "a": 1, "a": 2}', "'a' stands there twice"),
    ],
)
def test_a_benchmark_whose_json_is_refused_is_named_and_the_others_are_compared(tmp_path, info, said):
    odd = {"fullname": "bench[odd]", "extra_info": "INFO"}
    content = {**foreign({}), "benchmarks": [GOOD, odd, GOOD | {"fullname": "x"}]}
    text = json.dumps(content).replace('"INFO"', info)
    (tmp_path / "odd.json").write_text(text)
    run = read_run(tmp_path / "odd.json")
    assert set(run.cases) == {"good", "x"}
    assert said in " ".join(run.remarks)
    (tmp_path / "odd.json").write_text(text[:-1])
    with pytest.raises(BaselineError, match="is damaged"):
        read_run(tmp_path / "odd.json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_a_file_in_another_encoding_with_a_byte_order_mark_is_read(tmp_path, encoding):
    (tmp_path / "run.json").write_text(json.dumps(foreign({"good": 0.01})), encoding=encoding)
    assert set(read_run(tmp_path / "run.json").cases) == {"good"}


def test_of_a_benchmark_that_was_run_again_the_last_entry_counts(tmp_path):
    again = {**GOOD, "stats": {"median": 0.02}}
    result = comparison(tmp_path, foreign({"good": 0.02}), {**foreign({}), "benchmarks": [GOOD, again]})
    assert result.of("good").change == pytest.approx(0.0)


def test_nan_in_what_a_test_says_of_itself_is_nobodys_business(tmp_path):
    content = {**foreign({}), "benchmarks": [{**GOOD, "extra_info": {"loss": float("nan"), "most": float("inf")}}]}
    assert set(verdicts(comparison(tmp_path, content, content))) == {"good"}


def test_a_byte_order_mark_is_passed_over(tmp_path):
    for name, content in (("ours", ours({CASE: FAST})), ("theirs", foreign({"good": 0.01}))):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8-sig")
        assert len(read_run(path).cases) == 1


def test_ten_thousand_cases(tmp_path):
    cases = {f"net{number}-fp32-b1-onnxruntime": FAST for number in range(10_000)}
    assert exit_code(comparison(tmp_path, ours(cases), ours(cases)).outcomes) == 0
