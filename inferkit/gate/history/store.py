"""The history's file: a DuckDB database that every judged run is appended to, in one transaction.

DuckDB and not Parquet: Parquet files cannot be appended to, so each run would rewrite the whole past, and a longer past
would make each run slower; DuckDB appends what is new, commits it whole or not at all, and replays its log after a
killed process. It lets one process at a time open the file, so whoever reads or writes takes a lock (a file beside it)
first and holds it for milliseconds. Anybody's SQL reads the file too: `duckdb -readonly history.duckdb`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from inferkit.cache import cache_root
from inferkit.errors import HistoryError
from inferkit.gate.fingerprint import Fingerprint
from inferkit.gate.history.series import HistoryPoint, HistorySeries, RunInfo, metric_named
from inferkit.gate.history.summary import RunSummary
from inferkit.gate.metrics import ACCURACY, TOP5
from inferkit.gate.outcome import Outcome, Verdict
from inferkit.gate.run import AccuracyRun, CaseRun

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA = 1
# An older DuckDB in another environment of the same user can read and write the file too.
_STORAGE = "v1.2.0"
_PATIENCE = 60.0  # seconds that others may hold the file; each holds it for milliseconds

_TABLES = """
CREATE TABLE about (schema INTEGER NOT NULL);
CREATE TABLE runs (run_id TEXT PRIMARY KEY, date TIMESTAMP NOT NULL, git_commit TEXT NOT NULL, dirty BOOLEAN NOT NULL,
    branch TEXT NOT NULL, project TEXT NOT NULL, version TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE figures (run_id TEXT NOT NULL, case_id TEXT NOT NULL, metric TEXT NOT NULL, fingerprint TEXT NOT NULL,
    datum DOUBLE[] NOT NULL, verdict TEXT, change DOUBLE, margin DOUBLE, reason TEXT NOT NULL,
    replicates_known BOOLEAN NOT NULL, machine DOUBLE);
CREATE TABLE fingerprints (slug TEXT PRIMARY KEY, buckets TEXT NOT NULL);
"""
_RUN = "run_id, date, git_commit, dirty, branch, project, version, source"
_FIGURE = "case_id, metric, fingerprint, datum, verdict, change, margin, reason, replicates_known, machine"
_IN_ORDER = "ORDER BY r.date, r.run_id"
_LIKE = "(case_id, metric, fingerprint) IN (SELECT (case_id, metric, fingerprint) FROM h.figures WHERE run_id = ?)"
_USABLE = "(verdict IS DISTINCT FROM 'INVALID' OR machine IS NOT NULL)"  # as HistoryPoint.usable has it
_NEWEST = (
    f"QUALIFY {_USABLE} AND row_number() OVER (PARTITION BY r.project, case_id, metric, fingerprint, {_USABLE} "
    "ORDER BY r.date DESC, r.run_id DESC) <= ?"
)


def default_path() -> Path:
    """`history.duckdb` in `$INFERKIT_CACHE` (default `~/.cache/inferkit`)."""
    return cache_root() / "history.duckdb"


class History:
    """The history in one file, which need not exist yet. Every method opens it, does its work, and closes it."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else default_path()

    def append(self, summaries: Iterable[RunSummary]) -> list[RunInfo]:
        """Add these runs, all of them or none; returns those that were not there before.

        HistoryError where the file is damaged, newer, held by someone else, or cannot be written.
        """
        wanted = list(summaries)
        added = []
        with self._opened(write=True) as database:
            database.execute("BEGIN")
            for summary in wanted:
                stored = database.execute("SELECT 1 FROM h.runs WHERE run_id = ?", [summary.run.run_id]).fetchone()
                if stored is None:
                    _insert(database, summary)
                    added.append(summary.run)
            database.execute("COMMIT")
        return added

    def runs(self, project: str | None = None) -> list[RunInfo]:
        """Every run, oldest first; none where there is no file yet."""
        where, values = _where({"project": project})
        return [_run(row) for row in self._query(f"SELECT {_RUN} FROM h.runs r {where} {_IN_ORDER}", values)]

    def series(
        self,
        case: str | None = None,
        *,
        metric: str | None = None,
        fingerprint: str | None = None,
        project: str | None = None,
        runs: Sequence[str] | None = None,
        like: str | None = None,
        last: int | None = None,
    ) -> list[HistorySeries]:
        """Everything there is of a case, a metric, a kind of machine, a project, of runs by their ids; None: of all.

        `like`: only of series that this run has a point of. `last`: only the newest so many usable points of each. One
        entry per project, case, metric and fingerprint, in the order in which they first appeared.
        """
        wanted: dict[str, object] = {"case_id": case, "metric": metric, "fingerprint": fingerprint, "project": project}
        where, values = _where(wanted | {"r.run_id": None if runs is None else list(runs), _LIKE: like})
        if last is not None:
            where, values = f"{where} {_NEWEST}", [*values, last]
        columns = ", ".join(f"r.{name.strip()}" for name in _RUN.split(","))
        rows = self._query(f"SELECT {columns}, {_FIGURE} FROM h.figures JOIN h.runs r USING (run_id) {where} "
                           f"{_IN_ORDER}, h.figures.rowid", values)  # fmt: skip
        groups: dict[tuple[str, str, str, str], list[HistoryPoint]] = {}
        for row in rows:
            run = _run(row[:8])
            point = _point(run, *row[8:])
            key = (run.project, point.measured.case, point.metric, point.measured.fingerprint)
            groups.setdefault(key, []).append(point)
        return [HistorySeries(*key, tuple(points)) for key, points in groups.items()]

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Every kind of machine there is, by its slug."""
        rows = self._query("SELECT slug, buckets FROM h.fingerprints ORDER BY slug", [])
        return {slug: Fingerprint.of(json.loads(buckets)) for slug, buckets in rows}

    def _query(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        with self._opened(write=False) as database:
            return database.execute(query, list(values)).fetchall()

    @contextlib.contextmanager
    def _opened(self, write: bool) -> Iterator[DuckDBPyConnection]:
        """The database attached as `h`, while nobody else has it. Its own errors become HistoryErrors."""
        try:
            import duckdb  # 60 MB of code, which no run that keeps no history needs
        except ImportError as error:
            raise HistoryError(
                f"{self.path} cannot be opened: DuckDB is not installed; pip install duckdb, or run with --no-history"
            ) from error

        try:
            if write:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock(), duckdb.connect(config={"threads": 1}) as database:
                # Written to also for reading: only so is the log of a killed process replayed.
                quoted = str(self.path).replace("'", "''")
                fresh = "" if self.path.exists() else f" (STORAGE_VERSION '{_STORAGE}')"
                database.execute(f"ATTACH '{quoted}' AS h{fresh}")
                self._check(database)
                yield database
        except duckdb.Error as error:
            raise HistoryError(_explained(self.path, error)) from error
        except OSError as error:
            raise HistoryError(
                f"{self.path}: the history cannot be written: {error.strerror or error}; name another file (--history "
                "FILE), or keep none (--no-history)"
            ) from error

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            with FileLock(f"{self.path}.lock", timeout=_PATIENCE, mode=0o666):
                yield
        except Timeout:
            raise HistoryError(f"{self.path}: the history was in use by others for {_PATIENCE:g} s") from None

    def _check(self, database: DuckDBPyConnection) -> None:
        """Make the tables in a new file; refuse what is no history, or a newer one."""
        query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'h'"
        tables = {name for (name,) in database.execute(query).fetchall()}
        if not tables:
            database.execute("USE h")
            database.execute(f"BEGIN; {_TABLES}; INSERT INTO about VALUES ({SCHEMA}); COMMIT")
            return
        if "about" not in tables:
            raise HistoryError(f"{self.path}: is a database of something else; name another file (--history FILE)")
        row = database.execute("SELECT max(schema) FROM h.about").fetchone()
        schema = row[0] if row else None
        if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
            raise HistoryError(
                f"{self.path}: was written by a newer inferkit (schema {schema}); this one reads up to {SCHEMA}"
            )


def _explained(path: Path, error: Exception) -> str:
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "lock" in said.lower():
        return f"{path}: another program has the history open ({said}); close it"
    return (
        f"{path}: the history is damaged or no history ({said}); move it away, and a new one is begun; "
        "`inferkit history --add RUN.json...` takes the runs' files again"
    )


def _insert(database: DuckDBPyConnection, summary: RunSummary) -> None:
    run = summary.run
    row = [run.run_id, run.date.replace(tzinfo=None), run.commit, run.dirty, run.branch, run.project, run.version]
    database.execute(f"INSERT INTO h.runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [*row, run.source])
    rows = [
        (p.measured.case, p.metric, p.measured.fingerprint, list(p.values), p.verdict, p.change, p.margin, p.reason,
         p.replicates_known, p.machine)
        for p in summary.points
    ]  # fmt: skip
    columns = [list(column) for column in zip(*rows, strict=True)]
    # One statement for all of them: a row at a time takes a second for 10,000.
    lists = ", ".join(["unnest(?::TEXT[])"] * 3 + ["unnest(?::DOUBLE[][])", "unnest(?::TEXT[])"])
    lists += ", unnest(?::DOUBLE[]), unnest(?::DOUBLE[]), unnest(?::TEXT[]), unnest(?::BOOLEAN[]), unnest(?::DOUBLE[])"
    database.execute(f"INSERT INTO h.figures (run_id, {_FIGURE}) SELECT ?, {lists}", [run.run_id, *columns])
    for slug, fingerprint in summary.fingerprints.items():
        buckets = json.dumps(fingerprint.as_dict())
        database.execute("INSERT OR IGNORE INTO h.fingerprints VALUES (?, ?)", [slug, buckets])


def _where(wanted: Mapping[str, object]) -> tuple[str, list[object]]:
    """The condition that columns equal these values, or one of a list of them; None asks for nothing.

    A key with a question mark is a condition of its own.
    """
    stated = {name: value for name, value in wanted.items() if value is not None}
    conditions = [
        name if "?" in name else f"{name} = ANY(?)" if isinstance(value, list) else f"{name} = ?"
        for name, value in stated.items()
    ]
    return ("WHERE " + " AND ".join(conditions), list(stated.values())) if conditions else ("", [])


def _run(row: Sequence[Any]) -> RunInfo:
    return RunInfo(row[0], row[1].replace(tzinfo=UTC), *row[2:])


def _point(
    run: RunInfo, case: str, metric: str, fingerprint: str, values: Sequence[float], verdict: str | None,
    change: float | None, margin: float | None, reason: str, replicates_known: bool, machine: float | None,
) -> HistoryPoint:  # fmt: skip
    """A row as what was measured and what it was judged as."""
    outcome = None
    if verdict is not None:
        outcome = Outcome(case, metric, Verdict(verdict), change=change, margin=margin, reason=reason, machine=machine)
    row = metric_named(metric)
    if metric in (ACCURACY, TOP5):
        top1, top5 = (values[0], None) if metric == ACCURACY else (math.nan, values[0])
        accuracy = AccuracyRun(case=case, fingerprint=fingerprint, margin=margin, top1=top1, top5=top5)
        return HistoryPoint(run, metric, accuracy, outcome)
    data = {row.datum: tuple(math.log(value) for value in values) if row.logarithmic else tuple(values)}
    measured = CaseRun(case=case, fingerprint=fingerprint, margin=margin, data=data, replicates_known=replicates_known)
    return HistoryPoint(run, metric, measured, outcome)
