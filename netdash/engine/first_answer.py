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
    """(the decoded list of all containers, the engine's date). Raises OSError, HTTPException and ValueError: whatever
    is wrong, the client meets it again and explains it."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    with contextlib.closing(HTTPConnection("localhost", timeout=limit)) as connection:
        if endpoint.socket is not None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(limit)
            connection.sock.connect(endpoint.socket)
        else:
            where = urlsplit(endpoint.address)
            if where.scheme not in ("tcp", "http") or endpoint.tls:
                raise ValueError(endpoint.address)
            connection.sock = socket.create_connection((where.hostname, where.port or 80), limit)
        connection.request("GET", "/containers/json?all=1")
        response = connection.getresponse()
        body = response.read(_MAX)
        if response.status != 200:
            raise ValueError(response.status)
        return json.loads(body), response.headers["Date"]


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

        with contextlib.suppress(Exception):  # whatever is wrong, the reader meets it again, and tells it
            listed, date = containers(locate(docker_host), self._limit)
            if isinstance(listed, list):
                kept = scrub("docker/containers.json", listed)
                self._found = First({"docker/containers.json": kept}, clock(date), time.time())
