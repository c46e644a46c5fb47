"""`inferkit zoo` lists the networks and writes their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferkit.cli.main import main
from inferkit.network import zoo


def test_every_network_is_listed_on_one_line_with_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in zoo.names():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        net = zoo.build(name)
        assert f"{net.parameters / 1e6:.2f}" in line
        assert f"{net.macs / 1e9:.3f}" in line
        assert "×".join(map(str, net.shapes["data"])) in line
        assert ("trained on Fashion-MNIST" in line) == zoo.is_trained(name)


def test_named_networks_alone_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "vgg16"]) == 0
    out = capsys.readouterr().out
    assert "138.36" in out
    assert "vgg19" not in out


def test_files_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", "lenet", "squeezenet1_1", "-o", str(tmp_path / "models")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert all(Path(line).is_file() for line in printed)
    assert {path.name for path in (tmp_path / "models").iterdir()} == {Path(line).name for line in printed}


@pytest.mark.parametrize("arguments", [["-o", "x"], ["resnet51"], ["lenet", "resnet51", "-o", "x"]])
def test_what_makes_no_sense_is_refused_with_code_2_and_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["zoo", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("inferkit zoo: ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line_of_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["zoo", "lenet", "-o", str(tmp_path / "file")]) == 2
    assert "lenet cannot be written" in capsys.readouterr().err
