"""The rules of a search through commits: is BAD slower than GOOD, and is a commit between them as fast or as slow?

First GOOD is measured against BAD in interleaved blocks, until the slowdown d is established and its size is known
(VerifyRule). A commit is then not tested against the margin but classified: is its change from GOOD nearer to 0 or to d
(ClassifyRule)? That is a sequential probability ratio test of two simple hypotheses, a change of d/4 and one of 3d/4.
With the block differences x (log ratios), the middle c = d/2, and a variance s² of f degrees of freedom,

    (d/2) sum(x - c) / s²  >=  a : as slow as BAD        <= -a : as fast as GOOD        a = f/2 (alpha**(-2/f) - 1)

and one more pair of blocks is measured in between. For every true change of at most d/4, or of at least 3d/4, the
answer is wrong with a probability of at most alpha, however often one looks: with the true variance the boundary is
Wald's log(1/alpha), by Ville's inequality; averaged over a chi-square s² that was estimated beforehand it is Hall's a.
Both are of normal blocks; what others do is simulated (tests/suite/bisect/test_simulated_searches.py).

Where the range holds several slowdowns a commit may lie in the middle: surely slower than GOOD (0 against d/2, the same
test) and surely faster than BAD (d/2 against d), as in Armitage's test of three hypotheses. It then counts as slow. Its
own change takes the place of d, or that of a good commit which is surely slower than GOOD the place of 0 (Levels), so
that all commits between two slowdowns are classified alike and one of the slowdowns is found.

The s² is that of all earlier blocks of the search. Where the blocks of this step are noisier, theirs count with it: a
larger s² only delays an answer. Odd blocks are drawn in, to as far from either hypothesis as the noise lets them be
(Noise), and a robust estimate of the change must lie on the same side of c: one odd process decides nothing.

The whole search may be wrong with SEARCH_ALPHA. It is shared: of n commits there are ceil(log2 n) classifications to
make; each of them and the verification has an equal share, and one more share is for commits tested in place of skipped
ones, halved from one to the next. By the union bound, where one commit changed the time, that one is named.

Sources: A. Wald, "Sequential tests of statistical hypotheses", Ann. Math. Statist. 16 (1945); P. Armitage,
"Sequential analysis with more than two alternative hypotheses", J. R. Statist. Soc. B 12 (1950); W. J. Hall, "Some
sequential analogs of Stein's two-stage test", Biometrika 49 (1962); J. Ville, "Étude critique de la notion de
collectif" (1939).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.moderated import unjudged
from inferkit.gate.rules.rule import LogSamples
from inferkit.gate.stats.analyses import AnalysisPlan
from inferkit.gate.stats.effect import Evidence, paired
from inferkit.gate.stats.judge import CONFIDENCE

SEARCH_ALPHA = 0.05
# After six blocks a large slowdown is established; others wait for a variance of more degrees of freedom.
VERIFYING = (6, 12, 20, 40)
CLASSIFYING = tuple(range(4, 62, 2))
_ESTABLISHED = 0.5  # of the margin that BAD must surely exceed
_UNSURE = 0.25  # of d, at either end, up to which a classification's error is controlled
_PRECISE = 0.6  # of the estimate that its lower bound must reach, or the verification goes on
_ODD = 4.0  # robust standard deviations
_MEDIAN_OF_NORMAL = 0.6745  # of the absolute values, in standard deviations
_LEAST_NOISE = 1e-6  # standard deviation of a block: clocks resolve no less


def steps_of(commits: int) -> int:
    """How many classifications find the first of so many commits."""
    return math.ceil(math.log2(commits)) if commits > 1 else 0


def share_of(alpha: float, steps: int, test: int) -> float:
    """The error that test number `test` may have (0: the verification) of a search planned for `steps`."""
    share = alpha / (steps + 2)
    return share if test <= steps else share / 2 ** (test - steps)


@dataclass(frozen=True)
class Noise:
    """What the blocks so far say of the spread of one: the residuals around the medians of their commits.

    `commits` is how many medians they are from. Odd blocks, beyond four robust standard deviations (by the median
    absolute residual), count as that far: on a shared CPU one process in twenty takes half as long again.
    """

    residuals: tuple[float, ...] = ()
    commits: int = 0

    def including(self, differences: ArrayLike) -> Noise:
        """With one more commit's blocks."""
        d = np.asarray(differences, float)
        return Noise((*self.residuals, *(d - np.median(d)).tolist()), self.commits + 1)

    @property
    def dof(self) -> int:
        """The degrees of freedom of `variance`."""
        return len(self.residuals) - self.commits

    @property
    def limit(self) -> float:
        """The distance beyond which a block is odd; a log ratio."""
        scale = float(np.median(np.abs(self.residuals))) * math.sqrt(len(self.residuals) / max(self.dof, 1))
        return _ODD * max(scale / _MEDIAN_OF_NORMAL, _LEAST_NOISE)

    @property
    def variance(self) -> float:
        """Of one block's difference, the odd ones drawn in; log ratios squared."""
        kept = np.clip(self.residuals, -self.limit, self.limit)
        return max(float(np.sum(kept**2)) / max(self.dof, 1), _LEAST_NOISE**2)


