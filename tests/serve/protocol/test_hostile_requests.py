"""Names, headers and numbers that no ordinary client sends: reached, or refused as the client's fault, never a 500."""

import asyncio
import json
import socket
from contextlib import closing
from urllib.parse import quote

import numpy as np
import pytest

from inferkit.errors import UsageError
from inferkit.serve.protocol.server import InferenceServer
from inferkit.serve.protocol.service import Service
from tests.serve.protocol.doubling import Doubling, an_input, ask, ask_grpc, grpc_request, infer

for library in ("grpc", "prometheus_client", "starlette", "uvicorn"):
    pytest.importorskip(library, reason=f"{library} is missing: pip install grpcio prometheus-client starlette uvicorn")

grpc = pytest.importorskip("grpc")


@pytest.fixture(scope="module")
def server():
    with InferenceServer(Service("doubling", Doubling(), 8), http_port=0, grpc_port=0, max_bytes=1 << 16) as server:
        yield server


def raw(server, *headers: bytes, body: bytes = b"", path: bytes = b"/v2/models/doubling/infer") -> int:
    """The status that a request of these very bytes gets; 0 where the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=30) as connection:
        lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers]
        connection.sendall(b"\r\n".join([*lines, b"", body]))
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.parametrize(
    "header",
    [
        *(b"Inference-Header-Content-Length: " + each for each in (b"\xb2", b"9" * 5000, b"-1", b"1e3", b"0x10", b"")),
        *(b"Content-Encoding: " + each for each in (b"gzip", b"\xff", b"")),
        b"Authorization: \xff\xfe",
        b"Content-Type: \xff/\x80; charset=\xb2",
        b"Transfer-Encoding: chunked, \xb2",
        b"Expect: \xb2",
        b"Range: bytes=\xb2-",
        b"Cookie: " + b"a=b; " * 1000,
    ],
)
def test_no_header_is_the_servers_fault(server, header):
    body = json.dumps(an_input()).encode()
    assert raw(server, b"Content-Length: %d" % len(body), header, body=body) in (200, 400, 413, 431)
    assert infer(server, an_input())[0] == 200


@pytest.mark.parametrize("length", [b"\xb2", b"9" * 5000, b"-1", b"1, 2", b"+5"])
def test_a_length_that_is_no_number_is_the_clients_fault(server, length):
    assert raw(server, b"Content-Length: " + length) in (400, 413, 431)
    assert infer(server, an_input())[0] == 200


@pytest.mark.parametrize(
    "path", [b"/v2/models/%ff%fe/infer", b"/v2/models/%00/infer", b"/v2/models//infer", b"/%", b"*"]
)
def test_no_path_is_the_servers_fault(server, path):
    assert raw(server, b"Content-Length: 0", path=path) in (307, 400, 404)


@pytest.mark.parametrize(("timeout", "status"), [(10**400, 200), (10**18, 200), (-1, 400), (1.5, 400), ("1", 400)])
def test_a_timeout_of_ages_is_none(server, timeout, status):
    assert infer(server, {**an_input(), "parameters": {"timeout": timeout}})[0] == status


def test_a_timeout_of_ages_is_none_over_grpc_too(server):
    request = grpc_request()
    request.parameters["timeout"].int64_param = (1 << 63) - 1
    assert len(ask_grpc(server, request).raw_output_contents) == 2


@pytest.mark.parametrize(
    "name", ["group/net", "a b", "50 %", "naïve π", "q?x#y", "{name}", "versions", "ready", "a+b;c=d"]
)
def test_a_model_is_reached_under_the_name_that_the_server_announces(name):
    with InferenceServer(Service(name, Doubling(), 8), http_port=0, grpc_port=0) as server:
        path = f"/v2/models/{quote(name)}"
        status, content = ask(server, "GET", path)
        assert (status, json.loads(content)["name"]) == (200, name)
        assert ask(server, "GET", f"{path}/versions/1")[0] == 200
        assert ask(server, "GET", f"{path}/ready")[0] == 200
        assert ask(server, "GET", f"{path}/infer")[0] == 405
        for infer_path in (f"{path}/infer", f"{path}/versions/1/infer"):
            assert ask(server, "POST", infer_path, json.dumps(an_input()))[0] == 200
        for other in (f"{path}x", f"{path}/versions/2", f"{path}/versions/1/x", "/v2/models/x/y/ready"):
            assert ask(server, "GET", other)[0] == 404
        assert ask_grpc(server, grpc_request(model=name)).model_name == name


def test_the_clients_of_triton_reach_a_name_with_slashes():
    name = "group/net 1"
    over_http = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is missing")
    with (
        InferenceServer(Service(name, Doubling(), 8), http_port=0, grpc_port=None) as server,
        over_http.InferenceServerClient(f"127.0.0.1:{server.http_port}") as triton,
    ):
        assert triton.is_model_ready(name)
        assert triton.get_model_metadata(name)["name"] == name
        given = over_http.InferInput("x", [1, 3], "FP32")
        given.set_data_from_numpy(np.ones((1, 3), np.float32))
        assert triton.infer(name, [given]).as_numpy("y").tolist() == [[2, 2, 2]]


@pytest.mark.parametrize(
    "name", ["", "..", "a/../b", "a//b", "a/", "a\nb", "\udcff", "a/versions/1", "a/versions", "a/ready", "a/infer"]
)
def test_a_name_that_no_address_leads_to_is_refused_with_the_option_that_changes_it(name):
    with pytest.raises(UsageError, match="--name"):
        Service(name, Doubling(), 8)


def test_a_name_that_is_half_of_a_surrogate_pair_is_the_clients_fault(server):
    body = b'{"inputs": [{"name": "\\ud800", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}'
    assert infer(server, body)[0] == 400
    named = json.dumps({**an_input(), "outputs": [{"name": "y"}]}).replace('"y"', '"\\ud800"')
    assert infer(server, named.encode())[0] == 400


@pytest.mark.parametrize("encoding", [b"Identity", b"", b" identity "])
def test_a_body_that_is_not_encoded_may_say_so_in_any_case(server, encoding):
    body = json.dumps(an_input()).encode()
    headers = b"Content-Length: %d" % len(body), b"Content-Encoding: " + encoding
    assert raw(server, *headers, body=body) == 200


@pytest.mark.parametrize("number", [7, True, ["a"], {}])
def test_an_id_that_is_no_text_is_refused(server, number):
    status, answer = infer(server, {**an_input(), "id": number})
    assert (status, answer["error"]) == (400, "id: must be a string")
    assert infer(server, {**an_input(), "id": None})[0] == 200


def test_an_output_that_is_asked_for_twice_is_refused_over_both_protocols(server):
    status, answer = infer(server, {**an_input(), "outputs": [{"name": "y"}, {"name": "sum"}, {"name": "y"}]})
    assert (status, answer["error"]) == (400, "output y is asked for twice")
    request = grpc_request()
    request.outputs.add(name="y")
    request.outputs.add(name="y")
    with pytest.raises(grpc.RpcError) as refused:
        ask_grpc(server, request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_tensor_with_two_kinds_of_contents_is_refused(server):
    request = grpc_request()
    request.inputs[0].contents.int64_contents.extend((4, 5, 6))
    with pytest.raises(grpc.RpcError) as refused:
        ask_grpc(server, request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "FP32 has no int64_contents" in refused.value.details()


def warnings_of(caplog, calibrated, *values):
    """What a service logs of requests with these values."""
    with closing(Service("doubling", Doubling(), 8, delay=0, calibrated=calibrated)) as service:
        for value in values:
            asyncio.run(service.infer({"x": np.full((1, 3), value, np.float32)}, ()))
    return [record.getMessage() for record in caplog.records if record.name == "inferkit.serve"]


def test_requests_far_outside_of_the_calibration_are_logged_once_with_both_figures(caplog):
    (warning,) = warnings_of(caplog, {"x": 1.0}, 0.9, 255.0, 254.0)
    assert "in 2 requests the largest value of the images is 255, but the model was calibrated up to 1" in warning


@pytest.mark.parametrize(("values", "count"), [([0.01] * 19, 0), ([0.01] * 25, 1), ([0.0, 0.9] * 20, 0)])
def test_a_dark_image_is_no_reason_and_only_dark_ones_are(caplog, values, count):
    assert len(warnings_of(caplog, {"x": 1.0}, *values)) == count
