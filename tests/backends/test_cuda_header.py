"""Whether pip could compile PyCUDA is known before: where cuda.h is, or which package has it."""

from pathlib import Path

import pytest

from inferkit.backends import cuda_header as looked


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine whose only CUDA is what the test makes in this folder."""
    for name in ("CPATH", "CUDA_ROOT", "CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    usual = (Path("/usr/include"), Path("/usr/local"))
    if any((folder / "cuda.h").exists() or list(folder.glob("cuda*/include/cuda.h")) for folder in usual):
        pytest.skip("CUDA's headers are installed here")
    monkeypatch.setattr(looked.sysconfig, "get_paths", lambda: {"purelib": str(tmp_path / "site-packages")})
    return tmp_path


def header(folder):
    folder.mkdir(parents=True)
    (folder / "cuda.h").write_text("")


def test_a_missing_header_is_named_with_the_packages_that_have_it(bare):
    assert looked.cuda_header() is None
    hint = looked.pycuda_hint()
    for words in ("cuda.h", "apt install nvidia-cuda-toolkit", "conda install", "cuda-toolkit", "pip install pycuda"):
        assert words in hint


def test_a_header_that_the_compiler_would_not_find_is_handed_to_it(bare, monkeypatch):
    header(bare / "site-packages" / "nvidia" / "cu13" / "include")
    assert looked.pycuda_hint() == f"CPATH={bare}/site-packages/nvidia/cu13/include pip install pycuda"
    header(bare / "cuda" / "include")
    monkeypatch.setenv("CUDA_HOME", str(bare / "cuda"))
    assert looked.cuda_header() == bare / "cuda" / "include" / "cuda.h"
    (bare / "cuda" / "bin").mkdir()
    (bare / "cuda" / "bin" / "nvcc").write_text("")
    assert looked.pycuda_hint() == f"PATH={bare}/cuda/bin:$PATH pip install pycuda"


def test_doctor_says_it(bare):
    from inferkit.report.doctor import _absent

    assert "pip cannot compile it: cuda.h is missing" in _absent("pycuda").line
    assert "apt install nvidia-cuda-toolkit" in _absent("pycuda").hint
    header(bare / "site-packages" / "nvidia" / "cu13" / "include")
    assert "cannot" not in _absent("pycuda").line
