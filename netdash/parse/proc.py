"""Processes, sockets, sysctls, name servers: docker-proxy command lines, `ss`, /proc/net, resolv.conf -> records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from netdash.model.addresses import address, packed, subnet
from netdash.model.host import IP, Listener, Proxy, Resolver, Route
from netdash.model.kernel_state import ProxySocket
from netdash.model.memory import CachedMap
from netdash.model.numbers import decimal
from netdash.model.processes import OWN_PROXY

_USER = r'\("(.{0,15}?)",pid=(\d{1,10}),fd=\d{1,10}\)'
_USERS = re.compile(rf"users:\({_USER}(?:,{_USER})*\)", re.DOTALL)
_OLD_USERS = re.compile(r"users:\(\(.*,\d+,\d+\)\)")  # iproute2 before 3.13 wrote no words before the numbers
_OPTION = re.compile(r"\s--?(proto|host-ip|host-port|container-ip|container-port)[= ](\S+)")
_ANY4, _ANY6 = IPv4Address(0), IPv6Address(0)


def parse_proxies(lines: str, each: CachedMap | None = None) -> tuple[Proxy, ...]:
    """`PID PPID ARGV` (or `PID ARGV`) a line. A line that is no proxy's is left out."""
    split = lines.split("\n")  # not splitlines(): an argument may hold its other ends
    return tuple(filter(None, (each or CachedMap(str))(parse_proxy, split)))


def parse_memory(lines: str | None) -> Mapping[int, int]:
    """`PID BYTES` a line: what a process holds in memory."""
    return dict(pair for line in (lines or "").split("\n") if (pair := _pair(line)))


