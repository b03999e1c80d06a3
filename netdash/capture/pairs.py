"""Recognises one packet at several points: before and after NAT, on the way out and back. What is seen on one side only
is reported after a grace time. Bounded: the oldest are given up when there are too many."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator
from typing import Protocol

from netdash.capture.model import NANOSECONDS, Fate, Outcome, Pair, Plan, Seen, Side
from netdash.model.host import IP, Ends, TrackedFlow
from netdash.model.records import dataclass, field

GRACE = 1.0  # seconds that a packet may take from one side to the other
SETTLED = 0.05  # seconds after which no further point is expected to see it
MAX_OPEN = 20_000  # packets that wait for their other side
MAX_FLOWS = 4_096
_MAX_LATE = 256
_RANGES = 64  # of TCP segments that are remembered, of each flow, direction and side
_HALF = 1 << 31
_OF_THE_LINK = frozenset((*range(130, 138), 143))  # neighbour discovery and listener reports: as ARP, never forwarded

Tuple5 = tuple[str, IP, "int | None", IP, "int | None"]
"""Protocol, address and port on the container's or this host's side, address and port of the peer."""


@dataclass(slots=True)
class Flow:
    """A connection as the container has it, and as it looks outside once that was seen. `begun`: whether the container
    began it; None: not seen."""

    inner: Tuple5 | None
    outer: Tuple5 | None = None
    begun: bool | None = None
    sent: dict[tuple[bool, bool], deque[tuple[int, int]]] = field(default_factory=dict)
    """TCP's segments by (outwards, seen at the container): (first, behind the last)."""


@dataclass(slots=True)
class Open:
    """A packet that was seen, and may be seen at other points yet."""

    seen: list[Seen]
    outwards: bool | None
    flow: Flow | None
    note: str = ""
    reported: Fate | None = None  # as what, while only some points had seen it
    paired: int = 0  # how many of `seen` are in a pair

    @property
    def first(self) -> int:
        return min(seen.ns for seen in self.seen)


class Judge(Protocol):
    """Says what is known of a packet that was seen on one side only (`absence.Absence`)."""

    def waits(self, seen: Seen) -> bool:
        """Whether another point may see it yet."""

    def outcome(self, opened: Open) -> Outcome: ...


