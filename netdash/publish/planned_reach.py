"""Who will reach a port that is not published yet: traced on this host with the port in its place, as far as this host
decides; else it says what decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from netdash.kernel.routing import OUTSIDE, entrance
from netdash.kernel.sockets import scope_of
from netdash.model.addresses import LOOPBACK
from netdash.model.host import IP, Host, Listener, Proxy, Scope
from netdash.publish.request import Mode
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


def reach(host: Host, mode: Mode, ips: tuple[IP, ...], planned: tuple[Proxy, ...]) -> tuple[Reach, ...]:
    """One line each for this host, its network and the world beyond. `planned`: one port's proxies, as they will be."""
    after = _with(host, planned)
    here = _here(after, ips, planned)
    if {scope_of(ip) for ip in ips} == {Scope.LOOPBACK}:
        return here, *_others(False, Kind.LOOPBACK_ONLY)
    if mode is not Mode.FORWARD or not planned:
        return here, *_others(None, Kind.DOCKER_RULES_FIRST)
    proxy = planned[0]
    version = proxy.host_ip.version
    dst = entrance(version, host.links, host.routes)[1] if proxy.host_ip.is_unspecified else proxy.host_ip
    near = _neighbour(host, version)
    if dst is None:
        return here, *_others(None, Kind.OWN_ADDRESS_UNKNOWN)
    return (
        here,
        _traced(Client.NETWORK, reaches(after, _from_outside(proxy, dst, near)), dst),
        _traced(Client.OUTSIDE, reaches(after, _from_outside(proxy, dst, OUTSIDE[version])), dst),
    )


def _others(yes: bool | None, why: Kind) -> tuple[Reach, Reach]:
    return Reach(Client.NETWORK, yes, say(why)), Reach(Client.OUTSIDE, yes, say(why))


def _with(host: Host, planned: tuple[Proxy, ...]) -> Host:
    """The host as it will be: the proxies run and listen."""
    if host.listeners is None:
        return host
    sockets = tuple(Listener(proxy.proto, proxy.host_ip, proxy.host_port, command=proxy.command) for proxy in planned)
    return replace(host, listeners=host.listeners + sockets, proxies=(host.proxies or ()) + planned)


def _here(after: Host, ips: tuple[IP, ...], planned: tuple[Proxy, ...]) -> Reach:
    own = LOOPBACK[ips[0].version] if ips[0].is_unspecified else ips[0]
    if not planned:
        return Reach(Client.HOST, None, say(Kind.IMAGE_DECIDES))
    question = Question(Origin.HOST, own, planned[0].proto, planned[0].host_port)
    return _traced(Client.HOST, reaches(after, question), own)


def _from_outside(proxy: Proxy, dst: IP, src: IP | None) -> Question:
    return Question(Origin.OUTSIDE, dst, proxy.proto, proxy.host_port, src=src)


def _neighbour(host: Host, version: int) -> IP | None:
    """An address on the network that this host's own packets leave by; its gateway's is as good as any."""
    gateways = (route.gateway for route in host.routes or () if route.default and route.family == version)
    return next((gateway for gateway in gateways if gateway is not None), None)


def _traced(who: Client, answer: Trace, at: IP) -> Reach:
    """Both parts of the path must end at a socket: to the proxy, and the proxy's own to the container."""
    for part in (answer, answer.then):
        if part is not None and part.verdict is Verdict.UNKNOWN:
            rules = tuple(dict.fromkeys(step.place for step in part.unsure[:3]))
            return Reach(who, None, say(Kind.DEPENDS_ON_RULES, rules=rules) if rules else _why(part))
        if part is not None and part.verdict not in (Verdict.PROXY, Verdict.DELIVERED):
            return Reach(who, False, say(Kind.NOT_REACHED, verdict=part.verdict.value, why=_why(part)))
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
