"""The wires of the map: by which rule or proxy each published port comes to a container, by what containers leave, and
what stops either. The verdicts are those of the list of containers, the rules those of the trace."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from netdash.model.finding import Direction, Finding, Mark, Severity, health_of
from netdash.model.host import Container, Host, Port, Proxy, Rule, Scope
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass, replace
from netdash.trace.default_questions import HOST_NAME, OUTSIDE_NAME
from netdash.trace.model import Origin, Verdict
from netdash.trace.reachability import reason
from netdash.trace.summary import Leaves, Obstacle, Outbound, asked_of, obstacle, traceable, translating
from netdash.trace.who import without_address, without_name
from netdash.view import marks

CALM = (Mark.OK, Mark.NOTHING)
Known = dict[Hashable, list["Stop | None"]]
"""What stops the wires that were traced so far, by what they have in common."""


@dataclass(frozen=True, slots=True)
class Stop:
    """What stands against a packet or its answer. `word`: the verdict, "" where it cannot be told; `ruled`: by a rule
    or a policy; `early`: before the rule that translates it; `sender`: who asks, where the others fare better."""

    word: str
    place: str
    rule: Rule | None = None
    ruled: bool = False
    early: bool = False
    sender: str = ""

    @property
    def lead(self) -> str:
        """What stands before the place."""
        if not self.place or self.place.startswith(self.word):
            return "" if self.place else self.word
        return f"{self.word} by " if self.ruled and self.word in _BY_RULES else f"{self.word}: "

    @property
    def text(self) -> str:
        return f"{self.lead}{self.place}"


_BY_RULES = (Verdict.DROPPED.value, Verdict.REJECTED.value)


@dataclass(frozen=True, slots=True)
class Wire:
    """Published ports of one container that go and fare alike. `mark` None: not known yet."""

    ports: tuple[Port, ...]
    mark: Mark | None
    stop: Stop | None = None
    finding: Finding | None = None

    @property
    def by(self) -> Rule | Proxy | None:
        return taken_by(self.ports[0])

    @property
    def also_by(self) -> Rule | Proxy | None:
        """What takes them to it by the other address family, where that is of another kind."""
        others = (port for port in self.ports if port.host_ip.version != self.ports[0].host_ip.version)
        return next((by for by in map(taken_by, others) if by is not None and type(by) is not type(self.by)), None)

    @property
    def local(self) -> bool:
        """Whether only this host can ask."""
        return self.ports[0].scope is Scope.LOOPBACK

    @property
    def own_socket(self) -> bool:
        """Whether the container listens in this host's namespace itself."""
        port = self.ports[0]
        return port.dnat is None and port.proxy is None and port.holder is not None and port.holder.kind == "process"


def taken_by(port: Port) -> Rule | Proxy | None:
    """What takes packets to the container: the rule, or the proxy where they do not meet one."""
    passed_by = port.scope is Scope.LOOPBACK and port.dnat_from_here is False
    return port.proxy if port.proxy is not None and (port.dnat is None or passed_by) else port.dnat


@dataclass(frozen=True, slots=True)
class Exit:
    """How packets of these containers leave. `path`: the first one's; `path6`: by IPv6, where that is alike; `others`:
    ways of this kind that it stands for as well."""

    path: Outbound
    containers: tuple[Container, ...]
    mark: Mark | None
    stop: Stop | None = None
    finding: Finding | None = None
    path6: Outbound | None = None
    others: int = 0


def order(mark: Mark | None) -> int:
    return marks.rank(mark) or 0


# --- in ---------------------------------------------------------------------------------------------------------------


def wires(host: Host, container: Container, known: Known) -> Iterator[Wire]:
    """Its ports, those that fare alike as one wire."""
    found: dict[Hashable, list[Wire]] = {}
    by_number: dict[str, list[Port]] = {}
    for port in index_of(host).ports(container.id):
        if port.live:
            by_number.setdefault(f"{port.host_port}/{port.proto}", []).append(port)
    for number, ports in by_number.items():
        for wire in _of_number(host, container, ports, _hitting(host, container, Direction.IN, number), known):
            said = wire.finding.sentence if wire.finding is not None else None
            kinds = frozenset((port.host_ip.version, type(taken_by(port))) for port in wire.ports)
            found.setdefault((wire.mark, wire.stop, said, kinds, wire.local, wire.own_socket), []).append(wire)
    made = (replace(same[0], ports=tuple(port for wire in same for port in wire.ports)) for same in found.values())
    yield from sorted(made, key=lambda wire: order(wire.mark))


def _of_number(
    host: Host, owner: Container, ports: Sequence[Port], hit: Finding | None, known: Known
) -> Iterator[Wire]:
    """A port has one verdict for all addresses that it is bound to: where only some are stopped, it is theirs."""
    mark = marks.of_port(host, ports[0])
    finding = None if mark in (*CALM, None) else hit
    wires = [Wire((port,), mark, finding=finding) for port in sorted(ports, key=lambda port: port.host_ip.version)]
    if mark not in (Mark.OK, None):
        wires = [replace(wire, stop=_stop_of(host, owner, wire, known)) for wire in wires]
    if finding is not None and mark is not Mark.UNKNOWN:  # it tells more than a trace that cannot tell
        wires = [replace(wire, stop=None) if wire.stop is not None and not wire.stop.word else wire for wire in wires]
    stopped = any(wire.stop is not None for wire in wires)
    found: dict[Hashable, list[Wire]] = {}
    for wire in wires:
        fine = stopped and wire.stop is None
        one = replace(wire, mark=Mark.OK, finding=None) if fine else wire
        found.setdefault((one.mark, one.stop, one.local, one.own_socket, wire.ports[0].scope), []).append(one)
    for same in found.values():
        yield replace(same[0], ports=tuple(wire.ports[0] for wire in same))


