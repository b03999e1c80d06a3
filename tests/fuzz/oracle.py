"""The kernel's own word: every rule that a probe meets, by NFNLGRP_NFTRACE for nf_tables and by nfnetlink_log for the
legacy tables. One socket takes both, so that they stay in the kernel's order.

A table of its own marks the probes (by their source port) at priority -350 of every hook, because a packet loses the
mark when it leaves a bridge for the routing; a chain behind all others tells which hook it got through.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from netdash.parse.netfilter import GROUP, TraceEvent, trace_events
from tests.fuzz.frames import Tuple, read
from tests.fuzz.namespaces import run

FIRST_PORT, LAST_PORT = 40000, 59999
"""Source ports of probes, and ids of echo requests."""
_TRANSLATED = 62010
"""No rule translates a source to a port above."""
TABLE = "ndtrace"
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")

_PROBES = f"""
  meta l4proto tcp th sport {FIRST_PORT}-{_TRANSLATED} tcp flags & (fin|syn|rst|ack) == syn meta nftrace set 1
  meta l4proto udp th sport {FIRST_PORT}-{_TRANSLATED} meta nftrace set 1
  icmp type echo-request icmp id {FIRST_PORT}-{LAST_PORT} meta nftrace set 1
  icmpv6 type echo-request icmpv6 id {FIRST_PORT}-{LAST_PORT} meta nftrace set 1
"""
_ANSWERS = f"""
  meta l4proto tcp th dport {FIRST_PORT}-{_TRANSLATED} tcp flags & (syn|rst|ack) == syn|ack meta nftrace set 1
  icmp type echo-reply icmp id {FIRST_PORT}-{LAST_PORT} meta nftrace set 1
  icmpv6 type echo-reply icmpv6 id {FIRST_PORT}-{LAST_PORT} meta nftrace set 1
