"""What holds for every command: JSON alone on stdout, documented exit codes, plain text where nobody looks."""

from __future__ import annotations

import argparse
import ast
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferkit import cli
from inferkit.cli.commands import COMMANDS, GROUPS, parser_of
from inferkit.cli.exit_codes import table
from inferkit.cli.main import main
from tests.cli.called import exit_code
from tests.gate.run_files import foreign, write
from tests.report.report_files import run_json, write_run


def leaves() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command, those inside of a command too."""
    waiting = [("inferkit", parser_of(COMMANDS))]
    while waiting:
        name, parser = waiting.pop()
        inner = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not inner:
            yield name, parser
        waiting += [(f"{name} {word}", each) for choices in inner for word, each in choices.items()]


def test_no_command_imports_another_one():
    """What commands share has modules of its own; the table of commands is the only place that names them."""
    commands = {module for module, _ in COMMANDS.values()} | {f"inferkit.cli.infer_caffe{end}" for end in ("", "_trt")}
    commands.add("inferkit.cli.main")
    for path in Path(cli.__file__).parent.glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not imported & commands, path.name


def test_every_command_takes_json():
    assert [name for name, parser in leaves() if "--json" not in parser._option_string_actions] == []


def test_every_help_ends_with_the_exit_codes_of_the_table():
    assert set(table()) == {*COMMANDS, "infer_caffe", "infer_caffe_trt"}
    for name, parser in leaves():
        codes = table()[name.split()[1]]
        assert {0, 2, 130} <= set(codes), name
        listed = parser.format_help().partition("exit codes:")[2]
        assert [int(number) for number in re.findall(r"^  (\d+)", listed, re.MULTILINE)] == list(codes), name


def test_the_help_lists_every_command_once_and_fits_into_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert exit_code(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [title for title in GROUPS if f"{title}:" not in lines] == []
    assert sorted(re.findall(r"^  ([a-z][a-z-]*) ", "\n".join(lines), re.MULTILINE)) == sorted(COMMANDS)
    for name, parser in leaves():
        assert max(map(len, parser.format_help().splitlines())) <= 80, name


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files to call commands with."""
    slower = write(tmp_path / "slower.json", foreign({"a": 0.2}))
    before = write(tmp_path / "before.json", foreign({"a": 0.1}))
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    run = write_run(tmp_path / "run.json", run_json(("lenet",)), traces=False)
    return {"slower": str(slower), "before": str(before), "run": str(run), "tmp": str(tmp_path)}


CALLS = (
    ("zoo lenet", 0),
    ("zoo no_such", 2),
    ("inspect lenet", 0),
    ("inspect {tmp}/broken.onnx", 2),
    ("accuracy lenet --precision fp16 --images 50", 0),
    ("accuracy lenet", 2),
    ("accuracy {tmp}/broken.onnx --precision fp16 --layers", 2),
    ("evaluate lenet --batch-size 1000", 0),
    ("evaluate lenet --dataset {tmp}/none", 2),
    ("evaluate lenet --shard 0", 2),
    ("diff lenet lenet", 0),
    ("diff lenet fashion_vgg", 3),
    ("diff {before} {slower}", 1),
    ("diff lenet {tmp}/broken.onnx", 2),
    ("compare {before} {before}", 0),
    ("compare {before} {slower} --margin 0.1", 1),
    ("compare {before}", 2),
    ("compare {before} {tmp}/broken.json", 2),
    ("compare {before} {run}", 12),
    ("plot {run} -o {tmp}/plots", 0),
    ("plot {before} -o {tmp}/plots", 12),
    ("plot {tmp}/broken.json -o {tmp}/plots", 2),
    ("report {run} -o {tmp}/out.html", 0),
    ("report {tmp}/broken.json -o {tmp}/out.html", 2),
    ("baseline show --baseline-dir {tmp}/none", 12),
    ("baseline promote {tmp}/broken.json --baseline-dir {tmp}/none", 2),
    ("calibrate lenet fashion_mnist --images 4 -o {tmp}/lenet.cache", 0),
    ("calibrate lenet {tmp}/none -o {tmp}/lenet.cache", 2),
    ("calibrate lenet fashion_mnist", 2),
    ("build lenet --backend onnxruntime", 0),
    ("build lenet --backend onnxruntime --static", 2),
    ("build {tmp}/broken.onnx --backend onnxruntime", 2),
    ("import {tmp}/none.prototxt -o {tmp}/out.onnx", 2),
    ("ab {tmp}/broken.onnx {tmp}/broken.onnx", 10),
    ("ab one", 2),
    ("gate selftest --matrix {tmp}/none.toml", 2),
    ("top lenet --runs 1", 0),
    ("top {tmp}/broken.onnx", 2),
    ("completion bash", 0),
    ("serve lenet --port 99999", 2),
    ("no-such-command", 2),
)


