"""`inferkit inspect`, `inferkit diff` and `inferkit top` on real networks."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import inferkit
from inferkit.cli.inspect import batch_for
from inferkit.cli.main import main
from inferkit.exit_codes import ExitCode
from inferkit.measure.layers.network_layers import layers_of, totals_of
from inferkit.network import zoo
from inferkit.network.network import Network
from tests.cli.called import exit_code
from tests.gate.run_files import ours, write


@pytest.fixture(scope="module")
def lenet():
    return inferkit.load("lenet")


@pytest.fixture(scope="module")
def files(tmp_path_factory, lenet):
    folder = tmp_path_factory.mktemp("models")
    batches = [np.random.default_rng(1).random((8, 1, 28, 28), np.float32) * 255]
    found = {"fp32": lenet, "fp16": inferkit.at_precision(lenet, "fp16")}
    found["int8"] = inferkit.at_precision(lenet, "int8", calibration=batches)
    changed = onnx.ModelProto()
    changed.CopyFrom(lenet.model)
    (weight,) = [each for each in changed.graph.initializer if "conv2" in each.name and len(each.dims) == 4]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, weight.name))
    paths = {name: str(folder / f"{name}.onnx") for name in (*found, "changed")}
    for name, network in found.items():
        onnx.save(network.model, paths[name])
    onnx.save(changed, paths["changed"])
    return paths


def inspected(path, capsys):
    assert main(["inspect", path, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    return told, {layer["name"]: layer for layer in told["layers"]}


def test_layers_have_caffes_shapes_parameters_and_operations(capsys):
    told, layers = inspected("lenet", capsys)
    # From the definition: conv2 has 50 filters of 20×5×5 and makes 8×8; ip1 joins 800 to 500.
    assert layers["conv2"]["shape"] == [1, 50, 8, 8]
    assert layers["conv2"]["parameters"] == 50 * 20 * 25 + 50
    assert layers["conv2"]["operations"] == 2 * 50 * 8 * 8 * 20 * 25
    assert layers["ip1"]["parameters"] == 800 * 500 + 500
    assert layers["ip1"]["weight_bytes"] == 4 * (800 * 500 + 500)
    assert layers["pool1"]["parameters"] == 0
    assert layers["pool1"]["output_bytes"] == 4 * 20 * 12 * 12
    assert told["totals"]["parameters"] == zoo.build("lenet").parameters
    assert told["totals"]["operations"] == 2 * zoo.build("lenet").macs


@pytest.mark.parametrize("precision, bytes_each", [("fp16", 2), ("int8", 1)])
def test_the_precision_of_each_layer_is_that_of_what_goes_in(files, capsys, precision, bytes_each):
    told, layers = inspected(files[precision], capsys)
    for name in ("conv1", "conv2", "ip1", "ip2"):
        assert layers[name]["precision"] == precision
        assert layers[name]["weight_bytes"] >= bytes_each * (layers[name]["parameters"] - 600)
        assert layers[name]["weight_bytes"] < 4 * layers[name]["parameters"]
    assert told["totals"]["parameters"] == zoo.build("lenet").parameters


def test_a_weight_that_two_layers_share_is_counted_once():
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "a"), helper.make_node("MatMul", ["y", "w"], ["z"], "b")]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xz"]
    graph = helper.make_graph(nodes, "shared", sides[:1], sides[1:], [weight])
    network = Network.from_model(helper.make_model(graph), "shared")
    layers = layers_of(network)
    assert [layer.parameters for layer in layers] == [16, 16]
    assert totals_of(network, layers).parameters == 16


def test_the_table_is_for_people(capsys):
    assert main(["inspect", "lenet"]) == 0
    text = capsys.readouterr().out
    for word in ("lenet: data N×1×28×28 float32", "1×50×8×8", "25,050", "9 layers, 431,080 parameters"):
        assert word in text
    assert "\x1b" not in text


def test_the_same_is_no_difference(files, capsys):
    assert main(["diff", "lenet", files["fp32"]]) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_other_weights_precisions_and_layers_are_named(files, capsys):
    assert main(["diff", files["fp32"], files["changed"]]) == ExitCode.DIFFERENT
    assert capsys.readouterr().out == "conv2: different weights\n"
    assert main(["diff", files["fp32"], files["fp16"]]) == ExitCode.DIFFERENT
    out = capsys.readouterr().out
    assert "conv1: precision fp32 -> fp16" in out
    assert "data_fp16: only in head (Cast)" in out
    assert main(["diff", files["fp32"], files["int8"], "--json"]) == ExitCode.DIFFERENT
    told = json.loads(capsys.readouterr().out)
    assert {"where": "conv2", "what": "precision", "base": "fp32", "head": "int8"} in told["differences"]


def test_runs_are_compared_by_the_gate(tmp_path, capsys):
    fast = str(write(tmp_path / "fast.json", ours({"a": [0.01, 0.0101, 0.0102]})))
    slow = str(write(tmp_path / "slow.json", ours({"a": [0.02, 0.0201, 0.0202]})))
    assert main(["diff", fast, slow]) == ExitCode.REGRESSED
    assert "REGRESSED" in capsys.readouterr().out
    assert main(["diff", fast, fast]) == 0
    assert main(["diff", fast, "lenet"]) == 2
    assert "of different kinds" in capsys.readouterr().err


def test_a_damaged_engine_is_refused_and_not_taken_for_a_model(tmp_path, capsys):
    (tmp_path / "a.plan").write_bytes(b"plan")
    (tmp_path / "a.plan.json").write_text("{}")
    assert main(["inspect", str(tmp_path / "a.plan")]) == 2
    assert "a.plan.json: damaged or foreign metadata" in capsys.readouterr().err


def test_top_has_every_layer_the_slowest_first_and_shares_that_add_up(capsys):
    assert main(["top", "lenet", "--batch-size", "2", "--runs", "2", "--threads", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    times = [layer["seconds"] for layer in told["layers"]]
    assert times == sorted(times, reverse=True)
    assert sum(layer["share"] for layer in told["layers"]) == pytest.approx(1)
    assert {"Conv", "MaxPool"} <= {layer["op"] for layer in told["layers"]}
    assert main(["top", "lenet", "--runs", "1", "-n", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3 + 2
    assert lines[5].startswith("lenet fp32, batch 1: 11 layers as executed, 8 not shown, ")


def test_two_profiles_are_compared_layer_by_layer(files, tmp_path, capsys):
    paths = []
    for name in ("fp32", "int8"):
        assert main(["top", files[name], "--runs", "1", "--json"]) == 0
        paths.append(str(tmp_path / f"{name}.json"))
        (tmp_path / f"{name}.json").write_text(capsys.readouterr().out)
    assert main(["diff", *paths, "--json"]) == ExitCode.DIFFERENT
    changes = {change["layers"][0]: change for change in json.loads(capsys.readouterr().out)["layers"]["changes"]}
    assert changes["conv1"]["precision"] == ["fp32", "int8"]
    assert changes["conv1"]["kernel"] == ["Conv (nchwc)", "QLinearConv"]
    assert main(["diff", paths[0], paths[0]]) == 0
    assert capsys.readouterr().out.startswith("no difference except in time")
    (tmp_path / "fp32.json").write_text('{"table": [3]}')
    assert main(["diff", *paths]) == 2


def test_networks_are_timed_layer_by_layer_on_request(files, capsys):
    assert main(["diff", files["fp32"], files["int8"], "--times"]) == ExitCode.DIFFERENT
    text = capsys.readouterr().out
    assert "layers of both" in text
    assert "fp32 -> int8" in text


def test_the_limit_of_another_gpu_and_the_floor_of_each_layer(capsys):
    assert main(["inspect", "lenet", "--gpu", "L4", "--batch-size", "8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    conv2 = next(layer for layer in told["layers"] if layer["name"] == "conv2")
    assert conv2["floor_seconds"] == pytest.approx(max(8 * 3.2e6 / 30.3e12, 4 * 25_050 / 300e9))
    assert told["limit"]["seconds"] >= max(layer["floor_seconds"] or 0 for layer in told["layers"])
    assert main(["inspect", "lenet", "--gpu", "Voodoo 2"]) == 2
    assert "L40S" in capsys.readouterr().err


@pytest.mark.tensorrt_rtx
def test_engines_are_told_in_words_and_compared_without_a_gpu(tmp_path, capsys):
    paths = [str(tmp_path / f"{precision}.plan") for precision in ("fp32", "fp16")]
    for path in paths:
        precision = path.rpartition("/")[2].removesuffix(".plan")
        network = inferkit.at_precision(inferkit.load("lenet"), precision)
        inferkit.build(network, backend="tensorrt", max_batch=4, cache=False).save(path)
    assert main(["inspect", paths[1]]) == 0
    text = capsys.readouterr().out
    for words in (
        "network:     lenet at fp16",
        "batch sizes: 1 to 4, optimized for 4",
        "inputs:      data N×1×28×28 float32",
    ):
        assert words in text
    assert main(["diff", *paths]) == ExitCode.DIFFERENT
    lines = capsys.readouterr().out.splitlines()
    assert "engine: precision fp32 -> fp16" in lines
    assert max(map(len, lines[:4])) < 80
    inferkit.build(inferkit.load("lenet"), backend="tensorrt", max_batch=1, static=True, cache=False).save(paths[1])
    assert main(["diff", *paths]) == ExitCode.DIFFERENT
    assert "engine: inputs data N×1×28×28 float32 -> data 1×1×28×28 float32" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("arguments", [["top", "lenet", "--runs", "0"], ["inspect", "lenet", "--batch-size", "0"]])
def test_counts_below_one_are_usage_errors(arguments, capsys):
    assert exit_code(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "asked, profiles, batch",
    [(None, [], 1), (3, [], 3), (None, [(8, 8, 8)], 8), (None, [(1, 4, 64), (8, 8, 8)], 8), (2, [(8, 8, 8)], 2)],
)
def test_engines_are_profiled_at_the_smallest_batch_that_all_of_them_take(asked, profiles, batch):
    assert batch_for(asked, *({"profile": profile} for profile in profiles)) == batch


ANY_SIZE = """g (float[N, 3, height, width] x, float[2, rows, 4] s) => (float[N, 3, h, w] y, float[2, rows, 4] t)
    { y = Conv<pads = [1, 1, 1, 1]>(x, k) t = Relu(s) }"""


@pytest.fixture
def any_size(tmp_path):
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{ANY_SIZE}')
    model.graph.initializer.append(numpy_helper.from_array(np.ones((3, 3, 3, 3), np.float32), "k"))
    onnx.save(model, tmp_path / "any.onnx")
    return str(tmp_path / "any.onnx")


STATED = ("--input-shape", "height=6,width=8", "--input-shape", "rows=5")


def test_open_sizes_are_named_and_stated_on_the_command_line(any_size, capsys):
    for command in (("top", any_size, "--runs", "1"), ("diff", "--times", any_size, any_size)):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "nothing states height, width and rows" in error
        assert "--input-shape height=224,width=224,rows=128" in error
        assert main([*command, *STATED]) == 0
        capsys.readouterr()


def test_work_of_open_sizes_is_not_known_rather_than_none(any_size, capsys):
    assert main(["inspect", any_size]) == 0
    text = capsys.readouterr().out
    assert "operations not known (open sizes)" in text
    assert "GOP" not in text
    assert inspected(any_size, capsys)[0]["totals"]["operations"] is None


def test_open_sizes_are_compared_by_their_names(any_size, tmp_path, capsys):
    other = onnx.load(any_size)
    other.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 8
    other.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 8
    onnx.save(other, tmp_path / "eight.onnx")
    main(["diff", any_size, str(tmp_path / "eight.onnx")])
    text = " ".join(capsys.readouterr().out.split())
    assert "×height×width float32" in text
    assert "×height×8 float32" in text


def test_a_network_of_a_fixed_batch_is_timed_at_that_batch(tmp_path, capsys):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [6, 5]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "fixed", values[:1], values[1:])
    path = str(tmp_path / "fixed.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert main(["top", path, "--runs", "2"]) == 0
    assert "fixed fp32, batch 6" in capsys.readouterr().out
    assert exit_code(["top", path, "--runs", "2", "--batch-size", "2"]) == 2
    assert "fixed takes batches of 6 only: leave out --batch-size, or give 6" in capsys.readouterr().err


def test_what_cannot_be_counted_is_noted(any_size, capsys):
    told, layers = inspected(any_size, capsys)
    assert layers["y"]["operations"] is None
    assert any("height=224" in remark for remark in told["remarks"])
    assert "1 layer is not counted, since shapes are not known: y" in told["remarks"]
    assert main(["inspect", any_size]) == 0
    text = capsys.readouterr().out
    assert "any: x N×3×height×width float32, s 2×rows×4 float32" in text.replace("g: ", "any: ")
    assert "note: 1 layer is not counted" in text
    assert main(["inspect", any_size, *STATED, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["remarks"] == []
    assert told["totals"]["operations"] == 2 * 3 * 6 * 8 * 27


def test_the_batch_may_be_declared(tmp_path, capsys):
    text = "g (float[left, 4] x, float[right, 4] z) => (float[left, 4] y) { y = Add(x, z) }"
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}'), tmp_path / "net.onnx")
    command = ["top", str(tmp_path / "net.onnx"), "--runs", "1", "--batch-size", "3"]
    assert main(command) == 2
    assert "--batch-axis x=0" in capsys.readouterr().err
    assert main([*command, "--batch-axis", "x=0", "--batch-axis", "z=0"]) == 0
    capsys.readouterr()
    assert main([*command, "--batch-axis", "x=first"]) == 2
    assert "the number of an axis" in capsys.readouterr().err
