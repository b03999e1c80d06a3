"""A request and a Host become a Plan: what will be done, what it costs, or why it is refused. Does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from netdash.model.addresses import socket_text
from netdash.model.host import IP, Container, Endpoint, Host, Proxy
from netdash.model.processes import OWN_PROXY
from netdash.publish import checks
from netdash.publish.checks import choose
from netdash.publish.planned_reach import Reach, reach
from netdash.publish.preflight import Details, Facts
from netdash.publish.request import Mode, Request
from netdash.publish.state import Opened

ANY4, ANY6 = IPv4Address(0), IPv6Address(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """`ports`: what will be open, by address; `host_ip` "" is every address of the engine's choice. `answers`: whether
    something listens behind each of them now, None where that is not known. `steps`, `undo`, `lost`, `warnings`,
    `refusals`: sentences in order; with a refusal nothing may be done."""

    title: str
    container: str
    container_id: str
    mode: Mode | None  # None: a new container
    ports: tuple[Opened, ...]
    steps: tuple[str, ...]
    undo: tuple[str, ...]
    downtime: str = "none"
    lost: tuple[str, ...] = ()
    client: str = ""  # the address that the container sees clients by
    reach: tuple[Reach, ...] = ()
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    file: tuple[str, ...] = ()  # lines for the compose file
    network: str = ""  # forward: the network that it leads into
    seconds: float | None = None
    answers: bool | None = None


def plan(request: Request, host: Host, facts: Facts) -> Plan:
    """What `netdash publish` will do. Never raises: what is wrong is a refusal in the plan."""
    container = next((container for container in host.containers or () if container.id == request.container_id), None)
    if container is None:
        return _refused(request, request.container_id[:12], "the container is gone")
    reason = facts.unable or checks.standing(container)
    if reason:
        return _refused(request, container.name, reason)
    numbers = _numbers(request, host)
    if numbers is None:
        return _refused(
            request, container.name, "no host port can be chosen: the host's sockets are not known; name it"
        )
    end, reason = checks.way(host, container, request.mode)
    if end is None:
        return _refused(request, container.name, reason)
    if request.mode is Mode.FORWARD:
        return _forward(request, host, facts, container, end, numbers)
    return _recreate(request, host, facts, container, end, numbers)


def _refused(request: Request, name: str, reason: str) -> Plan:
    pairs = ", ".join(str(port.host_port or port.container_port) for port in request.spec.ports[:3])
    title = f"publish {name} {pairs}/{request.spec.proto}"
    return Plan(title, name, request.container_id, request.mode, (), (), (), refusals=(reason,))


def _numbers(request: Request, host: Host) -> tuple[int, ...] | None:
    """The host's ports, as asked for or chosen."""
    told = tuple(port.host_port for port in request.spec.ports if port.host_port is not None)
    if told:
        return told
    return choose(host, request.spec.proto, tuple(port.container_port for port in request.spec.ports))


def has_ipv6(host: Host) -> bool:
    """Whether this host can bind ::; a host whose links were not read is taken to have IPv4 alone."""
    return any(address.version == 6 for link in host.links or () for address in link.addresses)


def bound(host: Host, bind: IP | None) -> tuple[IP, ...]:
    """The addresses that are bound: as Docker does, all of IPv4 and, where the host has IPv6, all of IPv6."""
    if bind is not None:
        return (bind,)
    return (ANY4, ANY6) if has_ipv6(host) else (ANY4,)


def _target(end: Endpoint, ip: IP) -> IP:
    """The container's address of the same family, else the one that it has: a proxy leads from one to the other."""
    ips = [address.ip for address in end.addresses]
    return next((one for one in ips if one.version == ip.version), ips[0])


def _arrow(request: Request, container: Container, numbers: tuple[int, ...]) -> str:
    inside = tuple(port.container_port for port in request.spec.ports)
    bind = f"{request.spec.bind} " if request.spec.bind else ""
    return f"{bind}{span(numbers)} → {container.name} {span(inside)}/{request.spec.proto}"


