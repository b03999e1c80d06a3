"""A packet to ask of as people type it, `web db:5432` or `outside :53/udp`, and how what is typed may go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Container, Host
from netdash.model.index import index_of
from netdash.trace.default_questions import HOST_NAME, OUTSIDE_NAME, Usual
from netdash.trace.question import Asked, question

HINT = "FROM TO[:PORT][/PROTOCOL]   web db:5432   outside :8080   host 1.1.1.1/icmp      Tab completes"
OFFERS = 8
_HOST = "host"


def understood(host: Host, text: str) -> tuple[Usual, tuple[str, ...]]:
    """The question, and sentences on how its words were understood. Raises NetdashError for what is none."""
    words = text.replace(HOST_NAME, _HOST).replace("→", " ").split()
    if len(words) == 3 and words[1] == "to":
        del words[1]
    if len(words) != 2:
        raise NetdashError("a packet has a sender and a receiver", "web db:5432", Exit.USAGE)
    sender, target = words
    target, _, proto = target.partition("/")
    asked, notes = question(host, sender, target, Asked(proto or "tcp"))
    said = HOST_NAME if sender == _HOST else sender
    return Usual(f"{said} → {target}{f'/{proto}' if proto else ''}", asked), notes


def completions(host: Host, typed: str) -> Sequence[str]:
    """Whole lines, the likeliest first: containers, those of a network, outside, this host, ports."""
    before, blank, word = typed.rpartition(" ")
    offers = _receivers(host, before, word) if blank else _senders(host, word)
    return list(dict.fromkeys(f"{before}{blank}{offer}" for offer in offers if offer != word))[:OFFERS]


def _senders(host: Host, word: str) -> Iterator[str]:
    yield from (f"{name} " for name in (OUTSIDE_NAME, _HOST) if name.startswith(word))
    if HOST_NAME.startswith(word):
        yield f"{_HOST} "
    yield from (f"{container.name} " for container in _near(host, word))


def _receivers(host: Host, sender: str, word: str) -> Iterator[str]:
    name, colon, digits = word.partition(":")
    if colon:
        yield from (f"{name}:{port}" for port in _ports(host, name) if port.startswith(digits))
        return
    if not word or sender in (OUTSIDE_NAME, _HOST):
        yield from (f":{port}" for port in _ports(host, "") if not word)
    yield from (f"{container.name}:" for container in _near(host, word))
    yield from (f"{name}:" for name in (_HOST, OUTSIDE_NAME) if name.startswith(word) and sender.strip() != name)


def _near(host: Host, word: str) -> Iterator[Container]:
    """Running containers whose name begins so, and those of a network whose name does."""
    running = [container for container in host.containers or () if container.running]
    yield from (container for container in running if container.name.startswith(word))
    if word:
        yield from (
            container for container in running if any(end.network.startswith(word) for end in container.endpoints)
        )


def _ports(host: Host, name: str) -> Iterator[str]:
    """Those on which a container listens, or that it exposes; of "" those that the host publishes."""
    if name in ("", _HOST):
        found = {(port.host_port, port.proto) for port in host.ports or () if port.live}
    else:
        owner = next((container for container in index_of(host).containers.values() if container.name == name), None)
        heard = owner.listeners if owner is not None else None
        found = {(listener.port, listener.proto) for listener in heard or ()} or set(
            owner.exposed if owner is not None else ()
        )
    yield from (f"{port}" + ("" if proto == "tcp" else f"/{proto}") for port, proto in sorted(found))
