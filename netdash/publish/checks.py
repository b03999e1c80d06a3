"""Reasons to refuse a publication, and what its owner should know before; and what they need beside the Host. Pure: no
step is chosen here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from netdash.kernel import sockets
from netdash.kernel.sockets import overlaps, reserved
from netdash.model.addresses import socket_text
from netdash.model.host import IP, Container, Endpoint, Host, Listener, Network, Port
from netdash.model.index import index_of, why_lost
from netdash.model.records import dataclass
from netdash.publish.journal import Opened
from netdash.publish.payload import Volume
from netdash.publish.request import Mode, Request
from netdash.publish.statement import Kind, Statement, say
from netdash.trace.nat_rules import ANYWHERE, TRIED, takers


@dataclass(frozen=True, slots=True)
class Details:
    """Of the container that is to be made anew. `changes`: files written outside its volumes, None: not known.
    `dependents`: what becomes of containers that use it. `missing`: containers of --volumes-from that are gone."""

    changes: int | None
    auto_remove: bool
    restart: tuple[str, int]
    health: bool  # whether it has a healthcheck
    stop_seconds: int | None  # its own stop timeout
    dependents: tuple[Statement, ...] = ()
    missing: tuple[str, ...] = ()
    anonymous: tuple[Volume, ...] = ()
    swarm_service: str | None = None
    image_moved: bool = False  # its image's name means another image by now
    random_ports: bool = False
    fixed_addresses: bool = True  # every address was asked for
    followers: tuple[str, ...] = ()  # containers that use its network namespace
    sharers: (
        tuple[tuple[int, str], ...] | None
    ) = ()  # (pid, name) of processes that do and are of none; None: not known
    tmpfs: tuple[str, ...] = ()  # where
    forwards: tuple[int, ...] = ()  # host ports that netdash forwards to it


@dataclass(frozen=True, slots=True)
class Preflight:
    """`unable`: why nothing can be changed from here. `engine_here`: whether the engine shares this process's network
    namespace. `lowest_port`: the lowest that a process of this user may bind. `program`: path of docker-proxy."""

    unable: Statement | None = None
    engine_here: bool | None = True
    lowest_port: int | None = 0
    program: str | None = None
    details: Details | None = None
    image_here: bool | None = None  # of a new container


# --- what speaks against it -------------------------------------------------------------------------------------------


def standing(container: Container) -> Statement | None:
    """Why no port of this container can be published at all; None where nothing is known against it."""
    name, mode = container.name, container.network_mode
    if container.left_behind:
        return say(Kind.LEFT_BEHIND, text=why_lost(container))
    if mode == "host":
        return say(Kind.HOST_NETWORK, container=name)
    if mode == "none":
        return say(Kind.NO_NETWORK_MODE, container=name)
    if mode.startswith("container:"):
        other = container.shares_with or mode.removeprefix("container:")[:12]
        return say(Kind.SHARES_NETWORK, container=name, other=other)
    if container.state != "running":
        return say(Kind.NOT_RUNNING, container=name, state=container.state)
    return None


def endpoint(host: Host, container: Container, mode: Mode) -> tuple[Endpoint | None, Statement | None]:
    """The endpoint that a port leads to, or why there is none: on a bridge, not internal, and for a forward one of
    this host's; the one of the default route first."""
    if host.networks is None:
        return None, say(Kind.NETWORKS_UNREAD)
    here = host if mode is Mode.FORWARD else None
    reasons = [(end, _unreachable(here, end, index_of(host).network(end))) for end in container.endpoints]
    found = [end for end, reason in reasons if reason is None]
    if not found:
        why = tuple(reason for _, reason in reasons if reason)
        return None, say(Kind.NO_ENDPOINT, reasons=why) if why else say(Kind.NO_NETWORK, container=container.name)
    gateways = container.default_gateways or frozenset()
    return next((end for end in found if gateways.intersection(end.gateways)), found[0]), None


def _unreachable(host: Host | None, end: Endpoint, network: Network | None) -> Statement | None:
    if network is None:
        return say(Kind.NETWORK_UNKNOWN, network=end.network)
    if network.internal:
        return say(Kind.NETWORK_INTERNAL, network=network.name)
    if network.driver != "bridge":
        return say(Kind.NETWORK_WITHOUT_BRIDGE, network=network.name, driver=network.driver)
    if not end.addresses:
        return say(Kind.NO_ADDRESS, network=network.name)
    if host is not None and host.links is not None and network.bridge not in {link.name for link in host.links}:
        return say(Kind.BRIDGE_NOT_HERE, bridge=network.bridge)
    return None


