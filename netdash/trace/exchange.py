"""Whether who asks gets its answer: the answer's way back, and of TCP the packets with data after the handshake."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from netdash.kernel.conntrack_entries import flows_of, one_sided, ports_left, unanswered, waits
from netdash.model.addresses import socket_text
from netdash.model.host import Container, Host, Proxy
from netdash.model.index import index_of
from netdash.model.packet import Packet
from netdash.model.records import dataclass, replace
from netdash.trace.connection import Connection, answer_to, with_data
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.model import Decision, Exchange, Origin, Question, Reply, Verdict
from netdash.trace.path import Outlet, from_container, from_host, from_outlet, from_outside
from netdash.trace.return_routes import Lacking, comes_back, comes_in_by, leaves_elsewhere, turned_back
from netdash.trace.run import Choices, Ended, Explored, Run, Walked, explore, undecided, walk


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and how its packets set out."""

    host: Host
    question: Question
    start: Callable[[Run], Ended]


_Answered = tuple[Reply, Walked]
_OK = Exchange(True)


def exchanged(asking: Asking, first: Walked) -> tuple[Reply | None, Exchange]:
    """The way back of the first answer, and what becomes of the whole exchange that `first` opens."""
    got = first.run.packet
    if first.run.proven:
        return None, _OK
    if got.src is None or got.dst is None:
        return None, Exchange(None, Decision("answer", "the packet's addresses are not known where it ends"))
    if got.proto == "udp":
        _remember_stale(asking.host, first.run)
    if _to_many(got):
        return _by_one_of_many(asking, first)
    if astray := _astray(asking.host, first):
        return None, astray
    if asking.question.origin is Origin.OUTSIDE and (turned := turned_back(asking.host, first.run)):
        return None, Exchange(turned[0], Decision("routes", turned[1]))
    reply, back = _answer(first, answer_to(got), first.run.connections)
    found = _judged(asking, first, back, reply, "the answer")
    if found.answered is False or got.tcp_flags is None:
        return reply, _silenced(asking, first, found)
    later = _with_data(asking, first, back) if reply.verdict.arrives else found
    return reply, _silenced(asking, first, later if later.answered is False or found.answered else found)


def _astray(host: Host, first: Walked) -> Exchange | None:
    """A packet for an address of a bridge network that leaves this host by another device: whoever has that address out
    there is not the container; whether anybody has one that is no container's is not known."""
    got, device = first.run.packet, first.run.end_at
    if first.verdict is not Verdict.FORWARDED or not isinstance(device, str) or got.dst is None:
        return None
    index = index_of(host)
    for container, end in index.ends_at(got.dst):
        bridge = index.bridge(end)
        if bridge and bridge != device:
            text = f"{got.dst} is {container.name}'s address on {bridge}, and the packet leaves by {device}"
            return Exchange(False, Decision("routes", text))
    for network in index.networks_around(got.dst):
        if network.bridge not in (None, device):
            text = f"{got.dst} is in the subnet of {network.bridge}, and the packet leaves by {device}"
            return Exchange(None, Decision("routes", text))
    return None


def _to_many(got: Packet) -> bool:
    return got.dst_type in ("BROADCAST", "MULTICAST")


def _by_one_of_many(asking: Asking, first: Walked) -> tuple[Reply | None, Exchange]:
    """The answer to a broadcast comes from the receiver's own address: to conntrack it is a flow of its own."""
    got, at = first.run.packet, first.run.end_at
    if isinstance(at, str | Outlet):
        return None, Exchange(None, Decision("answer", f"who answers on {got.dst} is not known"))
    reply, back = _answer(first, replace(answer_to(got), src=None), {})
    return reply, _silenced(asking, first, _judged(asking, first, back, reply, "the answer"))


def _silenced(asking: Asking, first: Walked, found: Exchange) -> Exchange:
    """A frozen or stopped process keeps its sockets: the kernel takes packets and connections, and nobody answers."""
    if found.answered is False:
        return found
    frozen = _frozen(asking, first)
    return found if frozen is None or (frozen.answered is None and found.answered is None) else frozen


def _frozen(asking: Asking, first: Walked) -> Exchange | None:
    if first.run.silent:
        return Exchange(False, Decision("this host", first.run.silent))
    paused = paused_in(asking.host)
    at = first.run.end_at
    if not paused or first.run.packet.icmp is not None or not isinstance(at, Namespace):
        return None
    users = users_of(asking.host, at)
    silent = [user.name for user in users if user in paused]
    if not silent:
        return None
    names = ", ".join(silent)
    if len(silent) == len(users):
        return Exchange(False, Decision(at.name, f"{names} is paused: its processes do not answer"))
    return Exchange(None, Decision(at.name, f"{names} is paused: whether the socket is one of its is not known"))


