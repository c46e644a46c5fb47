"""Networks as PyTorch exports them, through everything that inferkit does to a network without a GPU.

    python -m tools.accuracy.exported export FOLDER       # needs torch, torchvision, timm, onnxscript; several GB
    python -m tools.accuracy.exported check FOLDER --json FILE [--peer]
    python -m tools.accuracy.exported table FILE          # the Markdown table of docs/benchmarks.md

Each of some 35 architectures of torchvision and timm is exported by both exporters of PyTorch, with seeded weights and
the statistics of its normalizations taken from a few images. A check loads the file, writes every precision into the
graph, executes it with ONNX Runtime (BF16 and FP8 emulated) and tells how far it is from the file itself in FP32: the
signal-to-noise ratio in dB, over images that were not calibrated with. TensorRT-RTX builds an engine of each, where it
is installed. With --peer the files of the first exporter are quantized by the other calibration methods too, and by
onnxruntime.quantization with the same images and choices (symmetric INT8 for convolutions and inner products, weights
per channel, ranges to the largest value).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from inferkit.network.network import Network

TORCHVISION = (
    "mobilenet_v3_small", "efficientnet_b0", "shufflenet_v2_x0_5", "convnext_tiny", "swin_t",
    "swin_v2_t", "regnet_y_400mf", "mnasnet0_5", "resnext50_32x4d", "inception_v3", "googlenet", "densenet121",
    "maxvit_t", "squeezenet1_1", "resnet18",
)  # fmt: skip
SEGMENTATION = ("lraspp_mobilenet_v3_large", "fcn_resnet50")
TIMM = (
    "mobilevit_xxs", "ghostnet_100", "hrnet_w18_small", "xcit_nano_12_p16_224", "levit_128s", "res2net50_26w_4s",
    "eca_nfnet_l0", "repvgg_a0", "dla34", "efficientformerv2_s0", "poolformer_s12", "convmixer_768_32",
    "beit_base_patch16_224", "tiny_vit_5m_224", "resnest14d", "fastvit_t8", "edgenext_xx_small", "pvt_v2_b0",
    "davit_tiny",
)  # fmt: skip
SIZES = {"inception_v3": 299, **dict.fromkeys(("mobilevit_xxs", "swin_v2_t", "fastvit_t8", "edgenext_xx_small"), 256)}
EXPORTERS = (".torchscript", ".dynamo")
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
EMULATED = ("bf16", "fp8")
CALIBRATION_SEEDS = (10, 11, 12, 13)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("export", "check", "table"))
    parser.add_argument("folder", type=Path, help="of the exported networks; for `table` the file of --json")
    parser.add_argument("names", nargs="*", help="only these networks")
    parser.add_argument("--json", type=Path, help="write what was found")
    parser.add_argument("--peer", action="store_true", help="quantize with onnxruntime.quantization too")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    if args.part == "table":
        print("\n".join(table(json.loads(args.folder.read_text()))))
        return 0
    if args.part == "export":
        args.folder.mkdir(parents=True, exist_ok=True)
        for name in args.names or (*TORCHVISION, *SEGMENTATION, *TIMM):
            export(name, args.folder)
        return 0
    logging.disable(logging.WARNING)
    found = []
    for path in sorted(args.folder.glob("*.onnx")):
        if not args.names or path.name.split(".")[0] in args.names:
            found.append({"file": path.name, **check(path, args.peer and EXPORTERS[0] in path.suffixes)})
            print(json.dumps(found[-1]), flush=True)
            if args.json is not None:
                args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each network of the first exporter: decibels, and megabytes of TensorRT-RTX's engines."""
    methods = [f"int8 {name}" for name in ("max", "percentile", "entropy", "of onnxruntime")]
    columns = ["fp16", "bf16", "fp8", "int8", *methods, *(f"tensorrt {name}" for name in ("fp32", "fp16", "int8"))]
    lines = [f"| network | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for each in found:
        name, _, exporter = str(each["file"]).removesuffix(".onnx").partition(".")
        if f".{exporter}" == EXPORTERS[0]:
            lines.append(f"| {name} | {' | '.join(_shown(column, each.get(column)) for column in columns)} |")
    return lines


def _shown(column: str, value: Any) -> str:
    if not isinstance(value, (int, float)):
        return "–"
    return f"{value / 1e6:.0f}" if column.startswith("tensorrt") else f"{value:.1f}"


def export(name: str, folder: Path) -> None:
    """Write NAME.torchscript.onnx and NAME.dynamo.onnx, with an open batch."""
    import torch

    size = SIZES.get(name, 224)
    for exporter in EXPORTERS:
        target = folder / f"{name}{exporter}.onnx"
        torch.manual_seed(0)
        model = _with_statistics(_model(name), size)
        images = torch.randn(2, 3, size, size)
        options: dict[str, Any] = {"opset_version": 17, "dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
        if exporter == ".dynamo":
            shapes = ({0: torch.export.Dim("n", min=1, max=64)},)
            options = {"opset_version": 20, "dynamic_shapes": shapes, "external_data": False, "verbose": False}
        try:
            torch.onnx.export(
                model, (images,), str(target), input_names=["x"], output_names=["y"], dynamo=exporter == ".dynamo",
                **options,
            )  # fmt: skip
        except Exception as error:  # PyTorch's, not ours: told, and the others go on
            print(f"{name}: PyTorch's {exporter[1:]} exporter fails: {type(error).__name__}", flush=True)


def _model(name: str) -> Any:
    import torch

    if name in TORCHVISION:
        import torchvision

        plain = {"aux_logits": False, "init_weights": False} if name in ("inception_v3", "googlenet") else {}
        return getattr(torchvision.models, name)(weights=None, **plain)
    if name in SEGMENTATION:
        import torchvision

        model = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None)

        class Mask(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, x: Any) -> Any:
                return self.model(x)["out"]

        return Mask()
    import timm

    return timm.create_model(name, pretrained=False)


def _with_statistics(model: Any, size: int) -> Any:
    """Ready for inference, with normalizations that fit what they see: else activations vanish or explode."""
    import torch

    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # the mean over all batches
        elif isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, 3, size, size) * 0.5 + torch.randn(4, 3, 1, 1))
    return model.eval()


