"""A stand-in for the module `tensorrt`: it parses and "builds" on any machine, by kernels that it picks by chance.

What a build picked is in its timing cache, which it takes only from its own `__version__`, as TensorRT does. The plan
is the kernel of every layer. Its text is laid on a path as `tensorrt.py`, so it imports nothing of the tests.
$STAND_IN_LOG gets a line for each layer that was timed; with $STAND_IN_WAIT a build waits until that file is there.
"""

import json
import os
import secrets
import time
from enum import Enum
from types import SimpleNamespace

import onnx

__version__ = os.environ.get("STAND_IN_VERSION", "10.6.0")
Named = SimpleNamespace
NetworkDefinitionCreationFlag = Named(STRONGLY_TYPED=1)
ProfilingVerbosity = Named(DETAILED=1)
BuilderFlag = Named(TF32=1)
MemoryPoolType = Named(WORKSPACE=1)


class ILogger:
    Severity = Enum("Severity", "ERROR WARNING")


class ITimingCache:
    def __init__(self, version, picked):
        self.version, self.picked = version, picked

    def combine(self, other, ignore_mismatch):
        if other.version != self.version:
            return False
        self.picked = {**other.picked, **self.picked}
        return True

    def serialize(self):
        return memoryview(b"timings" + json.dumps([self.version, self.picked], sort_keys=True).encode())


class IBuilderConfig:
    def __init__(self):
        self._cache = None

    def set_flag(self, flag):
        pass

    clear_flag = set_flag

    def create_timing_cache(self, content):
        if not content:
            return ITimingCache(__version__, {})
        if not bytes(content).startswith(b"timings"):
            return None
        return ITimingCache(*json.loads(bytes(content)[len(b"timings") :]))

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.version != __version__:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache

    def add_optimization_profile(self, profile):
        return 0


class Builder:
    def __init__(self, logger):
        pass

    def create_network(self, flags):
        return Named(name="", num_inputs=0, num_outputs=0)

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return Named(set_shape=lambda name, *shapes: None)

    def build_serialized_network(self, definition, config):
        picked = config.get_timing_cache().picked
        for layer in definition.layers:
            if layer not in picked:
                with open(os.environ["STAND_IN_LOG"], "a") as log:
                    log.write(f"{layer}\n")
                picked[layer] = secrets.token_hex(8)
        wait = os.environ.get("STAND_IN_WAIT")
        while wait and not os.path.exists(wait):
            time.sleep(0.01)
        return memoryview(json.dumps({layer: picked[layer] for layer in definition.layers}).encode())


class OnnxParser:
    num_errors = 0

    def __init__(self, definition, logger):
        self._definition = definition

    def parse(self, model):
        graph = onnx.load_model_from_string(bytes(model)).graph
        self._definition.layers = [f"{graph.name} {node.name}" for node in graph.node]
        for kind, infos in (("input", graph.input), ("output", graph.output)):
            tensors = [
                Named(
                    name=info.name,
                    dtype=Named(name="FLOAT"),
                    shape=[dim.dim_value or -1 for dim in info.type.tensor_type.shape.dim],
                )
                for info in infos
            ]
            setattr(self._definition, f"num_{kind}s", len(tensors))
            setattr(self._definition, f"get_{kind}", tensors.__getitem__)
        return True
