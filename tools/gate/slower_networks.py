"""Networks that are really slower: zoo networks with a few pooling layers more, and a matrix that measures them.

    python -m tools.gate.slower_networks resnet50 vgg16 -o slower
    pytest bench/test_latency.py --matrix slower/matrix.toml --precision fp16 --no-history

The cases have the names of the networks as they are, so that they are compared with a baseline of these: an engine that
does more work on the GPU, where `--inject` adds time on the host.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

import inferkit

_POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool")
_MATRIX = """\
[defaults]
precisions = ["fp16"]
batch_sizes = [1, 8]
backends = ["tensorrt"]

[backends.tensorrt]
latency_margin = 0.02
build = {{ static = true }}
{networks}"""
_NETWORK = """
[[networks]]
name = "{name}"
model = "{name}.onnx"
accuracy = false
"""


def slowed(model: onnx.ModelProto, layers: int) -> onnx.ModelProto:
    """A copy with `layers` poolings of 3×3, stride 1, in front of the last pooling. ValueError where there is none."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = list(copy.graph.node)
    last = next((index for index in reversed(range(len(nodes))) if nodes[index].op_type in _POOLS), None)
    if last is None:
        raise ValueError("the network has no pooling that more could be put in front of")
    blob, added = nodes[last].input[0], []
    for index in range(layers):
        added.append(
            onnx.helper.make_node(
                "AveragePool",
                [blob],
                [f"slower_{index}"],
                f"slower_{index}",
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                count_include_pad=1,
            )
        )
        blob = added[-1].output[0]
    nodes[last].input[0] = blob
    del copy.graph.node[:]
    copy.graph.node.extend([*nodes[:last], *added, *nodes[last:]])
    return copy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", metavar="NAME", nargs="+", help="of the zoo")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the files")
    parser.add_argument("--layers", type=int, default=3, help="how many poolings are added (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.networks:
        onnx.save(slowed(inferkit.load(name).model, arguments.layers), arguments.output / f"{name}.onnx")
    networks = "".join(_NETWORK.format(name=name) for name in arguments.networks)
    (arguments.output / "matrix.toml").write_text(_MATRIX.format(networks=networks))
    print(f"written: {arguments.output / 'matrix.toml'} and {len(arguments.networks)} networks")


if __name__ == "__main__":
    main()