"""


@dataclass(frozen=True, slots=True)
class Event:
    """A rule that matched (`handle`, or `position` of a legacy one) or a policy (both None)."""

    family: str
    table: str
    chain: str
    verdict: str  # accept drop continue return jump goto; "" of a legacy rule, which does not say
    handle: int | None = None
    position: int | None = None  # behind the last rule: the chain's end
    legacy: bool = False
    to: str | None = None
    packet: Tuple | None = None  # where the event carries the headers


@dataclass(slots=True)
class Sight:
    """What the kernel told of one probe."""

    events: list[Event] = field(default_factory=list)
    entered: list[tuple[str, Tuple | None]] = field(default_factory=list)  # (hook, packet as it came to it)
    passed: list[tuple[str, Tuple | None]] = field(default_factory=list)  # (hook, packet as it left all its chains)
    answer: Sight | None = None  # of the packet that came back

    def take(self, event: Event) -> None:
        """Answers are sent when the probe is at its end: what is told from then on is told of them."""
        if self.answer is None and event.table == TABLE and event.chain.endswith("_back") and event.handle is not None:
            self.answer = Sight()
        if self.answer is not None:
            self.answer.note(event)
        else:
            self.note(event)

    def note(self, event: Event) -> None:
        if event.table != TABLE:
            self.events.append(event)
        elif event.handle is not None:
            hook, _, where = event.chain.partition("_")
            place = f"bridge {hook}" if event.family == "bridge" else hook
            (self.passed if where == "last" else self.entered).append((place, event.packet))

    @property
    def dropped(self) -> bool:
        return any(event.verdict == "drop" for event in self.events)


def marking_rules(ingress: Sequence[str], bridge: bool) -> str:
    """For `nft -f`: the table of the oracle; with `bridge` one for bridged frames too, and one for these devices."""
    families = ("inet", "bridge") if bridge else ("inet",)
    early = ""
    if ingress:
        devices = ", ".join(ingress)
        head = f"type filter hook ingress devices = {{ {devices} }} priority"
        early = (
            f"table netdev {TABLE} {{\n"
            f" chain ingress_first {{ {head} -350; policy accept;{_PROBES} }}\n"
            f" chain ingress_back {{ {head} -349; policy accept;{_ANSWERS} }}\n"
            f" chain ingress_last {{ {head} 2147483646; policy accept; counter; }}\n}}\n"
        )
    return early + "".join(f"table {family} {TABLE} {{\n{''.join(map(_chains, HOOKS))}}}\n" for family in families)


def _chains(hook: str) -> str:
    kind = f"type filter hook {hook} priority"
    return (
        f" chain {hook}_first {{ {kind} -350; policy accept;{_PROBES} }}\n"
        f" chain {hook}_back {{ {kind} -349; policy accept;{_ANSWERS} }}\n"
        f" chain {hook}_last {{ {kind} 2147483646; policy accept; counter; }}\n"
    )


class Oracle:
    """Listens from when it is made; `mark` puts the table in."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 12)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((0, 0))
        self._socket.setsockopt(270, 1, GROUP)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
        self._socket.setblocking(False)
        for family in (2, 10):
            self._configure(family, 0, (1, struct.pack("B", 3)))  # NFULNL_CFG_CMD_PF_BIND
        self._configure(0, 0, (1, struct.pack("B", 1)))  # NFULNL_CFG_CMD_BIND
        self._configure(0, 0, (2, struct.pack("!IBx", 256, 2)), (5, struct.pack("!I", 1)))  # copy headers, one by one

    def close(self) -> None:
        self._socket.close()

    def mark(self, ingress: Sequence[str], bridge: bool) -> None:
        run("nft", "-f", "-", text=marking_rules(ingress, bridge))

    def forget_flows(self) -> None:
        """Empty the table of conntrack: a port that an old flow has would be refused to a new one."""
        self._ask(0x102, 0, b"")  # IPCTNL_MSG_CT_DELETE

    def _configure(self, family: int, group: int, *attributes: tuple[int, bytes]) -> None:
        body = b""
        for kind, value in attributes:
            size = 4 + len(value)
            body += struct.pack("=HH", size, kind) + value + b"\0" * (-size % 4)
        self._ask(0x401, family, body, group)  # NFULNL_MSG_CONFIG

    def _ask(self, kind: int, family: int, body: bytes, resource: int = 0) -> None:
        head = struct.pack("=IHHII", 20 + len(body), kind, 5, 1, 0) + struct.pack("!BBH", family, 0, resource)
        self._socket.send(head + body)
        answer = b""
        while answer[4:6] != b"\2\0":  # NLMSG_ERROR, which is the acknowledgement too
            select.select([self._socket], [], [], 1)
            answer = self._socket.recv(1 << 16)
        error = struct.unpack_from("=i", answer, 16)[0]
        if error:
            raise OSError(-error, "the kernel refuses")

    def events(self, wait: float = 0) -> Iterator[Event]:
        """What was told since the last call; `wait` in seconds for the first."""
        if wait and not select.select([self._socket], [], [], wait)[0]:
            return
        with contextlib.suppress(BlockingIOError):
            while True:
                yield from _messages(self._socket.recv(1 << 16))


# --- decoding ---------------------------------------------------------------------------------------------------------

_LOG = 0x400  # NFULNL_MSG_PACKET
_FAMILIES = {2: "ip", 10: "ip6"}


def _messages(data: bytes) -> Iterator[Event]:
    at = 0
    while at + 20 <= len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        if size < 16:
            return
        body = data[at + 16 : at + size]
        yield from map(_traced, trace_events(data[at : at + size]))
        if kind == _LOG:
            event = _logged(body[0], dict(_attributes(body[4:])))
            if event:
                yield event
        at += (size + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + size]
        at += (size + 3) & ~3


def _traced(one: TraceEvent) -> Event:
    packet = read(one.network, one.transport) if one.network else None
    return Event(one.family, one.table, one.chain, one.verdict, one.handle, to=one.to, packet=packet)


def _logged(family: int, parts: dict[int, bytes]) -> Event | None:
    """NFULA_PREFIX is "TRACE: table:chain:WORD:N". WORD is policy or return at a chain's end, where N is the place
    behind the last rule, but also of a rule without conditions that accepts, drops or returns (ip_tables.c,
    get_chainname_rulenum): only N tells."""
    words = _text(parts.get(10, b"")).split(":")
    if len(words) != 5 or words[0] != "TRACE":
        return None
    _, table, chain, _, number = words
    packet = read(parts[9]) if 9 in parts else None
    name = _FAMILIES.get(family, "?")
    return Event(name, table.strip(), chain, "", position=int(number), legacy=True, packet=packet)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
