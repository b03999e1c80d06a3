"""The engine's bridges among this host's devices: which is whose, who else is on one, and what it means that none is
there."""

from __future__ import annotations

from dataclasses import replace

from netdash.kernel.swarm import GWBRIDGE
from netdash.model.addresses import interface
from netdash.model.engine_process import EngineProcess, Place, is_proved
from netdash.model.host import Container, Endpoint, Engine, Failure, Link, Network
from netdash.model.numbers import decimal
from netdash.model.source import Source
from netdash.parse.docker import parse_network
from netdash.parse.json_values import Json, decoded, items, mapping, text


def bridges(
    networks: tuple[Network, ...], links: tuple[Link, ...] | None, engine: Engine | None
) -> tuple[Network, ...]:
    """A bridge may have been renamed: the device with the gateway's address is the one. Podman does not say the name,
    and makes the bridge with the network's first container: without such a device the name is not known."""
    names = {link.name for link in links or ()}
    owners = {address.ip: link.name for link in links or () if link.kind == "bridge" for address in link.addresses}
    podman = engine is not None and engine.name == "podman"

    def bridge(network: Network) -> str | None:
        given = None if podman and network.bridge == f"br-{network.id[:12]}" else network.bridge
        return next((owners[ip] for ip in network.gateways if ip in owners), given)

    return tuple(
        replace(network, bridge=bridge(network)) if network.bridge and network.bridge not in names else network
        for network in networks
    )


def with_gateways(containers: tuple[Container, ...], answer: object) -> tuple[Container, ...]:
    """Containers of overlay networks have an address on docker_gwbridge too, by which they go out and publish their
    ports: it stands with that network alone, in /networks/ID."""
    found = next((one for raw in items(decoded(answer)) if (one := mapping(raw)).get("Name") == GWBRIDGE), {})
    members, network = mapping(found.get("Containers")), parse_network(found)
    if network is None or not members:
        return containers
    return tuple(
        replace(container, endpoints=(*container.endpoints, _gateway(network, mapping(members[container.id]))))
        if container.id in members and all(end.network != GWBRIDGE for end in container.endpoints)
        else container
        for container in containers
    )


def _gateway(network: Network, member: Json) -> Endpoint:
    pairs = (text(member.get(key)) for key in ("IPv4Address", "IPv6Address"))
    halves = (pair.partition("/") for pair in pairs if pair)
    found = (interface(ip, bits) for ip, _, size in halves if (bits := decimal(size)) is not None)
    return Endpoint(
        network=network.name,
        network_id=network.id,
        mac=text(member.get("MacAddress")),
        addresses=tuple(one for one in found if one),
        gateways=network.gateways,
        names=(),
        links=(),
    )


def elsewhere(
    live: bool,
    engine: Engine | None,
    process: EngineProcess | None,
    kernel: str | None,
    networks: tuple[Network, ...] | None,
    links: tuple[Link, ...] | None,
) -> Failure | None:
    """Why the rules that were read are not the engine's: they are in another network namespace than the one read.
    `kernel`: the answer place.KERNEL."""
    if process is not None and process.place is Place.ELSEWHERE:
        where = f"the engine's are in the network namespace of {process.title}, which could not be entered"
        return Failure(Source.RULES, where, "run with sudo")
    if process is not None and (is_proved(kernel) or process.place is Place.ENTERED or not live):
        return None  # one that lost all its bridges is still here
    if engine is None:
        return None
    if networks is None or links is None:
        why = "the engine is rootless, and whether its devices are these could not be read"
        bridged = any(link.kind == "bridge" for link in links or ())
        return Failure(Source.RULES, why) if engine.rootless and not live and not bridged else None
    names = {link.name for link in links}
    theirs = {network.bridge for network in networks if network.bridge}
    if not theirs or theirs & names:
        return None
    if engine.rootless:
        why = "the engine is rootless: its rules are in a network namespace of its own"
        return Failure(Source.RULES, why, "see docker info")
    why = "none of the engine's bridges is here: its rules are in another network namespace"
    return Failure(Source.RULES, why, "run netdash where the engine runs") if live else None
