"""How containers resolve names: the engine's resolver in their network namespaces, and whom it asks."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from netdash.doctor.candidate import Candidate
from netdash.doctor.checks.parts import KEPT, candidate, names_of, of_container, of_record
from netdash.doctor.fixes import restart
from netdash.model.finding import Direction, Fix, Hit, Severity
from netdash.model.host import Container, Host, Resolver, Verb
from netdash.model.index import index_of

_ENGINES = ip_address("127.0.0.11")
_DEFAULT = "bridge"
_DNS = 53


def check(host: Host) -> Iterator[Candidate]:
    native = host.engine is None or host.engine.firewall == "nftables"
    for container in host.containers or ():
        if container.running and not container.shares_with and container.network_mode != "host":
            yield from _flushed(container, native)
            yield from _nobody_there(container)
    yield from _default_bridge(host)


def _resolver(container: Container) -> Resolver | None:
    return container.inside.resolver if container.inside else None


def _flushed(container: Container, native: bool) -> Iterator[Candidate]:
    """The engine's resolver listens on two other ports; rules in the container's namespace lead port 53 there.
    `native`: they may be nftables' own, which iptables does not list."""
    inside, heard = container.inside, container.listeners
    rules = inside.ruleset if inside else None
    if rules is None or not rules.complete or heard is None or (native and not rules.tables):
        return
    sockets = [one for one in heard if one.ip == _ENGINES]
    led = any(rule.target.verb is Verb.DNAT and rule.target.address == _ENGINES for rule in rules.rules)
    if not sockets or led or any(one.port == _DNS for one in sockets):
        return
    ports = ", ".join(f"{one.port}/{one.proto}" for one in sockets)
    yield candidate(
        "dns-rules-flushed",
        Severity.HIGH,
        f"names do not resolve in {container.name}: the rules in its network namespace that lead 127.0.0.11 port 53 to "
        "Docker's resolver are gone",
        (Hit(container.id, Direction.NAMES),),
        [
            of_container(container, f"Docker's resolver listens on 127.0.0.11 at {ports}"),
            of_container(container, "no DNAT rule inside leads there"),
        ],
        *restart(container, "the engine writes these rules when it starts"),
    )


def _nobody_there(container: Container) -> Iterator[Candidate]:
    """A server at loopback, copied from the host's resolv.conf: in the container nobody listens there."""
    resolver, heard = _resolver(container), container.listeners
    if resolver is None or heard is None:
        return
    local = [ip for ip in resolver.servers if ip.is_loopback]
    if not local or len(local) < len(resolver.servers) or any(one.port == _DNS or one.ip == _ENGINES for one in heard):
        return
    yield candidate(
        "dns-loopback-server",
        Severity.HIGH,
        f"names do not resolve in {container.name}: its resolv.conf names {local[0]}, where nothing listens inside",
        (Hit(container.id, Direction.NAMES),),
        [
            of_container(container, f"nameserver {local[0]}"),
            of_container(container, "nothing listens on port 53 inside"),
        ],
        [
            Fix(
                ("docker", "run", "--dns", "ADDRESS"),
                "create it anew with a server that it can reach, or set dns in /etc/docker/daemon.json",
                KEPT,
            )
        ],
    )


def _default_bridge(host: Host) -> Iterator[Candidate]:
    """Meant by Docker, and a common surprise."""
    network = next((one for one in host.networks or () if one.name == _DEFAULT and one.driver == _DEFAULT), None)
    if network is None or host.engine is None or host.engine.name != "docker":
        return
    index = index_of(host)
    alone = [
        one
        for one in host.containers or ()
        if one.running and one.endpoints and all(index.network(end) is network for end in one.endpoints)
    ]
    if len(alone) < 2 or any(end.links for one in alone for end in one.endpoints):
        return
    yield candidate(
        "dns-default-bridge",
        Severity.INFO,
        f"{names_of(alone)} do not find each other by name: Docker resolves names on networks that users made, "
        "not on the default bridge",
        [Hit(one.id, Direction.NAMES, network=network.name) for one in alone],
        [of_record("network bridge", f"{names_of(alone)} are on no other network", network)],
        [
            Fix(("docker", "network", "create", "NAME"), "a network of your own", KEPT),
            *(
                Fix(("docker", "network", "connect", "NAME", one.name), f"{one.name} is found by name there", KEPT)
                for one in alone[:2]
            ),
        ],
    )
