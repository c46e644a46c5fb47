"""The gate's rule on a suite: what it decides, what it wants measured again, and that it keeps no state."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inferkit.gate.outcome import Verdict
from inferkit.gate.rules.moderated import ModeratedRule
from inferkit.gate.rules.rule import LogSamples

RULE = ModeratedRule()
FILES = ModeratedRule(analyses=())


def case(name, slowdown=0.0, sd=0.003, replicates=3, baseline=3, seed=0, margin=0.02):
    random = np.random.default_rng([seed, *name.encode()])
    stored = tuple(np.log(0.001) + sd * random.standard_normal(baseline))
    now = tuple(np.log(0.001 * (1 + slowdown)) + sd * random.standard_normal(replicates))
    return LogSamples(name, stored, now, margin)


def test_a_quiet_suite_passes_and_its_slow_case_is_named():
    suite = [case(f"c{i}") for i in range(10)] + [case("slow", 0.03)]
    first = RULE.judge(suite)
    assert [o.verdict for o in first] == [Verdict.PASS] * 10 + [Verdict.INCONCLUSIVE]
    assert RULE.more(first) == {"slow": 3}
    outcomes = RULE.judge([*suite[:-1], case("slow", 0.03, replicates=6)])
    assert [o.verdict for o in outcomes] == [Verdict.PASS] * 10 + [Verdict.REGRESSED]
    assert outcomes[-1].lower < 0.03 < outcomes[-1].upper
    assert "slow latency: REGRESSED" in outcomes[-1].line
    assert RULE.more(outcomes) == {}


def test_an_improvement_is_told_and_fails_nothing():
    outcomes = RULE.judge([case(f"c{i}") for i in range(10)] + [case("fast", -0.05)])
    assert outcomes[-1].verdict is Verdict.IMPROVED


def test_only_suspicious_undecided_cases_are_measured_further_until_the_last_look():
    noisy = LogSamples("noisy", (0.0, 0.05, -0.05), (0.03, 0.08, -0.02), 0.02)
    calm = LogSamples("calm", (0.0, 0.05, -0.05), (-0.03, 0.0, -0.02), 0.02)
    outcomes = RULE.judge([noisy, calm])
    assert [o.verdict for o in outcomes] == [Verdict.INCONCLUSIVE] * 2
    assert RULE.more(outcomes) == {"noisy": 3}
    exhausted = LogSamples("noisy", noisy.base, noisy.head * 7, 0.02)
    assert RULE.more(RULE.judge([exhausted])) == {}
    assert "cannot gate at 2 %" in outcomes[0].reason


def test_one_replicate_a_side_decides_only_what_no_noise_explains():
    single = [LogSamples(f"c{i}", (0.0,), (0.01 * i,), 0.05) for i in range(-3, 4)]
    outcomes = FILES.judge([*single, LogSamples("slow", (0.0,), (0.5,), 0.05)])
    assert outcomes[-1].verdict is Verdict.REGRESSED
    assert {o.verdict for o in outcomes[:-1]} <= {Verdict.PASS, Verdict.INCONCLUSIVE}
    assert all("assumed" in o.reason for o in outcomes)
    alone = FILES.judge([LogSamples("one", (0.0,), (0.1,), 0.05)])[0]
    assert alone.verdict is Verdict.INCONCLUSIVE  # 10 % between two single processes has been seen on identical engines
    assert FILES.judge([LogSamples("one", (0.0,), (0.3,), 0.05)])[0].verdict is Verdict.REGRESSED


def test_everything_slower_is_not_taken_for_noise():
    suite = [LogSamples(f"c{i}", (0.0,), (0.4 + 0.001 * i,), 0.05) for i in range(10)]
    assert {o.verdict for o in FILES.judge(suite)} == {Verdict.REGRESSED}


def test_what_cannot_be_compared_says_so_and_does_not_disturb_the_rest():
    suite = [case("a"), LogSamples("new", (), (0.0, 0.1), 0.02), case("b")]
    suite.append(LogSamples("hot", (0.0, 0.1), (0.0, 0.1), 0.02, invalid=("thermal throttling",)))
    outcomes = RULE.judge(suite)
    assert [o.verdict for o in outcomes] == [Verdict.PASS, Verdict.NO_BASELINE, Verdict.PASS, Verdict.INVALID]
    assert "thermal" in outcomes[-1].reason


def test_more_replicates_of_a_real_slowdown_decide():
    suite = [case(f"c{i}", sd=0.02, baseline=8) for i in range(10)]
    slow = [case("slow", 0.08, sd=0.02, baseline=8, replicates=n) for n in (3, 20)]
    assert RULE.judge([*suite, slow[1]])[-1].verdict is Verdict.REGRESSED


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=22),
            st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_every_case_gets_one_outcome_whatever_the_numbers(values):
    suite = [LogSamples(f"c{i}", tuple(base), tuple(now), 0.05) for i, (now, base) in enumerate(values)]
    outcomes = RULE.judge(suite)
    assert [o.case for o in outcomes] == [c.case for c in suite]
    for outcome in outcomes:
        assert outcome.verdict in (Verdict.PASS, Verdict.REGRESSED, Verdict.IMPROVED, Verdict.INCONCLUSIVE)
    assert all(count > 0 for count in RULE.more(outcomes).values())
    assert RULE.judge(suite) == outcomes
