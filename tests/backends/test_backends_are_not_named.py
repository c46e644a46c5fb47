"""Outside backends/ no code knows a backend by its name or reaches into its folder: it asks the backend itself.

A name that is compared, looked up in a table or passed on is a text of its own in the source. So any text that is
exactly a backend's name counts; sentences that mention one do not.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from inferkit.backends import BUILT_IN

PACKAGE = Path(__file__).resolve().parents[2] / "inferkit"
NAMES = {*BUILT_IN, "tensorrt_rtx"}
FOLDER = re.compile(rf"inferkit\.backends\.({'|'.join(NAMES)})\b")

# The study's two tools compare two backends by their nature; these files serve nothing else.
TOOLS = ("infer_caffe", "infer_caffe_trt", "study", "study_engine", "final_stats", "sweep", "sweep_points")
STUDY = {f"cli/{name}.py" for name in TOOLS}
# Texts that are a backend's name and mean something else.
OTHER_MEANINGS = {
    ("network/load.py", "caffe"): "the format of a model's files",
    ("network/outline.py", "caffe"): "the format of a model's files",
    ("cli/zoo.py", "caffe"): "whose accuracy the card of a zoo network states",
    ("suite/matrix/read.py", "caffe"): "whose accuracy the card of a zoo network states",
    ("report/doctor.py", "onnxruntime"): "a package of PyPI, and the module in it",
    ("suite/reproduction/environment.py", "onnxruntime"): "a package of PyPI",
    ("suite/reproduction/environment.py", "tensorrt"): "a package of PyPI",
    ("gate/files/run_file.py", "tensorrt"): "whose engines were chosen by timing, in files that do not say so yet",
}


def named(source: str) -> list[tuple[int, str]]:
    """Line and text of every backend's name in code, and of every import of a backend's folder."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str() as text) if text in NAMES or FOLDER.match(text):
                found.append((node.lineno, text))
            case ast.keyword(arg=str() as text) if text in NAMES:
                found.append((node.lineno, text))
            case ast.Attribute(attr=text) if text in NAMES and ast.unparse(node).endswith(f"backends.{text}"):
                found.append((node.lineno, text))
            case ast.Import() | ast.ImportFrom():
                module = getattr(node, "module", None)
                modules = [f"{module}.{each.name}" if module else each.name for each in node.names]
                found += [(node.lineno, text) for text in modules if FOLDER.match(text)]
    return found


def outside() -> dict[str, list[tuple[int, str]]]:
    """What is named in every file that must not name a backend."""
    names = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {
        name: named(path.read_text(encoding="utf-8"))
        for name, path in names.items()
        if not name.startswith(("backends/", "network/zoo/", "network/caffe/generated/")) and name not in STUDY
    }


def test_no_code_outside_backends_names_a_backend() -> None:
    wrong = [
        f"inferkit/{name}:{line} names {text}"
        for name, found in outside().items()
        for line, text in found
        if (name, text) not in OTHER_MEANINGS
    ]
    assert not wrong, "ask the backend instead: its facts, or a method of it"


def test_every_exception_is_still_there() -> None:
    found = {(name, text) for name, each in outside().items() for _, text in each}
    assert set(OTHER_MEANINGS) <= found
    assert {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "cli").glob("*.py")} >= STUDY


@pytest.mark.parametrize(
    "source",
    [
        'if case.backend == "tensorrt": pass',
        'if backend in ("onnxruntime", other): pass',
        'FILES = {"caffe": 1}',
        "margins = dict(tensorrt=0.05)",
        'match backend:\n    case "tensorrt_rtx": pass',
        'def run(backend="onnxruntime"): pass',
        "from inferkit.backends.caffe.session import CaffeSession",
        "from inferkit.backends import tensorrt",
        "def late():\n    import inferkit.backends.onnxruntime.backend as module",
        'import_module("inferkit.backends.tensorrt")',
        "inferkit.backends.tensorrt.load_engine(path)",
    ],
)
def test_a_name_in_a_branch_is_found(source: str) -> None:
    assert named(source)


@pytest.mark.parametrize(
    "source",
    [
        'help = "onnxruntime (default), tensorrt or caffe"',
        '"""The tensorrt backend keeps engine files."""',
        "import onnxruntime",
        "from inferkit.backends.base import Backend",
        "from inferkit.network.caffe.importer import import_caffe",
        "if backend(case.backend).facts.on_gpu: pass",
    ],
)
def test_what_knows_no_backend_is_left_alone(source: str) -> None:
    assert not named(source)
