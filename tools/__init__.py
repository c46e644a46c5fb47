"""Tools that a developer runs now and then, from the root of the repository: `python -m tools.ROOM`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
