"""The userland proxy: which one holds a socket, and from which address it answers. Walks nothing."""

from __future__ import annotations

from netdash.model.addresses import socket_text
from netdash.model.host import IP, Host, Listener, Proxy
from netdash.model.numbers import decimal
from netdash.model.processes import OWN_PROXY
from netdash.trace.forwarding import way_out
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import lookups_of
from netdash.trace.run import Ended, Run

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


def answers(run: Run, heard: Listener, proxy: Proxy | None, asked: IP | None) -> None:
    """Ends the run of an answer that its asker does not take: of UDP, a socket on every address answers from the one
    that the route to the asker prefers, unless its program tells the kernel another (IP_PKTINFO)."""
    if heard.proto != "udp" or not heard.ip.is_unspecified or asked is None or run.answered_before():
        return
    by_route = _by_route(run, heard, proxy)
    if by_route is False:
        return
    name = proxy.command if proxy is not None else heard.program or f"the socket on {socket_text(heard.ip, heard.port)}"
    try:
        source = way_out(run.aside(), None).prefsrc
    except Ended:
        if by_route or run.choose(f"{name}{run.inside} looks for a route without naming {asked} as its source"):
            raise
        return
    if source in (None, asked):
        return
    if by_route is None:
        by_route = run.choose(f"{name}{run.inside} answers from {source}, as the route to who asks prefers")
    if by_route:
        what = f"{name} answers from {source}, not from {asked}: who asked that one does not take it"
        raise run.end(Verdict.DROPPED, name, what)


def _by_route(run: Run, heard: Listener, proxy: Proxy | None) -> bool | None:
    """Whether a program leaves it to the route from where it answers; None where that is not known."""
    if proxy is None:
        return False if heard.program in _AS_ASKED else None
    if proxy.command == OWN_PROXY:
        return True
    version = run.host.engine.version if run.host.engine else ""
    major = decimal(version.partition(".")[0])
    return None if proxy.command != "docker-proxy" or major is None else major < _AS_ASKED_SINCE


_AS_ASKED = ("chronyd", "coredns", "dnsmasq", "pihole-FTL")  # programs that answer from the address that was asked
