"""A batch is cut only where the rows of the outputs are known to be the requests'."""

import numpy as np
import onnx
import onnx.parser
import pytest

import inferkit
from inferkit.errors import UsageError
from inferkit.serve import Batcher

LONG = 30.0


def served(folder, text):
    """The session of an ONNX text, for batches of up to 4."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{text}')
    onnx.save(model, folder / "net.onnx")
    return inferkit.build(inferkit.load(folder / "net.onnx"), max_batch=4, threads=1).session()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("g (float[N, 2] x) => (int64[K, 2] at) { c = NonZero(x) at = Transpose<perm=[1,0]>(c) }", "'at' has K rows"),
        (
            "g (float[N, 2] x) => (float[R, 2] best) { s = ReduceMax<axes=[1], keepdims=0>(x) "
            "k = IsNaN(s) best = Compress<axis=0>(x, k) }",
            "'best' has R rows",
        ),
        ("g (float[N, 2] x) => (float[1, 2] mean) { mean = ReduceMean<axes=[0]>(x) }", "has 1 rows for a batch of N"),
        ("g (float[N, 2] x) => (float[M, 2] mean) { mean = ReduceMean<axes=[0]>(x) }", "has 1 rows for a batch of N"),
        ("g (float[N, 2] x) => (float[N, N] y) { t = Transpose(x) y = MatMul(x, t) }", "'y' has N rows"),
        ("g (float[N, 2] x) => (float total) { total = ReduceSum<keepdims=0>(x) }", "one number for the whole batch"),
        (
            "g (float[N, 2] x) => (float[2, N] y) { y = Transpose<perm=[1,0]>(x) }",
            r"'y' \[2, N\] has its batch on axis 1",
        ),
        (
            "g (float[N, 2] x) => (float[2, M] y) { y = Transpose<perm=[1,0]>(x) }",
            r"'y' \[2, N\] has its batch on axis 1",
        ),
        ("g (float[2, N] x) => (float[2, N] y) { y = Relu(x) }", r"input 'x' \[2, N\] has its batch on axis 1"),
        ("g (float[N, 2] x, float[K, 2] z) => (float[N, K] y) { t = Transpose(z) y = MatMul(x, t) }", "'z' .* no axis"),
        ("g (float[N, 2] x, float s) => (float[N, 2] y) { y = Mul(x, s) }", r"input 's' \[\] has no axis"),
        ("g (float[N, 2] x, float[batch, 2] z) => (float[N, 2] y) { y = Mul(x, z) }", "names it diff"),
        ("g (float[3, 2] x) => (float[2, 3] y) { y = Transpose<perm=[1,0]>(x) }", r"'x' \[3, 2\] has no axis"),
    ],
)
def test_a_network_whose_rows_are_not_the_requests_is_refused(text, reason, tmp_path):
    with served(tmp_path, text) as session, pytest.raises(UsageError, match=reason):
        Batcher(session, 2)


@pytest.mark.parametrize("batch", ["N", "renamed"])
def test_requests_get_their_own_rows_whatever_the_file_calls_the_batch(batch, tmp_path):
    text = f"""g (float[N, 2, 3] x) => (float[{batch}, 6] y) <int64[2] shape = {{-1, 6}}>
        {{ r = Reshape(x, shape) y = Relu(r) }}"""
    images = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    with served(tmp_path, text) as session, Batcher(session, 4, delay=0.05) as batcher:
        futures = [batcher.submit(part) for part in (images[:1], images[1:])]
        rows = [future.result(LONG)["y"] for future in futures]
    assert [len(part) for part in rows] == [1, 2]
    np.testing.assert_array_equal(np.concatenate(rows), images.reshape(3, 6))
