"""Writes a case as one archive: prepared network, inputs, settings, figures of both sides, environment, script.

The network is the one that was measured: at its precision, with the scales of a calibration written into it, so that
neither the dataset nor the calibration is needed where the archive is unpacked.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from inferkit.content_store import sha256_of
from inferkit.errors import BaselineError, UsageError
from inferkit.files import replacing
from inferkit.gate.files.baseline import BaselineStore
from inferkit.gate.files.output_store import read_outputs
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.run import CaseRun, Run
from inferkit.measure.case import Case
from inferkit.measure.engine.prepared_network import load_prepared, prepared_facts
from inferkit.measure.progress import Progress
from inferkit.suite.campaign.artifacts import Artifacts
from inferkit.suite.matrix.definition import Matrix, NetworkDefinition
from inferkit.suite.matrix.network_files import network_files
from inferkit.suite.reproduction.contents import (
    FILE,
    NETWORK,
    Contents,
    Figures,
    portable_settings,
    session_of,
    without_folders,
)
from inferkit.suite.reproduction.environment import environment
from inferkit.suite.reproduction.measuring import measure
from inferkit.suite.reproduction.texts import readme, script

MOST_NETWORK_BYTES = 512 << 20  # that go into an archive unasked
PROCESSES = 3  # that measure a case of which no run is given
SUFFIXES = (".tar.gz", ".tgz", ".zip")


@dataclass(frozen=True)
class Packed:
    """The archive, and whether the network is in it (`network_bytes` long)."""

    path: Path
    contents: Contents
    network_bytes: int
    disturbed: tuple[str, ...] = ()


def pack(
    name: str,
    matrix_file: Path,
    matrix: Matrix,
    store: BaselineStore,
    out: Path,
    *,
    run: Run | None = None,
    with_network: bool | None = None,
    progress: Progress | None = None,
) -> Packed:
    """Write the archive of the case with the id `name`, whole or not at all; head is `run`, or is measured now.

    Base is what the run was compared with, or the baseline of its fingerprint. `with_network`: None leaves the network
    out where it is larger than MOST_NETWORK_BYTES. UsageError for a case or an archive that cannot be, BaselineError
    for a run that does not have the case or was measured with other files; the errors of preparing and measuring.
    """
    progress = progress or Progress()
    if not out.name.endswith(SUFFIXES):
        raise UsageError(f"{out}: the name of an archive ends with {', '.join(SUFFIXES)}")
    case, network = _case_of(name, matrix)
    session_of(case, {})
    sources = network_files([network], matrix_file.parent)[network.name]
    head = None if run is None else _of_run(run, case.id, sources)
    settings = matrix.settings(case.backend)
    artifacts = Artifacts(progress.during)
    try:
        prepared = artifacts.network(network, case.precision)
        disturbed: tuple[str, ...] = ()
        with tempfile.TemporaryDirectory(prefix="inferkit-repro-") as temporary:
            if head is None:
                head, disturbed = measure(
                    case, prepared, build=settings.build, session=settings.session,
                    min_time=matrix.suite.min_time, processes=PROCESSES, source="measured for this archive",
                    progress=progress,
                )  # fmt: skip
            content = Path(temporary, _stem(out))
            content.mkdir()
            paths = _paths_of(network)
            files, size = _network_into(content / NETWORK, prepared, with_network, paths)
            contents = Contents(
                case=case,
                files=files,
                included=(content / NETWORK / "network.onnx").exists(),
                min_time=matrix.suite.min_time,
                head=head,
                base=_base_of(run, case.id, head, store),
                margin=matrix.latency_margin(case, network),
                build=portable_settings(settings.build, case.backend),
                session=portable_settings(settings.session, case.backend),
                sources=sources,
                environment=environment(),
            )
            _write_texts(content, contents, prepared, paths)
            _write_archive(content, out)
    finally:
        artifacts.close()
    return Packed(out, contents, size, disturbed)


def _case_of(name: str, matrix: Matrix) -> tuple[Case, NetworkDefinition]:
    cases = {case.id: (case, network) for case, network in matrix.all_cases().items()}
    if name not in cases:
        near = get_close_matches(name, cases, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(cases)[:5])}, …"
        raise UsageError(f"{name!r} is no latency case of the matrix; {hint}")
    return cases[name]


def _of_run(run: Run, name: str, sources: Mapping[str, str]) -> Figures:
    """The figures of the run; the network that is packed must be the one that it measured."""
    measured = run.cases.get(name)
    if measured is None:
        why = f" ({run.failures[name]})" if name in run.failures else ""
        raise BaselineError(f"{run.name}: has no measured case {name}{why}; leave out --run to measure it now")
    changed = [path for path, digest in measured.files.items() if sources.get(path, digest) != digest]
    changed += [path for path in measured.files if path not in sources]
    if changed:
        raise BaselineError(
            f"{run.name}: {name} was measured with another {changed[0]} than there is now; check out the run's commit, "
            "put the file back, or leave out --run to measure what there is"
        )
    origin = run.origin
    parts = [Path(run.name).name, origin.commit and f"commit {origin.commit}", origin.date]
    parts += [origin.version and f"inferkit {origin.version}"]
    verdicts = tuple(outcome.line for outcome in run.outcomes if outcome.case == name)
    return Figures(", ".join(filter(None, parts)), _fingerprint(run, measured), measured, verdicts)


def _fingerprint(run: Run, measured: CaseRun) -> dict[str, str]:
    known = run.fingerprints.get(measured.fingerprint)
    return {} if known is None else known.as_dict()


def _base_of(run: Run | None, name: str, head: Figures, store: BaselineStore) -> Figures | None:
    """What head was compared with: the commit that was measured beside it, else the stored baseline; None without."""
    against = None if run is None else run.cases[name].facts.get("against")
    if isinstance(against, Mapping) and against.get("log_medians"):
        logs = tuple(float(value) for value in against["log_medians"])
        source = f"commit {against.get('ref')}, measured interleaved with head"
        measured = replace(head.measured, data={"log_medians": logs}, outputs=None, layers=())
        return Figures(source, head.fingerprint, measured)
    if not head.fingerprint:
        return None
    fingerprint = Fingerprint.of(dict(head.fingerprint))
    baseline = store.find(fingerprint)
    if baseline is None or name not in baseline.cases:
        return None
    path, commit = store.path(fingerprint), baseline.origin.commit
    measured = replace(baseline.cases[name], outputs=read_outputs(path).get(name))
    source = f"baseline {path.name}" + (f", commit {commit}" if commit else "")
    return Figures(source, head.fingerprint, measured)


def _paths_of(network: NetworkDefinition) -> set[str]:
    """The absolute paths that a network is made of, as they are written and as links lead: they name who packs it."""
    named = (network.model, network.weights, network.dataset, network.preprocessing.get("mean"))
    paths = [path for path in named if isinstance(path, str) and os.path.isabs(path)]
    return {*paths, *map(os.path.realpath, paths)}


def _network_into(
    folder: Path, prepared: Path, wanted: bool | None, paths: Iterable[str]
) -> tuple[dict[str, str], int]:
    """Copy the prepared network; the SHA-256 of its files by name, copied or not, and how many bytes they have."""
    folder.mkdir()
    shutil.copyfile(prepared / "images.npz", folder / "images.npz")
    facts = prepared_facts(prepared)
    files = {path.name: path for path in sorted(prepared.glob("network.onnx*"))}
    for key in ("prototxt", "caffemodel"):  # what the network was imported from, which the Caffe backend runs
        path = (facts["source"] or {}).get(key)
        if path is not None:
            facts["source"][key] = f"caffe-{Path(path).name}"
            files[facts["source"][key]] = Path(path)
    (folder / "network.json").write_text(json.dumps(without_folders(facts, paths), indent=1))
    size = sum(path.stat().st_size for path in files.values())
    if size <= MOST_NETWORK_BYTES if wanted is None else wanted:
        for name, path in files.items():
            shutil.copyfile(path, folder / name)
    return {name: sha256_of(path) for name, path in files.items()}, size


def _write_texts(folder: Path, contents: Contents, prepared: Path, paths: Iterable[str]) -> None:
    from inferkit.precision.qdq import quantized_tensors  # needs onnx

    (folder / FILE).write_text(json.dumps(without_folders(contents.as_dict(), paths), indent=1, default=str))
    scales = quantized_tensors(load_prepared(prepared).model)
    if scales:
        facts = prepared_facts(prepared)
        table = {"calibration": facts["calibration"], "scales": scales}
        (folder / "calibration.json").write_text(json.dumps(without_folders(table, paths), indent=1))
    (folder / "README.md").write_text(readme(contents, bool(scales)))
    (folder / "repro.py").write_text(script(contents))


def _stem(out: Path) -> str:
    return next(out.name.removesuffix(suffix) for suffix in SUFFIXES if out.name.endswith(suffix)) or "repro"


def _write_archive(folder: Path, out: Path) -> None:
    try:
        with replacing(out) as file:
            (_zip if out.name.endswith(".zip") else _tar)(folder, file)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from error


def _zip(folder: Path, file: BinaryIO) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))


def _tar(folder: Path, file: BinaryIO) -> None:
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(folder, folder.name, filter=_nobodys)


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the name of who packed it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
