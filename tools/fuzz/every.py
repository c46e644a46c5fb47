"""Every target by its name."""

from __future__ import annotations

from importlib import import_module

from tools.fuzz.target import Target

FAMILIES = ("caffe_models", "images", "calibrations", "records", "onnx_models", "requests")


def targets() -> dict[str, Target]:
    """All of them, family by family."""
    found = (target for family in FAMILIES for target in import_module(f"tools.fuzz.{family}").TARGETS)
    return {target.name: target for target in found}
