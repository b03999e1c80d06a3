"""Real packets: one from this host, or from inside a container's network namespace (a SYN, an empty datagram or an echo
request); and real connections to published ports."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable

from netdash.model.host import IP
from netdash.model.records import dataclass
from netdash.publish.journal import Opened, Proof
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


# --- a real connection to a published port, from this host: what the plan promised, seen ------------------------------

_CONNECT = 3.0  # seconds
_LISTEN = 0.5  # seconds that a connection must stay: a proxy accepts at once, and hangs up when nobody is behind it
_PAUSE = 0.2


def prove(ports: Iterable[Opened], seconds: float) -> tuple[Proof, ...]:
    """One proof for each port and family; a refusal is tried again until `seconds` are over."""
    end = time.monotonic() + seconds
    return tuple(_until(port, address, end) for port in ports for address in targets(port.host_ip))


def targets(host_ip: str) -> tuple[str, ...]:
    """Where to connect to reach a socket bound to that address."""
    if not host_ip or host_ip == str(socket.INADDR_ANY) or host_ip.strip("0.") == "":
        return ("127.0.0.1",)
    return ("::1",) if host_ip == "::" else (host_ip,)


def _until(port: Opened, address: str, end: float) -> Proof:
    attempt = _tcp if port.proto == "tcp" else _udp
    while True:
        works, what = attempt(address, port.host_port)
        if works is not False or time.monotonic() >= end:
            return Proof(port.proto, address, port.host_port, works, what)
        time.sleep(_PAUSE)


def _tcp(address: str, port: int) -> tuple[bool, str]:
    """Nothing is sent: a server that waits for a request waits on; one that is not there is told by the hang-up."""
    try:
        connection = socket.create_connection((address, port), _CONNECT)
    except TimeoutError:
        return False, "does not answer"
    except OSError as error:
        return False, (error.strerror or str(error)).lower()
    with connection:
        connection.settimeout(_LISTEN)
        try:
            answer = connection.recv(1)
        except TimeoutError as error:
            if error.errno == errno.ETIMEDOUT:  # of TCP itself, not of this waiting
                return False, "does not answer"
            return True, "is accepted, and the server waits for a request"
        except OSError as error:
            return False, (error.strerror or str(error)).lower()
    return (True, "answers") if answer else (False, "is accepted and closed at once: nobody is behind it")


def _udp(address: str, port: int) -> tuple[bool | None, str]:
    """An empty datagram: a closed port answers with an ICMP error."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(_LISTEN)
        try:
            client.connect((address, port))
            client.send(b"")
            client.recv(1)
        except TimeoutError:
            return None, "nothing refuses the datagram; UDP does not tell more"
        except OSError as error:
            return False, (error.strerror or str(error)).lower()
        return True, "answers"
