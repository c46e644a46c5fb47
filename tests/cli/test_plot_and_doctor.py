"""`inferkit plot` and `inferkit doctor` as a user calls them."""

import json
import xml.etree.ElementTree as ElementTree

import cv2
import pytest

from inferkit.backends.base import Availability
from inferkit.cli.main import main
from inferkit.report import doctor
from inferkit.report.doctor import Finding, can_run, examine, wandering
from tests.gate.run_files import foreign, write
from tests.report.report_files import HARM, run_json, write_run

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
    assert f"{HARM}: throughput over batch size" in titles


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
    assert "no figures" in capsys.readouterr().out


def test_the_doctor_says_one_line_for_each_and_that_the_suite_runs(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "the default suite can run"
    for name in ("python", "onnxruntime", "backend onnxruntime", "backend caffe", "backend tensorrt", "cpu", "load",
                 "governor", "memory", "disk", "gate at 2 %"):  # fmt: skip
        assert len([line for line in lines if line[8:].startswith(f"{name}: ")]) == 1, name
    assert {line[:8].strip() for line in lines[:-1]} <= {"ok", "note", "problem"}


def test_the_doctor_in_json(capsys):
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["can_run"] is True
    assert {"name", "state", "found", "way_out", "blocks"} == set(told["findings"][0])


def test_without_the_backend_of_the_default_suite_it_fails_and_names_the_way_out(monkeypatch, capsys):
    class Broken:
        def availability(self, precision="fp32"):
            return Availability(False, "libgomp is missing", "apt-get install libgomp1")

    monkeypatch.setattr(doctor, "backend", lambda name: Broken())
    assert main(["doctor"]) == 1
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
    assert [each.way_out for each in findings if each.blocks] == ["pip install no-such-package"]
    assert "boom" in findings[0].found


def test_a_disturbed_machine_cannot_gate(monkeypatch):
    monkeypatch.setattr(doctor, "wandering", lambda: 0.001)
    load = Finding("load", doctor.PROBLEM, "9.00 on 2 CPUs")
    assert "disturbed by load" in doctor._can_gate([load]).found
    assert doctor._can_gate([Finding("load", doctor.OK, "0.01")]).state == doctor.OK
    monkeypatch.setattr(doctor, "wandering", lambda: 0.05)
    assert doctor._can_gate([]).found == "no: a fixed piece of arithmetic wanders by 5.0%"


def test_wandering_is_a_share():
    assert 0 <= wandering(10) < 10
