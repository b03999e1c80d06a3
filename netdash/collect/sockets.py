"""Sockets that wait for peers, by sock_diag, in the shape of `ss -Hltnup`: of this network namespace and of others.

The collector takes the text of this file to hosts that have Python (3.7 or newer): it uses nothing else of netdash."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ctypes

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_ERROR, _DONE = 2, 3
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_LISTEN, _CLOSE = 10, 7  # of TCP sockets that listen; of UDP sockets without a peer
_V6ONLY = 11  # INET_DIAG_SKV6ONLY
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")  # struct inet_diag_msg
_CLONE_NEWNET = 0x40000000
_MOST = 16 << 20  # bytes of /proc/PID/net/tcp and the like: 100,000 sockets
_LIMIT = 2.0  # seconds that the kernel may take for one answer
_SOCKET = "socket:["  # what a link of /proc/PID/fd to a socket begins with
_QUESTIONS = tuple(
    (protocol, family, 1 << state)
    for protocol, state in ((socket.IPPROTO_TCP, _LISTEN), (socket.IPPROTO_UDP, _CLOSE))
    for family in (socket.AF_INET, socket.AF_INET6)
)


class Owner(NamedTuple):
    """A process that has the socket open."""

    name: str
    pid: int
    descriptor: int


class Waiting(NamedTuple):
    """One socket; `inode` identifies it, `queue` is the length of its backlog."""

    proto: str
    address: bytes  # 4 or 16
    port: int
    device: str
    v6only: bool
    waiting: int
    queue: int
    inode: int

    def line(self, owners: Iterable[Owner] = ()) -> str:
        """As `ss -Hltnup` prints it: an IPv6 wildcard that answers IPv4 too is "*"."""
        dual = len(self.address) == 16 and not any(self.address) and not self.v6only
        text = socket.inet_ntop(socket.AF_INET if len(self.address) == 4 else socket.AF_INET6, self.address)
        anyone = "0.0.0.0" if len(self.address) == 4 else "*" if dual else "[::]"  # noqa: S104  # printed, not bound
        local = "*" if dual else text if len(self.address) == 4 else f"[{text}]"
        if self.device:
            local += f"%{self.device}"
        state = "LISTEN" if self.proto == "tcp" else "UNCONN"
        users = ",".join(f'("{owner.name}",pid={owner.pid},fd={owner.descriptor})' for owner in owners)
        return f"{self.proto} {state} {self.waiting} {self.queue} {local}:{self.port} {anyone}:*" + (
            f" users:({users})" if users else ""
        )


def waiting_sockets() -> tuple[Waiting, ...]:
    """Of the calling thread's network namespace. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as link:
        link.settimeout(_LIMIT)
        found = [waiting for question in _QUESTIONS for waiting in _ask(link, *question)]
    return tuple(found)


def listing(sockets: Iterable[Waiting], owners: Mapping[int, Iterable[Owner]] | None = None) -> str:
    """A line a socket; `owners` by inode."""
    known = owners or {}
    return "".join(f"{other.line(known.get(other.inode, ()))}\n" for other in sockets)


def owners_of(sockets: Iterable[Waiting], proc: str = "/proc") -> dict[int, list[Owner]]:
    """Who has these sockets open, by inode, the process of the lowest number first; only processes whose files the
    caller may see."""
    wanted = {other.inode for other in sockets}
    found: dict[int, list[Owner]] = {}
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        with contextlib.suppress(OSError):  # it has gone, or is another user's
            for descriptor in os.listdir(f"{proc}/{pid}/fd"):
                inode = inode_of(f"{proc}/{pid}/fd/{descriptor}")
                if inode in wanted:
                    found.setdefault(inode, []).append(Owner(_name(f"{proc}/{pid}/comm"), pid, int(descriptor)))
    return found


def inode_of(link: str) -> int:
    """Of the socket that an open file is; 0 for other files."""
    try:
        target = os.readlink(link)
    except OSError:
        return 0
    return int(target[len(_SOCKET) : -1]) if target.startswith(_SOCKET) else 0


