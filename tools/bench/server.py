"""Load on a real server by the protocol's own clients: images per second and latency over HTTP and gRPC.

    python -m tools.bench.server [--model lenet] [--clients 8] [--seconds 5] [--json FILE]

Closed loop: each client sends its next request when it has its answer. Clients are threads of another process than the
server. Traffic stays on 127.0.0.1. Needs tritonclient[http,grpc] and the libraries of the extra `serve`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferkit.measure.jobs.interpreter import this_interpreter
from inferkit.measure.machine.host import cpu_model, usable_cpus


def client(protocol: str, port: int, model: str, until: float, times: list[float], failures: list[str]) -> None:
    """Send requests of one image until the time is up; appends each one's seconds."""
    triton: Any = import_module(f"tritonclient.{protocol}")
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as connection:
        metadata = connection.get_model_metadata(model)
        first = metadata["inputs"][0] if protocol == "http" else metadata.inputs[0]
        name, shape = (first["name"], first["shape"]) if protocol == "http" else (first.name, first.shape)
        image: NDArray[Any] = np.random.default_rng(1).random((1, *shape[1:]), np.float32) * 255
        tensor = triton.InferInput(name, list(image.shape), "FP32")
        tensor.set_data_from_numpy(image)
        while time.perf_counter() < until:
            began = time.perf_counter()
            try:
                connection.infer(model, [tensor])
            except triton.InferenceServerException as error:
                failures.append(str(error))
                return
            times.append(time.perf_counter() - began)


def load(protocol: str, port: int, model: str, clients: int, seconds: float) -> dict[str, Any]:
    """Run the clients; what they saw, latencies in seconds."""
    columns: list[list[float]] = [[] for _ in range(clients)]
    failures: list[str] = []
    until = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=client, args=(protocol, port, model, until, times, failures)) for times in columns
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = np.sort(np.concatenate(columns))
    if failures or not len(times):
        raise SystemExit(f"{protocol}: {len(failures)} clients failed: {failures[:1]}")
    p50, p90, p99 = (float(np.quantile(times, share)) for share in (0.5, 0.9, 0.99))
    rate = len(times) / seconds
    print(f"{protocol:8}{clients:8}{rate:12,.0f}{1e3 * p50:9.2f}{1e3 * p90:9.2f}{1e3 * p99:9.2f}", flush=True)
    latencies = {"p50": p50, "p90": p90, "p99": p99}
    return {"clients": clients, "requests": len(times), "images_per_second": rate, **latencies}


def main() -> None:
    """Start the server, put the load on it, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lenet")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    command = [sys.executable, "-m", "inferkit.cli.main", "serve", args.model, "--name", "model", "--threads", "1"]
    with subprocess.Popen(
        [*command, "--port", "0", "--grpc-port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=this_interpreter().variables(),
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                raise SystemExit("the server did not start")
            http, grpc = (int(part.split("/")[0].split(",")[0]) for part in line.split("127.0.0.1:")[1:])
            print(f"{'':8}{'clients':>8}{'images/s':>12}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}")
            found = {
                protocol: load(protocol, port, "model", args.clients, args.seconds)
                for protocol, port in (("http", http), ("grpc", grpc))
            }
        finally:
            server.terminate()
            server.wait()
    if args.json is not None:
        facts = {"model": args.model, "seconds": args.seconds, "cpu": cpu_model(), "cpus": usable_cpus()}
        args.json.write_text(json.dumps({**facts, **found}, indent=1))


if __name__ == "__main__":
    main()
