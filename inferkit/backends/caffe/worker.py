"""What runs beside real Caffe: one network, loaded, executed and timed where Caffe is; a script and a module.

As a script it serves one parent over two pipes and a piece of shared memory, under Caffe's own interpreter: it imports
nothing of inferkit and keeps to Python 3.7 and numpy 1.13. As a module it is the same network in this process.

Protocol: each message is a length (4 bytes, big-endian) and that much JSON. Arrays lie in the shared memory, float32,
where the message says. The worker ends when the parent does.
"""

from __future__ import annotations

import gc
import importlib
import json
import mmap
import os
import signal
import struct
import sys
import time
import types

import numpy as np


class Runner:
    """One network in real Caffe. Arrays are float32; names are Caffe's blobs."""

    def __init__(self, prototxt: str, caffemodel: str | None, gpu: bool = False) -> None:
        import caffe

        if not hasattr(caffe, "Net"):
            raise ImportError(f"module caffe at {getattr(caffe, '__file__', '?')} has no Net: it is not Caffe")
        if gpu:
            caffe.set_device(0)
            caffe.set_mode_gpu()
        else:
            caffe.set_mode_cpu()
        self.net = caffe.Net(prototxt, caffemodel, caffe.TEST) if caffemodel else caffe.Net(prototxt, caffe.TEST)

    def load(self, arrays: dict) -> None:
        """Copy a batch into the input blobs; where a shape changed, the network is shaped anew first."""
        changed = False
        for name, array in arrays.items():
            blob = self.net.blobs[name]
            if tuple(blob.shape) != array.shape:
                blob.reshape(*array.shape)
                changed = True
        if changed:
            self.net.reshape()
        for name, array in arrays.items():
            self.net.blobs[name].data[...] = array

    def execute(self) -> float:
        """Seconds of one net.forward(), the study's timed step; on a GPU it ends with the outputs on the host."""
        forward = self.net.forward
        start = time.perf_counter()
        forward()
        return time.perf_counter() - start

    def fetch(self, names: list) -> dict:
        """The blobs' present contents: views that the next execute overwrites."""
        return {name: self.net.blobs[name].data for name in names}

    def profile(self) -> list:
        """[layer, type, seconds] of each layer in one forward pass, layer by layer."""
        times = []
        for index, name in enumerate(self.net._layer_names):
            start = time.perf_counter()
            self.net._forward(index, index)
            times.append([name, self.net.layers[index].type, time.perf_counter() - start])
        return times


class Server:
    """Answers one parent: each operation is a method of the same name that takes and returns JSON-able values."""

    operations = ("open", "load", "execute", "fetch", "profile")

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.size = 0
        self.map: mmap.mmap | None = None
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        if self._runner is None:
            raise ValueError("no network is open")
        return self._runner

    def open(self, prototxt: str, caffemodel: str | None, gpu: bool) -> dict:
        self._runner = Runner(prototxt, caffemodel, gpu)
        net = self._runner.net
        return {
            "inputs": [[name, list(net.blobs[name].shape)] for name in net.inputs],
            "outputs": [[name, list(net.blobs[name].shape)] for name in net.outputs],
            "blobs": list(net.blobs),
        }

    def load(self, arrays: list) -> dict:
        start = time.perf_counter()
        self._map(os.fstat(self.memory).st_size)
        self.runner.load({name: self._array(shape, offset) for name, shape, offset in arrays})
        return {"seconds": time.perf_counter() - start}

    def execute(self) -> dict:
        return {"seconds": self.runner.execute()}

    def fetch(self, names: list) -> dict:
        start = time.perf_counter()
        views = self.runner.fetch(names)
        self._map(sum(view.nbytes for view in views.values()))
        offset, arrays = 0, []
        for name in names:
            view = views[name]
            self._array(view.shape, offset)[...] = view
            arrays.append([name, list(view.shape), offset])
            offset += view.nbytes
        return {"arrays": arrays, "seconds": time.perf_counter() - start}

    def profile(self) -> dict:
        return {"layers": self.runner.profile()}

    def _map(self, size: int) -> None:
        """See to it that at least `size` bytes of the shared memory are there and mapped."""
        if size > os.fstat(self.memory).st_size:
            os.ftruncate(self.memory, size)
        present = os.fstat(self.memory).st_size
        if self.map is None or present > self.size:
            self.map, self.size = mmap.mmap(self.memory, present), present

    def _array(self, shape: list, offset: int) -> np.ndarray:
        return np.ndarray(tuple(shape), dtype=np.float32, buffer=self.map, offset=offset)


