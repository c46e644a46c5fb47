"""A project as a user has it: a tiny network of his own, a dataset, a matrix, two tests; pytest runs in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.run import CaseRun
from inferkit.gate.run import Run as MeasuredRun
from inferkit.suite.campaign.target import fingerprint_of
from inferkit.suite.matrix.definition import BackendSettings

SIDE, CLASSES, IMAGES = 8, 4, 120

MATRIX = """\
[suite]
replicates = 2
min_time = 0.01
reference = false

[[networks]]
name = "tiny"
model = "tiny.onnx"
dataset = "images.npz"
preprocessing = { scale = 0.01 }
batch_sizes = [1, 4]
top1 = 95.0
"""

TESTS = {
    "test_latency.py": "def test_latency(inferkit_latency):\n    inferkit_latency.check()\n",
    "test_accuracy.py": "def test_accuracy(inferkit_accuracy):\n    inferkit_accuracy.check()\n",
}


def tiny_model() -> onnx.ModelProto:
    """The brightest of four quadrants: a network that is right without training. Input [N, 1, 8, 8]."""
    quadrant = np.zeros((CLASSES, SIDE, SIDE), np.float32)
    half = SIDE // 2
    for index in range(CLASSES):
        row, column = divmod(index, 2)
        quadrant[index, row * half : (row + 1) * half, column * half : (column + 1) * half] = 1
    weights = numpy_helper.from_array(quadrant.reshape(CLASSES, -1).T.copy(), "weights")
    nodes = [
        helper.make_node("Flatten", ["data"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["prob"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["N", CLASSES])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def refused_model() -> onnx.ModelProto:
    """The tiny network with an operator that nobody knows: a sound file, which no check before measuring refuses."""
    model = tiny_model()
    model.graph.node[0].op_type = "NobodyKnows"
    return model


def tiny_images() -> tuple[np.ndarray, np.ndarray]:
    """Images whose label is their brightest quadrant, six of which (5 %) are labelled wrongly."""
    random = np.random.default_rng(3)
    labels = random.integers(0, CLASSES, IMAGES)
    images = random.integers(0, 60, (IMAGES, 1, SIDE, SIDE)).astype(np.uint8)
    half = SIDE // 2
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, row * half : (row + 1) * half, column * half : (column + 1) * half] += 150
    labels[:6] = (labels[:6] + 1) % CLASSES
    return images, labels


@dataclass
class Run:
    """What a pytest process did."""

    code: int
    text: str
    folder: Path

    @property
    def tests(self) -> dict[str, ElementTree.Element]:
        """Test cases of the JUnit file, by name."""
        tree = ElementTree.parse(self.folder / "junit.xml")
        return {case.get("name", ""): case for case in tree.iter("testcase")}

    def verdict(self, name: str) -> str:
        """The verdict that the JUnit file has for a test."""
        properties = {p.get("name"): p.get("value") for p in self.tests[name].iter("property")}
        return str(properties["verdict"])

    @property
    def json(self) -> dict:
        """The benchmark JSON."""
        return json.loads((self.folder / "run.json").read_text())


@dataclass
class Project:
    """A folder with a matrix, its network and images, and two tests."""

    folder: Path

    def matrix(self, text: str) -> None:
        """Replace the matrix."""
        (self.folder / "bench" / "matrix.toml").write_text(text)

    def command(self, *args: str) -> list[str]:
        """What `run` runs."""
        options = ["-p", "no:cacheprovider", "--junit-xml=junit.xml", "-o", "junit_family=xunit2"]
        return [sys.executable, "-m", "pytest", "bench", *options, *args]

    def environment(self, **more: str) -> dict[str, str]:
        """Without what the outer pytest left in it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
        return {**kept, "OMP_NUM_THREADS": "1", **more}

    def run(self, *args: str, **environment: str) -> Run:
        """Run the project's tests."""
        done = subprocess.run(
            self.command(*args),
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Run(done.returncode, done.stdout + done.stderr, self.folder)

    def inferkit(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run one of inferkit's commands in the project."""
        command = [sys.executable, "-m", "inferkit.cli.main", *args]
        return subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)


def store_baseline(folder: Path, logs: Mapping[str, Sequence[float]]) -> Path:
    """A baseline of this machine's ONNX Runtime in `folder`, with the log-medians of each case; its file."""
    fingerprint = fingerprint_of("onnxruntime", BackendSettings())
    cases = {
        name: CaseRun(case=name, fingerprint=fingerprint.slug, data={"log_medians": tuple(values)})
        for name, values in logs.items()
    }
    return BaselineStore(folder).write(MeasuredRun(fingerprints={fingerprint.slug: fingerprint}, cases=cases))


def write_files(folder: Path) -> None:
    """tiny.onnx and images.npz."""
    onnx.save(tiny_model(), str(folder / "tiny.onnx"))
    images, labels = tiny_images()
    np.savez(folder / "images.npz", images=images, labels=labels)


def make_project(folder: Path, tiny_files: Path) -> Project:
    """A fresh project in `folder`."""
    bench = folder / "bench"
    bench.mkdir(parents=True)
    for path in tiny_files.iterdir():
        (bench / path.name).write_bytes(path.read_bytes())
    for name, text in TESTS.items():
        (bench / name).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\ninferkit_history = none\n")  # not in the user's own history
    project = Project(folder)
    project.matrix(MATRIX)
    return project