# --- the host's port --------------------------------------------------------------------------------------------------


def port_refusals(
    host: Host, low: int | None, proto: str, ips: tuple[IP, ...], number: int, force: bool
) -> Iterator[Statement]:
    """Why this host port cannot be had. `low`: the lowest port that who binds it may bind, None where not known."""
    if low is not None and number < low:
        yield say(Kind.PRIVILEGED_PORT, proto=proto, port=number, lowest=low)
    found = (conflict for ip in ips for conflict in conflicts(host, proto, ip, number))
    yield from dict.fromkeys(_held(host, port) for port in found if port.live or not force)
    for rule in takers(host, proto, ips, number)[0]:
        yield say(Kind.PORT_TRANSLATED, proto=proto, port=number, rule=rule.place, text=rule.text)


def unknown_ports(host: Host, proto: str, ips: tuple[IP, ...], numbers: tuple[int, ...]) -> Iterator[Statement]:
    """What was not read, or cannot be told, of whether these host ports are taken."""
    if host.listeners is None:
        yield say(Kind.HOST_SOCKETS_UNREAD)
    if host.ruleset is None:
        yield say(Kind.HOST_RULES_UNREAD)
    unsure = dict.fromkeys(rule.place for number in numbers for rule in takers(host, proto, ips, number)[1])
    if unsure:
        yield say(Kind.HOST_RULES_UNSURE, rules=", ".join([*unsure][:3]))


def lowest_port(host: Host, facts: Preflight, mode: Mode | None) -> int | None:
    """The lowest port that may be bound: by this process for a forward, else by the engine, which is root unless it is
    rootless."""
    if mode is Mode.FORWARD:
        return facts.lowest_port
    if host.engine is None or not host.engine.rootless:
        return 0
    start = (host.sysctls or {}).get("net.ipv4.ip_unprivileged_port_start", "")
    return int(start) if start.isascii() and start.isdigit() else None


def _held(host: Host, port: Port) -> Statement:
    owner = next((container.name for container in host.containers or () if container.id == port.container_id), None)
    at = sockets.bound_socket(port)
    if port.waiting:
        return say(Kind.PORT_OF_FORWARD, proto=port.proto, at=at, container=owner)
    if not port.live:
        return say(Kind.PORT_RESERVED, proto=port.proto, at=at, container=owner)
    holder, by_rule = port.holder, port.holder is not None and port.holder.kind == "rule" and port.dnat is not None
    known = holder is not None and holder.kind != "nobody" and not by_rule
    return say(
        Kind.PORT_HELD,
        proto=port.proto,
        at=at,
        container=owner,
        rule=port.dnat.place if by_rule and port.dnat is not None else None,
        holder=(holder.kind, holder.command, holder.pid) if known and holder is not None else None,
    )


def port_list(ports: tuple[Opened, ...]) -> str:
    texts = [f"{socket_text(port.host_ip or '*', port.host_port)}/{port.proto}" for port in ports]
    return ", ".join(texts) if len(texts) <= 4 else f"{texts[0]} … {texts[-1]}"


def bind_refusal(host: Host, ip: IP | None) -> Statement | None:
    """Why this address cannot be bound; None where it can, or where that is not known."""
    if ip is None or ip.is_unspecified or host.links is None or (ip.is_loopback and ip.version == 4):
        return None
    ours = {address.ip for link in host.links for address in link.addresses}
    return None if ip in ours else say(Kind.NOT_OWN_ADDRESS, address=str(ip))


# --- inside the container ---------------------------------------------------------------------------------------------


def listens(container: Container, target: IP | None, proto: str, port: int) -> bool | None:
    return sockets.inside(container, proto, target, port)[1]


def _local(socket: Listener) -> str:
    return f"{socket.ip}%{socket.device}" if socket.device else str(socket.ip)


def listening_warning(container: Container, target: IP | None, proto: str, port: int) -> Statement | None:
    """What is wrong with who listens on the container's port; None when somebody does."""
    heard, listening = sockets.inside(container, proto, target, port)
    if listening:
        return None
    asked = {"container": container.name, "proto": proto, "port": port}
    if heard is not None:
        return say(Kind.LISTENS_AT_DEVICE, **asked, device=heard.device)
    if container.listeners is None:
        return say(Kind.LISTENERS_UNREAD, **asked)
    same = [listener for listener in container.listeners if (listener.proto, listener.port) == (proto, port)]
    if same:
        return say(Kind.LISTENS_ELSEWHERE, **asked, addresses=tuple(map(_local, same[:3])))
    outward = (listener for listener in container.listeners if not listener.ip.is_loopback)
    others = sorted({(listener.proto, listener.port) for listener in outward})
    return say(Kind.NOBODY_LISTENS, **asked, others=tuple(f"{number}/{kind}" for kind, number in others[:6]))


