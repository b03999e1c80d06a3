"""The docker package's transport over a unix socket, with what it lacks: one connection that is kept from call to call,
and no socket left open where connecting fails."""

from __future__ import annotations

import socket
from typing import Any

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool


class Adapter(UnixHTTPAdapter):
    def __init__(self, path: str, limit: float) -> None:
        super().__init__(f"http+unix://{path}", limit)  # type: ignore[arg-type]  # seconds as a float work
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
        except BaseException:
            new.close()
            raise
        self.sock = new
