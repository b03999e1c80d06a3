"""What the engine says of its containers and how they resolve names; and an engine that does not answer, told from
what it left in the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from netdash.change.model import ContainerChange, ContainerEdit
from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import KEPT, candidate, hit_of_port, names_of, of_container, of_record
from netdash.doctor.fixes import restart
from netdash.drift.expected.mode import NATIVE_TABLE
from netdash.model.finding import Direction, Evidence, Fix, Hit, Lasts, Severity
from netdash.model.host import Container, Host, Resolver, Rule, Verb
from netdash.model.index import index_of
from netdash.model.source import Source


def check_engine_gone(host: Host) -> Iterator[Candidate]:
    """With live-restore its containers and rules are still there, its proxies and its resolver are not."""
    if host.containers is not None or Source.DOCKER in host.pending or host.process is not None:
        return
    rules = _publishing(host)
    if rules and host.proxies == () and host.listeners is not None and not any(_held(host, rule) for rule in rules):
        yield _down(host, rules)


def _down(host: Host, rules: list[Rule]) -> Candidate:
    ports = sorted({pair[0] for rule in rules for pair in _ports(rule)})
    failure = host.failures.get(Source.DOCKER)
    return candidate(
        "dockerd-down-live-restore",
        Severity.HIGH,
        "Docker seems to be down while its containers run on: it does not answer, and nobody holds the ports that its "
        "rules publish; they are dead on 127.0.0.1, and names do not resolve in containers",
        (*(Hit(None, Direction.IN, f"{port}/tcp") for port in ports), Hit(None, Direction.NAMES)),
        [
            Evidence("engine", failure.reason if failure else "its API was not read"),
            Evidence("processes", "no docker-proxy runs, and nobody holds the published ports"),
            *map(rule_evidence, rules[:2]),
        ],
        [Fix(("systemctl", "start", "docker"), "starts the engine, its resolver and its proxies", KEPT)],
        confidence=0.7,
    )


def _publishing(host: Host) -> list[Rule]:
    """The engine's rules for published ports."""
    chains = host.ruleset.chains if host.ruleset else ()
    own = (chain for chain in chains if chain.table == NATIVE_TABLE or (chain.table, chain.name) == ("nat", "DOCKER"))
    return [rule for chain in own for rule in chain.rules if rule.target.verb is Verb.DNAT and _ports(rule)]


def _ports(rule: Rule) -> list[tuple[int, int]]:
    found = (match.values for match in rule.matches if match.key == "dport" and not match.negated)
    return [pair for values in found for pair in values if isinstance(pair, tuple)]


def _held(host: Host, rule: Rule) -> bool:
    ports = [pair[0] for pair in _ports(rule)]
    return any(listener.port in ports for listener in host.listeners or ())


_OFTEN = 3  # restarts after which it is no accident
_JUST_NOW = 60.0  # seconds: a container that was restarted often and runs for less is still falling over


def check(host: Host) -> Iterator[Candidate]:
    for container in host.containers or ():
        yield from _paused(host, container)
        yield from _unhealthy(host, container)
        yield from _restarting(host, container)
        yield from _left_behind(container)
        yield from _proxy_variables(container)


def _hits(host: Host, container: Container) -> tuple[Hit, ...]:
    """Its published ports, running or not."""
    live = tuple(hit_of_port(port) for port in index_of(host).ports(container.id))
    return live or (Hit(container.id, Direction.PEERS),)


def _serves(host: Host, container: Container) -> bool:
    return bool(index_of(host).ports(container.id) or container.configured)


def _paused(host: Host, container: Container) -> Iterator[Candidate]:
    """Without a published port nobody outside waits for it, and somebody paused it on purpose."""
    if container.state != "paused":
        return
    serves = _serves(host, container)
    yield candidate(
        "container-paused",
        Severity.HIGH if serves else Severity.INFO,
        f"{container.name} is paused: connections to it are opened by its kernel and never answered",
        _hits(host, container),
        [of_container(container, "state paused")],
        [Fix(("docker", "unpause", container.name), "its processes run on", (Lasts.ENGINE, Lasts.FIREWALL))],
        (ContainerChange(container.id, ContainerEdit.UNPAUSE),),
    )


def _unhealthy(host: Host, container: Container) -> Iterator[Candidate]:
    if not container.running or container.health != "unhealthy":
        return
    yield candidate(
        "unhealthy",
        Severity.MEDIUM,
        f"the health check of {container.name} fails: proxies and compose projects that wait for it pass it by",
        _hits(host, container),
        [of_container(container, "health unhealthy")],
        [
            Fix(
                ("docker", "inspect", "-f", "{{json .State.Health}}", container.name),
                "shows what the check said; changes nothing",
                KEPT,
            ),
            Fix(("docker", "restart", container.name), "the program in it starts anew", KEPT),
        ],
    )


