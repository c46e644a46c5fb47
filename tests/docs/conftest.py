"""An environment as a user has it: empty but for the built wheel and what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables of a shell in which the wheel is installed; minutes where the registry is slow."""
    folder = tmp_path_factory.mktemp("installed")
    # Times of tests that run side by side say little: machines disturbed by that are accepted (tests/conftest.py).
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_", "VIRTUAL"))}

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"

    run(sys.executable, "-m", "venv", "venv")
    python = str(folder / "venv" / "bin" / "python")
    run(python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "wheel", str(ROOT))
    (wheel,) = (folder / "wheel").glob("pytest_inferkit-*.whl")
    run(python, "-m", "pip", "install", str(wheel))
    run(python, "-c", f"import inferkit; assert inferkit.__file__.startswith({str(folder)!r})")
    return {**kept, "PATH": f"{folder / 'venv' / 'bin'}:{kept['PATH']}", "INFERKIT_CACHE": str(folder / "cache")}
