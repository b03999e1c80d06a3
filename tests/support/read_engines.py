"""An engine on a unix socket that answers, refuses, hangs or talks nonsense, as a test wants; it counts the calls."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import parse_qs, urlsplit

FORBIDDEN = b"""<html><body><h1>403 Forbidden</h1>
Request forbidden by administrative rules.
</body></html>
"""


def container(number: int, state: str = "running", pid: int = 0) -> dict[str, Any]:
    identity = f"{number:064x}"
    return {
        "Id": identity,
        "Name": f"/c{number}",
        "State": {"Status": state, "Pid": pid},
        "Config": {"Image": "busybox", "Env": ["PASSWORD=hunter2"]},
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {}, "Ports": {}},
    }


def until(condition: Callable[[], object], seconds: float = 3) -> None:
    """Looks again and again; fails where it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.002)


class FakeEngine:
    """`containers` by id as inspect tells them. `mood`: "well", "hang", "nonsense", "cut", "error" or "slow".
    `refuse`: (status, body) by a path's beginning; `hang`: paths that are never answered; `versioned`: whether paths
    without a version are refused."""

    def __init__(self, path: Path, count: int = 3) -> None:
        self.path = path
        self.address = f"unix://{path}"
        self.containers = {one["Id"]: one for one in map(container, range(1, count + 1))}
        self.mood = "well"
        self.refuse: dict[str, tuple[int, bytes]] = {}
        self.hang: set[str] = set()
        self.versioned = False
        self.states: dict[str, str] = {}  # what the list says of a container that does not run
        self.api = "1.51"  # "": no header tells it
        self.asked: list[str] = []  # the paths as they came
        self.calls: Counter[str] = Counter()
        self.connections = 0
        self.since: list[str] = []
        self._streams: list[SimpleQueue[dict[str, Any] | None]] = []
        self._server: _UnixServer | _TcpServer | None = None
        self._over = threading.Event()

    def start(self, tcp: bool = False, tls: ssl.SSLContext | None = None) -> None:
        self._over.clear()
        self._server = _TcpServer(self, tls) if tcp or tls else _UnixServer(self)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Dies: connections end and the socket's file stays, so that the next one is refused."""
        self._over.set()
        for stream in self._streams:
            stream.put(None)
        self._streams = []
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def emit(self, kind: str, action: str, identity: str, **attributes: str) -> None:
        event = {"Type": kind, "Action": action, "Actor": {"ID": identity, "Attributes": attributes}}
        for stream in self._streams:
            stream.put(event)

    def listening(self) -> bool:
        """Whether somebody reads the events."""
        return bool(self._streams)

    def answer(self, path: str) -> object:
        if path == "/version":
            return {"Version": "28.5.2", "ApiVersion": self.api or "1.51", "Components": [{"Name": "Engine"}]}
        if path == "/containers/json":
            return [
                {
                    "Id": key,
                    "Names": [one["Name"]],
                    "State": self.states.get(key, "running"),
                    "Status": f"Up {self.calls[path]} seconds",
                }
                for key, one in self.containers.items()
            ]
        if path == "/networks":
            return [{"Id": "n" * 64, "Name": "bridge", "Driver": "bridge"}]
        if path == "/info":
            return {"ID": "x", "Name": "host"}
        return self.containers.get(path.removeprefix("/containers/").removesuffix("/json"))

    def events(self) -> Iterator[dict[str, Any] | None]:
        stream: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._streams.append(stream)
        while not self._over.is_set():
            try:
                event = stream.get(timeout=5)
            except Empty:
                continue
            if event is None:
                return
            yield event

    def wait(self) -> None:
        """As long as the engine lives: for an answer that never comes."""
        self._over.wait(5)


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        engine.path.unlink(missing_ok=True)
        super().__init__(str(engine.path), _Handler)

    def handle_error(self, *_: object) -> None:
        """A client that went away is no error of the test."""


class _TcpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, engine: FakeEngine, tls: ssl.SSLContext | None) -> None:
        self.engine = engine
        self.tls = tls
        super().__init__(("127.0.0.1", 0), _Handler)
        engine.address = f"tcp://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is None:
            return connection, address
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, *_: object) -> None:
        """A client that went away is no error of the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _UnixServer | _TcpServer

    def setup(self) -> None:
        self.server.engine.connections += 1
        super().setup()

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        engine = self.server.engine
        if engine._over.is_set():  # a kept connection of an engine that died meanwhile
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        path = "/" + parts.path.split("/", 2)[2] if parts.path.startswith("/v1.") else parts.path
        engine.calls["/containers/ID/json" if path.startswith("/containers/0") else path] += 1
        engine.asked.append(parts.path)
        refused = next((engine.refuse[one] for one in engine.refuse if path.startswith(one)), None)
        if engine.versioned and path == parts.path:
            refused = (403, FORBIDDEN)
        if refused:
            self._send(refused[1], refused[0])
        elif path in engine.hang:
            self._hang(path)
        elif path == "/events" and engine.mood in ("well", "slow"):
            engine.since += parse_qs(parts.query).get("since", [])
            self._events()
        else:
            getattr(self, f"_{engine.mood}")(path)

    def _well(self, path: str) -> None:
        answer = "OK" if path == "/_ping" else self.server.engine.answer(path)
        self._send(json.dumps(answer).encode(), 404 if answer is None else 200)

    def _hang(self, _: str) -> None:
        self.server.engine.wait()
        self.close_connection = True

    def _nonsense(self, _: str) -> None:
        self._send(b"<html>login</html>")

    def _error(self, _: str) -> None:
        self._send(b'{"message": "the\\u001b[31m disk is\\nfull"}', 500)

    def _cut(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"Version": "2')
        self.close_connection = True

    def _slow(self, path: str) -> None:
        """A byte now and then: no single wait is long, the whole is."""
        body = json.dumps(self.server.engine.answer(path)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(len(body)):
            self.wfile.write(body[start : start + 1])
            self.wfile.flush()
            time.sleep(0.03)

    def _send(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        if self.server.engine.api and self.server.engine.mood == "well" and status == 200:
            self.send_header("Api-Version", self.server.engine.api)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for event in self.server.engine.events():
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()
        self.close_connection = True


@contextmanager
def running(path: Path, count: int = 3, tcp: bool = False, tls: ssl.SSLContext | None = None) -> Iterator[FakeEngine]:
    engine = FakeEngine(path, count)
    engine.start(tcp, tls)
    try:
        yield engine
    finally:
        engine.stop()