def _restarting(host: Host, container: Container) -> Iterator[Candidate]:
    """A program that ends soon after each start."""
    often = container.restarts is not None and container.restarts >= _OFTEN
    started, now = container.started_at, host.taken
    fresh = started is not None and now is not None and 0 <= now - started < _JUST_NOW
    if container.state != "restarting" and not (container.state == "running" and often and fresh):
        return
    code = "" if container.exit_code is None else f" with exit code {container.exit_code}"
    yield candidate(
        "crash-loop",
        Severity.HIGH if _serves(host, container) else Severity.INFO,
        f"the program in {container.name} ends{code} after each start, and the engine starts it again",
        _hits(host, container),
        [of_container(container, f"state {container.state}, restarted {container.restarts or 0} times")],
        [Fix(("docker", "logs", "--tail", "50", container.name), "shows what it said last; changes nothing", KEPT)],
    )


def _left_behind(container: Container) -> Iterator[Candidate]:
    if not container.left_behind or not container.running:
        return
    yield candidate(
        "left-behind",
        Severity.HIGH,
        f"{container.name} is alone in a network namespace without devices: {container.shares_with}, "
        "whose network it shared, was started anew",
        (Hit(container.id, Direction.OUT), Hit(container.id, Direction.IN)),
        [of_container(container, f"network mode container:{container.shares_with}")],
        *restart(container, "it joins the namespace of today"),
    )


def _proxy_variables(container: Container) -> Iterator[Candidate]:
    """The values are not read: they may hold a password. Whether the proxy can be reached is not known."""
    if not container.running or not container.proxy_variables:
        return
    names = " and ".join(container.proxy_variables)
    loopback = sorted(
        {listener.port for listener in container.listeners or () if listener.proto == "tcp" and listener.ip.is_loopback}
    )
    where = "nothing listens on 127.0.0.1 in it"
    if container.listeners is None:
        where = "what listens in it was not read"
    elif loopback:
        where = f"on 127.0.0.1 in it listen {', '.join(map(str, loopback))}"
    yield candidate(
        "http-proxy-env",
        Severity.INFO,
        f"{names} is set: programs in {container.name} send web requests to a proxy; its address is not read, and at "
        "127.0.0.1 it would be one inside the container",
        (Hit(container.id, Direction.OUT),),
        [of_container(container, f"environment has {names}"), of_container(container, where)],
        [
            Fix(
                ("docker", "exec", container.name, "printenv", *container.proxy_variables),
                "shows where it leads, with its password if it has one; changes nothing",
                KEPT,
            )
        ],
        confidence=0.3,
    )


_ENGINES = ip_address("127.0.0.11")
_DEFAULT = "bridge"
_DNS = 53


def check_names(host: Host) -> Iterator[Candidate]:
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
    sockets = [listener for listener in heard if listener.ip == _ENGINES]
    led = any(rule.target.verb is Verb.DNAT and rule.target.address == _ENGINES for rule in rules.rules)
    if not sockets or led or any(listener.port == _DNS for listener in sockets):
        return
    ports = ", ".join(f"{listener.port}/{listener.proto}" for listener in sockets)
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
    if (
        not local
        or len(local) < len(resolver.servers)
        or any(listener.port == _DNS or listener.ip == _ENGINES for listener in heard)
    ):
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
    network = next(
        (network for network in host.networks or () if network.name == _DEFAULT and network.driver == _DEFAULT), None
    )
    if network is None or host.engine is None or host.engine.name != "docker":
        return
    index = index_of(host)
    alone = [
        container
        for container in host.containers or ()
        if container.running
        and container.endpoints
        and all(index.network(end) is network for end in container.endpoints)
    ]
    if len(alone) < 2 or any(end.links for container in alone for end in container.endpoints):
        return
    yield candidate(
        "dns-default-bridge",
        Severity.INFO,
        f"no names on the default bridge: {names_of(alone)} do not find each other by name; Docker resolves names on "
        "networks that users made",
        [Hit(container.id, Direction.NAMES, network=network.name) for container in alone],
        [of_record("network bridge", f"{names_of(alone)} are on no other network", network)],
        [
            Fix(("docker", "network", "create", "NAME"), "a network of your own", KEPT),
            *(
                Fix(
                    ("docker", "network", "connect", "NAME", container.name),
                    f"{container.name} is found by name there",
                    KEPT,
                )
                for container in alone[:2]
            ),
        ],
    )
