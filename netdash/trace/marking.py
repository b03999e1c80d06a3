"""The nftables table that has the kernel trace one packet: as text for nft, and as what is shown before it is loaded.

It has three chains at each hook. The first of all chains marks: in a packet that leaves a bridge for the routing the
mark of an earlier hook is lost. The second shows as what the packet came, the last of all that it passed, and as what:
they count, because the kernel tells the headers only with a rule that matches. A set of one element keeps it to one
flow, on a busy port too. The flag `owner`: the kernel removes the table when the socket that made it is closed, so also
when netdash is killed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from netdash.model.host import IP, Chain, Ruleset
from netdash.model.records import dataclass
from netdash.trace.model import Origin, Trace

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
