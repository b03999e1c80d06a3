"""What conntrack remembers: connections that go where nobody is any more, or that nobody answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import candidate, hit_of_port, masquerade, members, of_container, of_record
from netdash.doctor.fixes import NOTHING, both, by_hand, forget
from netdash.join.flows import flows, passes_by
from netdash.kernel.conntrack_entries import unanswered, unzoned, waits
from netdash.kernel.sockets import by_port
from netdash.model.addresses import address, socket_text
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import IP, Container, Host, Listener, Net, Network, Port, TrackedFlow
from netdash.model.index import index_of
from netdash.model.packet import Trouble
from netdash.trace.default_questions import out
from netdash.trace.summary import Leaves, outbound


def check_stale_udp(host: Host) -> Iterator[Candidate]:
    """A client that sent while the container was down has an entry without its DNAT, and keeps it as long as it sends:
    rules of nat are asked for the first packet only."""
    here = {ip.ip for link in host.links or () for ip in link.addresses}
    senders = here | index_of(host).owners.keys()
    waiting: dict[int | None, list[TrackedFlow]] = {}
    for flow in unzoned(host):
        ends = flow.original
        if flow.proto == "udp" and not flow.replied and ends.dst in here and ends.src not in senders:
            waiting.setdefault(ends.dport, []).append(flow)
    for port in host.ports or () if waiting else ():
        if port.proto != "udp" or not port.live or port.dnat is None or port.target_ip is None or not port.container_id:
            continue
        stale = [flow for flow in waiting.get(port.host_port, ()) if passes_by(flow, port)]
        if stale:
            yield _stale(host, port, stale)


def _stale(host: Host, port: Port, stale: list[TrackedFlow]) -> Candidate:
    flow, name = stale[0], index_of(host).name(port.container_id) or ""
    clients = sorted({str(flow.original.src) for flow in stale})
    return candidate(
        "udp-stale-conntrack",
        Severity.HIGH,
        f"{', '.join(clients[:3])} does not reach {port.host_port}/udp of {name}: its connection in conntrack is from "
        "before that started, and leads elsewhere as long as packets come",
        (hit_of_port(port),),
        [
            Evidence(
                "conntrack",
                f"udp {flow.original.src} to {flow.original.dst}:{port.host_port}, answered by {flow.reply.src} "
                f"instead of {port.target_ip}, {'replied' if flow.replied else 'unreplied'}",
            ),
            *([rule_evidence(port.dnat)] if port.dnat else []),
        ],
        *forget("udp", port.host_port, "forgets these entries: the next datagram meets the rules again"),
    )


UNANSWERED = "published-unanswered"


def check_unanswered(host: Host) -> Iterator[Candidate]:
    """TCP connections through a published port that were led to the container, which did not answer the first packet.
    A rule that drops it is another finding: these are its evidence then."""
    index = index_of(host)
    found: dict[tuple[str, int], list[TrackedFlow]] = {}
    for flow in flows(host):
        container, port = index.containers.get(flow.server.container or ""), flow.asked.port
        if flow.trouble is not Trouble.UNANSWERED or container is None or port is None or not flow.asked.here:
            continue
        if host.taken is None or container.started_at is None or container.state != "running":
            continue
        asked = flow.entry.state == "SYN_SENT" and waits(host, flow.entry) < host.taken - container.started_at
        if flow.translated and asked:
            found.setdefault((container.id, port), []).append(flow.entry)
    for (identity, port), entries in found.items():
        yield _unanswered(host, index.containers[identity], port, entries)


def _unanswered(host: Host, container: Container, port: int, entries: list[TrackedFlow]) -> Candidate:
    clients = sorted({str(entry.original.src) for entry in entries})
    number = f"{len(entries)} connections" if len(entries) > 1 else "a connection"
    return candidate(
        UNANSWERED,
        Severity.MEDIUM,
        f"{number} from {', '.join(clients[:3])} for {port}/tcp came to {container.name} by the rules, and it has not "
        "answered",
        (Hit(container.id, Direction.IN, f"{port}/tcp"),),
        [
            Evidence(
                "conntrack",
                f"tcp {socket_text(entry.original.src, entry.original.sport)} to {port}, led to "
                f"{socket_text(entry.reply.src, entry.reply.sport)}, has waited {waits(host, entry)} s for an answer",
            )
            for entry in entries[:3]
        ],
        [Fix(("netdash", "capture", container.name, "--port", str(port)), "shows where the next packets stay")],
        confidence=0.6,
    )


def check_gone(host: Host) -> Iterator[Candidate]:
    """Containers that call an address of their own network which no container has now."""
    if host.containers is None or host.networks is None:
        return
    index = index_of(host)
    own = {ip.ip for link in host.links or () for ip in link.addresses}
    reported: set[tuple[str, IP]] = set()
    for flow in unzoned(host):
        caller, ip = index.owners.get(flow.original.src) if flow.original.src else None, flow.original.dst
        if caller is None or ip is None or ip in own or ip in index.owners or ip.is_multicast:
            continue
        network = next(
            (network for network in host.networks if network.bridge and any(ip in net for net in network.subnets)), None
        )
        if network is None or (caller.id, ip) in reported or ip in network.gateways or unanswered(host, [flow]) is None:
            continue
        reported.add((caller.id, ip))
        port = flow.original.dport
        yield candidate(
            "stale-upstream-ip",
            Severity.MEDIUM,
            f"{caller.name} calls {socket_text(ip, port)} on {network.name}, which no container has: "
            "a name that it resolved once, before that container was made anew",
            (Hit(caller.id, Direction.PEERS, network=network.name),),
            [Evidence("conntrack", f"{flow.proto} {flow.original.src} to {socket_text(ip, port)}, unanswered")],
            [Fix(("docker", "restart", caller.name), "it resolves its names again")],
            confidence=0.8,
        )


def check_loopback_services(host: Host) -> Iterator[Candidate]:
    """Containers that called a service of this host which listens on loopback alone: for them nobody is there."""
    index = index_of(host)
    here = {own.ip for link in host.links or () for own in link.addresses if not own.ip.is_loopback}
    heard = by_port(host.listeners or ())
    reported: set[tuple[str, str, int]] = set()
    for flow in unzoned(host):
        caller = index.owners.get(flow.original.src) if flow.original.src else None
        ip, port = flow.original.dst, flow.original.dport
        sockets = heard.get((flow.proto, port or 0), ())
        if caller is None or ip not in here or not sockets or not all(listener.ip.is_loopback for listener in sockets):
            continue
        if port is not None and (caller.id, flow.proto, port) not in reported and not _translated(host, flow):
            reported.add((caller.id, flow.proto, port))
            yield _on_loopback(caller, flow, sockets[0])


def _translated(host: Host, flow: TrackedFlow) -> bool:
    """Whether it did not end at this host, but at a container that publishes the port."""
    ports = {(port.proto, port.host_port) for port in host.ports or () if port.dnat is not None and port.live}
    return flow.reply.src != flow.original.dst or (flow.proto, flow.original.dport) in ports


def _on_loopback(caller: Container, flow: TrackedFlow, socket: Listener) -> Candidate:
    asked = socket_text(flow.original.dst, flow.original.dport) if flow.original.dst else ""
    who = socket.program or "a process"
    return candidate(
        "host-service-loopback",
        Severity.HIGH,
        f"{asked} of this host refuses {caller.name}: {who} listens on {socket.ip} only",
        (Hit(caller.id, Direction.OUT),),
        [
            Evidence("listeners", f"{socket_text(socket.ip, socket.port)} {who}"),
            Evidence("conntrack", f"{flow.proto} {flow.original.src} to {asked}"),
        ],
        [
            Fix(
                ("ss", "-Hltnup", "sport", "=", f":{socket.port}"),
                f"shows {who}: set it to listen on {flow.original.dst} too",
            )
        ],
        confidence=0.9,
    )


def check_extra_hosts(host: Host) -> Iterator[Candidate]:
    """--add-host with an address of the engine's networks that no container has (any more)."""
    if host.containers is None or host.networks is None:
        return
    index = index_of(host)
    nets = [(net, network) for network in host.networks if network.bridge for net in network.subnets]
    for container in host.containers:
        for name, word in container.extra_hosts if container.running else ():
            found = [(ip, network) for net, network in nets for ip in _in(word, net) if ip not in index.owners]
            for ip, network in found[:1]:
                if ip not in (index.gateways(network) or ()):
                    yield candidate(
                        "stale-extra-host",
                        Severity.MEDIUM,
                        f"{container.name} has {name} as {ip} by --add-host, and no container has that address",
                        (Hit(container.id, Direction.NAMES),),
                        [
                            of_container(container, f"extra host {name}:{ip}"),
                            of_record("network", network.name, network),
                        ],
                        [
                            Fix(
                                ("docker", "network", "connect", network.name, container.name),
                                f"on one network containers find each other by name; drop the --add-host {name}",
                            )
                        ],
                        confidence=0.8,
                    )