class Pairing:
    """`add` what was seen, in the order of time; `due` are those of which nothing more is expected."""

    def __init__(self, plan: Plan, flows: tuple[TrackedFlow, ...], judge: Judge) -> None:
        self._plan, self._judge = plan, judge
        self._sides = [point.side for point in plan.points]
        self._waiting: OrderedDict[int, Open] = OrderedDict()  # by identity of the object, the first seen first
        self._reported: OrderedDict[int, Open] = OrderedDict()  # on one side only: the other may come late
        self._by_identity: dict[Hashable, list[Open]] = {}
        self._inner: OrderedDict[Tuple5, Flow] = OrderedDict()
        self._outer: OrderedDict[Tuple5, Flow] = OrderedDict()
        for tracked in flows:
            self._know(tracked)

    def _know(self, tracked: TrackedFlow) -> None:
        """What conntrack says of the translation of a connection."""
        there = _key(tracked.proto, tracked.original)
        back = _key(tracked.proto, tracked.reply)
        if there is None or back is None or there[2] is None:
            return
        if there[1] in self._plan.addresses:
            flow = Flow(there, _turned(back), begun=True)
        elif back[1] in self._plan.addresses:
            flow = Flow(back, _turned(there), begun=False)
        else:
            return
        for flows, key in ((self._inner, flow.inner), (self._outer, flow.outer)):
            if key is not None:
                self._keep(flows, key, flow)

    @staticmethod
    def _keep(flows: OrderedDict[Tuple5, Flow], key: Tuple5, flow: Flow) -> None:
        flows[key] = flow
        flows.move_to_end(key)
        if len(flows) > MAX_FLOWS:
            flows.popitem(last=False)

    # --- what was seen ------------------------------------------------------------------------------------------------

    def add(self, seen: Seen) -> None:
        if seen.proto == "ipv6-icmp" and seen.icmp is not None and seen.icmp.type in _OF_THE_LINK:
            return
        same = self._by_identity.setdefault(seen.identity, [])
        known = next((opened for opened in reversed(same) if self._is(opened, seen)), None)
        if known is None:
            known = Open([seen], *self._placed(seen))
            same.append(known)
            self._waiting[id(known)] = known
        else:
            known.seen.append(seen)
            self._learn(known, seen)
            if self._reported.pop(id(known), None) is not None:
                self._waiting[id(known)] = known
        self._note(known, seen)

    def _is(self, opened: Open, seen: Seen) -> bool:
        """Whether it is the same packet at another point: it keeps one of its ends."""
        if any(other.point == seen.point for other in opened.seen) or abs(opened.first - seen.ns) > 60 * NANOSECONDS:
            return False
        return any(
            (other.src, other.sport if other.icmp is None else None)
            == (seen.src, seen.sport if seen.icmp is None else None)
            or (other.dst, other.dport if other.icmp is None else None)
            == (seen.dst, seen.dport if seen.icmp is None else None)
            for other in opened.seen
        )

    def _placed(self, seen: Seen) -> tuple[bool | None, Flow | None]:
        """(whether it goes out from the container, its flow)."""
        if self._inside(seen):
            outwards = seen.src in self._plan.addresses
            return outwards, self._inner_flow(seen, outwards)
        if seen.icmp is not None and seen.icmp.quoted is not None:
            return self._about(seen.icmp.quoted)
        for outwards, key in ((True, key_out(seen)), (False, key_in(seen))):
            if key in self._outer:
                return outwards, self._outer[key]
            if key[1] in self._plan.addresses:
                return outwards, self._outer_flow(key, begun=None)
        for outwards, key in ((True, key_out(seen)), (False, key_in(seen))):
            if self._is_published(key):
                return outwards, self._outer_flow(key, begun=False)
        return None, None

    def _about(self, quoted: Tuple5) -> tuple[bool | None, Flow | None]:
        """Of an ICMP error seen outside: whose packet it is about."""
        proto, src, sport, dst, dport = quoted
        if (proto, src, sport, dst, dport) in self._outer:
            return False, self._outer[proto, src, sport, dst, dport]
        if (proto, dst, dport, src, sport) in self._outer:
            return True, self._outer[proto, dst, dport, src, sport]
        return None, None

    def _inside(self, seen: Seen) -> bool:
        side = self._sides[seen.point]
        return side in (Side.CONTAINER, Side.DIRECT)

    def _inner_flow(self, seen: Seen, outwards: bool) -> Flow:
        key = key_out(seen) if outwards else key_in(seen)
        flow = self._inner.get(key)
        if flow is None:
            flow = Flow(key)
            self._keep(self._inner, key, flow)
        if flow.begun is None or opens(seen):
            flow.begun = self._begins(seen, outwards, flow.begun)
        return flow

    def _begins(self, seen: Seen, outwards: bool, before: bool | None) -> bool | None:
        """Whether the container began the flow, as this packet tells."""
        if seen.tcp is not None:
            if "SYN" in seen.tcp.flags:
                return outwards is ("ACK" not in seen.tcp.flags)
            ours = seen.sport if outwards else seen.dport
            return False if any(published.container_port == ours for published in self._plan.published) else before
        if seen.icmp is not None:
            return outwards is (seen.icmp.type in (8, 128))
        ours = seen.sport if outwards else seen.dport
        if any(
            published.container_port == ours and published.proto == seen.proto for published in self._plan.published
        ):
            return False
        return outwards

    def _outer_flow(self, key: Tuple5, begun: bool | None) -> Flow:
        flow = Flow(None, key, begun)
        self._keep(self._outer, key, flow)
        return flow

    def _is_published(self, key: Tuple5) -> bool:
        proto, ip, port, _, _ = key
        return ip in self._plan.own and any(
            (published.proto, published.host_port) == (proto, port)
            and (published.host_ip.is_unspecified or published.host_ip == ip)
            for published in self._plan.published
        )

    def _learn(self, opened: Open, seen: Seen) -> None:
        """Now that both sides are known: which flow outside is which inside."""
        inside = next((seen for seen in opened.seen if self._inside(seen)), None)
        if inside is None:
            return
        if self._inside(seen):
            opened.outwards = seen.src in self._plan.addresses
            opened.flow = self._inner_flow(seen, opened.outwards)
        outside = next((seen for seen in opened.seen if self._sides[seen.point] is Side.OUTSIDE), None)
        if opened.flow is None or outside is None:
            return
        key = key_out(outside) if opened.outwards else key_in(outside)
        opened.flow.outer = key
        self._keep(self._outer, key, opened.flow)

    # --- TCP ----------------------------------------------------------------------------------------------------------

    def _note(self, opened: Open, seen: Seen) -> None:
        if seen.tcp is None or opened.flow is None or opened.outwards is None:
            return
        size = seen.tcp.length + len(seen.tcp.flags & {"SYN", "FIN"})
        if not size:
            return
        inside = self._inside(seen)
        ranges = opened.flow.sent.setdefault((opened.outwards, inside), deque(maxlen=_RANGES))
        begin, end = seen.tcp.seq, (seen.tcp.seq + size) & 0xFFFFFFFF
        if any(_within(begin, end, *range_) for range_ in ranges) and not opened.note and len(opened.seen) == 1:
            opened.note = "keep-alive" if size == 1 and not seen.tcp.flags & {"SYN", "FIN"} else "retransmission"
        ranges.append((begin, end))

    def _in_segments(self, opened: Open) -> bool:
        """Whether the bytes of a TCP packet were seen on the other side in segments of another size."""
        seen = opened.seen[0]
        if seen.tcp is None or not seen.tcp.length or opened.flow is None or opened.outwards is None:
            return False
        other = opened.flow.sent.get((opened.outwards, not self._inside(seen)), ())
        begin, end = seen.tcp.seq, (seen.tcp.seq + seen.tcp.length) & 0xFFFFFFFF
        return _covered(begin, end, other)

    # --- what is due --------------------------------------------------------------------------------------------------

    def due(self, now: int, last: bool = False) -> Iterator[Pair]:
        """Those that are complete, and those whose grace time is over; `now` in ns. `last`: all."""
        for key, opened in list(self._waiting.items()):
            crowded = last or len(self._waiting) > MAX_OPEN
            age = GRACE if opened.reported is not None else (now - opened.first) / NANOSECONDS
            if age < SETTLED and not crowded:
                return
            complete = self._complete(opened)
            if not complete and not self._concerns(opened):
                del self._waiting[key]
                self._forget(opened)
                continue
            waits = age < GRACE and not complete and self._judge.waits(opened.seen[0])
            if waits and not crowded:
                continue
            del self._waiting[key]
            if complete:
                self._forget(opened)
            else:
                self._keep_reported(key, opened)
            pair = self._pair(opened, complete, waits)
            opened.reported = pair.outcome.fate
            yield pair

    def _complete(self, opened: Open) -> bool:
        return len({self._inside(seen) for seen in opened.seen}) == 2

    def _concerns(self, opened: Open) -> bool:
        """Whether it is the container's: what was seen outside may belong to anybody."""
        if opened.flow is None:
            opened.outwards, opened.flow = self._placed(opened.seen[0])
        return opened.flow is not None

    def _keep_reported(self, key: int, opened: Open) -> None:
        self._reported[key] = opened
        if len(self._reported) > _MAX_LATE:
            self._forget(self._reported.popitem(last=False)[1])

    def _forget(self, one: Open) -> None:
        identity = one.seen[0].identity
        left = [opened for opened in self._by_identity.get(identity, ()) if opened is not one]
        if left:
            self._by_identity[identity] = left
        else:
            self._by_identity.pop(identity, None)

    def _pair(self, opened: Open, complete: bool, too_soon: bool) -> Pair:
        if complete:
            outcome = Outcome(Fate.PAIRED)
        elif too_soon:
            outcome = Outcome(Fate.UNKNOWN, "it was given up before its grace time was over")
        elif self._in_segments(opened):
            outcome = Outcome(Fate.SEGMENTS)
        else:
            outcome = self._judge.outcome(opened)
        ordered, news = (tuple(sorted(some, key=_ns)) for some in (opened.seen, opened.seen[opened.paired :]))
        opened.paired = len(opened.seen)
        return Pair(ordered, opened.outwards, outcome, opened.note, opened.reported, news)


