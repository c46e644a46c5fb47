"""The worker that Caffe runs in: its death is an error with Caffe's words, and it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferkit.backends.caffe.net import WorkerNet
from inferkit.backends.caffe.process import SCRIPT, Worker, last_words
from inferkit.backends.caffe.root import CaffeRoot
from inferkit.errors import BackendError, BackendUnavailable

NET = """
name: "net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 1 kernel_size: 5 weight_filler { type: "constant" value: 1 } }
}
"""
# Averages over windows of 101 x 101, one by one: half a minute of a forward pass with next to no memory.
SLOW = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 100 dim: 1 dim: 256 dim: 256 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE kernel_size: 101 } }
"""
PARENT = """
    import sys, threading
    from pathlib import Path
    from inferkit.backends.caffe.net import WorkerNet
    from inferkit.backends.caffe.root import require_root

    root, prototxt, starter, busy = sys.argv[1:]
    nets = []
    start = lambda: nets.append(WorkerNet(require_root(root), Path(prototxt), None, threads=1))
    if starter == "main":
        start()
    else:
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
    print(nets[0].worker.process.pid, flush=True)
    if busy == "busy":
        nets[0].execute()
    sys.stdin.read()
"""


@pytest.fixture
def prototxt(tmp_path: Path) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return path


def gone_within(pid: int, seconds: float) -> bool:
    """Whether the process ends in time (a zombie has ended)."""
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.pycaffe
def test_a_failed_check_is_an_error_with_caffes_words_and_the_next_worker_works(
    caffe_root: CaffeRoot, prototxt: Path
) -> None:
    net = WorkerNet(caffe_root, prototxt, None, threads=1)
    net.load({"data": np.ones((1, 1, 8, 8), np.float32)})
    with pytest.raises(BackendError, match=r"SIGABRT .*taking data \[1, 1, 2, 2\]"):
        net.load({"data": np.ones((1, 1, 2, 2), np.float32)})  # smaller than the kernel: Caffe aborts
    with pytest.raises(BackendError, match="closed"):
        net.execute()
    again = WorkerNet(caffe_root, prototxt, None, threads=1)
    again.load({"data": np.ones((1, 1, 8, 8), np.float32)})
    again.execute()
    assert (again.fetch(["conv"])["conv"] == 25).all()
    again.close()


@pytest.mark.pycaffe
def test_what_caffe_cannot_load_is_told_in_its_words(caffe_root: CaffeRoot, tmp_path: Path, prototxt: Path) -> None:
    wrong = tmp_path / "wrong.prototxt"
    wrong.write_text(NET.replace("Convolution", "Convolve", 1), encoding="utf-8")
    with pytest.raises(BackendError, match="Unknown layer type: Convolve"):
        WorkerNet(caffe_root, wrong, None)
    wrong.write_text(NET.replace("kernel_size", "kernel_sice"), encoding="utf-8")
    with pytest.raises(BackendError, match='no field named "kernel_sice"'):
        WorkerNet(caffe_root, wrong, None)
    weights = tmp_path / "weights.caffemodel"
    weights.write_bytes(b"\x0a\xff")
    with pytest.raises(BackendError, match=r"weights\.caffemodel"):
        WorkerNet(caffe_root, prototxt, weights)


@pytest.mark.pycaffe
def test_a_killed_worker_is_an_error_that_names_the_signal(caffe_root: CaffeRoot, prototxt: Path) -> None:
    net = WorkerNet(caffe_root, prototxt, None, threads=1)
    net.worker.process.kill()
    with pytest.raises(BackendError, match=r"SIGKILL in net\.forward"):
        net.execute()
    net.close()


@pytest.mark.pycaffe
def test_a_worker_that_does_not_answer_is_ended(caffe_root: CaffeRoot, prototxt: Path) -> None:
    net = WorkerNet(caffe_root, prototxt, None, threads=1)
    net.worker.process.send_signal(signal.SIGSTOP)
    net.worker.timeout = 0.2
    with pytest.raises(BackendError, match=r"did not answer within 0\.2 s"):
        net.execute()
    assert gone_within(net.worker.process.pid, 5)


@pytest.mark.pycaffe
@pytest.mark.parametrize("starter", ["main", "thread"])
@pytest.mark.parametrize("busy", ["idle", "busy"])
def test_a_worker_ends_when_its_parent_is_killed(
    caffe_root: CaffeRoot, tmp_path: Path, starter: str, busy: str
) -> None:
    slow = tmp_path / "slow.prototxt"
    slow.write_text(SLOW, encoding="utf-8")
    words = [sys.executable, "-c", textwrap.dedent(PARENT), str(caffe_root.path), str(slow), starter, busy]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        if busy == "busy":
            before = worker.cpu_times().user
            while worker.cpu_times().user - before < 0.1:  # until it computes
                os.sched_yield()
        parent.kill()
    assert gone_within(worker.pid, 5)


