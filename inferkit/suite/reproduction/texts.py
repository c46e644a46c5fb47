"""The script and the README of a reproduction."""

from __future__ import annotations

from inferkit.backends import DEFAULT_BACKEND
from inferkit.suite.reproduction.contents import NETWORK, Contents
from inferkit.version import __version__

_SCRIPT = '''\
"""Measures {case} here, and shows it beside what was recorded.

pip install pytest-inferkit          # {version} or newer{extra}: its wheel, or a clone of its repository
python repro.py                      # --processes N, --json{network}; --help
"""

import sys
from pathlib import Path

try:
    from inferkit.suite.reproduction.rerun import main
except ImportError as error:
    sys.exit(f"this needs pytest-inferkit {version} or newer: pip install pytest-inferkit ({{error}})")

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent, sys.argv[1:]))
'''

_README = """\
# {case}

```console
$ pip install pytest-inferkit        # {version} or newer{extra}: its wheel, or a clone of its repository
$ python repro.py{network}
```

The script measures the case in fresh processes on this machine, compares its outputs with those that are stored here,
and prints both beside the recorded figures. Exit codes: 0; 3 where the outputs differ by more than the rounding of
{precision}; 2 for an error.

| file | what it is |
| --- | --- |
| `case.json` | settings of engine and session, the figures of base and head, the environment that this was written in |
| `network/` | the network at its precision, as it was measured, and the inputs (`images.npz`) |
{calibration}| `repro.py` | the script |

- base: {base}
- head: {head}
- network: {files}
"""


def script(contents: Contents) -> str:
    """`repro.py`."""
    network = "" if contents.included else ", --network FOLDER"
    return _SCRIPT.format(case=contents.case.id, version=__version__, extra=_extra(contents), network=network)


def readme(contents: Contents, is_calibrated: bool) -> str:
    """`README.md`."""
    files = ", ".join(f"`{name}` SHA-256 {digest}" for name, digest in contents.files.items())
    left_out = f" (not in this archive: ask for it, and name its folder by `--network`; it belongs into `{NETWORK}/`)"
    calibration = "| `calibration.json` | the scale of each quantized tensor |\n" if is_calibrated else ""
    return _README.format(
        case=contents.case.id,
        version=__version__,
        extra=_extra(contents),
        network="" if contents.included else " --network FOLDER",
        precision=contents.case.precision,
        calibration=calibration,
        base="none" if contents.base is None else contents.base.source,
        head=contents.head.source,
        files=files + ("" if contents.included else left_out),
    )


def _extra(contents: Contents) -> str:
    return "" if contents.case.backend == DEFAULT_BACKEND else f", and what the backend {contents.case.backend} needs"
