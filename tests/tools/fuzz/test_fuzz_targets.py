"""Every parser on its examples, on what fuzzing once found, and on mutations of both: read or refused, nothing else."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.fuzz.target import survive, targets

CORPUS = Path(__file__).parent / "corpus"
TARGETS = targets()
FOUND = [(path.parent.name, path) for path in sorted(CORPUS.glob("*/*"))]


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    return tuple(TARGETS[name].seeds())


@pytest.mark.parametrize("name", TARGETS)
def test_every_example_is_read(name: str) -> None:
    assert all(survive(TARGETS[name], seed) for seed in seeds(name))


@pytest.mark.parametrize("name, path", FOUND, ids=[f"{name}-{path.name}" for name, path in FOUND])
def test_what_was_found_once_is_refused_or_read(name: str, path: Path) -> None:
    survive(TARGETS[name], path.read_bytes())


@st.composite
def mutations(draw: st.DrawFn, name: str) -> bytes:
    """An example with some places cut, overwritten, or filled with what the format is made of."""
    content = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.sampled_from([0, 1, 1, 2, 4, 8, 1 << 20])))
        pieces = [st.binary(max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f", b"\xff" * 9 + b"\x01"])]
        if TARGETS[name].words:
            pieces.append(st.sampled_from(TARGETS[name].words))
        content[start:stop] = draw(st.one_of(pieces))
    return bytes(content)


@pytest.mark.parametrize("name", TARGETS)
def test_no_mutation_of_an_example_gets_more_than_a_refusal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERKIT_MAX_MODEL_BYTES", str(64 << 20))

    @settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "40")), suppress_health_check=list(HealthCheck))
    @given(content=mutations(name))
    def check(content: bytes) -> None:
        survive(TARGETS[name], content)

    check()