# --- making it anew ---------------------------------------------------------------------------------------------------


def recreate_refusals(container: Container, details: Details | None, request: Request) -> Iterator[Statement]:
    if details is None:
        yield say(Kind.SETTINGS_UNREAD)
        return
    if details.swarm_service:
        yield say(Kind.SWARM_TASK, container=container.name, service=details.swarm_service)
    if details.auto_remove:
        yield say(Kind.AUTO_REMOVE, container=container.name)
    if details.changes is None and not request.discard:
        yield say(Kind.CHANGES_UNREAD)
    yield from (say(Kind.VOLUMES_GONE, container=missing) for missing in details.missing)
    yield from () if request.force else details.dependents


def recreate_warnings(container: Container, details: Details, request: Request) -> Iterator[Statement]:
    if details.changes:
        yield say(Kind.CHANGES_LOST if request.discard else Kind.CHANGES_KEPT, files=details.changes)
    yield from details.dependents if request.force else ()
    if details.sharers is None:
        yield say(Kind.SHARERS_UNREAD, container=container.name)
    elif details.sharers:
        yield say(Kind.SHARERS, container=container.name, processes=details.sharers)
    for volume in details.anonymous:
        yield say(Kind.ANONYMOUS_VOLUME, volume=volume.name[:12], path=volume.at)
    if details.forwards:
        yield say(Kind.FORWARDS_STAY, ports=tuple(map(str, details.forwards)))
    if details.image_moved:
        yield say(Kind.IMAGE_MOVED)
    if details.random_ports:
        yield say(Kind.RANDOM_PORTS)
    if not details.fixed_addresses:
        yield say(Kind.ADDRESSES_CHANGE)
    if container.compose:
        yield say(Kind.COMPOSE_PROJECT, project=container.compose, service=container.service or container.name)


def forced_ports(
    host: Host, proto: str, ips: tuple[IP, ...], numbers: tuple[int, ...], force: bool
) -> Iterator[Statement]:
    """Ports of stopped containers that are taken by force."""
    if force:
        found = (conflict for ip in ips for number in numbers for conflict in conflicts(host, proto, ip, number))
        kinds = {False: Kind.PORT_FORCED, True: Kind.FORWARD_FORCED}
        yield from dict.fromkeys(say(kinds[port.waiting], port=_held(host, port)) for port in found if not port.live)


def firewall_warning(ips: tuple[IP, ...]) -> Statement | None:
    """Of a port that the engine publishes. 0.0.0.0 is more than many expect of a firewall that is switched on."""
    return say(Kind.BEFORE_FIREWALL) if any(ip.is_unspecified for ip in ips) else None


LAST = 65535
UNPRIVILEGED = 1024


def conflicts(host: Host, proto: str, ip: IP, number: int) -> tuple[Port, ...]:
    """Ports that cannot be had beside this one: sockets and rules that are live, and what stopped containers are set up
    to take."""
    return tuple(
        port
        for port in host.ports or ()
        if (port.proto, port.host_port) == (proto, number) and overlaps(port, ip) and reserved(port)
    )


def choose(
    host: Host, proto: str, container_ports: tuple[int, ...], without: frozenset[int] = frozenset()
) -> tuple[int, ...] | None:
    """Host ports of netdash's choice, one after the other as the container's are; the container's own numbers where
    those are free. `without`: not these. None when there are none, or when the host's sockets are not known."""
    if host.listeners is None or not container_ports:
        return None
    taken = {port.host_port for port in host.ports or () if port.proto == proto and reserved(port)}
    taken |= without
    first, span = container_ports[0], container_ports[-1] - container_ports[0]
    start = first if first >= UNPRIVILEGED else first + 8000
    bases = (*range(start, LAST - span + 1), *range(UNPRIVILEGED, start))
    blocks = (tuple(base + port - first for port in container_ports) for base in bases)
    unused = (block for block in blocks if not taken.intersection(block))
    return next((block for block in islice(unused, TRIED) if not _translated(host, proto, block)), None)


def _translated(host: Host, proto: str, block: tuple[int, ...]) -> bool:
    return any(takers(host, proto, ANYWHERE, port)[0] for port in block)
