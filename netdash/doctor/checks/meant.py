"""What is cut off because somebody set it up so: told, never an alarm."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import KEPT, candidate, hits_of, listing, members, names_of, of_container, of_record
from netdash.join.drops import kept_apart
from netdash.model.finding import Direction, Fix, Hit, Severity
from netdash.model.host import Container, Host, Network, Rule
from netdash.model.index import index_of
from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.summary import answer


def check(host: Host) -> Iterator[Candidate]:
    for network in host.networks or ():
        attached = members(host, network)
        if attached and network.internal:
            yield from _internal(host, network, attached)
        if len(attached) > 1 and not network.icc and network.driver == "bridge":
            yield _apart(network, attached)
        beside = _beside(host, attached) if network.driver in ("macvlan", "ipvlan") else []
        if beside:
            yield _kept_from_host(network, beside)
    for container in host.containers or ():
        if container.running and container.network_mode == "none":
            yield _without(container)
    yield from _isolated(host)


def _internal(host: Host, network: Network, attached: list[Container]) -> Iterator[Candidate]:
    """Only of containers that have no other way out."""
    index = index_of(host)
    only = [
        container
        for container in attached
        if all((net := index.network(end)) and net.internal for end in container.endpoints)
    ]
    if not only:
        return
    wanted = [container for container in only if container.configured]
    published = f"; the published ports of {names_of(wanted)} have no effect" if wanted else ""
    yield candidate(
        "internal-network",
        Severity.INFO,
        f"{network.name} is an internal network: {names_of(only)} cannot reach the Internet, nor be reached{published}",
        hits_of(only, Direction.OUT, network.name),
        [of_record(f"network {network.name}", "internal", network)],
        [
            Fix(("docker", "network", "connect", "NAME", container.name), "one more network, with a way out", KEPT)
            for container in only[:1]
        ],
    )


def _apart(network: Network, attached: list[Container]) -> Candidate:
    return candidate(
        "icc-false",
        Severity.INFO,
        f"{network.name} keeps its containers apart: it was created with enable_icc=false",
        hits_of(attached, Direction.PEERS, network.name),
        [of_record(f"network {network.name}", "com.docker.network.bridge.enable_icc=false", network)],
        [Fix(("docker", "network", "create", "NAME"), "on another network they reach each other", KEPT)],
    )


def _beside(host: Host, attached: list[Container]) -> list[Container]:
    """Those that this host does not reach: with a device of its own beside theirs it does."""
    return [
        container
        for container in attached
        if any(
            answer(host, Question(Origin.HOST, address.ip, "icmp")).verdict is Verdict.NO_ROUTE
            for end in container.endpoints
            for address in end.addresses
        )
    ]


def _kept_from_host(network: Network, attached: list[Container]) -> Candidate:
    return candidate(
        "macvlan-host",
        Severity.INFO,
        f"{network.name} is kept apart from this host: {names_of(attached)} and this host cannot reach each other; "
        f"the kernel passes nothing between {network.driver} devices and their parent {network.parent or ''}".rstrip(),
        hits_of(attached, Direction.IN, network.name),
        [
            of_record(
                f"network {network.name}", f"driver {network.driver}, parent {network.parent or 'not told'}", network
            )
        ],
        [
            Fix(
                ("ip", "link", "add", "shim", "link", network.parent or "PARENT", "type", "macvlan", "mode", "bridge"),
                "a device of this host beside theirs; give it an address, and routes to theirs",
            )
        ]
        if network.driver == "macvlan"
        else (),
    )


def _without(container: Container) -> Candidate:
    wanted = "; its published ports have no effect" if container.configured else ""
    return candidate(
        "network-none",
        Severity.INFO,
        f"{container.name} has no network: it was started with --network none{wanted}",
        (Hit(container.id, Direction.OUT),),
        [of_container(container, "network mode none")],
        [Fix(("docker", "run", "--network", "NETWORK"), "create it anew (with its other options) on a network", KEPT)],
    )


def _isolated(host: Host) -> Iterator[Candidate]:
    """Pairs of networks that no container joins: Docker keeps them apart. Whether somebody wanted otherwise is told by
    the rules' counters."""
    if host.engine is None or host.engine.name != "docker":
        return
    plain = [
        (network, members(host, network))
        for network in host.networks or ()
        if network.driver == "bridge" and not network.internal
    ]
    used = [(network, attached) for network, attached in plain if attached]
    pairs = [
        (network, other)
        for (network, here), (other, there) in combinations(used, 2)
        if not {container.id for container in here} & {container.id for container in there}
    ]
    if pairs:
        names = sorted({network.name for pair in pairs for network in pair})
        refused = [(network, attached, rule) for network, attached in used for rule in _refusing(host, network)]
        who = listing(sorted({network.name for network, _, _ in refused}))
        count = sum(rule.packets or 0 for _, _, rule in refused)
        dropped = f"no other network reaches {who}: {count} packets were dropped; " if refused else ""
        yield candidate(
            "isolation-between-networks",
            Severity.INFO,
            f"{dropped}containers on {listing(names)} reach each other only within one network, or by published "
            f"ports{'' if refused else ': Docker keeps networks apart'}",
            [hit for network, attached, _ in refused for hit in hits_of(attached, Direction.PEERS, network.name)],
            [
                *(rule_evidence(rule) for _, _, rule in refused[:4]),
                *(
                    of_record(f"network {network.name}", "bridge network of its own", network)
                    for network, _ in used[:4]
                ),
            ],
            [Fix(("docker", "network", "connect", "NETWORK", "CONTAINER"), "a container on both reaches both", KEPT)],
            confidence=0.8 if refused else 0.2,
        )


def _refusing(host: Host, network: Network) -> Iterator[Rule]:
    """The rules that dropped what other networks sent to this one."""
    for chain in host.ruleset.chains if host.ruleset else ():
        for rule in chain.rules if not chain.dormant else ():
            if rule.packets and kept_apart(host, rule) is network:
                yield rule
