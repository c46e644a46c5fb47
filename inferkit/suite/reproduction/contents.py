"""What `case.json` of a reproduction says: the case, its settings, its network's files, and the figures of both sides.

{"schema": 1, "case": {"id": "lenet-int8-b8-onnxruntime", …}, "engine": {"build": {…}, "session": {…}},
 "network": {"files": {"network.onnx": "9f86d0…"}, "included": true, …},
 "base": {"from": "baselines/….json, commit 0123abc", "data": {…}, "outputs": {…}}, "head": {…}, "environment": {…}}
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inferkit.backends import backend
from inferkit.backends.layer_table import LayerTable
from inferkit.errors import UsageError
from inferkit.gate.files.checked_json import Place, read_json
from inferkit.gate.files.data import read_data, read_files, read_kept_outputs, written
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.measure.layers.table import readable_table

SCHEMA = 1
NETWORK = "network"  # the folder of the prepared network in the archive
FILE = "case.json"


@dataclass(frozen=True, eq=False)
class Figures:
    """One side: where its figures come from, in words, the fingerprint it was measured on, and what was measured.

    `verdicts` are the lines of what it was judged as.
    """

    source: str
    fingerprint: Mapping[str, str]
    measured: CaseRun
    verdicts: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        outputs, layers = self.measured.outputs, self.measured.layers
        return {
            "from": self.source,
            "fingerprint": dict(self.fingerprint),
            "data": written(self.measured, digits=None),
            "verdicts": list(self.verdicts),
            **({"layers": [row.as_dict() for row in layers]} if layers else {}),
            **({} if outputs is None else {"outputs": outputs.as_dict()}),
        }

    @classmethod
    def read(cls, place: Place, case: str) -> Figures:
        """The inverse. BaselineError for what is damaged."""
        layers: LayerTable = readable_table(place.values.get("layers"))
        measured = CaseRun(case=case, fingerprint="", data=read_data(place.place("data")), layers=layers)
        measured = replace(measured, outputs=read_kept_outputs(place))
        verdicts = place.values.get("verdicts")
        lines = tuple(map(str, verdicts)) if isinstance(verdicts, list) else ()
        return cls(place.text("from"), place.place("fingerprint").texts(), measured, lines)


@dataclass(frozen=True, eq=False)
class Contents:
    """`case.json`. `files` are the prepared network's with their SHA-256; `included`: the archive holds them.

    `build` and `session` are the backend's settings, none of which is a path; `min_time` the seconds that each process
    measured. `sources` are the files that the network was made of, `environment` that of the machine on which the
    archive was written.
    """

    case: Case
    files: Mapping[str, str]
    included: bool
    min_time: float
    head: Figures
    base: Figures | None = None
    margin: float | None = None
    build: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "case": {"id": self.case.id, **self.case.__dict__},
            "margin": self.margin,
            "engine": {"build": dict(self.build), "session": dict(self.session), "min_time": self.min_time},
            "network": {"files": dict(self.files), "included": self.included, "made_of": dict(self.sources)},
            "base": None if self.base is None else self.base.as_dict(),
            "head": self.head.as_dict(),
            "environment": dict(self.environment),
        }

    @classmethod
    def read(cls, folder: Path) -> Contents:
        """The contents of an unpacked archive.

        BaselineError where the file is damaged or newer, or where a setting names a file or folder: the archive may be
        anyone's, and what it names would be read or written here. UsageError for a backend that is not known here.
        """
        top = read_json(folder / FILE)
        top.schema(SCHEMA, "is no reproduction of inferkit")
        place, engine, network = top.place("case"), top.place("engine"), top.place("network")
        size = place.number("batch_size", above=0, most=65_536)
        case = Case(place.text("model"), place.text("precision"), int(size), place.text("backend"), place.text("mode"))
        return cls(
            case=case,
            files=read_files(network),
            included=network.values.get("included") is True,
            min_time=engine.number("min_time", above=0, most=3600),
            head=Figures.read(top.place("head"), case.id),
            base=None if top.values.get("base") is None else Figures.read(top.place("base"), case.id),
            margin=top.optional("margin", above=0),
            build=_read_settings(engine.place("build"), case.backend),
            session=_read_settings(engine.place("session"), case.backend),
            environment=top.place("environment").values,
        )


def portable_settings(settings: Mapping[str, Any], backend_name: str) -> dict[str, Any]:
    """Without those that name a file or folder of this machine."""
    return {key: value for key, value in settings.items() if not _is_path(key, value, backend_name)}


def _read_settings(place: Place, backend_name: str) -> dict[str, Any]:
    for key, value in place.values.items():
        if _is_path(key, value, backend_name):
            raise place.fail("names a file or folder, which the settings of a reproduction must not", key)
    return place.values


def _is_path(key: str, value: object, backend_name: str) -> bool:
    """Whether a setting is a path: any text of one that may be, text with a folder in it of all others."""
    if isinstance(value, Mapping):
        return any(_is_path(str(name), inner, backend_name) for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return any(_is_path(key, inner, backend_name) for inner in value)
    if isinstance(value, os.PathLike):
        return True
    if not isinstance(value, str):
        return False
    return key in backend(backend_name).facts.path_settings or value.startswith("~") or bool({"/", "\\"} & set(value))


def without_folders(value: Any, paths: Iterable[str]) -> Any:
    """A JSON value in which these absolute paths, alone or in a text, stand by their last name, also as keys."""
    folders = {path: Path(path).name for path in sorted(paths, key=len, reverse=True)}

    def named(inner: Any) -> Any:
        if isinstance(inner, str):
            for path, name in folders.items():
                inner = inner.replace(path, name)
            return inner
        if isinstance(inner, Mapping):
            return {named(key): named(item) for key, item in inner.items()}
        return [named(item) for item in inner] if isinstance(inner, (list, tuple)) else inner

    return named(value)


def session_of(case: Case, session: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a case's sessions are opened with. UsageError for a service, which no session is."""
    if case.mode not in ("latency", "throughput"):
        raise UsageError(f"{case.id}: is a service; a reproduction is made of a latency or throughput case")
    return case.session_settings(session)
