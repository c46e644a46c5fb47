#!/usr/bin/env python3
"""One command that installs real PyCaffe 1.0 into a folder; any python3 runs it, nothing needs to be installed first.

The same as `python -m inferkit.backends.caffe.install`, which an installed inferkit has too.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from inferkit.backends.caffe.install import main

if __name__ == "__main__":
    sys.exit(main())
