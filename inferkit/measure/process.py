"""`python -m inferkit.measure.process`: how every version of inferkit starts a job, its own or another version's.

`inferkit ab` and `--against` measure the inferkit of another commit or environment, so this name does not move with the
code behind it (inferkit.measure.jobs.process).
"""

from __future__ import annotations

import sys

from inferkit.measure.jobs.process import main

if __name__ == "__main__":
    sys.exit(main())
