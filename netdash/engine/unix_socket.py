"""The docker package's transport over a unix socket, with what it lacks: one connection that is kept from call to call,
no socket left open where connecting fails, and the process at the other end."""

from __future__ import annotations

import socket
import struct
from typing import Any

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

_INIT = 1  # with socket activation it is init that made the socket


class Adapter(UnixHTTPAdapter):
    """`pid`: of the process that made the socket, known once it was connected; None where it is not seen."""

    def __init__(self, path: str, limit: float) -> None:
        super().__init__(f"http+unix://{path}", limit)  # type: ignore[arg-type]  # seconds as a float work
        self.pid: int | None = None
        self._pool = _Pool(self)

    def get_connection(self, url: bytes | str, proxies: object = None) -> UnixHTTPConnectionPool:  # noqa: ARG002
        """The package's own has a pool for each path that was asked for: every inspect would be a new connection."""
        return self._pool

    def close(self) -> None:
        self._pool.close()
        super().close()


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, adapter: Adapter) -> None:
        super().__init__("http+docker://localhost", adapter.socket_path, adapter.timeout)
        self._adapter = adapter

    def _new_conn(self) -> Any:  # the types of urllib3 and of the package differ
        return _Connection(self._adapter)


class _Connection(UnixHTTPConnection):
    def __init__(self, adapter: Adapter) -> None:
        super().__init__("http+docker://localhost", adapter.socket_path, adapter.timeout)
        self._adapter = adapter

    def connect(self) -> None:
        new = socket.socket(socket.AF_UNIX)
        try:
            new.settimeout(self.timeout)
            new.connect(self.unix_socket)
            self._adapter.pid = peer(new)
        except BaseException:
            new.close()
            raise
        self.sock = new


def peer(connected: socket.socket) -> int | None:
    """The process that made the socket at the other end of a connection (SO_PEERCRED); None where it is not seen."""
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", raw)[0]
    return pid if pid > _INIT else None
