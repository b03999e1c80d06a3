"""The one list that the first rows need, by a plain request: to load the docker package would keep them waiting."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

from netdash.engine.context import Endpoint

_MAX = 16 << 20  # bytes


def containers(endpoint: Endpoint, limit: float) -> tuple[object, str | None]:
    """(the decoded list of all containers, the engine's date). Raises OSError, HTTPException and ValueError: whatever
    is wrong, the client meets it again and explains it."""
    with closing(HTTPConnection("localhost", timeout=limit)) as connection:
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
