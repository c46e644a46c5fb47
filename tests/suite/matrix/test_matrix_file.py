"""The matrix: what is declared becomes cases, what is mistaken gets file, line and reason, nothing is guessed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.errors import UsageError
from inferkit.measure.case import Case
from inferkit.suite.matrix.read import load_matrix

FIVE_LINES = """\
[[networks]]
name = "mine"
model = "mine.onnx"
dataset = "val_lmdb"
batch_sizes = [1, 8]
"""


def load(folder, text):
    path = folder / "matrix.toml"
    path.write_text(text, encoding="utf-8")
    return load_matrix(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("matrix")


def test_five_lines_declare_a_network(tmp_path):
    matrix = load(tmp_path, FIVE_LINES)
    assert [case.id for case in matrix.cases()] == ["mine-fp32-b1-onnxruntime", "mine-fp32-b8-onnxruntime"]
    assert [case.id for case in matrix.accuracy_cases()] == ["mine-fp32-onnxruntime"]


def test_a_store_is_a_folder_relative_to_the_matrix_or_a_url_without_secrets(tmp_path):
    (tmp_path / "bench").mkdir()
    assert load(tmp_path, FIVE_LINES).suite.store is None
    folder = load(tmp_path / "bench", f'[suite]\nstore = "../engines"\n{FIVE_LINES}')
    assert folder.suite.store == str(tmp_path / "engines")
    url = load(tmp_path, f'[suite]\nstore = "s3://bucket/prefix"\n{FIVE_LINES}')
    assert url.suite.store == "s3://bucket/prefix"
    with pytest.raises(UsageError, match=r"matrix\.toml:2: \[suite\] store: .*credentials") as raised:
        load(tmp_path, f'[suite]\nstore = "s3://key:hidden@bucket"\n{FIVE_LINES}')
    assert "hidden" not in str(raised.value)


def test_paths_are_relative_to_the_matrix_and_names_stay_names(tmp_path):
    (tmp_path / "val_lmdb").mkdir()
    matrix = load(tmp_path, FIVE_LINES + '[[networks]]\nname = "lenet"\ndataset = "fashion_mnist"\n')
    mine, lenet = matrix.networks
    assert mine.model == str(tmp_path / "mine.onnx")
    assert mine.dataset == str(tmp_path / "val_lmdb")
    assert (lenet.model, lenet.dataset) == ("lenet", "fashion_mnist")


def test_a_network_that_the_zoo_has_trained_brings_its_preprocessing_and_accuracy(tmp_path):
    network = load(tmp_path, '[[networks]]\nname = "lenet"\ndataset = "fashion_mnist"\n').networks[0]
    assert network.preprocessing == {"scale": 0.00390625}
    assert 85 < network.top1 < 100
    stated = load(tmp_path, '[[networks]]\nname = "lenet"\ndataset = "fashion_mnist"\ntop1 = 50.0\n').networks[0]
    assert stated.top1 == 50.0


def test_without_a_dataset_there_is_latency_only(tmp_path):
    matrix = load(tmp_path, '[[networks]]\nname = "vgg16"\n')
    assert len(matrix.cases()) == 1
    assert not matrix.accuracy_cases()


def test_defaults_fill_what_a_network_does_not_say(tmp_path):
    text = '[defaults]\nprecisions = ["fp32", "int8"]\npreprocessing = { scale = 0.5 }\n'
    first, second = load(tmp_path, text + FIVE_LINES + FIVE_LINES.replace("mine", "other")).networks
    assert first.precisions == second.precisions == ("fp32", "int8")
    assert first.preprocessing == {"scale": 0.5}


def test_a_margin_is_the_last_pattern_else_the_networks_the_backends_the_devices(tmp_path):
    matrix = load(
        tmp_path,
        FIVE_LINES
        + 'backends = ["onnxruntime", "tensorrt"]\n'
        + '[[networks]]\nname = "other"\nlatency_margin = 0.1\n'
        + "[backends.tensorrt]\nlatency_margin = 0.02\n"
        + '[margins]\n"mine-*" = 0.3\n"*-b8-onnxruntime" = 0.4\n',
    )
    margins = {case.id: matrix.latency_margin(case, network) for case, network in matrix.cases().items()}
    assert margins == {
        "mine-fp32-b1-onnxruntime": 0.3,
        "mine-fp32-b8-onnxruntime": 0.4,
        "mine-fp32-b1-tensorrt": 0.3,
        "mine-fp32-b8-tensorrt": 0.3,
        "other-fp32-b1-onnxruntime": 0.1,
    }


def test_every_metric_has_a_margin_in_any_table_and_the_most_specific_wins(tmp_path):
    matrix = load(
        tmp_path,
        '[margins]\nlatency = "8 %"\n"engine size" = "1 %"\naccuracy = "0.4 points"\n'
        + '"mine-*" = { "host memory" = "10 MiB" }\n"mine-*-b8-*" = { p99 = "40 %" }\n'
        + '"mine-int8-onnxruntime" = { accuracy = 2 }\n'
        + '[backends.onnxruntime.margins]\np99 = "20 %"\n"engine size" = "5 %"\n'
        + FIVE_LINES
        + 'precisions = ["fp32", "int8"]\nmargins = { "cold start" = "500 ms", p99 = "30 %" }\n'
        + '[[networks]]\nname = "other"\ndataset = "images.npz"\naccuracy_tolerance = 1.5\nprecisions = ["int8"]\n',
    )
    stated = {
        case.id: {name: margin.written() for name, margin in matrix.margins_of(case, network).items()}
        for case, network in {**matrix.cases(), **matrix.accuracy_cases()}.items()
    }
    of_all = {"latency": "8 %", "engine size": "5 %", "p99": "20 %"}
    mine = {**of_all, "p99": "30 %", "cold start": "500 ms", "host memory": "10 MiB"}
    assert stated["mine-fp32-b1-onnxruntime"] == mine
    assert stated["mine-fp32-b8-onnxruntime"] == {**mine, "p99": "40 %"}
    assert stated["mine-int8-onnxruntime"] == {**mine, "top-1": 2.0}
    assert stated["other-int8-onnxruntime"] == {**of_all, "top-1": 1.5}
    assert "top-1" not in stated["mine-fp32-onnxruntime"], "what INT8 may lose says nothing of FP32"


def test_margins_that_nobody_states_are_wide_on_a_cpu_and_narrow_on_a_gpu(tmp_path):
    matrix = load(tmp_path, '[[networks]]\nname = "a"\nbackends = ["onnxruntime", "tensorrt"]\n')
    assert [matrix.latency_margin(case, network) for case, network in matrix.cases().items()] == [0.25, 0.05]


def test_what_must_run_in_the_precision_asked_for_is_the_networks_the_backends_or_the_default(tmp_path):
    matrix = load(
        tmp_path,
        '[defaults]\nprecision_share = { int8 = "50 %" }\n'
        + '[[networks]]\nname = "a"\nprecisions = ["fp32", "tf32", "fp16", "int8"]\nprecision_share = { tf32 = 1 }\n'
        + '[[networks]]\nname = "b"\nprecisions = ["fp16", "int8"]\nbackends = ["tensorrt"]\nprecision_share = 0.7\n'
        + '[[networks]]\nname = "c"\nprecisions = ["tf32", "fp16", "bf16"]\nbackends = ["tensorrt"]\n'
        + '[backends.tensorrt]\nprecision_share = { bf16 = "12.5 %", int8 = 0 }\n',
    )
    assert {case.id: matrix.least_share(case, network) for case, network in matrix.cases().items()} == {
        "a-fp32-b1-onnxruntime": 95.0,
        "a-tf32-b1-onnxruntime": 100.0,
        "a-fp16-b1-onnxruntime": None,  # it has no such kernels on a CPU, which is known
        "a-int8-b1-onnxruntime": 50.0,
        "b-fp16-b1-tensorrt": 70.0,
        "b-int8-b1-tensorrt": 70.0,
        "c-tf32-b1-tensorrt": None,  # permitted, not asked for
        "c-fp16-b1-tensorrt": 95.0,
        "c-bf16-b1-tensorrt": 12.5,
    }


@pytest.mark.parametrize("value", ['"95"', '"101 %"', "95", "-0.1", "true", '"nan %"', '{ int8 = "half" }', "[0.5]"])
def test_a_share_that_is_none_is_refused(tmp_path, value):
    with pytest.raises(UsageError, match=r"precision_share: a share is from 0 to 1, or a text such as '95 %', not"):
        load(tmp_path, f"{FIVE_LINES}precision_share = {value}\n")
    with pytest.raises(UsageError, match=r"'int9' is no precision; did you mean 'int8'\?"):
        load(tmp_path, f'{FIVE_LINES}precision_share = {{ int9 = "5 %" }}\n')


def test_included_files_add_their_networks_with_their_own_defaults(tmp_path):
    (tmp_path / "gpu.toml").write_text('[defaults]\nbackends = ["tensorrt"]\n[[networks]]\nname = "mine"\n')
    matrix = load(tmp_path, 'include = ["gpu.toml"]\n' + FIVE_LINES)
    assert Case("mine", "fp32", 1, "tensorrt") in matrix.cases()
    assert len(matrix.cases()) == 3


@pytest.mark.parametrize(
    "line, place",
    [
        ('[suite]\nstore = "a\\u0000"\n', "2: [suite] store"),
        ('include = ["a\\u0000.toml"]\n', "1: include"),
        ('[[networks]]\nname = "a"\nmodel = "a\\u0000.onnx"\n', "3: [networks] model"),
        ('[[networks]]\nname = "a"\nmodel = "~nobody-has-this-name/a.onnx"\n', "3: [networks] model"),
        ('[[networks]]\nname = "a"\ndataset = "a\\u0000"\n', "3: [networks] dataset"),
    ],
)
def test_what_can_be_no_path_is_named_with_its_line(line, place, tmp_path):
    with pytest.raises(UsageError, match=re.escape(f"matrix.toml:{place}")):
        load(tmp_path, line + FIVE_LINES)


def test_a_preprocessing_of_other_types_is_one_problem_beside_those_of_files(tmp_path):
    """The files are checked as well, where something is wrong already; what is wrong stops none of that."""
    wrong = '[[networks]]\nname = "lenet"\ndataset = "fashion_mnist"\npreprocessing = { scale = { x = 5 } }\n'
    with pytest.raises(UsageError, match=r"is not a valid preprocessing(.|\n)*mine\.onnx does not exist"):
        load(tmp_path, wrong + FIVE_LINES)


def test_a_file_that_includes_itself_is_refused(tmp_path):
    (tmp_path / "gpu.toml").write_text('include = ["matrix.toml"]\n')
    with pytest.raises(UsageError, match=r"gpu\.toml:1: include: 'matrix\.toml' includes itself"):
        load(tmp_path, 'include = ["gpu.toml"]\n' + FIVE_LINES)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "1: declares no [[networks]]"),
        ("networks = 3", "1: networks: must be written as [[networks]] tables"),
        ("[[networks]]\n", "1: [networks] every network needs a name"),
        ('[[networks]]\nname = "a b"', "2: [networks] name: 'a b' must be letters"),
        ('[[networks]]\nname = "a"\nbatch_sizes = [0]', "3: [networks] batch_sizes: must be from 1 to 65536"),
        ('[[networks]]\nname = "a"\nbatch_sizes = [1, true]', "3: [networks] batch_sizes: must be a list of whole"),
        ('[[networks]]\nname = "a"\nbatch_sizes = [1, 1]', "3: [networks] batch_sizes: names something twice"),
        ('[[networks]]\nname = "a"\nbatch_sizes = []', "3: [networks] batch_sizes: must be a list"),
        (
            '[[networks]]\nname = "a"\nprecisions = ["int9"]',
            "precisions: 'int9' is not supported; did you mean 'int8'?",
        ),
        ('[[networks]]\nname = "a"\nbackends = ["torch"]', "3: [networks] backends: 'torch' is not supported"),
        ('[[networks]]\nname = "a"\n\n# x\ntop1 = 101', "5: [networks] top1: must be above 0 and at most 100, not 101"),
        ('[[networks]]\nname = "a"\ntop1 = nan', "3: [networks] top1: must be above 0"),
        ('[[networks]]\nname = "a"\naccuracy = "no"', "3: [networks] accuracy: must be true or false, not 'no'"),
        ('[[networks]]\nname = "a"\nweights = "a.caffemodel"', "3: [networks] weights: only a Caffe prototxt"),
        ('[[networks]]\nname = "a"\n[[networks]]\nname = "a"', "the case 'a-fp32-b1-onnxruntime' is declared twice"),
        ('[[networks]]\nname = "a"\npreprocessing = { scal = 1 }', "3: [networks.preprocessing] scal: is not a prep"),
        (
            '[[networks]]\nname = "a"\npreprocessing = { crop = -1 }',
            "3: [networks.preprocessing] is not a valid preprocessing",
        ),
        ('[[networks]]\nname = "a"\npreprocessing = { mean = 3 }', "mean: is the path of a mean image"),
        ('[suite]\nreplicates = 0\n[[networks]]\nname = "a"', "2: [suite] replicates: must be above 0"),
        ('[suite]\nreplicate = 1\n[[networks]]\nname = "a"', "2: [suite] replicate: is not known here; did you mean"),
        (
            '[[networks]]\nname = "a"\n[backends.onnxruntime]\nsession = { thread = 2 }\n',
            "4: [backends.onnxruntime] session: onnxruntime takes no 'thread'; did you mean 'threads'?",
        ),
        (
            '[[networks]]\nname = "a"\n[backends.tensorrt]\nbuild = { min_bach = 2 }\n',
            "4: [backends.tensorrt] build: tensorrt takes no 'min_bach'; did you mean 'min_batch'?",
        ),
        ('[[networks]]\nname = "a"\n[backends.onnx]\n', "3: [backends] onnx: is not a backend; there are onnxruntime"),
        ('[[networks]]\nname = "a"\n[margins]\n"b-*" = 0.1', "the margin pattern 'b-*' matches no case"),
        ('[[networks]]\nname = "a"\n[margins]\n"a-*" = 0', "4: [margins] a-*: a margin of latency is a share above 0"),
        (
            '[[networks]]\nname = "a"\n[margins]\n"host memory" = "' + 400 * "9" + ' MiB"',
            "4: [margins] host memory: a margin of host memory is a share",
        ),
        ('[[networks]]\nname = "a"\nlatency_margin = ' + 400 * "9", "3: [networks] latency_margin: a margin of"),
        (
            "[suite]\nmin_time = 1" + 400 * "0" + '\n[[networks]]\nname = "a"',
            "2: [suite] min_time: must be a number, not",
        ),
        ('[[networks]]\nname = "a"\nlatency_margin = nan', "3: [networks] latency_margin: a margin of latency"),
        ('[[networks]]\nname = "a"\n[margins]\nlatncy = 0.1', "did you mean 'latency'?"),
        (
            '[[networks]]\nname = "a"\n[margins]\n"a-*" = { speed = 0.1 }',
            "'speed' is no metric with a margin; there are",
        ),
        ('[[networks]]\nname = "a"\nmargins = { p99 = "2 MB" }', "[networks.margins] p99: a margin of p99 is a share"),
        (
            '[[networks]]\nname = "a"\nlatency_margin = 0',
            "[networks] latency_margin: a margin of latency is a",
        ),
        (
            '[[networks]]\nname = "a"\nlatency_margin = 0.1\nmargins = { latency = 0.2 }',
            "3: [networks] latency_margin: the margin of latency is stated twice",
        ),
        ('[[networks]]\nname = "a"\n[margins]\n"a-fp32-onnx*" = 0.1', "matches no case"),
        ('[[networks]]\nname = "a"\n[margin]\n', "3: margin: is not known here; did you mean 'margins'?"),
        ('include = ["nowhere.toml"]', "nowhere.toml: cannot be read: No such file"),
        ("[[networks]\n", "is not valid TOML"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, text, said):
    with pytest.raises(UsageError) as refused:
        load(tmp_path, text)
    assert said in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "matrix.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        load_matrix(tmp_path / "matrix.toml")


words = st.sampled_from(
    ["name", "model", "precisions", "batch_sizes", "backends", "top1", "dataset", "accuracy", "modes", "weights",
     "latency_margin", "preprocessing", "[[networks]]", "[defaults]", "[suite]", "[margins]", "[backends.onnxruntime]",
     "[networks]", '"fp32"', '"a"', "1", "-1", "0.5", "true", "[1, 8]", '["int8"]', "{ scale = 1 }", "nan", "inf", "="]
)  # fmt: skip
lines = st.lists(st.tuples(words, words).map(lambda pair: f"{pair[0]} = {pair[1]}") | words, max_size=8)


def loaded_or_refused(folder, text):
    """Whether the text is a matrix, and the message where it is not."""
    try:
        return bool(load(folder, text).cases()), ""
    except UsageError as error:
        return False, str(error)


@given(lines=lines)
def test_any_lines_are_a_matrix_or_an_error_that_names_the_file(place, lines):
    is_matrix, message = loaded_or_refused(place, "\n".join(lines))
    assert is_matrix or re.search(r"matrix\.toml[:,]", message)


@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_a_matrix_or_an_error(place, text):
    is_matrix, message = loaded_or_refused(place, text)
    assert is_matrix or "matrix.toml" in message


sizes = st.lists(st.integers(1, 512), min_size=1, max_size=4, unique=True)
precisions = st.lists(st.sampled_from(["fp32", "fp16", "int8", "bf16"]), min_size=1, unique=True)


@given(
    sizes=sizes,
    precisions=precisions,
    names=st.lists(st.from_regex("[a-z]{1,5}", fullmatch=True), min_size=1, max_size=3, unique=True),
)
def test_cases_are_the_product_of_what_is_declared(place, sizes, precisions, names):
    tables = "".join(
        f'[[networks]]\nname = "{name}"\nbatch_sizes = {sizes}\nprecisions = {precisions}\n' for name in names
    )
    cases = load(place, tables.replace("'", '"')).cases()
    assert len(cases) == len(sizes) * len(precisions) * len(names)
    assert len({case.id for case in cases}) == len(cases)


def test_a_dataset_is_a_path_beside_the_matrix_or_the_embedded_one(tmp_path):
    text = '[[networks]]\nname = "a"\nmodel = "lenet"\ndataset = "{}"\n'
    for said, expected in (("images", str(tmp_path / "images")), ("fashion_mnist", "fashion_mnist")):
        (tmp_path / "matrix.toml").write_text(text.format(said))
        assert load_matrix(tmp_path / "matrix.toml").networks[0].dataset == expected


def test_sizes_and_axes_that_the_model_leaves_open_are_declared(tmp_path):
    text = FIVE_LINES + "shape = { H = 48, W = 320, rois = [1, 100, 4] }\nbatch_axis = { state = 1 }\n"
    network = load(tmp_path, "[defaults]\nshape = { H = 32, T = 8 }\n" + text).networks[0]
    assert network.shape == {"H": 48, "W": 320, "T": 8, "rois": (1, 100, 4)}
    assert network.batch_axis == {"state": 1}
    as_tables = FIVE_LINES + "[networks.shape]\nH = 48\n[networks.batch_axis]\nstate = 1\n"
    network = load(tmp_path, as_tables).networks[0]
    assert (network.shape, network.batch_axis) == ({"H": 48}, {"state": 1})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("shape = { H = 0 }", r"matrix\.toml:6: .*H: must be a size of at least 1"),
        ("shape = { H = 1.5 }", "must be a size of at least 1"),
        ("shape = { x = [] }", "or a list of sizes"),
        ("shape = { x = [1, true] }", "or a list of sizes"),
        ("shape = 48", "must be a table"),
        ("batch_axis = { state = -1 }", "must be the number of an axis"),
        ('batch_axis = { state = "N" }', "must be the number of an axis"),
    ],
)
def test_sizes_and_axes_that_are_none_are_refused(tmp_path, line, said):
    with pytest.raises(UsageError, match=said):
        load(tmp_path, FIVE_LINES + line + "\n")