def users_of(host: Host, space: Namespace) -> list[Container]:
    """The containers whose processes are in it."""
    spaces = namespaces_of(host)
    return [container for container in host.containers or () if container.running and spaces.of(container) is space]


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def paused_in(host: Host) -> tuple[Container, ...]:
    return tuple(container for container in host.containers or () if container.state == "paused")


def paused_sender(host: Host, container: str | None) -> tuple[str, ...]:
    """A remark and no verdict: others in its network namespace may send what its processes do not."""
    frozen = (other.name for other in paused_in(host) if other.id == container)
    return tuple(f"{name} is paused: it sends nothing until it is unpaused" for name in frozen)


def contradicted(host: Host, run: Run, found: Exchange, open_: Decision | None) -> Exchange:
    """conntrack remembers that the same was asked and nobody answered, whatever the rules say: just now, nobody does;
    longer ago, it may have been mended since. A receiver of UDP may answer nobody, so that counts where something is
    known that may drop it. `open_`: what the way hangs on, where it cannot be told."""
    sent = run.sent
    if found.answered is False or sent is None or (sent.proto == "udp" and found.answered and not run.may_be_lost):
        return found
    flows = flows_of(host, sent.proto, sent.src, sent.dst, sent.dport)
    if sent.ephemeral is not None and not ports_left(flows, sent.ephemeral):
        low, high = sent.ephemeral
        text = f"conntrack has a connection from each port of {low}-{high} (net.ipv4.ip_local_port_range) to the same"
        return Exchange(None, Decision("conntrack", f"{text} address and port: while they are open, no other begins"))
    flow = unanswered(host, flows)
    if flow is None:
        return found
    age = waits(host, flow)
    text = f"the same from port {flow.original.sport} has waited {age} s for an answer (conntrack)"
    why = found.why or open_
    text = f"{text}; {why.text}" if why is not None else f"the rules that were read let it pass, yet {text}"
    sure = age <= _JUST_NOW and not one_sided(host)
    return Exchange(False if sure else None, Decision("conntrack", text))


_JUST_NOW = 10  # seconds


def _remember_stale(host: Host, run: Run) -> None:
    """Says which senders' ports conntrack still translates as rules did before."""
    sent, got = run.sent, run.packet
    if sent is None or sent.sport is not None:
        return
    flows = flows_of(host, sent.proto, sent.src, sent.dst, sent.dport)
    for flow in [flow for flow in flows if (flow.reply.src, flow.reply.sport) != (got.dst, got.dport)][:3]:
        to = socket_text(flow.reply.src, flow.reply.sport)
        run.assume(f"from port {flow.original.sport} it goes to {to}: conntrack keeps that flow as rules were before")


def _with_data(asking: Asking, first: Walked, back: Walked) -> Exchange:
    """TCP after SYN and SYN-ACK: the asker's data and the answer's, of an established connection."""
    connections = _passed(back.run.connections, answering=False)
    sent = first.run.sent or first.run.packet

    def onwards(choices: Choices, _: frozenset[str]) -> Walked:
        run = _later(first.run, with_data(sent), connections, choices)
        run.of_flow = dict(first.run.of_flow)
        return walk(run, lambda: asking.start(run))

    explored = explore(onwards)
    there = explored.first
    what = "the connection opens, and its data does not arrive"
    if explored.ends:
        return Exchange(None, undecided(explored), _reply(explored), what)
    if not there.verdict.arrives:
        answered = None if there.verdict is Verdict.UNKNOWN else False
        return Exchange(answered, there.decision, _reply(explored), what)
    if _place(there.run.end_at) != _place(first.run.end_at) or not _alike(there.run.packet, first.run.packet):
        why = Decision("answer", "later packets of the connection go elsewhere than its first")
        return Exchange(False, why, _reply(explored), what)
    reply, again = _answer(first, with_data(answer_to(there.run.packet)), there.run.connections)
    return _judged(asking, first, again, reply, "the connection opens, and the answer's data does not come back")


def _later(before: Run, packet: Packet, connections: dict[str, Connection], choices: Choices) -> Run:
    """The walk of another packet of the exchange that `before` opened."""
    run = Run(before.host, packet, choices)
    run.connections = {
        name: replace(connection, bound=set(connection.bound)) for name, connection in connections.items()
    }
    run.connection = run.connections.setdefault("", run.connection)
    run.heard = before.heard
    run.later, run.asked, run.facts = True, before.sent, dict(before.facts)
    run.resolved = set(before.resolved)
    return run


