"""Real connections of the game: sockets in every namespace ask and answer, and what comes back is told. A server
answers with the address that it was asked from."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fuzz.frames import IP
from tests.fuzz.world import LISTENING, PEERS, World

_MOST = 2048


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks what: `src` None is the kernel's choice."""

    sender: str  # a peer's name, or "host"
    proto: str  # tcp, udp
    dst: IP
    dport: int
    sport: int
    src: IP | None = None

    def __str__(self) -> str:
        return f"{self.sender} ({self.src or 'any'}:{self.sport}) {self.proto} {self.dst}:{self.dport}"


@dataclass(frozen=True, slots=True)
class Heard:
    """Whether data came back, and from which address the server was asked."""

    answered: bool
    seen: str = ""


@dataclass(slots=True)
class _Asking:
    ask: Ask
    socket: socket.socket
    sent: bool = False
    heard: Heard | None = None


@dataclass(slots=True)
class _Servers:
    """`opened`: connections that were accepted."""

    streams: list[socket.socket] = field(default_factory=list)
    datagrams: list[socket.socket] = field(default_factory=list)
    opened: dict[socket.socket, str] = field(default_factory=dict)

    def all(self) -> list[socket.socket]:
        return [*self.streams, *self.datagrams, *self.opened]


class Talk:
    """Asks and answers for all namespaces of a world, in this one thread."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._servers = _Servers()
        for space in (None, *(peer.name for peer in PEERS)):
            with world.entered(space) if space else contextlib.nullcontext():
                self._serve()

    def _serve(self) -> None:
        for port in LISTENING:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                server = socket.socket(socket.AF_INET6, kind)
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                server.bind(("::", port))
                server.setblocking(False)
                if kind == socket.SOCK_STREAM:
                    server.listen(64)
                (self._servers.streams if kind == socket.SOCK_STREAM else self._servers.datagrams).append(server)

    def close(self) -> None:
        for one in self._servers.all():
            one.close()

    def ask(self, asks: Sequence[Ask], patience: float) -> list[Heard]:
        """What each hears within so many seconds; they all ask at once."""
        asking = [self._begin(one) for one in asks]
        end = time.monotonic() + patience
        while any(one.heard is None for one in asking) and (left := end - time.monotonic()) > 0:
            self._turn(asking, left)
        for one in asking:
            one.socket.close()
        for opened in self._servers.opened:
            opened.close()
        self._servers.opened.clear()
        return [one.heard or Heard(False) for one in asking]

    def _begin(self, ask: Ask) -> _Asking:
        family = socket.AF_INET if ask.dst.version == 4 else socket.AF_INET6
        kind = socket.SOCK_STREAM if ask.proto == "tcp" else socket.SOCK_DGRAM
        inside = contextlib.nullcontext() if ask.sender == "host" else self._world.entered(ask.sender)
        with inside:
            one = _Asking(ask, socket.socket(family, kind))
            one.socket.setblocking(False)
            one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT
            try:
                one.socket.bind((str(ask.src) if ask.src else "", ask.sport))
                one.socket.connect((str(ask.dst), ask.dport))
            except BlockingIOError:
                pass
            except OSError:
                one.heard = Heard(False)
        return one

    def _turn(self, asking: list[_Asking], patience: float) -> None:
        waiting = {one.socket: one for one in asking if one.heard is None}
        unsent = [one.socket for one in waiting.values() if not one.sent]
        readable, writable, _ = select.select([*waiting, *self._servers.all()], unsent, [], patience)
        for ready in writable:
            _send(waiting[ready])
        for ready in readable:
            if ready in waiting:
                _receive(waiting[ready])
            else:
                self._answer(ready)

    def _answer(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if server in self._servers.streams:
                opened, address = server.accept()
                opened.setblocking(False)
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._servers.opened[opened] = address[0]
            elif server in self._servers.datagrams:
                _, more, _, address = server.recvmsg(_MOST, 256)
                own = [(level, kind, data[:16] + b"\0" * 4) for level, kind, data in more]  # by the routes' device
                server.sendmsg([_shown(address[0])], own, 0, address)
            elif server.recv(_MOST):
                server.send(_shown(self._servers.opened[server]))
            else:
                del self._servers.opened[server]
                server.close()


def _shown(address: str) -> bytes:
    return address.removeprefix("::ffff:").encode()


def _send(one: _Asking) -> None:
    try:
        one.socket.send(b"netdash")
        one.sent = True
    except OSError:
        one.heard = Heard(False)


def _receive(one: _Asking) -> None:
    if not one.sent:
        _send(one)  # a refused connection is readable, too
    with contextlib.suppress(BlockingIOError):
        try:
            got = one.socket.recv(_MOST)
        except BlockingIOError:
            raise
        except OSError:
            got = b""
        one.heard = one.heard or Heard(bool(got), got.decode())
