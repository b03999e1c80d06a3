"""Calls that change something, to the engine on a unix socket of this machine. Knows no container; loads little.

HTTP/1.0 on purpose: the engine then ends each answer, and the stream of events too, by closing, without chunks."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from netdash.core.errors import Exit, NetdashError

MAX_ANSWER = 64 << 20  # bytes
_PIECE = 1 << 16


class EngineGone(NetdashError):  # noqa: N818  # it is what happened, and NetdashError is its kind
    """The engine does not answer: nothing is known of what it did with the last call."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the engine cannot be asked: {reason}", "is dockerd running? then: netdash recover", Exit.REFUSED
        )


class Refused(NetdashError):  # noqa: N818
    """The engine said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the engine answers {status}: {message}", code=Exit.REFUSED)
        self.status = status


class Engine:
    """One engine; `limit`: seconds that a call may take unless it says otherwise."""

    def __init__(self, address: str, limit: float = 30.0) -> None:
        self.address = address
        self.limit = limit
        self.path = unix_path(address)
        self._prefix: str | None = None
        self.api: tuple[int, ...] = ()

    def negotiate(self) -> None:
        """Learn its API version, which later calls use."""
        if self._prefix is None:
            version = self._call("GET", "/version", None, self.limit)
            number = str(version.get("ApiVersion", "")) if isinstance(version, dict) else ""
            if not number.replace(".", "").isdigit():
                raise EngineGone(f"what answers on {self.path} is not a container engine")
            self._prefix = f"/v{number}"
            self.api = tuple(int(part) for part in number.split(".") if part)

    def get(self, path: str, **params: str) -> Any:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **params: str) -> Any:
        return self.call("POST", path, body, params)

    def delete(self, path: str, **params: str) -> Any:
        return self.call("DELETE", path, params=params)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        limit: float | None = None,
    ) -> Any:
        """The decoded answer, None for an empty one. Raises Refused and EngineGone."""
        self.negotiate()
        return self._call(method, f"{self._prefix}{path}{query(params or {})}", body, limit or self.limit)

    def lines(self, method: str, path: str, limit: float | None, **params: str) -> Iterator[dict[str, Any]]:
        """A stream of JSON objects, one a line; `limit` seconds between two of them. Raises as `call`."""
        self.negotiate()
        with self._connected(limit) as door:
            door.sendall(_request(method, f"{self._prefix}{path}{query(params)}", b""))
            with door.makefile("rb") as answer:
                status = _status(answer.readline(_PIECE))
                while answer.readline(_PIECE).strip():
                    pass
                if status >= 400:
                    raise Refused(status, _message(answer.read(_PIECE)))
                while line := _next(answer):
                    event = json.loads(line) if line.strip() else None
                    if isinstance(event, dict):
                        yield event

    def stream(self, path: str, **params: str) -> socket.socket:
        """A socket on which the engine writes a head and then a line an event."""
        self.negotiate()
        door = self._connected(self.limit)
        try:
            door.sendall(_request("GET", f"{self._prefix}{path}{query(params)}", b""))
        except OSError as error:
            door.close()
            raise EngineGone(error.strerror or str(error)) from error
        door.setblocking(False)
        return door

    def _connected(self, limit: float | None) -> socket.socket:
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(limit)
        try:
            door.connect(self.path)
        except OSError as error:
            door.close()
            raise EngineGone(f"{self.path}: {error.strerror or error}") from error
        return door

    def _call(self, method: str, target: str, body: Mapping[str, Any] | None, limit: float) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        with self._connected(limit) as door:
            try:
                door.sendall(_request(method, target, content))
                answer = _whole(door)
            except OSError as error:
                raise EngineGone(error.strerror or str(error) or type(error).__name__) from error
        head, _, rest = answer.partition(b"\r\n\r\n")
        status = _status(head)
        if status >= 400:
            raise Refused(status, _message(rest))
        try:
            return json.loads(rest) if rest.strip() else None
        except (ValueError, RecursionError) as error:
            raise EngineGone("its answer was cut off") from error


def unix_path(address: str) -> str:
    """Path of the socket. Raises NetdashError(REFUSED) for an engine that is not on this machine."""
    scheme, found, path = address.partition("://")
    if not found or scheme not in ("unix", "http+unix") or not path.startswith("/"):
        raise NetdashError(
            f"the engine on {address} is not on a socket of this machine",
            "change it where it runs",
            Exit.REFUSED,
        )
    return path


def query(params: Mapping[str, str]) -> str:
    pairs = "&".join(f"{key}={quote(value, safe='')}" for key, value in params.items())
    return f"?{pairs}" if pairs else ""


def _request(method: str, target: str, content: bytes) -> bytes:
    head = f"{method} {target} HTTP/1.0\r\nHost: docker\r\nUser-Agent: netdash\r\n"
    if content or method == "POST":
        head += f"Content-Length: {len(content)}\r\n"
    if content:
        head += "Content-Type: application/json\r\n"
    return head.encode() + b"\r\n" + content


def _whole(door: socket.socket) -> bytes:
    answer = bytearray()
    while piece := door.recv(_PIECE):
        answer += piece
        if len(answer) > MAX_ANSWER:
            raise EngineGone("its answer is too long")
    return bytes(answer)


def _next(answer: Any) -> bytes:
    try:
        line: bytes = answer.readline(1 << 20)
    except OSError as error:
        raise EngineGone(error.strerror or str(error) or "it fell silent") from error
    return line


def _status(head: bytes) -> int:
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise EngineGone("its answer was cut off")
    return int(words[1])


def _message(body: bytes) -> str:
    try:
        message = json.loads(body)["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        message = body[:200].decode("utf-8", "replace")
    return " ".join(str(message).split())[:300]
