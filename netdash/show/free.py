"""Is a host port free, and which ones after it are. Pure: Host -> answer; what was not read makes it unknown."""

from __future__ import annotations

from dataclasses import dataclass

from netdash.core.model import Host, Port
from netdash.core.sockets import reserved, socket_text, taken
from netdash.show.index import index_of
from netdash.show.spans import clean

LAST = 65535
OFFERS = 5  # free ports that are named


@dataclass(frozen=True, slots=True)
class Answer:
    """`free` None: cannot be told. `taken_by` holds what is live, `wanted_by` what is set up on stopped containers."""

    proto: str
    number: int
    free: bool | None
    taken_by: tuple[Port, ...]
    wanted_by: tuple[Port, ...]
    offers: tuple[int, ...]  # next free ones; empty when they cannot be told


def look(host: Host, proto: str, number: int) -> Answer:
    """A port is taken by a socket, or by a DNAT rule that leads its packets elsewhere. Free needs every host socket
    to have been read; taken does not."""
    same = [port for port in host.ports or () if port.proto == proto]
    here = [port for port in same if port.host_port == number]
    by = tuple(port for port in here if taken(port))
    free: bool | None = False if by else None if host.listeners is None else True
    offers: tuple[int, ...] = ()
    if host.listeners is not None:
        used = {port.host_port for port in same if reserved(port)}
        offers = tuple(_offers(number, used))
    return Answer(proto, number, free, by, tuple(port for port in here if not port.live), offers)


def _offers(number: int, used: set[int]) -> list[int]:
    found: list[int] = []
    for candidate in range(number + 1, LAST + 1):
        if candidate not in used:
            found.append(candidate)
        if len(found) == OFFERS:
            break
    return found


def sentences(host: Host, answer: Answer) -> list[str]:
    """The answer in lines of plain text, safe to print."""
    what = f"{answer.proto} port {answer.number}"
    if answer.free is None:
        lines = [f"{what}: not known, the host's sockets could not be read"]
    elif answer.free:
        lines = [f"{what} is free"]
    else:
        lines = [f"{what} is taken: {_who(host, port)}" for port in answer.taken_by]
    lines += [f"{what} is wanted by {_owner(host, port)}, which is not running" for port in answer.wanted_by]
    if answer.offers:
        lines.append(f"next free: {', '.join(map(str, answer.offers))}")
    return lines


def _who(host: Host, port: Port) -> str:
    parts: list[str] = [clean(socket_text(port))]
    if port.container_id:
        parts.append(f"container {_owner(host, port)}")
    holder = port.holder
    if holder is not None and holder.kind == "rule" and port.dnat is not None:
        parts.append(f"by rule {clean(port.dnat.place)} alone")
    elif holder is not None and holder.kind != "nobody":
        name = clean(holder.command or holder.kind, 40)
        parts.append(f"held by {name} pid {holder.pid}" if holder.pid else f"held by {name}")
    return ", ".join(parts)


def _owner(host: Host, port: Port) -> str:
    return clean(index_of(host).name(port.container_id) or (port.container_id or "?")[:12])