def parse_proxy(line: str) -> Proxy | None:
    pid, _, rest = line.strip().partition(" ")
    parent, _, argv = rest.strip().partition(" ")
    number, parent_number = decimal(pid), decimal(parent)
    if parent_number is None:
        argv = rest.strip()
    options = dict(_OPTION.findall(" " + argv))
    host_ip, container_ip = address(options.get("host-ip")), address(options.get("container-ip"))
    host_port, container_port = _port(options.get("host-port")), _port(options.get("container-port"))
    if number is None or host_ip is None or container_ip is None or host_port is None or container_port is None:
        return None
    return Proxy(
        pid=number,
        ppid=parent_number,
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
    numbers = [decimal(word) for word in line.split()]
    match numbers:
        case [int(pid), int(size)]:
            return pid, size
        case _:
            return None


def _port(value: str | None) -> int | None:
    return decimal(value) if value and len(value) < 6 else None


# --- listeners --------------------------------------------------------------------------------------------------------


def parse_listeners(lines: str, each: CachedMap | None = None) -> tuple[Listener, ...]:
    """`ss -Hltnup`: netid, state, queues, local, peer, users. A socket of several processes is the first one's.

    A process chooses its name, up to 15 characters that ss prints as they are. So the part with the names has to be as
    ss writes it from its beginning to the end of the line. Raises ValueError where it is not: it may be a name with an
    end of a line in it, and the next line a part of that name."""
    return tuple(filter(None, (each or CachedMap(str))(_listener, lines.split("\n"))))


def _listener(line: str) -> Listener | None:
    words = line.split(None, 6)
    users = words[6].strip() if len(words) > 6 else ""
    user = _USERS.fullmatch(users)
    if users.startswith("users:") and not user and not _OLD_USERS.fullmatch(users):
        raise ValueError("a line with the name of a process does not end")
    if len(words) < 5 or words[0] not in ("tcp", "udp") or words[1] not in ("LISTEN", "UNCONN"):
        return None
    local, _, port = words[4].rpartition(":")
    number = _port(port)
    local, _, device = local.partition("%")
    ip = _ANY6 if local == "*" else _unmapped(address(local.strip("[]")))
    if number is None or ip is None:
        return None
    return Listener(
        proto=words[0],
        ip=ip,
        port=number,
        dual=local == "*",
        device=device.rstrip("]") or None,
        pid=int(user[2]) if user else None,
        command=user[1] if user else None,
        full=words[1] == "LISTEN" and words[2].isdigit() and words[3].isdigit() and int(words[2]) > int(words[3]),
    )


def parse_proxy_sockets(lines: str) -> tuple[ProxySocket, ...]:
    """`ss -HOtunpi`: netid, state, queues, local, peer, users, what was carried. What is no such line is left out."""
    return tuple(filter(None, map(_proxy_socket, lines.split("\n"))))


_ENDED = ("CLOSE-WAIT", "LAST-ACK", "CLOSING")  # the peer's FIN came, which counts as a byte


def _proxy_socket(line: str) -> ProxySocket | None:
    words = line.split(None, 6)
    if len(words) < 7 or words[0] not in ("tcp", "udp"):
        return None
    user = _USERS.match(words[6])
    ends = [
        (_unmapped(address(ip.strip("[]"))), _port(port)) for ip, _, port in (w.rpartition(":") for w in words[4:6])
    ]
    match user, ends:
        case [re.Match(), [(IPv4Address() | IPv6Address() as ip, int(port)), (peer, int(peer_port))]] if peer:
            told = dict(_CARRIED.findall(words[6][user.end() :]))
        case _:
            return None
    numbers = {name: decimal(value) for name, value in told.items()}
    received, sent = numbers.get("bytes_received", 0), numbers.get("bytes_sent", 0)
    again, counts = numbers.get("bytes_retrans", 0), bool(numbers)
    fin = words[1] in _ENDED
    return ProxySocket(
        pid=int(user[2]),
        proto=words[0],
        local=(ip, port),
        peer=(peer, peer_port),
        received=received - fin if counts and words[2] == "0" and received is not None else None,
        sent=sent - again if counts and words[3] == "0" and sent is not None and again is not None else None,
        received_ago=numbers.get("lastrcv") or 0,
        sent_ago=numbers.get("lastsnd") or 0,
    )


_CARRIED = re.compile(r"\b(bytes_sent|bytes_retrans|bytes_received|lastsnd|lastrcv|rto|cwnd):(\d{1,19})\b")
"""`ss` leaves out what is 0: the others tell that it was asked."""


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
    rows = (row.split() for row in after.partition("## ")[0].split("\n")[1:])
    defaults = (row[2] for row in rows if len(row) > 7 and (row[1], row[7]) == ("00000000", "00000000"))
    return frozenset(ip for ip in map(hexadecimal_address, defaults) if ip is not None)


def parse_proc_routes(text: str) -> tuple[Route, ...] | None:
    """The IPv4 routes of /proc/PID/net/route (little-endian), which are those of all tables but local, under "main";
    None when it is not there."""
    _, found, after = text.partition("## /proc/PID/net/route\n")
    if not found:
        return None
    rows = (row.split() for row in after.partition("## ")[0].split("\n")[1:])
    return tuple(route for row in rows if len(row) > 7 and (route := _proc_route(row)))


def _proc_route(row: list[str]) -> Route | None:
    net, gateway, mask = (hexadecimal_address(row[at]) for at in (1, 2, 7))
    if net is None or mask is None or net.version != 4:
        return None
    dst, metric = subnet(f"{net}/{mask}"), decimal(row[6])
    if dst is None or metric is None or not _FLAGS.fullmatch(row[3]):
        return None
    flags = int(row[3], 16)
    kind = "unreachable" if flags & _REJECTS else "unicast"
    via = gateway if flags & _HAS_GATEWAY else None
    return Route(4, "main", kind, dst, via, None if row[0] == "*" else row[0], None, metric, None, None)


_FLAGS = re.compile("[0-9A-Fa-f]{1,8}")
_HAS_GATEWAY, _REJECTS = 0x2, 0x200  # RTF_GATEWAY, RTF_REJECT


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    for section in text.split("## ")[1:]:
        title, _, body = section.partition("\n")
        name = title.strip().rsplit("/", 1)[-1]
        if name in ("tcp", "tcp6", "udp", "udp6"):
            yield name, body.split("\n")[1:]


def _proc_socket(name: str, row: str) -> Listener | None:
    words = row.split()
    proto = name[:3]
    if len(words) < 4 or words[3] != ("0A" if proto == "tcp" else "07"):
        return None
    host, _, port = words[1].partition(":")
    ip = _unmapped(hexadecimal_address(host))
    if ip is None or words[2].rpartition(":")[2] not in ("0000", ""):
        return None
    return Listener(proto, ip, int(port, 16), dual=ip == _ANY6) if _PORT.fullmatch(port) else None


_PORT = re.compile("[0-9A-Fa-f]{4}")


@lru_cache(maxsize=4096)
def hexadecimal_address(text: str) -> IP | None:
    """The kernel prints addresses as 32-bit words in host byte order (little endian wherever Docker runs)."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return packed(b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4)))


def parse_sysctls(text: str) -> Mapping[str, str]:
    """`name = value` a line, as `sysctl` prints it; the name may be of a device, which has no space in it. A value that
    the kernel would not print is not known."""
    pairs = (line.partition(" =") for line in text.split("\n"))
    return {name.strip(): value.strip() for name, found, value in pairs if found and _VALUE.fullmatch(value)}


_VALUE = re.compile(r"[ -~\t]{0,256}")


# --- /etc/resolv.conf and /etc/hosts of a container: whom it asks for names, and the names that it knows --------------

_NOTED = re.compile(r"^#\s*ExtServers:\s*\[([^]]*)\]", re.MULTILINE)
_FROM_HOST = re.compile(r"^host\((.*)\)$")


def parse_resolver(text: str) -> Resolver:
    """Docker 25 and later note in a comment whom their own resolver asks: `# ExtServers: [host(8.8.8.8) 1.1.1.1]`."""
    servers = [words[1] for line in text.splitlines() if (words := line.split())[:1] == ["nameserver"] and words[1:]]
    noted = _NOTED.search(text)
    upstreams, from_host = _upstreams(noted[1]) if noted else (None, frozenset())
    return Resolver(tuple(ip for server in servers if (ip := address(server))), upstreams, from_host)


def _upstreams(words: str) -> tuple[tuple[IP, ...], frozenset[IP]]:
    found, from_host = [], []
    for word in words.split():
        by_host = _FROM_HOST.match(word)
        ip = address(by_host[1] if by_host else word)
        if ip is not None:
            found.append(ip)
            from_host += [ip] if by_host else []
    return tuple(found), frozenset(from_host)


def parse_names(text: str) -> tuple[tuple[IP, str], ...]:
    """`ADDRESS NAME …` a line."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return tuple((ip, name) for words in lines if words and (ip := address(words[0])) for name in words[1:])
