"""Rules of the source tree, read from the source: where imports point, first lines, sizes, and what is never called."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.import_graph import Graph, Import, between_children, circles, import_graph, imports_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "inferkit"
GENERATED = PACKAGE / "network" / "caffe" / "generated"
MOST_LINES = 400
MOST_FILES = 13  # besides __init__.py
ONE_A_COMMAND = (PACKAGE / "cli", ROOT / "tests" / "cli")  # one file for each, so as many as there are

# Libraries that take long to load or that not everyone has: imported where they are used.
HEAVIEST = {"tensorrt", "tensorrt_rtx", "pycuda", "caffe", "onnxruntime", "ray", "matplotlib", "duckdb"}
HEAVY = HEAVIEST | {"numpy", "onnx", "scipy", "cv2", "lmdb", "google.protobuf", "pytest", "psutil", "rich"}

# Rooms from the ground up; each may import what stands before it, never what stands after it.
GROUND = ("errors", "exit_codes", "files", "cache", "content_store", "progress", "version", "wire")
FLOORS: tuple[tuple[str, ...], ...] = (
    GROUND,
    ("network",),
    ("data", "precision"),
    ("backends",),
    ("measure",),
    ("gate",),
    ("report", "serve"),
    ("suite",),
    ("cluster",),
    ("cli", "pytest_plugin"),
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

# Modules that run code found in data, start other programs through a shell, or reach for the network.
FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "pty"),
    *("urllib.request", "http.client", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib"),
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {("os", "system"), ("os", "popen"), ("onnx", "load"), ("onnx", "load_model")}
# onnx.load follows external data by itself: only for files that this process's parent has written.
OWN_FILES = PACKAGE / "measure" / "engine" / "prepared_network.py"


def sources(*folders: Path) -> list[Path]:
    """The Python files below the folders, generated ones left out."""
    return sorted(path for folder in folders for path in folder.rglob("*.py") if GENERATED not in path.parents)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> list[Import]:
    """The imports of a file of the package, at whatever place in it."""
    return imports_of(parsed(path), ".".join(path.relative_to(ROOT).parent.parts))


def room_of(module: str) -> str | None:
    """The room of `inferkit.gate.files.baseline` is `gate`; None for inferkit itself and for other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == "inferkit" and len(parts) > 1 and parts[1] in FLOOR else None


def against_the_floors(room: str, imports: Iterable[Import]) -> list[str]:
    """Those of the imports of a file in `room` that point upwards, sideways or to the front door."""
    wrong = []
    for entry in imports:
        other = next(filter(None, map(room_of, entry.names)), None)
        if other is None:
            # `inferkit` itself hands out what stands on several floors: it is for users, whom the top floor is one of.
            if entry.module == PACKAGE.name and room not in FLOORS[-1]:
                wrong.append(f"{entry.line} imports the front door, {PACKAGE.name}")
        elif other != room and not (FLOOR[other] < FLOOR[room] or {room, other} <= set(GROUND)):
            wrong.append(f"{entry.line} imports {entry.module}")
    return wrong


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in rooms])
def test_imports_point_one_way(room: str) -> None:
    folder = PACKAGE / room
    wrong = []
    for path in sources(folder) if folder.is_dir() else [PACKAGE / f"{room}.py"]:
        wrong += [f"{path.relative_to(ROOT)}:{line}" for line in against_the_floors(room, imported(path))]
    assert not wrong


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("from inferkit.gate.outcome import Verdict", True),
        ("def later():\n    import inferkit.gate.outcome", True),
        ("from inferkit import gate", True),
        ("from inferkit import load", True),
        ("import inferkit", True),
        ("from inferkit.backends.base import Backend", False),
        ("from inferkit import errors", False),
        ("import numpy", False),
    ],
)
def test_an_import_upwards_or_through_the_front_door_is_found(line: str, wrong: bool) -> None:
    assert bool(against_the_floors("measure", imports_of(ast.parse(line)))) is wrong


@cache
def graph_of_the_package() -> Graph:
    return import_graph(sources(PACKAGE), ROOT)


def test_no_files_import_each_other() -> None:
    assert not circles(graph_of_the_package())


def test_neither_do_the_files_and_wings_of_a_folder() -> None:
    graph = graph_of_the_package()
    folders = {path.parent for path in sources(PACKAGE)}
    names = [".".join(folder.relative_to(ROOT).parts) for folder in sorted(folders)]
    assert not [f"{name}: {circle}" for name in names for circle in circles(between_children(graph, name))]


def write_package(root: Path, **files: str) -> list[Path]:
    """Write files by their dotted names, `__init__` for that of a package."""
    paths = [root / f"{name.replace('.', '/')}.py" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return paths


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "def later():\n    from p.a import name",
        "from . import a",
        "if TYPE_CHECKING:\n    from .a import T",
    ],
)
def test_a_circle_of_files_is_found_however_lazy(tmp_path: Path, back: str) -> None:
    files = {"p.__init__": "", "p.a": "from p.b import x", "p.b": "import p.c", "p.c": back}
    graph = import_graph(write_package(tmp_path, **files), tmp_path)
    (circle,) = circles(graph)
    assert sorted(circle.split(" -> ")[:-1]) == ["p.a", "p.b", "p.c"]
    graph["p.c"].clear()
    assert not circles(graph)


