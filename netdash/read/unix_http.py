"""HTTP over a unix socket by the standard library, for a local engine: to load the docker package with requests and
urllib3 takes 8 MiB, and keeps the first paint waiting."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

_INIT = 1  # with socket activation it is init that made the socket


def peer(door: socket.socket) -> int | None:
    """The process that made the socket at the other end of a connection (SO_PEERCRED); None where it is not seen."""
    pid: int = struct.unpack("iII", door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid if pid > _INIT else None


class UnixHttp:
    """One connection is kept from call to call. For one thread, but for an answer without end, which may be read by
    another. Raises OSError and http.client.HTTPException."""

    def __init__(self, path: str, limit: float) -> None:
        self._path = path
        self._limit = limit
        self._kept: list[_Connection] = []  # at most one; taken out while it is in use
        self._endless: socket.socket | None = None
        self._closed = False
        self.pid: int | None = None  # of the process at the other end, known once it was asked

    @contextlib.contextmanager
    def get(self, target: str, wait: float | None) -> Iterator[HTTPResponse]:
        """The answer to GET `target`; `wait` in seconds for each piece of it, None for one without end."""
        connection, whole = self._take(), False
        try:
            connection.request("GET", target)
            connection.sock.settimeout(wait)
            self.pid = peer(connection.sock)
            if wait is None:
                self._endless = connection.sock
                if self._closed:
                    raise ConnectionAbortedError
            response = connection.getresponse()
            yield response
            whole = (response.isclosed() or response.length == 0) and not response.will_close
            response.close()
        finally:
            if whole and not self._closed:
                self._kept.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Also ends an answer without end that another thread reads."""
        self._closed = True
        if self._endless is not None:
            with contextlib.suppress(OSError):
                self._endless.shutdown(socket.SHUT_RDWR)
        while self._kept:
            self._kept.pop().close()

    def _take(self) -> _Connection:
        """The kept connection, unless the other end has hung up; else a new one."""
        with contextlib.suppress(IndexError):
            kept = self._kept.pop()
            if not select.select([kept.sock], [], [], 0)[0]:
                kept.sock.settimeout(self._limit)
                return kept
            kept.close()
        return _Connection(self._path, self._limit)


class _Connection(HTTPConnection):
    def __init__(self, path: str, limit: float) -> None:
        super().__init__("localhost", timeout=limit)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)  # where it fails, the one who asked closes this connection
