"""Whether a socket answers a packet, and whether a host port is taken. Follows compute_score of
net/ipv4/inet_hashtables.c and udp.c, their IPv6 counterparts, and inet_rcv_saddr_equal of inet_connection_sock.c."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netdash.model.addresses import socket_text
from netdash.model.host import IP, Container, Link, Listener, Port, Scope

ByPort = Mapping[tuple[str, int], Sequence[Listener]]


def answers(socket: Listener, ip: IP, device: str | None) -> bool | None:
    """Whether a packet to `ip` that comes in by `device` is the socket's. None: the socket is bound to a device, and
    by which one the packet comes in is not known."""
    if not _covers(socket, ip):
        return False
    if socket.device is None or socket.device == device:
        return True
    return None if device is None else False


def _covers(socket: Listener, ip: IP) -> bool:
    return socket.ip == ip or (socket.ip.is_unspecified and (socket.ip.version == ip.version or socket.dual))


def find_listener(
    sockets: Iterable[Listener], proto: str, ip: IP, port: int | None, device: str | None
) -> tuple[Listener | None, bool]:
    """The socket that takes the packet, and whether that is certain. The kernel prefers the exact address, then the
    device, then the packet's own family."""
    asked = (
        (socket, answers(socket, ip, device)) for socket in sockets if socket.proto == proto and socket.port == port
    )
    found = [(listener, sure) for listener, sure in asked if sure is not False]
    if not found:
        return None, True
    best, sure = max(found, key=lambda each: (bool(each[1]), *_score(each[0], ip)))
    return best, bool(sure)


def _score(socket: Listener, ip: IP) -> tuple[bool, bool, bool]:
    return socket.ip == ip, socket.device is not None, socket.ip.version == ip.version


def by_port(sockets: Iterable[Listener]) -> ByPort:
    found: dict[tuple[str, int], list[Listener]] = {}
    for socket in sockets:
        found.setdefault((socket.proto, socket.port), []).append(socket)
    return found


def device_of(links: Iterable[Link] | None, ip: IP) -> str | None:
    """The device that has the address. A packet from a namespace to an address of its own counts as one that came in
    there, although lo carries it (ip_route_output_key_hash_rcu, ipv6_rcv)."""
    return next((link.name for link in links or () for own in link.addresses if own.ip == ip), None)


def device_inside(container: Container, ip: IP) -> str | None:
    """The container's device that packets to `ip` come in by, where its links or its routes were read."""
    read = container.inside
    if read is None:
        return None
    on_link = {
        route.dev for route in read.routes or () if route.gateway is None and route.dst.prefixlen and ip in route.dst
    }
    return device_of(read.links, ip) or (on_link.pop() if len(on_link) == 1 else None)


def inside(
    container: Container, proto: str, target: IP | None, port: int, sockets: ByPort | None = None
) -> tuple[Listener | None, bool | None]:
    """Who in the container's namespace takes what comes in for `target`, and whether anybody does; at any address but
    loopback where the target is not known. None: not known. `sockets`: its listeners, where many are asked for."""
    if container.listeners is None:
        return None, None
    here = container.listeners if sockets is None else sockets.get((proto, port), ())
    if target is None:
        same = [listener for listener in here if (listener.proto, listener.port) == (proto, port)]
        outward = [listener for listener in same if not listener.ip.is_loopback and listener.device != "lo"]
        best = min(outward, key=lambda listener: listener.device is not None, default=None)
        return best, best is not None and (True if best.device is None else None)
    best, sure = find_listener(here, proto, target, port, device_inside(container, target))
    return best, best is not None and (sure or None)


# --- ports of the host ------------------------------------------------------------------------------------------------


def holds(socket: Listener, ip: IP) -> bool:
    """Whether this socket is what holds the whole of `ip`: one that is bound to a device is not."""
    return socket.device is None and _covers(socket, ip)


def taken(port: Port) -> bool:
    """Whether a socket, or a rule that translates, has this port now; a published port counts although nobody holds
    it, and so does one whose holder is not known."""
    return port.live and (port.holder is None or port.holder.kind != "nobody" or port.container_id is not None)


def reserved(port: Port) -> bool:
    """The same, and what a stopped container is set up to take."""
    return taken(port) or not port.live


def scope_of(ip: IP, device: str | None = None) -> Scope:
    """What a socket that is bound to them may be asked by."""
    if device is not None:
        return Scope.DEVICE
    if ip.is_unspecified:
        return Scope.ALL
    return Scope.LOOPBACK if ip.is_loopback else Scope.ADDRESS


def bind_text(port: Port) -> str:
    """The address as ss prints it: * for both families, %DEVICE where the socket is bound to one."""
    ip = "*" if port.dual and port.host_ip.is_unspecified else str(port.host_ip)
    return f"{ip}%{port.device}" if port.device else ip


def bound_socket(port: Port) -> str:
    return socket_text(bind_text(port), port.host_port)


def overlaps(port: Port, ip: IP) -> bool:
    """Whether a socket cannot be bound to `ip` beside this port. That the port's socket is bound to a device does not
    help: the new one is bound to none, and so to every device."""
    if port.dual and port.host_ip.is_unspecified:
        return True
    if port.host_ip.version != ip.version:
        return False
    return port.host_ip == ip or port.host_ip.is_unspecified or ip.is_unspecified