@dataclass(frozen=True)
class Verification:
    """What BAD against GOOD showed: `slowdown` is the d to classify by, a log ratio, where there is a regression.

    It is the estimate, or less where that is not sure: three quarters of it are exceeded, up to the error of the test.
    """

    verdict: Verdict | None
    slowdown: float = 0.0


def verify(differences: NDArray[np.float64], margin: float, analysis: int, alpha: float) -> Verification:
    """Judge the blocks of BAD against GOOD at this analysis of VERIFYING; `margin` is a share. None: measure more."""
    plan = AnalysisPlan(VERIFYING)
    noise = Noise().including(differences)
    evidence = _without_odd(differences, noise)
    error = math.sqrt(noise.variance / evidence.information)
    width = float(stats.t.isf(plan.allowance(analysis, alpha), evidence.dof)) * error
    lower, upper = evidence.effect - width, evidence.effect + width
    if upper < math.log1p(margin):
        return Verification(Verdict.PASS)
    established = min(lower, evidence.robust) > _ESTABLISHED * math.log1p(margin)
    if established and (lower > _PRECISE * evidence.effect or analysis == plan.last):
        return Verification(Verdict.REGRESSED, min(evidence.effect, lower / (1 - _UNSURE)))
    return Verification(Verdict.INCONCLUSIVE if analysis == plan.last else None)


@dataclass(frozen=True)
class Levels:
    """The changes from GOOD, log ratios, by which commits are classified: that of good commits, and of the bad one."""

    low: float = 0.0
    high: float = 0.0

    def after(self, outcome: Outcome) -> Levels:
        """With the change of a commit that surely lies between: there are several slowdowns."""
        if outcome.change is None or outcome.lower is None or outcome.upper is None:
            return self
        change = math.log1p(outcome.change)
        if outcome.verdict is Verdict.REGRESSED and math.log1p(outcome.upper) < self.high:
            return replace(self, high=change)
        if outcome.verdict is Verdict.PASS and math.log1p(outcome.lower) > self.low:
            return replace(self, low=change)
        return self


def classify(differences: ArrayLike, levels: Levels, noise: Noise, alpha: float) -> Verdict | None:
    """REGRESSED: as slow as BAD, or surely between; PASS: as fast as GOOD; None where more blocks must tell. See above.

    `noise` is of earlier blocks. ValueError where it has no degrees of freedom.
    """
    if not noise.dof:
        raise ValueError("a classification needs a variance that was estimated before")
    noisier = max(noise, noise.including(differences), key=lambda each: each.variance)
    distance = levels.high - levels.low
    boundary = noise.dof / 2 * math.expm1(-2 / noise.dof * math.log(alpha))

    def side(share: float) -> int:
        """1 where the change is surely above this share of the distance, -1 where it is surely below it, else 0."""
        point = levels.low + share * distance
        kept = noisier.limit + distance / 4  # as far from either hypothesis
        evidence = paired(np.clip(differences, point - kept, point + kept))
        ratio = distance / 2 * evidence.information * (evidence.effect - point) / noisier.variance
        if ratio >= boundary and evidence.robust > point:
            return 1
        return -1 if ratio <= -boundary and evidence.robust < point else 0

    if side(0.5) == 1 or (side(_UNSURE) == 1 and side(1 - _UNSURE) == -1):
        return Verdict.REGRESSED
    return Verdict.PASS if side(0.5) == -1 else None


