"""Who has a host port already, by address; and which ports are free. Pure: Host -> ports."""

from __future__ import annotations

from itertools import islice

from netdash.kernel.sockets import overlaps, reserved
from netdash.model.host import IP, Host, Port
from netdash.trace.taken_by_rules import ANYWHERE, TRIED, takers

LAST = 65535
UNPRIVILEGED = 1024


def conflicts(host: Host, proto: str, ip: IP, number: int) -> tuple[Port, ...]:
    """Ports that cannot be had beside this one: sockets and rules that are live, and what stopped containers are set up
    to take."""
    return tuple(
        port
        for port in host.ports or ()
        if (port.proto, port.host_port) == (proto, number) and overlaps(port, ip) and reserved(port)
    )


def choose(
    host: Host, proto: str, container_ports: tuple[int, ...], without: frozenset[int] = frozenset()
) -> tuple[int, ...] | None:
    """Host ports of netdash's choice, one after the other as the container's are; the container's own numbers where
    those are free. `without`: not these. None when there are none, or when the host's sockets are not known."""
    if host.listeners is None or not container_ports:
        return None
    taken = {port.host_port for port in host.ports or () if port.proto == proto and reserved(port)}
    taken |= without
    first, span = container_ports[0], container_ports[-1] - container_ports[0]
    start = first if first >= UNPRIVILEGED else first + 8000
    bases = (*range(start, LAST - span + 1), *range(UNPRIVILEGED, start))
    blocks = (tuple(base + port - first for port in container_ports) for base in bases)
    unused = (block for block in blocks if not taken.intersection(block))
    return next((block for block in islice(unused, TRIED) if not _translated(host, proto, block)), None)


def _translated(host: Host, proto: str, block: tuple[int, ...]) -> bool:
    return any(takers(host, proto, ANYWHERE, port)[0] for port in block)
