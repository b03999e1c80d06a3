"""What Docker writes with iptables, every generation: nat, published ports, addresses, and the filter table.

Measured on 20.10.24, 26.1.5 (the chains of STAGES), 28.5.2 (FORWARD) and 29.7.2 (INTERNAL)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from netdash.drift.expected.mode import Layout, Mode, NetworkFamily, Publication
from netdash.drift.expected.rule import (
    ACCEPT,
    DROP,
    FROM_LOCAL,
    KNOWN_FLOW,
    MASQUERADE,
    RETURN,
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
from netdash.model.host import IP, Container, Match, Target, Verb

_LOOPBACK = {"ip": ip_network("127.0.0.0/8"), "ip6": ip_network("::1/128")}
LINK_LOCAL = ip_network("fe80::/10")


def nat_base(mode: Mode, family: str) -> Iterator[Expected]:
    """The two jumps by which packets come to Docker's DNAT rules."""
    why = "leads packets for this host's addresses to the published ports"
    prerouting, output = Place(family, "nat", "PREROUTING"), Place(family, "nat", "OUTPUT")
    yield Expected(prerouting, (TO_LOCAL,), jump("DOCKER"), why)
    why = "leads what this host itself sends to the published ports"
    forms: list[tuple[Match, ...]] = [(dst(_LOOPBACK[family], True), TO_LOCAL), (TO_LOCAL,)]
    first, other = reversed(forms) if mode.proxy is False else forms
    either = mode.proxy is None or family == "ip6"
    yield Expected(output, first, jump("DOCKER"), why, others=(other,) if either else ())


def nat_of_network(mode: Mode, side: NetworkFamily) -> Iterator[Expected]:
    """MASQUERADE or SNAT of what leaves, and what keeps the containers' own packets from DNAT."""
    family, bridge, network = side.family, side.bridge, side.network
    owner = Owner(network=network.id)
    docker, postrouting = Place(family, "nat", "DOCKER"), Place(family, "nat", "POSTROUTING")
    if side.closed:
        return
    translates = network.masquerade and side.translated
    for net in side.subnets if translates else ():
        target, why = leaving(side)
        yield Expected(postrouting, (src(net), oif(bridge, True)), target, why, owner)
    if mode.layout in (Layout.STAGES, Layout.FORWARD, Layout.SHARED):
        certain = mode.proxy is True and network.masquerade and mode.layout is not Layout.SHARED
        why = f"leaves what containers on {network.name} send to published ports to the proxy"
        yield Expected(docker, (iif(bridge),), RETURN, why, owner, required=certain)
    certain = mode.proxy is False and mode.layout is Layout.STAGES
    why = f"gives what this host sends to containers on {network.name} by loopback an address they can answer"
    if mode.proxy is not True:
        yield Expected(postrouting, (oif(bridge), FROM_LOCAL), leaving(side)[0], why, owner, required=certain)


def leaving(side: NetworkFamily) -> tuple[Target, str]:
    """What is done to the source of what leaves a network, and why. SNAT of IPv6 may stand for MASQUERADE: the API's
    option for its address is not read."""
    network = side.network
    if side.family == "ip" and network.snat_to is not None:
        return Target(Verb.SNAT, address=network.snat_to), f"what leaves {network.name} takes {network.snat_to}"
    return MASQUERADE, f"what leaves {network.name} takes this host's address"


def address_rules(mode: Mode, container: Container, side: NetworkFamily, address: IP) -> Iterator[Expected]:
    """Since 28.0 nobody may address a container but by its bridge."""
    if mode.since_28 and side.mode == "nat" and not side.closed:
        why = f"keeps out what comes to {container.name}'s own address by another device than {side.bridge}"
        place, matches = Place(side.family, "raw", "PREROUTING"), (dst(address), iif(side.bridge, True))
        owner = Owner(side.network.id, container.id)
        yield Expected(place, matches, DROP, why, owner, group="direct routing")


