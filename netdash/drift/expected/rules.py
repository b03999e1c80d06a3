"""All the rules that an engine should have written, by its way of writing them."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.drift.expected import iptables, iptables_filter, netavark, nftables
from netdash.drift.expected.mode import Layout, Mode
from netdash.drift.expected.network_family import Attached, Evidence, Publication, Side, sides_of
from netdash.drift.expected.rule import Expected
from netdash.model.host import IP, Container, Network


def expected_rules(
    mode: Mode, networks: tuple[Network, ...], containers: tuple[Container, ...], evidence: Evidence
) -> Iterator[Expected]:
    for family in mode.families:
        attached = Attached(sides_of(networks, family))
        if mode.layout is Layout.NETAVARK:
            yield from _netavark(attached, containers, evidence, family == "ip")
            continue
        yield from _base(mode, family)
        for side in attached.sides:
            yield from _network(mode, side)
        for container in containers:
            for side, address, _ in attached.addresses(container):
                yield from _address(mode, container, side, address)
            for publication in attached.publications(container, evidence):
                yield from _port(mode, publication)
    if "ip6" in mode.families:
        for side in sides_of(networks, "ip"):
            yield from iptables_filter.isolation_beside(mode, side)


def _base(mode: Mode, family: str) -> Iterator[Expected]:
    if mode.layout is Layout.NATIVE:
        yield from nftables.base(mode, family)
        return
    yield from iptables.nat_base(mode, family)
    yield from iptables_filter.filter_base(mode, family)


def _network(mode: Mode, side: Side) -> Iterator[Expected]:
    if mode.layout is Layout.NATIVE:
        yield from nftables.of_network(side)
        return
    yield from iptables.nat_of_network(mode, side)
    yield from iptables_filter.filter_of_network(mode, side)


def _address(mode: Mode, container: Container, side: Side, address: IP) -> Iterator[Expected]:
    if mode.layout is Layout.NATIVE:
        return nftables.address_rules(container, side, address)
    return iptables.address_rules(mode, container, side, address)


def _port(mode: Mode, one: Publication) -> Iterator[Expected]:
    return nftables.port_rules(mode, one) if mode.layout is Layout.NATIVE else iptables.port_rules(mode, one)


def _netavark(
    attached: Attached, containers: tuple[Container, ...], evidence: Evidence, first: bool
) -> Iterator[Expected]:
    used = {side.network.id for container in containers for side, _, _ in attached.addresses(container)}
    if first and used:
        yield from netavark.base()
    for side in attached.sides:
        if side.network.id in used:
            yield from netavark.of_network(side)
    for container in containers:
        for publication in attached.publications(container, evidence, any_family=True):
            yield from netavark.port_rules(publication)
