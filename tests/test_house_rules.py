"""Rules of the source tree, read from the source: where imports point, first lines, sizes, and what is never called."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "inferkit"
GENERATED = PACKAGE / "network" / "caffe" / "generated"
MOST_LINES = 400

# Rooms from the ground up; each may import what stands before it, never what stands after it.
GROUND = ("errors", "files", "cache", "progress", "wire")
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
# One door upwards: a run that asks for several machines is handed on, by an import where that is done.
DOORS = {("suite/session/run.py", "cluster")}
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


def imported(path: Path) -> list[tuple[int, str]]:
    """Line and full name of every module that a file imports, at whatever place in it."""
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.lineno, node.module))
            found += [(node.lineno, f"{node.module}.{name.name}") for name in node.names]
    return found


def room_of(module: str) -> str | None:
    """The room of `inferkit.gate.files.baseline` is `gate`; None for inferkit itself and for other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == "inferkit" and len(parts) > 1 and parts[1] in FLOOR else None


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in rooms])
def test_imports_point_one_way(room: str) -> None:
    folder = PACKAGE / room
    wrong = []
    for path in sources(folder) if folder.is_dir() else [PACKAGE / f"{room}.py"]:
        for line, module in imported(path):
            other = room_of(module)
            if other in (None, room) or (str(path.relative_to(PACKAGE)), other) in DOORS:
                continue
            beside = FLOOR[other] == FLOOR[room] and other not in GROUND
            if beside or FLOOR[other] > FLOOR[room]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong


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


def test_nothing_runs_what_a_file_holds_or_reaches_for_the_network() -> None:
    found = []
    for path in sources(PACKAGE):
        found += [
            f"{path.relative_to(ROOT)}:{line} imports {name}"
            for line, name in imported(path)
            if name in FORBIDDEN_MODULES
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
DATES = {"cli/study.py", "cli/sweep.py", "suite/session/run.py"}


def test_no_duration_comes_from_a_clock_that_can_step_back() -> None:
    found = []
    for path in sources(PACKAGE):
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            if (node.value.id, node.attr) in WALL_CLOCKS and str(path.relative_to(PACKAGE)) not in DATES:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} reads {node.value.id}.{node.attr}")
    assert not found