_SAMPLE = 8  # wires of one cause whose packets are traced: where they are stopped alike, the others are too


def _stop_of(host: Host, owner: Container, wire: Wire, known: Known) -> Stop | None:
    if not traceable(host):
        return None
    port = wire.ports[0]
    network = {own.network for end in owner.endpoints for own in end.addresses if own.ip == port.target_ip}
    key = (wire.finding and id(wire.finding), wire.mark, port.host_ip, wire.local, type(wire.by), *network)
    stops = known.setdefault(key, [])
    if len(stops) >= _SAMPLE and len(set(stops)) == 1 and wire.mark is not Mark.NOTHING:
        return stops[0]
    found = _stop_of_port(host, port)
    stops.append(_said_of(owner, found) if found is not None else None)
    return stops[-1]


def _said_of(owner: Container, found: Stop) -> Stop:
    """Without the container's name and addresses, which stand beside it: those who are stopped alike read alike."""
    if found.rule is not None:
        return found
    place = without_name(found.place, owner.name, "it")
    for end in owner.endpoints:
        for name, instead in (*((str(own.ip), "its address") for own in end.addresses), (end.veth, "its veth")):
            place = without_address(place, name, instead) if name else place
    return replace(found, place=place)


def _stop_of_port(host: Host, port: Port) -> Stop | None:
    """Of the questions that the list asks of a port, the first that gets no answer."""
    asked = list(asked_of(host, port))
    for at, (trace, found) in enumerate(asked):
        if found is not None:
            early = port.dnat is not None and translating(trace, "prerouting") is None
            here = trace.question.origin is Origin.HOST
            by = f"from {HOST_NAME if here else OUTSIDE_NAME}" if at and len(asked) > 1 else ""
            return replace(stop(found), early=early and not here, sender=by)
    return None


def stop(found: Obstacle) -> Stop:
    """An obstacle in few words; the rule where one decides."""
    if found.verdict is Verdict.UNKNOWN:
        rule = found.unsure[0] if found.unsure else None
        return Stop("", rule.place if rule is not None else reason(found.decided_by), rule)
    word = "no answer" if found.verdict.arrives or found.answer else found.verdict.value
    if found.verdict is Verdict.NO_LISTENER:  # the container's name and address stand beside it
        return Stop(word, "")
    step = found.decided_by.step if found.decided_by is not None else None
    return Stop(word, reason(found.decided_by), step.source if step is not None else None, step is not None)


def _hitting(host: Host, container: Container, direction: Direction, port: str = "") -> Finding | None:
    """The worst finding that hits a container so."""
    health = health_of(host)
    return next(
        (
            finding
            for finding in (health.findings if health is not None else ())
            for hit in finding.hits
            if finding.severity is not Severity.INFO
            and (hit.container, hit.direction) == (container.id, direction)
            and hit.port in (port, "")
        ),
        None,
    )


# --- out --------------------------------------------------------------------------------------------------------------

_ONE_FOR_BOTH = (Leaves.INTERNAL, Leaves.HOST, Leaves.DIRECT, Leaves.NOWHERE)  # families are not told apart


def exits_of(host: Host, container: Container, ways: Sequence[Outbound]) -> Iterator[Exit]:
    """One entry an address by which it may leave."""
    used = [way for way in ways if way.default is not False or way.leaves in (Leaves.INTERNAL, Leaves.NOWHERE)]
    against = [obstacle(way.trace) if way.trace is not None else None for way in used]
    standing = marks.standing_of(host, container)
    hit = _hitting(host, container, Direction.OUT)
    for way, found in zip(used, against, strict=True):
        if standing is None:
            yield Exit(way, (container,), None)
        elif found is not None:
            mark = Mark.NOTHING if standing.outwards is Mark.OK else standing.outwards
            mark = Mark.UNKNOWN if mark in CALM and way.leaves is Leaves.UNKNOWN else mark
            yield Exit(
                way, (container,), mark, _said_of(sharing(host, container), stop(found)), None if mark in CALM else hit
            )
        elif hit is not None and not any(against):
            yield Exit(way, (container,), hit.mark, None, hit)
        else:
            known = way.trace is not None or way.leaves is not Leaves.UNKNOWN
            yield Exit(way, (container,), Mark.OK if known else Mark.UNKNOWN)


def alike(exits: Iterable[Exit]) -> list[Exit]:
    """Those who leave alike as one, and both families of the same containers; in trouble first."""
    found: dict[Hashable, list[Exit]] = {}
    for exit_ in exits:
        way = exit_.path
        family = None if way.source is None or way.leaves in _ONE_FOR_BOTH else way.source.version
        rule = way.nat.place if way.nat is not None else None
        device = way.uplink.name if way.uplink is not None else None
        found.setdefault((family, way.leaves, rule, way.leaves_as, device, exit_.mark, exit_.stop), []).append(exit_)
    merged: dict[Hashable, Exit] = {}
    for same in found.values():
        one = replace(
            same[0], containers=tuple({exit_.containers[0].id: exit_.containers[0] for exit_ in same}.values())
        )
        key = (one.path.leaves, one.mark, one.stop, frozenset(container.id for container in one.containers))
        first = merged.get(key)
        if first is None or first.path6 is not None or not _is_ipv6(one) or _is_ipv6(first):
            merged[key if first is None else (key, len(merged))] = one
        else:
            merged[key] = replace(first, path6=one.path)
    return sorted(merged.values(), key=lambda exit_: order(exit_.mark))


def _is_ipv6(exit_: Exit) -> bool:
    return exit_.path.source is not None and exit_.path.source.version == 6
