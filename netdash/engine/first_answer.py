"""The engine's first answers, asked for before the screen, or what prints a list, is loaded, and read when there is
something to show them with. Only what a list of containers needs is asked so early: what reads the rest takes longer to
load than the engine to answer. No thread asks: while modules are loaded, each step of another thread waits for
Python's lock, and so would the answer.

Asks without the docker package and http.client, which take longer to load than the engine to answer: one request of
HTTP 1.0 a connection, whose answer ends with it. Whatever is wrong, the docker package's client meets it again, and
tells it; an engine that is on no unix socket is left to it."""

from __future__ import annotations

import _socket  # all that is needed of `socket`, in a tenth of the time to load it
import contextlib
import json
import os
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from netdash.engine.context import locate
from netdash.engine.log import asked
from netdash.model.records import dataclass

if TYPE_CHECKING:
    from netdash.bundle.recording import Recording

_MAX = 16 << 20  # bytes
_CONTAINERS = "docker/containers.json"
_LIST = "/containers/json?all=1"
_FOREVER = float("inf")
_PROMPT = 1.0  # seconds for an answer; the docker package's client waits longer for a slow engine
_ALL = 2  # times the limit of one answer that all may take
_AT_ONCE = 32  # connections


@dataclass(frozen=True, slots=True)
class First:
    answers: Mapping[str, object]  # docker/containers.json
    date: str | None  # the engine's own time then, as its header Date has it: later events tell what changed
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
    """Asks when it is made; `take` reads the answer."""

    def __init__(self, docker_host: str | None, limit: float) -> None:
        self._until = time.monotonic() + limit
        self._get: _Get | None = None
        with contextlib.suppress(Exception):
            path = locate(docker_host).socket
            self._get = None if path is None else _Get(path, _LIST)

    def take(self, seconds: float = _FOREVER) -> First | None:
        """None when asking failed, or within so many seconds there is no whole answer: then it can be taken later."""
        get = self._get
        if get is None:
            return None
        try:
            with asked("engine", "GET /containers/json all=1 (at the start)") as question:
                if get.read(min(self._until, time.monotonic() + seconds)):
                    self._get = None
                    return _first(get)
                question.problem = "no whole answer yet"
            if time.monotonic() >= self._until:
                self._get = None
        except Exception:
            self._get = None
        finally:
            if self._get is None:
                get.close()
        return None


class ListedContainers:
    """All that a list of containers shows: asked for when it is made, the details of each container when `ask_details`
    has the list, all read by `take`. Not of Podman, which tells less."""

    def __init__(self, docker_host: str | None, limit: float) -> None:
        self._limit = min(limit, _PROMPT)
        self._until = time.monotonic() + _ALL * limit
        self._path = ""
        self._list: _Get | None = None
        self._networks: _Get | None = None
        self._listed: list[Any] = []
        self._waiting: list[str] = []
        self._asked: deque[tuple[str, _Get]] = deque()
        self.pid = 0  # of the process that made the engine's socket; 0 where it is not known
        with contextlib.suppress(Exception):
            self._path = locate(docker_host).socket or ""
            if self._path:
                self._list, self._networks = _Get(self._path, _LIST), _Get(self._path, "/networks")

    def ask_details(self) -> bool:
        """Whether there is a list."""
        try:
            self._listed = self._read(self._list)
            self.pid = self._list.peer() if self._list else 0
            self._waiting = [_identity(entry) for entry in reversed(self._listed)]
            self._ask()
        except Exception:
            self._close()
            return False
        return True

    def take(self) -> Mapping[str, object] | None:
        """The answers by their paths in a recording; None where one of them is missing."""
        from netdash.bundle.recording import scrub

        try:
            answers = {_CONTAINERS: self._listed, "docker/networks.json": self._read(self._networks)}
            answers["docker/inspect.json"] = list(self._details())
            return {path: scrub(path, answer) for path, answer in answers.items()}
        except Exception:
            return None
        finally:
            self._close()

    def _details(self) -> Iterator[object]:
        while self._asked:
            identity, get = self._asked.popleft()
            with contextlib.closing(get):
                yield self._read(get, identity)
            self._ask()

    def _ask(self) -> None:
        """As many as are asked at once; fewer where the engine has no room for another connection."""
        while self._waiting and len(self._asked) < _AT_ONCE:
            identity = self._waiting[-1]
            try:
                self._asked.append((identity, _Get(self._path, f"/containers/{identity}/json")))
            except BlockingIOError:
                if not self._asked:
                    raise
                return
            self._waiting.pop()

    def _read(self, get: _Get | None, identity: str | None = None) -> Any:
        """A list, or the details of a container. Raises ValueError where the answer is not that."""
        if get is None:
            raise ValueError("not asked")
        with asked("engine", "GET", get.target):
            if not get.read(min(self._until, time.monotonic() + self._limit)):
                raise ValueError("no answer")
            head, answer = get.answer()
        if b"\r\nlibpod" in head.lower() or not isinstance(answer, list if identity is None else dict):
            raise ValueError("not an answer of Docker")
        if isinstance(answer, dict) and answer.get("Id") != identity:
            raise ValueError("of another container")
        return answer

    def _close(self) -> None:
        for get in (self._list, self._networks, *(get for _, get in self._asked)):
            if get is not None:
                get.close()
        self._asked.clear()


