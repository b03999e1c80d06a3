"""Reasons to refuse a publication, and what its owner should know before. Pure: no step is chosen here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from netdash.kernel import sockets
from netdash.kernel.sockets import overlaps, reserved
from netdash.model.addresses import socket_text
from netdash.model.host import IP, Container, Endpoint, Host, Listener, Network, Port
from netdash.model.index import index_of
from netdash.publish.preflight import Details, Facts
from netdash.publish.request import Mode, Request
from netdash.publish.state import Opened
from netdash.trace.taken_by_rules import ANYWHERE, TRIED, takers

FORCEABLE = " (--force does it all the same)"


def standing(container: Container) -> str:
    """Why no port of this container can be published at all; "" where nothing is known against it."""
    name, mode = container.name, container.network_mode
    if mode == "host":
        return f"{name} uses the host's network: what it listens on is the host's already"
    if mode == "none":
        return f"{name} has no network (network mode none)"
    if mode.startswith("container:"):
        other = container.shares_with or mode.removeprefix("container:")[:12]
        return f"{name} uses the network of {other}: publish on that one"
    if container.state != "running":
        hint = "docker unpause" if container.state == "paused" else "docker start"
        return f"{name} is {container.state}, not running: {hint} {name}"
    return ""


def way(host: Host, container: Container, mode: Mode) -> tuple[Endpoint | None, str]:
    """The endpoint that a port leads to, or why there is none: on a bridge, not internal, and for a forward one of
    this host's; the one of the default route first."""
    if host.networks is None:
        return None, "the engine's networks could not be read"
    reasons: list[str] = []
    found: list[Endpoint] = []
    for end in container.endpoints:
        network = index_of(host).network(end)
        reason = _unreachable(host if mode is Mode.FORWARD else None, end, network)
        reasons += [reason] if reason else []
        found += [] if reason else [end]
    if not found:
        return None, "; ".join(reasons) or f"{container.name} is on no network"
    gateways = container.default_gateways or frozenset()
    return next((end for end in found if gateways.intersection(end.gateways)), found[0]), ""


def _unreachable(host: Host | None, end: Endpoint, network: Network | None) -> str:
    if network is None:
        return f"network {end.network} is not known"
    if network.internal:
        return f"network {network.name} is internal: nothing is published from it"
    if network.driver != "bridge":
        return f"network {network.name} is {network.driver}: this host has no bridge to it"
    if not end.addresses:
        return f"the container has no address on network {network.name}"
    if host is not None and host.links is not None and network.bridge not in {link.name for link in host.links}:
        return f"the bridge {network.bridge} is not here: the engine is in another network namespace"
    return ""


# --- the host's port --------------------------------------------------------------------------------------------------


def port_refusals(
    host: Host, low: int | None, proto: str, ips: tuple[IP, ...], number: int, force: bool
) -> Iterator[str]:
    """Why this host port cannot be had. `low`: the lowest port that who binds it may bind, None where not known."""
    if low is not None and number < low:
        yield f"{proto} port {number} needs root, or CAP_NET_BIND_SERVICE: ports below {low} are privileged"
    seen: set[str] = set()
    for port in (conflict for ip in ips for conflict in conflicts(host, proto, ip, number)):
        if not port.live and force:
            continue
        text = _held(host, port) + ("" if port.live else FORCEABLE)
        if text not in seen:
            seen.add(text)
            yield text
    for rule in takers(host, proto, ips, number)[0]:
        yield f"what comes in for {proto} port {number} is taken by rule {rule.place}: {rule.text}"


def lowest_port(host: Host, facts: Facts, mode: Mode | None) -> int | None:
    """The lowest port that may be bound: by this process for a forward, else by the engine, which is root unless it is
    rootless."""
    if mode is Mode.FORWARD:
        return facts.lowest_port
    if host.engine is None or not host.engine.rootless:
        return 0
    told = (host.sysctls or {}).get("net.ipv4.ip_unprivileged_port_start", "")
    return int(told) if told.isascii() and told.isdigit() else None


def _held(host: Host, port: Port) -> str:
    where = f"{port.proto} {sockets.bound_socket(port)}"
    owner = next((container.name for container in host.containers or () if container.id == port.container_id), None)
    if not port.live:
        return f"{where} is wanted by container {owner or '?'}, which is not running"
    parts = [f"container {owner}"] if owner else []
    holder = port.holder
    if holder is not None and holder.kind == "rule" and port.dnat is not None:
        parts.append(f"rule {port.dnat.place}")
    elif holder is not None and holder.kind != "nobody":
        name = holder.command or ("a process that only root sees" if holder.kind == "process" else holder.kind)
        parts.append(f"{name} pid {holder.pid}" if holder.pid else name)
    return f"{where} is held by {', '.join(parts) or 'a process'}"


def port_list(ports: tuple[Opened, ...]) -> str:
    texts = [f"{socket_text(port.host_ip or '*', port.host_port)}/{port.proto}" for port in ports]
    return ", ".join(texts) if len(texts) <= 4 else f"{texts[0]} … {texts[-1]}"


