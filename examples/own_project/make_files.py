"""Makes what the example gates: stripes.onnx, a network of one's own, and images/, a folder of PNG files per class.

python make_files.py            # the network as it should be
python make_files.py --slow     # the same answers, computed the long way: what a careless export does
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
# Which way the stripes of an image run. A folder of images per class numbers the classes by name, so this does too.
ANGLES = {"falling": 3 * np.pi / 4, "horizontal": 0.0, "rising": np.pi / 4, "vertical": np.pi / 2}
SIDE, KERNEL, PHASES, PERIOD = 48, 9, 8, 8.0
PER_CLASS, NOISE = 100, 50.0


def waves(angle: float, side: int, phase: float) -> np.ndarray:
    """Stripes at `angle` (radians), a value from -1 to 1 per pixel of a square."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.cos(2 * np.pi / PERIOD * (rows * np.cos(angle) + columns * np.sin(angle)) + phase)


def write_images(folder: Path) -> None:
    """Grey PNG files, images/CLASS/NUMBER.png: stripes of any phase under noise."""
    random = np.random.default_rng(7)
    for name, angle in ANGLES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(PER_CLASS):
            stripes = waves(angle + random.normal(0, 0.25), SIDE, random.uniform(0, 2 * np.pi))
            image = 128 + 40 * stripes + random.normal(0, NOISE, (SIDE, SIDE))
            cv2.imwrite(str(folder / name / f"{number:03}.png"), np.clip(image, 0, 255).astype(np.uint8))


def network(slow: bool) -> onnx.ModelProto:
    """Which direction answers most: a convolution with striped filters, ReLU, the mean over the image, a sum per class.

    Input `data` [N, 1, 48, 48], output `prob` [N, 4]. Nothing is trained. `slow` adds a convolution that hands on what
    it gets.
    """
    phases = [index * 2 * np.pi / PHASES for index in range(PHASES)]
    filters = np.array([waves(angle, KERNEL, phase) for angle in ANGLES.values() for phase in phases])
    filters -= filters.mean(axis=(1, 2), keepdims=True)
    weights = {"filters": filters[:, None], "votes": np.kron(np.eye(len(ANGLES)), np.ones((1, PHASES))).T}
    nodes = [
        helper.make_node("Conv", ["data", "filters"], ["answers"], name="stripes"),
        helper.make_node("Relu", ["answers"], ["kept"], name="kept"),
    ]
    if slow:
        weights["same"] = np.zeros((len(filters), len(filters), 3, 3))
        weights["same"][range(len(filters)), range(len(filters)), 1, 1] = 1
        nodes.append(helper.make_node("Conv", ["kept", "same"], ["passed"], name="same", pads=[1, 1, 1, 1]))
    nodes += [
        helper.make_node("GlobalAveragePool", [nodes[-1].output[0]], ["means"], name="mean"),
        helper.make_node("Flatten", ["means"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "votes"], ["scores"], name="vote"),
        helper.make_node("Softmax", ["scores"], ["prob"], name="prob", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "stripes",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["N", len(ANGLES)])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description="Makes stripes.onnx and images/.")
    parser.add_argument("--slow", action="store_true", help="the same answers, the long way")
    args = parser.parse_args()
    write_images(HERE / "images")
    onnx.save(network(args.slow), str(HERE / "stripes.onnx"))
    print(f"stripes.onnx, images/: {PER_CLASS} images of each of {', '.join(ANGLES)}")


if __name__ == "__main__":
    main()
