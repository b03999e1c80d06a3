"""A request and a Host become a Plan: what will be done, what it costs, or why it is refused. Does nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from netdash.change.model import ContainerRepublish
from netdash.model.addresses import Spec, socket_text
from netdash.model.host import IP, Binding, Container, Endpoint, Host, Proxy
from netdash.model.processes import OWN_PROXY
from netdash.model.records import dataclass
from netdash.publish import checks
from netdash.publish.checks import Details, Preflight, choose
from netdash.publish.journal import Opened
from netdash.publish.planned_reach import Asked, Reach, forwarded, reach, reach_after
from netdash.publish.request import Mode, Request
from netdash.publish.statement import Kind, Statement, say

ANY4, ANY6 = IPv4Address(0), IPv6Address(0)
_STOP_SECONDS = 10  # Docker's, of a container without a stop timeout of its own


@dataclass(frozen=True, slots=True)
class Plan:
    """`ports`: what will be open, by address; `host_ip` "" is every address of the engine's choice. `answers`: whether
    something listens behind each of them now, None where that is not known. `stop_seconds`: after which the container
    is killed, None where none is stopped. With a refusal nothing may be done."""

    title: Statement
    container: str
    container_id: str
    mode: Mode | None  # None: a new container
    ports: tuple[Opened, ...] = ()
    steps: tuple[Statement, ...] = ()
    undo: tuple[Statement, ...] = ()
    stop_seconds: int | None = None
    lost: tuple[Statement, ...] = ()
    client: Statement | None = None  # the address that the container sees clients by
    reach: tuple[Reach, ...] = ()
    warnings: tuple[Statement, ...] = ()
    refusals: tuple[Statement, ...] = ()
    file: tuple[str, ...] = ()  # lines for the compose file
    network: str = ""  # forward: the network that it leads into
    seconds: float | None = None
    answers: bool | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """A request for a running container, with what was found for it."""

    request: Request
    host: Host
    facts: Preflight
    container: Container
    end: Endpoint
    numbers: tuple[int, ...]  # the host's ports, as asked for or chosen
    ips: tuple[IP, ...]  # that are bound

    @property
    def inside(self) -> tuple[int, ...]:
        return tuple(port.container_port for port in self.request.spec.ports)

    def target(self, ip: IP) -> IP:
        """The container's address of the same family, else the one that it has: a proxy leads from one to the other."""
        ips = [address.ip for address in self.end.addresses]
        return next((own for own in ips if own.version == ip.version), ips[0])

    def title(self, kind: Kind) -> Statement:
        spec = self.request.spec
        return say(
            kind,
            container=self.container.name,
            bind=str(spec.bind) if spec.bind else "",
            host_ports=self.numbers,
            ports=self.inside,
            proto=spec.proto,
        )

    def refusals(self) -> Iterator[Statement]:
        """Those that both modes have."""
        spec = self.request.spec
        yield from known(checks.bind_refusal(self.host, spec.bind))
        low = checks.lowest_port(self.host, self.facts, self.request.mode)
        for number in self.numbers:
            yield from checks.port_refusals(self.host, low, spec.proto, self.ips, number, self.request.force)

    def warnings(self) -> Iterator[Statement]:
        proto, target = self.request.spec.proto, self.target(self.ips[0])
        yield from checks.unknown_ports(self.host, proto, self.ips, self.numbers)
        for port in self.inside:
            yield from known(checks.listening_warning(self.container, target, proto, port))
        yield from checks.forced_ports(self.host, proto, self.ips, self.numbers, self.request.force)
        if self.request.mode is Mode.RECREATE:
            yield from known(checks.firewall_warning(self.ips))

    def answers(self) -> bool | None:
        target, proto = self.target(self.ips[0]), self.request.spec.proto
        heard = [checks.listens(self.container, target, proto, port) for port in self.inside]
        return None if None in heard else all(heard)

    def reach(self) -> tuple[Reach, ...]:
        """Of the first port, with its proxies as they will run; pid 0: they do not yet."""
        spec, number = self.request.spec, self.numbers[0]
        port = Asked(self.ips, spec.proto, number)
        if self.request.mode is Mode.RECREATE:
            binding = Binding(spec.proto, self.inside[0], spec.bind, number)
            return reach_after(self.host, ContainerRepublish(self.container.id, (binding,)), port)
        proxies = tuple(
            Proxy(0, None, OWN_PROXY, "", spec.proto, ip, number, self.target(ip), self.inside[0]) for ip in self.ips
        )
        return reach(forwarded(self.host, proxies), port)


def known(found: Statement | None) -> tuple[Statement, ...]:
    return () if found is None else (found,)


