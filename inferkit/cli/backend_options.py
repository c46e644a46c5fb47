"""The option that names a backend, and options that only some backends take."""

from __future__ import annotations

import argparse
from typing import Literal

from inferkit.backends import backend, backend_names
from inferkit.errors import UsageError


def add_backend(parser: argparse.ArgumentParser, default: str | None, text: str = "default: %(default)s") -> None:
    """`--backend`: one of those that are there."""
    parser.add_argument("--backend", choices=backend_names(), default=default, help=text)


def takes(name: str, setting: str, of: Literal["build", "session"]) -> bool:
    """Whether the backend of this name takes a setting of its build or of its sessions."""
    facts = backend(name).facts
    return setting in (facts.build_settings if of == "build" else facts.session_settings)


def check_taken(option: str, name: str, setting: str, of: Literal["build", "session"]) -> None:
    """UsageError where the backend does not take the setting that `option` is for, with the backends that do."""
    if not takes(name, setting, of):
        takers = " and ".join(each for each in backend_names() if takes(each, setting, of))
        raise UsageError(f"--{option.replace('_', '-')} is for {takers or 'no backend here'}, not for {name}")
