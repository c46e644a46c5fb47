"""What `case.json` of a reproduction says: the case, its settings, its network's files, and the figures of both sides.

{"schema": 1, "case": {"id": "lenet-int8-b8-onnxruntime", …}, "engine": {"build": {…}, "session": {…}},
 "network": {"files": {"network.onnx": "9f86d0…"}, "included": true, …},
 "base": {"from": "baselines/….json, commit 0123abc", "data": {…}, "outputs": {…}}, "head": {…}, "environment": {…}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inferkit.backends.layer_table import LayerTable
from inferkit.errors import UsageError
from inferkit.gate.files.checked_json import Place, read_json
from inferkit.gate.files.data import read_data, read_files, written
from inferkit.gate.run import CaseRun
from inferkit.measure.case import Case
from inferkit.measure.latency.outputs import KeptOutputs
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
        if "outputs" in place.values:
            try:
                measured = replace(measured, outputs=KeptOutputs.from_dict(place.values["outputs"]))
            except ValueError as error:
                raise place.fail(str(error), "outputs") from error
        verdicts = place.values.get("verdicts")
        lines = tuple(map(str, verdicts)) if isinstance(verdicts, list) else ()
        return cls(place.text("from"), place.place("fingerprint").texts(), measured, lines)


@dataclass(frozen=True, eq=False)
class Contents:
    """`case.json`. `files` are the prepared network's with their SHA-256; `included`: the archive holds them.

    `build` and `session` are the backend's settings, `min_time` the seconds that each process measured. `sources` are
    the files that the network was made of, `environment` that of the machine on which the archive was written.
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
        """The contents of an unpacked archive. BaselineError where the file is damaged or newer."""
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
            build=engine.place("build").values,
            session=engine.place("session").values,
            environment=top.place("environment").values,
        )


def session_of(case: Case, session: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a case's sessions are opened with. UsageError for a service, which no session is."""
    if case.mode not in ("latency", "throughput"):
        raise UsageError(f"{case.id}: is a service; a reproduction is made of a latency or throughput case")
    return dict(session) if case.mode == "latency" else {**session, "mode": case.mode}
