"""Which rules of nat take what comes in from outside for a port of this host, wherever in the chains they stand and
however they name the port: rules are asked with a packet, not read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from netdash.kernel.routing import OUTSIDE, entrance, uplinks_of
from netdash.kernel.sockets import device_of
from netdash.model.host import IP, Host, Rule, Ruleset
from netdash.model.packet import Packet

if TYPE_CHECKING:
    from netdash.trace.nat_rules import DestinationNat, Found

Takers = tuple[tuple[Rule, ...], tuple[Rule, ...]]
"""Rules that translate a packet for the port, and those that may."""
ANYWHERE: tuple[IP, ...] = (IPv4Address(0), IPv6Address(0))
TRIED = 256  # ports that are asked for in search of a free one: a rule may take them all


def takers(host: Host, proto: str, ips: Iterable[IP], number: int) -> Takers:
    """Of a port at these addresses; an unspecified one stands for all addresses of its family. Rules that already make
    up one of the host's ports are left out."""
    if host.ruleset is None:
        return (), ()
    nat = _destination_nat(host.ruleset)
    known = {id(port.dnat) for port in host.ports or () if port.dnat is not None}
    found = [_taken(host, nat, proto, ip, number) for address in ips for ip in _own(host, address)]
    sure = {id(each.rule): each.rule for each in found if each.rule is not None and id(each.rule) not in known}
    unsure = {id(rule): rule for each in found for rule in each.unsure if id(rule) not in known}
    return tuple(sure.values()), tuple(rule for key, rule in unsure.items() if key not in sure)


def unread(host: Host) -> str:
    """What was not read of all that may take a port; "" where a port that nobody has is free."""
    if host.listeners is None:
        return "the host's sockets could not be read"
    if host.ruleset is None:
        return "the rules could not be read"
    if not host.ruleset.complete:
        return f"not all rules were read: {host.ruleset.unread[0].reason}"
    return "the engine's containers could not be read" if host.containers is None else ""


@lru_cache(maxsize=2)
def _destination_nat(ruleset: Ruleset) -> DestinationNat:
    from netdash.trace.nat_rules import DestinationNat  # not before there are rules

    return DestinationNat(ruleset)


def _own(host: Host, ip: IP) -> tuple[IP, ...]:
    """The addresses that a socket bound to `ip` may be asked at from outside."""
    if not ip.is_unspecified:
        return (ip,)
    devices = set(uplinks_of(ip.version, host.routes)) | {entrance(ip.version, host.links, host.routes)[0]}
    own = (address.ip for link in host.links or () if link.name in devices for address in link.addresses)
    return tuple(dict.fromkeys(one for one in own if one.version == ip.version and not one.is_link_local)) or (ip,)


def _taken(host: Host, nat: DestinationNat, proto: str, ip: IP, number: int) -> Found:
    """By the device that has the address, else by the uplink; at loopback as this host's own processes ask."""
    if ip.is_loopback:
        packet = Packet(ip.version, proto, ip, ip, dport=number, oif="lo", src_type="LOCAL", dst_type="LOCAL")
        return nat.find(packet, output=True)
    device = device_of(host.links, ip) or entrance(ip.version, host.links, host.routes)[0]
    dst = None if ip.is_unspecified else ip
    return nat.find(Packet(ip.version, proto, OUTSIDE[ip.version], dst, dport=number, iif=device, dst_type="LOCAL"))