def plan(request: Request, host: Host, facts: Preflight) -> Plan:
    """What `netdash publish` will do. Never raises: what is wrong is a refusal in the plan."""
    container = next((container for container in host.containers or () if container.id == request.container_id), None)
    if container is None:
        return _refused(request, request.container_id[:12], say(Kind.CONTAINER_GONE))
    reason = facts.unable or checks.standing(container)
    if reason:
        return _refused(request, container.name, reason)
    inside = tuple(port.container_port for port in request.spec.ports)
    named = tuple(port.host_port for port in request.spec.ports if port.host_port is not None)
    numbers = named or choose(host, request.spec.proto, inside)
    if numbers is None:
        return _refused(request, container.name, say(Kind.NO_PORT_TO_CHOOSE))
    end, reason = checks.endpoint(host, container, request.mode)
    if end is None:
        return _refused(request, container.name, *known(reason))
    asked = _Request(request, host, facts, container, end, numbers, bound(host, request.spec.bind))
    return _forward(asked) if request.mode is Mode.FORWARD else _recreate(asked)


def _refused(request: Request, name: str, *reasons: Statement) -> Plan:
    ports = tuple(str(port.host_port or port.container_port) for port in request.spec.ports[:3])
    title = say(Kind.PUBLISH, container=name, ports=ports, proto=request.spec.proto)
    return Plan(title, name, request.container_id, request.mode, refusals=reasons)


def has_ipv6(host: Host) -> bool:
    """Whether this host can bind ::; a host whose links were not read is taken to have IPv4 alone."""
    return any(address.version == 6 for link in host.links or () for address in link.addresses)


def bound(host: Host, bind: IP | None) -> tuple[IP, ...]:
    """The addresses that are bound: as Docker does, all of IPv4 and, where the host has IPv6, all of IPv6."""
    if bind is not None:
        return (bind,)
    return (ANY4, ANY6) if has_ipv6(host) else (ANY4,)


def connecting(ports: Iterable[Opened], answers: bool | None) -> Statement:
    return say(Kind.CONNECT, ports=tuple(sorted({port.host_port for port in ports})), answers=answers)


# --- forward ----------------------------------------------------------------------------------------------------------


def _forward(asked: _Request) -> Plan:
    request, container, answers = asked.request, asked.container, asked.answers()
    spec, name, numbers = request.spec, container.name, asked.numbers
    pairs = [(number, port, ip) for number, port in zip(numbers, asked.inside, strict=True) for ip in asked.ips]
    ports = tuple(Opened(spec.proto, str(ip), number, port) for number, port, ip in pairs)
    refusals = [*asked.refusals()]
    if asked.facts.engine_here is False:
        refusals.append(say(Kind.ENGINE_NAMESPACE))
    first = asked.target(asked.ips[0])
    gateways = (str(gateway) for gateway in asked.end.gateways if gateway.version == first.version)
    named = {"container": name, "host_ports": numbers, "proto": spec.proto}
    steps = (
        say(
            Kind.FORWARD_PORT,
            program=asked.facts.program,
            at=socket_text(ip, number),
            proto=spec.proto,
            target=socket_text(asked.target(ip), port),
        )
        for number, port, ip in pairs
    )
    return Plan(
        title=asked.title(Kind.FORWARD),
        container=name,
        container_id=container.id,
        mode=Mode.FORWARD,
        ports=ports,
        steps=(*steps, say(Kind.KEEP_FORWARD, **named, seconds=request.seconds), connecting(ports, answers)),
        undo=(say(Kind.UNPUBLISH, **named),),
        client=say(Kind.CLIENT_GATEWAY, container=name, gateway=next(gateways, None)),
        reach=asked.reach(),
        warnings=tuple(asked.warnings()),
        refusals=tuple(refusals),
        network=asked.end.network,
        seconds=request.seconds,
        answers=answers,
    )


# --- recreate ---------------------------------------------------------------------------------------------------------


def _recreate(asked: _Request) -> Plan:
    request, container, details = asked.request, asked.container, asked.facts.details
    spec, name, answers = request.spec, container.name, asked.answers()
    bind = str(spec.bind) if spec.bind else ""
    ports = tuple(
        Opened(spec.proto, bind, number, port) for number, port in zip(asked.numbers, asked.inside, strict=True)
    )
    again = () if details is None else checks.recreate_warnings(container, details, request)
    undo = Kind.UNDO_IN_TIME if request.grace else Kind.UNPUBLISH_RECREATE
    create = say(Kind.CREATE_EQUAL, ports=asked.numbers, drops=False)
    return Plan(
        title=asked.title(Kind.RECREATE),
        container=name,
        container_id=container.id,
        mode=Mode.RECREATE,
        ports=ports,
        steps=tuple(_recreate_steps(request, name, details, create, connecting(ports, answers))),
        undo=(say(undo, container=name, grace=request.grace),),
        stop_seconds=_stop_seconds(details),
        lost=tuple(_lost(request, details)),
        client=say(Kind.CLIENT_OWN, container=name),
        reach=asked.reach(),
        warnings=(*asked.warnings(), *again),
        refusals=(*asked.refusals(), *checks.recreate_refusals(container, details, request)),
        file=compose_lines(container, ports) if container.compose else (),
        answers=answers,
    )


