"""What Docker 29 writes with nftables: the tables ip and ip6 docker-bridges. Measured on 29.7.2 with the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from netdash.drift.expected.iptables import LINK_LOCAL, leaving
from netdash.drift.expected.mode import NATIVE_TABLE, Mode, NetworkFamily, Publication
from netdash.drift.expected.rule import (
    ACCEPT,
    DROP,
    KNOWN_FLOW,
    MASQUERADE,
    TO_LOCAL,
    Expected,
    Owner,
    Place,
    dnat,
    dport,
    dst,
    iif,
    jump,
    oif,
    proto,
    src,
)
from netdash.model.host import IP, Container, Match, Target

_NAT = "nat-prerouting-and-output"
_MAPS = (
    ("filter-FORWARD", oif, "filter-forward-in"),
    ("filter-FORWARD", iif, "filter-forward-out"),
    ("nat-POSTROUTING", iif, "nat-postrouting-out"),
    ("nat-POSTROUTING", oif, "nat-postrouting-in"),
)
"""Base chain, what its verdict map asks, and the chain of a bridge that it leads to."""


def _place(family: str, chain: str) -> Place:
    return Place(family, NATIVE_TABLE, chain, native=True)


def base(mode: Mode, family: str) -> Iterator[Expected]:
    why = "leads packets for this host's addresses to the published ports"
    yield Expected(_place(family, "nat-PREROUTING"), (TO_LOCAL,), jump(_NAT), why)
    loopback = dst(ip_network("127.0.0.0/8") if family == "ip" else ip_address("::1"), True)
    forms: list[tuple[Match, ...]] = [(loopback, TO_LOCAL), (TO_LOCAL,)]
    first, other = reversed(forms) if mode.proxy is False else forms
    either = mode.proxy is not True or family == "ip6"
    why = "leads what this host itself sends to the published ports"
    place = _place(family, "nat-OUTPUT")
    yield Expected(place, first, jump(_NAT), why, others=(other,) if either else ())


class _Writer:
    """Rules in the chains of one bridge."""

    def __init__(self, side: NetworkFamily) -> None:
        self.side = side

    def rule(
        self,
        chain: str,
        matches: tuple[Match, ...],
        target: Target,
        why: str,
        comment: str = "",
        required: bool = True,
    ) -> Expected:
        place = _place(self.side.family, f"{chain}__{self.side.bridge}")
        owner = Owner(network=self.side.network.id)
        return Expected(place, matches, target, why, owner, required, comment=comment)


def of_network(side: NetworkFamily) -> Iterator[Expected]:
    writer, bridge, network = _Writer(side), side.bridge, side.network
    name = network.name
    for chain, asks, leads in _MAPS:
        why = f"leads packets of {name} to the rules of its bridge"
        target = jump(f"{leads}__{bridge}")
        yield Expected(_place(side.family, chain), (asks(bridge),), target, why, Owner(network=network.id))
    into, out = "filter-forward-in", "filter-forward-out"
    yield writer.rule(into, (KNOWN_FLOW,), ACCEPT, f"lets answers in to {name}")
    yield writer.rule(out, (KNOWN_FLOW,), ACCEPT, f"lets answers of {name} out")
    if side.closed:
        yield writer.rule(
            into, (iif(bridge, True),), DROP, f"keeps others out of the internal {name}", "INTERNAL NETWORK INGRESS"
        )
        yield writer.rule(
            out, (oif(bridge, True),), DROP, f"keeps the internal {name} from others", "INTERNAL NETWORK EGRESS"
        )
        yield writer.rule(into, (), ACCEPT if network.icc else DROP, _among(name, network.icc), "ICC")
        return
    yield writer.rule(into, (iif(bridge),), ACCEPT if network.icc else DROP, _among(name, network.icc), "ICC")
    yield writer.rule(out, (), ACCEPT, f"lets {name} out", "OUTGOING")
    yield from _entrance(writer)
    if network.masquerade and side.translated:
        target, why = leaving(side)
        for net in side.subnets:
            matches = (oif(bridge, True), src(net))
            yield writer.rule("nat-postrouting-out", matches, target, why, target.verb.name)


def _among(name: str, icc: bool) -> str:
    return f"lets containers on {name} reach each other" if icc else f"keeps containers on {name} from each other"


def _entrance(writer: _Writer) -> Iterator[Expected]:
    side = writer.side
    name = side.network.name
    if side.mode == "nat-unprotected":
        why = f"lets everything in to {name}: its gateway mode is nat-unprotected"
        yield writer.rule("filter-forward-in", (), ACCEPT, why, "UNPROTECTED")
        return
    why = f"keeps ports on {name} closed that are not published"
    yield writer.rule("filter-forward-in", (), DROP, why, "UNPUBLISHED PORT DROP")
    if side.mode == "routed":
        icmp = proto("ipv6-icmp" if side.family == "ip6" else "icmp")
        yield writer.rule("filter-forward-in", (icmp,), ACCEPT, f"lets ICMP in to {name}: it is routed", "ICMP")


def address_rules(container: Container, side: NetworkFamily, address: IP) -> Iterator[Expected]:
    if side.mode == "nat" and not side.closed:
        why = f"keeps out what comes to {container.name}'s own address by another device than {side.bridge}"
        yield Expected(
            _place(side.family, "raw-PREROUTING"),
            (dst(address), iif(side.bridge, True)),
            DROP,
            why,
            Owner(side.network.id, container.id),
            group="direct routing",
            comment="DROP DIRECT ACCESS",
        )


def port_rules(mode: Mode, publication: Publication) -> Iterator[Expected]:
    side, binding = publication.side, publication.binding
    owner = Owner(side.network.id, publication.container.id, binding)
    inner = dport(binding.proto, binding.container_port)
    target = f"{publication.container.name} at {publication.address} port {binding.container_port}"
    if side.translated and binding.host_port is not None:
        yield from _translation(mode, publication, owner, f"takes {publication.name} to {target}")
    if side.mode != "nat-unprotected":
        place = _place(side.family, f"filter-forward-in__{side.bridge}")
        yield Expected(place, (dst(publication.address), *inner), ACCEPT, f"lets packets through to {target}", owner)
    if side.translated and mode.proxy is not True:
        place = _place(side.family, f"nat-postrouting-in__{side.bridge}")
        why = f"lets {publication.container.name} reach its own {publication.name}"
        matches = (src(publication.address), dst(publication.address), *inner)
        yield Expected(place, matches, MASQUERADE, why, owner, required=False, comment="MASQ TO OWN PORT")


def _translation(mode: Mode, publication: Publication, owner: Owner, why: str) -> Iterator[Expected]:
    family, binding = publication.side.family, publication.binding
    port = binding.host_port or 0
    outer = (*((dst(publication.host_ip),) if publication.host_ip else ()), *dport(binding.proto, port))
    guard, local = iif(publication.side.bridge, True), src(LINK_LOCAL, True)
    forms: list[tuple[Match, ...]] = [(guard, *outer), outer]
    if family == "ip6":
        forms = [(guard, local, *outer), (local, *outer), *forms]
    if mode.proxy is True:
        forms = forms[:1]
    others = tuple(forms[1:])
    place, target = _place(family, _NAT), dnat(publication.address, binding.container_port)
    yield Expected(place, forms[0], target, why, owner, others=others, comment="DNAT")
    if family == "ip" and publication.host_ip is not None and publication.host_ip.is_loopback:
        why = f"keeps {publication.name} on {publication.host_ip} from being reached by another device than lo"
        matches = (iif("lo", True), dst(publication.host_ip), *dport(binding.proto, port))
        place = _place(family, "raw-PREROUTING")
        certain = publication.side.mode == "nat"
        yield Expected(place, matches, DROP, why, owner, certain, comment="DROP REMOTE LOOPBACK")