@pytest.mark.pycaffe
def test_a_worker_started_by_a_thread_outlives_the_thread(caffe_root: CaffeRoot, prototxt: Path) -> None:
    opened: list[WorkerNet] = []
    thread = threading.Thread(target=lambda: opened.append(WorkerNet(caffe_root, prototxt, None, threads=1)))
    thread.start()
    thread.join()
    opened[0].load({"data": np.ones((1, 1, 8, 8), np.float32)})
    assert opened[0].execute() > 0
    opened[0].close()


@pytest.mark.pycaffe
def test_ctrl_c_in_mid_request_ends_the_worker_and_is_passed_on(caffe_root: CaffeRoot, prototxt: Path) -> None:
    net = WorkerNet(caffe_root, prototxt, None, threads=1)
    net.worker.process.send_signal(signal.SIGSTOP)  # so that the request is still open when the signal comes
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        net.execute()
    assert not net.worker.alive
    with pytest.raises(BackendError, match="closed"):
        net.execute()


@pytest.mark.pycaffe
def test_closing_ends_the_process_and_frees_its_pipes(caffe_root: CaffeRoot, prototxt: Path) -> None:
    before = psutil.Process().num_fds()
    for _ in range(3):
        net = WorkerNet(caffe_root, prototxt, None, threads=1)
        pid = net.worker.process.pid
        net.close()
        net.close()
        assert gone_within(pid, 5)
        del net
    assert psutil.Process().num_fds() <= before


@pytest.mark.pycaffe
def test_a_blob_that_is_no_output_can_be_read_and_an_unknown_one_is_named(
    caffe_root: CaffeRoot, prototxt: Path
) -> None:
    net = WorkerNet(caffe_root, prototxt, None, threads=1)
    net.load({"data": np.full((2, 1, 8, 8), 7, np.float32)})
    net.execute()
    assert (net.fetch(["data"])["data"] == 7).all()
    with pytest.raises(BackendError, match="fc8"):
        net.fetch(["fc8"])
    net.close()


@pytest.mark.pycaffe
def test_arrays_larger_than_all_before_make_the_shared_memory_grow(caffe_root: CaffeRoot, tmp_path: Path) -> None:
    path = tmp_path / "tile.prototxt"
    path.write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }'
        'layer { name: "tile" type: "Tile" bottom: "data" top: "tile" tile_param { axis: 1 tiles: 5000 } }',
        encoding="utf-8",
    )
    net = WorkerNet(caffe_root, path, None, threads=1)
    for batch in (1, 50, 2):
        fed = np.random.default_rng(batch).standard_normal((batch, 3)).astype(np.float32)
        net.load({"data": fed})
        net.execute()
        np.testing.assert_array_equal(net.fetch(["tile"])["tile"], np.tile(fed, (1, 5000)))
    net.close()


def test_an_interpreter_without_caffe_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable, match="caffe"):
        Worker(CaffeRoot(Path(sys.executable), "interpreter"))


def test_an_interpreter_that_cannot_start_leaves_no_open_pipe(tmp_path: Path) -> None:
    nothing = tmp_path / "python"
    nothing.write_text("#!/nonexistent/interpreter\n")
    nothing.chmod(0o755)
    before = psutil.Process().num_fds()
    with pytest.raises(BackendUnavailable, match="cannot be started"):
        Worker(CaffeRoot(nothing, "interpreter"))
    assert psutil.Process().num_fds() == before


GLOG = """\
I1122 11:00:00.000000  1 net.cpp:51] Initializing net from parameters:
I1122 11:00:00.000001  1 layer_factory.hpp:77] Creating layer conv
I1122 11:00:00.000002  1 net.cpp:84] Creating Layer conv
F1122 11:00:00.000003  1 base_conv_layer.cpp:30] Check failed: 1 == 2 (1 vs. 2) kernel
*** Check failure stack trace: ***
    @     0x7f0000000000  google::LogMessage::Fail()
"""


@pytest.mark.pycaffe
def test_what_caffe_imports_late_still_works(caffe_root: CaffeRoot) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import worker, numpy as np\n"
        "caffe = worker.import_caffe(); assert 'skimage' not in sys.modules\n"
        "print(caffe.io.resize_image(np.ones((4, 4, 3), np.float32), (2, 2)).sum())\n"
        "print(caffe.io.skimage.img_as_float(np.full((1,), 255, np.uint8)))"
    )
    assert caffe_root.run(["python3", "-c", code]).stdout.split() == ["12.0", "[1.]"]


def test_last_words_are_the_failed_check_and_the_layer_that_was_begun() -> None:
    assert last_words(GLOG) == "Check failed: 1 == 2 (1 vs. 2) kernel\nthe last layer that Caffe began is conv"


def test_a_check_that_fails_after_the_network_stands_names_no_layer() -> None:
    stands = GLOG.replace("F1122", "I1122 11:00:00.000002  1 net.cpp:255] Network initialization done.\nF1122")
    assert last_words(stands) == "Check failed: 1 == 2 (1 vs. 2) kernel"


@given(st.text())
def test_last_words_of_any_log_are_short(log: str) -> None:
    assert len(last_words(log, lines=8).split("\n")) <= 8 + log.count("\r")