def test_a_circle_of_wings_is_found_where_there_is_none_of_files(tmp_path: Path) -> None:
    files = {"p.w.a": "from p.v.a import x", "p.v.b": "import p.w.b", "p.v.a": "", "p.w.b": ""}
    graph = import_graph(write_package(tmp_path, **files), tmp_path)
    assert not circles(graph)
    assert sorted(between_children(graph, "p").items()) == [("v", {"w"}), ("w", {"v"})]
    assert len(circles(between_children(graph, "p"))) == 1


def test_every_room_is_on_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(FLOOR), "a new room needs a floor: say above what it stands"


def test_every_file_says_in_its_first_line_what_it_is() -> None:
    missing = []
    for path in sources(PACKAGE, ROOT / "tools", ROOT / "bench", ROOT / "tests"):
        text = ast.get_docstring(parsed(path))
        first = text.splitlines()[0].strip() if text else ""
        if path.read_text().strip() and (len(first) < 20 or first[-1] not in ".:;)`?"):
            missing.append(f"{path.relative_to(ROOT)}: {first!r}")
    assert not missing


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    files = sources(PACKAGE, ROOT / "tools", ROOT / "tests")
    long = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in files}
    assert not {path: lines for path, lines in long.items() if lines > MOST_LINES}


def crowded(*folders: Path) -> dict[str, int]:
    """The folders that hold more files than a reader can survey, and how many they hold."""
    files = [path for path in sources(*folders) if path.name != "__init__.py" and path.parent not in ONE_A_COMMAND]
    counts = Counter(str(path.parent) for path in files)
    return {folder: count for folder, count in counts.items() if count > MOST_FILES}


def test_no_folder_holds_more_files_than_a_reader_can_survey() -> None:
    assert not crowded(PACKAGE, ROOT / "tools", ROOT / "tests")


def test_the_tests_lie_in_the_folders_of_what_they_test() -> None:
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests) for path in sources(tests) if path.name.startswith("test_")}
    mirrored = [folder for folder in folders if folder.parts and folder.parts[0] in FLOOR]
    assert {str(folder) for folder in mirrored if not (PACKAGE / folder).is_dir()} == set()


def test_a_crowded_folder_is_found(tmp_path: Path) -> None:
    write_package(tmp_path, **{f"p.wing.file{number}": "" for number in range(MOST_FILES)}, **{"p.wing.__init__": ""})
    assert not crowded(tmp_path)
    write_package(tmp_path, **{"p.wing.more": ""})
    assert crowded(tmp_path) == {str(tmp_path / "p" / "wing"): MOST_FILES + 1}


def loaded_by(code: str) -> set[str]:
    """Which of HEAVY a fresh process has loaded once it has run `code`."""
    code += f"\nimport sys; print(*({HEAVY!r} & sys.modules.keys()))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_inferkit_loads_nothing_heavy() -> None:
    assert loaded_by("import inferkit") == set()
    assert loaded_by("import inferkit, numpy") == {"numpy"}


def loads_when_imported(tree: ast.AST) -> list[str]:
    """The packages of HEAVIEST that a file imports as soon as it is imported itself."""
    heavy = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            tops = {name.partition(".")[0] for entry in imports_of(ast.Module([node], [])) for name in entry.names}
            heavy += sorted(tops & HEAVIEST)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not is_for_types(node):
            heavy += loads_when_imported(node)
    return heavy


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_the_heaviest_libraries_are_imported_where_they_are_used() -> None:
    found = {path.relative_to(ROOT): loads_when_imported(parsed(path)) for path in sources(PACKAGE)}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    "text, found",
    [
        ("import onnxruntime as ort", ["onnxruntime"]),
        ("class A:\n    from ray.util import x", ["ray"]),
        ("try:\n    import pycuda.driver\nexcept ImportError:\n    pass", ["pycuda"]),
        ("def later():\n    import duckdb", []),
        ("if TYPE_CHECKING:\n    import tensorrt", []),
    ],
)
def test_a_heavy_library_at_the_top_of_a_file_is_found(text: str, found: list[str]) -> None:
    assert loads_when_imported(ast.parse(text)) == found


def test_nothing_runs_what_a_file_holds_or_reaches_for_the_network() -> None:
    found = []
    for path in sources(PACKAGE):
        found += [
            f"{path.relative_to(ROOT)}:{entry.line} imports {entry.module}"
            for entry in imported(path)
            if FORBIDDEN_MODULES & set(entry.names)
        ]
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Call):
                continue
            call, place = node.func, f"{path.relative_to(ROOT)}:{node.lineno}"
            if isinstance(call, ast.Name) and call.id in FORBIDDEN_CALLS:
                found.append(f"{place} calls {call.id}")
            if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
                if (call.value.id, call.attr) in FORBIDDEN_METHODS and path != OWN_FILES:
                    found.append(f"{place} calls {call.value.id}.{call.attr}")
                is_load = (call.value.id, call.attr) == ("np", "load")
                if is_load and not any(key.arg == "allow_pickle" and is_false(key.value) for key in node.keywords):
                    found.append(f"{place} loads arrays without allow_pickle=False")
            found += [
                f"{place} starts a shell" for key in node.keywords if key.arg == "shell" and not is_false(key.value)
            ]
    assert not found


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


# Wall clocks: for dates that are shown or stored, never for how long something took.
WALL_CLOCKS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}
DATES = {"cli/study.py", "cli/sweep.py", "gate/stated/waivers.py", "suite/session/run.py"}


def test_no_duration_comes_from_a_clock_that_can_step_back() -> None:
    found = []
    for path in sources(PACKAGE):
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if (node.value.id, node.attr) in WALL_CLOCKS and str(path.relative_to(PACKAGE)) not in DATES:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} reads {node.value.id}.{node.attr}")
    assert not found