def bind_refusal(host: Host, ip: IP | None) -> str:
    """Why this address cannot be bound; "" where it can, or where that is not known."""
    if ip is None or ip.is_unspecified or host.links is None:
        return ""
    if ip.is_loopback and ip.version == 4:
        return ""
    ours = {address.ip for link in host.links for address in link.addresses}
    return "" if ip in ours else f"{ip} is not an address of this host"


# --- inside the container ---------------------------------------------------------------------------------------------


def listens(container: Container, target: IP | None, proto: str, port: int) -> bool | None:
    return sockets.inside(container, proto, target, port)[1]


def _local(socket: Listener) -> str:
    return f"{socket.ip}%{socket.device}" if socket.device else str(socket.ip)


def listening_warning(container: Container, target: IP | None, proto: str, port: int) -> str:
    """What is wrong with who listens on the container's port; "" when somebody does."""
    heard, listening = sockets.inside(container, proto, target, port)
    if listening:
        return ""
    what = f"{proto} port {port}"
    if heard is not None:
        where = f"listens on {what} only at device {heard.device}"
        return f"{container.name} {where}: whether packets come in there is not known"
    if container.listeners is None:
        return f"whether anything listens on {what} of {container.name} could not be read"
    same = [listener for listener in container.listeners or () if (listener.proto, listener.port) == (proto, port)]
    if same:
        return f"{container.name} listens on {what} only at {', '.join(map(_local, same[:3]))}: not reached"
    others = sorted(
        {(listener.proto, listener.port) for listener in container.listeners or () if not listener.ip.is_loopback}
    )
    have = ", ".join(f"{number}/{kind}" for kind, number in others[:6]) or "nothing"
    return f"nothing listens on {what} of {container.name} now; what listens: {have}"


# --- making it anew ---------------------------------------------------------------------------------------------------


def recreate_refusals(container: Container, details: Details | None, request: Request) -> Iterator[str]:
    if details is None:
        yield "the container's settings could not be read"
        return
    name = container.name
    if details.swarm_service:
        yield (
            f"{name} is a task of the swarm service {details.swarm_service}, which would replace it: "
            f"docker service update --publish-add … {details.swarm_service}"
        )
    if details.auto_remove:
        yield f"{name} was started with --rm: to stop it is to lose it; forward mode does not touch it"
    if details.changes is None and not request.discard:
        yield "what the container wrote outside its volumes could not be counted"
    for one in details.missing:
        yield f"it takes volumes from {one}, which does not exist any more: nothing like it can be created"
    if not request.force:
        yield from (f"{dependent}{FORCEABLE}" for dependent in details.dependents)


def recreate_warnings(container: Container, details: Details, request: Request) -> Iterator[str]:
    if details.changes:
        files = f"{details.changes} files and folders changed outside its volumes"
        if request.discard:
            yield f"{files} are lost when the old container is removed"
        else:
            yield f"{files} are kept: they become an image, which the new container starts from"
    yield from (dependent for dependent in details.dependents if request.force)
    yield from _sharing(container.name, details.sharers)
    for volume in details.anonymous:
        yield f"anonymous volume {volume.name[:12]} stays at {volume.at}, from now on by its name"
    if details.forwards:
        ports = ", ".join(map(str, details.forwards))
        yield f"netdash's forward of port {ports} stays with the old container: it waits, and ends when that is removed"
    if details.image_moved:
        yield "its image's name means another image by now: it is made from the old one, by id"
    if details.random_ports:
        yield "host ports that the engine chose at random are chosen anew"
    if not details.fixed_addresses:
        yield "addresses that the engine chose may change"
    if container.compose:
        yield (
            f"compose project {container.compose} does not know of it: the next `docker compose up` that makes "
            f"{container.service or container.name} anew undoes it; write the port into the compose file"
        )


def _sharing(name: str, sharers: str | None) -> Iterator[str]:
    if sharers is None:
        yield f"which other processes use the network namespace of {name} could not be read"
    elif sharers:
        yield f"{sharers} in the network of {name}, but of no container in it: left with nothing but lo"


def forced_ports(host: Host, proto: str, ips: tuple[IP, ...], numbers: tuple[int, ...], force: bool) -> Iterator[str]:
    """Ports of stopped containers that are taken by force."""
    if force:
        found = (conflict for ip in ips for number in numbers for conflict in conflicts(host, proto, ip, number))
        yield from dict.fromkeys(f"{_held(host, one)}: it cannot start again" for one in found if not one.live)


def bypass(ips: tuple[IP, ...]) -> str:
    """Of a port that the engine publishes. 0.0.0.0 is more than many expect of a firewall that is switched on."""
    if any(ip.is_unspecified for ip in ips):
        return "bound to every address: Docker's rules come before ufw and firewalld zones, which do not filter it"
    return ""


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
