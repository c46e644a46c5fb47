"""`inferkit compare` and `inferkit baseline` as a build calls them: words, exit codes, JSON."""

import json

import pytest

from inferkit.cli.main import main
from inferkit.exit_codes import ExitCode
from inferkit.gate.outcome import Outcome, Verdict
from tests.cli.called import exit_code
from tests.gate.run_files import foreign, ours, write

CASE = "lenet-fp32-b1-onnxruntime"
FAST, SLOW = [0.0100, 0.0101, 0.0102], [0.0200, 0.0201, 0.0202]


@pytest.fixture
def files(tmp_path):
    return (
        str(write(tmp_path / "fast.json", ours({CASE: FAST}))),
        str(write(tmp_path / "slow.json", ours({CASE: SLOW}))),
        str(write(tmp_path / "other.json", ours({"another": FAST}))),
    )


def test_exit_codes_of_a_comparison(files, capsys):
    fast, slow, other = files
    assert main(["compare", fast, fast]) == 0
    assert main(["compare", fast, slow]) == 1
    assert main(["compare", slow, fast]) == 0
    assert main(["compare", fast, slow, "--margin", "150%"]) == 0
    assert main(["compare", fast, slow, "--margin", "150%", "--margin", "lenet-*=5%"]) == 1
    assert main(["compare", fast, other]) == 12
    assert main(["compare", "--base", fast, fast, "--head", slow, slow]) == 1
    assert "REGRESSED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["fast.json"], "name two files, BASE and HEAD, not 1"),
        (["--base", "fast.json"], "--base and --head must be used together"),
        (["a", "b", "--base", "c"], "not both"),
        (["nowhere.json", "fast.json"], "nowhere.json: cannot be read: No such file"),
        (["fast.json", "fast.json", "--margin", "fast"], "--margin fast: a margin is a share"),
        (["fast.json", "fast.json", "--margin", "0"], "a margin is a share above 0"),
        (["fast.json", "fast.json", "--tolerance", "-1"], "--tolerance: '-1' is not a number of percentage points"),
        (["half.json", "fast.json"], "half.json: is damaged"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error_and_not_a_regression(
    files, tmp_path, monkeypatch, capsys, arguments, said
):
    (tmp_path / "half.json").write_text((tmp_path / "fast.json").read_text()[:-9])
    monkeypatch.chdir(tmp_path)
    assert exit_code(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_json_for_machines(files, capsys):
    assert main(["compare", files[0], files[1], "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 1
    assert told["outcomes"][0]["verdict"] == "REGRESSED"
    assert told["outcomes"][0]["change"] == pytest.approx(1.0, abs=0.02)


def test_a_file_of_inferkit_and_one_of_someone_else_meet_in_pytest_benchmarks_names(files, tmp_path, capsys):
    name = f"bench/test_latency.py::test_latency[{CASE}]"
    theirs = str(write(tmp_path / "theirs.json", foreign({name: 0.01})))
    assert main(["compare", theirs, files[0]]) == 0
    assert name in capsys.readouterr().out


def test_a_comparison_in_a_log_is_plain_and_whole(files, capsys):
    main(["compare", files[0], files[1]])
    text = capsys.readouterr().out
    assert "\x1b" not in text
    for word in (CASE, "10.1 ms", "20.1 ms", "+99.0%", "25 %", "3 | 3"):
        assert word in text


def test_promote_shows_writes_and_is_idempotent(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["baseline", "show"]) == 12
    assert main(["baseline", "promote", files[0], "--dry-run"]) == 0
    assert not (tmp_path / "baselines").exists()
    assert main(["baseline", "promote", files[0]]) == 0
    (path,) = (tmp_path / "baselines").iterdir()
    first = path.read_bytes()
    assert main(["baseline", "promote", files[0]]) == 0
    assert path.read_bytes() == first
    assert main(["baseline", "promote", files[1]]) == 1
    assert "--accept-regression" in capsys.readouterr().err
    assert path.read_bytes() == first
    assert main(["baseline", "promote", files[1], "--accept-regression", " "]) == 2
    assert main(["baseline", "promote", files[1], "--accept-regression", "bigger network"]) == 0
    capsys.readouterr()
    assert main(["baseline", "show", path.stem]) == 0
    shown = capsys.readouterr().out
    assert "20.1 ms" in shown
    assert "accepted: bigger network" in shown
    assert main(["baseline", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["schema"] == 1


def test_what_is_refused_for_being_invalid_is_no_regression(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["baseline", "promote", files[0]]) == 0
    spoiled = Outcome(CASE, "latency", Verdict.INVALID, reason="throttled")
    run = str(write(tmp_path / "invalid.json", ours({CASE: FAST}, outcomes=[spoiled.as_dict()])))
    (path,) = (tmp_path / "baselines").iterdir()
    kept = path.read_bytes()
    for options in ([], ["--dry-run"]):
        assert main(["baseline", "promote", run, *options]) == ExitCode.INVALID
    assert path.read_bytes() == kept
    assert "throttled" in capsys.readouterr().err
    assert main(["baseline", "promote", files[1], "--dry-run"]) == ExitCode.REGRESSED