def _name(comm: str) -> str:
    """A process' name for a line of text. It is the process' own to choose: any byte may be in it."""
    with open(comm, "rb") as file:
        name = file.read(64).decode("utf-8", "replace")[:-1]
    return "".join(text if text.isprintable() else "?" for text in name)


def _ask(link: socket.socket, protocol: int, family: int, states: int) -> Iterator[Waiting]:
    request = struct.pack("=BBBBI48x", family, protocol, 0, 0, states)
    link.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _DUMP, 1, 0) + request)
    while True:
        data = link.recv(1 << 15)
        start = 0
        while start < len(data):
            size, kind, *_ = _HEADER.unpack_from(data, start)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError(-struct.unpack_from("=i", data, start + _HEADER.size)[0], "sock_diag")
            one = _socket(data[start + _HEADER.size : start + size], protocol)
            if one:
                yield one
            start += (size + 3) & ~3


def _socket(message: bytes, protocol: int) -> Waiting | None:
    family, _, _, _, port, peer, address, _, device, _, _, waiting, queue, _, inode = _MESSAGE.unpack_from(message)
    if peer != b"\0\0":
        return None
    tcp = protocol == socket.IPPROTO_TCP
    return Waiting(
        proto="tcp" if tcp else "udp",
        address=address[:4] if family == socket.AF_INET else address,
        port=int.from_bytes(port, "big"),
        device=_device(device) if device else "",
        v6only=_has_v6only(message[_MESSAGE.size :]),
        waiting=waiting if tcp else 0,
        queue=queue if tcp else 0,
        inode=inode,
    )


def _has_v6only(attributes: bytes) -> bool:
    while len(attributes) >= 4:
        size, kind = struct.unpack_from("=HH", attributes)
        if kind == _V6ONLY:
            return attributes[4:5] == b"\1"
        attributes = attributes[max(4, (size + 3) & ~3) :]
    return False


def _device(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return f"if{index}"


# --- other namespaces -------------------------------------------------------------------------------------------------


def sockets_of(pids: Mapping[str, int]) -> dict[str, str]:
    """The listing inside each process' network namespace, by the given names."""
    return read_in(pids, lambda: listing(waiting_sockets()))


def read_in(pids: Mapping[str, int], read: Callable[[], str]) -> dict[str, str]:
    """What `read` returns inside each process' network namespace, by the given names; those that cannot be entered are
    left out. Needs CAP_SYS_ADMIN. A thread of its own enters them and ends there: no other code ever runs in one."""
    found: dict[str, str] = {}
    visitor = threading.Thread(target=_visit, args=(dict(pids), read, found), name="namespaces", daemon=True)
    visitor.start()
    visitor.join(_LIMIT + len(pids) * 0.01)
    return dict(found)


def _visit(pids: Mapping[str, int], read: Callable[[], str], found: dict[str, str]) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            _enter(libc, pid)
            found[name] = read()


def _enter(libc: ctypes.CDLL, pid: int) -> None:
    """setns(2), which Python has from 3.12 on. Raises OSError."""
    import ctypes

    handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)


def proc_net(pid: int, sockets: bool, routes: bool) -> str | None:
    """/proc/PID/net/{tcp,tcp6,udp,udp6} and /proc/PID/net/route, each after a `## ` line: readable without privilege.
    The kernel walks its whole table of sockets for each of the first four (2 ms), so not for every container at every
    poll. None when nothing was asked for or could be read."""
    parts = []
    for name in (*(("tcp", "tcp6", "udp", "udp6") if sockets else ()), *(("route",) if routes else ())):
        try:
            with open(f"/proc/{pid}/net/{name}", encoding="ascii", errors="replace") as file:
                text = file.read(_MOST)
        except OSError:
            continue
        if len(text) == _MOST:
            return None  # a part of the sockets would pass for all of them
        parts.append(f"## /proc/PID/net/{name}\n{text}")
    return "".join(parts) or None


if __name__ == "__main__":
    here = waiting_sockets()
    with open(1, "wb", closefd=False) as answer:
        answer.write(listing(here, owners_of(here)).encode("utf-8", "replace"))
