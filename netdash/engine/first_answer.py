"""The engine's first answer, asked for before the screen is loaded and read when there is something to show it with.
Nothing else is asked so early: what reads the rest takes longer to load than the engine to answer. Nor by a thread:
while modules are loaded, each step of another thread waits for Python's lock, and so does the answer."""

from __future__ import annotations

import _socket  # all that is needed of `socket`, in a tenth of the time to load it
import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from netdash.engine.context import locate
from netdash.engine.log import asked
from netdash.model.records import dataclass

if TYPE_CHECKING:
    from netdash.bundle.recording import Recording

_MAX = 16 << 20  # bytes
_REQUEST = b"GET /containers/json?all=1 HTTP/1.0\r\nHost: localhost\r\n\r\n"
_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class First:
    answers: Mapping[str, object]  # docker/containers.json
    date: (
        str | None
    )  # the engine's own time when it answered, as its header Date has it: later events tell what changed
    heard: float  # when it answered, by this host's clock

    def recording(self) -> Recording:
        """A host of which nothing else is known yet."""
        from netdash.bundle.recording import Recording  # asking begins before anything is loaded
        from netdash.model.source import AWAITED

        return Recording(
            answers=self.answers,
            pending=AWAITED,
            taken=time.time(),
            hostname=os.uname().nodename,
            live=True,
            heard=self.heard,
        )


class FirstAnswers:
    """Asks when it is made; `take` reads the answer. Whatever is wrong, the reader meets it again, and tells it; an
    engine that is on no unix socket is left to the reader. Asks without http.client, which takes longer to load than
    the engine to answer: one request of HTTP 1.0, whose answer ends with the connection."""

    def __init__(self, docker_host: str | None, limit: float) -> None:
        self._until = time.monotonic() + limit
        self._answer = bytearray()
        self._size = _MAX  # bytes of the whole answer, once they are known
        self._connection: _socket.socket | None = None
        with contextlib.suppress(Exception):
            self._connection = _connected(locate(docker_host).socket)

    def take(self, seconds: float = _FOREVER) -> First | None:
        """None when asking failed, or within so many seconds there is no whole answer: then it can be taken later."""
        connection = self._connection
        if connection is None:
            return None
        try:
            with asked("engine", "GET /containers/json all=1 (at the start)") as question:
                if self._read(connection, min(self._until, time.monotonic() + seconds)):
                    self._connection = None
                    return _first(bytes(self._answer))
                question.problem = "no whole answer yet"
            if time.monotonic() >= self._until:
                self._connection = None
        except Exception:
            self._connection = None
        finally:
            if self._connection is None:
                connection.close()
        return None

    def _read(self, connection: _socket.socket, end: float) -> bool:
        """Whether the whole answer is there before `end`."""
        answer = self._answer
        while len(answer) < self._size:
            left = end - time.monotonic()
            if left <= 0:
                return False
            connection.settimeout(left)
            try:
                more = connection.recv(1 << 18)
            except TimeoutError:
                return False
            if not more:
                break
            answer += more
            if self._size == _MAX and (head := answer.find(b"\r\n\r\n")) >= 0:
                length = _header(bytes(answer[:head]), b"content-length")
                self._size = min(_MAX, head + 4 + int(length)) if length else _MAX
        return True


def _connected(path: str | None) -> _socket.socket | None:
    if path is None:
        return None
    made = _socket.socket(_socket.AF_UNIX)
    try:
        made.setblocking(False)  # an engine that is too busy for a connection does not hold up the screen
        made.connect(path)
        made.sendall(_REQUEST)
    except BaseException:
        made.close()
        raise
    return made


def _first(answer: bytes) -> First | None:
    """Raises ValueError where it is none of an engine."""
    from netdash.bundle.recording import scrub

    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"] or _header(head, b"transfer-encoding") or len(answer) >= _MAX:
        raise ValueError(head[:100])
    listed = json.loads(body)
    if not isinstance(listed, list):
        return None
    path = "docker/containers.json"
    return First({path: scrub(path, listed)}, _header(head, b"date"), time.time())


def _header(head: bytes, name: bytes) -> str | None:
    """One header of an answer."""
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return next((value.strip().decode("latin-1") for key, _, value in fields if key.strip().lower() == name), None)
