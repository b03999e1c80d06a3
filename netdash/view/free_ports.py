"""Is a host port free, and which ones after it are. Pure: Host -> answer; what was not read makes it unknown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from netdash.kernel.sockets import bound_socket, reserved, taken
from netdash.model.host import Host, Port, Rule
from netdash.model.index import index_of
from netdash.model.records import dataclass
from netdash.trace.taken_by_rules import ANYWHERE, TRIED, takers, unread
from netdash.view.text import clean

LAST = 65535
_UNPRIVILEGED = 1024  # any program may bind from here on (net.ipv4.ip_unprivileged_port_start)
OFFERS = 5  # free ports that are named


@dataclass(frozen=True, slots=True)
class Answer:
    """`free` None: cannot be told. `taken_by` holds what is live, `wanted_by` what is set up on stopped containers,
    `rules` those that translate what comes in for the port, `unsure` those that may."""

    proto: str
    number: int
    free: bool | None
    taken_by: tuple[Port, ...]
    wanted_by: tuple[Port, ...]
    offers: tuple[int, ...]  # next free ones; empty when they cannot be told
    rules: tuple[Rule, ...] = ()
    unsure: tuple[Rule, ...] = ()


def look(host: Host, proto: str, number: int) -> Answer:
    """A port is taken by a socket, or by a rule of nat that leads its packets elsewhere. Free needs every host socket,
    all rules and the containers to have been read; taken does not."""
    same = [port for port in host.ports or () if port.proto == proto]
    here = [port for port in same if port.host_port == number]
    by = tuple(port for port in here if taken(port))
    rules, unsure = takers(host, proto, ANYWHERE, number)
    known = not unread(host)
    free = False if by or rules else True if known and not unsure else None
    offers: tuple[int, ...] = ()
    if known:
        used = {port.host_port for port in same if reserved(port)}
        offers = tuple(islice(_offers(host, proto, number, used), OFFERS))
    wanted = tuple(port for port in here if not port.live)
    return Answer(proto, number, free, by, wanted, offers, rules, unsure)


def _offers(host: Host, proto: str, number: int, used: set[int]) -> Iterator[int]:
    unused = (port for port in range(max(number + 1, _UNPRIVILEGED), LAST + 1) if port not in used)
    return (port for port in islice(unused, TRIED) if takers(host, proto, ANYWHERE, port) == ((), ()))


def sentences(host: Host, answer: Answer) -> list[str]:
    """The answer in lines of plain text, safe to print."""
    what = f"{answer.number}/{answer.proto}"
    if answer.free is None:
        lines = [f"{what}: not known, {_lacking(host, answer)}"]
    elif answer.free:
        lines = [f"{what} is free"]
    else:
        lines = [f"{what} is taken by {who}" for who in _takers(host, answer)]
        lines += [f"{what} is taken by rule {clean(rule.place)}: {clean(rule.text)}" for rule in answer.rules]
    lines += [f"{what} is wanted by {_wanted_by(host, port)}" for port in answer.wanted_by]
    if answer.offers and not answer.free:
        lines.append(f"next free: {' '.join(map(str, answer.offers))}")
    return lines


def _lacking(host: Host, answer: Answer) -> str:
    if why := unread(host):
        return clean(why, 200)
    return f"rule {', '.join(clean(rule.place) for rule in answer.unsure[:3])} may take it"


def _takers(host: Host, answer: Answer) -> Iterator[str]:
    """Each container once, with what holds its sockets; what is no container's by its sockets."""
    sockets: dict[str, list[Port]] = {}
    for port in answer.taken_by:
        owner = _owner(host, port) if port.container_id else _holder(port) or "a socket that is nobody's"
        sockets.setdefault(owner, []).append(port)
    for owner, ports in sockets.items():
        held = _together(_holder(port) for port in ports if port.container_id)
        bound = ", ".join(clean(bound_socket(port)) for port in ports)
        yield f"{owner} ({'; '.join(filter(None, [bound, held]))})"


def _together(holders: Iterable[str]) -> str:
    """docker-proxy 20911, 20916"""
    pids: dict[str, list[str]] = {}
    for holder in dict.fromkeys(filter(None, holders)):
        name, _, pid = holder.rpartition(" ")
        pids.setdefault(name, []).append(pid)
    return "; ".join(f"{name} {', '.join(found)}".strip() for name, found in pids.items())


def _holder(port: Port) -> str:
    holder = port.holder
    if holder is None or holder.kind == "nobody":
        return ""
    if holder.kind == "rule" and port.dnat is not None:
        return f"rule {clean(port.dnat.place)} alone"
    name = clean(holder.command or holder.kind, 40)
    return f"{name} {holder.pid}" if holder.pid else name


def _wanted_by(host: Host, port: Port) -> str:
    owner = _owner(host, port)
    return f"netdash's forward to {owner}, which waits" if port.waiting else f"{owner}, which is not running"


def _owner(host: Host, port: Port) -> str:
    return clean(index_of(host).name(port.container_id) or (port.container_id or "?")[:12])
