"""Deserialized engines: sessions of one plan on one GPU share theirs, and each has an execution context of its own.

The weights lie on the GPU once, however many sessions there are. It saves no time: TensorRT-RTX 1.6 on an H200 replays
every captured graph of a process up to 5 % slower once the kernels of a second context are loaded, of any engine.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from inferkit.backends.tensorrt.device import Device, cuda_errors
from inferkit.backends.tensorrt.flavour import Flavour
from inferkit.backends.tensorrt.plan import Plan
from inferkit.errors import BackendError

_loaded: weakref.WeakValueDictionary[tuple[str, str, str], LoadedEngine] = weakref.WeakValueDictionary()
_lock = threading.Lock()


class LoadedEngine:
    """An engine on a GPU, freed with its last user. `size_bytes` is the device memory that loading it took."""

    def __init__(self, plan: Plan, flavour: Flavour, device: Device) -> None:
        before = device.free_bytes()
        with cuda_errors(f"loading the engine of {plan.info.network}", device):
            runtime = flavour.module.Runtime(flavour.logger)
            if runtime is None:
                raise BackendError(f"{flavour} cannot start its runtime")
            self.engine: Any = flavour.deserialize(runtime, plan.content)
        self._runtime = runtime  # after the engine: attributes go in this order, and an engine must go first
        self.size_bytes = max(before - device.free_bytes(), 0)


def load_shared(plan: Plan, flavour: Flavour, device: Device) -> tuple[LoadedEngine, bool]:
    """The engine of `plan` on `device`, whose context is current; and whether it was there already.

    Raises EngineError and BackendError where TensorRT does not take it.
    """
    key = (device.gpu.uuid, flavour.name, plan.info.sha256)
    with _lock:
        found = _loaded.get(key)
        if found is not None:
            return found, True
        made = _loaded[key] = LoadedEngine(plan, flavour, device)
        return made, False
