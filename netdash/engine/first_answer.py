"""The engine's first answer, asked for by a thread while the main one imports the screen. Nothing else is asked so
early: what reads the rest takes longer to load than the engine to answer."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netdash.bundle.recording import Recording
    from netdash.engine.context import Endpoint


_MAX = 16 << 20  # bytes


def containers(endpoint: Endpoint, limit: float) -> tuple[object, str | None]:
    """(the decoded list of all containers, the engine's date). Raises OSError and ValueError: whatever is wrong, the
    client meets it again and explains it. Asks without http.client, which takes longer to load than the engine to
    answer: one request of HTTP 1.0, whose answer ends with the connection."""
    until = time.monotonic() + limit
    with contextlib.closing(_connected(endpoint, limit)) as connection:
        connection.sendall(b"GET /containers/json?all=1 HTTP/1.0\r\nHost: localhost\r\n\r\n")
        data, head, size = b"", b"", _MAX
        while len(data) - len(head) < size and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            more = connection.recv(1 << 18)
            if not more:
                break
            data += more
            if not head and (end := data.find(b"\r\n\r\n")) >= 0:
                head = data[: end + 4]
                size = int(_header(head, b"content-length") or _MAX)
    if head.split(b" ", 2)[1:2] != [b"200"] or _header(head, b"transfer-encoding") or size > _MAX:
        raise ValueError(head[:100])
    return json.loads(data[len(head) :]), _header(head, b"date")


def _connected(endpoint: Endpoint, limit: float) -> socket.socket:
    if endpoint.socket is None:
        from urllib.parse import urlsplit

        where = urlsplit(endpoint.address)
        if where.scheme not in ("tcp", "http") or endpoint.tls:
            raise ValueError(endpoint.address)
        return socket.create_connection((where.hostname, where.port or 80), limit)
    made = socket.socket(socket.AF_UNIX)
    try:
        made.settimeout(limit)
        made.connect(endpoint.socket)
    except BaseException:
        made.close()
        raise
    return made


def _header(head: bytes, name: bytes) -> str | None:
    """One header of an answer."""
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return next((value.strip().decode("latin-1") for key, _, value in fields if key.strip().lower() == name), None)


class First(NamedTuple):
    answers: Mapping[str, object]  # docker/containers.json
    since: int | None  # the engine's clock when it was asked, in seconds: later events tell what changed
    heard: float  # when it answered, by this host's clock

    def recording(self) -> Recording:
        """A host of which nothing else is known yet."""
        from netdash.bundle.recording import Recording  # asking begins before anything is loaded
        from netdash.model.source import AWAITED

        return Recording(
            answers=self.answers,
            pending=AWAITED,
            taken=time.time(),
            hostname=socket.gethostname(),
            live=True,
            heard=self.heard,
        )


class FirstAnswers:
    """Begins to ask when it is made; `take` waits for the answer."""

    def __init__(self, docker_host: str | None, limit: float) -> None:
        self._limit = limit
        self._found: First | None = None
        self._thread = threading.Thread(target=self._ask, args=(docker_host,), name="first answers", daemon=True)
        self._thread.start()

    def take(self) -> First | None:
        """The answers; None when asking failed, or takes longer than the limit."""
        self._thread.join(self._limit)
        return self._found

    def _ask(self, docker_host: str | None) -> None:
        from netdash.bundle.recording import scrub
        from netdash.engine.client import clock
        from netdash.engine.context import locate
        from netdash.engine.log import asked

        with contextlib.suppress(Exception):  # whatever is wrong, the reader meets it again, and tells it
            with asked("engine", "GET /containers/json all=1 (at the start)"):
                listed, date = containers(locate(docker_host), self._limit)
            if isinstance(listed, list):
                kept = scrub("docker/containers.json", listed)
                self._found = First({"docker/containers.json": kept}, clock(date), time.time())
