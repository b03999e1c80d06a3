"""What a form for a published port offers and says of what is typed: which host ports are free, which container
ports are those of databases, choices and notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from netdash.kernel import sockets
from netdash.kernel.sockets import bound_socket, reserved, taken
from netdash.model.addresses import Spec
from netdash.model.host import IP, Container, Host, Listener, Port, Rule
from netdash.model.index import index_of
from netdash.model.records import dataclass
from netdash.publish import checks
from netdash.publish.checks import Preflight, choose
from netdash.publish.plan import bound, has_ipv6
from netdash.publish.request import Mode, last_word
from netdash.trace.nat_rules import ANYWHERE, TRIED, takers, unread
from netdash.view.statements import refusal as refusal_text
from netdash.view.text import Span, Tone, clean

_PORTS = {
    1433: "SQL Server",
    1521: "Oracle",
    2379: "etcd",
    3306: "MySQL",
    5432: "PostgreSQL",
    5672: "RabbitMQ",
    5984: "CouchDB",
    6379: "Redis",
    7687: "Neo4j",
    8086: "InfluxDB",
    9042: "Cassandra",
    9200: "Elasticsearch",
    9300: "Elasticsearch",
    11211: "Memcached",
    15672: "RabbitMQ",
    27017: "MongoDB",
}
_IMAGES = frozenset(
    "postgres postgresql postgis timescaledb mysql mysql-server mariadb percona redis redis-stack valkey keydb mongo "
    "mongodb memcached elasticsearch opensearch rabbitmq cassandra scylla couchdb neo4j influxdb clickhouse-server "
    "cockroach etcd".split()
)


def database_or_queue(image: str | None, spec: Spec) -> str:
    """The reason for people: "5432 is PostgreSQL's port"; "" where neither port nor image is known as a database's."""
    known = next((port.container_port for port in spec.ports if port.container_port in _PORTS), None)
    if known is not None:
        return f"{known} is {_PORTS[known]}'s port"
    name = last_word(image or "")
    return f"{name} is a database" if name in _IMAGES else ""


LAST = 65535
_UNPRIVILEGED = 1024  # any program may bind from here on (net.ipv4.ip_unprivileged_port_start)
OFFERS = 5  # free ports that are named


@dataclass(frozen=True, slots=True)
class Answer:
    """`free` None: cannot be told. `taken_by` holds what is live, `wanted_by` what is set up on stopped containers,
    `rules` those that translate what comes in for the port, `unsure` those that may."""

    proto: str
    number: int
    free: bool | None
    taken_by: tuple[Port, ...]
    wanted_by: tuple[Port, ...]
    offers: tuple[int, ...]  # next free ones; empty when they cannot be told
    rules: tuple[Rule, ...] = ()
    unsure: tuple[Rule, ...] = ()


def look(host: Host, proto: str, number: int) -> Answer:
    """A port is taken by a socket, or by a rule of nat that leads its packets elsewhere. Free needs every host socket,
    all rules and the containers to have been read; taken does not."""
    same = [port for port in host.ports or () if port.proto == proto]
    here = [port for port in same if port.host_port == number]
    by = tuple(port for port in here if taken(port))
    rules, unsure = takers(host, proto, ANYWHERE, number)
    known = not unread(host)
    free = False if by or rules else True if known and not unsure else None
    offers: tuple[int, ...] = ()
    if known:
        used = {port.host_port for port in same if reserved(port)}
        offers = tuple(islice(_offers(host, proto, number, used), OFFERS))
    wanted = tuple(port for port in here if not port.live)
    return Answer(proto, number, free, by, wanted, offers, rules, unsure)


def _offers(host: Host, proto: str, number: int, used: set[int]) -> Iterator[int]:
    unused = (port for port in range(max(number + 1, _UNPRIVILEGED), LAST + 1) if port not in used)
    return (port for port in islice(unused, TRIED) if takers(host, proto, ANYWHERE, port) == ((), ()))


def sentences(host: Host, answer: Answer) -> list[str]:
    """The answer in lines of plain text, safe to print."""
    what = f"{answer.number}/{answer.proto}"
    if answer.free is None:
        lines = [f"{what}: not known, {_lacking(host, answer)}"]
    elif answer.free:
        lines = [f"{what} is free"]
    else:
        lines = [f"{what} is taken by {who}" for who in _takers(host, answer)]
        lines += [f"{what} is taken by rule {clean(rule.place)}: {clean(rule.text)}" for rule in answer.rules]
    lines += [f"{what} is wanted by {_wanted_by(host, port)}" for port in answer.wanted_by]
    if answer.offers and not answer.free:
        lines.append(f"next free: {' '.join(map(str, answer.offers))}")
    return lines


def _lacking(host: Host, answer: Answer) -> str:
    if why := unread(host):
        return clean(why, 200)
    return f"rule {', '.join(clean(rule.place) for rule in answer.unsure[:3])} may take it"


def _takers(host: Host, answer: Answer) -> Iterator[str]:
    """Each container once, with what holds its sockets; what is no container's by its sockets."""
    sockets: dict[str, list[Port]] = {}
    for port in answer.taken_by:
        owner = _owner(host, port) if port.container_id else _holder(port) or "a socket that is nobody's"
        sockets.setdefault(owner, []).append(port)
    for owner, ports in sockets.items():
        held = _together(_holder(port) for port in ports if port.container_id)
        bound = ", ".join(clean(bound_socket(port)) for port in ports)
        yield f"{owner} ({'; '.join(filter(None, [bound, held]))})"


