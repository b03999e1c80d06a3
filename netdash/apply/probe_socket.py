"""Sends one packet from this host, or from inside a container's network namespace: a SYN, an empty datagram or an echo
request."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import socket
import struct
import threading
from dataclasses import dataclass

from netdash.model.host import IP
from netdash.trace.model import Question

_STAYS = 0.5  # seconds: a proxy that finds nobody behind it closes sooner
_CLONE_NEWNET = 0x40000000
_ICMP_HEADER = struct.Struct("!BBHHH")
_REQUEST = {4: 8, 6: 128}
_HEADERS = {4: 28, 6: 48}  # bytes of the IP header and that of UDP or ICMP
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "icmp": socket.SOCK_RAW}


@dataclass(frozen=True, slots=True)
class ProbeSocket:
    """Bound, so that the packet's source port (of an echo request its id) is known before it is sent."""

    socket: socket.socket
    question: Question
    port: int

    def send(self) -> str:
        """Why it could not be sent; "" where it was."""
        dst = (str(self.question.dst), self.question.dport or 0)
        try:
            with contextlib.suppress(BlockingIOError):
                self.socket.connect(dst)
            if self.question.proto != "tcp":
                self.socket.send(self._payload(self.question.dst))
        except OSError as error:
            return (error.strerror or str(error)).lower()
        return ""

    def connected(self, seconds: float) -> tuple[bool | None, str]:
        """Of TCP, once it was sent: whether somebody serves there, and what happened in words. None: it is accepted and
        nothing more comes, which a proxy does too that has nobody behind it."""
        if not select.select([], [self.socket], [], seconds)[1]:
            return False, f"no answer within {seconds:g} s"
        number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            return False, os.strerror(number).lower()
        if not select.select([self.socket], [], [], _STAYS)[0]:
            return None, "is accepted"
        try:
            return (True, "answers") if self.socket.recv(1) else (False, "is accepted and closed at once")
        except OSError as error:
            return False, (error.strerror or str(error)).lower()

    def _payload(self, dst: IP) -> bytes:
        data = bytes(max(0, (self.question.size or 0) - _HEADERS[dst.version]))
        if self.question.proto != "icmp":
            return data
        head = _ICMP_HEADER.pack(_REQUEST[dst.version], 0, 0, self.port, 1)  # of IPv6 the kernel sums up
        return _ICMP_HEADER.pack(_REQUEST[dst.version], 0, _checksum(head + data), self.port, 1) + data

    def close(self) -> None:
        """A connection that was accepted is reset: nothing of it stays."""
        self.socket.close()


def probe_socket(question: Question, pid: int | None) -> ProbeSocket:
    """In the network namespace of process `pid`; None: this one. Raises OSError."""
    if pid is None:
        return _bound(question)
    found: list[ProbeSocket | OSError] = []

    def work() -> None:
        try:
            _enter(pid)
            found.append(_bound(question))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=work, name="namespace")  # it alone changes its namespace, and ends there
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _bound(question: Question) -> ProbeSocket:
    family = socket.AF_INET if question.dst.version == 4 else socket.AF_INET6
    icmp = socket.IPPROTO_ICMP if question.dst.version == 4 else socket.IPPROTO_ICMPV6
    protocol = icmp if question.proto == "icmp" else 0
    made = socket.socket(family, _KINDS[question.proto] | socket.SOCK_NONBLOCK, protocol)
    try:
        if question.mark:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, question.mark)
        if question.proto == "tcp":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if question.proto == "icmp":
            port = secrets.randbelow(0xFFFF) + 1
            if question.src is not None:
                made.bind((str(question.src), 0))
        else:
            made.bind((str(question.src or ""), question.sport or 0))
            port = int(made.getsockname()[1])
    except BaseException:
        made.close()
        raise
    return ProbeSocket(made, question, port)


def _enter(pid: int) -> None:
    """setns(2), which Python has from 3.12 on. Raises OSError."""
    handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(handle)


def _checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
