"""What Podman's netavark writes with nftables: the table inet netavark, for networks that have a container.

Measured on 5.8.6. Whether a network is isolated or has names resolved, its API does not tell: such rules are let be."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from netdash.drift.expected.mode import NETAVARK_TABLE, NetworkFamily, Publication
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
    jump,
    src,
)
from netdash.model.host import Match, Net, Target
from netdash.rules.parts import mark_match, word_match

_PORTS, _MARK, _LOOP = "NETAVARK-HOSTPORT-DNAT", "NETAVARK-HOSTPORT-SETMARK", ip_address("127.0.0.1")
MANY = {"ip": ip_network("224.0.0.0/4"), "ip6": ip_network("ff00::/8")}
_PRINTED = ip_network("::/8")  # as 5.8 writes the multicast addresses of IPv6


def _place(chain: str) -> Place:
    return Place("inet", NETAVARK_TABLE, chain, native=True)


def chain_of(side: NetworkFamily, net: Net) -> str:
    address = str(net.network_address).replace(".", "_").replace(":", "-")
    return f"nv_{side.network.id[:8]}_{address}_nm{net.prefixlen}"


def base() -> Iterator[Expected]:
    why = "leads packets for this host's addresses to the published ports"
    for chain in ("PREROUTING", "OUTPUT"):
        yield Expected(_place(chain), (TO_LOCAL,), jump(_PORTS), why)
    mark = mark_match("mark", "0x2000/0x2000")
    if mark is not None:
        yield Expected(_place("POSTROUTING"), (mark,), MASQUERADE, "gives containers' own requests a way back")
    yield Expected(_place("FORWARD"), (word_match("ctstate", "INVALID"),), DROP, "drops what belongs to no flow")
    yield Expected(_place("FORWARD"), (), jump("NETAVARK-ISOLATION-1"), "leads to what keeps networks apart")


def of_network(side: NetworkFamily) -> Iterator[Expected]:
    """Of a network with a running container; an internal one has none."""
    owner, name = Owner(network=side.network.id), side.network.name
    for net in side.subnets if not side.closed else ():
        chain = chain_of(side, net)
        rules: tuple[tuple[str, tuple[Match, ...], Target, str], ...] = (
            ("FORWARD", (dst(net), KNOWN_FLOW), ACCEPT, f"lets answers in to {name}"),
            ("FORWARD", (src(net),), ACCEPT, f"lets {name} out"),
            ("POSTROUTING", (src(net),), jump(chain), f"leads what leaves {name} to its own rules"),
            (chain, (dst(net),), ACCEPT, f"leaves addresses within {name} as they are"),
        )
        for place, matches, target, why in rules:
            yield Expected(_place(place), matches, target, why, owner)
        others = ((dst(_PRINTED, True),),) if side.family == "ip6" else ()
        why = f"what leaves {name} takes this host's address"
        yield Expected(_place(chain), (dst(MANY[side.family], True),), MASQUERADE, why, owner, others=others)


def port_rules(publication: Publication) -> Iterator[Expected]:
    """Where a container is on several networks, each may have the rules."""
    binding, side = publication.binding, publication.side
    if binding.host_port is None:
        return
    owner = Owner(side.network.id, publication.container.id, binding)
    net = next((net for net in side.subnets if publication.address in net), side.subnets[0])
    chain = f"{chain_of(side, net)}_dnat"
    outer = (*((dst(publication.host_ip),) if publication.host_ip else ()), *dport(binding.proto, binding.host_port))
    target = f"{publication.container.name} at {publication.address} port {binding.container_port}"
    why = f"leads {publication.name} to the rules of {side.network.name}"
    yield Expected(_place(_PORTS), outer, jump(chain), why, owner, publication.certain)
    to = dnat(publication.address, binding.container_port)
    yield Expected(_place(chain), outer, to, f"takes {publication.name} to {target}", owner, publication.certain)
    for source in (net, _LOOP):
        why = f"marks requests of the host's own for {publication.name}"
        certain = publication.certain and source.version == 4
        yield Expected(_place(chain), (src(source), *outer), jump(_MARK), why, owner, certain)