class _BlocksRule:
    """A rule for interleaved blocks that judges each case by its own differences, head less base."""

    plan: AnalysisPlan
    undecided: str  # why a case is INCONCLUSIVE, without how many blocks it had

    def evidence(self, samples: LogSamples) -> Evidence:
        """The change, from the differences of the blocks."""
        return paired(np.subtract(samples.head, samples.base))

    def judge(self, suite: Sequence[LogSamples]) -> list[Outcome]:
        """One outcome per case, in the order given."""
        return [self._judged(case) if case.comparable else unjudged(case) for case in suite]

    def _judged(self, case: LogSamples) -> Outcome:
        differences = np.subtract(case.head, case.base)
        verdict, noise = self.decide(differences, case.margin)
        return _outcome(case, verdict, noise, f"{self.undecided}, after {len(differences)} blocks")

    def decide(self, differences: NDArray[np.float64], margin: float) -> tuple[Verdict | None, Noise]:
        """The verdict, None where there is none yet, and the noise that its bounds are shown with."""
        raise NotImplementedError


class VerifyRule(_BlocksRule):
    """`verify` as a rule for interleaved blocks; its outcome says REGRESSED, PASS or INCONCLUSIVE of BAD."""

    undecided = "BAD is neither surely slower nor surely not"

    def __init__(self, alpha: float) -> None:
        self.plan = AnalysisPlan(VERIFYING)
        self.verification = Verification(None)
        self._alpha = alpha

    def decide(self, differences: NDArray[np.float64], margin: float) -> tuple[Verdict | None, Noise]:
        """BAD's verdict."""
        self.verification = verify(differences, margin, self.plan.reached(len(differences)), self._alpha)
        return self.verification.verdict, Noise().including(differences)

    def more(self, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
        """The blocks until the next analysis, where the verification is not at its end."""
        return {} if self.verification.verdict else _blocks_until(self.plan, outcomes)


class ClassifyRule(_BlocksRule):
    """`classify` as a rule for interleaved blocks: REGRESSED is as slow as BAD, PASS as fast as GOOD."""

    undecided = "neither as fast as GOOD nor as slow as BAD"

    def __init__(self, levels: Levels, noise: Noise, alpha: float) -> None:
        self.plan = AnalysisPlan(CLASSIFYING)
        self._levels, self._noise, self._alpha = levels, noise, alpha

    def decide(self, differences: NDArray[np.float64], margin: float) -> tuple[Verdict | None, Noise]:
        """The commit's verdict; the levels stand for the margin."""
        return classify(differences, self._levels, self._noise, self._alpha), self._noise.including(differences)

    def more(self, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
        """The next two blocks of what is not classified yet, one in each order."""
        return _blocks_until(self.plan, [each for each in outcomes if each.verdict is Verdict.INCONCLUSIVE])


def _without_odd(differences: NDArray[np.float64], noise: Noise) -> Evidence:
    """What the blocks show of the change, the odd ones drawn in towards their median."""
    center = float(np.median(differences))
    return paired(np.clip(differences, center - noise.limit, center + noise.limit))


def _blocks_until(plan: AnalysisPlan, outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    following = {
        each.case: next((count for count in plan.counts if count > each.head_replicates), 0) for each in outcomes
    }
    measured = {each.case: each.head_replicates for each in outcomes}
    return {case: count - measured[case] for case, count in following.items() if count}


def _outcome(case: LogSamples, verdict: Verdict | None, noise: Noise, undecided: str) -> Outcome:
    """Bounds at CONFIDENCE, as everywhere; the decision itself rests on the rule above, not on them."""
    evidence = _without_odd(np.subtract(case.head, case.base), noise)
    width = float(stats.t.isf(1 - CONFIDENCE, noise.dof)) * math.sqrt(noise.variance / evidence.information)
    verdict = verdict or Verdict.INCONCLUSIVE
    return Outcome(
        case.case,
        LATENCY,
        verdict,
        base=math.exp(float(np.mean(case.base))),
        head=math.exp(float(np.mean(case.head))),
        change=math.expm1(evidence.effect),
        lower=math.expm1(evidence.effect - width),
        upper=math.expm1(evidence.effect + width),
        margin=case.margin,
        head_replicates=len(case.head),
        base_replicates=len(case.base),
        reason=undecided if verdict is Verdict.INCONCLUSIVE else "",
    )
