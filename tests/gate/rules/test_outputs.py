"""Outputs of head against those of base: identical, within rounding, changed; shown, or failing where that is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inferkit.errors import BaselineError
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.output_store import outputs_path, read_outputs, write_outputs
from inferkit.gate.files.run_file import read_run
from inferkit.gate.judging import judge
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.promotion import plan_promotion, promote
from inferkit.gate.rules.outputs import CHANGED, IDENTICAL, judge_outputs
from inferkit.gate.run import CaseRun, Run
from inferkit.measure.latency.outputs import KeptOutputs
from inferkit.report.outcomes import outcome_lines
from tests.gate.run_files import MACHINE, measured, ours, write

RANDOM = np.random.default_rng(5)
PROB = RANDOM.standard_normal((4, 10)).astype(np.float32)
FEEDS = {"data": np.ones(3, np.float32)}


def case(outputs: dict[str, np.ndarray] | None, rule: str = "show", precision: str = "fp32", feeds=FEEDS) -> CaseRun:
    kept = None if outputs is None else KeptOutputs.of(outputs, feeds, precision)
    return replace(measured("a", (-9.0, -9.01, -8.99)), outputs=kept, outputs_rule=rule)


def judged(base: CaseRun, head: CaseRun) -> Outcome:
    (outcome,) = judge_outputs([(base, head)])
    return outcome


@pytest.mark.parametrize("rule", ["show", "close", "same"])
def test_identical_outputs_pass_whatever_is_asked(rule: str) -> None:
    outcome = judged(case({"prob": PROB}), case({"prob": PROB.copy()}, rule))
    assert (outcome.verdict, outcome.reason, outcome.change) == (Verdict.PASS, IDENTICAL, 0.0)


@pytest.mark.parametrize(
    "rule, verdict", [("show", Verdict.PASS), ("close", Verdict.PASS), ("same", Verdict.REGRESSED)]
)
def test_what_rounding_moves_fails_only_where_the_same_is_asked(rule: str, verdict: Verdict) -> None:
    outcome = judged(case({"prob": PROB}), case({"prob": PROB * np.float32(1 + 1e-6)}, rule))
    assert outcome.verdict is verdict
    assert outcome.reason.startswith("within the rounding of fp32: max difference of prob")


@pytest.mark.parametrize(
    "rule, verdict", [("show", Verdict.PASS), ("close", Verdict.REGRESSED), ("same", Verdict.REGRESSED)]
)
def test_a_changed_answer_is_shown_and_fails_where_that_is_asked(rule: str, verdict: Verdict) -> None:
    outcome = judged(case({"prob": PROB}), case({"prob": PROB + np.float32(0.5)}, rule))
    assert outcome.verdict is verdict
    assert outcome.reason.startswith(f"{CHANGED}: max difference of prob 0.5 of ")
    assert CHANGED in "\n".join(outcome_lines([outcome]))


def test_the_coarser_precision_may_move_more() -> None:
    moved = {"prob": PROB * np.float32(1 + 5e-3)}
    assert judged(case({"prob": PROB}), case(moved, "close")).verdict is Verdict.REGRESSED
    assert judged(case({"prob": PROB}, precision="fp16"), case(moved, "close", "fp16")).verdict is Verdict.PASS


def test_one_of_several_outputs_is_enough_and_is_named() -> None:
    base, head = {"boxes": PROB, "scores": PROB}, {"boxes": PROB, "scores": -PROB}
    assert "max difference of scores" in judged(case(base), case(head)).reason


@pytest.mark.parametrize(
    "head, words",
    [
        ({"scores": PROB}, "base has prob, head has scores"),
        ({"prob": PROB.reshape(10, 4)}, r"prob is float32 [4, 10] in base, float32 [10, 4] in head"),
        ({"prob": PROB.astype(np.float16)}, r"prob is float32 [4, 10] in base, float16 [4, 10] in head"),
    ],
)
def test_other_names_shapes_and_types_are_changes(head: dict[str, np.ndarray], words: str) -> None:
    outcome = judged(case({"prob": PROB}), case(head, "close"))
    assert outcome.verdict is Verdict.REGRESSED
    assert words in outcome.reason


def test_nan_where_base_has_a_number_is_a_change() -> None:
    broken = PROB.copy()
    broken[0, 0] = np.nan
    outcome = judged(case({"prob": PROB}), case({"prob": broken}, "close"))
    assert outcome.verdict is Verdict.REGRESSED
    assert "not finite at other places" in outcome.reason
    assert judged(case({"prob": broken}), case({"prob": broken.copy()}, "same")).verdict is Verdict.PASS


def test_a_value_that_is_not_among_those_kept_is_still_no_identity() -> None:
    base = np.zeros(100_000, np.float32) + 1
    head = base.copy()
    head[3] = 1.5  # between two values that are kept
    outcome = judged(case({"prob": base}), case({"prob": head}, "same"))
    assert outcome.verdict is Verdict.REGRESSED


def test_other_inputs_say_nothing_unless_agreement_is_asked() -> None:
    other = {"data": np.zeros(3, np.float32)}
    assert judge_outputs([(case({"prob": PROB}), case({"prob": -PROB}, feeds=other))]) == []
    outcome = judged(case({"prob": PROB}), case({"prob": -PROB}, "close", feeds=other))
    assert outcome.verdict is Verdict.INCONCLUSIVE
    assert outcome.hint


def test_a_base_without_outputs_is_no_baseline_where_agreement_is_asked() -> None:
    assert judge_outputs([(case(None), case({"prob": PROB}))]) == []
    assert judge_outputs([(case({"prob": PROB}), case(None, "same"))]) == []
    assert judged(case(None), case({"prob": PROB}, "same")).verdict is Verdict.NO_BASELINE


def test_the_judge_of_runs_judges_outputs_too() -> None:
    base, head = Run(cases={"a": case({"prob": PROB})}), Run(cases={"a": case({"prob": -PROB}, "close")})
    base, head = (replace(run, fingerprints={MACHINE.slug: MACHINE}) for run in (base, head))
    outcome = judge(base, head).of("a", "outputs")
    assert outcome is not None
    assert outcome.verdict is Verdict.REGRESSED


def test_the_file_beside_the_baseline_holds_them_whole_and_goes_with_the_last(tmp_path: Path) -> None:
    path, kept = tmp_path / "m.json", case({"prob": PROB, "boxes": PROB * 2}).outputs
    assert read_outputs(path) == {}
    written = write_outputs(path, {"a": kept, "b": None})
    assert written == outputs_path(path) == tmp_path / "outputs" / "m.json"
    again = read_outputs(path)
    assert again["a"].as_dict() == kept.as_dict()
    assert written.read_text().count("\n") == 6  # a line each: head, case, two outputs, two ends
    assert write_outputs(path, {"a": None}) is None
    assert not written.exists()


def test_a_damaged_file_of_outputs_is_named_with_the_case(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    file = write_outputs(path, {"a": case({"prob": PROB}).outputs})
    file.write_text(file.read_text().replace('"shape": [4, 10]', '"shape": [4, 11]'))
    with pytest.raises(BaselineError, match=r"outputs/m\.json: cases/a: is damaged"):
        read_outputs(path)


def run_file(folder: Path, outputs: dict[str, np.ndarray], rule: str = "show") -> Run:
    content = ours({"a": [0.0100, 0.0101, 0.0102]})
    content["inferkit"]["cases"]["a"] |= {"outputs": case(outputs).outputs.as_dict(), "outputs_rule": rule}
    return read_run(write(folder / "run.json", content))


def test_promoting_keeps_outputs_and_wants_a_reason_for_those_that_must_not_change(tmp_path: Path) -> None:
    store = BaselineStore(tmp_path / "baselines")
    promote(plan_promotion(run_file(tmp_path, {"prob": PROB}), store), store)
    assert read_outputs(store.path(MACHINE))["a"].outputs["prob"].sample.tolist() == PROB.reshape(-1).tolist()
    shown = plan_promotion(run_file(tmp_path, {"prob": -PROB}), store)
    assert [each.reason.startswith(CHANGED) for each in shown[0].outcomes if each.metric == "outputs"] == [True]
    assert shown[0].refused == ()
    asked = plan_promotion(run_file(tmp_path, {"prob": -PROB}, "close"), store)
    with pytest.raises(BaselineError, match="a outputs: REGRESSED"):
        promote(asked, store)
    accepted = plan_promotion(run_file(tmp_path, {"prob": -PROB}, "close"), store, accept="trained again")
    promote(accepted, store)
    assert read_outputs(store.path(MACHINE))["a"].outputs["prob"].sample.tolist() == (-PROB).reshape(-1).tolist()


def test_damaged_outputs_of_a_run_file_are_refused_with_their_place(tmp_path: Path) -> None:
    content = ours({"a": [0.01]})
    content["inferkit"]["cases"]["a"]["outputs"] = {"inputs": "x"}
    with pytest.raises(BaselineError, match="cases/a/outputs: are no kept outputs"):
        read_run(write(tmp_path / "run.json", content))
