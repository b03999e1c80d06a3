"""Who reaches what: containers, this host and the outside against every published and listening port. Traces once for
all that the rules treat alike."""

from __future__ import annotations

import re
from collections.abc import Generator, Hashable, Iterator, Mapping
from dataclasses import dataclass

from netdash.core import sockets
from netdash.core.model import IP, Container, Host, Port, Rule
from netdash.core.routing import entrance
from netdash.core.trace.alike import Alike, Twin
from netdash.core.trace.answer import Decision, Origin, Question, Trace, Verdict
from netdash.core.trace.inside import Namespace, namespaces_of
from netdash.core.trace.tracer import reaches

_WORD = re.compile(r"[0-9]+(?:\.[0-9]+){3}|[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*[0-9a-f]|[\w.-]*\w")


@dataclass(frozen=True, slots=True)
class Sender:
    name: str  # "outside", "host", or the container's
    origin: Origin
    container: str | None = None  # its id


@dataclass(frozen=True, slots=True)
class Aim:
    """A port that may be asked for."""

    kind: str  # published, container, host
    proto: str
    ip: IP
    port: int
    container: str | None = None  # id of whom it leads to


@dataclass(frozen=True, slots=True)
class Reach:
    """`reaches` None: cannot be told. `why`: the first thing that stops the packet or its answer."""

    reaches: bool | None
    why: str
    rule: Rule | None = None  # the one that decides, where one does


@dataclass(frozen=True, slots=True)
class Matrix:
    senders: tuple[Sender, ...]
    aims: tuple[Aim, ...]
    cells: tuple[tuple[Reach, ...], ...]  # by sender, then by aim


def reach(host: Host) -> Matrix:
    """The whole matrix, of IPv4 and IPv6 addresses."""
    steps = reaching(host)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            made: Matrix = stop.value
            return made


def reaching(host: Host) -> Generator[None, None, Matrix]:
    """The same in steps of one cell each."""
    senders = tuple(_senders(host))
    aims = tuple(dict.fromkeys(_aims(host)))
    work = _Work(host, senders, aims)
    yield
    return (yield from work.matrix())


def _senders(host: Host) -> Iterator[Sender]:
    yield Sender("outside", Origin.OUTSIDE)
    yield Sender("host", Origin.HOST)
    for one in host.containers or ():
        if namespaces_of(host).of(one) is not None and not one.shares_with:
            yield Sender(one.name, Origin.CONTAINER, one.id)


def _aims(host: Host) -> Iterator[Aim]:
    own = {family: entrance(family, host.links, host.routes)[1] for family in (4, 6)}
    for port in host.ports or ():
        if not port.live or port.proto not in ("tcp", "udp"):
            continue
        kind = "published" if port.container_id else "host"
        families = (4, 6) if port.dual else (port.host_ip.version,)
        for ip in (own[one] for one in families) if port.host_ip.is_unspecified else (port.host_ip,):
            if ip is not None:
                yield Aim(kind, port.proto, ip, port.host_port, port.container_id)
    for one in host.containers or ():
        yield from _inner(host, one)


def _inner(host: Host, container: Container) -> Iterator[Aim]:
    """What listens inside; where that was not read, what the image and the engine say."""
    if namespaces_of(host).of(container) is None or container.shares_with:
        return
    ports = {(one.proto, one.port) for one in container.listeners or () if not one.ip.is_loopback}
    if container.listeners is None:
        ports = {(proto, port) for port, proto in container.exposed}
        ports |= {(one.proto, one.container_port) for one in container.bindings}
    for end in container.endpoints:
        for address in end.addresses:
            for proto, port in sorted(ports):
                yield Aim("container", proto, address.ip, port, container.id)


@dataclass(frozen=True, slots=True)
class _Kind:
    """One sender or aim with the number of its kind, what its sentences may name, and the rules that speak of it."""

    number: int
    names: tuple[str, ...]
    twins: Mapping[Twin, Rule]


_Done = tuple[Reach, "Rule | None", _Kind, _Kind]


