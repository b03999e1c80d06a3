"""The userland proxy: which one holds a socket, and from which address it answers. Walks nothing."""

from __future__ import annotations

from netdash.model.host import IP, Host, Listener, Proxy
from netdash.model.numbers import decimal
from netdash.model.processes import OWN_PROXY
from netdash.trace.forwarding import Way
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import lookups_of
from netdash.trace.run import Run

_AS_ASKED_SINCE = 28  # docker-proxy tells the kernel from which address it answers UDP (moby pull request 48571)


def proxy_of(net: Host, heard: Listener, dst: IP) -> Proxy | None:
    """The userland proxy that holds a socket: by its pid, else by its address and port. A recording may hold the pid of
    what started it; a process that only has the name of one has a `user`."""
    proxies = lookups_of(net).proxies
    known = proxies.get(heard.pid)
    if known is not None or heard.user is not None:
        return known[0] if known else None
    if heard.command is not None and "proxy" not in heard.command:
        return None
    same = [proxy for proxy in proxies.get((heard.proto, heard.port), ()) if proxy.holds_port]
    exact = [one for one in same if one.host_ip in (dst, heard.ip)]
    wild = [one for one in same if one.host_ip.is_unspecified]
    return next(iter(exact or wild), None)


def answers(run: Run, proxy: Proxy, way: Way, asked: IP | None) -> None:
    """Ends the run of an answer that its asker does not take: of UDP, a socket on every address answers from the one
    that the route to the asker prefers."""
    if proxy.proto != "udp" or not proxy.host_ip.is_unspecified or way.prefsrc in (None, asked):
        return
    by_route = _by_route(run, proxy)
    if by_route is None:
        by_route = run.choose(f"{proxy.command} answers from {way.prefsrc}")
    if by_route:
        what = f"{proxy.command} answers from {way.prefsrc}, not from {asked}: who asked that one does not take it"
        raise run.end(Verdict.DROPPED, proxy.command, what)


def _by_route(run: Run, proxy: Proxy) -> bool | None:
    """Whether a proxy leaves it to the route from where it answers; None where that is not known."""
    if proxy.command == OWN_PROXY:
        return True
    version = run.host.engine.version if run.host.engine else ""
    major = decimal(version.partition(".")[0])
    return None if proxy.command != "docker-proxy" or major is None else major < _AS_ASKED_SINCE
