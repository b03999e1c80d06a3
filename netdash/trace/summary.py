"""What a card, the ports and the JSON say of a container's packets, read from the traces of the default questions.
Follows no packet by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache

from netdash.model.finding import Mark
from netdash.model.host import IP, Container, Endpoint, Host, Interface, Link, Network, Port, Route, Rule, Verb
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass, replace
from netdash.model.source import Source
from netdash.trace import default_questions
from netdash.trace.model import Decision, Hop, Question, Step, Trace, Verdict

NEEDED = frozenset((Source.RULES, Source.ROUTES, Source.LINKS, Source.DOCKER))
"""Sources without which nothing is traced while they are still being read."""


class Leaves(Enum):
    """How packets of a network leave the host."""

    MASQUERADE = "masquerade"
    SNAT = "snat"
    UNTRANSLATED = "untranslated"  # routed, or masquerading switched off: the private source address goes out
    INTERNAL = "internal"  # an internal network: nothing leaves
    DIRECT = "direct"  # macvlan, ipvlan: straight to the parent device, past the host's rules
    HOST = "host"  # shares the host's namespace
    NOWHERE = "nowhere"  # it does not leave: no network, no route, dropped, or taken by this host
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the asker gets no answer."""

    verdict: Verdict  # of the packet that does not arrive; UNKNOWN: it cannot be told
    decided_by: Decision | None
    answer: bool = False  # the packet arrives, and its answer or a later packet does not
    unsure: tuple[Rule, ...] = ()  # rules that it hangs on


@dataclass(frozen=True, slots=True)
class Inbound:
    """One published port's path in: DNAT for packets from elsewhere, the proxy for the rest."""

    port: Port
    network: str | None
    bridge: str | None
    veth: str | None
    proxy_when: str  # when packets take the proxy: "from this host", "instead of DNAT" … ; "" without a proxy


@dataclass(frozen=True, slots=True)
class Outbound:
    """What becomes of the first packet to a web server on the Internet from one of the container's addresses."""

    network: str
    source: IP | None
    leaves: Leaves
    bridge: str | None = None
    gateway: IP | None = None  # the container's next hop, the bridge's own address
    nat: Rule | None = None
    route: Route | None = None
    uplink: Link | None = None
    leaves_as: IP | None = None
    why: str = ""  # one plain sentence where the path is not the usual one
    unsure: tuple[Rule, ...] = ()  # rules that the end hangs on and that cannot be told
    default: bool | None = True  # whether this network holds the container's default route
    trace: Trace | None = None


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def _answered(_: Host) -> dict[Question, Trace]:
    return {}


def answer(host: Host, question: Question) -> Trace:
    """The trace of a question, made once a host."""
    known = _answered(host)
    if question not in known:
        from netdash.trace.tracer import trace  # the screen shows containers before there are rules

        known[question] = trace(host, question)
    return known[question]


def traceable(host: Host) -> bool:
    """Whether everything came that a trace needs, or failed."""
    return host.pending.isdisjoint(NEEDED)


def obstacle(found: Trace) -> Obstacle | None:
    """Why the asker gets no answer; None where it does, or where that hangs on other machines."""
    if found.verdict is Verdict.UNKNOWN:
        return Obstacle(Verdict.UNKNOWN, found.decided_by, unsure=found.unsure)
    if not found.verdict.arrives:
        return Obstacle(found.verdict, found.decided_by)
    if found.then is not None and not found.then.verdict.arrives:
        return obstacle(found.then)
    exchange = found.exchange
    if exchange.answered is not False:
        return None
    reply = exchange.stuck or found.reply
    return Obstacle(reply.verdict if reply is not None else found.verdict, exchange.why, answer=True)


def doubt(found: Trace, stop: Obstacle | None) -> str:
    """Why it cannot be told whether the asker gets an answer."""
    if stop is not None and stop.unsure:
        return f"{_named(stop.unsure)} may decide otherwise"
    why = stop.decided_by if stop is not None else found.exchange.why
    return why.text if why is not None else "whether an answer comes back cannot be told"


def _astray(host: Host, found: Trace, receiver: Container) -> Obstacle | None:
    """Where a packet that is meant for a container is sent elsewhere."""
    part = found.then or found
    last = next((hop.routed for hop in reversed(part.hops) if hop.routed and not hop.inside), None)
    own = {address.ip: index_of(host).bridge(end) for end in receiver.endpoints for address in end.addresses}
    if last is None or part.verdict is Verdict.UNKNOWN:
        return None
    why = ""
    if last.dst in own:
        bridge = own[last.dst]
        if bridge and last.device != bridge:
            why = f"the route to {last.dst} leads to {last.device}, not to {bridge}"
    elif last.dst == part.question.dst:
        why = f"no device of this host has {last.dst}: nothing is received for it"
    else:
        why = f"{last.dst} is no address of {receiver.name}: another rule takes its port"
    return Obstacle(part.verdict, Decision("routes", why)) if why else None


