"""Measures an unpacked reproduction on this machine, and shows it beside the figures that were recorded: `repro.py`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inferkit.content_store import sha256_of
from inferkit.errors import InferkitError, UsageError
from inferkit.exit_codes import ExitCode
from inferkit.files import inside
from inferkit.gate.files.checked_json import read_json
from inferkit.gate.metrics import of_replicates
from inferkit.gate.outcome import Outcome
from inferkit.gate.rules.outputs import is_changed, judge_outputs
from inferkit.measure.latency.statistics import centre
from inferkit.report.progress import progress_on_stderr
from inferkit.report.table import Column, stdout_look, table_lines
from inferkit.suite.reproduction.contents import NETWORK, Contents, Figures
from inferkit.suite.reproduction.environment import differences, environment
from inferkit.suite.reproduction.measuring import measure

_PROCESSES = 5
_COLUMNS = (
    Column("metric", "metric", str, left=True),
    Column("base", "base", str),
    Column("head", "head", str),
    Column("here", "here", str),
    Column("here / head", "ratio", str),
)


@dataclass(frozen=True, eq=False)
class Rerun:
    """What was measured here, and the outcomes of its outputs against those of `base` and of `head`, where stored.

    `disturbed` are the reasons for which the machine was not in a state to measure, `environment` what is another.
    """

    contents: Contents
    here: Figures
    base: Outcome | None
    head: Outcome | None
    disturbed: tuple[str, ...]
    environment: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """DIFFERENT where the outputs are not those of head."""
        return ExitCode.DIFFERENT if self.head is not None and is_changed(self.head) else ExitCode.OK

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "case": self.contents.case.id,
            "base": None if self.contents.base is None else self.contents.base.as_dict(),
            "head": self.contents.head.as_dict(),
            "here": self.here.as_dict(),
            "outputs": {name: side and side.as_dict() for name, side in (("base", self.base), ("head", self.head))},
            "disturbed": list(self.disturbed),
            "environment": list(self.environment),
            "exit_code": self.exit_code,
        }


def rerun(folder: Path, network: Path | None = None, processes: int = _PROCESSES) -> Rerun:
    """Measure the case in the unpacked archive `folder`; `network` is the folder of a network that it does not hold.

    BaselineError for a damaged archive, UsageError for a network that is missing or another one, BackendUnavailable and
    MeasurementError as of any measurement.
    """
    contents = Contents.read(folder)
    with tempfile.TemporaryDirectory(prefix="inferkit-repro-") as temporary:
        prepared = Path(temporary, NETWORK)
        _prepare(folder, contents, network, prepared)
        here, disturbed = measure(
            contents.case,
            prepared,
            build=contents.build,
            session=contents.session,
            min_time=contents.min_time,
            processes=processes,
            source="this machine",
            progress=progress_on_stderr(),
        )
    base, head = (_outputs(side, here) for side in (contents.base, contents.head))
    changed = differences(contents.environment, environment())
    return Rerun(contents, here, base, head, disturbed, tuple(changed))


def _prepare(folder: Path, contents: Contents, network: Path | None, prepared: Path) -> None:
    """The folder that processes load the network from: of the archive's files, checked, and of those it lacks."""
    try:
        shutil.copytree(folder / NETWORK, prepared)
    except OSError as error:
        raise UsageError(f"{folder}: its network cannot be copied: {error}; unpack the archive again") from error
    if network is not None and network.is_file():
        network = network.parent
    for name, digest in contents.files.items():
        source = (network or folder / NETWORK) / name
        target = _own_file(folder, prepared, name)
        if not source.is_file():
            raise UsageError(f"{source}: is not there, only its SHA-256 is ({digest}); name its folder by --network")
        if sha256_of(source) != digest:
            raise UsageError(f"{source}: is not the network that was measured, whose SHA-256 is {digest}")
        if network is not None:
            shutil.copyfile(source, target)
    facts_file = prepared / "network.json"
    facts = read_json(facts_file)
    if facts.values.get("source") is not None:  # Caffe's files lie beside it
        files = facts.place("source")
        for key in ("prototxt", "caffemodel"):
            if files.values.get(key) is not None:
                files.values[key] = str(_own_file(folder, prepared, files.text(key)))
        facts_file.write_text(json.dumps(facts.values))


def _own_file(folder: Path, prepared: Path, name: str) -> Path:
    """Where a file of the archive `folder` lies in `prepared`. UsageError for a name that leads out of it."""
    try:
        path = inside(prepared, name)
    except ValueError:  # a zero byte
        path = None
    if path is None:
        raise UsageError(f"{folder}: the archive names a file outside of it, {name}")
    return path


def _outputs(stored: Figures | None, here: Figures) -> Outcome | None:
    if stored is None or stored.measured.outputs is None:
        return None
    return next(iter(judge_outputs([(stored.measured, replace(here.measured, outputs_rule="close"))])), None)


def lines_of(result: Rerun) -> list[str]:
    """What is printed."""
    contents, here = result.contents, result.here
    sides = {"base": contents.base, "head": contents.head, "here": here}
    rows = []
    for metric in of_replicates():
        values = {name: _value(side, metric.datum, metric.logarithmic) for name, side in sides.items()}
        if values["here"] is None and values["head"] is None:
            continue
        shown = {name: None if value is None else metric.unit.show(value) for name, value in values.items()}
        head, mine = values["head"], values["here"]
        ratio = None if not head or mine is None else f"{mine / head - 1:+.1%}"
        rows.append({"metric": metric.name, **shown, "ratio": ratio})
    lines = [f"{contents.case.id}", f"base: {contents.base.source if contents.base else 'none'}"]
    lines += [f"head: {contents.head.source}", *(f"  {line}" for line in contents.head.verdicts), ""]
    lines += table_lines(_COLUMNS, rows, *stdout_look())
    for name, outcome in (("base", result.base), ("head", result.head)):
        if outcome is not None:
            lines.append(f"outputs against {name}: {outcome.reason}")
    if result.disturbed:
        lines.append(f"measured while disturbed: {'; '.join(result.disturbed)}")
    if result.environment:
        lines += ["", "another environment:", *(f"  {line}" for line in result.environment)]
    return lines


def _value(side: Figures | None, datum: str, logarithmic: bool) -> float | None:
    values = () if side is None else side.measured.data.get(datum, ())
    if not values:
        return None
    return centre(values) if logarithmic else sorted(values)[len(values) // 2]


def main(folder: Path, arguments: Sequence[str]) -> int:
    """`repro.py`: measure, print; returns the exit code, ERROR with one line for what goes wrong."""
    parser = argparse.ArgumentParser(prog="repro.py", description="Measure the case of this archive here.")
    parser.add_argument(
        "--processes",
        type=int,
        default=_PROCESSES,
        metavar="N",
        help="fresh processes to measure (default: %(default)s)",
    )
    parser.add_argument("--network", type=Path, metavar="FOLDER", help="where the network is that the archive lacks")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)
    try:
        if not 1 <= args.processes <= 1000:
            raise UsageError(f"--processes {args.processes}: must be from 1 to 1000")
        result = rerun(folder, args.network, args.processes)
    except InferkitError as error:
        print(f"repro.py: {error}", file=sys.stderr)
        return ExitCode.ERROR
    if args.json:
        print(json.dumps(result.as_dict(), indent=1, default=str))
    else:
        print("\n".join(lines_of(result)))
    return result.exit_code
