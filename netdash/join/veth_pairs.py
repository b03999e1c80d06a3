"""Which veth of the host leads to which endpoint of a container."""

from __future__ import annotations

from netdash.model.host import Container, Endpoint, Link, Network
from netdash.parse.json_values import decoded, items, mapping, text


class Wiring:
    """Three kinds of evidence, best first: the namespace's id (RTM_GETNSID gives it by pid, IFLA_LINK_NETNSID is on
    the veth), the peer's index seen from inside, and the bridge's forwarding table. Without any: unknown."""

    def __init__(
        self, links: tuple[Link, ...] | None, networks: tuple[Network, ...] | None, netns: object, fdb: object
    ) -> None:
        self._bridges = {network.id: network.bridge for network in networks or ()}
        self._by_name = {network.name: network.bridge for network in networks or ()}
        self._netns = {pid: nsid for pid, nsid in mapping(_or_none(netns)).items() if isinstance(nsid, int)}
        self._veths = [link for link in links or () if link.kind == "veth"]
        self._by_index = {link.index: link for link in self._veths}
        self._by_netns: dict[int, list[Link]] = {}
        for link in self._veths:
            if link.peer_netns is not None:
                self._by_netns.setdefault(link.peer_netns, []).append(link)
        self._by_mac = _forwarding(fdb, {link.name for link in self._veths if link.master})

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
