"""Who reaches a container, a port or a network, and whom a container reaches: the pairs of the reach matrix that are
asked for, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence

from netdash.model.addresses import socket_text
from netdash.model.host import Container, Host, Network, Port
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass, replace
from netdash.trace import default_questions
from netdash.trace.model import Aim, Cell, Matrix, Question, Reach, Sender, Trace, Verdict
from netdash.trace.reachability import aims_of, reach_of_any, reaching, senders_of
from netdash.trace.summary import answer, translating

INTERNET = "internet"
"""The kind of the aim that stands for the Internet."""
_FEW = 3  # rows that fare alike and are still shown one by one


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about. `senders`: those whose own packets are asked for as well."""

    name: str
    aims: tuple[Aim, ...]
    senders: tuple[Sender, ...] = ()
    containers: frozenset[str] = frozenset()  # ids


@dataclass(frozen=True, slots=True)
class Row:
    """Senders and ports that fare alike: several of the one or of the other."""

    senders: tuple[Sender, ...]
    aims: tuple[Aim, ...]
    reach: Reach

    @property
    def question(self) -> Question:
        """Of the first pair."""
        sender, aim = self.senders[0], self.aims[0]
        return Question(sender.origin, aim.ip, aim.proto, aim.port, container=sender.container)


@dataclass(frozen=True, slots=True)
class Who:
    """One row a sender and port."""

    subject: Subject
    reached_by: tuple[Row, ...]
    reaches: tuple[Row, ...]

    def folded(self, host: Host) -> Who:
        """Many rows that fare alike as one; those that reach before the others."""
        place = {aim: at for at, aim in enumerate(self.subject.aims)}
        senders = sorted(_fold_senders(self.reached_by), key=lambda row: (place[row.aims[0]], *_rank(row)))
        aims = sorted(_fold_aims(host, self.reaches), key=lambda row: (row.aims[0].kind != INTERNET, *_rank(row)))
        return replace(self, reached_by=tuple(senders), reaches=tuple(aims))

    def unfold(self, folded: Row) -> tuple[Row, ...]:
        """The rows that one stands for."""
        senders, aims = set(folded.senders), set(folded.aims)
        every = (*self.reached_by, *self.reaches)
        return tuple(row for row in every if row.senders[0] in senders and row.aims[0] in aims)


# --- what is asked about ----------------------------------------------------------------------------------------------


def of_container(host: Host, container: Container, port: tuple[int, str] | None = None) -> Subject:
    """A container, or one of its ports: by the number inside, or by the one that the host publishes."""
    owner = sharing(host, container)
    aims = tuple(aim for aim in dict.fromkeys(aims_of(host)) if aim.container in (container.id, owner.id))
    senders = tuple(sender for sender in senders_of(host) if sender.container == owner.id)
    if port is None:
        return Subject(container.name, aims, senders, frozenset((container.id, owner.id)))
    number, proto = port
    asked = [aim for aim in aims if aim.proto == proto and number in (aim.port, _inner_port(host, aim))]
    if not asked:
        addresses = [address.ip for end in owner.endpoints for address in end.addresses]
        asked = [Aim("container", proto, ip, number, owner.id) for ip in addresses]
    return Subject(f"{container.name}:{number}/{proto}", tuple(asked), (), frozenset((container.id, owner.id)))


def of_port(host: Host, port: Port) -> Subject:
    """A port of the host as it is bound."""
    wanted = tuple(
        aim
        for aim in dict.fromkeys(aims_of(host))
        if aim.kind != "container"
        and (aim.proto, aim.port, aim.container) == (port.proto, port.host_port, port.container_id)
        and (port.host_ip.is_unspecified or aim.ip == port.host_ip)
    )
    owner = index_of(host).name(port.container_id)
    name = f"{port.host_port}/{port.proto}"
    return Subject(
        f"{owner}:{name}" if owner else f"port {name}", wanted, (), frozenset(filter(None, (port.container_id,)))
    )


def of_network(host: Host, network: Network) -> Subject:
    """All containers of a network, by their addresses there."""
    ips = {
        address.ip: container.id
        for container in host.containers or ()
        for end in container.endpoints
        if index_of(host).network(end) is network
        for address in end.addresses
    }
    aims = tuple(aim for aim in dict.fromkeys(aims_of(host)) if aim.kind == "container" and aim.ip in ips)
    return Subject(network.name, aims, (), frozenset(ips.values()))


def _inner_port(host: Host, aim: Aim) -> int | None:
    return next((port.container_port for port in index_of(host).ports(aim.container or "") if _is(port, aim)), None)


def _is(port: Port, aim: Aim) -> bool:
    """Whether the aim is this published port."""
    return aim.kind == "published" and (port.proto, port.host_port) == (aim.proto, aim.port)


# --- the answers ------------------------------------------------------------------------------------------------------


def who(host: Host, subject: Subject) -> Who:
    steps = asking(host, subject)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            made: Who = stop.value
            return made


