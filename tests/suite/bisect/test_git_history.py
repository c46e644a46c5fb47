"""Which commits git says lie between GOOD and BAD, in which order they are tested, and how a search is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inferkit.cli.main import main
from inferkit.errors import UsageError
from inferkit.gate.metrics import LATENCY
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import Levels, Noise, share_of, steps_of
from inferkit.suite.bisect.history import GitHistory
from inferkit.suite.bisect.kept import read_state
from inferkit.suite.bisect.question import Question, State
from inferkit.suite.bisect.search import Search, Step
from tests.git_folder import git
from tools.gate.simulated_searches import Line


def commit(folder: Path, message: str) -> str:
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


def step(number: str, verdict: Verdict) -> Step:
    return Step(number, Outcome("case", LATENCY, verdict))


def test_the_commit_that_halves_the_suspects_comes_first(repository: Path) -> None:
    good, *later = [commit(repository, f"change {number}") for number in range(9)]
    between = GitHistory(repository).between([good], later[-1])
    assert set(between) == set(later)
    assert between[0] == later[3]
    assert between[-1] in (later[0], later[-1])


def test_a_merged_branch_is_searched_and_with_first_parent_it_is_one_step(repository: Path) -> None:
    good = commit(repository, "start")
    git(repository, "checkout", "-q", "-b", "branch")
    on_branch = [commit(repository, f"branch {number}") for number in range(3)]
    git(repository, "checkout", "-q", "main")
    on_main = commit(repository, "main")
    git(repository, "merge", "-q", "--no-ff", "-m", "merge", "branch")
    bad = git(repository, "rev-parse", "HEAD")
    assert set(GitHistory(repository).between([good], bad)) == {*on_branch, on_main, bad}
    assert set(GitHistory(repository, first_parent=True).between([good], bad)) == {on_main, bad}
    # What a good commit of the branch has is cleared with it.
    assert set(GitHistory(repository).between([good, on_branch[1]], bad)) == {on_branch[2], on_main, bad}


def test_nothing_lies_between_commits_of_which_neither_has_the_other(repository: Path) -> None:
    start = commit(repository, "start")
    git(repository, "checkout", "-q", "-b", "branch")
    good = commit(repository, "branch")
    git(repository, "checkout", "-q", "main")
    bad = commit(repository, "main")
    with pytest.raises(UsageError, match=f"inferkit bisect {start[:10]} {bad[:10]}"):
        GitHistory(repository).check(good, bad)
    with pytest.raises(UsageError, match="the same commit"):
        GitHistory(repository).check(bad, bad)


def test_the_facts_of_a_commit(repository: Path) -> None:
    first = commit(repository, "start")
    facts = GitHistory(repository).facts(commit(repository, "subject\n\nbody"))
    assert (facts.subject, facts.parents) == ("subject", (first,))
    assert facts.date.startswith("20")
    assert GitHistory(repository).facts(first).parents == ()


def test_good_and_slow_commits_narrow_the_suspects() -> None:
    search = Search("0", "16", 16)
    assert search.planned == 4
    assert search.following(Line()) == "8"
    search = search.with_step(step("8", Verdict.PASS)).with_step(step("12", Verdict.REGRESSED))
    assert search.suspects(Line())[-1] == "12"
    assert set(search.suspects(Line())) == {"9", "10", "11", "12"}
    assert search.steps_left(Line()) == 2


def test_skipped_commits_are_gone_around_further_and_further() -> None:
    search, tested = Search("0", "32", 32), []
    for _ in range(6):
        tested.append(int(search.following(Line()) or 0))
        search = search.with_step(step(str(tested[-1]), Verdict.FAILED))
    assert len(set(tested)) == 6
    assert max(tested) - min(tested) > 6  # neighbours alone would be six in a row
    assert len(search.suspects(Line())) == 32


def test_after_three_undecided_commits_a_search_stops_and_tests_them_again_when_resumed() -> None:
    search = Search("0", "16", 16)
    for _ in range(3):
        search = search.with_step(step(search.following(Line()) or "", Verdict.INCONCLUSIVE))
    assert search.following(Line()) is None
    assert search.resumed().steps == ()
    assert search.resumed().following(Line()) == "8"


@pytest.mark.parametrize("commits, steps", [(1, 0), (2, 1), (3, 2), (32, 5), (33, 6)])
def test_steps_and_the_error_they_share(commits: int, steps: int) -> None:
    assert steps_of(commits) == steps
    assert sum(share_of(0.05, steps, test) for test in range(60)) == pytest.approx(0.05)


def kept(repository: Path) -> State:
    """A search of three commits of the repository, whose middle one was tested."""
    good, middle, bad = (commit(repository, name) for name in ("good", "middle", "bad"))
    question = Question(good, bad, "case", ("--model", "x"), LATENCY, 0.02, "/matrix.toml", "cpu", True)
    outcome = Outcome("case", LATENCY, Verdict.REGRESSED, change=0.03, head_replicates=12)
    search = Search(good, bad, 2, Step(bad, outcome, 3.5), Levels(0.0, 0.03), Noise((0.1, -0.1), 1), (), 2)
    return State(question, search.with_step(Step(middle, outcome, 1.0)))


def test_a_search_is_read_as_it_was_written(repository: Path, tmp_path: Path) -> None:
    state = kept(repository)
    state.write(tmp_path / "state.json")
    assert read_state(tmp_path / "state.json", repository) == state
    begun = State(replace(state.question, extras=None), Search(state.question.good, state.question.bad, 2))
    begun.write(tmp_path / "state.json")
    assert read_state(tmp_path / "state.json", repository) == begun


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 2}', '{"schema": 1, "question": 3}'])
def test_a_damaged_state_is_an_error_that_says_what_to_do(repository: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(UsageError, match=r"state\.json: .*anew"):
        read_state(tmp_path / "state.json", repository)


def test_without_a_state_there_is_nothing_to_resume(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no search to resume"):
        read_state(tmp_path / "state.json", repository)


@pytest.mark.parametrize(
    "key, value",
    [
        ("question/good", "--output=written"),
        ("question/bad", "HEAD"),
        ("question/bad", "a\0" + "b" * 38),
        ("question/good", "a" * 40),
        ("question/metric", "nonsense"),
        ("question/margin", "x"),
        ("question/margin", -0.1),
        ("question/matrix", 3),
        ("question/matrix", "a\0b"),
        ("question/min_time", -1),
        ("question/selects", "--model"),
        ("question/selects", [1]),
        ("question/extras", 1),
        ("question/first_parent", "yes"),
        ("question/more", 1),
        ("search/good", 7),
        ("search/bad", "--output=written"),
        ("search/total", "7"),
        ("search/total", 0),
        ("search/total", 1.5),
        ("search/tests", None),
        ("search/verification", "x"),
        ("search/verification/commit", "--output=written"),
        ("search/verification/outcome/verdict", "GREEN"),
        ("search/verification/outcome/change", "much"),
        ("search/levels/high", "x"),
        ("search/noise", None),
        ("search/noise/residuals", ["x"]),
        ("search/noise/commits", -1),
        ("search/steps", {}),
        ("search/steps/0", 1),
        ("search/steps/0/commit", None),
        ("search/steps/0/commit", "--output=written"),
        ("search/steps/0/seconds", "long"),
    ],
)
def test_what_a_state_cannot_hold_is_refused_with_file_and_key(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
    value: object,
) -> None:
    kept(repository).write(tmp_path / "state.json")
    content = json.loads((tmp_path / "state.json").read_text())
    *folders, last = key.split("/")
    place = content
    for name in folders:
        place = place[int(name) if isinstance(place, list) else name]
    place[int(last) if isinstance(place, list) else last] = value
    (tmp_path / "state.json").write_text(json.dumps(content))
    monkeypatch.chdir(repository)
    assert main(["bisect", "--resume", "--state", str(tmp_path / "state.json")]) == 2
    assert f"state.json: {key}" in capsys.readouterr().err
    assert not (repository / "written").exists()


def test_a_search_that_is_not_one_for_the_question_is_refused(repository: Path, tmp_path: Path) -> None:
    state = kept(repository)
    question, search = state.question, state.search
    assert search.verification is not None
    good, bad = question.good, question.bad
    wrong = {
        "search: is of other commits": State(question, replace(search, good=bad)),
        "question: .* is no ancestor": State(
            replace(question, good=bad, bad=good), replace(search, good=bad, bad=good)
        ),
        "search/verification/commit: is not of BAD": State(
            question, replace(search, verification=replace(search.verification, commit=good))
        ),
        "search/steps/0/commit: lies not between": State(
            question, replace(search, steps=(replace(search.steps[0], commit=good),))
        ),
        "search/noise: has too few blocks": State(question, replace(search, noise=Noise((0.1,), 1))),
    }
    for message, other in wrong.items():
        other.write(tmp_path / "state.json")
        with pytest.raises(UsageError, match=rf"state\.json: {message}"):
            read_state(tmp_path / "state.json", repository)


def test_a_commit_is_never_taken_as_an_option_of_git(repository: Path) -> None:
    commit(repository, "start")
    with pytest.raises(UsageError, match="no such commit"):
        GitHistory(repository).facts("--output=written")
    assert not (repository / "written").exists()
