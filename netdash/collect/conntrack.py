"""The kernel's tracked connections by netlink: one dump, or a dump and then what begins, changes and ends, for as long
as somebody looks. Asks only, and nothing that would load a module.

pyroute2 takes 95 us for each message, and a busy host sends 10,000 a second: of a message only what identifies its
connection is read here, and what is shown of it is parsed when it is asked for."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from netdash.collect.answer_store import more_rights
from netdash.collect.netlink import NETFILTER, conntrack_events, dump, messages
from netdash.collect.procfs import loaded
from netdash.collect.proxy_sockets import proxy_sockets
from netdash.engine.log import logged
from netdash.model.errors import NetdashError
from netdash.model.host import Failure, FailureKind
from netdash.model.kernel_state import Tracking
from netdash.model.rules import IP
from netdash.model.source import Source

MOST = 20_000  # connections that are kept
_MODULE = "nf_conntrack_netlink"
_GET, _NEW, _DELETE = 0x0101, 0x0100, 0x0102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_…
_CREATED = 0x0400  # NLM_F_CREATE, of one that begins
_FAMILY = 4  # struct nfgenmsg
_ZONE = 18  # CTA_ZONE, behind the two tuples
_ORIGINAL, _REPLY, _FILTER = 1, 2, 25  # CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_FILTER
_EITHER = ((_ORIGINAL, (1, 0)), (_REPLY, (0, 1)))
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_FEW = 2_000  # connections: a dump of all takes less than two that are filtered, each of which walks the table: 8 ms
_NESTED = 0x8000  # NLA_F_NESTED
_FAMILIES = {0: 0, 4: socket.AF_INET, 6: socket.AF_INET6}
_ATTRIBUTE = struct.Struct("=HH")
_LIMIT = 3.0  # seconds that the kernel may take for one answer
_EACH = 2.0  # seconds between two publications
_AGAIN = 5.0  # seconds after which all are read again: the kernel tells neither of counters nor of what begins unheard
_ROUND = 1 << 20  # bytes of events that are taken before something else is done


class Table:
    """Connections by what identifies them, the last that is known of each."""

    def __init__(self) -> None:
        self.entries: dict[bytes, tuple[bytes, float | None]] = {}
        self.left_out = self.lost = 0
        self.dumped = 0.0

    def fill(self, bodies: Iterator[bytes]) -> None:
        """All that there are now. Where they are too many those stay that were kept before."""
        before, self.entries = self.entries, {}
        others: list[tuple[bytes, bytes]] = []
        left_out = 0
        for body in bodies:
            key = identity(body)
            known = before.get(key)
            if known is not None:
                self.entries[key] = (body, known[1])
            elif len(others) < MOST:
                others.append((key, body))
            else:
                left_out += 1
        for key, body in others:
            if len(self.entries) < MOST:
                self.entries[key] = (body, None)
            else:
                left_out += 1
        self.left_out = left_out
        self.dumped = time.time()

    def take(self, kind: int, flags: int, body: bytes, now: float) -> None:
        """One event."""
        key = identity(body)
        known = self.entries.get(key)
        if kind == _DELETE:
            self.entries.pop(key, None)
        elif known is not None:
            self.entries[key] = (_merged(known[0], body), known[1])
        elif len(self.entries) >= MOST:
            self.left_out += 1
        else:
            self.entries[key] = (body, now if flags & _CREATED else None)

    def tracking(self) -> Tracking:
        return Tracking(
            entries=tuple(self.entries.values()),
            at=time.time(),
            dumped=self.dumped,
            left_out=self.left_out,
            lost=self.lost,
        )


def identity(body: bytes) -> bytes:
    """The first direction's tuple, with the zone where there is one."""
    end = _after(body, 0)
    third = _after(body, end)
    if third + 8 <= len(body) and _ATTRIBUTE.unpack_from(body, third)[1] & 0x3FFF == _ZONE:
        return body[:end] + body[third : third + 8]
    return body[:end]


def _after(body: bytes, start: int) -> int:
    """Where the attribute ends that begins at `start`."""
    if start + 4 > len(body):
        return len(body)
    return start + max(4, (int(_ATTRIBUTE.unpack_from(body, start)[0]) + 3) & ~3)


def _merged(before: bytes, after: bytes) -> bytes:
    """An event leaves out what did not change."""
    found: dict[int, bytes] = {}
    for body in (before, after):
        start = 0
        while start + 4 <= len(body):
            end = _after(body, start)
            found[_ATTRIBUTE.unpack_from(body, start)[1]] = body[start:end]
            start = end
    return b"".join(found.values())


# --- asking -----------------------------------------------------------------------------------------------------------


@logged("netlink", "all connections (IPCTNL_MSG_CT_GET)")
def read_tracking() -> Tracking:
    """All connections of the calling thread's network namespace. Raises OSError, and NetdashError where nothing can be
    asked."""
    table = Table()
    table.fill(_dump())
    return table.tracking()