def _ns(seen: Seen) -> int:
    return seen.ns


def key_out(seen: Seen) -> Tuple5:
    """The key of the flow of a packet that goes to the peer."""
    return seen.proto, seen.src, seen.sport, seen.dst, seen.dport


def key_in(seen: Seen) -> Tuple5:
    return seen.proto, seen.dst, seen.dport, seen.src, seen.sport


def _key(proto: str, ends: Ends) -> Tuple5 | None:
    if ends.src is None or ends.dst is None:
        return None
    return proto, ends.src, ends.sport, ends.dst, ends.dport


def _turned(key: Tuple5) -> Tuple5:
    proto, src, sport, dst, dport = key
    return proto, dst, dport, src, sport


def opens(seen: Seen) -> bool:
    """Whether it opens a TCP connection."""
    return seen.tcp is not None and "SYN" in seen.tcp.flags and "ACK" not in seen.tcp.flags


def _within(begin: int, end: int, low: int, high: int) -> bool:
    """Whether a range of sequence numbers lies in another; they start anew after 2^32."""
    return (begin - low) % (2 * _HALF) < _HALF and (high - end) % (2 * _HALF) < _HALF


def _covered(begin: int, end: int, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether others have all of these bytes."""
    for low, high in sorted(ranges, key=lambda each: (each[0] - begin + _HALF) % (2 * _HALF)):
        if _within(begin, begin, low, high):
            begin = high
        if (begin - end) % (2 * _HALF) < _HALF:
            return True
    return False
