"""The forwarder for hosts without docker-proxy: the same arguments, the same answer on descriptor 3, TCP and UDP.

`python -m netdash.apply.forwarder netdash-proxy -proto tcp -host-ip IP -host-port N -container-ip IP -container-port N`
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable

from netdash.model.processes import OWN_PROXY

_PIECE = 1 << 16
_IDLE = 90.0  # seconds that a UDP client is remembered, as docker-proxy does
_PR_SET_NAME = 15
Address = tuple[str, int]


class Pair:
    """One direction of a TCP connection: what was read from `source` and `sink` has not taken yet."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.rest = b""
        self.ended = False  # the source has no more


class Tcp:
    def __init__(self, host: Address, container: Address, family: int) -> None:
        self.container = container
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.listener.bind(host)
        self.listener.listen(1024)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.pairs: dict[socket.socket, tuple[Pair, Pair]] = {}  # (from it, to it)

    def serve(self) -> None:
        while True:
            for key, events in self.selector.select():
                if key.fileobj is self.listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self.pairs:
                    self._move(key.fileobj, events)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self.listener.accept()
            inside = socket.socket(socket.AF_INET6 if ":" in self.container[0] else socket.AF_INET)
            for sock in (client, inside):
                sock.setblocking(False)
            inside.connect_ex(self.container)
            there, back = Pair(client, inside), Pair(inside, client)
            self.pairs[client], self.pairs[inside] = (there, back), (back, there)
            self.selector.register(client, selectors.EVENT_READ)
            self.selector.register(inside, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _move(self, sock: socket.socket, events: int) -> None:
        out, into = self.pairs[sock]
        try:
            if events & selectors.EVENT_READ and not out.rest and not out.ended:
                piece = sock.recv(_PIECE)
                out.rest, out.ended = piece, not piece
            for pair in (out, into):
                self._push(pair)
            self._listen(out, into)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._close(sock)

    def _push(self, pair: Pair) -> None:
        if pair.rest:
            with contextlib.suppress(BlockingIOError):
                pair.rest = pair.rest[pair.sink.send(pair.rest) :]
        elif pair.ended:
            with contextlib.suppress(OSError):
                pair.sink.shutdown(socket.SHUT_WR)

    def _listen(self, out: Pair, into: Pair) -> None:
        if out.ended and into.ended and not out.rest and not into.rest:
            self._close(out.source)
            return
        for mine, other in ((out, into), (into, out)):
            wanted = 0 if mine.rest or mine.ended else selectors.EVENT_READ
            wanted |= selectors.EVENT_WRITE if other.rest else 0
            self._watch(mine.source, wanted)

    def _watch(self, sock: socket.socket, wanted: int) -> None:
        known = sock in self.selector.get_map()
        if known and wanted:
            self.selector.modify(sock, wanted)
        elif known:
            self.selector.unregister(sock)
        elif wanted:
            self.selector.register(sock, wanted)

    def _close(self, sock: socket.socket) -> None:
        out, _ = self.pairs[sock]
        for end in (out.source, out.sink):
            self.pairs.pop(end, None)
            self._watch(end, 0)
            end.close()


class Udp:
    """One socket towards the container for each client."""

    def __init__(self, host: Address, container: Address, family: int) -> None:
        self.container = container
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            self.listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.listener.bind(host)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.clients: dict[Address, tuple[socket.socket, float]] = {}

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select(_IDLE / 3):
                with contextlib.suppress(OSError):
                    self._from_client() if key.fileobj is self.listener else self._from_container(key)
            self._forget()

    def _from_client(self) -> None:
        data, client = self.listener.recvfrom(_PIECE)
        inside = self.clients[client][0] if client in self.clients else self._new(client)
        self.clients[client] = (inside, time.monotonic())
        inside.send(data)

    def _new(self, client: Address) -> socket.socket:
        inside = socket.socket(socket.AF_INET6 if ":" in self.container[0] else socket.AF_INET, socket.SOCK_DGRAM)
        inside.setblocking(False)
        inside.connect(self.container)
        self.selector.register(inside, selectors.EVENT_READ, client)
        return inside

    def _from_container(self, key: selectors.SelectorKey) -> None:
        assert isinstance(key.fileobj, socket.socket)  # noqa: S101  # for the type: only sockets are registered
        self.listener.sendto(key.fileobj.recv(_PIECE), key.data)

    def _forget(self) -> None:
        late = time.monotonic() - _IDLE
        for client in [value for value, (_, when) in self.clients.items() if when < late]:
            inside, _ = self.clients.pop(client)
            self.selector.unregister(inside)
            inside.close()


def main(words: list[str]) -> None:
    options = dict(zip(words[::2], words[1::2], strict=False))
    host = (options["-host-ip"], int(options["-host-port"]))
    container = (options["-container-ip"], int(options["-container-port"]))
    family = socket.AF_INET6 if ":" in host[0] else socket.AF_INET
    ctypes.CDLL(None).prctl(_PR_SET_NAME, OWN_PROXY.encode())
    make: Callable[..., Tcp | Udp] = Udp if options["-proto"] == "udp" else Tcp
    try:
        server = make(host, container, family)
    except OSError as error:
        os.write(3, f"1\n{error.strerror}".encode())
        sys.exit(1)
    os.write(3, b"0\n")
    os.close(3)
    server.serve()


if __name__ == "__main__":
    main(sys.argv[2:])
