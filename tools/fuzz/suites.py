"""What a suite is declared in and taken up from: matrix, waivers, a search's state, reproductions, a store's place."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from inferkit.content_store import located, open_store
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.rules.bisecting import Levels, Noise
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.suite.bisect.history import GitHistory
from inferkit.suite.bisect.kept import read_state
from inferkit.suite.bisect.question import Question, State
from inferkit.suite.bisect.search import Search, Step
from inferkit.suite.matrix.read import load_matrix
from inferkit.suite.matrix.waivers import read_waivers, unmatched
from inferkit.suite.repository import git, git_environment
from inferkit.suite.reproduction import rerun
from inferkit.suite.reproduction.contents import FILE, NETWORK, Contents, Figures
from tools.fuzz.target import Target, a_file

_NUMBERS = (b"1e999", b"-1", b"NaN", b"null", b"9" * 400, b"[[[[", b"{}", b'""', b"true", b"1e-320", b'"\\u0000"')


def matrices() -> Iterable[bytes]:
    """Networks alone, and everything that a matrix may state."""
    yield b"""[suite]
replicates = 3
[defaults]
precisions = ["fp32"]
[[networks]]
name = "lenet"
batch_sizes = [1, 8]
dataset = "fashion_mnist"
preprocessing = { crop = 8, mean_values = [1.0], scale = 0.5 }
[[networks]]
name = "mine"
model = "mine.onnx"
backends = ["onnxruntime"]
[backends.onnxruntime]
latency_margin = 0.1
[backends.onnxruntime.session]
threads = 1
[margins]
"mine-*" = 0.4
"""
    yield b"""[suite]
min_time = 0.2
time_budget = 60
builds = 2
confirm = "all"
outputs = "close"
store = "../store"
strict = ["inconclusive"]
[require]
backends = ["onnxruntime"]
gpus = ["NVIDIA H200*"]
baselines = ["lenet-*"]
precisions = ["int8"]
[margins]
latency = "5 %"
"host memory" = "10 MiB"
accuracy = "0.5 points"
"lenet-int8-*" = { accuracy = "1 point" }
[[networks]]
name = "lenet"
precisions = ["fp32", "int8"]
modes = ["latency", "throughput"]
calibration_images = 100
margins = { p99 = "10 %" }
[[networks]]
name = "reader"
model = "reader.onnx"
shape = { H = 48, W = 320 }
batch_axis = { state = 1 }
[[services]]
network = "lenet"
scenarios = ["server", "offline"]
p99 = 0.01
max_batch = 8
[backends.onnxruntime.margins]
p99 = "10 %"
"""


def read_matrix(content: bytes) -> None:
    """The matrix, its cases, and what is stated of each."""
    with a_file(content, "matrix.toml") as path:
        matrix = load_matrix(path)
        for case, network in list(matrix.all_cases().items())[:64]:
            matrix.margins_of(case, network)
            matrix.require.fails(case)


def waiver_files() -> Iterable[bytes]:
    yield b"""[[waivers]]