def span(numbers: tuple[int, ...]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def _common(request: Request, host: Host, facts: Facts, ips: tuple[IP, ...], numbers: tuple[int, ...]) -> list[str]:
    """Refusals that both modes have."""
    found = [refusal for refusal in (checks.bind_refusal(host, request.spec.bind),) if refusal]
    low = checks.lowest_port(host, facts, request.mode)
    for number in numbers:
        found += checks.port_refusals(host, low, request.spec.proto, ips, number, request.force)
    return found


def _warnings(
    request: Request, host: Host, container: Container, end: Endpoint, ips: tuple[IP, ...], numbers: tuple[int, ...]
) -> list[str]:
    proto, inside = request.spec.proto, tuple(port.container_port for port in request.spec.ports)
    found = [checks.listening_warning(container, _target(end, ips[0]), proto, port) for port in inside]
    found += checks.forced_ports(host, proto, ips, numbers, request.force)
    found.append(checks.bypass(ips) if request.mode is Mode.RECREATE else "")
    if host.listeners is None:
        found.append("whether the host's port is free could not be read: the attempt will tell")
    return [one for one in found if one]


def _proxies(request: Request, end: Endpoint, ips: tuple[IP, ...], number: int) -> tuple[Proxy, ...]:
    """The first port's userland proxies as they will run, for the trace; pid 0: they do not yet."""
    inside = request.spec.ports[0].container_port
    return tuple(Proxy(0, None, OWN_PROXY, "", request.spec.proto, ip, number, _target(end, ip), inside) for ip in ips)


def _answers(request: Request, container: Container, end: Endpoint, ips: tuple[IP, ...]) -> bool | None:
    heard = [
        checks.listens(container, _target(end, ips[0]), request.spec.proto, port.container_port)
        for port in request.spec.ports
    ]
    return None if None in heard else all(heard)


# --- forward ----------------------------------------------------------------------------------------------------------


def _forward(
    request: Request, host: Host, facts: Facts, container: Container, end: Endpoint, numbers: tuple[int, ...]
) -> Plan:
    spec = request.spec
    ips = bound(host, spec.bind)
    ports = tuple(
        Opened(spec.proto, str(ip), number, one.container_port)
        for number, one in zip(numbers, spec.ports, strict=True)
        for ip in ips
    )
    refusals = _common(request, host, facts, ips, numbers)
    if facts.engine_here is False:
        refusals.append("the engine is in another network namespace: a forward from here does not reach its containers")
    name = container.name
    program = facts.program or "netdash's own forwarder (no docker-proxy is installed)"
    suffix = "" if spec.proto == "tcp" else f"/{spec.proto}"
    last = f"netdash unpublish {name} {span(numbers)}{suffix}"
    until = f"for {duration(request.seconds)}" if request.seconds else f"until `{last}`"
    steps = [
        f"{program} {_listening_at(one)} → {socket_text(_target(end, ip), one.container_port)}"
        for one, ip in zip(ports, ips * len(numbers), strict=True)
    ]
    steps.append(f"a process of netdash's keeps it {until}, and follows {name} when its address changes")
    answers = _answers(request, container, end, ips)
    steps.append(proof(ports, answers))
    gateway = next(
        (str(gateway) for gateway in end.gateways if gateway.version == _target(end, ips[0]).version), "this host"
    )
    return Plan(
        title=f"forward {_arrow(request, container, numbers)}",
        container=name,
        container_id=container.id,
        mode=Mode.FORWARD,
        ports=ports,
        steps=tuple(steps),
        undo=(f"{last}: the process ends, nothing else was changed",),
        lost=(),
        client=f"{name} sees every client as {gateway}",
        reach=reach(host, Mode.FORWARD, ips, _proxies(request, end, ips, numbers[0])),
        warnings=tuple(_warnings(request, host, container, end, ips, numbers)),
        refusals=tuple(refusals),
        network=end.network,
        seconds=request.seconds,
        answers=answers,
    )


def _listening_at(one: Opened) -> str:
    return f"at {socket_text(one.host_ip, one.host_port)}/{one.proto}"


def proof(ports: tuple[Opened, ...], answers: bool | None) -> str:
    must = "it must answer, or all is taken back" if answers else "what comes back is told"
    return f"connect to port {span(tuple(sorted({port.host_port for port in ports})))} from this host: {must}"


def duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


# --- recreate ---------------------------------------------------------------------------------------------------------


def _recreate(
    request: Request, host: Host, facts: Facts, container: Container, end: Endpoint, numbers: tuple[int, ...]
) -> Plan:
    spec, name = request.spec, container.name
    ips = bound(host, spec.bind)
    bind = str(spec.bind) if spec.bind else ""
    ports = tuple(
        Opened(spec.proto, bind, number, one.container_port) for number, one in zip(numbers, spec.ports, strict=True)
    )
    details = facts.details
    answers = _answers(request, container, end, ips)
    refusals = _common(request, host, facts, ips, numbers)
    refusals += checks.recreate_refusals(container, details, request)
    warnings = _warnings(request, host, container, end, ips, numbers)
    warnings += checks.recreate_warnings(container, details, request) if details else ()
    return Plan(
        title=f"make {name} anew with {_arrow(request, container, numbers)}",
        container=name,
        container_id=container.id,
        mode=Mode.RECREATE,
        ports=ports,
        steps=recreate_steps(request, container, details, f"with port {span(numbers)}", proof(ports, answers)),
        undo=recreate_undo(request, name),
        downtime=downtime(details),
        lost=lost(request, details),
        client=f"{name} sees the address of each client; those on this host as the bridge's gateway",
        reach=reach(host, Mode.RECREATE, ips, _proxies(request, end, ips, numbers[0])),
        warnings=tuple(warnings),
        refusals=tuple(refusals),
        file=compose_lines(container, ports) if container.compose else (),
        answers=answers,
    )


def recreate_steps(
    request: Request, container: Container, details: Details | None, what: str, proof: str
) -> tuple[str, ...]:
    """In the order of apply's steps; what need not be done is left out."""
    name = container.name
    steps = []
    if details and details.restart[0] not in ("", "no"):
        steps.append(f"hold the restart policy of {name} ({details.restart[0]}) meanwhile")
    followers = ", ".join(details.followers) if details else ""
    if followers:
        steps.append(f"stop {followers}: what uses the network namespace of {name} loses it")
    steps.append(f"stop {name}")
    if not request.discard:
        steps.append("keep what it wrote outside its volumes: commit it to an image (skipped where it wrote nothing)")
    steps.append(f"create its equal {what}, and connect the same networks")
    steps.append(f"rename the old one to {name}.netdash-TIME, and the new one to {name}")
    steps.append(f"start {name}; wait until it is {'healthy' if details and details.health else 'running steadily'}")
    steps.append(proof)
    if followers:
        steps.append(f"make {followers} anew in the network namespace of the new {name}, and start what ran")
    steps.append(f"remove the old one after {duration(request.grace)}" if request.grace else "remove the old one")
    return tuple(steps)


def recreate_undo(request: Request, name: str) -> tuple[str, ...]:
    if not request.grace:
        return (f"netdash unpublish --mode recreate {name} PORT makes {name} anew without the port",)
    return (
        f"within {duration(request.grace)}: netdash undo (the old {name} comes back as it was; "
        "what the new one wrote outside its volumes is lost)",
    )


def downtime(details: Details | None) -> str:
    stop = details.stop_seconds if details and details.stop_seconds is not None else 10
    return f"from its stop (killed after {stop} s) until the new one has started: usually seconds; it is measured"


def lost(request: Request, details: Details | None) -> tuple[str, ...]:
    """All that goes with the old container."""
    files = f"{details.changes} files and folders that it wrote outside its volumes" if details else ""
    return (
        *([files] if request.discard and details and details.changes else []),
        "what its processes hold in memory",
        *([f"what is in its tmpfs {', '.join(details.tmpfs)}"] if details and details.tmpfs else []),
        "its log, with the old container",
        f"its id {request.container_id[:12]}, where others hold it",
    )


def compose_lines(container: Container, ports: tuple[Opened, ...]) -> tuple[str, ...]:
    """The lines that make it last, for the compose file."""
    lines = ["services:", f"  {container.service or container.name}:", "    ports:"]
    for port in ports:
        bind = f"{socket_text(port.host_ip, None)}:" if port.host_ip else ""
        proto = "" if port.proto == "tcp" else f"/{port.proto}"
        lines.append(f'      - "{bind}{port.host_port}:{port.container_port}{proto}"')
    return tuple(lines)
