"""What a form for a published port offers and says of what is typed: Host -> choices and notes. Pure."""

from __future__ import annotations

from netdash.kernel import sockets
from netdash.model.addresses import Spec
from netdash.model.host import IP, Container, Host, Listener
from netdash.model.records import dataclass
from netdash.publish import checks
from netdash.publish.checks import Preflight, choose
from netdash.publish.plan import bound, has_ipv6
from netdash.publish.request import Mode
from netdash.view.free_ports import look
from netdash.view.statements import refusal as refusal_text
from netdash.view.text import Span, Tone, clean

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
