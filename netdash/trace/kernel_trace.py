"""The events of nf_tables' trace -> the walk of one packet, in the words of a trace: hooks, rules, policies.

br_netfilter gives one packet two ids, and a later packet of the flow has the same addresses: events are joined by the
addresses and ports that the packet was seen with, until it comes to a base chain for the second time."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.model.packet import Packet
from netdash.model.records import dataclass, field
from netdash.parse.netfilter import Headers, TraceEvent
from netdash.rules.nft_listing import Handles
from netdash.trace.marking import FIRST, LAST, MARK
from netdash.trace.model import Hop, Step

_IP = ("ip", "ip6")  # a packet's family as its events tell it, also in tables of inet
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


_MOST_EARLY = 4096  # packets that others have traced, while ours is awaited


def _to(headers: Headers) -> tuple[object, ...]:
    return headers.dst, headers.dport


@dataclass(slots=True)
class Flow:
    """The first packet that the table `name` marked; `take` every event in the kernel's order."""

    name: str
    events: list[TraceEvent] = field(default_factory=list)  # of that packet
    over: bool = False  # it came to a base chain again: that is a later packet
    _ids: set[int] = field(default_factory=set)
    _known: set[Headers] = field(default_factory=set)
    _visited: set[tuple[str, str, str]] = field(default_factory=set)
    _early: dict[int, list[TraceEvent]] = field(default_factory=dict)  # by id: what was traced before it was marked

    def take(self, event: TraceEvent) -> bool:
        """Whether it is one of the packet's."""
        if self.over:
            return False
        headers = event.headers
        if not self._known:
            if event.table != self.name or not event.chain.endswith(MARK) or headers is None:
                if len(self._early) < _MOST_EARLY:
                    self._early.setdefault(event.id, []).append(event)
                return False
            self.events = self._early.pop(event.id, [])
        elif headers not in self._known and not (event.id in self._ids and self._may_become(headers)):
            return False
        return self._add(event, headers)

    def _may_become(self, headers: Headers | None) -> bool:
        """Whether a rule can have made this of the packet: one hook changes one end. When a packet is gone, the kernel
        may give its id to another one."""
        return headers is None or any(
            known.proto == headers.proto
            and ((known.src, known.sport) == (headers.src, headers.sport) or _to(known) == _to(headers))
            for known in self._known
        )

    def _add(self, event: TraceEvent, headers: Headers | None) -> bool:
        if event.network:
            visit = (event.family, event.table, event.chain)
            self.over = visit in self._visited
            self._visited.add(visit)
        if self.over:
            return False
        self._ids.add(event.id)
        if headers is not None:
            self._known.add(headers)
        self.events.append(event)
        return True

    @property
    def ended(self) -> bool:
        """Whether it is at its end, as far as this can be told: dropped, or through the last hook."""
        last = self.events[-1] if self.events else None
        return self.over or (last is not None and (last.verdict == "drop" or self._is(last, f"input{LAST}")))

    def _is(self, event: TraceEvent, chain: str) -> bool:
        return event.table == self.name and event.chain == chain and event.family in _IP


@dataclass(frozen=True, slots=True)
class Walk:
    """What the kernel did with one packet in this namespace: its hooks in order, each with its rules."""

    hops: tuple[Hop, ...]
    through: bool  # it passed every chain of the last hook
    last: Packet | None  # as it left that hook

    @property
    def first(self) -> Packet | None:
        return self.hops[0].packet if self.hops else None


def walk_of(flow: Flow, handles: Handles, devices: Mapping[int, str]) -> Walk:
    """`devices`: names by index."""
    hops: list[Hop] = []
    packet = Packet(0)
    through = False
    for event in flow.events:
        packet = _packet(event, devices) or packet
        if event.table != flow.name:
            if not hops:
                hops.append(Hop("ingress", "", packet))
            step = _step(event, handles, packet, hops[-1].hook)
            hops[-1] = Hop(hops[-1].place, "", hops[-1].packet, (*hops[-1].steps, step), hops[-1].hook)
            through = through and event.family not in _IP and event.verdict != "drop"
        elif event.family not in _IP:
            continue
        elif event.chain.endswith(LAST):
            through = True
        elif event.network and event.chain.endswith(FIRST):
            hook = event.chain.removesuffix(FIRST)
            hops.append(Hop(hook, "", packet, hook=hook))
            through = False
    return Walk(tuple(hops), through, packet if hops else None)


def _packet(event: TraceEvent, devices: Mapping[int, str]) -> Packet | None:
    headers = event.headers
    if headers is None:
        return None
    iif, oif = ("" if index is None else devices.get(index, f"#{index}") for index in (event.iif, event.oif))
    sport = None if headers.dport is None else headers.sport
    ends = (headers.src, headers.dst, sport, headers.dport)
    return Packet(headers.src.version, headers.proto, *ends, iif=iif, oif=oif)


def _step(event: TraceEvent, handles: Handles, packet: Packet, hook: str) -> Step:
    family = handles.family(event.family, event.table, event.chain, event.handle)
    chain = handles.chain(family, event.table, event.chain)
    rule = None if event.handle is None else handles.rule(family, event.table, event.chain, event.handle)
    position = None if event.handle is None else rule.position if rule else 0
    text = f"policy {event.verdict}" if event.handle is None else rule.text if rule else f"handle {event.handle}"
    return Step(
        chain.hook or hook if chain else hook,
        family,
        event.table,
        event.chain,
        position,
        text,
        event.verdict,
        packet,
        event.to,
        source=rule,
        backend=chain.backend if chain else "nft",
    )
