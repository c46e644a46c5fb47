"""A real server on loopback, with the protocol's own clients and with what no client should send."""

import asyncio
import http.client
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inferkit.cli.main import main
from inferkit.errors import UsageError
from inferkit.serve.batching.errors import BadRequest
from inferkit.serve.protocol.http import _body
from inferkit.serve.protocol.messages import messages
from inferkit.serve.protocol.server import InferenceServer, check_address
from inferkit.serve.protocol.service import Service
from tests.serve.protocol.doubling import Doubling, an_input, ask, ask_grpc, grpc_request, infer

for library in ("grpc", "prometheus_client", "starlette", "uvicorn"):
    pytest.importorskip(library, reason=f"{library} is missing: pip install grpcio prometheus-client starlette uvicorn")

TOKEN = "correct-horse-battery"
LIMIT = 1 << 16


@pytest.fixture(scope="module")
def server():
    service = Service("doubling", Doubling(), 8, delay=0.001)
    with InferenceServer(service, http_port=0, grpc_port=0, max_bytes=LIMIT) as server:
        yield server


@pytest.fixture(scope="module")
def guarded():
    with InferenceServer(
        Service("doubling", Doubling(), 8, token=TOKEN), http_port=0, grpc_port=0, token=TOKEN
    ) as server:
        yield server


def test_json_alone_is_enough(server):
    status, answer = infer(server, {**an_input(), "id": "seven"})
    assert status == 200
    assert (answer["model_name"], answer["id"]) == ("doubling", "seven")
    assert {o["name"]: (o["datatype"], o["shape"], o["data"]) for o in answer["outputs"]} == {
        "y": ("FP32", [1, 3], [2.0, 4.0, 6.0]),
        "sum": ("FP64", [1], [6.0]),
    }


def test_health_and_metadata(server):
    assert ask(server, "GET", "/v2/health/live")[0] == 200
    assert ask(server, "GET", "/v2/health/ready")[0] == 200
    assert ask(server, "GET", "/v2/models/doubling/ready")[0] == 200
    status, content = ask(server, "GET", "/v2/models/doubling/versions/1")
    assert status == 200
    assert json.loads(content)["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert ask(server, "GET", "/v2/models/other")[0] == 404
    assert ask(server, "GET", "/v2/models/doubling/versions/2")[0] == 404


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        (b"", "not valid JSON"),
        (b"[" * 40_000, "not valid JSON"),
        (b"[]", "must be an object"),
        ({}, "inputs: must be a list"),
        ({"inputs": []}, "has the inputs x"),
        ({"inputs": [1]}, "must be an object"),
        (an_input(name="z"), "has the inputs x; the request has z"),
        (an_input(shape=(1, 2), data=(1.0, 2.0)), r"has the shape [N, 3]"),
        (an_input(shape=(9, 3), data=[0.0] * 27), "9 rows"),
        (an_input(kind="FP64"), "type float32; the request's is float64"),
        (an_input(data="abc"), "not of type FP32"),
        (an_input(data=(1e39, 0.0, 0.0)), "outside of FP32"),
        (an_input(data=(1.0, float("nan"), 3.0)), "1 NaN values, the first at [0, 1]"),
        ({"inputs": an_input()["inputs"] * 2}, "given twice"),
        ({**an_input(), "outputs": [{"name": "z"}]}, "no output z"),
        ({**an_input(), "parameters": {"timeout": "soon"}}, "number of microseconds"),
        ({**an_input(), "parameters": {"priority": 2}}, "parameter 'priority' is not supported; supported: timeout"),
        ({**an_input(), "parameters": {"sequence_id": "a", "sequence_start": True}}, "'sequence_id' is not supported"),
        ({**an_input(), "parameters": {"binary_data_output": "no"}}, "must be true or false"),
        (
            {**an_input(), "outputs": [{"name": "y", "parameters": {"classification": 1}}]},
            "output y: the parameter 'cl",
        ),
        ({**an_input(), "outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]}, "not supported"),
        ({**an_input(), "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, "must be true or false, not 1"),
        ({"inputs": [{**an_input()["inputs"][0], "parameters": {"content_type": "pd"}}]}, "input x: the parameter"),
        (
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}]},
            "left",
        ),
    ],
)
def test_a_bad_request_is_400_and_says_why(server, request_body, message):
    status, answer = infer(server, request_body)
    assert status == 400
    assert message in answer["error"]


def test_an_error_of_the_engine_is_500_for_that_request_alone(server):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda v: infer(server, an_input((v, v, v))), (1.0, -1.0, 2.0, 3.0, -2.0, 4.0)))
    assert [status for status, _ in answers] == [200, 500, 200, 200, 500, 200]
    assert "negative" in answers[1][1]["error"]