class _Get:
    """One question to the engine on a unix socket, on a connection of its own. All raises OSError."""

    def __init__(self, path: str, target: str) -> None:
        self.target = target
        self._answer = bytearray()
        self._size = _MAX  # bytes of the whole answer, once they are known
        self._connection = _socket.socket(_socket.AF_UNIX)
        try:
            self._connection.setblocking(False)  # an engine too busy for a connection does not hold up the screen
            self._connection.connect(path)
            self._connection.sendall(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        except BaseException:
            self._connection.close()
            raise

    def read(self, end: float) -> bool:
        """Whether the whole answer is there before `end`."""
        answer = self._answer
        while len(answer) < self._size:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._connection.settimeout(left)
            try:
                more = self._connection.recv(1 << 18)
            except TimeoutError:
                return False
            if not more:
                break
            answer += more
            if self._size == _MAX and (head := answer.find(b"\r\n\r\n")) >= 0:
                length = _header(bytes(answer[:head]), b"content-length")
                self._size = min(_MAX, head + 4 + int(length)) if length else _MAX
        return True

    def answer(self) -> tuple[bytes, object]:
        """The head and what was answered. Raises ValueError where it is none of an engine."""
        head, _, body = bytes(self._answer).partition(b"\r\n\r\n")
        if head.split(b" ", 2)[1:2] != [b"200"] or _header(head, b"transfer-encoding") or len(self._answer) >= _MAX:
            raise ValueError(head[:100])
        return head, json.loads(body)

    def peer(self) -> int:
        """The process that made the engine's socket; init where systemd did."""
        told = self._connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        return int(struct.unpack("iII", told)[0])

    def close(self) -> None:
        self._connection.close()


def _first(get: _Get) -> First | None:
    """Raises ValueError where it is none of an engine."""
    from netdash.bundle.recording import scrub

    head, listed = get.answer()
    if not isinstance(listed, list):
        return None
    return First({_CONTAINERS: scrub(_CONTAINERS, listed)}, _header(head, b"date"), time.time())


def _identity(entry: object) -> str:
    """Raises ValueError."""
    identity = entry.get("Id") if isinstance(entry, dict) else None
    if not isinstance(identity, str) or not identity.isalnum():
        raise ValueError("a container without an id")
    return identity


def _header(head: bytes, name: bytes) -> str | None:
    """One header of an answer."""
    fields = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return next((value.strip().decode("latin-1") for key, _, value in fields if key.strip().lower() == name), None)
