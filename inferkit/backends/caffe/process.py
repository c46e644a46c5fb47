"""A worker process with real Caffe in it: started, asked, watched and ended from here."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import select
import signal
import struct
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.caffe.root import HINT, CaffeRoot
from inferkit.backends.cores import usable_cores
from inferkit.errors import BackendError, BackendUnavailable

Floats = NDArray[np.float32]
START_SECONDS = 120.0  # importing caffe from a cold disk; it takes 1 s from a warm one
CPU_ONLY_WORDS = "CPU-only Caffe"  # in Caffe's own message
CPU_ONLY_REASON = "this Caffe was built for the CPU only (CPU_ONLY)"
CPU_ONLY_HINT = "leave --gpu out, or name a Caffe built with CUDA"
_FATAL = re.compile(r"F\d{4} ")  # glog: severity, month and day
SCRIPT = Path(__file__).with_name("worker.py")


class Worker:
    """One worker process. Requests are answered one at a time; after any failure the process is gone.

    BackendError with the end of what Caffe printed where it dies (a failed CHECK aborts it) or takes longer than
    `timeout` seconds.
    """

    def __init__(self, root: CaffeRoot, *, threads: int | None = None, timeout: float = 600.0) -> None:
        if not hasattr(os, "memfd_create"):
            raise BackendUnavailable("the worker that Caffe runs in needs Linux", "run this case on Linux")
        self.timeout = timeout
        self.doing = "starting"
        self._lock = threading.Lock()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the worker)
        self._memory = os.memfd_create("inferkit-caffe", os.MFD_CLOEXEC)
        self._map: mmap.mmap | None = None
        theirs_in, self._requests = os.pipe()
        self._replies, theirs_out = os.pipe()
        theirs_life, self._life = os.pipe()
        handed = (theirs_in, theirs_out, self._memory, theirs_life)
        is_main = threading.current_thread() is threading.main_thread()
        words = [*map(str, handed), str(os.getpid()), str(int(is_main))]
        command, environment = root.command(["python3", SCRIPT, *words])
        self.threads = threads or usable_cores()
        for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(self.threads)
        self.coretype = environment.get("OPENBLAS_CORETYPE")
        try:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, pass_fds=handed
            )
        except OSError as error:
            for pipe in (self._requests, self._replies, self._life, self._memory):
                os.close(pipe)
            raise BackendUnavailable(f"Caffe's interpreter {command[0]} cannot be started: {error}", HINT) from error
        finally:
            for pipe in (theirs_in, theirs_out, theirs_life):
                os.close(pipe)
        ours = (self._requests, self._replies, self._life, self._memory)
        self._end = weakref.finalize(self, _end, self.process, ours, os.getpid())
        try:
            hello = self._exchange(None, START_SECONDS)
        except BackendError as error:
            raise BackendUnavailable(f"import caffe fails in {root.path}: {error}", HINT) from error
        if not hello["real"]:
            self.close()
            raise BackendUnavailable(f"module caffe of {root.path} has no Net: it is not Caffe", HINT)
        self.version: str = hello["version"]

    def request(self, operation: str, doing: str, **fields: Any) -> dict[str, Any]:
        """Ask the worker for one operation and wait for its answer. `doing` names it in an error message."""
        with self._lock:
            self.doing = doing
            answer = self._exchange({"op": operation, **fields}, self.timeout)
        if "error" in answer:
            raise BackendError(f"Caffe fails {doing}: {answer['error']}")
        return answer

    def write(self, arrays: Mapping[str, NDArray[Any]]) -> list[list[Any]]:
        """Put arrays into the shared memory as float32; [name, shape, offset] of each."""
        placed, offset = [], 0
        self._map_memory(4 * sum(array.size for array in arrays.values()))
        for name, array in arrays.items():
            self._view(array.shape, offset)[...] = array
            placed.append([name, list(array.shape), offset])
            offset += 4 * array.size
        return placed

    def read(self, placed: Sequence[Sequence[Any]]) -> dict[str, Floats]:
        """Copies of the arrays that the worker placed in the shared memory."""
        self._map_memory(0)
        return {name: self._view(shape, offset).copy() for name, shape, offset in placed}

    def close(self) -> None:
        """End the process and free its memory; safe to call twice."""
        self._end()

    @property
    def alive(self) -> bool:
        return self._end.alive and self.process.poll() is None

    def _exchange(self, message: Mapping[str, Any] | None, seconds: float) -> dict[str, Any]:
        if not self._end.alive:
            raise BackendError("the Caffe worker is closed; open another session")
        try:
            if message is not None:
                body = json.dumps(message).encode()
                _write_all(self._requests, struct.pack(">I", len(body)) + body)
            deadline = time.monotonic() + seconds
            (size,) = struct.unpack(">I", self._read(4, deadline))
            answer: dict[str, Any] = json.loads(self._read(size, deadline))
        except (EOFError, BrokenPipeError):
            raise self._died() from None
        except TimeoutError:
            self.close()
            raise BackendError(f"the Caffe worker did not answer within {seconds:g} s {self.doing}; ended it") from None
        except BaseException:  # Ctrl-C: the answer is still to come, so this worker cannot be asked again
            self.close()
            raise
        return answer

    def _read(self, size: int, deadline: float) -> bytes:
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        parts = bytearray()
        while len(parts) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise TimeoutError
            part = os.read(self._replies, size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _died(self) -> BackendError:
        """What is known of the death: the signal, and Caffe's last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        code = self.process.poll()
        log = os.pread(self._log.fileno(), 1 << 20, max(0, os.fstat(self._log.fileno()).st_size - (1 << 20)))
        self.close()
        how = "stopped answering"
        if code is not None:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        words = last_words(log.decode(errors="replace"))
        if CPU_ONLY_WORDS in words:
            return BackendUnavailable(CPU_ONLY_REASON, CPU_ONLY_HINT)
        return BackendError(f"the Caffe worker {how} {self.doing}" + (f":\n{words}" if words else ""))

    def _map_memory(self, size: int) -> None:
        present = os.fstat(self._memory).st_size
        if size > present:
            os.ftruncate(self._memory, size)
            present = size
        if present and (self._map is None or len(self._map) < present):
            self._map = mmap.mmap(self._memory, present)

    def _view(self, shape: Sequence[int], offset: int) -> Floats:
        if self._map is None:
            return np.empty(tuple(shape), np.float32)  # nothing but empty arrays has no memory
        return np.ndarray(tuple(shape), dtype=np.float32, buffer=self._map, offset=offset)