def test_an_output_that_json_cannot_say_is_500_and_goes_as_bytes(server):
    request = an_input((100.0, 1.0, 2.0))
    status, answer = infer(server, request)
    assert status == 500
    assert "output y has NaN or infinite values, which JSON cannot hold; request binary_data" in answer["error"]
    body = json.dumps({**request, "outputs": [{"name": "y", "parameters": {"binary_data": True}}]})
    status, content = ask(server, "POST", "/v2/models/doubling/infer", body)
    assert status == 200
    assert np.frombuffer(content[-12:], "<f4").tolist() == [np.inf, 2, 4]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v3", 404), ("DELETE", "/v2", 405), ("GET", "/v2/models/doubling/infer", 405)],
)
def test_a_wrong_address_or_method_is_told_in_json_too(server, method, path, status):
    answered, content = ask(server, method, path)
    assert answered == status
    assert json.loads(content)["error"]


def test_a_body_over_the_limit_is_413_with_and_without_its_length(server):
    assert infer(server, b" " * (LIMIT + 1))[0] == 413
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=30)
    connection.request("POST", "/v2/models/doubling/infer", (b" " * 1000 for _ in range(66)), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_client_that_leaves_within_its_request_is_no_failure_of_the_engine():
    from starlette.requests import Request

    parts = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(parts)

    with pytest.raises(BadRequest, match="disconnected after 1 bytes"):
        asyncio.run(_body(Request({"type": "http", "headers": []}, receive), LIMIT))


def test_compressed_bodies_are_refused(server):
    assert "compressed" in infer(server, b"x", {"Content-Encoding": "gzip"})[1]["error"]


def metrics(server, headers=None):
    return ask(server, "GET", "/metrics", headers=headers)[1].decode()


def value(page, name):
    return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(name)), 0.0)


def counted(page, outcome, protocol):
    return value(page, f'inferkit_requests_total{{outcome="{outcome}",protocol="{protocol}"}}')


def test_metrics_count_what_happened(server):
    before = metrics(server)
    infer(server, an_input())
    after = metrics(server)
    assert counted(after, "answered", "http") == counted(before, "answered", "http") + 1
    for histogram in ("queue_seconds", "batch_rows", "run_seconds", "request_seconds"):
        assert f"inferkit_{histogram}_bucket" in after


def test_a_request_is_counted_wherever_it_is_refused_and_only_answers_have_a_latency(server):
    def latencies(page):
        return value(page, 'inferkit_request_seconds_count{protocol="http"}')

    before = metrics(server)
    refused = (
        b"not valid JSON",
        {**an_input(), "parameters": None},
        an_input(kind="BYTES"),
        b" " * (LIMIT + 1),
        an_input("abc"),
    )
    for request in refused:
        assert infer(server, request)[0] in (400, 413)
    assert ask(server, "POST", "/v2/models/other/infer", b"{}")[0] == 404
    assert infer(server, an_input((-1.0, 0.0, 0.0)))[0] == 500
    after = metrics(server)
    assert counted(after, "refused", "http") == counted(before, "refused", "http") + len(refused) + 1
    assert counted(after, "failed", "http") == counted(before, "failed", "http") + 1
    assert latencies(after) == latencies(before)


