"""How every command ends: 1 is a verdict and nothing else, a bug leaves its details in a file, output never raises."""

from __future__ import annotations

import argparse
import errno
import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from inferkit import __version__
from inferkit.backends.base import Availability
from inferkit.cli import infer_caffe, infer_caffe_trt
from inferkit.cli.commands import COMMANDS
from inferkit.cli.main import main
from inferkit.errors import BackendUnavailable, BaselineError, NetworkError, UsageError
from tests.cli.called import exit_code
from tests.gate.run_files import foreign, write

INFERKIT = [sys.executable, "-m", "inferkit.cli.main"]
FAULTS = [
    (NetworkError("a.onnx: is damaged"), 2, "a.onnx: is damaged"),
    (UsageError("--x: no"), 2, "--x: no"),
    (BaselineError("two\n  lines"), 2, "two; lines"),
    (BackendUnavailable("no GPU", "buy one"), 2, "no GPU; buy one"),
    (OSError(errno.ENOSPC, "No space left on device", "out.json"), 2, "out.json: No space left on device"),
    (KeyboardInterrupt(), 130, "interrupted"),
]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, BaseException], None]:
    """Makes a command, or one of the study's tools, raise this."""

    def planted(command: str, fault: BaseException) -> None:
        def run(*_: object) -> int:
            raise fault

        tools = {"infer_caffe": infer_caffe, "infer_caffe_trt": infer_caffe_trt}
        module = tools.get(command) or import_module(COMMANDS[command][0])
        monkeypatch.setattr(module, "infer" if command in tools else "run", run)
        if command in tools:
            monkeypatch.setattr(module, "parser", argparse.ArgumentParser)
        else:
            monkeypatch.setattr(module, "configure", lambda parser: None)

    return planted


def call(command: str, *arguments: str) -> int:
    """A command, or one of the study's tools, in this process."""
    tools = {"infer_caffe": infer_caffe.main, "infer_caffe_trt": infer_caffe_trt.main}
    return tools[command](arguments) if command in tools else main([command, *arguments])