case = "resnet50-fp16-*"
metric = "latency"
reason = "the new decoder"
owner = "ana"
expires = 2026-12-31
machine = "nvidia-h100-*"
"""


def read_waiver_file(content: bytes) -> None:
    with a_file(content, "waivers.toml") as path:
        unmatched(read_waivers(path), ["resnet50-fp16-b1-onnxruntime"])


@cache
def _repository() -> Path:
    """Three commits whose ids are the same everywhere, gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="inferkit-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    when = "2026-01-01T00:00:00+00:00"
    by: dict[str, str] = {}
    for role in ("AUTHOR", "COMMITTER"):
        by |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@b", f"GIT_{role}_DATE": when}
    environment = {**git_environment(), **by, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    commands: list[tuple[str, ...]] = [("init", "--quiet", "--object-format=sha1")]
    commands += [("commit", "--quiet", "--allow-empty", "--message", text) for text in ("good", "between", "bad")]
    for command in commands:
        subprocess.run(["git", *command], cwd=folder, env=environment, check=True)
    return folder


def searches() -> Iterable[bytes]:
    """One that has just begun, and one with a verification and a commit that was measured."""
    bad, between, good = git(_repository(), "rev-list", "HEAD", what="git cannot list the commits").split()
    question = Question(good, bad, "a-fp32-b1-x", ("--model", "a"), "latency", 0.02, "matrix.toml")
    begun = Search(good, bad, 2)
    slower = Outcome("a-fp32-b1-x", "latency", Verdict.REGRESSED, base=1.0, head=1.1, change=0.1, margin=0.02)
    further = Search(
        good, bad, 2, Step(bad, slower, 9.5), Levels(0.0, 0.1), Noise((0.001, -0.001, 0.002), 1), (), 1
    ).with_step(Step(between, slower, 8.0))
    for search in (begun, further):
        with a_file(b"", "state.json") as path:
            State(question, search).write(path)
            yield path.read_bytes()


def read_search(content: bytes) -> None:
    """As far as what would be measured next."""
    with a_file(content, "state.json") as path:
        search = read_state(path, _repository()).search.resumed()
    history = GitHistory(_repository())
    search.following(history)
    search.steps_left(history)


_BETWEEN = b"\0network.json\0"  # case.json, then this, then the facts of the prepared network
_NETWORK_FILES = {name: name.encode() for name in ("network.onnx", "caffe-a.prototxt")}


def reproductions() -> Iterable[bytes]:
    """One of an ONNX file and one of a Caffe net."""
    case = Case("a", "fp32", 1, "onnxruntime", "latency")
    measured = CaseRun(case=case.id, fingerprint="", data={"log_medians": (-7.0, -7.1)})
    head = Figures("run.json", {"cpu": "AMD EPYC 7B13"}, measured, ("PASS",))
    files = {name: hashlib.sha256(content).hexdigest() for name, content in _NETWORK_FILES.items()}
    contents = Contents(case, files, True, 0.5, head, base=head, margin=0.1, session={"threads": 1})
    source: dict[str, Any] = {
        "prototxt": "caffe-a.prototxt",
        "caffemodel": None,
        "phase": "TEST",
        "level": 0,
        "stages": [],
    }
    facts: dict[str, Any] = {
        "name": "a",
        "precision": "fp32",
        "calibration": None,
        "notes": [],
        "batch_axes": {"data": 0},
    }
    for of in (None, source):
        yield json.dumps(contents.as_dict()).encode() + _BETWEEN + json.dumps({**facts, "source": of}).encode()


def take_up(content: bytes) -> None:
    """An archive that was unpacked, as far as the folder that is measured: it lies in its own folder alone."""
    case, _, facts = content.partition(_BETWEEN)
    with a_file(case, FILE) as path:
        archive, prepared = path.parent, path.parent / "prepared"
        (archive / NETWORK).mkdir()
        for name, stored in {**_NETWORK_FILES, "network.json": facts}.items():
            (archive / NETWORK / name).write_bytes(stored)
        before = {each: each.read_bytes() for each in archive.rglob("*") if each.is_file()}
        rerun._prepare(archive, Contents.read(archive), None, prepared)
        after = {each: each.read_bytes() for each in archive.rglob("*") if each.is_file()}
        outside = {each: stored for each, stored in after.items() if not each.is_relative_to(prepared)}
        if outside != before:
            raise AssertionError("a reproduction wrote outside of the folder that it is prepared in")


def read_place(content: bytes) -> None:
    """Where a content store is, as a matrix says it; nothing is asked over a network."""
    place = located(content.decode(errors="replace"), Path("/nowhere"))
    if "://" not in place or place.startswith("memory:"):
        open_store(place).has("0" * 64)


TARGETS = (
    Target(
        "matrix",
        read_matrix,
        matrices,
        (
            b"[[networks]]",
            b"[margins]",
            b"[require]",
            b"[[services]]",
            b"include",
            b"inf",
            b"nan",
            b"../",
            b'"1 point"',
        ),
    ),
    Target(
        "waivers",
        read_waiver_file,
        waiver_files,
        (b"[[waivers]]", b"expires", b"2026-02-30", b"0001-01-01", b"12:00:00Z", b"[a-", b'"""'),
    ),
    Target("search", read_search, searches, (*_NUMBERS, b'"commit"', b'"steps"', b'"verdict"', b"--help", b"HEAD")),
    Target("reproduction", take_up, reproductions, (*_NUMBERS, b'"files"', b'"source"', b"../", b"/etc/passwd")),
    Target("store_place", read_place, lambda: [b"../store", b"s3://bucket/a"], (b"://", b"[", b"@", b":", b"?", b"~")),
)
