"""Which process answers on the engine's socket, and as whom: told by the kernel, by no name. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST = 1  # NLM_F_REQUEST
_SHOW_PEER = 4  # UDIAG_SHOW_PEER
_PEER = 2  # UNIX_DIAG_PEER
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BBBBIII")  # struct unix_diag_msg
_NO_COOKIE = 0xFFFFFFFF
_INIT = 1
_PING = b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"


@dataclass(frozen=True, slots=True)
class EnginePeer:
    """`pid`: of the process, None where it is not known. `uid`: the one under which the socket was made."""

    pid: int | None
    uid: int


def engine_peer(path: str, limit: float) -> EnginePeer | None:
    """Who answers on a unix socket; None where nobody does. SO_PEERCRED tells who called listen(2): the engine, or
    init where systemd made the socket. Then the engine is who holds the other end, which only root sees."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(limit)
        try:
            connection.connect(path)
            pid, uid, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if pid == _INIT:
                connection.sendall(_PING)
                connection.recv(1)  # before it accepts a connection, nobody holds the other end
                return EnginePeer(_holder(_other_end(os.fstat(connection.fileno()).st_ino)), uid)
        except (OSError, struct.error):
            return None
    return EnginePeer(pid if pid > _INIT else None, uid)


def engine_pid(path: str | None, limit: float) -> int | None:
    """Of the process of an engine on this unix socket; None for one that is not on any, or where it is not known."""
    peer = engine_peer(path, limit) if path else None
    return peer.pid if peer is not None else None


def _other_end(inode: int) -> int | None:
    """The inode of the socket that a connected unix socket leads to. Raises OSError and struct.error."""
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _NO_COOKIE, inode, _SHOW_PEER, _NO_COOKIE, _NO_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as link:
        link.settimeout(1.0)
        link.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST, 1, 0) + request)
        answer = link.recv(1 << 14)
    size, kind, *_ = _HEADER.unpack_from(answer)
    at = _HEADER.size + _MESSAGE.size
    while kind == _BY_FAMILY and at + 8 <= min(size, len(answer)):
        length, attribute, value = struct.unpack_from("=HHI", answer, at)
        if attribute == _PEER:
            return int(value) or None
        at += max(4, length + 3 & ~3)
    return None


def _holder(inode: int | None) -> int | None:
    """The only process that has this socket open; None where there are several, or they may not be looked at."""
    if inode is None:
        return None
    found = {pid for pid in _pids() if pid != os.getpid() and _holds(pid, f"socket:[{inode}]")}
    return found.pop() if len(found) == 1 else None


def _pids() -> Iterator[int]:
    yield from (int(name) for name in os.listdir("/proc") if name.isdigit())


def _holds(pid: int, link: str) -> bool:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{name}") == link:
                    return True
    return False