@pytest.fixture
def errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which details are kept."""
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "errors"


@pytest.mark.parametrize("command", [*COMMANDS, "infer_caffe", "infer_caffe_trt"])
def test_no_error_of_any_command_looks_like_a_regression(command, plant, errors, capsys):
    program = command if command.startswith("infer_") else f"inferkit {command}"
    for fault, code, line in FAULTS:
        plant(command, fault)
        assert call(command) == code
        assert capsys.readouterr().err == f"{program}: {line}\n"
    assert not errors.exists()
    plant(command, TypeError("a bug\nof two lines"))
    assert call(command) == 2
    (details,) = errors.iterdir()
    said = capsys.readouterr().err
    assert said == f"{program}: internal error: TypeError: a bug of two lines; details were written to {details}\n"


def test_the_details_say_where_it_happened_and_with_what(plant, errors):
    plant("zoo", TypeError("a bug"))
    with pytest.raises(SystemExit):
        main(["zoo", "--nosuch"])
    assert not errors.exists(), "a usage error is no bug"
    assert call("zoo") == 2
    (path,) = errors.iterdir()
    details = path.read_text(encoding="utf-8")
    for fact in (f"inferkit {__version__}", f"Python {sys.version}", "inferkit zoo", "in run", "TypeError: a bug"):
        assert fact in details
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert call("zoo") == 2
    assert len(list(errors.iterdir())) == 2, "the details of an earlier error stay"


def test_nothing_that_is_secret_reaches_the_message_or_the_file(plant, errors, monkeypatch, capsys):
    secrets = {"INFERKIT_SERVE_TOKEN": "t0ken-of-the-server", "DB_PASSWORD": "passw0rd", "AWS_ACCESS_KEY_ID": "AKIA42"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        import_module("inferkit.cli.zoo"),
        "configure",
        lambda parser: [parser.add_argument(each) for each in ("--token", "--api-key", "--token-file", "--from")],
    )

    def run(args: argparse.Namespace) -> int:
        raise TypeError(f"{secrets} {args}")

    monkeypatch.setattr(import_module("inferkit.cli.zoo"), "run", run)
    options = ["--token", "given-token", "--api-key=given-key", "--token-file", "names-a-file"]
    assert main(["zoo", *options, "--from", "https://me:mine@example.org/a"]) == 2
    (path,) = errors.iterdir()
    shown = capsys.readouterr().err + path.read_text(encoding="utf-8")
    for secret in (*secrets.values(), "given-token", "given-key", "me:mine"):
        assert secret not in shown
    assert "names-a-file" in shown
    assert "https://***@example.org/a" in shown


def test_without_a_cache_the_details_go_to_the_temporary_folder(plant, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("where the cache was to be")
    monkeypatch.setenv("INFERKIT_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plant("zoo", TypeError("a bug"))
    assert call("zoo") == 2
    (path,) = tmp_path.glob("inferkit-zoo-*.txt")
    assert f"details were written to {path}\n" in capsys.readouterr().err
    path.unlink()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert call("zoo") == 2
    said = capsys.readouterr().err
    assert said.startswith("inferkit zoo: internal error: TypeError: a bug; details:\n")
    assert said.rstrip().endswith("TypeError: a bug")


def test_a_bug_in_a_real_process_is_one_line_and_exit_code_2(tmp_path):
    code = (
        "import sys\nfrom inferkit.cli import zoo\nfrom inferkit.cli.main import main\n"
        "zoo.run = lambda args: {}['nothing']\nsys.exit(main(['zoo']))\n"
    )
    environment = {**os.environ, "INFERKIT_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    (details,) = (tmp_path / "errors").iterdir()
    expected = f"inferkit zoo: internal error: KeyError: 'nothing'; details were written to {details}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
    assert "zoo.run = lambda" not in done.stderr


@pytest.mark.parametrize("line", ["zoo", "completion bash", "--help"])
@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_reader_that_is_gone_ends_a_command_without_a_word(line, unbuffered):
    ours, theirs = os.pipe()
    os.close(ours)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with os.fdopen(theirs, "wb") as pipe:
        done = subprocess.run(
            [*INFERKIT, *line.split()], env=environment, stdout=pipe, stderr=subprocess.PIPE, text=True
        )
    assert done.stderr == ""
    assert done.returncode == (0 if line == "--help" and unbuffered and argparse_ignores_what_it_cannot_write() else 2)


def argparse_ignores_what_it_cannot_write() -> bool:
    """Python's releases differ: 3.11.2 raises, 3.11.7 does not."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    try:
        argparse.ArgumentParser().print_help(Gone())
    except BrokenPipeError:
        return False
    return True


def test_a_command_whose_stdout_is_closed_works_all_the_same():
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *INFERKIT, "zoo", "lenet"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_damaged_check_is_a_finding_and_a_broken_doctor_is_an_error(plant, errors, monkeypatch, capsys):
    """`doctor` ends with 10 for a machine that cannot run the suite, and with 2 where it could not look."""

    class Broken:
        def availability(self, precision="fp32"):
            return Availability(False, "libgomp is missing", "apt-get install libgomp1")

    monkeypatch.setattr("inferkit.report.doctor.backend", lambda name: Broken())
    assert main(["doctor"]) == 10
    capsys.readouterr()
    plant("doctor", RuntimeError("boom"))
    assert call("doctor") == 2


@pytest.mark.parametrize("encoding", ["ascii", "iso8859-1", "utf-8"])
def test_a_terminal_that_lacks_characters_gets_others_and_the_same_exit_code(encoding, tmp_path):
    fast = write(tmp_path / "fast.json", foreign({"größer": 0.1}))
    slow = write(tmp_path / "slow.json", foreign({"größer": 0.2}))
    for line, code in (
        (f"compare {fast} {slow} --margin 0.1", 1),
        (f"diff {fast} {fast}", 0),
        ("inspect lenet", 0),
        ("top lenet --runs 1 --threads 1", 0),
        (f"compare {tmp_path}/ключ.json {fast}", 2),
    ):
        done = subprocess.run(
            [*INFERKIT, *line.split()],
            env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"},
            capture_output=True,
        )
        assert done.returncode == code, (line, done.stderr)
        text = (done.stdout + done.stderr).decode(encoding)
        assert "Traceback" not in text
        assert "internal error" not in text
        assert text.isascii() or encoding != "ascii"


def test_every_help_can_be_printed_in_ascii(capsys):
    for name in COMMANDS:
        assert exit_code([name, "--help"]) == 0
        assert capsys.readouterr().out.isascii(), name