def _in(word: str, net: Net) -> Iterator[IP]:
    ip = address(word)
    if ip is not None and ip.version == net.version and ip in net:
        yield ip


def check_untranslated(host: Host) -> Iterator[Candidate]:
    """Networks whose packets leave with their own addresses, as they were set up: whether anybody beyond this host has
    a route back is seen only where somebody was asked and did not answer."""
    for network in host.networks or ():
        routed = "routed" in network.gateway_modes[:1]
        if network.driver != "bridge" or network.internal or (network.masquerade and not routed):
            continue
        asked = list(_unanswered_out(host, network))
        attached = members(host, network)
        if attached and not _leaves_translated(host, network, attached):
            yield _untranslated(host, network, routed, asked)


def _leaves_translated(host: Host, network: Network, attached: Iterable[Container]) -> bool:
    """Whether somebody else's rule gives what leaves this host's address; conntrack may know older packets."""
    ways = (way for container in attached for way in outbound(host, container) if way.network == network.name)
    return any(way.leaves in (Leaves.MASQUERADE, Leaves.SNAT) for way in ways)


def _unanswered_out(host: Host, network: Network) -> Iterator[TrackedFlow]:
    for flow in unzoned(host):
        src, dst = flow.original.src, flow.original.dst
        if flow.replied or src is None or dst is None or flow.reply.dst != src or flow.reply.src != dst:
            continue
        if dst.is_multicast or src in network.gateways or not _within(src, network.subnets):
            continue
        here = any(_within(dst, network.subnets) for network in host.networks or ())
        if not here and unanswered(host, [flow]) is not None:
            yield flow


