"""A container that is put on its networks, or taken off: addresses, veths, proxies, and the engine's rules for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from netdash.change.engine_rules import EngineRules
from netdash.change.links import Devices, plugged, unplugged
from netdash.change.model import CannotModel, ChainChange, ChainEdit, ChainPlace, RuleChange, RuleEdit
from netdash.change.rules import changed_rules
from netdash.kernel.routing import usual_rules
from netdash.model.addresses import LOOPBACK, interface
from netdash.model.host import (
    IP,
    Binding,
    Container,
    Endpoint,
    Host,
    Inside,
    Interface,
    Link,
    Listener,
    Network,
    Proxy,
    Route,
    Rule,
    Ruleset,
    Verb,
)
from netdash.model.kernel_state import BridgePort
from netdash.model.processes import OWN_PROXY
from netdash.model.records import replace
from netdash.rules.iptables_rule import parse_line
from netdash.rules.merge import IPTABLES
from netdash.trace.container_namespace import local_routes, set_up_routes

# --- off --------------------------------------------------------------------------------------------------------------


def detached(host: Host, rules: EngineRules, *containers: Container) -> Host:
    """Without what the engine made for them; the containers themselves are as they were."""
    if host.ruleset is not None:
        host = replace(host, ruleset=rules.without(host.ruleset, containers))
    ends = [end for container in containers for end in container.endpoints]
    own = {address.ip for end in ends for address in end.addresses}
    veths = {end.veth for end in ends if end.veth}
    if host.links is not None:
        devices = Devices(host.links, host.routes or ())
        for veth in veths:
            devices = unplugged(devices, veth)
        host = replace(host, links=devices.links, routes=host.routes and devices.routes)
    if host.neighbours is not None:
        host = replace(host, neighbours=tuple(neighbour for neighbour in host.neighbours if neighbour.ip not in own))
    if host.bridging is not None and host.bridging.fdb is not None:
        fdb = tuple(entry for entry in host.bridging.fdb if entry.port not in veths)
        host = replace(host, bridging=replace(host.bridging, fdb=fdb))
    published = {(binding.proto, binding.host_port) for container in containers for binding in container.bindings}
    return _without_proxies(host, published, own)


def _without_proxies(host: Host, published: set[tuple[str, int | None]], own: set[IP]) -> Host:
    gone = [
        proxy
        for proxy in host.proxies or ()
        if proxy.command != OWN_PROXY and proxy.container_ip in own and (proxy.proto, proxy.host_port) in published
    ]
    pids = {proxy.pid for proxy in gone}
    return replace(
        host,
        proxies=None if host.proxies is None else tuple(proxy for proxy in host.proxies if proxy not in gone),
        listeners=None
        if host.listeners is None
        else tuple(
            listener
            for listener in host.listeners
            if listener.pid not in pids
            and not (listener.command in ("docker-proxy", "dockerd") and (listener.proto, listener.port) in published)
        ),
    )


# --- on ---------------------------------------------------------------------------------------------------------------


def attached(host: Host, rules: EngineRules, container: Container) -> Host:
    """`container`: as it will run, with its addresses; it is in the host already, as it was before. Its default route
    tells by which network its ports are published."""
    gateways = frozenset(
        route.gateway
        for route in (container.inside.routes if container.inside else None) or ()
        if route.default and route.family == 4 and route.gateway is not None
    )
    container = replace(container, default_gateways=gateways or None)
    if host.links is not None:
        container, devices = _plugged(host, rules, container)
        host = replace(host, links=devices.links, routes=host.routes and devices.routes)
    host = replace(
        host, containers=tuple(container if other.id == container.id else other for other in host.containers or ())
    )
    if host.ruleset is not None:
        host = replace(host, ruleset=rules.with_(host.ruleset, container))
    return _with_proxies(host, rules, container)


def _plugged(host: Host, rules: EngineRules, container: Container) -> tuple[Container, Devices]:
    devices = Devices(host.links or (), host.routes or ())
    ends = []
    for number, end in enumerate(container.endpoints):
        network = next((network for network in host.networks or () if network.id == end.network_id), None)
        if network is None or network.driver != "bridge" or not network.bridge:
            ends.append(end)
            continue
        if all(link.name != network.bridge for link in devices.links):
            raise CannotModel(f"the bridge {network.bridge} of {network.name} is gone")
        name = f"veth{container.id[-7:].replace(' ', '')}{number}"
        devices = plugged(devices, _veth(devices, name, network.bridge, rules.mode.proxy is False))
        ends.append(replace(end, veth=name))
    return replace(container, endpoints=tuple(ends)), devices


def _veth(devices: Devices, name: str, bridge: str, hairpin: bool) -> Link:
    index = max((link.index for link in devices.links), default=0) + 1
    space = max((link.peer_netns or 0 for link in devices.links), default=0) + 1
    flags = frozenset({"UP", "LOWER_UP", "BROADCAST", "MULTICAST"})
    return Link(
        *(index, name, "veth", True, "UP", 1500, None, bridge, 2, space, ()),
        hairpin=hairpin,
        flags=flags,
        port=BridgePort(),
        group="0",
    )


def _with_proxies(host: Host, rules: EngineRules, container: Container) -> Host:
    """A port that somebody has already is refused, and the container with it."""
    if host.listeners is None:
        return host
    pid = max((listener.pid or 0 for listener in host.listeners), default=0)
    pid = max(pid, *(proxy.pid for proxy in host.proxies or ()), 0)
    proxies, sockets = [], []
    for binding, ip, target in _published(container):
        holder = next((listener for listener in host.listeners if _overlaps(listener, binding, ip)), None)
        if holder is not None:
            what = f"{binding.host_port}/{binding.proto}"
            raise CannotModel(
                f"{what} is taken by {holder.program or 'another process'}: {container.name} cannot start"
            )
        pid += 1
        command = "dockerd" if rules.mode.proxy is False else "docker-proxy"
        sockets.append(Listener(binding.proto, ip, binding.host_port or 0, pid=pid, command=command))
        if rules.mode.proxy is not False:
            proxies.append(
                Proxy(
                    *(pid, None, command, "", binding.proto, ip, binding.host_port or 0),
                    *(target, binding.container_port, None, (sockets[-1],)),
                )
            )
    return replace(
        host,
        listeners=(*host.listeners, *sockets),
        proxies=None if host.proxies is None else (*host.proxies, *proxies),
    )


def _overlaps(socket: Listener, binding: Binding, ip: IP) -> bool:
    same = (socket.proto, socket.port) == (binding.proto, binding.host_port)
    meets = socket.ip == ip or (socket.ip.version == ip.version and (socket.ip.is_unspecified or ip.is_unspecified))
    return same and socket.device is None and (meets or (socket.dual and ip.is_unspecified))


def _published(container: Container) -> Iterator[tuple[Binding, IP, IP]]:
    """Each binding with the address that is bound, and the container's that it leads to: by the leading network."""
    leading = next(
        (end for end in container.endpoints if set(end.gateways) & (container.default_gateways or frozenset())), None
    )
    end = leading or next(iter(container.endpoints), None)
    own = [address.ip for address in end.addresses] if end else []
    for binding in container.bindings:
        ip = binding.host_ip
        if ip is None or binding.host_port is None or not own:
            continue
        yield binding, ip, next((other for other in own if other.version == ip.version), own[0])


