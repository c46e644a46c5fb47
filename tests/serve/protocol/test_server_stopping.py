"""A server that is stopped answers what it can, and tells all others that it shuts down."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inferkit.serve.protocol.server import InferenceServer
from inferkit.serve.protocol.service import Service
from tests.serve.protocol.doubling import Doubling, an_input, ask_grpc, grpc_request, infer

for library in ("grpc", "prometheus_client", "starlette", "uvicorn"):
    pytest.importorskip(library, reason=f"{library} is missing: pip install grpcio prometheus-client starlette uvicorn")


def test_stopping_answers_what_is_under_way():
    entered, opened = threading.Event(), threading.Event()

    class Slow(Doubling):
        def run(self, arrays):
            entered.set()
            assert opened.wait(30)
            return super().run(arrays)

    server = InferenceServer(Service("doubling", Slow(), 8), http_port=0, grpc_port=None)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(infer, server, an_input())
        assert entered.wait(30)
        stopped = pool.submit(server.stop)
        opened.set()
        assert answer.result(30)[0] == 200
        stopped.result(30)


class Held(Doubling):
    """Stands still with its first batch until it is opened."""

    def __init__(self):
        self.entered, self.opened = threading.Event(), threading.Event()

    def run(self, arrays):
        self.entered.set()
        assert self.opened.wait(60)
        return super().run(arrays)


def test_what_still_waits_when_patience_ends_is_told_that_the_server_shuts_down(monkeypatch):
    grpc = pytest.importorskip("grpc")
    monkeypatch.setattr("inferkit.serve.protocol.server._GRACE", 0.1)
    monkeypatch.setattr("inferkit.serve.protocol.server._LAST", 60)
    held = Held()
    service = Service("doubling", held, 8, delay=0.0)
    server = InferenceServer(service, http_port=0, grpc_port=0)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(infer, server, an_input())
        assert held.entered.wait(30)
        over_http = pool.submit(infer, server, an_input())
        over_grpc = pool.submit(ask_grpc, server, grpc_request())
        while service.batcher.waiting < 2:
            assert not over_http.done()
            assert not over_grpc.done()
        stopped = pool.submit(server.stop)
        try:
            answers = [over_http.result(30), over_grpc.exception(30)]
        finally:
            held.opened.set()
        assert first.result(30)[0] == 200
        stopped.result(30)
    assert answers[0][0] == 503
    assert "shut down" in answers[0][1]["error"]
    assert answers[1].code() is grpc.StatusCode.UNAVAILABLE


def test_a_client_whose_batch_never_ends_gets_an_answer_from_a_stopping_server(monkeypatch):
    monkeypatch.setattr("inferkit.serve.protocol.server._GRACE", 0.1)
    monkeypatch.setattr("inferkit.serve.protocol.server._LAST", 0.1)
    held = Held()
    server = InferenceServer(Service("doubling", held, 1), http_port=0, grpc_port=None)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(infer, server, an_input())
        assert held.entered.wait(30)
        stopped = pool.submit(server.stop)
        try:
            status, content = answer.result(30)
        finally:
            held.opened.set()
        stopped.result(30)
    assert status == 503
    assert "shut down" in content["error"]


def test_the_command_serves_a_network_until_it_is_told_to_stop(tmp_path):
    command = [sys.executable, "-m", "inferkit.cli.main", "serve", "lenet", "--port", "0", "--grpc-port", "-1"]
    environment = {key: value for key, value in os.environ.items() if key != "INFERKIT_SERVE_TOKEN"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline()
        port = int(line.split("127.0.0.1:")[1].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", f"/v2/models/{line.split(':')[0]}")
        metadata = json.loads(connection.getresponse().read())
        shape = [1, *metadata["inputs"][0]["shape"][1:]]
        tensor = {"name": metadata["inputs"][0]["name"], "datatype": "FP32", "shape": shape}
        request = {"inputs": [{**tensor, "data": [0.5] * int(np.prod(shape))}]}
        connection.request("POST", f"/v2/models/{metadata['name']}/infer", json.dumps(request))
        scores = json.loads(connection.getresponse().read())["outputs"][0]["data"]
        connection.close()
        assert len(scores) == 10
        assert sum(scores) == pytest.approx(1, abs=1e-5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