def check(path: Path, peer: bool) -> dict[str, Any]:
    """What each precision gives: decibels, or the error; of TensorRT-RTX the size of the engine in bytes."""
    import inferkit
    from inferkit.precision import collect_ranges

    network = inferkit.load(path)
    size = network.inputs[0].shape[2] or 224
    images, calibration = pictures(size, 8, 1), [pictures(size, 4, seed) for seed in CALIBRATION_SEEDS]
    exact, ranges = _by_onnxruntime(path, images), collect_ranges(network, calibration)

    def at(precision: str, method: str | None) -> Network:
        if precision in ("int8", "fp8"):
            return inferkit.at_precision(network, precision, calibration=ranges, method=method)
        return network if precision == "fp32" else inferkit.at_precision(network, precision)

    def decibels(precision: str, method: str | None = None) -> float:
        emulated: dict[str, Any] = {"emulate": True} if precision in EMULATED else {}
        with inferkit.build(at(precision, method), max_batch=8, **emulated).session() as session:
            return signal_to_noise(exact, next(iter(session.run(images).values())))

    def built(precision: str) -> int | None:
        plan = inferkit.build(at(precision, None), backend="tensorrt", max_batch=8, cache=False, target="sm89")
        return plan.info.size_bytes

    found: dict[str, Any] = {precision: _or_error(decibels, precision) for precision in PRECISIONS}
    found |= {f"tensorrt {precision}": _or_error(built, precision) for precision in ("fp32", "fp16", "int8")}
    if peer:
        for method in ("max", "percentile", "entropy"):
            found[f"int8 {method}"] = _or_error(decibels, "int8", method)
        found["int8 of onnxruntime"] = _or_error(lambda: signal_to_noise(exact, _peer(path, calibration, images)))
    return found


def _or_error(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except Exception as error:  # one that fails is a finding
        return f"{type(error).__name__}: {error}"[:300]


def pictures(size: int, count: int, seed: int) -> NDArray[np.float32]:
    """Coarse patches with some noise on them: [count, 3, size, size], of about unit variance."""
    random = np.random.default_rng(seed)
    patches = random.standard_normal((count, 3, 8, 8)).repeat(-(-size // 8), 2).repeat(-(-size // 8), 3)
    noise = random.standard_normal((count, 3, size, size))
    return np.ascontiguousarray(0.7 * patches[:, :, :size, :size] + 0.3 * noise, np.float32)


def signal_to_noise(exact: NDArray[Any], found: NDArray[Any]) -> float:
    """10 log10(Σa² / Σ(a−b)²), dB; 300 where nothing differs."""
    wanted = exact.astype(np.float64)
    noise = float(((wanted - found) ** 2).sum())
    return round(min(10 * float(np.log10((wanted**2).sum() / noise)), 300.0), 2) if noise else 300.0


def _by_onnxruntime(path: Path, images: NDArray[np.float32]) -> NDArray[Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: images})[0]
    return found


def _peer(path: Path, calibration: list[NDArray[np.float32]], images: NDArray[np.float32]) -> NDArray[Any]:
    """Quantized by onnxruntime.quantization, and executed."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._left: Iterator[NDArray[np.float32]] = iter(calibration)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._left, None)
            return None if batch is None else {"x": batch}

    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = Path(folder, "prepared.onnx"), Path(folder, "quantized.onnx")
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(quantized),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
        return _by_onnxruntime(quantized, images)


if __name__ == "__main__":
    sys.exit(main())
