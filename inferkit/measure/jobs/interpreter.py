"""The Python and the inferkit that a job runs with: this one, or that of another commit or environment."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from inferkit.errors import UsageError


@dataclass(frozen=True)
class Interpreter:
    """A Python, the folder that holds the inferkit it must run (None: what that Python has installed), environment.

    `environment` is added to this process's, or replaces parts of it.
    """

    python: str = sys.executable
    home: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        environment = {**os.environ, **self.environment}
        if self.home is not None:
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [self.home, environment.get("PYTHONPATH")]))
        return environment

    def check(self) -> None:
        """UsageError unless this Python runs, and the inferkit that it imports is the one of `home`."""
        command = [self.python, "-P", "-c", "import inferkit; print(inferkit.__file__)"]
        try:
            done = subprocess.run(command, env=self.variables(), capture_output=True, text=True, timeout=120)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"{self.python}: cannot be run: {error}") from error
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UsageError(f"{self.python}: cannot import inferkit: {last}")
        imported = Path(done.stdout.strip()).resolve()
        if self.home is not None and Path(self.home).resolve() not in imported.parents:
            raise UsageError(f"{self.python}: imports inferkit from {imported}, not from {self.home}")


def with_environment(by: Interpreter | None, environment: Mapping[str, str]) -> Interpreter | None:
    """`by` (None: this Python) with these variables too; its own go first."""
    if not environment:
        return by
    interpreter = by or this_interpreter()
    return replace(interpreter, environment={**environment, **interpreter.environment})


def this_interpreter() -> Interpreter:
    """This Python, with inferkit findable also from a checkout that is not installed.

    A site-packages folder is not named again: PYTHONPATH goes before the standard library, which it could shadow.
    """
    home = str(Path(__file__).resolve().parents[3])
    installed = {*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()}
    return Interpreter(home=None if home in installed else home)