# --- what a container gets --------------------------------------------------------------------------------------------


def fresh_endpoint(host: Host, network: Network, beside: tuple[Endpoint, ...]) -> Endpoint:
    """With the lowest address of each subnet that nobody has."""
    taken = {
        address.ip for container in host.containers or () for end in container.endpoints for address in end.addresses
    }
    taken |= {address.ip for link in host.links or () for address in link.addresses}
    taken |= {*network.gateways, *(address.ip for end in beside for address in end.addresses)}
    own: list[Interface] = []
    for net in network.subnets:
        ip = next((ip for ip in net.hosts() if ip not in taken), None)
        made = interface(str(ip), net.prefixlen) if ip is not None else None
        if made is None:
            raise CannotModel(f"no address of {net} is free in {network.name}")
        own.append(made)
    own.sort(key=lambda interface: interface.version)
    return Endpoint(network.name, network.id, None, tuple(own), network.gateways, (), ())


def fresh_inside(
    host: Host,
    container: Container,
    before: Inside | None = None,
    leading: Endpoint | None = None,
    keep: bool = False,
) -> Inside:
    """A network namespace as the engine sets it up, its default route by `leading` where that is known. `keep`: it is
    the one of before, with the devices that are new and without those that are gone."""
    names = [f"eth{number}" for number in range(len(container.endpoints))]
    lo = Link(1, "lo", None, True, "UNKNOWN", 65536, None, None, None, None, _loopback(), flags=frozenset({"LOOPBACK"}))
    links = [lo]
    for number, (name, end) in enumerate(zip(names, container.endpoints, strict=True)):
        links.append(Link(number + 2, name, "veth", True, "UP", 1500, end.mac, None, None, 0, end.addresses))
    ends = tuple(replace(end, gateway_priority=_FIRST) if end is leading else end for end in container.endpoints)
    routes = tuple(set_up_routes(host, replace(container, endpoints=ends), names))
    if keep and before is not None and before.links is not None and before.routes is not None:
        return _kept(before, tuple(links), routes)
    ruleset = before.ruleset if before is not None else Ruleset(())
    if ruleset is not None and host.engine is not None and host.engine.firewall != "nftables":
        ruleset = with_resolver_rules(ruleset, container.listeners or ())
    return Inside(tuple(links), routes, (), (*usual_rules(4), *usual_rules(6)), (), ruleset)


