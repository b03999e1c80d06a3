"""The kernel's tracked connections as a walk asks for them: which one a packet belongs to, which waits unanswered."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address

from netdash.model.host import IP, Ends, Host, TrackedFlow
from netdash.model.numbers import decimal

_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
_SETTLED = 2  # seconds after which what has not been answered counts as unanswered
_OPENING = ("SYN_SENT", "SYN_RECV")  # the answer was not seen, or its sender did not hear that it came
_TIMEOUTS = {
    "SYN_SENT": ("nf_conntrack_tcp_timeout_syn_sent", 120),
    "SYN_RECV": ("nf_conntrack_tcp_timeout_syn_recv", 60),
    "udp": ("nf_conntrack_udp_timeout", 30),
    "icmp": ("nf_conntrack_icmp_timeout", 30),
    "icmpv6": ("nf_conntrack_icmpv6_timeout", 30),
}
"""How long an unanswered flow is kept: the sysctl, and what Linux starts with."""


def unzoned(host: Host) -> list[TrackedFlow]:
    """Those that a packet finds which no rule puts in a zone."""
    return [flow for flow in host.flows or () if flow.zones == (0, 0)]


Key = tuple[str, "IP | None", "IP | None", "int | None"]


@lru_cache(maxsize=8)
def _by_key(host: Host) -> dict[Key, list[TrackedFlow]]:
    found: dict[Key, list[TrackedFlow]] = {}
    for flow in unzoned(host):
        ends = flow.original
        found.setdefault((flow.proto, ends.src, ends.dst, ends.dport), []).append(flow)
    return found


def flows_of(host: Host, proto: str | None, src: IP | None, dst: IP | None, dport: int | None) -> list[TrackedFlow]:
    """Those with these original ends, whatever the sender's port."""
    return _by_key(host).get((proto, src, dst, dport), []) if host.flows and proto in _WITH_PORTS else []


@lru_cache(maxsize=8)
def _by_reply(host: Host) -> dict[tuple[str, Ends], TrackedFlow]:
    return {(flow.proto, flow.reply): flow for flow in unzoned(host)}


def takes(host: Host, proto: str | None, reply: Ends, src: IP | None) -> TrackedFlow | None:
    """Another sender's connection that is answered by the same tuple: no second one can be (nf_nat_used_tuple)."""
    found = _by_reply(host).get((proto or "", reply)) if host.flows else None
    return found if found is not None and found.original.src != src else None


def continues(flow: TrackedFlow) -> bool:
    """Whether a first packet of the same ends belongs to it: a SYN opens a closed connection anew (tcp_packet)."""
    return flow.proto != "tcp" or flow.state == "SYN_SENT"


def is_open(flow: TrackedFlow) -> bool:
    """Whether both ends talk: of TCP that it is established, of others that packets went to and fro for a while."""
    return flow.state == "ESTABLISHED" if flow.proto == "tcp" else flow.assured and flow.replied


def unanswered(host: Host, flows: list[TrackedFlow]) -> TrackedFlow | None:
    """The one that was asked last, where none of them was answered, and that waits longer than an answer takes."""
    waiting = [flow for flow in flows if flow.state in _OPENING or (flow.proto == "udp" and not flow.replied)]
    if not waiting or any(flow.replied and flow.state not in _OPENING for flow in flows):
        return None
    if "notrack" in _effects(host):
        return None  # conntrack need not see the answers
    last = max(waiting, key=lambda flow: flow.seconds or 0)
    return last if waits(host, last) >= _SETTLED else None


def never_answered(host: Host, flow: TrackedFlow) -> bool:
    """Whether nobody answered what this flow asked, long after an answer would have come. What is sent to many is not
    asked."""
    to = flow.original.dst
    if flow.replied and flow.state not in _OPENING:
        return False
    if to is None or to.is_multicast or to in _broadcasts(host):
        return False
    if flow.proto in ("icmp", "icmpv6"):
        return "notrack" not in _effects(host) and flow.icmp_id is not None and waits(host, flow) >= _SETTLED
    return unanswered(host, [flow]) is not None


@lru_cache(maxsize=2)
def _broadcasts(host: Host) -> frozenset[IP]:
    nets = (own.network for link in host.links or () for own in link.addresses if own.version == 4)
    return frozenset((*(net.broadcast_address for net in nets if net.prefixlen < 31), _EVERYBODY))


_EVERYBODY = IPv4Address("255.255.255.255")


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def _effects(host: Host) -> frozenset[str]:
    """What rules do beside their verdicts."""
    chains = host.ruleset.chains if host.ruleset is not None else ()
    return frozenset(effect.kind for chain in chains for rule in chain.rules for effect in rule.target.effects)


def one_sided(host: Host) -> bool:
    """Whether rules keep an answer in a zone of its own: the entry of what asked for it stays unanswered."""
    return "zone" in _effects(host)


def waits(host: Host, flow: TrackedFlow) -> int:
    """Seconds since the last packet of a flow without an answer."""
    name, usual = _TIMEOUTS[flow.state if flow.proto == "tcp" else flow.proto]
    return (decimal((host.sysctls or {}).get(f"net.netfilter.{name}", "")) or usual) - (flow.seconds or 0)


def ports_left(flows: list[TrackedFlow], ports: tuple[int, int]) -> bool:
    """Whether a sender finds a port for another connection of the same ends (inet_hash_connect)."""
    low, high = ports
    if len(flows) <= high - low:
        return True
    taken = {flow.original.sport for flow in flows if flow.proto == "tcp"}
    return any(port not in taken for port in range(low, high + 1))
