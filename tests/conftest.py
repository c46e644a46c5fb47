"""What the tests share: markers that skip with the reason, and real Caffe where it is installed."""

from __future__ import annotations

import os
import signal
from functools import lru_cache

import pytest
from hypothesis import settings

from inferkit.backends.caffe.root import ENVIRONMENT_VARIABLE, CaffeRoot, probe, require_root
from inferkit.errors import BackendUnavailable
from inferkit.measure.machine.busy_host import VARIABLE as BUSY_HOST_VARIABLE

# A busy machine makes any test slow for a moment: no test may fail for the time that it took. On CI examples are the
# same in every run of the same code: a build must not fail for what another change did.
settings.register_profile("inferkit", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("inferkit")

# Tests run side by side, so to the suites among them the host is always busy: they are about other things.
os.environ[BUSY_HOST_VARIABLE] = "accept"

# A runner in the background is started with Ctrl-C ignored, and its children would inherit that: they must hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@lru_cache(maxsize=1)
def _caffe() -> CaffeRoot | str:
    """The Caffe to test with, or why there is none."""
    try:
        root = require_root()
        probe(root)
        # Tests that move the cache elsewhere must not lose a Caffe that is installed in it.
        os.environ[ENVIRONMENT_VARIABLE] = str(root.path)
    except BackendUnavailable as error:
        return str(error)
    return root


@lru_cache(maxsize=1)
def _without_tensorrt_rtx() -> str | None:
    """Why engines cannot be built; None where they can, with or without a GPU."""
    from inferkit.backends.tensorrt.flavour import load_flavour

    try:
        load_flavour("tensorrt_rtx")
    except BackendUnavailable as error:
        return error.reason
    return None


@pytest.hookimpl(tryfirst=True)  # before -m chooses among the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "rtx" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.tensorrt_rtx)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("tensorrt_rtx") and (reason := _without_tensorrt_rtx()):
        pytest.skip(reason)
    if item.get_closest_marker("pycaffe"):
        found = _caffe()
        if isinstance(found, str):
            pytest.skip(found)


@pytest.fixture(scope="session")
def caffe_root() -> CaffeRoot:
    """Real Caffe: `caffe_root.run(["convert_imageset", …])`. For tests marked `pycaffe`."""
    found = _caffe()
    if isinstance(found, str):
        pytest.skip(found)
    return found
