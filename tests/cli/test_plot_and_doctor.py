"""`inferkit plot` and `inferkit doctor` as a user calls them."""

import json
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import onnxruntime
import pytest

from inferkit.backends.base import Availability
from inferkit.cli.main import main
from inferkit.exit_codes import ExitCode
from inferkit.report import doctor
from inferkit.report.doctor import Finding, can_run, examine, variation_of_times
from tests.gate.run_files import foreign, write
from tests.report.report_files import HARM, run_json, write_run
from tests.suite.tiny_project import store_baseline

SVG = "{http://www.w3.org/2000/svg}"


def test_every_chart_is_a_file_that_parses_and_says_what_it_shows(tmp_path, capsys):
    run = write_run(tmp_path / "run.json", run_json(("lenet", HARM)), traces=False)
    assert main(["plot", str(run), "-o", str(tmp_path / "plots"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)
    assert len(files) == len(set(files)) == 8
    titles = []
    for file in files:
        root = ElementTree.parse(file).getroot()
        assert root.tag == f"{SVG}svg"
        assert not [each for each in root.iter() if each.tag.endswith(("script", "image", "foreignObject"))]
        titles.append(root.find(f"{SVG}title").text)
        assert root.find(f"{SVG}desc").text
        assert "var(" not in root.find(f"{SVG}style").text  # most programs know no variables
    assert f"{HARM}: throughput over batch size" in titles


def test_the_pictures_of_every_case_are_files_too(tmp_path, capsys):
    run = write_run(tmp_path / "run.json", run_json(("lenet", HARM), (1,)))
    assert main(["plot", str(run), "-o", str(tmp_path / "plots"), "--cases", "--json"]) == 0
    files = [file for file in json.loads(capsys.readouterr().out) if "/cases/" in file]
    assert len(files) == len(set(files)) == 4 * 4  # four latency cases with four pictures each
    for file in files:
        root = ElementTree.parse(file).getroot()
        assert root.tag == f"{SVG}svg"
        assert root.find(f"{SVG}title").text
        assert "var(" not in root.find(f"{SVG}style").text
        assert not [each for each in root.iter() if each.tag.endswith(("script", "image", "foreignObject"))]


def test_networks_that_differ_in_signs_only_have_files_of_their_own(tmp_path, capsys):
    run = write_run(tmp_path / "run.json", run_json(("my net", "my.net", "my-net")), traces=False)
    assert main(["plot", str(run), "-o", str(tmp_path / "plots"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)
    assert len(set(files)) == 12


def test_png_beside_every_svg(tmp_path):
    pytest.importorskip("matplotlib")
    run = write_run(tmp_path / "run.json", run_json(("$lenet_{",)), traces=False)
    assert main(["plot", str(run), "-o", str(tmp_path / "plots"), "--png"]) == 0
    images = sorted((tmp_path / "plots").glob("*.png"))
    assert len(images) == 4
    for image in images:
        assert cv2.imread(str(image)).shape == (700, 1040, 3)


def test_a_run_without_figures_has_nothing_to_plot(tmp_path, capsys):
    run = write(tmp_path / "theirs.json", foreign({"a": 0.1}))
    assert main(["plot", str(run), "-o", str(tmp_path / "plots")]) == 12
    assert "nothing to plot" in capsys.readouterr().out


def test_the_help_names_the_loads_that_can_be_plotted(capsys):
    with pytest.raises(SystemExit):
        main(["plot", "--help"])
    assert "serve-bench--delays" in "".join(capsys.readouterr().out.split())  # argparse breaks lines at hyphens too


def test_the_doctor_says_one_line_for_each_and_that_the_suite_runs(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "the default suite can run"
    for name in ("python", "onnxruntime", "backend onnxruntime", "backend caffe", "backend tensorrt", "cpu", "load",
                 "governor", "memory", "disk", "gate at 2 %"):  # fmt: skip
        assert len([line for line in lines if line[8:].startswith(f"{name}: ")]) == 1, name
    assert {line[:8].strip() for line in lines[:-1]} <= {"ok", "note", "problem"}


def test_the_doctor_waits_for_no_library_that_it_does_not_need():
    """scipy.stats alone takes a second to import, and more on a busy machine."""
    code = "import sys; from inferkit.report.doctor import examine; from inferkit.suite.checkup import suite; "
    code += "examine((suite,)); print('scipy.stats' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_an_onnx_runtime_that_averages_wrongly_is_told():
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    told = {finding.name: finding for finding in doctor._padding()}
    assert ("average pooling" in told) == ((1, 21) <= version <= (1, 24))
    assert all("pip install -U onnxruntime" in finding.hint for finding in told.values())


def test_the_doctor_in_json(capsys):
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["can_run"] is True
    assert {"name", "state", "found", "hint", "blocks"} == set(told["findings"][0])


def test_without_the_backend_of_the_default_suite_it_fails_and_names_the_hint(monkeypatch, capsys):
    class Broken:
        def availability(self, precision="fp32"):
            return Availability(False, "libgomp is missing", "apt-get install libgomp1")

    monkeypatch.setattr(doctor, "backend", lambda name: Broken())
    assert main(["doctor"]) == ExitCode.INVALID
    out = capsys.readouterr().out
    assert "problem backend onnxruntime: does not run: libgomp is missing; apt-get install libgomp1" in out
    assert "cannot run" in out.splitlines()[-1]


def test_a_missing_package_blocks_and_a_check_that_breaks_does_not_break_the_others(monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGES", {"no-such-package": "no_such_package"})

    def broken():
        raise RuntimeError("boom")
        yield

    monkeypatch.setattr(doctor, "_CHECKS", (broken, *doctor._CHECKS))
    findings = examine()
    assert not can_run(findings)
    assert [each.hint for each in findings if each.blocks] == ["pip install no-such-package"]
    assert "boom" in findings[0].text


def test_a_disturbed_machine_cannot_gate(monkeypatch):
    monkeypatch.setattr(doctor, "variation_of_times", lambda: 0.001)
    load = Finding("load", doctor.PROBLEM, "9.00 on 2 CPUs")
    assert "disturbed by load" in doctor._can_gate([load]).text
    assert doctor._can_gate([Finding("load", doctor.OK, "0.01")]).state == doctor.OK
    monkeypatch.setattr(doctor, "variation_of_times", lambda: 0.05)
    assert doctor._can_gate([]).text == "no: the time of a fixed computation varies by 5.0%"


def test_the_variation_of_times_is_a_share():
    assert 0 <= variation_of_times(10) < 10


def test_a_version_that_inferkit_cannot_use_blocks_and_names_the_one_it_needs(monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: ["numpy>=999", 'rich>=999; extra == "x"'])
    blocking = [each for each in doctor._versions() if each.blocks]
    assert [each.hint for each in blocking] == ["pip install 'numpy>=999'"]


def test_a_container_with_a_quota_of_cpus_is_a_problem(monkeypatch):
    monkeypatch.setattr(doctor, "cpu_quota", lambda: 0.5)
    (quota,) = [each for each in doctor._host() if each.name == "cpu quota"]
    assert quota.state == doctor.PROBLEM
    assert "disturbed by cpu quota" in doctor._can_gate([quota]).text


def test_too_little_room_blocks_and_little_room_does_not():
    assert doctor._amount("disk", 3 << 30, "", "").state == doctor.OK
    assert [doctor._amount("disk", free, "", "").blocks for free in (1 << 30, 1 << 20)] == [False, True]


def suite_findings(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    code = main(["doctor", "--json"])
    return code, {each["name"]: each for each in json.loads(capsys.readouterr().out)["findings"]}


def test_a_suite_that_cannot_run_here_has_an_exit_code_of_its_own(tmp_path, monkeypatch, capsys):
    matrix = tmp_path / "matrix.toml"
    matrix.write_text('[[networks]]\nname = "lenet"\nprecision = ["fp32"]\n')
    code, found = suite_findings(tmp_path, monkeypatch, capsys)
    assert code == ExitCode.INVALID
    assert "matrix.toml:3" in found["suite"]["found"]
    matrix.write_text('[[networks]]\nname = "mine"\nmodel = "mine.onnx"\n')
    code, found = suite_findings(tmp_path, monkeypatch, capsys)
    assert code == ExitCode.INVALID
    assert found["suite files"]["found"].endswith("mine.onnx does not exist")
    matrix.write_text('[[networks]]\nname = "lenet"\n')
    code, found = suite_findings(tmp_path, monkeypatch, capsys)
    assert code == 0
    assert found["suite"]["found"] == "matrix.toml: 1 of 1 latency cases can run here"
    assert "promote" in found["baseline onnxruntime"]["hint"]


def test_the_noise_in_the_baseline_tells_what_it_can_show(tmp_path, monkeypatch, capsys):
    (tmp_path / "matrix.toml").write_text('[[networks]]\nname = "lenet"\nbatch_sizes = [1, 8]\n')
    quiet, noisy = (-9.0, -9.0002, -8.9998), (-7.0, -7.5, -6.5)
    cases = {"lenet-fp32-b1-onnxruntime": quiet, "lenet-fp32-b8-onnxruntime": noisy}
    store_baseline(tmp_path / "baselines", cases)
    code, found = suite_findings(tmp_path, monkeypatch, capsys)
    assert code == 0
    assert found["baseline onnxruntime"]["found"].endswith("2 of 2 cases")
    assert found["detectable onnxruntime"]["state"] == "note"
    assert "+2 % is detectable in 1 of 2 cases" in found["detectable onnxruntime"]["found"]


def test_every_declared_dependency_is_looked_at():
    declared = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert {re.split(r"[<>=!]", text)[0] for text in declared["dependencies"]} == set(doctor._PACKAGES)