def last_words(log: str, lines: int = 8) -> str:
    """What matters of Caffe's log after a crash: the failed CHECK and the layer that was being made, or the last lines.

    Caffe's CHECK messages name no layer; the line before them that says which layer is being created does.
    """
    every = log.strip().splitlines()
    fatal = next((number for number, line in enumerate(every) if _FATAL.match(line)), None)
    if fatal is None:
        return "\n".join(every[-lines:])
    parser = [line.partition("] ")[2] for line in every[:fatal] if line.startswith("[libprotobuf ERROR")]
    message = [*parser[-2:], every[fatal].partition("] ")[2]]
    for line in every[fatal + 1 :]:
        if line.startswith("***"):
            break
        message.append(line)
    for line in reversed(every[:fatal]):
        if "Network initialization done" in line:
            break
        if "Creating Layer " in line:
            message.append("the last layer that Caffe began is " + line.partition("Creating Layer ")[2])
            break
    return "\n".join(message[:lines])


def _end(process: subprocess.Popen[bytes], ours: Sequence[int], owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork of the parent ends; the worker is not its own
    for pipe in ours:
        with contextlib.suppress(OSError):
            os.close(pipe)
    process.kill()  # the worker holds nothing that needs a farewell
    process.wait()


def _write_all(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