def port_rules(mode: Mode, publication: Publication) -> Iterator[Expected]:
    """DNAT, the way through the filter, and what goes with them."""
    side, binding = publication.side, publication.binding
    owner = Owner(side.network.id, publication.container.id, binding)
    family, bridge, name = side.family, side.bridge, publication.container.name
    inner = dport(binding.proto, binding.container_port)
    target = f"{publication.container.name} at {publication.address} port {binding.container_port}"
    if side.translated and binding.host_port is not None:
        yield from _translation(mode, publication, owner, f"takes {publication.name} to {target}")
    if side.mode != "nat-unprotected":
        place = Place(family, "filter", "DOCKER")
        matches = (dst(publication.address), iif(bridge, True), oif(bridge), *inner)
        yield Expected(place, matches, ACCEPT, f"lets packets through to {target}", owner)
    hairpin = not mode.since_28 or mode.proxy is not True
    if side.translated and binding.host_port is not None and hairpin:
        certain = mode.layout is Layout.STAGES or (mode.since_28 and mode.proxy is False and family == "ip")
        place, own = Place(family, "nat", "POSTROUTING"), (src(publication.address), dst(publication.address), *inner)
        yield Expected(place, own, MASQUERADE, f"lets {name} reach its own {publication.name}", owner, required=certain)


def _translation(mode: Mode, publication: Publication, owner: Owner, why: str) -> Iterator[Expected]:
    family, binding, bridge = publication.side.family, publication.binding, publication.side.bridge
    port = binding.host_port or 0
    outer: tuple[Match, ...] = (
        *((dst(publication.host_ip),) if publication.host_ip else ()),
        *dport(binding.proto, port),
    )
    guarded: tuple[Match, ...] = (*outer, iif(bridge, True))
    forms: list[tuple[Match, ...]] = [outer, guarded] if mode.proxy is False else [guarded, outer]
    if mode.proxy is not None and family == "ip":
        forms = forms[:1]
    elif family == "ip6" and mode.layout is not Layout.STAGES:
        forms = [(src(LINK_LOCAL, True), *forms[0]), *forms, (src(LINK_LOCAL, True), *forms[1])]
    place = Place(family, "nat", "DOCKER")
    yield Expected(
        place, forms[0], dnat(publication.address, binding.container_port), why, owner, others=tuple(forms[1:])
    )
    if mode.since_28 and family == "ip" and publication.host_ip is not None and publication.host_ip.is_loopback:
        matches = (dst(publication.host_ip), iif("lo", True), *dport(binding.proto, port))
        why = f"keeps {publication.name} on {publication.host_ip} from being reached by another device than lo"
        certain = publication.side.mode == "nat"
        yield Expected(Place(family, "raw", "PREROUTING"), matches, DROP, why, owner, required=certain)


# --- the filter table -------------------------------------------------------------------------------------------------


FIRST, SECOND = "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"


def filter_base(mode: Mode, family: str) -> Iterator[Expected]:
    """The jumps from FORWARD on."""
    filtered = {name: Place(family, "filter", name) for name in ("FORWARD", "DOCKER-FORWARD", FIRST, SECOND)}
    forward, ours = filtered["FORWARD"], filtered["DOCKER-FORWARD"]
    user = "lets the rules in DOCKER-USER decide first"
    if mode.layout is Layout.STAGES:
        # 20.10 has no DOCKER-USER for IPv6.
        yield Expected(forward, (), jump("DOCKER-USER"), user, required=family == "ip")
        yield Expected(forward, (), jump(FIRST), "leads to what keeps networks apart")
        for name in (FIRST, SECOND):
            yield Expected(filtered[name], (), RETURN, "goes on where no isolation rule dropped", required=False)
    elif mode.layout in (Layout.FORWARD, Layout.INTERNAL):
        yield Expected(forward, (), jump("DOCKER-USER"), user)
        yield Expected(forward, (), jump("DOCKER-FORWARD"), "leads to Docker's filter")
        yield Expected(ours, (), jump("DOCKER-CT"), "leads to what lets known flows through")
        apart = FIRST if mode.layout is Layout.FORWARD else "DOCKER-INTERNAL"
        yield Expected(ours, (), jump(apart), "leads to what keeps networks apart")
        yield Expected(ours, (), jump("DOCKER-BRIDGE"), "leads to what lets published ports through")
        yield Expected(ours, (), jump("DOCKER-INGRESS"), "leads to swarm's ingress", required=False)


def filter_of_network(mode: Mode, side: NetworkFamily) -> Iterator[Expected]:
    if mode.layout is Layout.STAGES:
        yield from _stages(side)
    elif mode.layout in (Layout.FORWARD, Layout.INTERNAL):
        yield from _forward(side, mode.layout is Layout.FORWARD)


