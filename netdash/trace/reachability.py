"""Who reaches what: containers, this host and the outside against every published and listening port. Traces once for
all that are treated alike."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Sequence

from netdash.kernel.routing import entrance
from netdash.model.host import Container, Host, Rule
from netdash.model.index import namespace_owner
from netdash.trace.container_namespace import namespaces_of
from netdash.trace.model import (
    Aim,
    Alone,
    Cell,
    Decision,
    Kind,
    Matrix,
    Origin,
    Question,
    Reach,
    Sender,
    Trace,
    Verdict,
)
from netdash.trace.reach_classes import Kinds
from netdash.trace.tracer import reaches


def reach(host: Host, senders: Sequence[Sender] | None = None, aims: Sequence[Aim] | None = None) -> Matrix:
    """The matrix of these senders and aims, or of all that there are, of IPv4 and IPv6 addresses."""
    steps = reaching(host, senders, aims)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            made: Matrix = stop.value
            return made


def reaching(
    host: Host, senders: Sequence[Sender] | None = None, aims: Sequence[Aim] | None = None
) -> Generator[None, None, Matrix]:
    """The same in steps of one trace each, or less."""
    asking = senders_of(host) if senders is None else senders
    work = _Work(host, tuple(asking), tuple(dict.fromkeys(aims_of(host) if aims is None else aims)))
    yield
    return (yield from work.matrix())


def senders_of(host: Host) -> Iterator[Sender]:
    """A container in another's namespace is that one to the kernel. One that was left behind is its own: nothing leads
    out of it; as an aim it is none, having no address."""
    yield Sender("outside", Origin.OUTSIDE)
    yield Sender("host", Origin.HOST)
    for container in host.containers or ():
        if namespaces_of(host).of(container) is not None and namespace_owner(container) is None:
            yield Sender(container.name, Origin.CONTAINER, container.id)


def aims_of(host: Host) -> Iterator[Aim]:
    own = {family: entrance(family, host.links, host.routes)[1] for family in (4, 6)}
    for port in host.ports or ():
        if not port.live or port.proto not in ("tcp", "udp"):
            continue
        kind = "published" if port.container_id else "host"
        families = (4, 6) if port.dual else (port.host_ip.version,)
        for ip in (own[family] for family in families) if port.host_ip.is_unspecified else (port.host_ip,):
            if ip is not None:
                yield Aim(kind, port.proto, ip, port.host_port, port.container_id)
    for container in host.containers or ():
        yield from _inner(host, container)


def _inner(host: Host, container: Container) -> Iterator[Aim]:
    """What listens inside; where that was not read, what the image and the engine say."""
    if namespaces_of(host).of(container) is None or namespace_owner(container) is not None:
        return
    ports = {(listener.proto, listener.port) for listener in container.listeners or () if not listener.ip.is_loopback}
    if container.listeners is None:
        ports = {(proto, port) for port, proto in container.exposed}
        ports |= {(binding.proto, binding.container_port) for binding in container.bindings}
    for end in container.endpoints:
        for address in end.addresses:
            for proto, port in sorted(ports):
                yield Aim("container", proto, address.ip, port, container.id)


class _Work:
    def __init__(self, host: Host, senders: tuple[Sender, ...], aims: tuple[Aim, ...]) -> None:
        self._host = host
        self._senders = senders
        self._aims = aims
        self._kinds = Kinds(host, senders, aims)

    def matrix(self) -> Generator[None, None, Matrix]:
        asking: list[tuple[Hashable, Kind]] = []
        asked: list[tuple[Hashable, Kind]] = []
        for sender in self._senders:
            asking.append(self._kinds.of_sender(sender))
            yield
        for aim in self._aims:
            asked.append(self._kinds.of_aim(aim))
            yield
        sender_classes, aim_classes = _classes(asking), _classes(asked)
        rows = []
        for members in sender_classes:
            row = []
            for others in aim_classes:
                row.append(self._of_class(members, others))
                yield
            rows.append(tuple(row))
        alone = yield from self._alone(asking, asked)
        return Matrix(
            self._senders,
            self._aims,
            sender_classes,
            aim_classes,
            tuple(rows),
            alone,
            tuple(kind for _, kind in asking),
            tuple(kind for _, kind in asked),
        )

    def _of_class(self, senders: tuple[int, ...], aims: tuple[int, ...]) -> Cell | None:
        """Of the first pair that stands for its classes."""
        for aim in aims:
            alone = self._kinds.alone(self._aims[aim])
            for sender in senders:
                if sender not in alone:
                    return self._cell(sender, aim)
        return None

    def _alone(
        self, asking: Sequence[tuple[Hashable, Kind]], asked: Sequence[tuple[Hashable, Kind]]
    ) -> Generator[None, None, tuple[Alone, ...]]:
        found: dict[Hashable, list[tuple[int, int]]] = {}
        for at, aim in enumerate(self._aims):
            for number in sorted(self._kinds.alone(aim)):
                key = asking[number][0], asked[at][0], self._kinds.itself(self._senders[number], aim)
                found.setdefault(key, []).append((number, at))
            yield
        made = []
        for pairs in found.values():
            made.append(Alone(tuple(pairs), self._cell(*pairs[0])))
            yield
        return tuple(made)

    def _cell(self, sender: int, aim: int) -> Cell:
        one, other = self._senders[sender], self._aims[aim]
        asked = Question(one.origin, other.ip, other.proto, other.port, container=one.container)
        return Cell(reach_of(reaches(self._host, asked)), sender, aim)


def _classes(kinds: Sequence[tuple[Hashable, Kind]]) -> tuple[tuple[int, ...], ...]:
    found: dict[Hashable, list[int]] = {}
    for at, (key, _) in enumerate(kinds):
        found.setdefault(key, []).append(at)
    return tuple(tuple(members) for members in found.values())


def reach_of(answer: Trace) -> Reach:
    """A trace as a cell."""
    if answer.verdict is Verdict.FORWARDED:
        return Reach(None, f"{answer.hops[-1].text}: whether it comes back to this host is not known")
    return reach_of_any(answer)


def reach_of_any(answer: Trace) -> Reach:
    """The same where the packet may be meant for another machine."""
    if answer.verdict is Verdict.UNKNOWN:
        rule = answer.unsure[0] if answer.unsure else None
        return Reach(None, rule.place if rule else reason(answer.decided_by), rule)
    ended = answer.verdict
    if not ended.arrives:
        return Reach(False, reason(answer.decided_by), _rule(answer.decided_by), ended)
    if answer.then is not None and not answer.then.verdict.arrives:
        proxied = answer.then.decided_by
        why = f"{answer.proxy}'s connection: {reason(proxied)}"
        return Reach(answer.answered, why, _rule(proxied), answer.then.verdict)
    if not answer.answered:
        found = answer.exchange
        what = f"{found.packet}: " if found.packet else ""
        return Reach(answer.answered, f"{what}{reason(found.why)}", _rule(found.why), ended)
    return Reach(True, answer.proxy, verdict=ended)


def _rule(decision: Decision | None) -> Rule | None:
    return decision.step.source if decision is not None and decision.step is not None else None


def reason(decision: Decision | None) -> str:
    if decision is None:
        return "cannot be told"
    return decision.place if decision.step is not None else decision.text
