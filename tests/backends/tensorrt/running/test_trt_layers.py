"""TensorRT's inspector read in the forms that its versions have, without a GPU: names, precisions, formats, times.

The forms are those of NVIDIA's documentation of the engine inspector (10.x, and what 11.x changed), and of Myelin's
fusions in TensorRT-RTX; the layers are those of one small network built at two precisions.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.backends.tensorrt.running.layers import engine_layers, fused_names
from inferkit.gate.layer_diff import diff_layers

FP16, FP32 = "Row major linear FP16 format", "Row major linear FP32"
WIDE = "Channel major FP16 format where channel % 8 == 0"


def tensor(name, kind, shape=(1, 20, 24, 24)):
    return {"Name": name, "Location": "Device", "Dimensions": list(shape), "Format/Datatype": kind}


def layer(name, kind, inputs, outputs, onnx=(), **more):
    told = {"Name": name, "LayerType": kind, "Inputs": inputs, "Outputs": outputs, "StreamId": 0}
    return {**told, "Metadata": "\x1e".join(f"[ONNX Layer: {each}]" for each in onnx), **more}


def half():
    """TensorRT 10, FP16: a copy that changes the format, a fused convolution, a pooling."""
    reformat = "Reformatting CopyNode for Input Tensor 0 to conv1 + relu1"
    return {
        "Layers": [
            layer(reformat, "Reformat", [tensor("data", FP16)], [tensor("r", WIDE)], TacticValue="0x3e8"),
            layer(
                "conv1 + relu1",
                "CaskConvolution",
                [tensor("r", WIDE)],
                [tensor("relu1", WIDE)],
                ("conv1", "relu1"),
                Weights={"Type": "Half", "Count": 500},
                TacticName="sm90_xmma_fprop_f16f16",
            ),
            layer("pool1", "CaskPooling", [tensor("relu1", WIDE)], [tensor("pool1", WIDE)], ("pool1",)),
        ],
        "Bindings": ["data", "prob"],
    }


def full():
    """The same in FP32 by TensorRT-RTX: Myelin's names, the convolution and its activation apart."""
    return {
        "Layers": [
            layer(
                "__mye_conv1_myl0_1", "gemm", [tensor("data", FP32)], [tensor("c", FP32)], ("conv1",),
                TacticName="sm80_xmma_fprop_f32f32",
            ),
            layer("__myl_Relu_myl0_2", "kgen", [tensor("c", FP32)], [tensor("relu1", FP32)], ("relu1",)),
            layer("__myl_Max_myl0_3", "kgen", [tensor("relu1", FP32)], [tensor("pool1", FP32)], ("pool1",)),
        ]
    }  # fmt: skip


TIMES = {"Reformatting CopyNode for Input Tensor 0 to conv1 + relu1": 2e-6, "conv1 + relu1": 10e-6, "pool1": 3e-6}
MYELIN_TIMES = {"__mye_conv1_myl0_1": 30e-6, "__myl_Relu_myl0_2": 4e-6, "__myl_Max_myl0_3": 5e-6}


def test_names_precision_kernel_format_and_time_of_a_fusion():
    copy, conv, pool = engine_layers(half(), TIMES)
    assert (copy.name, copy.origins, copy.seconds) == ("reformat to conv1", (), 2e-6)
    assert copy.format == "row major linear -> channel major where channel % 8 == 0"
    assert (conv.origins, conv.precision, conv.kernel) == (("conv1", "relu1"), "fp16", "sm90_xmma_fprop_f16f16")
    assert (pool.kind, pool.precision, pool.seconds) == ("CaskPooling", "fp16", 3e-6)


def test_two_precisions_of_a_network_are_matched_across_flavours_and_fusions():
    before = engine_layers(half(), TIMES)
    now = engine_layers(full(), MYELIN_TIMES)
    diff = diff_layers(before, now)
    conv = next(change for change in diff.changes if "conv1" in change.layers)
    assert (conv.kind, conv.layers) == ("split", ("conv1", "relu1"))
    assert conv.what == "split 1 -> 2, fp16 -> fp32"
    assert {name for name, _, _ in conv.properties} == {"precision", "kernel", "format"}
    assert next(change for change in diff.changes if change.layers == ("reformat to conv1",)).kind == "gone"
    assert diff.summary().startswith("layers: conv1 (+1) +24 µs (+240%, split 1 -> 2, fp16 -> fp32)")


def test_tensorrt_11_tells_format_and_type_apart():
    told = tensor("x", "")
    del told["Format/Datatype"]
    told |= {"Format": "Row major linear (kLINEAR)", "DataType": "Int8"}
    (row,) = engine_layers({"Layers": [layer("conv", "conv", [told], [told], ("conv",))]}, {})
    assert (row.precision, row.format, row.seconds) == ("int8", "row major linear", None)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("conv1 + relu1 + pool1", ("conv1", "relu1", "pool1")),
        ("PWN(relu1)", ("relu1",)),
        ("PWN(PWN(relu_1), add_1)", ("relu_1", "add_1")),
        ("{ForeignNode[conv1...prob]}", ("conv1", "prob")),
        ("__myl_FcCastAddErf_myl0_12", ("__myl_FcCastAddErf",)),
    ],
)
def test_fused_names_without_metadata(name, layers):
    assert fused_names(name) == layers


def test_layers_that_were_timed_and_not_told_are_kept():
    rows = engine_layers("no JSON", {"conv1 + relu1": 1e-5})
    assert [(row.name, row.origins, row.seconds) for row in rows] == [("conv1 + relu1", ("conv1", "relu1"), 1e-5)]
    assert engine_layers({"Layers": ["conv1"]}, {})[0].name == "conv1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["Layers", "Name", "Inputs", "Outputs", "Metadata", "Weights", "Format/Datatype", "TacticName"]), inner),
)  # fmt: skip


@given(json_values)
def test_an_unknown_form_gives_fewer_rows_and_no_error(told):
    engine_layers(told, {})
    engine_layers({"Layers": [told]}, {})
