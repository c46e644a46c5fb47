"""Reads the file that keeps a search: who edits it can neither reach git's options nor cause an error without a place.

{"schema": 1, "question": {"good": "0123abc…", "margin": 0.02, …},
 "search": {"total": 9, "verification": {…}, "steps": [{"commit": "4567def…", "outcome": {…}, "seconds": 3.5}], …}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from inferkit.errors import BaselineError, UsageError
from inferkit.gate.files.checked_json import Place, parse_json
from inferkit.gate.metrics import ACCURACY, DEVICE_MEMORY, ENGINE_SIZE, LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import Levels, Noise
from inferkit.suite.bisect.history import GitHistory
from inferkit.suite.bisect.question import SCHEMA, Question, State
from inferkit.suite.bisect.search import Search, Step
from inferkit.suite.repository import commit_of

METRICS = (LATENCY, ENGINE_SIZE, DEVICE_MEMORY, ACCURACY)  # that a search can be for
_QUESTION = (
    "good", "bad", "case", "selects", "metric", "margin", "matrix", "extras", "first_parent", "min_time",
)  # fmt: skip
_SEARCH = ("good", "bad", "total", "verification", "levels", "noise", "steps", "tests")
_FIGURES = ("base", "head", "change", "lower", "upper", "margin", "mde", "machine")
_COUNTS = ("head_replicates", "base_replicates")
_MOST = 1e9  # commits of a history, and replicates
_MOST_LOG = 100  # of a log ratio of times
_FULL_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ALMOST_0 = -1e-9


def read_state(path: Path, repository: Path) -> State:
    """The search that a file keeps. UsageError, with the key, where it is damaged or names no commit of `repository`.

    UsageError too where there is no file, or one of another version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: no search to resume ({error.strerror}); begin one: GOOD BAD") from error
    try:
        top = parse_json(content, str(path))
        top.schema(SCHEMA, "is no search")
        question, search = _question(top.place("question"), repository), _search(top.place("search"), repository)
        _check(top, question, search, GitHistory(repository, question.first_parent))
    except BaselineError as error:
        raise UsageError(f"{error}; begin the search anew: GOOD BAD") from error
    return State(question, search)


def _check(top: Place, question: Question, search: Search, history: GitHistory) -> None:
    """BaselineError where the search is not one for the question."""
    if (search.good, search.bad) != (question.good, question.bad):
        raise top.fail("is of other commits than the question", "search")
    try:
        history.check(question.good, question.bad)
    except UsageError as error:
        raise top.fail(str(error), "question") from error
    verified = search.verification
    if verified is not None and verified.commit != search.bad:
        raise top.fail(f"is not of BAD, {search.bad}", "search/verification/commit")
    suspects = set(history.between([question.good], question.bad))
    for number, step in enumerate(search.steps):
        if step.commit not in suspects:
            raise top.fail("lies not between GOOD and BAD", f"search/steps/{number}/commit")
    regressed = verified is not None and verified.outcome.verdict is Verdict.REGRESSED
    if question.metric == LATENCY and regressed and search.noise.dof < 1:
        raise top.fail("has too few blocks for a variance", "search/noise")


def _question(place: Place, repository: Path) -> Question:
    place.only(_QUESTION)
    selects = place.values.get("selects")
    if not isinstance(selects, list) or not all(isinstance(word, str) for word in selects):
        raise place.fail(f"must be a list of texts, not {selects!r}", "selects")
    metric = place.text("metric")
    if metric not in METRICS:
        raise place.fail(f"{metric!r} is none of {', '.join(METRICS)}", "metric")
    first_parent = place.values.get("first_parent")
    if not isinstance(first_parent, bool):
        raise place.fail(f"must be true or false, not {first_parent!r}", "first_parent")
    matrix = place.text("matrix")
    if not matrix or "\0" in matrix:
        raise place.fail(f"{matrix!r} cannot be the path of a file", "matrix")
    return Question(
        good=_commit(place, "good", repository),
        bad=_commit(place, "bad", repository),
        case=place.text("case"),
        selects=tuple(selects),
        metric=metric,
        margin=place.number("margin", above=_ALMOST_0, most=100),
        matrix=matrix,
        extras=None if place.values.get("extras") is None else place.text("extras"),
        first_parent=first_parent,
        min_time=place.number("min_time", above=0, most=3600),
    )


def _search(place: Place, repository: Path) -> Search:
    place.only(_SEARCH)
    levels, noise = place.place("levels"), place.place("noise")
    steps = place.values.get("steps")
    if not isinstance(steps, list):
        raise place.fail(f"must be a list, not {steps!r}", "steps")
    each = Place({f"{number}": step for number, step in enumerate(steps)}, place.file, "search/steps")
    verified = place.values.get("verification") is not None
    return Search(
        good=_commit(place, "good", repository),
        bad=_commit(place, "bad", repository),
        total=_whole(place, "total", least=1),
        verification=_step(place.place("verification"), repository) if verified else None,
        levels=Levels(*(levels.number(key, above=-_MOST_LOG, most=_MOST_LOG) for key in ("low", "high"))),
        noise=Noise(noise.numbers("residuals", above=-_MOST_LOG, most=_MOST_LOG), _whole(noise, "commits")),
        steps=tuple(_step(step, repository) for step in each.places().values()),
        tests=_whole(place, "tests"),
    )


def _step(place: Place, repository: Path) -> Step:
    outcome = _outcome(place.place("outcome"))
    return Step(_commit(place, "commit", repository), outcome, place.number("seconds", above=_ALMOST_0))


def _outcome(place: Place) -> Outcome:
    place.only(Outcome.__dataclass_fields__)
    verdict = place.text("verdict")
    if verdict not in (each.value for each in Verdict):
        raise place.fail(f"{verdict!r} is no verdict", "verdict")
    texts: Mapping[str, str] = {key: place.text(key) for key in ("case", "metric", "reason", "hint")}
    figures = {key: place.optional(key) for key in _FIGURES}
    counts = {key: _whole(place, key) for key in _COUNTS}
    return Outcome(verdict=Verdict(verdict), **texts, **figures, **counts)  # type: ignore[arg-type]


def _whole(place: Place, key: str, least: int = 0) -> int:
    value = place.number(key, above=least - 1, most=_MOST)
    if value != int(value):
        raise place.fail(f"must be a whole number, not {value!r}", key)
    return int(value)


def _commit(place: Place, key: str, repository: Path) -> str:
    """A full id, which alone is safe as an argument of git, of a commit that the repository has."""
    commit = place.text(key)
    if not _FULL_ID.fullmatch(commit):
        raise place.fail(f"{commit!r} is no full id of a commit", key)
    try:
        return commit_of(repository, commit)
    except UsageError as error:
        raise place.fail(f"{commit} is no commit of {repository}", key) from error