class _Writer:
    """Rules of one network in the filter table."""

    def __init__(self, side: NetworkFamily) -> None:
        self.side = side
        self.owner = Owner(network=side.network.id)

    def rule(self, chain: str, matches: tuple[Match, ...], target: Target, why: str, required: bool = True) -> Expected:
        return Expected(Place(self.side.family, "filter", chain), matches, target, why, self.owner, required)

    def closed(self, chain: str) -> Iterator[Expected]:
        """Nothing comes in or leaves an internal network."""
        side, bridge, name = self.side, self.side.bridge, self.side.network.name
        for net in side.subnets:
            yield self.rule(chain, (src(net, True), oif(bridge)), DROP, f"keeps others out of the internal {name}")
            yield self.rule(chain, (dst(net, True), iif(bridge)), DROP, f"keeps the internal {name} from others")

    def within(self, chain: str, icc: bool) -> Expected:
        """Containers of one network among themselves."""
        bridge, name = self.side.bridge, self.side.network.name
        why = f"lets containers on {name} reach each other" if icc else f"keeps containers on {name} from each other"
        return self.rule(chain, (iif(bridge), oif(bridge)), ACCEPT if icc else DROP, why)


def _stages(side: NetworkFamily) -> Iterator[Expected]:
    writer, bridge, name = _Writer(side), side.bridge, side.network.name
    yield writer.within("FORWARD", side.network.icc)
    if side.closed:
        yield from writer.closed(FIRST)
        return
    yield writer.rule("FORWARD", (oif(bridge), KNOWN_FLOW), ACCEPT, f"lets answers in to {name}")
    yield writer.rule("FORWARD", (oif(bridge),), jump("DOCKER"), f"leads to the published ports on {name}")
    yield writer.rule("FORWARD", (iif(bridge), oif(bridge, True)), ACCEPT, f"lets {name} out")
    yield from _isolation(writer)


def _isolation(writer: _Writer) -> Iterator[Expected]:
    bridge, name = writer.side.bridge, writer.side.network.name
    why = f"keeps {name} from other networks"
    yield writer.rule(FIRST, (iif(bridge), oif(bridge, True)), jump(SECOND), why)
    yield writer.rule(SECOND, (oif(bridge),), DROP, f"keeps other networks from {name}")


def isolation_beside(mode: Mode, side: NetworkFamily) -> Iterator[Expected]:
    """20.10 keeps networks apart in IPv6 too where they have none; later engines may not."""
    if mode.layout is Layout.STAGES and not side.closed:
        writer, bridge = _Writer(side), side.bridge
        for chain, matches, target in (
            (FIRST, (iif(bridge), oif(bridge, True)), jump(SECOND)),
            (SECOND, (oif(bridge),), DROP),
        ):
            place = Place("ip6", "filter", chain)
            yield Expected(place, matches, target, "keeps networks apart", writer.owner, required=False)


def _forward(side: NetworkFamily, stages: bool) -> Iterator[Expected]:
    writer, bridge, network = _Writer(side), side.bridge, side.network
    name = network.name
    if side.closed:
        yield writer.within("DOCKER-FORWARD", network.icc)
        yield from writer.closed(FIRST if stages else "DOCKER-INTERNAL")
        return
    yield writer.rule("DOCKER-CT", (oif(bridge), KNOWN_FLOW), ACCEPT, f"lets answers in to {name}")
    yield writer.rule("DOCKER-BRIDGE", (oif(bridge),), jump("DOCKER"), f"leads to the published ports on {name}")
    if network.icc:
        yield writer.rule("DOCKER-FORWARD", (iif(bridge),), ACCEPT, f"lets {name} out")
    else:
        yield writer.within("DOCKER-FORWARD", False)
        yield writer.rule("DOCKER-FORWARD", (iif(bridge), oif(bridge, True)), ACCEPT, f"lets {name} out")
    if stages:
        yield from _isolation(writer)
    yield from _entrance(writer, stages)


def _entrance(writer: _Writer, stages: bool) -> Iterator[Expected]:
    """What becomes of packets for a network that no published port let through."""
    side = writer.side
    bridge, name = side.bridge, side.network.name
    into = (iif(bridge, True), oif(bridge))
    if side.mode == "nat-unprotected":
        yield writer.rule("DOCKER", into, ACCEPT, f"lets everything in to {name}: its gateway mode is nat-unprotected")
        return
    yield writer.rule("DOCKER", into, DROP, f"keeps ports on {name} closed that are not published")
    if side.mode == "routed":
        icmp = proto("ipv6-icmp" if side.family == "ip6" else "icmp")
        yield writer.rule("DOCKER", (oif(bridge), icmp), ACCEPT, f"lets ICMP in to {name}: it is routed")
        if stages:
            yield writer.rule(FIRST, (iif(bridge), KNOWN_FLOW), ACCEPT, f"lets answers of the routed {name} out")
            yield writer.rule(FIRST, (oif(bridge),), RETURN, f"lets others in to the routed {name}")
