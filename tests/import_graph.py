"""Who imports whom in a package, read from its source: lazy imports and those for type checkers are imports too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

# module -> the modules of the same package that it imports, at whatever place in it
Graph = dict[str, set[str]]


class Import(NamedTuple):
    """`import module` where `member` is None, else `from module import member`."""

    line: int
    module: str
    member: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """What may have been imported: the module, and the member, which may be a module too."""
        return (self.module,) if self.member is None else (self.module, f"{self.module}.{self.member}")


def imports_of(tree: ast.Module, package: str = "") -> list[Import]:
    """Every import of a file that lies in `package`, at whatever place in it."""
    imports = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [Import(node.lineno, name.name, None) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            imports += [Import(node.lineno, module, name.name) for name in node.names]
    return imports


def import_graph(files: Iterable[Path], root: Path) -> Graph:
    """The graph of these files below `root`; a package stands for its `__init__.py`.

    `from a import b` imports module `a.b` where there is one, else `a`, which has the name `b`.
    """
    modules = {_module(path, root): path for path in files}
    graph: Graph = {}
    for module, path in modules.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        entries = imports_of(ast.parse(path.read_text(encoding="utf-8")), package)
        nearest = [next((name for name in reversed(entry.names) if name in modules), None) for entry in entries]
        graph[module] = {name for name in nearest if name}
    return graph


def between_children(graph: Mapping[str, set[str]], folder: str) -> Graph:
    """The graph between what lies in one folder: its files, and its subfolders each as a whole."""
    children: Graph = {}
    for module, imports in graph.items():
        child = _child(module, folder)
        if child is not None:
            others = {_child(other, folder) for other in imports} - {None, child}
            children.setdefault(child, set()).update(other for other in others if other)
    return children


def circles(graph: Mapping[str, set[str]]) -> list[str]:
    """One line for each circle of imports, `a -> b -> a`; opening one of each line's arrows leaves none."""
    left = {module: set(imports) for module, imports in graph.items()}
    lines = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1][::-1]  # graphlib lists what is imported first
            lines.append(" -> ".join(circle))
            left[circle[0]].discard(circle[1])
        else:
            return lines


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _child(module: str, folder: str) -> str | None:
    """What of `folder` a module lies in; `__init__` for the folder's own, None outside of it."""
    if module == folder:
        return "__init__"
    return module[len(folder) + 1 :].partition(".")[0] if module.startswith(f"{folder}.") else None