def _recreate_steps(
    request: Request, name: str, details: Details | None, create: Statement, connect: Statement | None
) -> Iterator[Statement]:
    """In the order of apply's steps; what need not be done is left out."""
    if details and details.restart[0] not in ("", "no"):
        yield say(Kind.HOLD_RESTART, container=name, policy=details.restart[0])
    followers = details.followers if details else ()
    if followers:
        yield say(Kind.STOP_FOLLOWERS, container=name, followers=followers)
    yield say(Kind.STOP, container=name)
    if not request.discard:
        yield say(Kind.COMMIT)
    yield create
    yield say(Kind.RENAME_BOTH, container=name)
    yield say(Kind.START_AND_WAIT, container=name, health=bool(details and details.health))
    yield from known(connect)
    if followers:
        yield say(Kind.RECREATE_FOLLOWERS, container=name, followers=followers)
    yield say(Kind.REMOVE_OLD, grace=request.grace)


def _stop_seconds(details: Details | None) -> int:
    return details.stop_seconds if details and details.stop_seconds is not None else _STOP_SECONDS


def _lost(request: Request, details: Details | None) -> Iterator[Statement]:
    """All that goes with the old container."""
    if request.discard and details and details.changes:
        yield say(Kind.LOST_FILES, files=details.changes)
    yield say(Kind.LOST_MEMORY)
    if details and details.tmpfs:
        yield say(Kind.LOST_TMPFS, paths=details.tmpfs)
    yield say(Kind.LOST_LOG)
    yield say(Kind.LOST_ID, id=request.container_id[:12])


def compose_lines(container: Container, ports: tuple[Opened, ...]) -> tuple[str, ...]:
    """The lines that make it last, for the compose file."""
    lines = ["services:", f"  {container.service or container.name}:", "    ports:"]
    for port in ports:
        bind = f"{socket_text(port.host_ip, None)}:" if port.host_ip else ""
        proto = "" if port.proto == "tcp" else f"/{port.proto}"
        lines.append(f'      - "{bind}{port.host_port}:{port.container_port}{proto}"')
    return tuple(lines)


# --- without a port ---------------------------------------------------------------------------------------------------


def configured(container: Container, spec: Spec) -> tuple[Opened, ...]:
    """What the container's own settings publish at these host ports."""
    numbers = {port.container_port for port in spec.ports}
    return tuple(
        Opened(
            binding.proto, str(binding.host_ip) if binding.host_ip else "", binding.host_port, binding.container_port
        )
        for binding in container.configured
        if binding.host_port in numbers and binding.host_port is not None and binding.proto == spec.proto
    )


def plan_without(request: Request, facts: Preflight, container: Container) -> Plan:
    """What `netdash unpublish` does to a port that the engine publishes: the same container without it."""
    ports = configured(container, request.spec)
    numbers = tuple(sorted({port.host_port for port in ports}))
    name, details, proto = container.name, facts.details, request.spec.proto
    refusals = known(facts.unable or checks.standing(container))
    refusals = refusals or tuple(checks.recreate_refusals(container, details, request))
    missing = {port.container_port for port in request.spec.ports} - set(numbers)
    if missing:
        absent = tuple(map(str, sorted(missing)))
        refusals = (*refusals, say(Kind.NOT_PUBLISHED, container=name, ports=absent, proto=proto))
    create = say(Kind.CREATE_EQUAL, ports=numbers, drops=True)
    return Plan(
        title=say(Kind.RECREATE_WITHOUT, container=name, host_ports=numbers, proto=proto),
        container=name,
        container_id=container.id,
        mode=Mode.RECREATE,
        ports=ports,
        steps=tuple(_recreate_steps(request, name, details, create, None)),
        undo=(say(Kind.UNDO) if request.grace else say(Kind.PUBLISH_AGAIN, container=name),),
        stop_seconds=_stop_seconds(details),
        lost=tuple(_lost(request, details)),
        warnings=tuple(checks.recreate_warnings(container, details, request)) if details else (),
        refusals=refusals,
    )
