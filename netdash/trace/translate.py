"""To which address and port a rule of nat translates this packet; and zones of conntrack: a packet finds only a
connection of its own zone.

Follows xt_ct_target of xt_CT.c, nft_ct_set_zone_eval of nft_ct.c and resolve_normal_ct of nf_conntrack_core.c."""

from __future__ import annotations

import struct
from enum import Enum
from ipaddress import ip_address

from netdash.kernel.source_address import HOST_SCOPE, source_address
from netdash.model.host import IP, Effect, Net, Rule, Target, Verb
from netdash.model.numbers import decimal
from netdash.trace.connection import SOURCE, Connection, manipulated_at, opens
from netdash.trace.connection import Target as Ends
from netdash.trace.forwarding import chosen_address
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import link_of, number
from netdash.trace.run import Run


def put_in(run: Run, rule: Rule, effect: Effect) -> None:
    """A rule gives the packet a zone: for both directions of its connection, or for one."""
    if run.packet.ctdir or run.connection.untracked:
        return
    side, _, number = effect.detail.rpartition(" ")
    zone = decimal(number)
    if zone is None or side not in ("", "original", "reply"):
        raise run.end(Verdict.UNKNOWN, rule.place, "the zone of conntrack that it sets is not known")
    run.zone = (0 if side == "reply" else zone, 0 if side == "original" else zone)


def find(run: Run) -> None:
    """Before conntrack looks for the packet's connection: it does not find one that is known by another zone."""
    connection, zone = run.connection, run.zone
    if connection.original is None:
        run.connection.zone = zone
    if run.packet.ctdir or connection.untracked or connection.original is None:
        return
    way = connection.answering
    if connection.zone[way] != zone[way]:
        where = f"conntrack has its connection in zone {connection.zone[way]}, and looks in {zone[way]}"
        run.say(f"{where}: it is not found, and the packet begins one of its own where it may")
        connection.missed = True
        begins = opens(run.packet, loose(run))
        if way and begins and zone[1] == connection.zone[0] and not connection.translates:
            what = f"{where}: its own connection has the addresses and ports of that one, so it gets another port"
            raise run.end(Verdict.DROPPED, run.at("conntrack"), what)
        stray = way and not begins
        run.connection = Connection(answering=stray, replied=stray and connection.replied, zone=zone)


def loose(run: Run) -> bool:
    """Whether conntrack takes up a connection of TCP whose beginning it did not see."""
    return number(run.net, "net.netfilter.nf_conntrack_tcp_loose") != 0


class Untold(Enum):
    """Why there is no address."""

    OTHER_FAMILY = "the rule is of the other family"
    NOTHING = "there is no address to take"
    NOT_KNOWN = "not known"


_LOOPBACK = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}


def translation(run: Run, hook: str, rule: Rule, target: Target) -> Ends | Untold:
    """The packet's new source (postrouting, input) or destination (prerouting, output)."""
    packet = run.packet
    if not of_family(target, packet.family):
        return Untold.OTHER_FAMILY
    source = manipulated_at(hook) == SOURCE
    old_ip, old_port = (packet.src, packet.sport) if source else (packet.dst, packet.dport)
    ip = _address(run, hook, rule, target, old_ip)
    if isinstance(ip, Untold):
        return ip
    return ip, port_of(target, old_port, source)


def of_family(target: Target, family: int) -> bool:
    """Whether a target may translate packets of this family: in a table of family inet, `dnat ip to` passes an IPv6
    packet by (nft_nat_inet_eval)."""
    return target.address is None or target.address.version == family


def _address(run: Run, hook: str, rule: Rule, target: Target, old: IP | None) -> IP | Untold | None:
    if target.verb is Verb.MASQUERADE:
        return _masquerade(run)
    if target.verb is Verb.REDIRECT:
        return _LOOPBACK[run.packet.family] if hook == "output" else _of_device(run, run.packet.iif)
    if rule.not_understood or target.detail.startswith("map"):
        return Untold.NOT_KNOWN
    if target.net is not None:
        return _in_net(target.net, old)
    if target.address is None:
        return old if target.ports else Untold.NOT_KNOWN
    if target.address_to in (None, target.address):
        return target.address
    packet, high = run.packet, target.address_to
    if packet.family == 4 and packet.src is not None and packet.dst is not None and high is not None:
        return of_range(target.address, high, packet.src, packet.dst, "persistent" in target.detail)
    run.leave_open(rule)
    return high if run.choose(f"{rule.place} takes {high}") else target.address


def _in_net(net: Net, old: IP | None) -> IP | Untold:
    if old is None or net.version != old.version:
        return Untold.NOT_KNOWN
    return type(old)(int(net.network_address) | (int(old) & int(net.hostmask)))


def _masquerade(run: Run) -> IP | Untold:
    """With IPv6, what is sent to an own address comes from there (ipv6_dev_get_saddr)."""
    device = run.packet.oif
    if run.packet.family == 6 and run.packet.dst is not None and run.packet.dst_type == "LOCAL":
        return run.packet.dst
    if run.net.links is None or not device:
        return Untold.NOT_KNOWN
    towards = run.packet.dst
    if run.packet.family == 4 and run.next_hop is not None and run.next_hop.version == 4:  # rt_nexthop
        towards = run.next_hop
    return chosen_address(run, device, towards) or Untold.NOTHING


def _of_device(run: Run, name: str | None) -> IP | Untold:
    """The first address of the device that the packet came in by (nf_nat_redirect)."""
    if run.net.links is None or name is None:
        return Untold.NOT_KNOWN
    return source_address(link_of(run, name), None, run.packet.family, HOST_SCOPE) or Untold.NOTHING


def port_of(target: Target, old: int | None, source: bool) -> int | None:
    """The port stays where it may (nf_nat_core.c, get_unique_tuple); None: the kernel will choose."""
    if target.ports is None:
        return None if "random" in target.detail and source else old
    low, high = target.ports
    if low == high:
        return low
    if old is None or "random" in target.detail:
        return None
    if target.base_port is not None:
        return low + ((old - target.base_port) & 0xFFFF) % (high - low + 1)
    if low <= old <= high:
        return old
    return None if source else low  # a free one at random; the first that is free


# --- ranges -----------------------------------------------------------------------------------------------------------


_ALL = 0xFFFFFFFF
_FIRST = 0xDEADBEEF  # JHASH_INITVAL


def of_range(low: IP, high: IP, src: IP, dst: IP, persistent: bool) -> IP:
    """The same source and destination get the same one; with `persistent` the same source alone. IPv4 only."""
    number = _hash(_word(src), 0 if persistent else _word(dst))
    return type(low)(int(low) + ((number * (int(high) - int(low) + 1)) >> 32))


def _word(ip: IP) -> int:
    """The address as it lies in memory."""
    return int(struct.unpack("=I", ip.packed)[0])


def _hash(word: int, start: int) -> int:
    """jhash2 of an address and the three empty words of union nf_inet_addr behind it."""
    first = (_FIRST + (4 << 2) + start) & _ALL
    a, b, c = _mix((first + word) & _ALL, first, first)
    return _final(a, b, c)


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _ALL


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a, c = ((a - c) & _ALL) ^ _rotated(c, by), (c + b) & _ALL
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, by)) & _ALL
        a, b, c = b, c, a
    return b
