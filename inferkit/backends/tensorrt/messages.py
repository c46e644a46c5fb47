"""What TensorRT logs: one logger per library that keeps its messages, because failures come as None or False."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_LOG = logging.getLogger("inferkit.tensorrt")
_LEVELS = {
    "INTERNAL_ERROR": logging.ERROR,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "VERBOSE": logging.DEBUG,
}


@dataclass
class Messages:
    """The messages logged during one step, in order: (severity, text)."""

    entries: list[tuple[str, str]] = field(default_factory=list)

    def of(self, *severities: str) -> list[str]:
        """The texts of these severities, each once, in order of appearance."""
        return list(dict.fromkeys(text for severity, text in self.entries if severity in severities))

    @property
    def errors(self) -> list[str]:
        return self.of("INTERNAL_ERROR", "ERROR")

    @property
    def warnings(self) -> list[str]:
        return self.of("WARNING")

    def because(self) -> str:
        """The errors as the end of a sentence: `: first; second`, or a statement that there were none."""
        return f": {'; '.join(self.errors)}" if self.errors else " (TensorRT logged no error)"


class Recorder:
    """Hands every message to the captures that are open, and to Python's logging one level down.

    TensorRT logs from threads of its own, so a capture takes the messages of all threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[Messages] = []
        self._last_errors: deque[str] = deque(maxlen=8)

    def record(self, severity: str, text: str) -> None:
        """Called by TensorRT; must not raise, since TensorRT calls it from C++."""
        with self._lock:
            for messages in self._open:
                messages.entries.append((severity, text))
            if severity in ("INTERNAL_ERROR", "ERROR"):
                self._last_errors.append(text)
        # An error becomes an exception, and a warning is in the engine's metadata: the log is for debugging.
        level = _LEVELS.get(severity, logging.DEBUG)
        if _LOG.isEnabledFor(logging.DEBUG if level <= logging.INFO else logging.INFO):
            _LOG.log(logging.DEBUG if level <= logging.INFO else logging.INFO, "%s: %s", severity, text)

    def last_errors(self) -> str:
        """The errors since it was asked last, or `forget`, as the end of a sentence: for calls that run too often to be
        captured one by one."""
        with self._lock:
            told = Messages([("ERROR", text) for text in self._last_errors])
            self._last_errors.clear()
        return told.because()

    def forget(self) -> None:
        """Errors up to now belong to something else."""
        with self._lock:
            self._last_errors.clear()

    @contextmanager
    def capture(self) -> Iterator[Messages]:
        """Collect what is logged inside the `with` block."""
        messages = Messages()
        with self._lock:
            self._open.append(messages)
        try:
            yield messages
        finally:
            with self._lock:
                self._open = [other for other in self._open if other is not messages]


def make_logger(module: Any, recorder: Recorder) -> Any:
    """An ILogger of this TensorRT module that feeds `recorder`; it must outlive everything made with it."""

    class RecordingLogger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            recorder.record(severity.name, text)

    return RecordingLogger()


def captured_errors(messages: Messages, parser: Any = None) -> str:
    """The parser's errors with the layers they belong to, else what was logged, as one sentence."""
    found = []
    for index in range(parser.num_errors if parser is not None else 0):
        error = parser.get_error(index)
        layer = f"layer {error.node_name()!r} ({error.node_operator()})" if error.node_name() else ""
        layer = layer or (f"node {error.node()}" if error.node() >= 0 else "the model")
        found.append(f"{layer}: {_without_noise(error.desc())}")
    return "; ".join(dict.fromkeys(found)) if found else messages.because().lstrip(": ")


def _without_noise(text: str) -> str:
    """Each line once, and not the complaints that there is no GPU, which a machine without one adds to every error."""
    lines = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    telling = [line for line in lines if "catchCudaError" not in line]
    return " ".join(telling or lines)
