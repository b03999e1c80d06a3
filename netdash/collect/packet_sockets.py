"""AF_PACKET sockets with a filter in the kernel, one a device. They only listen: no promiscuous mode, nothing is sent
or written. A filter is there before the first packet is: a socket is bound when it has one."""

from __future__ import annotations

import contextlib
import ctypes
import selectors
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType

from netdash.capture.model import NANOSECONDS, Plan
from netdash.capture.packet_filter import Instruction, program
from netdash.collect.answer_store import more_rights
from netdash.model.errors import Exit, NetdashError
from netdash.model.records import dataclass

_SOL_PACKET, _STATISTICS, _AUXDATA = 263, 6, 8
_TIMESTAMPNS, _RCVBUFFORCE, _ATTACH_FILTER = 35, 33, 26
_ALL = 3  # ETH_P_ALL: what is sent too
_ETHERNET = (1, 772)  # ARPHRD_ETHER, ARPHRD_LOOPBACK
_AUX = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
_VLAN_VALID, _TPID_VALID = 1 << 4, 1 << 6  # TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID
_VLAN = 0x8100
_BUFFER = 8 << 20
_AT_ONCE = 64  # packets of one socket before the next has its turn


@dataclass(frozen=True, slots=True)
class Raw:
    """A frame as it was captured. `ethertype`: of what `data` holds behind its link header, of `header` bytes. `tag`:
    the VLAN tag that the kernel took out of the data, as it was on the wire."""

    point: int
    ns: int
    data: bytes
    size: int
    ethertype: int
    header: int
    tag: bytes = b""


class PacketSockets:
    """`with PacketSockets(plan, snap) as sockets`: captures from then on. Raises NetdashError where it may not."""

    def __init__(self, plan: Plan, snap: int) -> None:
        self._plan, self._snap = plan, snap
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._links: list[int] = []  # bytes of the link header, by point
        self.dropped = [0] * len(plan.points)  # by point: what the kernel could not keep for us
        self.gone: list[str] = []  # devices that were removed or taken down

    def __enter__(self) -> PacketSockets:
        try:
            for at, point in enumerate(self._plan.points):
                self._open(at, point.device, program(point.clauses, self._snap))
        except OSError as error:
            self.close()
            raise _refused(error) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, at: int, device: str, instructions: Sequence[Instruction]) -> None:
        made = _bound(device, instructions, socket.SOCK_RAW)
        ethernet = made.getsockname()[3] in _ETHERNET
        if not ethernet:  # tunnels have headers of their own, or none: the kernel leaves them out
            made.close()
            made = _bound(device, instructions, socket.SOCK_DGRAM)
        self._sockets.append(made)
        self._links.append(14 if ethernet else 0)
        self._selector.register(made, selectors.EVENT_READ, at)

    def ethernet(self, at: int) -> bool:
        """Whether the frames of a point have a link header."""
        return self._links[at] > 0

    def read(self, seconds: float) -> list[Raw]:
        """What has come, after at most so long; of a busy socket only some at once."""
        found: list[Raw] = []
        for key, _ in self._selector.select(seconds):
            try:
                found += self._received(key.data, self._sockets[key.data])
            except OSError:  # ENETDOWN: once, where the device goes down; it is heard again when it comes up
                self._lost(key.data)
        return found

    def _lost(self, at: int) -> None:
        device = self._plan.points[at].device
        if device not in self.gone:
            self.gone.append(device)

    def _received(self, at: int, sock: socket.socket) -> Iterator[Raw]:
        for _ in range(_AT_ONCE):
            try:
                data, beside, _, address = sock.recvmsg(self._snap, 256)
            except BlockingIOError:
                return
            ns, size, tag = _told(beside, len(data))
            yield Raw(at, ns, data, size, address[1], self._links[at], tag)

    def count_drops(self) -> int:
        """How many packets were not kept; the kernel counts anew after each answer."""
        for at, sock in enumerate(self._sockets):
            with contextlib.suppress(OSError):
                _, dropped = struct.unpack("=II", sock.getsockopt(_SOL_PACKET, _STATISTICS, 8))
                self.dropped[at] += dropped
        return sum(self.dropped)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._selector.close()


def _bound(device: str, instructions: Sequence[Instruction], kind: int) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        _attach(made, instructions)
        made.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        made.setsockopt(_SOL_PACKET, _AUXDATA, 1)
        with contextlib.suppress(PermissionError):
            made.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        made.bind((device, _ALL))
    except BaseException:
        made.close()
        raise
    return made


def _attach(made: socket.socket, instructions: Sequence[Instruction]) -> None:
    code = b"".join(struct.pack("=HBBI", *value) for value in instructions)  # struct sock_filter
    held = ctypes.create_string_buffer(code, len(code))
    made.setsockopt(
        socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(instructions), ctypes.addressof(held))
    )  # struct sock_fprog


def _told(beside: Sequence[tuple[int, int, bytes]], have: int) -> tuple[int, int, bytes]:
    """(nanoseconds, bytes of the frame, VLAN tag) of what came beside the data."""
    ns, size, tag = 0, have, b""
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMPNS):
            seconds, rest = struct.unpack("=qq" if len(data) == 16 else "=ll", data[:16])
            ns = seconds * NANOSECONDS + rest
        elif (level, kind) == (_SOL_PACKET, _AUXDATA) and len(data) >= _AUX.size:
            status, size, _, _, _, number, kind = _AUX.unpack_from(data)
            if status & _VLAN_VALID:
                tag = struct.pack("!HH", kind if status & _TPID_VALID else _VLAN, number)
    return ns, size, tag


def _refused(error: OSError) -> NetdashError:
    words = (error.strerror or str(error)).lower()
    if isinstance(error, PermissionError):
        return NetdashError("packets cannot be captured without CAP_NET_RAW", more_rights(), Exit.REFUSED)
    return NetdashError(f"packets cannot be captured: {words}", "", Exit.UNREADABLE)
