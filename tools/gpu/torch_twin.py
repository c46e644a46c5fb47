"""The same network in PyTorch: the ONNX graph's nodes as PyTorch calls, channels_last, FP16, in one CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray


def measure_in_torch(
    name: str, images: NDArray[Any], outputs: NDArray[Any], settle: Callable[[Callable[[], float]], None]
) -> dict[str, Any]:
    """Median wall and execution time in seconds of graph replays, and the largest difference from `outputs`."""
    import torch

    torch.backends.cudnn.benchmark = True
    twin = _twin(name)
    host_in = torch.from_numpy(images.astype(np.float32)).pin_memory()
    device_in = torch.empty(host_in.shape, dtype=torch.float32, device="cuda")
    stream = torch.cuda.Stream()
    with torch.inference_mode(), torch.cuda.stream(stream):
        device_in.copy_(host_in)
        for _ in range(3):  # lets cuDNN choose its algorithms before anything is captured
            result = twin(device_in)
        host_out = torch.empty(result.shape, dtype=torch.float32).pin_memory()
        stream.synchronize()
        whole, execution = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(whole, stream=stream):
            device_in.copy_(host_in, non_blocking=True)
            host_out.copy_(twin(device_in), non_blocking=True)
        with torch.cuda.graph(execution, stream=stream):
            twin(device_in)

        def timed(graph: Any) -> Callable[[], float]:
            def once() -> float:
                start = time.perf_counter()
                graph.replay()
                stream.synchronize()
                return time.perf_counter() - start

            return once

        settle(timed(whole))
        walls = [timed(whole)() for _ in range(200)]
        alone = [timed(execution)() for _ in range(200)]
        timed(whole)()
    error = float(np.abs(host_out.numpy().reshape(outputs.shape) - outputs).max())
    figures = {"wall": median(walls), "alone": median(alone), "largest_probability_error": error}
    return {**figures, "torch": torch.__version__}


@cache
def _twin(name: str) -> TorchTwin:
    import torch

    import inferkit

    return TorchTwin(inferkit.load(name).model, "cuda", torch.float16)


class TorchTwin:
    """Runs an FP32 ONNX model in `dtype`, as far as the timed networks go; ValueError for another operator."""

    def __init__(self, model: Any, device: str, dtype: Any) -> None:
        import torch
        from onnx import helper, numpy_helper

        self.graph = model.graph
        self.dtype = dtype
        self.values: dict[str, Any] = {}
        self.attributes = [
            {each.name: helper.get_attribute_value(each) for each in node.attribute} for node in self.graph.node
        ]
        for tensor in self.graph.initializer:
            array = torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
            if array.is_floating_point():
                array = array.to(device, dtype)
                if array.dim() == 4:
                    array = array.to(memory_format=torch.channels_last)
            self.values[tensor.name] = array

    def __call__(self, images: Any) -> Any:
        import torch

        values = dict(self.values)
        values[self.graph.input[0].name] = images.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for node, attributes in zip(self.graph.node, self.attributes, strict=True):
            inputs = [values[name] if name else None for name in node.input]
            values[node.output[0]] = _computed(node.op_type, inputs, attributes)
        return values[self.graph.output[0].name].float()


def _computed(kind: str, inputs: list[Any], attributes: dict[str, Any]) -> Any:
    """One node's output."""
    from torch.nn import functional

    x, *others = inputs
    match kind:
        case "Conv":
            x, pads = _padded(x, attributes, 0.0)
            return functional.conv2d(x, others[0], (*others, None)[1], attributes.get("strides", [1, 1]), pads)
        case "MaxPool":
            x, pads = _padded(x, attributes, float("-inf"))
            return functional.max_pool2d(x, attributes["kernel_shape"], attributes["strides"], pads)
        case "BatchNormalization":
            scale, bias, mean, variance = others
            return functional.batch_norm(x, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))
        case "Gemm":
            return functional.linear(x, others[0] if attributes.get("transB") else others[0].T, others[1])
        case "Reshape":
            return x.reshape([x.shape[at] if size == 0 else int(size) for at, size in enumerate(others[0].tolist())])
        case "Softmax":
            return x.softmax(attributes.get("axis", -1))
        case "Relu":
            return x.relu()
        case "GlobalAveragePool":
            return x.mean((2, 3), keepdim=True)
        case "Add":
            return x + others[0]
        case "Mul":
            return x * others[0]
    raise ValueError(f"no PyTorch call for the operator {kind}")


def _padded(x: Any, attributes: dict[str, Any], value: float) -> tuple[Any, list[int]]:
    """ONNX pads each edge; PyTorch's operators both alike. Uneven padding is done beforehand."""
    from torch.nn import functional

    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    if pads[:2] == pads[2:]:
        return x, pads[:2]
    return functional.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=value), [0, 0]
