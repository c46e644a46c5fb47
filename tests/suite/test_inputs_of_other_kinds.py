"""Networks that take more than images: states, scalars, ids; sizes that the matrix states, or that nothing does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from inferkit.suite.matrix.files import file_problems
from inferkit.suite.matrix.read import load_matrix
from tests.suite.tiny_project import Project

HEAD = """\
[suite]
replicates = 1
min_time = 0.01
reference = false
"""
W = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
NETWORKS = {
    "state": """g (float[N, 8] x, float16[2, N, 8] state) => (float[N, 8] y, float16[2, N, 8] kept)
        { y = MatMul(x, w) kept = Identity(state) }""",
    "scalar": "g (float[N, 8] x, int64 rate, bool on) => (float[N, 8] y) "
    "{ m = MatMul(x, w) r = Cast<to = 1>(rate) o = Cast<to = 1>(on) a = Div(m, r) y = Mul(a, o) }",
    "text": """g (int64[batch, words] ids, bool[batch, words] mask) => (float[batch, words, 8] y)
        { r = Gather(w, ids) m = Cast<to = 1>(mask) one = Constant<value_ints = [2]>() c = Unsqueeze(m, one)
          y = Mul(r, c) }""",
    "apart": "g (float[left, 8] x, float[right, 8] z) => (float[left, 8] y) { m = MatMul(x, w) y = Add(m, z) }",
    "fixed": "g (float[4, 8] x) => (float[4, 8] y) { y = MatMul(x, w) }",
    "lone": "g (float x) => (float y) { y = Neg(x) }",
    "body": """g (float[N, 8] x, bool on) => (float[N, 8] y) { y = If (on)
        <then_branch = a () => (float[N, 8] p) { p = MatMul(x, w) },
         else_branch = b () => (float[N, 8] q) { q = Relu(x) }> }""",
}


def write(folder: Path, *names: str) -> None:
    for name in names:
        model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{NETWORKS[name]}')
        model.graph.initializer.append(numpy_helper.from_array(W, "w"))
        onnx.save(model, folder / f"{name}.onnx")


def table(name: str, *lines: str) -> str:
    return "\n".join(["[[networks]]", f'name = "{name}"', f'model = "{name}.onnx"', *lines, ""])


def test_every_input_is_fed_along_its_batch_in_its_type(project: Project) -> None:
    write(project.folder / "bench", "state", "scalar", "text", "apart")
    project.matrix(
        HEAD
        + table("state", "batch_sizes = [1, 3]")
        + table("scalar", "batch_sizes = [3]")
        + table("text", "shape = { words = 5 }", "batch_sizes = [2]")
        + table("apart", "batch_axis = { x = 0, z = 0 }", "batch_sizes = [4]")
    )
    run = project.run("--benchmark-json=run.json")
    assert run.code == 0, run.text
    assert set(run.json["inferkit"]["cases"]) == {
        "state-fp32-b1-onnxruntime",
        "state-fp32-b3-onnxruntime",
        "scalar-fp32-b3-onnxruntime",
        "text-fp32-b2-onnxruntime",
        "apart-fp32-b4-onnxruntime",
    }


def test_a_size_that_nothing_states_is_said_with_the_line_before_anything_is_measured(
    project: Project,
) -> None:
    write(project.folder / "bench", "text", "state")
    project.matrix(HEAD + table("text") + table("state"))
    run = project.run("--benchmark-json=run.json")
    assert run.code == 2
    assert "1 problem; nothing was measured" in run.text
    assert "'ids' is [batch, words]" in run.text
    assert "`shape = {words = 128}`" in run.text
    assert not (project.folder / "run.json").exists()


@pytest.mark.parametrize(
    ("name", "lines", "reason"),
    [
        ("apart", (), "`batch_axis = {x = 0}`"),
        ("text", ("shape = { letters = 5 }",), "no open dimension 'letters'"),
        ("state", ("batch_axis = { state = 0 }",), "its axis 0 cannot be the batch"),
        ("text", ("shape = { ids = [1, 5], mask = [1, 5] }", "batch_sizes = [2]"), ""),  # an open batch stays open
    ],
)
def test_what_does_not_fit_the_model_is_said_with_its_names(
    name: str, lines: tuple[str, ...], reason: str, project: Project
) -> None:
    write(project.folder / "bench", name)
    project.matrix(HEAD + table(name, *lines))
    run = project.run()
    assert run.code == (2 if reason else 0)
    assert reason in run.text


def test_batch_sizes_that_a_network_cannot_take_are_one_line_each_before_anything_is_measured(project: Project) -> None:
    write(project.folder / "bench", "fixed", "lone", "state")
    project.matrix(
        HEAD
        + table("fixed", "batch_sizes = [1, 4, 8]", 'precisions = ["fp32", "fp16"]')
        + table("lone", "batch_sizes = [1, 2]")
        + table("state", "batch_sizes = [1, 2]")
    )
    run = project.run()
    assert run.code == 2
    assert "2 problems; nothing was measured" in run.text
    folder = (project.folder / "bench").resolve()
    assert run.text.count(f"{folder}/fixed.onnx: takes batches of 4 only (input 'x' is [4, 8]), not of 1, 8;") == 1
    assert "write `batch_sizes = [4]`" in run.text
    assert run.text.count(f"{folder}/lone.onnx: no axis of the inputs (x) is known to be the batch") == 1
    taken = project.run("--batch-size=4")  # what is not selected stops nothing
    assert taken.code == 0, taken.text


@pytest.mark.parametrize(("largest", "problems"), [(2, 0), (4, 0), (8, 1)])
def test_a_service_fills_a_fixed_batch_up_and_takes_no_larger_one(
    largest: int, problems: int, project: Project
) -> None:
    write(project.folder / "bench", "fixed")
    service = f'[[services]]\nnetwork = "fixed"\nscenarios = ["offline"]\nmax_batch = {largest}\nduration = 0.1\n'
    project.matrix(HEAD + table("fixed", "batch_sizes = [4]") + service)
    matrix = load_matrix(project.folder / "bench" / "matrix.toml")
    lines = file_problems(matrix.networks, cases=matrix.all_cases())
    assert len(lines) == problems
    assert all("takes batches of 4 only" in line for line in lines)


def test_the_table_says_which_share_of_the_work_is_at_the_precision(project: Project) -> None:
    write(project.folder / "bench", "body", "state")
    project.matrix(HEAD + table("body", 'precisions = ["fp16"]') + table("state", 'precisions = ["fp16"]'))
    run = project.run("--benchmark-json=run.json", COLUMNS="200")
    assert run.code == 0, run.text
    title, _, body, state = run.text[run.text.index("case  ") :].splitlines()[:4]
    assert "at precision" in title
    assert "0%" in body.split()
    assert "0%" not in state.split()
    note = "fp16 changed nothing: p (MatMul, inside a body) stayed as it was"
    assert f"note on body-fp16-b1-onnxruntime: {note}" in run.text
    assert f"body-fp16-b1-onnxruntime: {note}" in run.json["inferkit"]["remarks"]