def _within(ip: IP, nets: tuple[Net, ...]) -> bool:
    return any(ip.version == net.version and ip in net for net in nets)


def _untranslated(host: Host, network: Network, routed: bool, asked: list[TrackedFlow]) -> Candidate:
    attached = members(host, network)
    subnet = next((net for net in network.subnets if net.version == 4), network.subnets[0] if network.subnets else "")
    setting = "gateway mode routed" if routed else "masquerading is switched off"
    ask = asked[0].original if asked else None
    proof = f", and {socket_text(ask.dst, ask.dport)} did not answer" if ask and ask.dst else ""
    back = by_hand(
        ("ip", "route", "add", str(subnet), "via", "THIS-HOST"), "on the router beyond this host: the way back"
    )
    own = masquerade(host, network, "what leaves the network takes this host's address")
    return candidate(
        "v29-routed-no-return" if routed else "masq-missing",
        Severity.INFO if not asked else Severity.MEDIUM if routed else Severity.HIGH,
        f"what leaves {network.name} keeps its own address ({setting}){proof}: routers beyond this host need a route "
        f"to {subnet}",
        [Hit(container.id, Direction.OUT, network=network.name) for container in attached],
        [
            of_record(f"network {network.name}", setting, network),
            *(
                Evidence(
                    "conntrack", f"{flow.proto} {flow.original.src} to {flow.original.dst} unanswered, not translated"
                )
                for flow in asked[:3]
            ),
        ],
        *((both(own, back) if routed else own if own[0] else back) if asked else NOTHING),
        asks=tuple(out(container, None, 4) for container in attached) if asked and own[0] else (),
    )
