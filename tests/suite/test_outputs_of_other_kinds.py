"""A run whose outputs are no UTF-8 terminal and no regular file: the table in other characters, the device unharmed."""

from __future__ import annotations

import json
import os
import stat

import pytest

from tests.suite.tiny_project import MATRIX, Project


def test_a_terminal_that_is_not_utf_8_gets_the_table_in_other_characters(project: Project) -> None:
    run = project.run("--replicates=2", "--batch-size=1", PYTHONIOENCODING="ascii:strict")
    assert run.code == 0, run.text
    assert run.text.isascii()
    assert "\\x" not in run.text, "pytest would write escapes"
    head, rule, row = run.text[run.text.index("case  ") :].splitlines()[:3]
    assert head.split()[:3] == ["case", "median", "~"]
    assert set(rule) == {"-"}
    assert row.split()[2] in ("us", "ms")
    assert len(rule) >= len(head)


def test_a_network_that_takes_no_images_has_a_throughput_of_items(project: Project) -> None:
    """The tiny network takes [N, 1, 8, 8]: images of one channel. The other one takes the same pixels in a row."""
    import onnx
    from onnx import helper

    run = project.run("--replicates=1", "--batch-size=1")
    assert "images/s" in run.text
    assert "items/s" not in run.text
    path = project.folder / "bench" / "flat.onnx"
    model = onnx.load(project.folder / "bench" / "tiny.onnx")
    del model.graph.node[0]
    model.graph.node[0].input[0] = "data"
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, ["N", 64]))
    onnx.save(model, path)
    named = MATRIX.replace("tiny.onnx", "flat.onnx").replace('dataset = "images.npz"\n', "")
    project.matrix("\n".join(line for line in named.splitlines() if not line.startswith(("preprocessing", "top1"))))
    run = project.run("--replicates=1", "--batch-size=1", "--benchmark-json=run.json", "--report=out.html")
    assert run.code == 0, run.text
    assert "items/s" in run.text
    assert "images/s" not in run.text
    content = json.loads((project.folder / "run.json").read_text())
    assert [case["unit"] for case in content["inferkit"]["cases"].values()] == ["items"]
    assert [entry["extra_info"]["unit"] for entry in content["benchmarks"]] == ["items"]
    page = (project.folder / "out.html").read_text(encoding="utf-8")
    assert "items/s" in page
    assert "images/s" not in page


def test_files_that_are_links_and_devices_stay_what_they_are(project: Project) -> None:
    link, device = project.folder / "link.json", project.folder / "null"
    link.symlink_to("real.json")
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except PermissionError:
        pytest.skip("making a device needs root, and a file system that allows devices")
    run = project.run("--replicates=1", "--batch-size=1", "--benchmark-json=link.json", "--verdict-json=null")
    assert run.code == 0, run.text
    assert link.is_symlink()
    assert json.loads((project.folder / "real.json").read_text())["inferkit"]["cases"]
    assert stat.S_ISCHR(device.lstat().st_mode)
    run = project.run("--replicates=1", "--batch-size=1", "--benchmark-json=null", "--report=null")
    assert run.code == 0, run.text
    assert stat.S_ISCHR(device.lstat().st_mode)
    assert "written: null" in run.text
    assert not list(project.folder.glob("null.*")), "there is no place for traces beside a device"
