"""The connected sockets of userland proxies, by sock_diag, in the shape of `ss -HOtunpi`: what each carried, and when,
tells which two belong to one connection."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from netdash.collect.netlink import dump
from netdash.collect.procfs import proxy_pids
from netdash.collect.sockets import inode_of
from netdash.engine.log import logged
from netdash.model.errors import Failure
from netdash.model.kernel_state import PROXY_SOCKETS
from netdash.model.source import Source

MOST = 4_000  # sockets of this host: of more nothing is told
_SOCK_DIAG, _BY_FAMILY = 4, 20  # NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")  # struct inet_diag_msg
_STATES = {
    1: "ESTAB",
    2: "SYN-SENT",
    4: "FIN-WAIT-1",
    5: "FIN-WAIT-2",
    8: "CLOSE-WAIT",
    9: "LAST-ACK",
    11: "CLOSING",
}
_INFO = 2  # INET_DIAG_INFO
_IDLE = struct.Struct("=44xI4xI")  # of struct tcp_info: tcpi_last_data_sent, tcpi_last_data_recv
_CARRIED = struct.Struct("=128xQ64xQQ")  # tcpi_bytes_received, tcpi_bytes_sent, tcpi_bytes_retrans
_LIMIT = 2.0  # seconds that the kernel may take for one answer
_AT_ONCE = 0.005  # seconds within which all are to be read: their times are compared
_TRIES = 5


def proxy_sockets() -> tuple[Mapping[str, str], Mapping[str, Failure]]:
    """By bundle path; and why there is nothing, where they could not be read, or not at one time, or are too many."""
    try:
        return {PROXY_SOCKETS: _read()}, {}
    except OSError as error:
        failure = Failure(f"{Source.FLOWS}: sockets of userland proxies", error.strerror or str(error))
        return {}, {failure.source: failure}


@logged("netlink", "sockets of userland proxies (SOCK_DIAG_BY_FAMILY), and their /proc/PID/fd")
def _read() -> str:
    owners = dict(_owned(proxy_pids()))
    if not owners:
        return ""
    for _ in range(_TRIES):
        began, lines = time.monotonic(), list(islice(_lines(owners), MOST + 1))
        if len(lines) > MOST:
            raise OSError(f"there are more than {MOST}, which are not compared")
        if time.monotonic() - began <= _AT_ONCE:
            return "".join(lines)
    raise OSError(f"to read them took longer than {_AT_ONCE * 1000:g} ms, and their times cannot be compared")


def _owned(pids: Iterable[int]) -> Iterator[tuple[int, str]]:
    """By inode, the words of `ss` for its owner. Raises OSError where the files of a process may not be looked at."""
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                name = "".join(text if text.isprintable() else "?" for text in file.read(64).rstrip("\n"))
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                inode = inode_of(f"/proc/{pid}/fd/{descriptor}")
                if inode:
                    yield inode, f'users:(("{name}",pid={pid},fd={descriptor}))'


def _lines(owners: Mapping[int, str]) -> Iterator[str]:
    """Those of the owners, a line each."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as link:
        link.settimeout(_LIMIT)
        for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            for family in (socket.AF_INET, socket.AF_INET6):
                for message in _ask(link, protocol, family):
                    line = _line(message, protocol, owners)
                    if line:
                        yield line


def _ask(link: socket.socket, protocol: int, family: int) -> Iterator[bytes]:
    states = sum(1 << state for state in _STATES) if protocol == socket.IPPROTO_TCP else 1 << 1
    request = struct.pack("=BBBBI48x", family, protocol, 1 << (_INFO - 1), 0, states)
    return (message for message in dump(link, _BY_FAMILY, request) if len(message) >= _MESSAGE.size)


def _line(message: bytes, protocol: int, owners: Mapping[int, str]) -> str:
    """ "" for one of another process."""
    family, state, _, _, sport, dport, src, dst, _, _, _, received, queued, _, inode = _MESSAGE.unpack_from(message)
    if inode not in owners:
        return ""
    name = "tcp" if protocol == socket.IPPROTO_TCP else "udp"
    ends = " ".join(_end(family, *end) for end in ((src, sport), (dst, dport)))
    carried = _carried(message[_MESSAGE.size :]) if name == "tcp" else ""
    return f"{name} {_STATES.get(state, 'UNKNOWN')} {received} {queued} {ends} {owners[inode]}{carried}\n"


def _end(family: int, ip: bytes, port: bytes) -> str:
    number = int.from_bytes(port, "big")
    if family == socket.AF_INET:
        return f"{socket.inet_ntop(family, ip[:4])}:{number}"
    return f"[{socket.inet_ntop(socket.AF_INET6, ip)}]:{number}"


def _carried(attributes: bytes) -> str:
    """What it carried, and since when it carries nothing, in ms; "" where this kernel does not tell it."""
    while len(attributes) >= 4:
        size, kind = struct.unpack_from("=HH", attributes)
        if kind == _INFO and min(size, len(attributes)) - 4 >= _CARRIED.size:
            sent_ago, received_ago = _IDLE.unpack_from(attributes, 4)
            received, sent, again = _CARRIED.unpack_from(attributes, 4)
            return (
                f" bytes_sent:{sent} bytes_retrans:{again} bytes_received:{received}"
                f" lastsnd:{sent_ago} lastrcv:{received_ago}"
            )
        attributes = attributes[max(4, (size + 3) & ~3) :]
    return ""