class _Work:
    def __init__(self, host: Host, senders: tuple[Sender, ...], aims: tuple[Aim, ...]) -> None:
        self._host = host
        self._senders = senders
        self._aims = aims
        self._containers = {one.id: one for one in host.containers or ()}
        self._spaces = namespaces_of(host)
        self._published = {(one.proto, one.host_port, one.container_id): one for one in host.ports or ()}
        ips = {address.ip for one in host.containers or () for end in one.endpoints for address in end.addresses}
        ports = {port for aim in aims for port in self._ports(aim)}
        self._alike = Alike(host, ips, ports)
        self._numbers: dict[Hashable, int] = {}
        self._done: dict[tuple[int, int], _Done] = {}

    def matrix(self) -> Generator[None, None, Matrix]:
        aims = []
        for aim in self._aims:
            aims.append((aim, self._kind(*self._kind_of_aim(aim), self._names(aim))))
            yield
        rows = []
        for one in self._senders:
            kind = self._kind(self._kind_of_sender(one), {}, (one.name,))
            row = []
            for asked in aims:
                row.append(self._cell(one, kind, *asked))
                yield
            rows.append(tuple(row))
        return Matrix(self._senders, self._aims, tuple(rows))

    def _kind(self, key: Hashable, twins: Mapping[Twin, Rule], names: tuple[str, ...]) -> _Kind:
        return _Kind(self._numbers.setdefault(key, len(self._numbers)), names, twins)

    def _cell(self, sender: Sender, asking: _Kind, aim: Aim, asked: _Kind) -> Reach:
        cell = self._traced(sender, asking, aim, asked)
        owner = self._containers.get(aim.container or "")
        if cell.reaches and owner is not None and owner.state == "paused":
            return Reach(False, f"{owner.name} is paused: its kernel answers, its processes do not")
        return cell

    def _traced(self, sender: Sender, asking: _Kind, aim: Aim, asked: _Kind) -> Reach:
        if sender.container is not None and sender.container == aim.container:
            return told(reaches(self._host, self._question(sender, aim)))
        known = self._done.get((asking.number, asked.number))
        if known is None:
            made = _told(reaches(self._host, self._question(sender, aim)))
            self._done[asking.number, asked.number] = (*made, asking, asked)
            return made[0]
        found, rule, first, second = known
        if found.reaches or (first is asking and second is asked):
            return found
        if rule is None:
            return _renamed(found, (*first.names, *second.names), (*asking.names, *asked.names))
        twin = next((asked.twins.get(twin) for twin, one in second.twins.items() if one is rule), None)
        return found if twin is None else Reach(found.reaches, twin.place, twin)

    def _names(self, aim: Aim) -> tuple[str, ...]:
        container = self._containers.get(aim.container or "")
        space = self._spaces.of(container) if container else None
        ips = [str(one) for one in _addresses(space)] if space else []
        return container.name if container else "", *ips, *map(str, self._ports(aim))

    def _question(self, sender: Sender, aim: Aim) -> Question:
        return Question(sender.origin, aim.ip, aim.proto, aim.port, container=sender.container)

    def _ports(self, aim: Aim) -> tuple[int, ...]:
        port = self._published.get((aim.proto, aim.port, aim.container)) if aim.kind == "published" else None
        return (aim.port, port.container_port) if port and port.container_port else (aim.port,)

    def _kind_of_sender(self, sender: Sender) -> Hashable:
        if sender.container is None:
            return sender
        space = self._spaces.of(self._containers[sender.container])
        if space is None:
            return sender
        return self._alike.sender(tuple(_addresses(space))), _situation(self._host, space)

    def _kind_of_aim(self, aim: Aim) -> tuple[Hashable, Mapping[Twin, Rule]]:
        """(what is equal for aims that are treated alike, the rules that speak of this one)."""
        ports = self._ports(aim)
        if aim.kind == "host" or aim.container is None:
            return aim, {}
        published = self._published.get((aim.proto, aim.port, aim.container)) if aim.kind == "published" else None
        container = self._containers.get(aim.container)
        space = self._spaces.of(container) if container else None
        if space is None or container is None or (published and published.target_ip is None):
            return aim, {}
        ips = (published.target_ip,) if published and published.target_ip else (aim.ip,)
        twins = self._alike.target(ips, ports)
        listening = sockets.inside(container, aim.proto, ips[0], ports[-1])[1]
        situation = _situation(self._host, space), _end_at(space, ips[0]), listening
        return (
            (
                aim.kind,
                aim.proto,
                _host_side(aim, published),
                frozenset(twins),
                self._alike.around(ips, ports),
                situation,
            ),
            twins,
        )


