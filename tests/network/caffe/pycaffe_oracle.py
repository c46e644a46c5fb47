"""Real PyCaffe as the judge of imported networks: many nets through one long-lived process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.caffe.root import require_root

Arrays = Mapping[str, NDArray[np.float32]]


class CaffeAborted(Exception):
    """Caffe gave up on the net (a failed CHECK); the argument is the end of its log."""


@dataclass
class Answer:
    """What Caffe computed: per feed the output blobs (or those asked for), and the caffemodel it saved."""

    results: list[dict[str, NDArray[np.float32]]] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


class Oracle:
    """A PyCaffe process. `run` builds a net from text, fills its parameters from a seed, saves it, and runs feeds."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="inferkit-oracle-")
        self._start()

    def _start(self) -> None:
        command, environment = require_root().command(["python3", str(Path(__file__).with_name("pycaffe_server.py"))])
        environment.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
        self._log = open(Path(self._folder.name) / "server.log", "wb")  # noqa: SIM115
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        if self._read() != "ready":
            raise RuntimeError("PyCaffe did not start")

    def run(
        self,
        prototxt: Path,
        *,
        feeds: Sequence[Arrays] = (),
        seed: int | None = None,
        factor: float | None = None,
        save: Path | None = None,
        weights: Path | None = None,
        blobs: Sequence[str] = (),
        **state: Any,
    ) -> Answer:
        """Build the net of `prototxt` and run it on each feed (inputs are reshaped to it). CaffeAborted if it dies."""
        folder = Path(self._folder.name)
        paths = []
        for number, feed in enumerate(feeds):
            paths.append(folder / f"feed{number}.npz")
            np.savez(paths[-1], **dict(feed))
        results = folder / "results.npz"
        request = {
            "prototxt": str(prototxt),
            "seed": seed,
            "factor": factor,
            "save": str(save) if save else None,
            "weights": str(weights) if weights else None,
            "feeds": [str(path) for path in paths],
            "results": str(results) if feeds else None,
            "blobs": list(blobs),
            "log": str(folder / "net.log"),
            **state,
        }
        line = self._ask(request)
        if line == "aborted":
            log = (folder / "net.log").read_text(errors="replace").splitlines()
            raise CaffeAborted("\n".join(row for row in log if row.startswith(("F", "*"))) or "\n".join(log[-3:]))
        answer = json.loads(line)
        if "error" in answer:
            raise CaffeAborted(answer["error"])
        result = Answer([{} for _ in feeds], answer["inputs"], answer["outputs"])
        if feeds:
            with np.load(results) as arrays:
                for place, key in enumerate(answer["keys"]):
                    number, _, name = key.partition(":")
                    result.results[int(number)][name] = arrays[f"array_{place}"]
        return result

    def _ask(self, request: dict[str, Any]) -> str:
        """The server's answer. It serves each request in a fork: should it die itself, another one is asked, once."""
        for _ in range(2):
            with contextlib.suppress(BrokenPipeError):
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                if line := self._read():
                    return line
            code = self._process.wait(30)
            last = (Path(self._folder.name) / "server.log").read_text(errors="replace")[-2000:]
            self._start()
        raise RuntimeError(f"the server of real Caffe ended with {code}, twice: {last}")

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@lru_cache(maxsize=1)
def oracle() -> Oracle:
    """The process that all tests share."""
    return Oracle()
