"""The rules that an engine should have written, for its networks and for each container."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.drift.expected import iptables, netavark, nftables
from netdash.drift.expected.mode import Attached, Evidence, Layout, Mode, NetworkFamily, Publication, network_families
from netdash.drift.expected.rule import Expected
from netdash.model.host import IP, Container, Network


class ExpectedRules:
    """Of an engine that writes in this mode, and has these networks."""

    def __init__(self, mode: Mode, networks: tuple[Network, ...]) -> None:
        self._mode = mode
        self._attached = {family: Attached(network_families(networks, family)) for family in mode.families}
        self._beside = (
            network_families(networks, "ip") if "ip6" in mode.families and mode.layout is not Layout.NETAVARK else ()
        )

    def of_networks(self, family: str, used: frozenset[str]) -> Iterator[Expected]:
        """What all share, and the networks. `used`: the ids of those that a running container is on."""
        mode, sides = self._mode, self._attached[family].sides
        if mode.layout is Layout.NETAVARK:
            if family == mode.families[0] and used:
                yield from netavark.base()
            for side in sides:
                if side.network.id in used:
                    yield from netavark.of_network(side)
            return
        yield from _base(mode, family)
        for side in sides:
            yield from _network(mode, side)

    def of_container(self, family: str, container: Container, evidence: Evidence) -> Iterator[Expected]:
        mode, attached = self._mode, self._attached[family]
        if mode.layout is Layout.NETAVARK:
            for publication in attached.publications(container, evidence, any_family=True):
                yield from netavark.port_rules(publication)
            return
        for side, address, _ in attached.addresses(container):
            yield from _address(mode, container, side, address)
        for publication in attached.publications(container, evidence):
            yield from _port(mode, publication)

    def networks_of(self, family: str, container: Container) -> frozenset[str]:
        """Ids of the networks that a running container is on."""
        return frozenset(side.network.id for side, _, _ in self._attached[family].addresses(container))

    def isolation(self) -> Iterator[Expected]:
        for side in self._beside:
            yield from iptables.isolation_beside(self._mode, side)


def _base(mode: Mode, family: str) -> Iterator[Expected]:
    if mode.layout is Layout.NATIVE:
        yield from nftables.base(mode, family)
        return
    yield from iptables.nat_base(mode, family)
    yield from iptables.filter_base(mode, family)


def _network(mode: Mode, side: NetworkFamily) -> Iterator[Expected]:
    if mode.layout is Layout.NATIVE:
        yield from nftables.of_network(side)
        return
    yield from iptables.nat_of_network(mode, side)
    yield from iptables.filter_of_network(mode, side)


def _address(mode: Mode, container: Container, side: NetworkFamily, address: IP) -> Iterator[Expected]:
    if mode.layout is Layout.NATIVE:
        return nftables.address_rules(container, side, address)
    return iptables.address_rules(mode, container, side, address)


def _port(mode: Mode, publication: Publication) -> Iterator[Expected]:
    return (
        nftables.port_rules(mode, publication)
        if mode.layout is Layout.NATIVE
        else iptables.port_rules(mode, publication)
    )
