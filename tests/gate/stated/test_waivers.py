"""A waived figure is shown and fails nothing, until its day; what no waiver covers fails as ever."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from inferkit.cli.main import main
from inferkit.gate.comparison import exit_code
from inferkit.gate.outcome import FAILING, Outcome, Verdict, by_case, deciding, failed
from inferkit.gate.stated.waivers import Waiver, needless, today, waived
from tests.gate.run_files import ours, write

DAY = date(2026, 12, 1)
WAIVER = Waiver("resnet-*", "latency", "a decoder", "ana", DAY, "waivers.toml:1: [waivers]")
FAST, SLOW = [0.0100, 0.0101, 0.0102], [0.0150, 0.0151, 0.0152]


def outcome(verdict, case="resnet-b1", metric="latency", **more):
    return Outcome(case, metric, verdict, base=1.0, head=1.3, change=0.3, margin=0.05, **more)


def test_the_verdict_stands_in_the_reason_and_the_figures_stay():
    (shown,) = waived([outcome(Verdict.REGRESSED, reason="conv1 did")], [WAIVER], DAY)
    assert shown.verdict is Verdict.WAIVED
    assert shown.reason == "REGRESSED, waived by ana until 2026-12-01: a decoder; conv1 did"
    assert "1 s -> 1.3 s, +30.0%, margin 5 %" in shown.line
    assert waived([shown], [WAIVER], DAY) == (shown,)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.IMPROVED, Verdict.INVALID])
def test_what_does_not_fail_is_not_waived(verdict):
    assert waived([outcome(verdict)], [WAIVER], DAY)[0].verdict is verdict


def test_what_could_not_be_measured_is_not_waived_and_what_was_measured_as_failed_is():
    unmeasured, short = failed("resnet-b1", "latency", "no memory"), outcome(Verdict.FAILED, metric="precision share")
    waiver = replace(WAIVER, metric="precision share")
    assert waived([unmeasured, short], [WAIVER, waiver], DAY) == (unmeasured, *waived([short], [waiver], DAY))
    assert waived([short], [waiver], DAY)[0].verdict is Verdict.WAIVED


def test_other_metrics_and_other_cases_still_fail_and_a_waived_case_never_looks_like_a_pass():
    outcomes = waived(
        [
            outcome(Verdict.REGRESSED),
            outcome(Verdict.REGRESSED, metric="p99"),
            outcome(Verdict.REGRESSED, case="vgg-b1"),
        ],
        [WAIVER],
        DAY,
    )
    assert [each.verdict for each in outcomes] == [Verdict.WAIVED, Verdict.REGRESSED, Verdict.REGRESSED]
    assert [deciding(group).metric for group in by_case(outcomes).values()] == ["p99", "latency"]
    assert exit_code(outcomes) == 1
    assert exit_code(outcomes[:1]) == 0
    beside = [outcome(Verdict.PASS), outcome(Verdict.WAIVED, metric="p99")]
    assert deciding(beside).verdict is Verdict.WAIVED


def test_what_a_project_is_strict_about_can_be_waived_too():
    strict = FAILING | {Verdict.INCONCLUSIVE}
    assert waived([outcome(Verdict.INCONCLUSIVE)], [WAIVER], DAY)[0].verdict is Verdict.INCONCLUSIVE
    assert waived([outcome(Verdict.INCONCLUSIVE)], [WAIVER], DAY, strict)[0].verdict is Verdict.WAIVED


def test_an_expired_waiver_leaves_the_verdict_and_says_whose_it_was():
    (shown,) = waived([outcome(Verdict.REGRESSED)], [WAIVER], DAY + timedelta(days=1))
    assert shown.verdict is Verdict.REGRESSED
    assert shown.reason == "the waiver of ana expired on 2026-12-01"
    assert waived([shown], [WAIVER], DAY + timedelta(days=1)) == (shown,)


def test_accuracy_names_top_1():
    waiver = Waiver("*", "accuracy", "x", "ana", DAY)
    assert waived([outcome(Verdict.REGRESSED, metric="top-1")], [waiver], DAY)[0].verdict is Verdict.WAIVED


@pytest.mark.parametrize(
    "verdict, whole, on, said",
    [
        (Verdict.PASS, True, DAY, "it passes now; remove it"),
        (Verdict.IMPROVED, True, DAY, "it passes now; remove it"),
        (Verdict.PASS, False, DAY, ""),
        (Verdict.WAIVED, True, DAY, ""),
        (Verdict.INCONCLUSIVE, True, DAY, ""),
        (Verdict.INVALID, True, DAY, ""),
        (Verdict.REGRESSED, True, DAY + timedelta(days=1), ""),
        (Verdict.PASS, False, DAY + timedelta(days=1), "expired on 2026-12-01"),
        (Verdict.INCONCLUSIVE, True, DAY + timedelta(days=1), "expired on 2026-12-01"),
    ],
)
def test_a_waiver_goes_when_it_is_shown_to_be_needless_or_has_expired(verdict, whole, on, said):
    line = needless(WAIVER, [outcome(verdict)], on, whole=whole)
    assert said in line
    assert bool(line) == bool(said)
    assert line.startswith(WAIVER.where) or not line


def test_a_waiver_of_a_metric_that_was_not_judged_may_be_needed():
    waiver = Waiver("resnet-*", "p99", "x", "ana", DAY, "waivers.toml:1:")
    assert not needless(waiver, [outcome(Verdict.PASS)], DAY, whole=True)
    passes = outcome(Verdict.PASS, metric="p99")
    assert needless(waiver, [outcome(Verdict.PASS), passes], DAY, whole=True)
    for verdict in (Verdict.INVALID, Verdict.NO_BASELINE, Verdict.SCREENED, Verdict.UNSUPPORTED):
        assert not needless(waiver, [passes, outcome(verdict, case="resnet-b8")], DAY, whole=True)


def test_a_waived_movement_of_the_machine_is_no_invalid_measurement():
    moved = outcome(Verdict.INCONCLUSIVE, machine=0.1)
    assert exit_code([moved]) == 10
    assert exit_code(waived([moved], [WAIVER], DAY, FAILING | {Verdict.INCONCLUSIVE})) == 0


def test_strictness_about_inconclusive_cases_looks_at_what_a_case_is_about():
    beside = [outcome(Verdict.PASS), outcome(Verdict.INCONCLUSIVE, metric="p99")]
    assert exit_code(beside, strict=True) == 0
    assert exit_code([outcome(Verdict.INCONCLUSIVE)], strict=True) == 11


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "base.json", ours({"a": FAST, "b": FAST}))
    write(tmp_path / "head.json", ours({"a": SLOW, "b": FAST}))
    return tmp_path


def waivers_file(folder, case="a", expires="2999-12-31"):
    text = f'[[waivers]]\ncase = "{case}"\nmetric = "latency"\nreason = "r"\nowner = "ana"\nexpires = {expires}\n'
    (folder / "waivers.toml").write_text(text)
    return str(folder / "waivers.toml")


def test_compare_takes_waivers(files, capsys):
    names = [str(files / "base.json"), str(files / "head.json")]
    markdown = files / "comment.md"
    assert main(["compare", *names]) == 1
    assert main(["compare", *names, "--waivers", waivers_file(files), "--markdown", str(markdown)]) == 0
    printed = capsys.readouterr().out
    assert "a latency: WAIVED: " in printed
    assert "REGRESSED, waived by ana until 2999-12-31: r" in printed
    assert "1 case waived" in markdown.read_text()
    assert main(["compare", *names, "--waivers", waivers_file(files, expires="2020-01-01")]) == 1
    assert "the waiver of ana expired on 2020-01-01" in capsys.readouterr().out
    assert main(["compare", *names, "--waivers", waivers_file(files, case="b")]) == 1
    assert "the waiver of ana for latency of b is not needed: it passes now" in capsys.readouterr().out


def test_a_waived_case_is_not_promoted_in_silence(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    assert main(["baseline", "promote", "base.json"]) == 0
    entry = {
        "case": "a",
        "metric": "latency",
        "verdict": "WAIVED",
        "reason": "REGRESSED, waived by ana until 2999-12-31: r",
    }
    write(files / "waived.json", ours({"a": FAST, "b": FAST}, outcomes=[entry]))
    capsys.readouterr()
    assert main(["baseline", "promote", "waived.json"]) == 1
    assert "a latency: WAIVED: REGRESSED, waived by ana" in capsys.readouterr().err
    assert main(["baseline", "promote", "waived.json", "--accept-regression", "the decoder stays"]) == 0
    assert "a latency was waived: with this baseline its waiver can go" in capsys.readouterr().out


def test_today_is_a_day():
    assert abs((today() - date.today()).days) <= 1  # UTC and the local day
