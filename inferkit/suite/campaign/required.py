"""What the matrix requires of this machine and it has not: known before the first measurement, with what is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from inferkit.backends import backend as backend_named
from inferkit.errors import BaselineError, InferkitError, some
from inferkit.gate.files.baseline import BaselineStore
from inferkit.measure.case import Case
from inferkit.suite.campaign.target import availability, fingerprint_of
from inferkit.suite.matrix.definition import AccuracyCase, Matrix


def required_problems(
    matrix: Matrix, cases: Sequence[object], *, narrowed: bool, store: BaselineStore | None
) -> Iterator[str]:
    """A line for each thing that `[require]` names and this machine lacks; of a narrowed run, what its cases need.

    Baselines are looked for in `store`; None where this run needs none.
    """
    require = matrix.require
    asked = [case for case in cases if isinstance(case, Case | AccuracyCase)]
    used = {case.backend for case in asked}
    for name in require.backends:
        if name in used or not narrowed:
            yield from _lacking_backend(require.where, name)
    if require.gpus and (not narrowed or any(backend_named(name).facts.on_gpu for name in used)):
        there, seen = _gpus()
        for pattern in require.gpus:
            if not any(fnmatchcase(name, pattern) for name in there):
                yield f"{require.where} gpus: no GPU of {pattern}: this machine has {seen}"
    for precision in require.precisions:
        reasons: dict[str, list[str]] = {}
        for case in asked:
            available = availability(case.backend, case.precision)
            if case.precision == precision and not available.ok:
                reasons.setdefault(available.reason, []).append(case.id)
        for reason, names in reasons.items():
            yield f"{require.where} precisions: {precision} is UNSUPPORTED in {some(names)}: {reason}"
    if store is not None:
        yield from _lacking_baselines(store, matrix, [case for case in asked if isinstance(case, Case)])


def _lacking_backend(where: str, name: str) -> Iterator[str]:
    answers = [availability(name, precision) for precision in backend_named(name).precisions]
    if not any(answer.ok for answer in answers):
        reason = next((answer.reason for answer in answers if answer.reason), "it runs no precision")
        hint = next((f"; {answer.hint}" for answer in answers if answer.hint), "")
        yield f"{where} backends: {name} cannot run here: {reason}{hint}"


def _gpus() -> tuple[list[str], str]:
    """The names of the GPUs that this machine has, and how a message says which."""
    from inferkit.backends.gpus import visible_gpus

    try:
        names = [gpu.name for gpu in visible_gpus()]
    except InferkitError as error:
        return [], f"none ({getattr(error, 'reason', error)})"
    return names, ", ".join(dict.fromkeys(names))


def _lacking_baselines(store: BaselineStore, matrix: Matrix, cases: Sequence[Case]) -> Iterator[str]:
    """The cases that can run here and have no baseline of this machine, a line for each reason."""
    lacking: dict[str, list[str]] = {}
    for case in dict.fromkeys(cases):
        wanted = any(fnmatchcase(case.id, pattern) for pattern in matrix.require.baselines)
        if not wanted or not availability(case.backend, case.precision).ok:
            continue
        fingerprint = fingerprint_of(case.backend, matrix.settings(case.backend))
        try:
            baseline = store.find(fingerprint)
        except BaselineError:
            continue  # a problem of its own
        if baseline is None:
            lacking.setdefault(store.absence(fingerprint), []).append(case.id)
        elif case.id not in baseline.cases:
            lacking.setdefault(f"the baseline {store.path(fingerprint).name} does not have it", []).append(case.id)
    for reason, names in lacking.items():
        yield (
            f"{matrix.require.where} baselines: {some(names)}: {reason}; measure one with --for-baseline "
            "--benchmark-json RUN.json, then: inferkit baseline promote RUN.json"
        )
