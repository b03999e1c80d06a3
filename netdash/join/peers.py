"""Which containers another reaches on the networks that both are on, and by which names. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from netdash.model.host import IP, Container, Endpoint, Host
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A container that another can reach on a network they share."""

    container_id: str
    container: str
    network: str
    ip: IP | None
    names: tuple[str, ...]  # by which it can be called; empty on the default bridge: by address only
    blocked: str  # why it cannot be reached although it is a neighbour (icc off); "" otherwise


def peers(host: Host, container: Container, most: int | None = None) -> tuple[Peer, ...]:
    """Running containers on the same networks, with the names that resolve there. The default bridge has no DNS:
    only --link gives names, and only to the container that was given the link. `most` of each network at most, the
    linked ones before the others."""
    return tuple(
        _peer(host, endpoint, *other)
        for endpoint, others in _neighbours(host, container)
        for other in others[: len(others) if most is None else most]
    )


def peer_counts(host: Host, container: Container) -> dict[str, int]:
    """How many `peers` finds, by the network's name."""
    return {endpoint.network: len(others) for endpoint, others in _neighbours(host, container)}


def _neighbours(host: Host, container: Container) -> Iterator[tuple[Endpoint, list[tuple[Container, Endpoint]]]]:
    owner = sharing(host, container)
    for endpoint in owner.endpoints if owner.running else ():
        others = [member for member in _members(host).get(endpoint.network_id, ()) if member[0] is not owner]
        linked = {target for target, _ in endpoint.links}
        if linked:
            others.sort(key=lambda one: linked.isdisjoint((one[0].name, *one[1].names)))
        yield endpoint, others


@lru_cache(maxsize=2)
def _members(host: Host) -> dict[str, list[tuple[Container, Endpoint]]]:
    """Running containers with an address, by network id."""
    found: dict[str, list[tuple[Container, Endpoint]]] = {}
    for container in host.containers or ():
        for endpoint in container.endpoints if container.running and not container.shares_with else ():
            if endpoint.addresses:
                found.setdefault(endpoint.network_id, []).append((container, endpoint))
    return found


def _peer(host: Host, endpoint: Endpoint, other: Container, theirs: Endpoint) -> Peer:
    network = index_of(host).network(endpoint)
    linked = tuple(alias for target, alias in endpoint.links if target in (other.name, *theirs.names))
    resolves = endpoint.network != ("podman" if host.engine and host.engine.name == "podman" else "bridge")
    names = tuple(dict.fromkeys([*linked, *(theirs.names if resolves else ())]))
    blocked = "" if network is None or network.icc or linked else "inter-container traffic is off on this network"
    return Peer(
        container_id=other.id,
        container=other.name,
        network=endpoint.network,
        ip=theirs.addresses[0].ip,
        names=names,
        blocked=blocked,
    )