def _renamed(found: Reach, theirs: tuple[str, ...], ours: tuple[str, ...]) -> Reach:
    """A sentence about one sender and aim, said of others of their kind."""
    why = found.why
    if theirs == ours or not any(name and name in why for name in theirs):
        return found
    names = dict(zip(theirs, ours, strict=False))
    return Reach(found.reaches, _WORD.sub(lambda word: names.get(word[0], word[0]), why))


def _host_side(aim: Aim, port: Port | None) -> Hashable:
    """What differs between published ports before any rule of the container's."""
    if port is None:
        return aim.ip.version
    return aim.ip, port.proxy is not None, port.holder.kind if port.holder else None, port.dual, port.scope


def _addresses(space: Namespace) -> list[IP]:
    return [one.ip for end in space.container.endpoints for one in end.addresses]


def _end_at(space: Namespace, ip: IP) -> str | None:
    """The network that an address is on."""
    ends = space.container.endpoints
    return next((end.network_id for end in ends if any(one.ip == ip for one in end.addresses)), None)


def _situation(host: Host, space: Namespace) -> Hashable:
    """What else decides how a container's packets go: its networks and routes, its devices, its state."""
    links = {one.name: one for one in host.links or ()}
    ends = tuple(
        (end.network_id, end.veth is None, *_state_of(links.get(end.veth or "")))
        for end in sorted(space.container.endpoints, key=lambda end: end.network_id)
    )
    routes = frozenset((one.kind, one.dst, one.gateway, one.dev) for one in space.routes)
    inside = tuple((link.name, link.up, link.state) for link in space.links or ())
    sysctls = space.container.inside.sysctls if space.container.inside else ()
    return ends, routes, inside, sysctls, space.container.state


def _state_of(link: object) -> tuple[object, ...]:
    return tuple(getattr(link, name, None) for name in ("master", "up", "state", "hairpin"))


def told(answer: Trace) -> Reach:
    """A trace as a cell."""
    return _told(answer)[0]


def _told(answer: Trace) -> tuple[Reach, Rule | None]:
    """(the cell, the rule that decided)."""
    if answer.verdict is Verdict.UNKNOWN:
        rule = answer.unsure[0] if answer.unsure else None
        why = rule.place if rule else _why(answer.decided_by)
        return Reach(None, why, rule), rule
    if answer.verdict is Verdict.FORWARDED:
        return Reach(None, f"{answer.hops[-1].text}: whether it comes back to this host is not known"), None
    if not answer.verdict.arrives:
        rule = _rule(answer.decided_by)
        return Reach(False, _why(answer.decided_by), rule), rule
    if answer.then is not None and not answer.then.verdict.arrives:
        proxied = answer.then.decided_by
        return Reach(answer.answered, f"docker-proxy's connection: {_why(proxied)}", _rule(proxied)), None
    if not answer.answered:
        found = answer.exchange
        what = f"{found.packet}: " if found.packet else ""
        return Reach(answer.answered, f"{what}{_why(found.why)}", _rule(found.why)), None
    return Reach(True, "docker-proxy" if answer.verdict is Verdict.PROXY else ""), None


def _rule(decision: Decision | None) -> Rule | None:
    return decision.step.source if decision is not None and decision.step is not None else None


def _why(decision: Decision | None) -> str:
    if decision is None:
        return "cannot be told"
    return decision.place if decision.step is not None else decision.text
