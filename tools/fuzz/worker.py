"""One target in one process, guided by coverage: `python -m tools.fuzz.worker TARGET [libFuzzer's options]`.

A process of its own for each target, since libFuzzer never returns. Memory is bounded twice: libFuzzer looks at what is
resident, and the address space is limited, so that memory which is asked for and never touched is found too.
"""

from __future__ import annotations

import os
import pkgutil
import resource
import sys
from importlib import import_module

ADDRESS_SPACE = 6 << 30  # bytes; the libraries' own mappings are some 2 GiB of it
MODEL_LIMIT = 64 << 20  # bytes: networks that ask for more must be refused

_INSTRUMENTED = ("network", "data", "precision", "gate", "suite", "report", "serve", "backends.tensorrt.plan")


def main() -> None:
    """Fuzz until a limit among the options is met; libFuzzer ends the process."""
    import atheris

    name, *options = sys.argv[1:]
    os.environ["INFERKIT_MAX_MODEL_BYTES"] = str(MODEL_LIMIT)
    with atheris.instrument_imports(include=["inferkit", "tomllib", "zipfile", "google.protobuf.text_format"]):
        for package in _INSTRUMENTED:
            _import_all(f"inferkit.{package}")
        from tools.fuzz.every import targets
        from tools.fuzz.target import survive

        target = targets()[name]
    for seed in target.seeds():
        if not survive(target, seed):
            raise SystemExit(f"{name}: a seed is refused")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    atheris.Setup([sys.argv[0], *options], lambda content: survive(target, content))
    atheris.Fuzz()


def _import_all(name: str) -> None:
    module = import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}."):
        import_module(found.name)


if __name__ == "__main__":
    main()