def test_without_the_token_only_health_answers(guarded):
    assert ask(guarded, "GET", "/v2/health/live")[0] == 200
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    before = counted(metrics(guarded, bearer), "refused", "http")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
        assert infer(guarded, an_input(), headers)[0] == 401
        assert ask(guarded, "GET", "/metrics", headers=headers)[0] == 401
    assert counted(metrics(guarded, bearer), "refused", "http") == before + 3
    assert infer(guarded, an_input(), bearer)[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_addresses_than_loopback_need_a_token(host):
    with pytest.raises(UsageError, match="needs a token"):
        check_address(host, None)
    check_address(host, TOKEN)
    with pytest.raises(UsageError, match="16 printable"):
        check_address(host, "short")


def test_the_command_refuses_an_open_address_before_it_loads_anything(monkeypatch, capsys):
    monkeypatch.delenv("INFERKIT_SERVE_TOKEN", raising=False)
    assert main(["serve", "no-such-model", "--host", "0.0.0.0"]) == 2
    assert "needs a token" in capsys.readouterr().err


def test_a_queue_that_holds_no_batch_is_refused_before_anything_is_loaded(capsys):
    assert main(["serve", "no-such-model", "--queue", "8", "--max-batch", "32"]) == 2
    assert "--queue 8 is less than --max-batch 32" in capsys.readouterr().err


def test_a_taken_port_is_said(server):
    service = Service("second", Doubling(), 8)
    with pytest.raises(UsageError, match="cannot listen on"):
        InferenceServer(service, http_port=server.http_port, grpc_port=None)
    with pytest.raises(UsageError, match="cannot"):
        InferenceServer(service, http_port=0, grpc_port=server.grpc_port)
    service.close()


def test_the_http_client_of_triton(server):
    client = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is missing")
    with client.InferenceServerClient(f"127.0.0.1:{server.http_port}") as triton:
        assert triton.is_server_live()
        assert triton.is_server_ready()
        assert triton.is_model_ready("doubling")
        assert triton.get_model_metadata("doubling")["outputs"][0]["name"] == "y"
        _ask_as_triton(client, triton)


def test_the_grpc_client_of_triton(server):
    client = pytest.importorskip("tritonclient.grpc", reason="tritonclient[grpc] is missing")
    with client.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as triton:
        assert triton.is_server_live()
        assert triton.is_server_ready()
        assert triton.is_model_ready("doubling")
        assert triton.get_server_metadata().name == "inferkit"
        assert list(triton.get_model_metadata("doubling").inputs[0].shape) == [-1, 3]
        _ask_as_triton(client, triton)
        with pytest.raises(Exception, match="RESOURCE_EXHAUSTED"):
            _triton_infer(client, triton, np.zeros((20_000, 3), np.float32))
        with pytest.raises(Exception, match="NOT_FOUND"):
            triton.get_model_metadata("other")


def _triton_infer(client, triton, array, **options):
    tensor = client.InferInput("x", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return triton.infer("doubling", [tensor], **options)


def _ask_as_triton(client, triton):
    rng = np.random.default_rng(1)
    for rows in (1, 3, 8):
        array = rng.random((rows, 3), np.float32)
        answer = _triton_infer(client, triton, array, timeout=30_000_000)
        np.testing.assert_array_equal(answer.as_numpy("y"), array * 2)
        assert answer.as_numpy("sum").dtype == np.float64
    only = _triton_infer(client, triton, array, outputs=[client.InferRequestedOutput("sum")])
    assert only.as_numpy("y") is None
    with pytest.raises(Exception, match="negative"):
        _triton_infer(client, triton, -np.ones((1, 3), np.float32))
    with pytest.raises(Exception, match="9 rows"):
        _triton_infer(client, triton, np.ones((9, 3), np.float32))


def test_parameters_that_are_off_are_no_options(server):
    off = {"priority": 0, "sequence_start": False, "timeout": 0}
    asked = {**an_input(), "parameters": off, "outputs": [{"name": "y", "parameters": {"classification": 0}}]}
    status, answer = infer(server, asked)
    assert status == 200
    assert answer["outputs"][0]["data"] == [2, 4, 6]


def test_grpc_refuses_options_that_it_does_not_have(server):
    grpc = pytest.importorskip("grpc")
    best, sequence, region = grpc_request(), grpc_request(), grpc_request()
    best.outputs.add(name="y").parameters["classification"].int64_param = 2
    sequence.parameters["sequence_id"].int64_param = 7
    region.inputs[0].parameters["shared_memory_region"].string_param = "r"
    for request, message in (
        (best, "output y: the parameter 'classification' is not supported"),
        (sequence, "the parameter 'sequence_id' is not supported; supported: timeout"),
        (region, "input x: the parameter 'shared_memory_region'"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            ask_grpc(server, request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert message in refused.value.details()


def test_grpc_refuses_what_http_refuses_and_counts_it(server):
    grpc = pytest.importorskip("grpc")
    textual, mixed = grpc_request(), grpc_request()
    textual.parameters["timeout"].string_param = "1000000"
    mixed.raw_input_contents.append(bytes(12))
    spoilt, other = grpc_request((1, float("nan"), 3)), grpc_request(model="other")
    before = counted(metrics(server), "refused", "grpc")
    for request, code, message in (
        (textual, grpc.StatusCode.INVALID_ARGUMENT, "number of microseconds"),
        (mixed, grpc.StatusCode.INVALID_ARGUMENT, "raw and typed contents"),
        (spoilt, grpc.StatusCode.INVALID_ARGUMENT, "1 NaN values"),
        (other, grpc.StatusCode.NOT_FOUND, "unknown model other"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            ask_grpc(server, request)
        assert refused.value.code() is code
        assert message in refused.value.details()
    assert counted(metrics(server), "refused", "grpc") == before + 4


def test_grpc_asks_for_the_token_too(guarded):
    grpc = pytest.importorskip("grpc")
    request = grpc_request()
    with pytest.raises(grpc.RpcError) as refused:
        ask_grpc(guarded, request)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    answer = ask_grpc(guarded, request, metadata=[("authorization", f"Bearer {TOKEN}")])
    assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [2, 4, 6]


def repeated(field):
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def test_the_messages_are_those_of_the_protocol():
    theirs = pytest.importorskip("tritonclient.grpc.service_pb2", reason="tritonclient[grpc] is missing")
    for name, ours in messages().items():
        other = theirs.DESCRIPTOR.message_types_by_name[name.split(".")[0]]
        for inner in name.split(".")[1:]:
            other = other.nested_types_by_name[inner]
        for field in ours.DESCRIPTOR.fields:
            same = other.fields_by_name[field.name]
            assert (field.number, field.type, repeated(field)) == (same.number, same.type, repeated(same))


def test_answers_do_not_wait_for_acknowledgements(server):
    assert server._socket.proto == socket.IPPROTO_TCP  # what asyncio asks for before it sets TCP_NODELAY