def _passed(connections: dict[str, Connection], answering: bool) -> dict[str, Connection]:
    """conntrack's entries for the next packet, after one has passed."""
    return {
        name: replace(
            connection,
            answering=answering,
            confirmed=True,
            replied=connection.replied or (not answering and not _missed(connection)),
            missed=_missed(connection),
            assured=connection.replied,
            untracked=False,
        )
        for name, connection in connections.items()
    }


def _missed(connection: Connection) -> bool:
    """Whether conntrack did not see the answer: it looked in another zone, or a rule let it pass untracked."""
    return connection.missed or (connection.answering and connection.untracked and connection.original is not None)


# --- the answer -------------------------------------------------------------------------------------------------------


def _answer(first: Walked, packet: Packet, connections: dict[str, Connection]) -> _Answered:
    """The way of an answer from whoever got the packet."""
    at, connections = first.run.end_at, _passed(connections, answering=True)

    def walked(choices: Choices, _: frozenset[str]) -> Walked:
        run = _later(first.run, packet, connections, choices)
        return walk(run, lambda: _back(run, at, packet))

    explored = explore(walked)
    return _reply(explored), explored.first


def _back(run: Run, at: object, packet: Packet) -> Ended:
    if isinstance(at, Namespace):
        return from_container(run, at, packet.src)
    if isinstance(at, Outlet):
        return from_outlet(run, at)
    if isinstance(at, str):
        return from_outside(run, _comes_in(run, at, packet))
    return from_host(run, packet.src, at if isinstance(at, Proxy) else None)


def _comes_in(run: Run, left_by: str, packet: Packet) -> str:
    """The device that an answer from another machine comes in by; each that it may be is walked."""
    for device in comes_in_by(run.host, packet, left_by)[1:]:
        if run.suppose(f"the answer from {packet.src} comes in by {device}, not by {left_by}"):
            return device
    return left_by


def _reply(explored: Explored) -> Reply:
    first = explored.first
    if explored.ends:
        return Reply(first.hops, Verdict.UNKNOWN, undecided(explored), explored.unsure)
    return Reply(first.hops, first.verdict, first.decision, explored.unsure)


def _judged(asking: Asking, first: Walked, back: Walked, reply: Reply, what: str) -> Exchange:
    """Whether the answer is one to who asked: by where it ends, by its addresses, and by how others can send it."""
    if not reply.verdict.arrives:
        return Exchange(None if reply.verdict is Verdict.UNKNOWN else False, reply.decided_by, reply, what)
    lacking = _misdirected(asking, first, back)
    ours = asking.question.origin is not Origin.OUTSIDE or first.run.connection.source is not None
    if lacking is None and ours:  # how others know each other is theirs
        lacking = comes_back(asking.host, first.run)
    lacking = lacking or leaves_elsewhere(asking.host, first.run, back.run)
    return Exchange(lacking[0], Decision("answer", lacking[1])) if lacking else _OK


def _misdirected(asking: Asking, first: Walked, back: Walked) -> Lacking | None:
    """An answer that ends at somebody else, or whose addresses are not what was asked."""
    sent, got = first.run.sent or first.run.packet, back.run.packet
    if not _is_asker(asking, first, back):
        return False, f"the answer goes {_whither(back)}, not to who asked"
    asked = got.src if _to_many(first.run.packet) else sent.dst
    if (asked, sent.src) != (got.src, got.dst) or not _answers_ports(sent, got):
        text = f"the answer comes from {socket_text(got.src, got.sport)}: who asked {socket_text(sent.dst, sent.dport)}"
        return False, f"{text} does not take it"
    return None


def _is_asker(asking: Asking, first: Walked, back: Walked) -> bool:
    at = back.run.end_at
    if first.run.came_by is not None and asking.question.origin is Origin.OUTSIDE:
        return isinstance(at, str)
    if back.verdict is not Verdict.DELIVERED:
        return False
    return _place(at) == first.run.asker


def _place(at: object) -> object:
    """Whose end it is: a container's id, a device, None for this host."""
    if isinstance(at, Namespace):
        return at.container.id
    return None if isinstance(at, Proxy) else at


def _whither(back: Walked) -> str:
    at = back.run.end_at
    if isinstance(at, Namespace):
        return f"to {at.name}"
    return (
        f"out by {at}" if isinstance(at, str) else f"out by {at.device}" if isinstance(at, Outlet) else "to this host"
    )


def _answers_ports(sent: Packet, got: Packet) -> bool:
    pairs = ((sent.dport, got.sport), (sent.sport, got.dport))
    return all(value == other for value, other in pairs if value is not None and other is not None)


def _alike(one: Packet, other: Packet) -> bool:
    return (one.src, one.dst, one.dport) == (other.src, other.dst, other.dport)
