"""The kernel's tracked connections as a walk asks for them: which one a packet belongs to, which waits unanswered."""

from __future__ import annotations

from functools import lru_cache

from netdash.core.model import IP, Ends, Host, TrackedFlow

_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
_SETTLED = 2  # seconds after which what has not been answered counts as unanswered
_SYN_SENT = 120  # nf_conntrack_tcp_timeout_syn_sent as Linux starts with

Key = tuple[str, "IP | None", "IP | None", "int | None"]


@lru_cache(maxsize=8)
def _by_key(host: Host) -> dict[Key, list[TrackedFlow]]:
    found: dict[Key, list[TrackedFlow]] = {}
    for flow in host.flows or ():
        ends = flow.original
        found.setdefault((flow.proto, ends.src, ends.dst, ends.dport), []).append(flow)
    return found


def flows_of(host: Host, proto: str | None, src: IP | None, dst: IP | None, dport: int | None) -> list[TrackedFlow]:
    """Those with these original ends, whatever the sender's port."""
    return _by_key(host).get((proto, src, dst, dport), []) if host.flows and proto in _WITH_PORTS else []


@lru_cache(maxsize=8)
def _by_reply(host: Host) -> dict[tuple[str, Ends], TrackedFlow]:
    return {(flow.proto, flow.reply): flow for flow in host.flows or ()}


def takes(host: Host, proto: str | None, reply: Ends, src: IP | None) -> TrackedFlow | None:
    """Another sender's connection that is answered by the same tuple: no second one can be (nf_nat_used_tuple)."""
    found = _by_reply(host).get((proto or "", reply)) if host.flows else None
    return found if found is not None and found.original.src != src else None


def continues(flow: TrackedFlow) -> bool:
    """Whether a first packet of the same ends belongs to it: a SYN opens a closed connection anew (tcp_packet)."""
    return flow.proto != "tcp" or flow.state == "SYN_SENT"


def unanswered(flows: list[TrackedFlow]) -> TrackedFlow | None:
    """One that waits for its first answer longer than an answer takes, where none of them was answered."""
    if any(flow.replied for flow in flows):
        return None
    waiting = (flow for flow in flows if flow.state == "SYN_SENT" and flow.seconds <= _SYN_SENT - _SETTLED)
    return next(waiting, None)


def ports_left(flows: list[TrackedFlow], ports: tuple[int, int]) -> bool:
    """Whether a sender finds a port for another connection of the same ends (inet_hash_connect)."""
    low, high = ports
    if len(flows) <= high - low:
        return True
    taken = {flow.original.sport for flow in flows if flow.proto == "tcp"}
    return any(port not in taken for port in range(low, high + 1))