class Later(types.ModuleType):
    """Stands for a module that is imported when one of its functions is first called."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: getattr(importlib.import_module(self.__name__), name)(*args, **kwargs)


def import_caffe() -> types.ModuleType:
    """Import caffe, leaving out what only reading and resizing images needs: three quarters of the time it takes.

    caffe.io imports skimage and scipy, which nothing here calls; its functions still work, they import on first use.
    """
    skimage = Later("skimage")
    stand_ins = [skimage]
    for name in ("io", "transform"):
        stand_in = Later("skimage." + name)
        setattr(skimage, name, stand_in)
        stand_ins.append(stand_in)
    stand_ins.append(Later("scipy.ndimage"))
    placed = [module for module in stand_ins if module.__name__ not in sys.modules]
    for module in placed:
        sys.modules[module.__name__] = module
    try:
        return importlib.import_module("caffe")
    except Exception:
        for name in [name for name in sys.modules if name.split(".")[0] == "caffe"]:
            del sys.modules[name]  # another release may want more of them than stand-ins can give
    finally:
        for module in placed:
            sys.modules.pop(module.__name__, None)
    return importlib.import_module("caffe")


def serve(requests: int, replies: int, memory: int) -> None:
    """Answer requests until the parent closes its end."""
    server = Server(memory)
    while True:
        message = _receive(requests)
        if message is None:
            return
        operation = message.pop("op")
        try:
            if operation not in Server.operations:
                raise ValueError(f"unknown operation {operation!r}")
            answer = getattr(server, operation)(**message)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        _send(replies, answer)


def _receive(pipe: int) -> dict | None:
    header = _read(pipe, 4)
    body = _read(pipe, struct.unpack(">I", header)[0]) if header else None
    return json.loads(body.decode("utf-8")) if body else None


def _read(pipe: int, size: int) -> bytes | None:
    """Exactly `size` bytes, or None where the other side has closed."""
    parts, left = [], size
    while left:
        part = os.read(pipe, left)
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _send(pipe: int, answer: dict) -> None:
    body = json.dumps(answer).encode("utf-8")
    data = memoryview(struct.pack(">I", len(body)) + body)
    while data:
        data = data[os.write(pipe, data) :]


def _end_with_parent(life: int, parent: int, hard: bool) -> None:
    """End as soon as the parent does, in the middle of a forward pass too (no Python code runs then).

    `life` is a pipe that nobody writes to: when the parent's end closes, the kernel raises SIGIO, whose default action
    ends the process. Where a fork of the parent keeps that end open, the parent-death signal does the same (`hard`); it
    is bound to the starting thread, so it is only asked for by a main thread.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    if not sys.platform.startswith("linux"):
        return
    import ctypes
    import fcntl
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a failed CHECK of Caffe aborts; no core file for that
    if hard:
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # 1 is PR_SET_PDEATHSIG
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(0)


def about(caffe: types.ModuleType) -> dict:
    """What is worth knowing of an imported caffe; PyPI's placeholder of that name is not `real`."""
    return {
        "version": getattr(caffe, "__version__", "unknown"),
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "file": str(getattr(caffe, "__file__", "")),
        "real": hasattr(caffe, "Net"),
    }


def main() -> None:
    if sys.argv[1:] == ["--probe"]:
        print(json.dumps(about(import_caffe())))
        return
    requests, replies, memory, life, parent, hard = (int(word) for word in sys.argv[1:7])
    _end_with_parent(life, parent, bool(hard))
    os.dup2(2, 1)  # whatever Caffe or a layer prints goes to the log, never between two replies
    gc.disable()
    _send(replies, about(import_caffe()))
    serve(requests, replies, memory)


if __name__ == "__main__":
    main()
