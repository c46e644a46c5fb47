"""The server: HTTP and gRPC in one event loop on a thread of its own; loopback, unless there is a token."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from inferkit.errors import BackendUnavailable, UsageError

if TYPE_CHECKING:
    from inferkit.serve.protocol.service import Service

_LIBRARIES = ("grpc", "prometheus_client", "starlette", "uvicorn")
_GRACE = 10  # seconds that requests may take when the server stops; those that still wait then are given up
_LAST = 2  # seconds more, for what the engine has then and for the last answers; what is not there then is cut off


def check_libraries() -> None:
    """Raises BackendUnavailable where one of the server's libraries is missing."""
    for name in _LIBRARIES:
        try:
            import_module(name)
        except ImportError as error:
            hint = "pip install grpcio prometheus-client starlette uvicorn"
            raise BackendUnavailable(f"serving needs {name} ({error})", hint) from error


def check_address(host: str, token: str | None) -> None:
    """UsageError for an address that others can reach where there is no token, and for a token that is none."""
    if token is not None and (len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token):
        raise UsageError("the token must have at least 16 printable ASCII characters and no space")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback and token is None:
        raise UsageError(
            f"{host} can be reached from other machines, which needs a token (INFERKIT_SERVE_TOKEN or --token-file); "
            "or listen on 127.0.0.1, behind a proxy with encryption"
        )


class InferenceServer:
    """Serves until `stop`. Use as a context manager. `http_port` and `grpc_port` are the real ones (0 asks for any).

    Raises UsageError where an address is taken, or must not be listened on.
    """

    def __init__(
        self,
        service: Service,
        *,
        host: str = "127.0.0.1",
        http_port: int = 8000,
        grpc_port: int | None = 8001,
        token: str | None = None,
        max_bytes: int = 64 << 20,
    ) -> None:
        check_libraries()
        check_address(host, token)
        if not service.is_allowed(f"Bearer {token}" if token else None) or (token and service.is_allowed(None)):
            raise UsageError("the service and the server must have the same token")
        self._service, self._host, self._max_bytes = service, host, max_bytes
        self._wanted_grpc = grpc_port
        self.grpc_port: int | None = None
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            # asyncio sends small packets at once (TCP_NODELAY) only on sockets that name their protocol; else answers
            # wait 40 ms for the delayed acknowledgement of a client.
            self._socket = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, http_port))
        except OSError as error:
            raise UsageError(f"cannot listen on {host}:{http_port}: {error.strerror}") from error
        self.http_port: int = self._socket.getsockname()[1]
        self._stop: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._main, name="inferkit-serve", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            self._socket.close()
            raise UsageError(f"the server cannot start: {self._error}") from self._error

    def stop(self) -> None:
        """Take no more requests, answer those under way (for 10 s, then they are given up), end. Safe to call twice."""
        self._service.is_ready = False
        if self._loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._socket.close()
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        import uvicorn

        from inferkit.serve.protocol.grpc_service import start_server
        from inferkit.serve.protocol.http import application

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        over_grpc: Any = None
        if self._wanted_grpc is not None:
            address = f"[{self._host}]" if ":" in self._host else self._host
            over_grpc, self.grpc_port = start_server(self._service, f"{address}:{self._wanted_grpc}", self._max_bytes)
            if not self.grpc_port:
                raise OSError(f"cannot listen on {self._host}:{self._wanted_grpc}")
            await over_grpc.start()
        config = uvicorn.Config(
            application(self._service, self._max_bytes),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE + _LAST,
            limit_concurrency=4096,
        )
        over_http = uvicorn.Server(config)
        serving = asyncio.create_task(over_http.serve(sockets=[self._socket]))
        while not over_http.started and not serving.done():
            await asyncio.sleep(0.005)
        self._started.set()
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        over_http.should_exit = True
        # Before the libraries lose patience: their way would leave clients without an answer that they understand.
        giving_up = self._loop.call_later(_GRACE, partial(self._service.batcher.close, drain=False, timeout=0.0))
        if over_grpc is not None:
            await over_grpc.stop(_GRACE + _LAST)
        await serving
        giving_up.cancel()
        stopping.cancel()
