"""A GPU as PyCUDA sees it: its primary context, current only inside `with device.active()`, and errors in words.

The primary context is the one that CUDA's runtime (TensorRT, PyTorch, cuda-python) uses as well, so there is one
context per GPU and process, and memory can be shared. It is pushed around every piece of work and popped after it:
PyCUDA aborts the process, or a thread, that ends with a context still on its stack.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.backends.cuda_header import pycuda_hint
from inferkit.backends.feeds import address_of
from inferkit.backends.gpus import Gpu
from inferkit.errors import BackendError, BackendUnavailable

_LOG = logging.getLogger("inferkit.tensorrt")
_devices: dict[str, Device] = {}
_lock = threading.Lock()


@lru_cache(maxsize=1)
def pycuda_driver() -> Any:
    """pycuda.driver, initialized. BackendUnavailable where it is missing or the driver does not start."""
    try:
        driver = import_module("pycuda.driver")
        driver.init()
    except ImportError as error:
        raise BackendUnavailable(f"PyCUDA cannot be imported ({error})", pycuda_hint()) from error
    except Exception as error:  # pycuda.driver.Error; its class is not importable where the import failed
        raise BackendUnavailable(f"CUDA does not start ({error})", "check nvidia-smi") from error
    return driver


@lru_cache(maxsize=1)
def cuda_bindings() -> Any:
    """cuda-python's driver bindings, for what PyCUDA lacks (CUDA graphs). BackendUnavailable where they are missing."""
    try:
        return import_module("cuda.bindings.driver")
    except ImportError as error:
        raise BackendUnavailable(f"cuda-python cannot be imported ({error})", "pip install cuda-python") from error


class Device:
    """One GPU of this process. Get it from `open_device`."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.cuda = pycuda_driver()
        handle = self.cuda.Device(gpu.index)
        _ask_to_spin(gpu)
        self._pinned: weakref.WeakValueDictionary[int, NDArray[Any]] = weakref.WeakValueDictionary()
        self._context = handle.retain_primary_context()
        # Kept until the process ends, which releases it: torn down by Python's own shutdown, in whatever order that
        # happens to take, it would fail where CUDA has gone before.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._context))

    def active(self) -> _Active:
        """Make the context current in this thread for a `with` block; nests."""
        return _Active(self._context, self.cuda.Context)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Page-locked host memory, filled with zeros: copies from it run at the bus's speed and asynchronously."""
        with cuda_errors(f"{mib(int(np.prod(shape)) * np.dtype(dtype).itemsize)} of page-locked host memory"):
            array: NDArray[Any] = self.cuda.pagelocked_empty(shape, dtype)
        array.fill(0)
        self._pinned[address_of(array)] = array
        return array

    def is_pinned(self, array: NDArray[Any]) -> bool:
        """Whether these are the first rows of memory that `pinned` gave and that is still there."""
        whole = self._pinned.get(address_of(array))
        return whole is not None and array.flags.c_contiguous and array.nbytes <= whole.nbytes

    def allocate(self, size: int, what: str) -> Any:
        """`size` bytes of device memory (at least one)."""
        with cuda_errors(f"{mib(size)} of device memory for {what}", self):
            return self.cuda.mem_alloc(max(size, 1))

    def free_bytes(self) -> int:
        """Device memory that is free, whoever uses the rest."""
        return int(self.cuda.mem_get_info()[0])


class _Active:
    """Pushes a context on entry and pops it on exit."""

    __slots__ = ("_context", "_pop")

    def __init__(self, context: Any, contexts: Any) -> None:
        self._context = context
        self._pop = contexts.pop

    def __enter__(self) -> None:
        self._context.push()

    def __exit__(self, *_: object) -> None:
        self._pop()


def open_device(gpu: Gpu) -> Device:
    """The one Device of this GPU in this process. BackendUnavailable where PyCUDA is missing."""
    with _lock:
        if gpu.uuid not in _devices:
            _devices[gpu.uuid] = Device(gpu)
        return _devices[gpu.uuid]


@contextmanager
def cuda_errors(what: str, device: Device | None = None) -> Iterator[None]:
    """Turn PyCUDA's errors into BackendErrors that say what was attempted, and how much memory there was."""
    cuda = pycuda_driver()
    try:
        yield
    except cuda.MemoryError as error:
        free = f"; {mib(device.free_bytes())} of {mib(device.gpu.memory_bytes)} are free" if device else ""
        raise BackendError(f"out of memory: {what}{free}; use a smaller batch or free the GPU ({error})") from error
    except cuda.Error as error:
        raise BackendError(f"{what}: CUDA failed ({error})") from error


def _ask_to_spin(gpu: Gpu) -> None:
    """Waiting by spinning answers a few microseconds sooner than waiting for an interrupt.

    Only possible before the context exists; where another user made it first, its choice stands. (The default also
    spins, as long as there are more cores than contexts.)
    """
    try:
        driver = cuda_bindings()
        status, handle = driver.cuDeviceGet(gpu.index)
        if status == driver.CUresult.CUDA_SUCCESS:
            status, _flags, is_active = driver.cuDevicePrimaryCtxGetState(handle)
            if status == driver.CUresult.CUDA_SUCCESS and not is_active:
                driver.cuDevicePrimaryCtxSetFlags(handle, int(driver.CUctx_flags.CU_CTX_SCHED_SPIN))
    except (BackendUnavailable, RuntimeError, AttributeError) as error:
        _LOG.debug("waiting stays as it is: %s", error)


def mib(size: int) -> str:
    """Bytes as `12.3 MiB`."""
    return f"{size / (1 << 20):.1f} MiB"
