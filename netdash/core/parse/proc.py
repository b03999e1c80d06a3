"""Processes, sockets and sysctls: docker-proxy command lines, `ss` and /proc/net listings -> records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from netdash.core.addresses import address, packed, subnet
from netdash.core.model import IP, Listener, Proxy, Route
from netdash.core.publish.state import OWN_PROXY

_USER = re.compile(r'"([^"]*)",pid=(\d+)')
_OPTION = re.compile(r"\s--?(proto|host-ip|host-port|container-ip|container-port)[= ](\S+)")
_ANY4, _ANY6 = IPv4Address(0), IPv6Address(0)


def parse_proxies(lines: str, memory: str | None) -> tuple[Proxy, ...]:
    """`PID PPID ARGV` (or `PID ARGV`) a line, and `PID BYTES` a line. A line that is no proxy's is left out."""
    sizes = dict(pair for line in (memory or "").splitlines() if (pair := _pair(line)))
    found = (parse_proxy(line) for line in lines.splitlines())
    return tuple(replace(one, rss=sizes.get(one.pid)) for one in found if one)


def parse_proxy(line: str) -> Proxy | None:
    pid, _, rest = line.strip().partition(" ")
    parent, _, argv = rest.strip().partition(" ")
    if not parent.isdigit():
        parent, argv = "", rest.strip()
    options = dict(_OPTION.findall(" " + argv))
    host_ip, container_ip = address(options.get("host-ip")), address(options.get("container-ip"))
    host_port, container_port = _number(options.get("host-port")), _number(options.get("container-port"))
    if not pid.isdigit() or host_ip is None or container_ip is None or host_port is None or container_port is None:
        return None
    return Proxy(
        pid=int(pid),
        ppid=int(parent) if parent else None,
        command=_command(argv),
        argv=argv,
        proto=options.get("proto", "tcp"),
        host_ip=host_ip,
        host_port=host_port,
        container_ip=container_ip,
        container_port=container_port,
    )


def _command(argv: str) -> str:
    """The program; netdash's own forwarder is run by Python, and says its name among the first words."""
    words = argv.split(" ", 6)
    return OWN_PROXY if OWN_PROXY in words[:6] else words[0].rsplit("/", 1)[-1]


def _pair(line: str) -> tuple[int, int] | None:
    words = line.split()
    return (int(words[0]), int(words[1])) if len(words) == 2 and words[0].isdigit() and words[1].isdigit() else None


def _number(value: str | None) -> int | None:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 6 else None


# --- listeners --------------------------------------------------------------------------------------------------------


def parse_listeners(lines: str) -> tuple[Listener, ...]:
    """`ss -Hltnup`: netid, state, queues, local, peer, users. A socket of several processes is the first one's."""
    found = (_listener(line) for line in lines.splitlines())
    return tuple(one for one in found if one)


def _listener(line: str) -> Listener | None:
    words = line.split(None, 6)
    if len(words) < 5 or words[0] not in ("tcp", "udp") or words[1] not in ("LISTEN", "UNCONN"):
        return None
    local, _, port = words[4].rpartition(":")
    number = _number(port)
    local, _, device = local.partition("%")
    ip = _ANY6 if local == "*" else _unmapped(address(local.strip("[]")))
    if number is None or ip is None:
        return None
    user = _USER.search(words[6]) if len(words) > 6 else None
    return Listener(
        proto=words[0],
        ip=ip,
        port=number,
        dual=local == "*",
        device=device.rstrip("]") or None,
        pid=int(user[2]) if user else None,
        command=user[1] if user else None,
    )


def _unmapped(ip: IP | None) -> IP | None:
    """An IPv6 socket bound to ::ffff:1.2.3.4 takes what comes for 1.2.3.4, and nothing else (__inet6_bind)."""
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def parse_proc_net(text: str) -> tuple[Listener, ...]:
    """/proc/PID/net/{tcp,tcp6,udp,udp6}, each after a line `## /proc/PID/net/NAME`: TCP in state 0A, UDP in 07.

    An IPv6 wildcard counts as dual: the files do not tell IPV6_V6ONLY, and Linux' default is off.
    """
    return tuple(listener for name, rows in _sections(text) for row in rows if (listener := _proc_socket(name, row)))


def parse_proc_gateways(text: str) -> frozenset[IP] | None:
    """Next hops of the default routes in /proc/PID/net/route (little-endian); None when it is not there."""
    _, found, after = text.partition("## /proc/PID/net/route\n")
    if not found:
        return None
    rows = (row.split() for row in after.partition("## ")[0].splitlines()[1:])
    defaults = (row[2] for row in rows if len(row) > 7 and (row[1], row[7]) == ("00000000", "00000000"))
    return frozenset(ip for ip in map(hexadecimal_address, defaults) if ip is not None)


def parse_proc_routes(text: str) -> tuple[Route, ...] | None:
    """The IPv4 routes of /proc/PID/net/route (little-endian), which are those of all tables but local, under "main";
    None when it is not there."""
    _, found, after = text.partition("## /proc/PID/net/route\n")
    if not found:
        return None
    rows = (row.split() for row in after.partition("## ")[0].splitlines()[1:])
    return tuple(route for row in rows if len(row) > 7 and (route := _proc_route(row)))


def _proc_route(row: list[str]) -> Route | None:
    net, gateway, mask = (hexadecimal_address(row[at]) for at in (1, 2, 7))
    if net is None or mask is None or net.version != 4:
        return None
    dst = subnet(f"{net}/{mask}")
    if dst is None or not row[3].isalnum() or not row[6].isdigit():
        return None
    flags = int(row[3], 16)
    kind = "unreachable" if flags & _REJECTS else "unicast"
    via = gateway if flags & _HAS_GATEWAY else None
    return Route(4, "main", kind, dst, via, None if row[0] == "*" else row[0], None, int(row[6]), None, None)


_HAS_GATEWAY, _REJECTS = 0x2, 0x200  # RTF_GATEWAY, RTF_REJECT


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    for section in text.split("## ")[1:]:
        title, _, body = section.partition("\n")
        name = title.strip().rsplit("/", 1)[-1]
        if name in ("tcp", "tcp6", "udp", "udp6"):
            yield name, body.splitlines()[1:]


def _proc_socket(name: str, row: str) -> Listener | None:
    words = row.split()
    proto = name[:3]
    if len(words) < 4 or words[3] != ("0A" if proto == "tcp" else "07"):
        return None
    host, _, port = words[1].partition(":")
    ip = _unmapped(hexadecimal_address(host))
    if ip is None or not port or words[2].rpartition(":")[2] not in ("0000", ""):
        return None
    try:
        return Listener(proto, ip, int(port, 16), dual=ip == _ANY6)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def hexadecimal_address(text: str) -> IP | None:
    """The kernel prints addresses as 32-bit words in host byte order (little endian wherever Docker runs)."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return packed(b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4)))


def parse_sysctls(text: str) -> Mapping[str, str]:
    """`name = value` a line, as `sysctl` prints it."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
