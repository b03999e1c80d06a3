"""The kernel's own trace of one packet: the nftables table that asks for it, and the events of nf_tables as a walk,
in the words of a trace.

It has three chains at each hook. The first of all chains marks: in a packet that leaves a bridge for the routing the
mark of an earlier hook is lost. The second shows as what the packet came, the last of all that it passed, and as
what: they count, because the kernel tells the headers only with a rule that matches. A set of one element keeps it to
one flow, on a busy port too. The flag `owner`: the kernel removes the table when the socket that made it is closed,
so also when netdash is killed.

br_netfilter gives one packet two ids, and a later packet of the flow has the same addresses: events are joined by the
addresses and ports that the packet was seen with, until it comes to a base chain for the second time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from netdash.model.host import IP, Chain, Ruleset
from netdash.model.packet import Packet
from netdash.model.records import dataclass, field
from netdash.parse.netfilter import Headers, TraceEvent
from netdash.rules.nft_listing import Handles
from netdash.trace.model import Hop, Origin, Step, Trace

MARK, FIRST, LAST = "-mark", "-first", "-last"
"""Ends of the names of chains."""
_EARLIEST, _LATEST = -(1 << 31), (1 << 31) - 2
_USUAL = -350  # before the tables of iptables and the defragmentation's -400 alone
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_FAMILIES = {"inet": ("ip", "ip6", "inet"), "bridge": ("bridge",)}
_DEVICE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
_OPENS = {"tcp": " tcp flags & (fin|syn|rst|ack) == syn", "icmp": " icmp type echo-request"}
_OPENS["ipv6-icmp"] = " icmpv6 type echo-request"
_ID = {"icmp": "icmp id", "ipv6-icmp": "icmpv6 id"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The packet, as it comes to its first hook. None: any."""

    hook: str  # prerouting, or output for what this host sends
    proto: str  # tcp udp icmp ipv6-icmp
    dst: IP
    dport: int | None = None
    src: IP | None = None
    sport: int | None = None  # of an echo request its id
    iif: str | None = None
    mark: int | None = None


def wanted_packet(answer: Trace, port: int | None) -> Wanted:
    """Of the packet that was predicted. `port`: of one that netdash sends its source port, or id, which tells it from
    all others, so that its source address need not be predicted rightly; None for one that is awaited."""
    asked = answer.question
    here = (hop.packet for hop in answer.hops if hop.hook in _HOOKS and not hop.inside)
    packet = next(here, answer.packet)
    own = asked.origin is Origin.HOST or not answer.hops or answer.hops[0].hook == "output"
    if asked.origin is Origin.OUTSIDE:
        src, sport = asked.src, asked.sport if port is None else port
    else:
        kept = packet.sport == asked.sport or packet.icmp is not None  # a rule inside a container may change it
        src, sport = (None, port) if kept else (packet.src, packet.sport)
    return Wanted(
        hook="output" if own else "prerouting",
        proto=packet.proto or asked.proto,
        dst=packet.dst or asked.dst,
        dport=packet.dport,
        src=src,
        sport=sport,
        iif=asked.iif,
        mark=asked.mark or None if asked.origin is Origin.OUTSIDE else None,
    )


def table_text(name: str, wanted: Wanted, ruleset: Ruleset) -> str:
    """For `nft -f`. Tables of bridge and netdev are only there where such rules are."""
    devices = sorted(_ingress_devices(ruleset))
    text = _table("inet", name, wanted, [(hook, f"hook {hook}") for hook in _HOOKS], ruleset)
    if any(chain.family == "bridge" and chain.hook for chain in ruleset.chains):
        text += _table("bridge", name, wanted, [(hook, f"hook {hook}") for hook in _HOOKS], ruleset)
    if devices:
        listed = ", ".join(f'"{device}"' for device in devices)
        text += _table("netdev", name, wanted, [("ingress", f"hook ingress devices = {{ {listed} }}")], ruleset)
    return text


def _ingress_devices(ruleset: Ruleset) -> set[str]:
    names = {
        name.strip() for chain in ruleset.chains if chain.hook == "ingress" for name in (chain.device or "").split(",")
    }
    return {name for name in names if _DEVICE.fullmatch(name)}


def _table(family: str, name: str, wanted: Wanted, hooks: list[tuple[str, str]], ruleset: Ruleset) -> str:
    lines = [
        f"table {family} {name} {{",
        "  flags owner",
        f"  set seen {{ typeof {_key(wanted)}; size 1; flags dynamic; }}",
    ]
    for hook, where in hooks:
        rule = _later(wanted)
        if hook in (wanted.hook, "ingress") or (family == "bridge" and hook == "prerouting"):
            rule = _start(wanted, hook)
        before = _before(family, hook, ruleset)
        chains = (
            (MARK, before - 1, f"{rule} meta nftrace set 1"),
            (FIRST, before, "counter"),
            (LAST, _LATEST, "counter"),
        )
        for end, priority, does in chains:
            head = f"type filter {where} priority {priority}; policy accept;"
            lines.append(f"  chain {hook}{end} {{ {head} {does}; }}")
    return "\n".join([*lines, "}", ""])


def _before(family: str, hook: str, ruleset: Ruleset) -> int:
    """A priority ahead of every base chain at this hook."""
    families = _FAMILIES.get(family, ("netdev", "inet"))
    there = [chain.priority for chain in _at(ruleset, families, hook) if chain.priority is not None]
    return max(_EARLIEST + 2, min([_USUAL, *(priority - 1 for priority in there)]))


def _at(ruleset: Ruleset, families: Iterable[str], hook: str) -> Iterator[Chain]:
    return (chain for chain in ruleset.chains if chain.family in families and chain.hook == hook)


def _key(wanted: Wanted) -> str:
    """What tells one flow from the others: the sender's address and port."""
    return f"{_family(wanted)} saddr . {_ID.get(wanted.proto, 'th sport')}"


def _family(wanted: Wanted) -> str:
    return "ip" if wanted.dst.version == 4 else "ip6"


def _start(wanted: Wanted, hook: str) -> str:
    family, tell = _family(wanted), _ID.get(wanted.proto, "th sport")
    parts = [_protocol(wanted), f"{family} daddr {wanted.dst}"]
    if wanted.src is not None:
        parts.append(f"{family} saddr {wanted.src}")
    if wanted.dport is not None:
        parts.append(f"th dport {wanted.dport}")
    if wanted.sport is not None:
        parts.append(f"{tell} {wanted.sport}")
    if wanted.iif is not None and hook != "output" and _DEVICE.fullmatch(wanted.iif):
        parts.append(f'iifname "{wanted.iif}"')
    if wanted.mark is not None:
        parts.append(f"meta mark {wanted.mark}")
    return f"{' '.join(parts)} add @seen {{ {_key(wanted)} }}"


def _later(wanted: Wanted) -> str:
    return f"{_protocol(wanted)} {_key(wanted)} @seen"


def _protocol(wanted: Wanted) -> str:
    return f"meta l4proto {wanted.proto}{_OPENS.get(wanted.proto, '')}"


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
