"""`inferkit diff` sees what a layer does beside its weights: attributes, what it reads, constants, outputs."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import inferkit
from inferkit.cli.main import main
from inferkit.exit_codes import ExitCode


def value(name, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, ["N", 4, 8, 8])


def node(op, inputs, outputs, name, **attributes):
    return helper.make_node(op, inputs, outputs, name, **attributes)


def constant(name, values):
    return numpy_helper.from_array(np.array(values), name)


@pytest.fixture
def told(tmp_path, capsys):
    """What `inferkit diff` prints of two graphs, each nodes and constants, and its exit code."""

    def diff(*graphs, inputs=("x",), outputs=("y",), functions=((), ())):
        paths = []
        for number, (nodes, constants) in enumerate(graphs):
            graph = helper.make_graph(nodes, "g", [*map(value, inputs)], [*map(value, outputs)], constants)
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
            model = helper.make_model(graph, opset_imports=opsets, functions=functions[number], ir_version=8)
            paths.append(str(tmp_path / f"{number}.onnx"))
            onnx.save(model, paths[-1])
        code = main(["diff", *paths])
        return code, capsys.readouterr().out.splitlines()

    return diff


def test_an_attribute_that_differs_is_named_with_both_values(told):
    one, other = ([node("LeakyRelu", ["x"], ["y"], "act", alpha=alpha)] for alpha in (0.02, 0.9))
    assert told((one, []), (other, [])) == (ExitCode.DIFFERENT, ["act: attributes alpha 0.02 -> alpha 0.9"])


def test_a_pool_of_another_window_and_the_same_output_differs(told):
    one, other = ([node("MaxPool", ["x"], ["y"], "pool", kernel_shape=[k, k], pads=[k // 2] * 4)] for k in (3, 5))
    code, lines = told((one, []), (other, []))
    assert code == ExitCode.DIFFERENT
    assert lines == [
        "pool: attributes kernel_shape [3, 3], pads [1, 1, 1, 1] -> kernel_shape [5, 5], pads [2, 2, 2, 2]"
    ]


def test_a_default_that_is_stated_is_no_difference(told):
    one, other = node("LeakyRelu", ["x"], ["y"], "act"), node("LeakyRelu", ["x"], ["y"], "act", alpha=0.01)
    assert told(([one], []), ([other], [])) == (0, ["no difference"])


def test_what_a_layer_reads_is_compared_in_order(told):
    relu = node("Relu", ["x"], ["r"], "relu")
    one, other = node("Sub", ["x", "r"], ["y"], "sub"), node("Sub", ["r", "x"], ["y"], "sub")
    assert told(([relu, one], []), ([relu, other], [])) == (ExitCode.DIFFERENT, ["sub: inputs x, relu -> relu, x"])


def test_the_side_on_which_a_weight_stands_is_compared(told):
    weight = [constant("w", np.ones((4, 1, 1), np.float32))]
    one, other = node("Sub", ["x", "w"], ["y"], "sub"), node("Sub", ["w", "x"], ["y"], "sub")
    assert told(([one], weight), ([other], weight)) == (ExitCode.DIFFERENT, ["sub: inputs x, weights -> weights, x"])


def test_which_output_of_a_layer_is_read_matters(told):
    split = node("Split", ["x"], ["a", "b"], "split", axis=1)
    one, other = node("Sub", ["a", "b"], ["y"], "sub"), node("Sub", ["b", "a"], ["y"], "sub")
    code, lines = told(([split, one], []), ([split, other], []))
    assert (code, lines) == (ExitCode.DIFFERENT, ["sub: inputs split, split (output 2) -> split (output 2), split"])


@pytest.mark.parametrize("as_node", [False, True])
def test_constants_that_are_no_weights_are_compared_by_value(told, as_node):
    def graph(index):
        gather = node("Gather", ["x", "i"], ["y"], "gather", axis=2)
        made = helper.make_node("Constant", [], ["i"], value_ints=[index])
        return ([made, gather], []) if as_node else ([gather], [constant("i", [index])])

    code, (line,) = told(graph(0), graph(3))
    assert code == ExitCode.DIFFERENT
    assert line.startswith("gather: inputs x, ")
    assert told(graph(3), graph(3)) == (0, ["no difference"])


def test_the_scale_of_a_quantizer_is_compared(told):
    def graph(scale):
        constants = [constant("s", np.float32(scale)), constant("z", np.int8(0))]
        quantize = node("QuantizeLinear", ["x", "s", "z"], ["q"], "q")
        return [quantize, node("DequantizeLinear", ["q", "s", "z"], ["y"], "dq")], constants

    code, lines = told(graph(0.5), graph(0.25))
    assert code == ExitCode.DIFFERENT
    assert "q: inputs x, float32 0.5, int8 0 -> x, float32 0.25, int8 0" in lines


def test_layers_that_share_a_name_are_all_compared(told):
    def graph(alpha):
        first = node("LeakyRelu", ["x"], ["a"], "act", alpha=alpha)
        return [first, node("LeakyRelu", ["a"], ["y"], "act", alpha=0.5)], []

    assert told(graph(0.1), graph(0.2)) == (ExitCode.DIFFERENT, ["act: attributes alpha 0.1 -> alpha 0.2"])


def test_outputs_that_were_exchanged_are_told(told):
    def graph(first, second):
        return [node("Relu", ["x"], [first], "relu"), node("Sigmoid", ["x"], [second], "sigmoid")], []

    lines = ["output y: made by relu -> sigmoid", "output z: made by sigmoid -> relu"]
    assert told(graph("y", "z"), graph("z", "y"), outputs=("y", "z")) == (ExitCode.DIFFERENT, lines)


def branch(result, alpha, reads="x"):
    body = [helper.make_node("LeakyRelu", [reads], [result], alpha=alpha)]
    return helper.make_graph(body, "branch", [], [value(result)])


def chosen(then, otherwise):
    condition = constant("c", True)
    return [node("If", ["c"], ["y"], "if", then_branch=then, else_branch=otherwise)], [condition]


def test_subgraphs_are_compared_by_what_they_compute_and_not_by_names(told):
    one = chosen(branch("t", 0.1), branch("e", 0.2))
    assert told(one, chosen(branch("other", 0.1), branch("names", 0.2))) == (0, ["no difference"])
    code, (line,) = told(one, chosen(branch("t", 0.1), branch("e", 0.3)))
    assert code == ExitCode.DIFFERENT
    assert line.startswith("if: attributes else_branch ")
    assert "then_branch" not in line


def test_what_a_subgraph_takes_from_outside_is_compared(told):
    relu = node("Relu", ["x"], ["r"], "relu")
    graphs = [chosen(branch("t", 0.1), branch("e", 0.2, reads)) for reads in "xr"]
    code, (line,) = told(*(([relu, *nodes], constants) for nodes, constants in graphs))
    assert code == ExitCode.DIFFERENT
    assert line.startswith("if: attributes else_branch ")


def test_functions_are_compared_by_what_they_compute(told):
    def function(alpha):
        body = [helper.make_node("LeakyRelu", ["in"], ["out"], alpha=alpha)]
        return [helper.make_function("mine", "Act", ["in"], ["out"], body, [helper.make_opsetid("", 17)])]

    calls = [node("Act", ["x"], ["y"], "call", domain="mine")], []
    code, (line,) = told(calls, calls, functions=(function(0.1), function(0.2)))
    assert code == ExitCode.DIFFERENT
    assert line.startswith("call: attributes function ")


def test_other_names_of_tensors_are_no_difference(told):
    def graph(between, weight):
        nodes = [
            node("Relu", ["x"], [between], "relu"),
            node("Mul", [between, weight], [f"{between}_2"], "mul"),
            node("Reshape", [f"{between}_2", f"{between}_shape"], ["y"], "reshape"),
        ]
        shape = constant(f"{between}_shape", [-1, 4, 8, 8])
        return nodes, [constant(weight, np.ones((4, 1, 1), np.float32)), shape]

    assert told(graph("a", "w"), graph("b", "v")) == (0, ["no difference"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_another_precision_rewires_no_layer(tmp_path, capsys, precision):
    # resnet50 has its batch norms folded then: the layers after them read what both networks have.
    network = inferkit.load("resnet50")
    ranges = {"calibration": [np.random.default_rng(1).random((1, 3, 224, 224), np.float32)]}
    other = inferkit.at_precision(network, precision, **(ranges if precision == "int8" else {}))
    onnx.save(other.model, str(tmp_path / "other.onnx"))
    assert main(["diff", "resnet50", str(tmp_path / "other.onnx")]) == ExitCode.DIFFERENT
    lines = capsys.readouterr().out.splitlines()
    assert any(": precision fp32 -> " in line for line in lines)
    assert not [line for line in lines if ": inputs " in line or ": attributes " in line or "made by" in line]