# --- in ---------------------------------------------------------------------------------------------------------------


def inbound(host: Host, container: Container) -> tuple[Inbound, ...]:
    """One entry a published port of a running container, in the order of the ports."""
    owner = sharing(host, container)
    if not owner.running:
        return ()
    ends: dict[IP | None, Endpoint] = {address.ip: end for end in owner.endpoints for address in end.addresses}
    joined: dict[IP | None, Inbound] = {}  # thousands of ports may go to one address
    found = []
    for port in index_of(host).ports(owner.id):
        if port.live:
            known = joined.get(port.target_ip)
            if known is None:
                known = joined[port.target_ip] = _attached(host, port, ends)
            found.append(replace(known, port=port, proxy_when=proxy_when(port)))
    return tuple(found)


def _attached(host: Host, port: Port, ends: Mapping[IP | None, Endpoint]) -> Inbound:
    """By which bridge and veth this host hands over what is for the target."""
    endpoint = ends.get(port.target_ip)
    bridge = index_of(host).bridge(endpoint) if endpoint else None
    return Inbound(port, endpoint.network if endpoint else None, bridge, endpoint.veth if endpoint else None, "")


def asked_of(host: Host, port: Port) -> Iterator[tuple[Trace, Obstacle | None]]:
    """Of each default question of a published port: the answer, and why none comes back to the asker."""
    for usual in default_questions.of_port(host, port):
        found = answer(host, usual.question)
        yield found, against(host, found, port)


def against(host: Host, found: Trace, port: Port | None = None) -> Obstacle | None:
    """Why the asker gets no answer, or one by another than the container of the `port` that is asked for."""
    owner = index_of(host).containers.get(port.container_id or "") if port is not None else None
    known = owner is not None and owner.network_mode != "host" and found.verdict is not Verdict.UNKNOWN
    return (_astray(host, found, owner) if owner and known else None) or obstacle(found) or _unsent(host, found)


def _unsent(host: Host, found: Trace) -> Obstacle | None:
    """Of a paused container: others may send by its network namespace what its own processes do not."""
    from netdash.trace.exchange import paused_sender

    paused = paused_sender(host, found.question.container)
    return Obstacle(found.verdict, Decision("sender", paused[0]), answer=True) if paused else None


def fared(found: Trace, stop: Obstacle | None) -> Mark:
    """OK, BROKEN or UNKNOWN. `stop`: why no answer comes."""
    if found.answered is False and found.verdict is Verdict.UNKNOWN:
        return Mark.BROKEN
    if stop is None:
        return Mark.UNKNOWN if found.answered is None else Mark.OK if found.answered else Mark.BROKEN
    return Mark.UNKNOWN if stop.verdict is Verdict.UNKNOWN else Mark.BROKEN


def proxy_when(port: Port) -> str:
    """When packets take the proxy instead of the rule; "" without a proxy."""
    if port.proxy is None:
        return ""
    if port.unsure:
        return f"unless {_named(port.unsure)} decides otherwise, which cannot be told"
    local = port.scope.value == "loopback"
    if port.dnat is None:
        return "from this host only" if local else "for every client: no DNAT rule applies"
    if port.dnat_from_here is not False:
        return "where DNAT does not apply"
    if port.host_ip.is_unspecified:
        return "from this host by loopback, and where DNAT does not apply"
    return "from this host only" if local else "from this host, and where DNAT does not apply"


def _named(rules: tuple[Rule, ...]) -> str:
    """The first rule; with those of the other backend, which has chains of the same names, where there are both."""
    kinds = {rule.backend: rule for rule in reversed(rules)}
    if "iptables-legacy" not in kinds or len(kinds) == 1:
        return rules[0].place
    return " or ".join(f"{rule.place} ({backend})" for backend, rule in sorted(kinds.items()))


# --- out --------------------------------------------------------------------------------------------------------------


def outbound(host: Host, container: Container) -> tuple[Outbound, ...]:
    """One entry a network and address of a running container; one without a network for host and none."""
    owner = sharing(host, container)
    if not owner.running:
        return ()
    if owner.network_mode == "host":
        return (_of_host(host, owner),)
    if by := owner.user_space:
        return (Outbound(by, None, Leaves.UNKNOWN, why=f"by {by}, in user space: not readable"),)
    if any(end.addresses for end in owner.endpoints):
        return tuple(_of_address(host, owner, end, address) for end in owner.endpoints for address in end.addresses)
    why = "no network" if owner.network_mode == "none" or not owner.endpoints else "no address yet"
    return (Outbound(owner.endpoints[0].network if owner.endpoints else "none", None, Leaves.NOWHERE, why=why),)


