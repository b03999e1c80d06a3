"""What Docker writes to iptables' filter table for each network, and to lead packets there.

Measured on 20.10.24, 26.1.5 (the chains of STAGES), 28.5.2 (FORWARD) and 29.7.2 (INTERNAL)."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.drift.expected.mode import Layout, Mode
from netdash.drift.expected.network_family import Side
from netdash.drift.expected.rule import (
    ACCEPT,
    DROP,
    KNOWN_FLOW,
    RETURN,
    Expected,
    Owner,
    Place,
    dst,
    iif,
    jump,
    oif,
    proto,
    src,
)
from netdash.model.host import Match, Target

_FIRST, _SECOND = "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"


def filter_base(mode: Mode, family: str) -> Iterator[Expected]:
    """The jumps from FORWARD on."""
    filtered = {name: Place(family, "filter", name) for name in ("FORWARD", "DOCKER-FORWARD", _FIRST, _SECOND)}
    forward, ours = filtered["FORWARD"], filtered["DOCKER-FORWARD"]
    user = "lets the rules in DOCKER-USER decide first"
    if mode.layout is Layout.STAGES:
        # 20.10 has no DOCKER-USER for IPv6.
        yield Expected(forward, (), jump("DOCKER-USER"), user, required=family == "ip")
        yield Expected(forward, (), jump(_FIRST), "leads to what keeps networks apart")
        for name in (_FIRST, _SECOND):
            yield Expected(filtered[name], (), RETURN, "goes on where no isolation rule dropped", required=False)
    elif mode.layout in (Layout.FORWARD, Layout.INTERNAL):
        yield Expected(forward, (), jump("DOCKER-USER"), user)
        yield Expected(forward, (), jump("DOCKER-FORWARD"), "leads to Docker's filter")
        yield Expected(ours, (), jump("DOCKER-CT"), "leads to what lets known flows through")
        apart = _FIRST if mode.layout is Layout.FORWARD else "DOCKER-INTERNAL"
        yield Expected(ours, (), jump(apart), "leads to what keeps networks apart")
        yield Expected(ours, (), jump("DOCKER-BRIDGE"), "leads to what lets published ports through")
        yield Expected(ours, (), jump("DOCKER-INGRESS"), "leads to swarm's ingress", required=False)


def filter_of_network(mode: Mode, side: Side) -> Iterator[Expected]:
    if mode.layout is Layout.STAGES:
        yield from _stages(side)
    elif mode.layout in (Layout.FORWARD, Layout.INTERNAL):
        yield from _forward(side, mode.layout is Layout.FORWARD)


class _Writer:
    """Rules of one network in the filter table."""

    def __init__(self, side: Side) -> None:
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


def _stages(side: Side) -> Iterator[Expected]:
    writer, bridge, name = _Writer(side), side.bridge, side.network.name
    yield writer.within("FORWARD", side.network.icc)
    if side.closed:
        yield from writer.closed(_FIRST)
        return
    yield writer.rule("FORWARD", (oif(bridge), KNOWN_FLOW), ACCEPT, f"lets answers in to {name}")
    yield writer.rule("FORWARD", (oif(bridge),), jump("DOCKER"), f"leads to the published ports on {name}")
    yield writer.rule("FORWARD", (iif(bridge), oif(bridge, True)), ACCEPT, f"lets {name} out")
    yield from _isolation(writer)


def _isolation(writer: _Writer) -> Iterator[Expected]:
    bridge, name = writer.side.bridge, writer.side.network.name
    why = f"keeps {name} from other networks"
    yield writer.rule(_FIRST, (iif(bridge), oif(bridge, True)), jump(_SECOND), why)
    yield writer.rule(_SECOND, (oif(bridge),), DROP, f"keeps other networks from {name}")


def isolation_beside(mode: Mode, side: Side) -> Iterator[Expected]:
    """20.10 keeps networks apart in IPv6 too where they have none; later engines may not."""
    if mode.layout is Layout.STAGES and not side.closed:
        writer, bridge = _Writer(side), side.bridge
        for chain, matches, target in (
            (_FIRST, (iif(bridge), oif(bridge, True)), jump(_SECOND)),
            (_SECOND, (oif(bridge),), DROP),
        ):
            place = Place("ip6", "filter", chain)
            yield Expected(place, matches, target, "keeps networks apart", writer.owner, required=False)


def _forward(side: Side, stages: bool) -> Iterator[Expected]:
    writer, bridge, network = _Writer(side), side.bridge, side.network
    name = network.name
    if side.closed:
        yield writer.within("DOCKER-FORWARD", network.icc)
        yield from writer.closed(_FIRST if stages else "DOCKER-INTERNAL")
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
            yield writer.rule(_FIRST, (iif(bridge), KNOWN_FLOW), ACCEPT, f"lets answers of the routed {name} out")
            yield writer.rule(_FIRST, (oif(bridge),), RETURN, f"lets others in to the routed {name}")