def asking(host: Host, subject: Subject) -> Generator[None, None, Who]:
    """The same in steps of one trace each, or less."""
    reached_by = yield from _rows(host, senders_of(host), subject.aims)
    others = [
        aim
        for aim in dict.fromkeys(aims_of(host))
        if aim.container not in subject.containers and not aim.ip.is_loopback  # a container's loopback is its own
    ]
    reaches = (yield from _rows(host, subject.senders, others)) if subject.senders else []
    outwards = []
    for sender in subject.senders:
        for row in _outwards(host, sender):
            outwards.append(row)
            yield
    return Who(subject, tuple(reached_by), (*outwards, *reaches))


def _rows(host: Host, senders: Iterable[Sender], aims: Sequence[Aim]) -> Generator[None, None, list[Row]]:
    matrix = yield from reaching(host, tuple(senders), aims)
    of_aim = {member: at for at, members in enumerate(matrix.aim_classes) for member in members}
    alone = matrix.by_aim()
    rows = []
    for at, aim in enumerate(matrix.aims):
        for members, cells in zip(matrix.sender_classes, matrix.cells, strict=True):
            for sender in members:
                rows += _row(matrix, alone[at].get(sender) or cells[of_aim[at]], sender, aim, at)
            yield
    return rows


def _row(matrix: Matrix, cell: Cell | None, sender: int, aim: Aim, at: int) -> list[Row]:
    if cell is None:
        return []
    return [Row((matrix.senders[sender],), (aim,), matrix.said(cell, sender, at))]


def _outwards(host: Host, sender: Sender) -> Iterator[Row]:
    container = index_of(host).containers.get(sender.container or "")
    for default in default_questions.outwards(host, container) if container is not None else ():
        asked = default.question
        aim = Aim(INTERNET, asked.proto, asked.dst, asked.dport or 0)
        yield Row((sender,), (aim,), _out(answer(host, asked)))


def _out(found: Trace) -> Reach:
    reach = reach_of_any(found)
    if not reach.reaches or found.verdict is not Verdict.FORWARDED:
        return reach
    step = translating(found, "postrouting")
    by = f" by {step.place}" if step is not None else ""
    source = found.translation.src
    return replace(reach, why=f"as {source}{by}" if source else "", rule=step.source if step is not None else None)


# --- rows that fare alike ---------------------------------------------------------------------------------------------


_ORDER = {True: 0, False: 1, None: 2}


def _rank(row: Row) -> tuple[int, int]:
    return _ORDER[row.reach.reaches], len(row.senders) * len(row.aims)


def _fold_senders(rows: Iterable[Row]) -> Iterator[Row]:
    """This host and the outside stay by themselves."""
    for group in _groups(rows, lambda row: (row.aims, row.senders[0].container is None and row.senders, _why(row))):
        senders = tuple(sender for row in group for sender in row.senders)
        yield from group if len(group) <= _FEW else [_folded(group[0], senders, group[0].aims, _why(group[0]))]


def _why(row: Row) -> str:
    """The reason without the sender's own name."""
    return without_name(row.reach.why, row.senders[0].name, "the sender")


def without_name(why: str, name: str, instead: str) -> str:
    """A container's name where it says in whose namespace something is, and nowhere else."""
    if name not in why:
        return why
    return re.sub(rf"(?<![\w.-])(inside|keeps) {re.escape(name)}(?![\w.-])", rf"\1 {instead}", why)


def _fold_aims(host: Host, rows: Iterable[Row]) -> Iterator[Row]:
    """The Internet, this host and the containers stay apart."""
    for group in _groups(rows, lambda row: (row.senders, row.aims[0].kind, _why_there(host, row))):
        aims = tuple(aim for row in group for aim in row.aims)
        yield from (
            group if len(group) <= _FEW else [_folded(group[0], group[0].senders, aims, _why_there(host, group[0]))]
        )


_NUMBER = re.compile(r"#[0-9]+")


def _why_there(host: Host, row: Row) -> str:
    """The reason without what differs between the ports: a rule's place in its chain, the address, the owner."""
    aim, why = row.aims[0], row.reach.why
    if row.reach.reaches:
        return why
    published = next((port for port in index_of(host).ports(aim.container or "") if _is(port, aim)), None)
    target = (published.target_ip, published.container_port) if published is not None else (None, None)
    for ip, port in ((aim.ip, aim.port), target):
        why = without_address(why, f"{socket_text(ip, port)}/{aim.proto}", "its port") if ip is not None else why
    owner = index_of(host).name(aim.container)
    why = without_address(why, str(aim.ip), "its address")
    return _NUMBER.sub("#…", without_name(why, owner, "it") if owner else why)


def without_address(why: str, address: str, instead: str) -> str:
    """An address or a device, and not one that begins or ends so."""
    return re.sub(rf"(?<![\w.:/-]){re.escape(address)}(?![\w:/-]|\.\w)", instead, why)


def _folded(row: Row, senders: tuple[Sender, ...], aims: tuple[Aim, ...], why: str) -> Row:
    reach = row.reach if why == row.reach.why else replace(row.reach, why=why, rule=None)
    return Row(senders, aims, reach)


def _groups(rows: Iterable[Row], of: Callable[[Row], Hashable]) -> list[list[Row]]:
    found: dict[Hashable, list[Row]] = {}
    for row in rows:
        found.setdefault((of(row), row.reach.reaches, row.reach.verdict), []).append(row)
    return list(found.values())