def _of_host(host: Host, container: Container) -> Outbound:
    if not traceable(host):
        return Outbound("host", None, Leaves.UNKNOWN)
    found = answer(host, default_questions.out(container, None, 4))
    route, link = _routed(host, found)
    why = "uses the host's own network" if route else "uses the host's own network, which has no default route"
    source = found.translation.src if found.verdict is Verdict.FORWARDED else None
    return Outbound("host", source, Leaves.HOST, route=route, uplink=link, leaves_as=source, why=why, trace=found)


def _of_address(host: Host, container: Container, endpoint: Endpoint, own: Interface) -> Outbound:
    network = index_of(host).network(endpoint)
    plain = Outbound(
        network=endpoint.network,
        source=own.ip,
        leaves=Leaves.UNKNOWN,
        bridge=network.bridge if network else None,
        gateway=next((ip for ip in endpoint.gateways if ip.version == own.version), None),
    )
    if not traceable(host):
        return plain
    found = answer(host, default_questions.out(container, own.ip, own.version))
    route, link = _routed(host, found)
    leaves, nat, leaves_as = _end(found, network)
    if leaves is Leaves.DIRECT:
        link = index_of(host).link(found.hops[-1].place)
    return replace(
        plain,
        leaves=leaves,
        bridge=_bridge(found) or plain.bridge,
        gateway=next((hop.routed.gateway for hop in found.hops if hop.inside and hop.routed), plain.gateway),
        nat=nat,
        route=route,
        uplink=link,
        leaves_as=leaves_as,
        why=_why(leaves, network),
        unsure=found.unsure if leaves is Leaves.UNKNOWN else (),
        default=_holds_default(host, container, endpoint, own, found),
        trace=found,
    )


def _here(found: Trace) -> Iterator[Hop]:
    return (hop for hop in found.hops if not hop.inside)


def _bridge(found: Trace) -> str | None:
    """The bridge by which the container's packet came to this host."""
    return next((hop.packet.iif for hop in _here(found) if hop.hook == "prerouting" and hop.packet.iif), None)


def _routed(host: Host, found: Trace) -> tuple[Route | None, Link | None]:
    """This host's last routing decision for the packet: the route, and the device."""
    last = None
    for hop in _here(found):
        last = hop.routed or last
    return (last.route, index_of(host).link(last.device)) if last else (None, None)


def translating(found: Trace, hook: str) -> Step | None:
    """The step at a hook of this host that translates the packet."""
    steps = (step for hop in _here(found) for step in hop.steps if step.hook == hook)
    return next((step for step in steps if step.translates and step.verdict == "accept"), None)


def _end(found: Trace, network: Network | None) -> tuple[Leaves, Rule | None, IP | None]:
    """How the packet leaves, the rule that gave it another source, and the source that it has then."""
    if found.verdict is Verdict.UNKNOWN or (found.verdict is Verdict.FORWARDED and found.ends):
        return Leaves.UNKNOWN, None, None
    if found.verdict is not Verdict.FORWARDED:
        internal = network is not None and network.internal
        return Leaves.INTERNAL if internal else Leaves.NOWHERE, None, None
    source = found.translation.src
    if not any(hop.hook == "postrouting" for hop in _here(found)):
        return Leaves.DIRECT, None, source
    step = translating(found, "postrouting")
    if step is None:
        return Leaves.UNTRANSLATED, None, source
    rule = step.source
    masquerade = rule is not None and rule.target.verb is Verb.MASQUERADE
    return Leaves.MASQUERADE if masquerade else Leaves.SNAT, rule, source


def _holds_default(host: Host, container: Container, endpoint: Endpoint, own: Interface, found: Trace) -> bool | None:
    """Whether packets from this address leave by this network. None: its routes were not read, and the engine may have
    chosen another of its networks."""
    from netdash.trace.container_namespace import namespaces_of

    space = namespaces_of(host).of(container)
    routed = next((hop.routed for hop in found.hops if hop.inside and hop.routed), None)
    if space is None or routed is None:
        return None if found.verdict is Verdict.UNKNOWN else False
    chosen = space.endpoint(routed.device) is endpoint
    others = [
        endpoint for endpoint in container.endpoints if any(ip.version == own.version for ip in endpoint.gateways)
    ]
    read = container.inside is not None and container.inside.routes is not None
    return chosen if read or len(others) < 2 else None


def _why(leaves: Leaves, network: Network | None) -> str:
    """One sentence where the path is not the usual one."""
    if leaves is Leaves.INTERNAL:
        return "internal network: no way out"
    if network is None or leaves not in (Leaves.DIRECT, Leaves.UNTRANSLATED):
        return ""
    if leaves is Leaves.DIRECT:
        return f"{network.driver}: past this host's rules"
    if "routed" in network.gateway_modes:
        return "routed network: leaves with its own address, the way back needs a route"
    if not network.masquerade:
        return "masquerading is switched off: leaves with its own address"
    return "no MASQUERADE rule: leaves with its private address, the way back needs a route"