@logged("netlink", "connections of addresses (IPCTNL_MSG_CT_GET)")
def read_of(ips: Iterable[IP], most: int) -> tuple[list[bytes], int]:
    """The connections that these addresses began, and those that they answer; and 1 where there are more than `most`,
    else 0. Raises as `read_tracking`."""
    sources, count = {_source(ip): ip for ip in ips}, _count()
    if count == 0:
        return [], 0
    each = [(ip.version, _from(ip, *which)) for ip in sources.values() for which in _EITHER]
    found: dict[bytes, bytes] = {}
    for version, attributes in each if count is None or count > _FEW else [(0, b"")]:
        for body in _dump(version, attributes):
            if _source_in(body, 0) not in sources and _source_in(body, _after(body, 0)) not in sources:
                continue  # a kernel before 5.8 tells of all
            key = identity(body)
            if len(found) >= most and key not in found:
                return list(found.values()), 1
            found[key] = body
    return list(found.values()), 0


def _count() -> int | None:
    """How many connections this network namespace has; None where that is not told."""
    try:
        return int(_COUNT.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _source(ip: IP) -> bytes:
    return _attribute(1 if ip.version == 4 else 3, ip.packed)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC


def _source_in(body: bytes, start: int) -> bytes:
    """The source in the tuple that begins there."""
    return body[start + 8 : _after(body, start + 8)]


def _from(ip: IP, tuple_of: int, flags: tuple[int, int]) -> bytes:
    """What makes a dump tell only of entries with this source in one of their tuples (CTA_FILTER)."""
    source = _attribute(_NESTED | 1, _source(ip))  # CTA_TUPLE_IP
    masks = b"".join(_attribute(at, struct.pack("=I", mask)) for at, mask in enumerate(flags, 1))
    return _attribute(_NESTED | tuple_of, source) + _attribute(_NESTED | _FILTER, masks)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _dump(version: int = 0, attributes: bytes = b"") -> Iterator[bytes]:
    """Of one address family where it is named."""
    if not loaded(_MODULE):
        raise NetdashError(f"the kernel's module {_MODULE} is not loaded", f"modprobe {_MODULE}")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER) as link:
        link.settimeout(_LIMIT)
        asked = bytes([_FAMILIES[version], 0, 0, 0]) + attributes
        for message in dump(link, _GET, asked):
            yield message[_FAMILY:]


def failure_of(error: Exception) -> Failure:
    if isinstance(error, PermissionError):
        return Failure(Source.FLOWS, "connections need root or CAP_NET_ADMIN", more_rights(), FailureKind.NO_RIGHT)
    if isinstance(error, NetdashError):
        return Failure(Source.FLOWS, error.message, error.hint)
    reason = error.strerror if isinstance(error, OSError) else None
    return Failure(Source.FLOWS, reason or f"{type(error).__name__}: {error}"[:200])


# --- for as long as somebody looks ------------------------------------------------------------------------------------

Put = Callable[[Mapping[str, object], Mapping[str, Failure]], None]


class TrackingReader:
    """`put` gets the answer, or why there is none; and nothing when nobody looks any more."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._lock = threading.Lock()
        self._watch: threading.Event | None = None  # set: that thread is to end

    def look(self, wanted: bool) -> None:
        """Any thread may call it; returns at once."""
        with self._lock:
            if wanted == (self._watch is not None):
                return
            if self._watch is not None:
                self._watch.set()
                self._watch = None
                return
            self._watch = threading.Event()
            threading.Thread(target=self._run, args=(self._watch,), name="flows", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                _follow(stop, self._publish)
            except Exception as error:  # it must not end netdash
                found = failure_of(error)
                self._put({}, {found.source: found})
                stop.wait(_AGAIN)
        with self._lock:
            if self._watch is None:
                self._put({}, {})

    def _publish(self, tracking: Tracking) -> None:
        sockets, unread = proxy_sockets()
        self._put({Tracking.PATH: tracking, **sockets}, unread)


def _follow(stop: threading.Event, publish: Callable[[Tracking], None]) -> None:
    """Raises what reading raises."""
    table = Table()
    table.fill(_dump())  # says why where nothing may be asked
    events = conntrack_events()
    try:
        table.fill(_dump())
        again, due = time.monotonic() + _AGAIN, 0.0
        while not stop.is_set():
            if time.monotonic() >= again:
                table.fill(_dump())
                again = time.monotonic() + _AGAIN
            if time.monotonic() >= due:
                publish(table.tracking())
                due = time.monotonic() + _EACH
            if events is None:
                stop.wait(_EACH)
            elif _take_events(table, events, min(again, due)):
                table.lost += 1
                again = 0.0
    finally:
        if events is not None:
            events.close()


def _take_events(table: Table, events: socket.socket, until: float) -> bool:
    """What the kernel tells until then; whether it had to drop some of it (ENOBUFS)."""
    taken = 0
    while taken < _ROUND and (left := until - time.monotonic()) > 0:
        events.settimeout(left)
        try:
            data = events.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError:
            return True
        now, taken = time.time(), taken + len(data)
        for kind, flags, message in messages(data):
            table.take(kind, flags, message[_FAMILY:], now)
    return False
