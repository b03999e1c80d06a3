"""Questions that rules, routes and all else treat alike: one of them stands for the others. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from netdash.doctor.questions import Asked
from netdash.model.host import Host
from netdash.model.index import index_of, sharing
from netdash.trace.exchange import paused_in
from netdash.trace.model import Origin
from netdash.trace.reach_classes import Kinds
from netdash.trace.reach_matrix import Aim, Sender

_FEW = 120  # questions: fewer are asked one by one


def classes(host: Host, asks: Sequence[Asked]) -> list[list[Asked]]:
    """In the order of their first members."""
    if len(asks) <= _FEW:
        return [[asked] for asked in asks]
    senders = list(dict.fromkeys(_sender(host, asked) for asked in asks))
    aims = list(dict.fromkeys(filter(None, map(_aim, asks))))
    kinds = Kinds(host, tuple(senders), tuple(aims))
    numbers = {sender: at for at, sender in enumerate(senders)}
    of_sender = {sender: kinds.of_sender(sender)[0] for sender in senders}
    of_aim: dict[Aim, Hashable] = {aim: kinds.of_aim(aim)[0] for aim in aims}
    alone = {aim: kinds.alone(aim) for aim in aims}
    paused = {container.id for container in paused_in(host)}
    found: dict[Hashable, list[Asked]] = {}
    for asked in asks:
        sender, aim = _sender(host, asked), _aim(asked)
        key: Hashable = asked
        if aim is None or numbers[sender] not in alone[aim]:
            to = of_aim[aim] if aim is not None else (asked.question.dst, asked.question.dport)
            told = (asked.hit.direction, asked.ought, asked.usual, asked.question.container in paused)
            key = (of_sender[sender], to, asked.question.src, asked.question.iif, *told)
        found.setdefault(key, []).append(asked)
    return list(found.values())


def _sender(host: Host, asked: Asked) -> Sender:
    origin = asked.question.origin
    container = index_of(host).containers.get(asked.question.container or "")
    owner = sharing(host, container) if container is not None else None
    name = owner.name if owner is not None and origin is Origin.CONTAINER else origin.value
    return Sender(name, origin, owner.id if owner is not None else asked.question.container)


def _aim(asked: Asked) -> Aim | None:
    """None of what leaves this host, and of what asks for no port."""
    question = asked.question
    if asked.receiver is None or question.dport is None:
        return None
    kind = "published" if asked.port is not None else "container"
    return Aim(kind, question.proto, question.dst, question.dport, asked.receiver)