def _together(holders: Iterable[str]) -> str:
    """docker-proxy 20911, 20916"""
    pids: dict[str, list[str]] = {}
    for holder in dict.fromkeys(filter(None, holders)):
        name, _, pid = holder.rpartition(" ")
        pids.setdefault(name, []).append(pid)
    return "; ".join(f"{name} {', '.join(found)}".strip() for name, found in pids.items())


def _holder(port: Port) -> str:
    holder = port.holder
    if holder is None or holder.kind == "nobody":
        return ""
    if holder.kind == "rule" and port.dnat is not None:
        return f"rule {clean(port.dnat.place)} alone"
    name = clean(holder.command or holder.kind, 40)
    return f"{name} {holder.pid}" if holder.pid else name


def _wanted_by(host: Host, port: Port) -> str:
    owner = _owner(host, port)
    return f"netdash's forward to {owner}, which waits" if port.waiting else f"{owner}, which is not running"


def _owner(host: Host, port: Port) -> str:
    return clean(index_of(host).name(port.container_id) or (port.container_id or "?")[:12])


MOST = 12  # choices of one field
_INNER = ("bridge", "veth", "dummy", "macvlan", "ipvlan")


@dataclass(frozen=True, slots=True)
class Offer:
    """`text` is what the field will hold, `told` what is shown of it; `proto` where it decides that too."""

    text: str
    told: str
    proto: str = ""


def container_ports(container: Container) -> tuple[Offer, ...]:
    """What listens inside and what is exposed; first what is both."""
    exposed = tuple((proto, port) for port, proto in container.exposed if proto in ("tcp", "udp"))
    heard: dict[tuple[str, int], Listener] = {}
    for listener in container.listeners or ():
        if not listener.ip.is_loopback and listener.proto in ("tcp", "udp"):
            heard.setdefault((listener.proto, listener.port), listener)
    keys = sorted({*exposed, *heard}, key=lambda key: (key not in heard, key not in exposed, key[0], key[1]))
    known = container.listeners is not None
    return tuple(
        Offer(str(port), _port_told(proto, port, heard.get((proto, port)), known), proto) for proto, port in keys[:MOST]
    )


def _port_told(proto: str, port: int, socket: Listener | None, known: bool) -> str:
    if socket is not None:
        return f"{port}/{proto} {clean(socket.command, 16) if socket.command else 'listens'}"
    return f"{port}/{proto} exposed{', nobody listens' if known else ''}"


def inside_note(container: Container, spec: Spec) -> Span:
    """Who listens behind a container's port; of a range, behind its first."""
    port = spec.ports[0].container_port
    if container.listeners is None:
        return Span("? who listens inside could not be read", Tone.UNKNOWN)
    ips = [address.ip for end in container.endpoints for address in end.addresses]
    found = [sockets.inside(container, spec.proto, ip, port) for ip in ips or (None,)]
    heard = next((socket for socket, listening in found if socket and listening), None)
    if heard is not None:
        return Span(f"● {clean(heard.command, 30)} listens" if heard.command else "● something listens", Tone.GOOD)
    device = next((socket.device for socket, listening in found if socket and listening is None), None)
    if device is not None:
        return Span(f"? listens only at device {device}", Tone.UNKNOWN)
    return Span("nothing listens on it now", Tone.WARN)


def host_ports(host: Host, proto: str, inside: tuple[int, ...]) -> tuple[Offer, ...]:
    """Free ones of the host, the likeliest first; of a range only the whole of it. None where sockets are not known."""
    first = choose(host, proto, inside)
    if first is None:
        return ()
    if len(inside) > 1:
        return (Offer(f"{first[0]}-{first[-1]}", f"{first[0]}-{first[-1]}"),)
    return tuple(Offer(str(port), str(port)) for port in (first[0], *look(host, proto, first[0]).offers))


def host_note(host: Host, spec: Spec, facts: Preflight | None, mode: Mode | None, force: bool) -> Span:
    """Whether the host's port can be had, and who has it."""
    numbers = [port.host_port for port in spec.ports if port.host_port is not None]
    if not numbers:
        return Span("of netdash's choice", Tone.DIM)
    low = checks.lowest_port(host, facts, mode) if facts else None
    for number in numbers:
        for refusal in checks.port_refusals(host, low, spec.proto, bound(host, spec.bind), number, force):
            return Span(f"✗ {clean(refusal_text(refusal))}", Tone.BAD)
    if host.listeners is None:
        return Span("? the host's sockets could not be read", Tone.UNKNOWN)
    return Span("free", Tone.GOOD)


def addresses(host: Host) -> tuple[Offer, ...]:
    """Every one, loopback, and those that the host is reached by."""
    ips: list[IP] = []
    for link in host.links or ():
        if link.kind not in _INNER and link.name != "lo":
            ips += [address.ip for address in link.addresses if not address.ip.is_link_local]
    loopback = ("127.0.0.1", *(("::1",) if has_ipv6(host) else ()))
    found = (Offer("", "every address"), *(Offer(ip, ip) for ip in (*loopback, *map(str, ips))))
    return found[:MOST]


def address_note(host: Host, bind: IP | None, mode: Mode | None, database: str = "") -> Span:
    """`database`: why the port is a database's, "" where it is none."""
    refusal = checks.bind_refusal(host, bind)
    if refusal:
        return Span(f"✗ {clean(refusal_text(refusal))}", Tone.BAD)
    if bind is not None and not bind.is_unspecified:
        why = f", as {database}" if database else ""
        return Span(f"this host only{why}", Tone.DIM) if bind.is_loopback else Span("")
    if database and mode is Mode.FORWARD:
        return Span(f"from everywhere, and {database}", Tone.WARN)
    if mode is Mode.FORWARD:
        return Span("from everywhere that the firewall lets in", Tone.DIM)
    return Span("from everywhere, past ufw and firewalld zones", Tone.WARN)
