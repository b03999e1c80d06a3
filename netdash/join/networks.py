"""The engine's networks on this host: their bridges and veths among its devices, and which containers another
reaches on the networks that both are on, and by which names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

from netdash.kernel.devices import GWBRIDGE
from netdash.model.addresses import interface
from netdash.model.engine_state import EngineProcess, Place, is_proved
from netdash.model.host import IP, Container, Endpoint, Engine, Failure, Host, Link, Network
from netdash.model.index import index_of, sharing
from netdash.model.memory import exchanged
from netdash.model.numbers import decimal
from netdash.model.records import dataclass, replace
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
        addresses=tuple(address for address in found if address),
        gateways=network.gateways,
        names=(),
        links=(),
    )


def other_namespace(
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
    remedy = "run netdash where the engine runs; in a container with --net host"
    return Failure(Source.RULES, why, remedy) if live else None


# --- which veth of the host leads to which endpoint of a container ----------------------------------------------------


class VethPairs:
    """Three kinds of evidence, best first: the namespace's id (RTM_GETNSID gives it by pid, IFLA_LINK_NETNSID is on
    the veth), the peer's index seen from inside, and the bridge's forwarding table. Without any: unknown."""

    def __init__(
        self,
        links: tuple[Link, ...] | None,
        networks: tuple[Network, ...] | None,
        netns: object,
        fdb: object,
        before: VethPairs | None = None,
    ) -> None:
        """`before`: that of an older host, to tell what has changed since."""
        self._networks = networks
        self._bridges = {network.id: network.bridge for network in networks or ()}
        self._by_name = {network.name: network.bridge for network in networks or ()}
        self._netns = {pid: nsid for pid, nsid in mapping(_or_none(netns)).items() if isinstance(nsid, int)}
        self._veths: list[Link] = [link for link in links or () if link.kind == "veth"]
        veths = self._veths
        self._by_index = {link.index: link for link in veths}
        self._by_netns: dict[int, list[Link]] = {**before._by_netns} if before else {}
        moved = [*chain.from_iterable(exchanged(before._veths if before else (), veths))]
        around = {link.peer_netns for link in moved if link.peer_netns is not None}
        for nsid in around:
            self._by_netns.pop(nsid, None)
        for link in veths if around else ():
            if link.peer_netns is not None and link.peer_netns in around:
                self._by_netns.setdefault(link.peer_netns, []).append(link)
        self._by_mac = _forwarding(fdb, {link.name for link in veths if link.master})
        self.changed: frozenset[object] | None = None
        """The evidence by which another veth may be found than before; None: any."""
        if before is not None and before._networks is networks:
            self.changed = self._changes(before, moved)

    def _changes(self, before: VethPairs, moved: list[Link]) -> frozenset[object]:
        """The pids, indexes and MAC addresses by which another veth may be found than before."""
        namespaces = {link.peer_netns for link in moved}
        pids = {pid for pid, nsid in (before._netns | self._netns).items() if nsid in namespaces} if moved else set()
        pids |= {pid for pid, _ in before._netns.items() ^ self._netns.items()}
        macs = {mac for mac, _ in before._by_mac.items() ^ self._by_mac.items()}
        return frozenset((*pids, *(link.index for link in moved), *macs))

    def veths(self, container: Container) -> tuple[str | None, ...]:
        """The host's end of each endpoint; by what was read inside, too."""
        inner = (container.inside.links if container.inside else None) or ()
        running = container.running
        return tuple(self._veth(container, endpoint, inner) if running else None for endpoint in container.endpoints)

    def bridge(self, endpoint: Endpoint) -> str | None:
        return self._bridges.get(endpoint.network_id) or self._by_name.get(endpoint.network)

    def _veth(self, container: Container, endpoint: Endpoint, inner: tuple[Link, ...]) -> str | None:
        bridge = self.bridge(endpoint)
        nsid = self._netns.get(str(container.pid)) if container.pid else None
        if bridge is not None and nsid is not None and nsid >= 0:
            found = [link.name for link in self._by_netns.get(nsid, ()) if link.master == bridge]
            if len(found) == 1:
                return found[0]
            loose = [link.name for link in self._by_netns.get(nsid, ()) if not link.master]
            if not found and len(loose) == 1 and len(container.endpoints) == 1:
                return loose[0]  # taken out of its bridge
        ips = {address.ip for address in endpoint.addresses}
        for link in inner if bridge is not None else ():  # a macvlan's other end is its parent device
            same = (endpoint.mac and link.mac == endpoint.mac.lower()) or any(
                address.ip in ips for address in link.addresses
            )
            peer = self._by_index.get(link.peer_index or 0)
            if same and peer is not None and (peer.master == bridge or _pair(peer, link)):
                return peer.name
        return self._by_mac.get((endpoint.mac or "").lower())


def evidence_of(container: Container) -> frozenset[object]:
    """By what its veths are looked up: its pid, MAC addresses, and the indexes of the other ends."""
    inner = (container.inside.links if container.inside else None) or ()
    macs = ((endpoint.mac or "").lower() for endpoint in container.endpoints)
    return frozenset((str(container.pid), *macs, *(link.peer_index or 0 for link in inner)))


def _pair(outer: Link, inner: Link) -> bool:
    """Whether a veth that is in no bridge is the other end of one inside: each names the other's index."""
    return outer.master is None and outer.peer_index == inner.index


def _or_none(answer: object) -> object:
    try:
        return decoded(answer)
    except ValueError:
        return None


def _forwarding(fdb: object, veths: set[str]) -> dict[str, str]:
    """MAC -> veth as the bridge learned it; a MAC seen on two ports proves nothing."""
    seen: dict[str, set[str]] = {}
    for raw in map(mapping, items(_or_none(fdb))):
        mac, name = text(raw.get("mac")), text(raw.get("ifname"))
        if mac and name in veths and raw.get("state") != "permanent":
            seen.setdefault(mac.lower(), set()).add(name)
    return {mac: next(iter(names)) for mac, names in seen.items() if len(names) == 1}


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
            others.sort(key=lambda other: linked.isdisjoint((other[0].name, *other[1].names)))
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
