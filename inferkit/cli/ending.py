"""How a command ends: its exit code, and the line of an error; an internal error leaves its details in a file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from inferkit.errors import InferkitError
from inferkit.exit_codes import ExitCode
from inferkit.report.encoding import never_failing


def exit_code_of(program: str, arguments: Sequence[str], body: Callable[[], int]) -> int:
    """The exit code of `body`, which does what `arguments` ask for. An error is one line on stderr.

    SystemExit, by which argparse ends a program, goes on. What inferkit did not raise on purpose is an internal error:
    its traceback goes to a file that the line names.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        never_failing(getattr(sys, name))
    code = ExitCode.ERROR
    try:
        try:
            ended = body()
        except SystemExit:
            _flush()
            raise
        _flush()
        return ended
    except BrokenPipeError:
        message = ""
    except KeyboardInterrupt:
        code, message = ExitCode.INTERRUPTED, "interrupted"
    except InferkitError as error:
        message = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    except OSError as error:  # what no command has a better word for: a full disk, a file that cannot be written
        message = f"{error.filename}: " if error.filename else ""
        message += error.strerror or str(error)
    except Exception as error:
        from inferkit.cli.internal_error import internal_error

        message = internal_error(program, arguments, error)
    with contextlib.suppress(OSError):
        _flush()
    if message:
        with contextlib.suppress(OSError):
            print(f"{program}: {message}", file=sys.stderr)
    return code


def _flush() -> None:
    """Write what is left, so that a full disk and a reader that is gone show here and not when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes once more when it ends, and would report the same error in words of its own.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
