"""The plugin's manners: narrowing, pytest-benchmark's own switches, other projects, other plugins."""

import argparse

import pytest

from inferkit.suite.session.options import OPTIONS
from tests.suite.tiny_project import MATRIX

TINY = "tiny-fp32-b1-onnxruntime"


def collected(run):
    return [line.split("::")[1] for line in run.text.splitlines() if "::" in line]


@pytest.mark.parametrize(
    "options, cases",
    [
        (["--batch-size", "4,1", "--model=tiny"], [f"test_latency[{TINY}]", "test_latency[tiny-fp32-b4-onnxruntime]"]),
        (["--inferkit-batch-size", "1", "--precision", "FLOAT"], [f"test_latency[{TINY}]"]),
    ],
)
def test_options_narrow_the_matrix(project, options, cases):
    run = project.run("--collect-only", "-q", *options)
    assert run.code == 0, run.text
    assert [name for name in collected(run) if "latency" in name] == cases


@pytest.mark.parametrize(
    "options, said",
    [
        (["--model", "tyny"], "--model tyny: no case of the matrix has it; did you mean 'tiny'?"),
        (["--matrix", "nowhere.toml"], "nowhere.toml: there is no such matrix"),
    ],
)
def test_what_the_matrix_does_not_have_is_an_error_that_says_so(project, options, said):
    run = project.run(*options)
    assert run.code == 2
    assert said in run.text
    assert "Traceback" not in run.text


def test_a_mistake_in_the_matrix_is_told_with_its_line(project):
    project.matrix(MATRIX + 'presicions = ["int8"]\n')
    run = project.run()
    assert run.code == 2
    assert "matrix.toml:13: [networks] presicions: is not known here; did you mean 'precisions'?" in run.text
    assert "Traceback" not in run.text


def test_a_number_that_makes_no_sense_is_a_usage_error(project):
    run = project.run("--replicates=0")
    assert run.code == 4
    assert "must be a whole number above 0, not '0'" in run.text


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "never", "1e10", ""])
def test_only_sensible_numbers_are_taken(text):
    option = next(option for option in OPTIONS if option.name == "time-budget")
    with pytest.raises(argparse.ArgumentTypeError, match="above 0"):
        option.kind(text)
    assert option.kind("2.5") == 2.5


def test_without_pytest_benchmark_the_suite_says_so_before_it_measures(project):
    run = project.run("-p", "no:benchmark")
    assert run.code == 4
    assert "the suite hands its times to pytest-benchmark, which is switched off" in run.text
    assert "replicate 1" not in run.text


@pytest.mark.slow
def test_skipped_benchmarks_are_not_measured(project):
    run = project.run("--benchmark-skip")
    assert run.code == 0
    assert "3 skipped" in run.text
    assert "replicate" not in run.text


@pytest.mark.slow
def test_disabled_benchmarks_run_once_and_are_not_judged(project):
    run = project.run("--benchmark-disable", "--batch-size=1")
    assert run.code == 0, run.text
    assert "replicate 1 of 1" in run.text
    assert "2 passed" in run.text
    assert "baseline" not in run.text.splitlines()[-1]


def test_collecting_measures_nothing_and_loads_nothing_heavy(project):
    heavy = "onnx", "onnxruntime", "scipy", "tensorrt", "cv2", "lmdb"
    (project.folder / "conftest.py").write_text(
        "import sys\n"
        "def pytest_unconfigure(config):\n"
        f"    loaded = [name for name in {heavy!r} if name in sys.modules]\n"
        "    print('loaded:', loaded)\n"
    )
    run = project.run("--collect-only", "-q", "--benchmark-only")
    assert "loaded: []" in run.text
    assert "replicate" not in run.text


def test_a_project_of_its_own_options_and_fixtures_is_left_alone(project):
    """Short option names belong to the project that wants them; ours have long ones."""
    bench = project.folder / "bench"
    for path in bench.iterdir():
        path.unlink()
    (project.folder / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--model', default='theirs')\n"
        "    parser.addoption('--matrix', action='store_true')\n"
        "@pytest.fixture\n"
        "def latency(request):\n"
        "    return request.config.getoption('--model')\n"
    )
    (bench / "test_theirs.py").write_text(
        "import sys\n"
        "def test_theirs(latency):\n"
        "    assert latency == 'large'\n"
        "    assert 'inferkit.suite.session.state' not in sys.modules\n"
        "    assert 'numpy' not in sys.modules\n"
        "def test_benchmark(benchmark):\n"
        "    benchmark(sum, [1, 2])\n"
    )
    run = project.run("--model", "large", "--benchmark-json=theirs.json")
    assert run.code == 0, run.text
    assert "2 passed" in run.text
    assert "Name (time in" in run.text
    assert '"inferkit":' not in (project.folder / "theirs.json").read_text()


@pytest.mark.slow
def test_where_a_project_has_taken_model_the_long_name_narrows(project):
    (project.folder / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--batch-size', type=int, default=3)\n"
    )
    run = project.run("--collect-only", "-q", "--batch-size=7", "--inferkit-batch-size=4")
    assert [name for name in collected(run) if "latency" in name] == ["test_latency[tiny-fp32-b4-onnxruntime]"]


def test_a_checkout_that_is_not_installed_has_the_plugin_by_its_conftest(project):
    (project.folder / "conftest.py").write_text(
        'pytest_plugins = ["pytest_benchmark.plugin", "inferkit.pytest_plugin"]\n'
    )
    run = project.run("--collect-only", "-q", "--batch-size=4", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert run.code == 0, run.text
    assert [name for name in collected(run) if "latency" in name] == ["test_latency[tiny-fp32-b4-onnxruntime]"]
