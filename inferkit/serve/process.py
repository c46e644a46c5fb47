"""The fresh process of a service case: `python -m inferkit.serve.process`, a job on stdin."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from inferkit.measure.interpreter import Interpreter
from inferkit.measure.launch import replicate_of, run_job
from inferkit.measure.process import Arrays, main
from inferkit.measure.replicate import Replicate
from inferkit.serve.replicate import ServiceSpec, measure_service

_MODULE = "inferkit.serve.process"


def run_service(spec: ServiceSpec, name: str, *, timeout: float = 3600.0, by: Interpreter | None = None) -> Replicate:
    """One replicate of a service case in a fresh process. See inferkit.measure.launch.run_job for the errors."""
    return replicate_of(*run_job("service", spec.as_dict(), name, timeout=timeout, by=by, module=_MODULE), name)


def _service(spec: Mapping[str, Any]) -> tuple[dict[str, Any], Arrays]:
    replicate = measure_service(ServiceSpec(**spec))
    return replicate.as_dict(), {"trace": replicate.trace}


if __name__ == "__main__":
    sys.exit(main({"service": _service}))