@pytest.mark.parametrize(("line", "code"), CALLS)
def test_the_exit_code_is_the_documented_one_and_json_is_alone_on_stdout(line, code, files, capsys):
    arguments = [*line.format(**files).split(), "--json"]
    assert exit_code(arguments) == code
    printed = capsys.readouterr()
    command = arguments[0]
    assert code in {**table().get(command, {}), 2: "usage"}
    if code == 0:
        assert json.loads(printed.out) is not None
    else:
        assert not printed.out or json.loads(printed.out) is not None
        assert printed.err or printed.out


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """What a command writes to a terminal that is both its stdout and its stderr."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [sys.executable, "-m", "inferkit.cli.main", *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm", "COLUMNS": "120", **environment},
    )
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    process.wait(timeout=60)
    return text.decode()


@pytest.mark.parametrize("line", ["zoo", "diff lenet lenet"])
@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_full_disk_is_an_error_of_one_line_and_not_a_verdict(line, unbuffered):
    command = [sys.executable, "-m", "inferkit.cli.main", *line.split()]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, f"inferkit {line.split()[0]}: No space left on device\n")


def test_colours_are_for_terminals_that_want_them(files):
    arguments = ["compare", files["before"], files["slower"], "--margin", "0.1"]
    assert "\x1b[" in on_a_terminal(arguments)
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        text = on_a_terminal(arguments, **plain)
        assert "REGRESSED" in text
        assert "\x1b[" not in text


def test_long_work_shows_on_a_terminal_how_far_it_is_and_nothing_elsewhere(files, capfd):
    arguments = ["calibrate", "lenet", "fashion_mnist", "--images", "100", "--batch-size", "20"]
    arguments += ["-o", f"{files['tmp']}/lenet.cache"]
    shown = on_a_terminal(arguments)
    assert "calibration images" in shown
    assert "100/100" in shown
    assert main(arguments) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    assert len(printed.out.splitlines()) == 1


def test_help_starts_without_anything_heavy():
    heavy = ("numpy", "onnx", "onnxruntime", "rich", "scipy", "pytest", "shtab", "jinja2", "psutil")
    code = (
        "import sys\nfrom inferkit.cli.main import main\n"
        f"try:\n    main(['--help'])\nfinally:\n    print([each for each in {heavy!r} if each in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p inferkit | sed 's/.*-F \\([^ ]*\\).*/\\1/') inferkit "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands_and_their_options(shell, tmp_path, capsys):
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    script = tmp_path / f"inferkit.{shell}"
    script.write_text(capsys.readouterr().out)
    if shell == "zsh":  # its completions run in its line editor only: here they are read, and looked at
        subprocess.run([program, "-n", str(script)], check=True)
        assert "--strict" in script.read_text()
        return
    for words, expected in (
        (["inferkit", "comp"], {"compare", "completion"}),
        (["inferkit", "baseline", "sh"], {"show"}),
    ):
        if shell == "bash":
            command = [program, "-c", BASH, "bash", str(script), *words]
        else:
            command = [program, "-c", f"source {script}; complete -C '{' '.join(words)}'"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert {line.split("\t")[0] for line in done.stdout.splitlines()} == expected


@pytest.mark.parametrize(
    "words, near",
    [
        (["top", "lenet", "--batch", "2"], "--batch-axis or --batch-size"),
        (["build", "lenet", "--calibration-image", "2"], "--calibration-images"),
        (["baseline", "show", "--baseline", "x"], ""),
    ],
)
def test_an_option_is_not_taken_for_a_longer_one(words, near, capsys):
    assert exit_code(words) == 2
    error = capsys.readouterr().err
    assert "unrecognized arguments: --" in error
    assert not near or f"did you mean {near}?" in error


def test_an_option_that_a_command_lacks_shows_those_it_has(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "lenet", "--nosuch"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: inferkit inspect")
    assert "unrecognized arguments: --nosuch" in said
