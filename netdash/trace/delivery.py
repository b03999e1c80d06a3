"""Where a packet ends: the socket or the kernel that takes it in one network namespace; and the userland proxy, from
which address it answers.

Walks nothing."""

from __future__ import annotations

from ipaddress import ip_address

from netdash.kernel.sockets import device_of, find_listener
from netdash.model.addresses import socket_text
from netdash.model.host import IP, Host, Listener, Proxy
from netdash.model.numbers import decimal
from netdash.model.processes import OWN_PROXY
from netdash.model.records import replace
from netdash.model.source import Source
from netdash.trace.chains import ip_hook
from netdash.trace.container_namespace import Namespace, arrival, bound_to
from netdash.trace.forwarding import way_out
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import lookups_of, number
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
    exact = [proxy for proxy in same if proxy.host_ip in (dst, heard.ip)]
    wild = [proxy for proxy in same if proxy.host_ip.is_unspecified]
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


_PORTLESS = ("icmp", "ipv6-icmp")
_RESOLVER = (ip_address("127.0.0.11"), 53)


def local(run: Run) -> Ended:
    """ip_local_deliver, and the socket."""
    run.packet = replace(run.packet, oif="")
    ip_hook(run, "input")
    space = run.space
    run.end_at = space
    run.connection.confirmed = True
    place = "this host" if space is None else space.name
    if space is None:
        run.hop(place)
    elif space.container.state == "paused":
        run.say("paused: its kernel answers, its processes do not")
    if run.later or run.connection.answering:
        return Ended(Verdict.DELIVERED, None)
    if run.packet.proto in _PORTLESS:
        return _echoed(run)
    if run.packet.proto == "tcp" and run.packet.dst_type in ("BROADCAST", "MULTICAST"):
        return run.end(Verdict.DROPPED, place, f"TCP takes nothing that is sent to {run.packet.dst}, which many have")
    return _listening(run, place)


def _echoed(run: Run) -> Ended:
    """icmp_echo and icmpv6_echo_reply: this kernel answers, unless it was told not to."""
    name = "net.ipv4.icmp_echo_ignore_all" if run.packet.family == 4 else "net.ipv6.icmp.echo_ignore_all"
    many = "net.ipv4.icmp_echo_ignore_broadcasts"
    to_many = run.packet.family == 4 and run.packet.dst_type in ("BROADCAST", "MULTICAST")
    if to_many and number(run.net, many) != 0:  # it starts as 1
        run.stop(Verdict.DROPPED, run.at(many), f"{many}{run.inside} is 1: the kernel does not answer such a ping")
    if number(run.net, name):
        run.stop(Verdict.DROPPED, run.at(name), f"{name}{run.inside} is 1: the kernel does not answer a ping")
    return Ended(Verdict.DELIVERED, None)


def _listening(run: Run, place: str) -> Ended:
    packet = run.packet
    where = "here" if run.space is None else run.inside.strip()
    if run.net.listeners is None or packet.dst is None or packet.dport is None:
        return run.end(Verdict.UNKNOWN, place, f"which sockets listen {where} is not known")
    proto = packet.proto or ""
    listeners = lookups_of(run.net).sockets.get((proto, packet.dport), ())
    heard, sure = find_listener(listeners, proto, packet.dst, packet.dport, _heard_at(run, packet.dst))
    if heard is not None and not sure:
        return run.end(Verdict.UNKNOWN, place, bound_to(heard))
    if heard is None:
        elsewhere = next(iter(listeners), None) if run.space is not None else None
        hint = f"{run.inside}{f', only on {elsewhere.ip}' if elsewhere else ''}"
        what = f"nothing listens on {socket_text(packet.dst, packet.dport)}/{proto}{hint}"
        if (packet.dst, packet.dport) == _RESOLVER and run.space is not None and run.net.ruleset is None:
            what = f"the engine's resolver answers there by rules{run.inside}, which were not read"
            return run.end(Verdict.UNKNOWN, place, what)
        return run.end(Verdict.NO_LISTENER, place, what)
    if heard.full:
        what = f"its queue of connections is full: {socket_text(heard.ip, heard.port)}{run.inside} accepts none"
        return run.end(Verdict.DROPPED, place, what)
    run.heard = heard
    if run.net.proxies is None and (heard.command is None or "proxy" in heard.command):
        run.without(Source.PROXIES, "the userland proxies")
    by = proxy_of(run.net, heard, packet.dst)
    if by is not None:
        run.say(f"{by.command} (pid {by.pid}) takes it for {socket_text(by.container_ip, by.container_port)}")
        run.end_at = by
        _stopped(run, by.command, by.pid, bool(by.stopped))
        return Ended(Verdict.PROXY, None)
    if heard.program in _KEEPERS and run.space is None:
        return run.end(Verdict.NO_LISTENER, "this host", f"{heard.program} only keeps the port: it answers nobody")
    run.say(f"{heard.program or 'a process'} listens on {socket_text(heard.ip, heard.port)}")
    _stopped(run, heard.program, heard.pid, heard.stopped)
    return Ended(Verdict.DELIVERED, None)


_KEEPERS = ("dockerd", "conmon")
"""Of an engine without a proxy: it listens on a published port so that nobody else takes it."""


def _stopped(run: Run, program: str | None, pid: int | None, stopped: bool) -> None:
    if stopped:
        run.silent = f"{program or 'the process'} (pid {pid}) is stopped (SIGSTOP): it answers nobody"
        run.say("it is stopped: its kernel takes what comes, the process answers nobody")


def _heard_at(run: Run, dst: IP) -> str | None:
    """The device that sockets see the packet come in by."""
    device = run.packet.iif
    if isinstance(run.space, Namespace):
        return arrival(run.space, device or "", dst)
    return (device_of(run.host.links, dst) or "lo") if device == "lo" else device
