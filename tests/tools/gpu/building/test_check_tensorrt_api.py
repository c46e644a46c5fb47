"""The check of TensorRT's bindings reads their signatures right."""

from __future__ import annotations

from importlib import import_module

import pytest

from tools.gpu.building.check_tensorrt_api import CALLS, accepts

OVERLOADED = """make(*args, **kwargs)
Overloaded function.

1. make(self: a.b.C, kind: a.b.Kind = <Kind.ONE: 0>) -> a.b.D

2. make(self: a.b.C, pairs: List[Tuple[int, int]], name: str, *, deep: bool = False) -> a.b.D
"""


@pytest.mark.parametrize(("given", "fits"), [(0, True), (1, True), (2, True), (5, False)])
def test_a_call_fits_any_of_the_overloads(given: int, fits: bool) -> None:
    assert accepts(OVERLOADED, "make", given) is fits


@pytest.mark.tensorrt_rtx
def test_the_installed_bindings_take_what_the_backend_gives() -> None:
    module = import_module("tensorrt_rtx")
    for name, members in CALLS.items():
        for member, given in members.items():
            documentation = getattr(getattr(module, name), member).__doc__
            assert accepts(documentation, member, given), f"{name}.{member}"
            assert not accepts(documentation, member, given + 7), f"{name}.{member}"
