"""What netdash's own records say of a host: the old containers that a change keeps until they are removed, and the
ports of forwards that wait. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from netdash.model.addresses import address
from netdash.model.host import IP, Container
from netdash.model.numbers import decimal, port_number
from netdash.model.records import dataclass

_OLD = r"(.+)\.netdash-\d{8}-\d{6}"


def old_of(container: Container) -> str:
    """The container whose old one this is, by the name that netdash gave it; "" for all others, and while it runs."""
    found = None if container.running else re.fullmatch(_OLD, container.name)
    return found[1] if found else ""


def may_be_kept(names: Iterable[str]) -> bool:
    """Whether the journals are worth a look."""
    return any(".netdash-" in name for name in names)


def parse_kept(text: str | None) -> Mapping[str, float]:
    """When each is removed, by id; those of which that is known."""
    words = (line.split() for line in (text or "").splitlines())
    pairs = ((pair[0], decimal(pair[1])) for pair in words if len(pair) == 2)
    return {identity: float(until) for identity, until in pairs if until is not None}


@dataclass(frozen=True, slots=True)
class WaitingPort:
    """A port of the host that a forward opens as soon as its container runs and nobody else has the port."""

    proto: str
    host_ip: IP
    host_port: int
    container_port: int
    container_id: str


@lru_cache(maxsize=2)
def parse_waiting(text: str) -> tuple[WaitingPort, ...]:
    """The same object for the same text: the records are read anew for every host."""
    found = (_waiting(*words) for line in text.splitlines() if len(words := line.split()) == 5)
    return tuple(port for port in found if port is not None)


def _waiting(proto: str, ip: str, host: str, inside: str, identity: str) -> WaitingPort | None:
    host_ip, host_port, container_port = address(ip), port_number(host), port_number(inside)
    if host_ip is None or host_port is None or container_port is None:
        return None
    return WaitingPort(proto, host_ip, host_port, container_port, identity)
