"""Who will reach a port that is not published yet: traced on this host with the port in its place, as far as this host
decides; else it says what decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from netdash.kernel.routing import OUTSIDE, entrance
from netdash.kernel.sockets import scope_of
from netdash.model.addresses import LOOPBACK
from netdash.model.host import IP, Host, Listener, Proxy, Scope
from netdash.publish.request import Mode
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.tracer import reaches


@dataclass(frozen=True, slots=True)
class Reach:
    """`yes` None: cannot be told from here; `why` says what decides."""

    who: str  # this host, its network, outside
    yes: bool | None
    why: str


_TRANSLATED = "Docker's rules let it in before ufw, firewalld zones and other input rules; DOCKER-USER can stop it"
_BEYOND = "as far as this host decides"


def reach(host: Host, mode: Mode, ips: tuple[IP, ...], planned: tuple[Proxy, ...]) -> tuple[Reach, ...]:
    """One line each for this host, its network and the world beyond. `planned`: one port's proxies, as they will be."""
    after = _with(host, planned)
    here = _here(after, ips, planned)
    if {scope_of(ip) for ip in ips} == {Scope.LOOPBACK}:
        closed = "bound to loopback"
        return here, Reach("its network", False, closed), Reach("outside", False, closed)
    if mode is not Mode.FORWARD or not planned:
        return here, Reach("its network", None, _TRANSLATED), Reach("outside", None, _TRANSLATED)
    proxy = planned[0]
    version = proxy.host_ip.version
    dst = entrance(version, host.links, host.routes)[1] if proxy.host_ip.is_unspecified else proxy.host_ip
    near = _neighbour(host, version)
    if dst is None:
        unknown = "this host's address towards its network is not known"
        return here, Reach("its network", None, unknown), Reach("outside", None, unknown)
    return (
        here,
        _told("its network", reaches(after, _from_outside(proxy, dst, near)), f"at {dst}"),
        _told("outside", reaches(after, _from_outside(proxy, dst, OUTSIDE[version])), f"at {dst}, {_BEYOND}"),
    )


def _with(host: Host, planned: tuple[Proxy, ...]) -> Host:
    """The host as it will be: the proxies run and listen."""
    if host.listeners is None:
        return host
    sockets = tuple(Listener(proxy.proto, proxy.host_ip, proxy.host_port, command=proxy.command) for proxy in planned)
    return replace(host, listeners=host.listeners + sockets, proxies=(host.proxies or ()) + planned)


def _here(after: Host, ips: tuple[IP, ...], planned: tuple[Proxy, ...]) -> Reach:
    own = LOOPBACK[ips[0].version] if ips[0].is_unspecified else ips[0]
    if not planned:
        return Reach("this host", None, "the image decides what listens")
    question = Question(Origin.HOST, own, planned[0].proto, planned[0].host_port)
    return _told("this host", reaches(after, question), f"at {own}")


def _from_outside(proxy: Proxy, dst: IP, src: IP | None) -> Question:
    return Question(Origin.OUTSIDE, dst, proxy.proto, proxy.host_port, src=src)


def _neighbour(host: Host, version: int) -> IP | None:
    """An address on the network that this host's own packets leave by; its gateway's is as good as any."""
    gateways = (route.gateway for route in host.routes or () if route.default and route.family == version)
    return next((gateway for gateway in gateways if gateway is not None), None)


def _told(who: str, answer: Trace, where: str) -> Reach:
    """Both parts of the way must end at a socket: to the proxy, and the proxy's own to the container."""
    for part in _parts(answer):
        if part.verdict is Verdict.UNKNOWN:
            rules = ", ".join(dict.fromkeys(one.place for one in part.unsure[:3]))
            return Reach(who, None, f"hangs on {rules}" if rules else _why(part))
        if part.verdict not in (Verdict.PROXY, Verdict.DELIVERED):
            return Reach(who, False, f"{part.verdict.value}: {_why(part)}")
    return Reach(who, True, where)


def _parts(answer: Trace) -> Iterator[Trace]:
    yield answer
    if answer.then is not None:
        yield answer.then


def _why(part: Trace) -> str:
    decision = part.decided_by
    if part.verdict is Verdict.FORWARDED:
        return "the routes lead elsewhere"
    if decision is None:
        return "it cannot be told from what was read"
    return f"{decision.step.place}: {decision.step.text}" if decision.step else decision.text
