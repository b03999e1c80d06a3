"""Ports that more can reach than somebody meant: a trace says who gets in, the settings say what was meant."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from netdash.change.model import ChainPlace
from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import (
    KEPT,
    candidate,
    hit_of_port,
    members,
    of_container,
    of_record,
    of_sysctl,
    only_member,
    run_anew,
)
from netdash.doctor.fixes import Fixed, both, by_hand, delete_rule, insert_drop
from netdash.kernel.conntrack_entries import unzoned
from netdash.kernel.routing import OUTSIDE, entrance
from netdash.model.addresses import socket_text
from netdash.model.finding import Direction, Evidence, Fix, Hit, Lasts, Severity
from netdash.model.host import IP, Chain, Container, Host, Listener, Network, Port, Rule, Scope, Verb
from netdash.model.index import index_of
from netdash.model.records import replace
from netdash.trace.default_questions import of_port
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.summary import answer

_DENIES = (Verb.DROP, Verb.REJECT)


# --- past the firewall ------------------------------------------------------------------------------------------------


def check_firewall(host: Host) -> Iterator[Candidate]:
    """Published ports that the host's firewall denies: their packets are translated before it and forwarded, so the
    rules for what comes in to the host are never asked."""
    if not any(_filters(chain) for chain in (host.ruleset.chains if host.ruleset else ())):
        return
    denied = _Ports(host)
    named: list[Port] = []
    rest: list[Port] = []
    for port in host.ports or ():
        if port.live and port.container_id and port.dnat is not None and port.scope is not Scope.LOOPBACK:
            (named if (port.proto, port.host_port) in denied else rest).append(port)
    for port in named:
        rule = _passed_by(host, port)
        if rule is not None and _names(rule, port):
            yield _bypassed(host, port, rule)
    by_default = next(
        ((port, rule) for port in rest[:1] if (rule := _passed_by(host, port)) or _policy(host, port)), None
    )
    if by_default is not None:
        yield _open(host, rest, by_default[1])


class _Ports:
    """Host ports that rules which drop or reject name."""

    def __init__(self, host: Host) -> None:
        self._spans = [
            (values, span)
            for chain in (host.ruleset.chains if host.ruleset else ())
            for rule in chain.rules
            if rule.target.verb in _DENIES
            for span, values in _spans(rule)
        ]

    def __contains__(self, key: tuple[str, int]) -> bool:
        proto, port = key
        return any(low <= port <= high and proto in protos for protos, (low, high) in self._spans)


def _filters(chain: Chain) -> bool:
    """Whether what comes in to this host may be denied there."""
    return chain.hook == "input" and (chain.policy == "drop" or bool(chain.rules))


def _spans(rule: Rule) -> Iterator[tuple[tuple[int, int], tuple[object, ...]]]:
    protos = next(
        (match.values for match in rule.matches if match.key == "proto" and not match.negated), ("tcp", "udp")
    )
    for match in rule.matches:
        for pair in match.values if match.key in ("dport", "port") and not match.negated else ():
            if isinstance(pair, tuple):
                yield pair, protos


def _names(rule: Rule, port: Port) -> bool:
    return any(low <= port.host_port <= high for (low, high), _ in _spans(rule))


def _passed_by(host: Host, port: Port) -> Rule | None:
    """The rule that would deny the port if it were not translated; None where its packets do not arrive either."""
    stopped = _untranslated(host, port)
    return stopped.decided_by.step.source if stopped and stopped.decided_by and stopped.decided_by.step else None


def _policy(host: Host, port: Port) -> bool:
    stopped = _untranslated(host, port)
    return bool(stopped and stopped.decided_by and stopped.decided_by.step)


def _untranslated(host: Host, port: Port) -> Trace | None:
    """The trace of a packet from outside that arrives by translation and is stopped without it."""
    usual = next((usual for usual in of_port(host, port) if usual.question.origin is Origin.OUTSIDE), None)
    if usual is None or not answer(host, usual.question).verdict.arrives:
        return None
    found = answer(_without_dnat(host), usual.question)
    return found if found.verdict in (Verdict.DROPPED, Verdict.REJECTED) else None


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def _without_dnat(host: Host) -> Host:
    if host.ruleset is None:
        return host
    rules = {id(port.dnat) for port in host.ports or () if port.dnat is not None}
    chains = tuple(
        replace(chain, rules=tuple(rule for rule in chain.rules if id(rule) not in rules))
        for chain in host.ruleset.chains
    )
    return replace(host, ruleset=replace(host.ruleset, chains=chains, shape=None))


def _bypassed(host: Host, port: Port, rule: Rule) -> Candidate:
    name = index_of(host).name(port.container_id)
    return candidate(
        "ufw-bypass",
        Severity.CRITICAL,
        f"{port.host_port}/{port.proto} of {name} is open to the world although the firewall denies it: packets for "
        "published ports are forwarded, and never meet the rules for this host",
        (hit_of_port(port),),
        [rule_evidence(rule), *([rule_evidence(port.dnat)] if port.dnat else []), _published(port)],
        *_closing(host, port),
        exposes=True,
    )


def _published(port: Port) -> Evidence:
    return of_record("ports", f"published on {socket_text(port.host_ip, port.host_port)}", port)


def _closing(host: Host, port: Port) -> Fixed:
    """By a rule in DOCKER-USER where the engine asks it, and by another way to publish."""
    family = "ip6" if port.host_ip.version == 6 else "ip"
    device, _ = entrance(port.host_ip.version, host.links, host.routes)
    place = _place(host, family, "filter", "DOCKER-USER")
    anew = run_anew(
        host, port, "127.0.0.1:", "or: create it anew (with its other options), published on 127.0.0.1 only"
    )
    if place is None or device is None:
        return (anew,), ()
    words = (
        *("-i", device, "-p", port.proto, "-m", "conntrack"),
        *("--ctorigdstport", str(port.host_port), "--ctdir", "ORIGINAL"),
    )
    return both(insert_drop(place, words, f"nobody reaches {port.host_port} by {device} any more"), ((anew,), ()))


def _place(host: Host, family: str, table: str, name: str) -> ChainPlace | None:
    """A chain of iptables that is there."""
    for chain in host.ruleset.chains if host.ruleset else ():
        if (chain.family, chain.table, chain.name) == (family, table, name) and chain.backend != "nft":
            return ChainPlace(family, table, name, chain.backend)
    return None


def _open(host: Host, ports: list[Port], rule: Rule | None) -> Candidate:
    names = ", ".join(dict.fromkeys(f"{port.host_port}/{port.proto}" for port in ports[:6]))
    more = f" and {len(ports) - 6} more" if len(ports) > 6 else ""
    return candidate(
        "firewall-not-asked",
        Severity.INFO,
        f"{names}{more} are published past the host's firewall: what it denies by default does not apply to them",
        map(hit_of_port, ports[:20]),
        [*([rule_evidence(rule)] if rule else []), *map(_published, ports[:2])],
        _closing(host, ports[0])[0],
        confidence=0.5,
    )


# --- published on loopback --------------------------------------------------------------------------------------------


def check_loopback(host: Host) -> Iterator[Candidate]:
    """A port on 127.0.0.1 that a neighbour reaches by sending to 127.0.0.1: its rule translates the packet before the
    kernel would refuse the address (mended in Docker 28)."""
    device, own = entrance(4, host.links, host.routes)
    if device is None or own is None:
        return
    for port in host.ports or ():
        if port.live and port.container_id and port.scope is Scope.LOOPBACK and port.dnat is not None:
            asked = Question(
                Origin.OUTSIDE, port.host_ip, port.proto, port.host_port, src=_neighbour(host, device), iif=device
            )
            found = answer(host, asked)
            if found.verdict.arrives and found.answered is not False:
                yield _reached(host, port, device)


def _neighbour(host: Host, device: str) -> IP | None:
    """A machine on the same wire: the router, else anybody."""
    routes = (route.gateway for route in host.routes or () if route.dev == device and route.gateway)
    return next((ip for ip in routes if ip.version == 4), OUTSIDE[4])


def _reached(host: Host, port: Port, device: str) -> Candidate:
    """Somebody did, or the engine opened the way for all: an alarm. Else it takes a neighbour who tries."""
    seen = [
        flow
        for flow in unzoned(host)
        if (flow.original.dst, flow.original.dport, flow.proto) == (port.host_ip, port.host_port, port.proto)
        and flow.original.src is not None
        and not flow.original.src.is_loopback
        and not _own(host, flow.original.src)
    ]
    docker = host.engine is not None and host.engine.name == "docker"  # Podman needs the switch for its own rules
    bridge = next((name for name in _bridges(host, port) if docker and _localnet(host, name) == "1"), None)
    name = f"net.ipv4.conf.{bridge}.route_localnet" if bridge else ""
    who = f"; {seen[0].original.src} did" if seen else ""
    backend = port.dnat.backend if port.dnat and port.dnat.backend != "nft" else "iptables-nft"
    return candidate(
        "v29-loopback-publish-from-lan",
        Severity.HIGH if seen or bridge else Severity.INFO,
        f"a neighbour on {device} can reach {port.host_port}/{port.proto} of {index_of(host).name(port.container_id)}: "
        f"it is published on {port.host_ip} only, which does not keep neighbours out{who}",
        (hit_of_port(port),),
        [
            *([rule_evidence(port.dnat)] if port.dnat else []),
            *([of_sysctl(name, "1")] if name else []),
            *(
                Evidence("conntrack", f"{flow.original.src} to {flow.original.dst}:{flow.original.dport}")
                for flow in seen[:2]
            ),
        ],
        *insert_drop(
            _place(host, "ip", "raw", "PREROUTING") or ChainPlace("ip", "raw", "PREROUTING", backend),
            ("-d", str(port.host_ip), "!", "-i", "lo"),
            "nobody else's packets for 127.0.0.1 come in; Docker 28 and later do the same by themselves",
        ),
        confidence=1.0 if seen or bridge else 0.5,
        exposes=True,
    )


def _own(host: Host, ip: IP) -> bool:
    return any(ip == address.ip for link in host.links or () for address in link.addresses)


def _bridges(host: Host, port: Port) -> Iterator[str]:
    container = index_of(host).containers.get(port.container_id or "")
    for end in container.endpoints if container else ():
        if bridge := index_of(host).bridge(end):
            yield bridge


def _localnet(host: Host, device: str) -> str | None:
    return (host.sysctls or {}).get(f"net.ipv4.conf.{device}.route_localnet")


# --- containers' own addresses ----------------------------------------------------------------------------------------


def check_unpublished(host: Host) -> Iterator[Candidate]:
    """One container of each network, as neighbours with a route to its subnet would ask it."""
    device, _ = entrance(4, host.links, host.routes)
    for network in host.networks or ():
        protected = network.driver == "bridge" and not network.internal and network.gateway_modes[0] == "nat"
        if not protected or device is None:
            continue
        asked = next(_hidden(host, network), None)
        if asked is not None:
            container, ip, port = asked
            question = Question(Origin.OUTSIDE, ip, port.proto, port.port, src=_neighbour(host, device), iif=device)
            if answer(host, question).verdict.arrives:
                yield _reachable(network, container, ip, port)


def _hidden(host: Host, network: Network) -> Iterator[tuple[Container, IP, Listener]]:
    """Ports on which containers listen for others and that they do not publish."""
    for container in members(host, network):
        published = {(binding.proto, binding.container_port) for binding in container.bindings}
        end = next(endpoint for endpoint in container.endpoints if index_of(host).network(endpoint) is network)
        ip = next((own.ip for own in end.addresses if own.version == 4), None)
        for listener in container.listeners or ():
            if (
                ip
                and listener.ip.is_unspecified
                and (listener.dual or listener.ip.version == 4)
                and (listener.proto, listener.port) not in published
            ):
                yield container, ip, listener


def _reachable(network: Network, container: Container, ip: IP, port: Listener) -> Candidate:
    return candidate(
        "unpublished-reachable",
        Severity.INFO,
        f"ports that containers on {network.name} do not publish can be reached by neighbours with a route to its "
        f"subnet: {socket_text(ip, port.port)}/{port.proto} of {container.name} answers",
        (Hit(container.id, Direction.IN, f"{port.port}/{port.proto}", network.name),),
        [of_container(container, f"listens on {port.port}/{port.proto}, not published")],
        [
            Fix(
                ("iptables", "-P", "FORWARD", "DROP"),
                "what no rule lets through is not forwarded, also for other networks of this host",
                (Lasts.ENGINE,),
            )
        ],
        confidence=0.3,
        exposes=True,
    )


def check_direct(host: Host) -> Iterator[Candidate]:
    """Rules that keep others from containers' own addresses, and that dropped somebody's packets."""
    bridges = {network.bridge: network for network in host.networks or () if network.bridge}
    for chain in host.ruleset.chains if host.ruleset else ():
        for rule in chain.rules if not chain.dormant else ():
            bridge = _kept_out_of(rule)
            if bridge in bridges and rule.target.verb is Verb.DROP and rule.packets:
                yield _direct(host, rule, bridges[bridge])


def _kept_out_of(rule: Rule) -> str | None:
    """The bridge that a rule shields: it takes what comes from elsewhere for one address or for the bridge."""
    plain = {match.key: match.values for match in rule.matches if not match.negated}
    aimed = "dst" in plain or "oif" in plain or rule.comment == "UNPUBLISHED PORT DROP"
    from_elsewhere = next((match.values for match in rule.matches if match.key == "iif" and match.negated), ())
    only = all(match.key in ("iif", "oif", "dst", "family") for match in rule.matches)
    return str(from_elsewhere[0]) if aimed and only and len(from_elsewhere) == 1 else None


def _direct(host: Host, rule: Rule, network: Network) -> Candidate:
    index = index_of(host)
    aims = [match.values for match in rule.matches if match.key == "dst"]
    ip = getattr(aims[0][0], "network_address", None) if aims else None
    owner = index.owners.get(ip) if ip else only_member(host, network)
    engine = host.engine.version.partition(".")[0] if host.engine else ""
    newer = engine.isdigit() and int(engine) >= 28
    code = ("v29-direct-routing-drop" if newer else "raw-direct-drop") if ip else "v29-unpublished-port"
    text = (
        f"unpublished ports were asked for: {rule.packets} packets from another network for {network.name} were dropped"
    )
    by = "Docker lets"
    if ip:
        whose = f"{owner.name if owner else ip}'s own address"
        text = f"{rule.packets} packets for {whose} were dropped: they came from another network"
        by = "Docker 28 and later let" if newer else "this rule lets"
    return candidate(
        code,
        Severity.MEDIUM if ip else Severity.INFO,
        f"{text}; {by} others in by published ports only",
        (Hit(owner.id if owner else None, Direction.IN, network=network.name),),
        [rule_evidence(rule)],
        *(_for_all(network) if newer or not ip else delete_rule(rule)),
        confidence=0.7 if ip else 0.6,
    )


def _for_all(network: Network) -> Fixed:
    option = "com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected"
    return by_hand(
        ("docker", "network", "create", "-o", option, f"{network.name}-open"),
        "containers on such a network may be asked by their own addresses; or publish the port",
        KEPT,
    )