_FIRST = 1 << 31  # above every priority that a gateway may have


def _loopback() -> tuple[Interface, ...]:
    return tuple(made for ip, length in ((LOOPBACK[4], 8), (LOOPBACK[6], 128)) if (made := interface(str(ip), length)))


def _kept(before: Inside, links: tuple[Link, ...], routes: tuple[Route, ...]) -> Inside:
    """Devices are known by their addresses: their names inside follow the order in which they came."""
    links = tuple(link for link in links if link.name != "lo")
    known = {_own(link): link for link in before.links or ()}
    wanted = {_own(link) for link in links}
    names = {link.name: known[_own(link)].name for link in links if _own(link) in known}
    free = (f"eth{number}" for number in range(len(links) + len(known)))
    used = {*names.values(), "lo"}
    for link in links:
        if link.name not in names:
            names[link.name] = next(name for name in free if name not in used)
            used.add(names[link.name])
    kept = [link for link in before.links or () if _own(link) in wanted or link.name == "lo"]
    fresh = [replace(link, name=names[link.name]) for link in links if _own(link) not in known]
    here = {link.name for link in (*kept, *fresh)}
    old = [route for route in before.routes or () if (route.dev or "lo") in here]
    made = [replace(route, dev=names.get(route.dev or "", route.dev)) for route in routes]
    new = {link.name for link in fresh}
    defaults = [route for route in made if route.default]
    moved = {route.family for route in defaults if not _has(old, route)}
    old = [route for route in old if not (route.default and route.family in moved and route.table == "main")]
    made = [route for route in made if route.dev in new or (route.default and route.family in moved)]
    if any(route.table == "local" for route in old):
        made += [route for route in local_routes(tuple(fresh)) if route.dev in new]
    return replace(before, links=(*kept, *fresh), routes=(*old, *made))


def _own(link: Link) -> frozenset[Interface]:
    """Without what the kernel gives to every device of IPv6."""
    return frozenset(address for address in link.addresses if not address.ip.is_link_local)


def _has(routes: list[Route], wanted: Route) -> bool:
    return any(route.default and route.family == wanted.family and route.gateway == wanted.gateway for route in routes)


# --- the engine's rules in its namespace: port 53 of 127.0.0.11 leads to the ports of its resolver --------------------

RESOLVER = ip_address("127.0.0.11")
_OUTPUT, _POSTROUTING = "DOCKER_OUTPUT", "DOCKER_POSTROUTING"


def with_resolver_rules(ruleset: Ruleset, listeners: Iterable[Listener]) -> Ruleset:
    """As they are when the container has started; those that are there stay."""
    sockets = [listener for listener in listeners if listener.ip == RESOLVER]
    if not sockets or any(rule.target.verb is Verb.DNAT and rule.target.address == RESOLVER for rule in ruleset.rules):
        return ruleset
    backend = next((chain.backend for chain in ruleset.chains if chain.table == "nat"), IPTABLES)
    there = {chain.name for chain in ruleset.chains if chain.table == "nat"}
    for name in (_OUTPUT, _POSTROUTING):
        edit = ChainEdit.FLUSH if name in there else ChainEdit.NEW
        ruleset = changed_rules(ruleset, ChainChange(ChainPlace("ip", "nat", name, backend), edit))
    for chain, words in _lines(sockets):
        place = ChainPlace("ip", "nat", chain, backend)
        ruleset = changed_rules(ruleset, RuleChange(place, RuleEdit.APPEND, _rule(place, words)))
    return ruleset


def _lines(sockets: list[Listener]) -> Iterator[tuple[str, str]]:
    yield "OUTPUT", f"-d {RESOLVER}/32 -j {_OUTPUT}"
    yield "POSTROUTING", f"-d {RESOLVER}/32 -j {_POSTROUTING}"
    for socket in sockets:
        match = f"-p {socket.proto} -m {socket.proto}"
        yield _OUTPUT, f"-d {RESOLVER}/32 {match} --dport 53 -j DNAT --to-destination {RESOLVER}:{socket.port}"
        yield _POSTROUTING, f"-s {RESOLVER}/32 {match} --sport {socket.port} -j SNAT --to-source :53"


def _rule(place: ChainPlace, words: str) -> Rule:
    line = f"-A {place.chain} {words}"
    body = parse_line(line)
    where = (place.family, place.table, place.chain, 1)
    return Rule(*where, line, body.matches, body.target, 0, 0, place.backend, not_understood=body.not_understood)
