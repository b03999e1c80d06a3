"""Who will reach a port that is not published yet: traced on this host with the port in its place, as far as this host
decides; else it says what decides."""

from __future__ import annotations

from enum import Enum

from netdash.change.apply import CannotModel, apply
from netdash.change.model import Change
from netdash.kernel.routing import OUTSIDE, entrance
from netdash.kernel.sockets import scope_of
from netdash.model.addresses import LOOPBACK
from netdash.model.host import IP, Host, Listener, Proxy, Scope
from netdash.model.records import dataclass, replace
from netdash.publish.statement import Kind, Statement, say
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.tracer import reaches


class Client(Enum):
    HOST = "this host"
    NETWORK = "its network"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Reach:
    """`yes` None: cannot be told from here; `why` says what decides."""

    who: Client
    yes: bool | None
    why: Statement


def forwarded(host: Host, planned: tuple[Proxy, ...]) -> Host:
    """The host as it will be: netdash's own proxies run and listen."""
    if host.listeners is None:
        return host
    sockets = tuple(Listener(proxy.proto, proxy.host_ip, proxy.host_port, command=proxy.command) for proxy in planned)
    return replace(host, listeners=host.listeners + sockets, proxies=(host.proxies or ()) + planned)


def reach_after(host: Host, change: Change, asked: Asked) -> tuple[Reach, ...]:
    """The same where the engine publishes the port."""
    try:
        after = apply(host, (change,), compare=False)
    except CannotModel as error:
        return tuple(Reach(who, None, say(Kind.NOT_MODELLED, why=error.message)) for who in Client)
    return reach(after, asked)


@dataclass(frozen=True, slots=True)
class Asked:
    """One port of this host, and the addresses that are bound. `listens`: the port within the container that something
    is taken to listen on, as nobody knows it before the container runs."""

    ips: tuple[IP, ...]
    proto: str
    port: int
    listens: int | None = None


def reach(after: Host, asked: Asked) -> tuple[Reach, ...]:
    """One line each for this host, its network and the world beyond; `after`: the host with the port in its place."""
    ip = asked.ips[0]
    own = LOOPBACK[ip.version] if ip.is_unspecified else ip
    here = _traced(Client.HOST, reaches(after, Question(Origin.HOST, own, asked.proto, asked.port)), own, asked)
    if {scope_of(ip) for ip in asked.ips} == {Scope.LOOPBACK}:
        return here, *_others(False, Kind.LOOPBACK_ONLY)
    dst = entrance(ip.version, after.links, after.routes)[1] if ip.is_unspecified else ip
    if dst is None:
        return here, *_others(None, Kind.OWN_ADDRESS_UNKNOWN)
    clients = ((Client.NETWORK, _neighbour(after, ip.version)), (Client.OUTSIDE, OUTSIDE[ip.version]))
    questions = ((who, Question(Origin.OUTSIDE, dst, asked.proto, asked.port, src=src)) for who, src in clients)
    return here, *(_traced(who, reaches(after, question), dst, asked) for who, question in questions)


def _others(yes: bool | None, why: Kind) -> tuple[Reach, Reach]:
    return Reach(Client.NETWORK, yes, say(why)), Reach(Client.OUTSIDE, yes, say(why))


def _neighbour(host: Host, version: int) -> IP | None:
    """An address on the network that this host's own packets leave by; its gateway's is as good as any."""
    gateways = (route.gateway for route in host.routes or () if route.default and route.family == version)
    return next((gateway for gateway in gateways if gateway is not None), None)


def _traced(who: Client, answer: Trace, at: IP, asked: Asked) -> Reach:
    """Both parts of the path must end at a socket: to the proxy, and the proxy's own to the container."""
    for part in (answer, answer.then):
        if part is not None and part.verdict is Verdict.UNKNOWN:
            rules = tuple(dict.fromkeys(step.place for step in part.unsure[:3]))
            return Reach(who, None, say(Kind.DEPENDS_ON_RULES, rules=rules) if rules else _why(part))
        if part is not None and part.verdict not in (Verdict.PROXY, Verdict.DELIVERED):
            return Reach(who, False, say(Kind.NOT_REACHED, verdict=part.verdict.value, why=_why(part)))
    if asked.listens is not None:
        return Reach(who, True, say(Kind.REACHED_IF_LISTENS, address=str(at), port=f"{asked.listens}/{asked.proto}"))
    reached = Kind.REACHED_FROM_OUTSIDE_AT if who is Client.OUTSIDE else Kind.REACHED_AT
    return Reach(who, True, say(reached, address=str(at)))


def _why(part: Trace) -> Statement:
    decision = part.decided_by
    if part.verdict is Verdict.FORWARDED:
        return say(Kind.ROUTED_AWAY)
    if decision is None:
        return say(Kind.NOT_READ)
    if decision.step:
        return say(Kind.DECIDED_BY_RULE, rule=decision.step.place, text=decision.step.text)
    return say(Kind.DECIDED, text=decision.text)
