"""Recording -> Host: the one place where two sources meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from netdash.core.decode import Json, decoded, items, mapping
from netdash.core.model import (
    IP,
    Container,
    Engine,
    Failure,
    Host,
    Inside,
    Link,
    Listener,
    Neighbour,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Route,
    Ruleset,
)
from netdash.core.parse_docker import parse_engine, parse_inspected, parse_listed, parse_network, resolve_shared
from netdash.core.recording import SOURCES, Recording

if TYPE_CHECKING:
    from netdash.core.ledger import Uplinks
    from netdash.core.ruleset import RulesetReader
    from netdash.core.wiring import Wiring

T = TypeVar("T")
_Parsed = dict[int, tuple[object, Container | None]]
"""By the identity of an answer, which the entry keeps alive."""
_Joined = dict[str, tuple[tuple[object, ...], Container]]
"""By container id: what it was joined from, and what became of it."""


class Builder:
    """Builds hosts one after the other and works only on what changed: an answer that is the same object as last time
    is not parsed again. Keeps nothing but that memory; not for use by two threads.

    What a kind of answer needs is imported when the first of that kind comes: the screen shows containers before."""

    def __init__(self) -> None:
        self._memory: dict[str, tuple[tuple[object, ...], object]] = {}
        self._parsed: _Parsed = {}
        self._joined_before: _Joined = {}
        self._links_before: dict[int, tuple[object, Link]] = {}
        self._joined_all: tuple[Container, ...] = ()
        self._uplinks: Uplinks = {}
        self._rules: RulesetReader | None = None

    def build(self, recording: Recording) -> Host:
        """The host of this recording. What is malformed becomes a failure of its source, never an exception."""
        failures = dict(recording.failures)
        links = self._links(recording, failures)
        networks = self._networks(recording, links, failures)
        containers = self._joined(recording, links, networks)
        proxies, listeners = self._sockets(recording)
        routes, policy = self._routes(recording, failures)
        ruleset = self._ruleset(recording, failures)
        engine = self._engine(recording, failures)
        if _elsewhere(engine, networks, links):
            ruleset = None
            failures["rules"] = Failure(
                "rules", "the engine is rootless: its rules are in a network namespace of its own", "see docker info"
            )
        return Host(
            name=recording.hostname or _hostname(recording),
            taken=recording.taken,
            live=recording.live,
            engine=engine,
            containers=containers,
            networks=networks,
            links=links,
            routes=routes,
            policy=policy,
            neighbours=self._neighbours(recording, failures),
            ruleset=ruleset,
            proxies=proxies,
            listeners=listeners,
            ports=self._ports(containers, links, routes, ruleset, proxies, listeners),
            sysctls=self._sysctls(recording),
            privileged=recording.privileged,
            pending=recording.pending,
            failures=failures,
        )

    # --- one source at a time -----------------------------------------------------------------------------------------

    def _once(self, name: str, make: Callable[..., T], *inputs: object) -> T:
        """`make(*inputs)`, or what it gave last time when all inputs are the very same objects."""
        known = self._memory.get(name)
        if known and len(known[0]) == len(inputs) and all(a is b for a, b in zip(known[0], inputs, strict=True)):
            return known[1]  # type: ignore[return-value]  # stored under this name by the line below
        made = make(*inputs)
        self._memory[name] = (inputs, made)
        return made

    def _read(
        self, source: str, failures: dict[str, Failure], make: Callable[..., T], *answers: object, need: int = 1
    ) -> T | None:
        """Parse decoded answers; None when the first `need` of them were all not read, or one is malformed."""
        if all(answer is None for answer in answers[:need]):
            return None
        try:
            return self._once(source, lambda *raw: make(*map(decoded, raw)), *answers)
        except ValueError as error:
            failures[source] = Failure(source, f"not understood: {error}", "the recording may be cut off")
            return None

    def _links(self, recording: Recording, failures: dict[str, Failure]) -> tuple[Link, ...] | None:
        link, addr = recording.answers.get("ip/link.json"), recording.answers.get("ip/addr.json")
        if link is None and addr is None:
            return None
        from netdash.core.parse_ip import parse_links

        return self._read("links", failures, lambda a, b: parse_links(a, b, self._links_before), link, addr, need=2)

    def _neighbours(self, recording: Recording, failures: dict[str, Failure]) -> tuple[Neighbour, ...] | None:
        answer = recording.answers.get("ip/neigh.json")
        if answer is None:
            return None
        from netdash.core.parse_ip import parse_neighbours

        return self._read("neighbours", failures, parse_neighbours, answer)

    def _sysctls(self, recording: Recording) -> Mapping[str, str] | None:
        text = recording.text("host/sysctl.txt")
        if text is None:
            return None
        from netdash.core.parse_proc import parse_sysctls

        return self._once("sysctls", parse_sysctls, text)

    def _routes(
        self, recording: Recording, failures: dict[str, Failure]
    ) -> tuple[tuple[Route, ...] | None, tuple[PolicyRule, ...] | None]:
        answers = recording.answers
        if not answers.keys() & set(SOURCES["routes"]):
            return None, None
        from netdash.core.parse_ip import parse_policy, parse_routes

        routes = self._read(
            "routes", failures, parse_routes, answers.get("ip/route4.json"), answers.get("ip/route6.json")
        )
        policy = self._read(
            "policy", failures, parse_policy, answers.get("ip/rule4.json"), answers.get("ip/rule6.json")
        )
        return routes, policy

    def _ruleset(self, recording: Recording, failures: dict[str, Failure]) -> Ruleset | None:
        if "rules" in recording.pending:
            return None
        from netdash.core.ruleset import RulesetReader

        self._rules = self._rules or RulesetReader()
        ruleset = self._rules.read(recording)
        if ruleset is None:
            failures.setdefault("rules", Failure("rules", "not read"))
        return ruleset

    def _engine(self, recording: Recording, failures: dict[str, Failure]) -> Engine | None:
        answers = recording.answers
        return self._read(
            "engine",
            failures,
            parse_engine,
            answers.get("docker/version.json"),
            answers.get("docker/info.json"),
            need=2,
        )

    def _sockets(self, recording: Recording) -> tuple[tuple[Proxy, ...] | None, tuple[Listener, ...] | None]:
        sockets, argv = recording.text("host/listeners.txt"), recording.text("host/docker-proxy.txt")
        if sockets is None and argv is None:
            return None, None
        from netdash.core.parse_proc import parse_listeners, parse_proxies

        listeners = None if sockets is None else self._once("listeners", parse_listeners, sockets)
        if argv is None:
            return None, listeners
        bare = self._once("argv", parse_proxies, argv, recording.text("host/memory.txt"))
        return self._once("proxies", _proxies_with_sockets, bare, listeners), listeners

    def _networks(
        self, recording: Recording, links: tuple[Link, ...] | None, failures: dict[str, Failure]
    ) -> tuple[Network, ...] | None:
        answer = recording.answers.get("docker/networks.json")
        if answer is None and not recording.live and "docker" not in failures:
            failures["networks"] = Failure("networks", "not in this recording")
        parsed = self._read("networks", failures, _parse_networks, answer)
        return None if parsed is None else self._once("bridges", _bridges, parsed, links)

    # --- where sources meet -------------------------------------------------------------------------------------------

    def _joined(
        self,
        recording: Recording,
        links: tuple[Link, ...] | None,
        networks: tuple[Network, ...] | None,
    ) -> tuple[Container, ...] | None:
        listed, inspected = (
            recording.answers.get("docker/containers.json"),
            recording.answers.get("docker/inspect.json"),
        )
        if listed is None and inspected is None:
            return None
        parsed = self._once("containers", self._parse_containers, listed, inspected)
        from netdash.core.wiring import Wiring

        wiring = self._once(
            "wiring",
            Wiring,
            links,
            networks,
            recording.answers.get("ip/netns.json"),
            recording.answers.get("ip/bridge-fdb.json"),
        )
        inner = {one.name: recording.container_answers(one.name) for one in parsed if one.running}
        before, self._joined_before = self._joined_before, {}
        joined = tuple(self._join(one, wiring, inner.get(one.name, {}), before) for one in parsed)
        if len(joined) != len(self._joined_all) or any(
            a is not b for a, b in zip(joined, self._joined_all, strict=True)
        ):
            self._joined_all = joined
        return self._joined_all

    def _join(self, container: Container, wiring: Wiring, inner: Mapping[str, object], before: _Joined) -> Container:
        """The container with its veths and listeners; the same object as last time when nothing of it changed."""
        inputs = (container, wiring, *inner.values())
        known = before.get(container.id)
        if known and len(known[0]) == len(inputs) and all(a is b for a, b in zip(known[0], inputs, strict=True)):
            joined = known[1]
        else:
            seen = replace(
                container,
                listeners=_inner_listeners(container, inner),
                default_gateways=_inner_gateways(inner),
                inside=_inside(inner),
            )
            joined = wiring.wire(seen, inner.get("addr.json"))
            if known and known[1] == joined:
                joined = known[1]
        self._joined_before[container.id] = (inputs, joined)
        return joined

    def _parse_containers(self, listed: object, inspected: object) -> tuple[Container, ...]:
        """Inspected containers, and the listed ones that have not been inspected yet, in the engine's order."""
        before, self._parsed = self._parsed, {}
        details = {
            one.id: one for raw in items(decoded(inspected)) if (one := self._parse(raw, parse_inspected, before))
        }
        listing = [one for raw in items(decoded(listed)) if (one := self._parse(raw, parse_listed, before))]
        known = {one.id for one in listing}
        fresh = [one for one in details.values() if one.id not in known]
        return resolve_shared([*fresh, *(details.get(one.id, one) for one in listing)])

    def _parse(self, raw: object, parse: Callable[[Json], Container | None], before: _Parsed) -> Container | None:
        known = before.get(id(raw))
        container = known[1] if known and known[0] is raw else parse(mapping(raw))
        self._parsed[id(raw)] = (raw, container)
        return container

    def _ports(
        self,
        containers: tuple[Container, ...] | None,
        links: tuple[Link, ...] | None,
        routes: tuple[Route, ...] | None,
        ruleset: Ruleset | None,
        proxies: tuple[Proxy, ...] | None,
        listeners: tuple[Listener, ...] | None,
    ) -> tuple[Port, ...] | None:
        if containers is None and listeners is None:
            return None
        from netdash.core.ledger import Ledger, recounted, uplinks

        ways = uplinks(links, routes)
        if ways != self._uplinks:
            self._uplinks = ways
        shape = ruleset.shape if ruleset else None
        ledger = self._once(
            "ledger",
            lambda *_: Ledger(self._uplinks, ruleset, proxies, listeners),
            *(self._uplinks, shape, proxies, listeners),
        )
        ports = self._once("ports", lambda *_: ledger.ports(containers or ()), ledger, containers)
        return self._once("counted", recounted, ports, ruleset)


def _inner_listeners(container: Container, answers: Mapping[str, object]) -> tuple[Listener, ...] | None:
    for file in ("listeners.txt", "proc-net.txt"):
        answer = answers.get(file)
        if isinstance(answer, str) and (file == "listeners.txt" or "/net/tcp" in answer):
            from netdash.core.parse_proc import parse_listeners, parse_proc_net

            return (parse_listeners if file == "listeners.txt" else parse_proc_net)(answer)
    return None if container.running else ()


def _inner_gateways(answers: Mapping[str, object]) -> frozenset[IP] | None:
    """Next hops of the default IPv4 routes inside; None when they were not read."""
    routes, sockets = answers.get("route.json"), answers.get("proc-net.txt")
    if routes is None:
        if not isinstance(sockets, str):
            return None
        from netdash.core.parse_proc import parse_proc_gateways

        return parse_proc_gateways(sockets)
    from netdash.core.parse_ip import parse_routes

    try:
        return frozenset(one.gateway for one in parse_routes(decoded(routes), None) if one.default and one.gateway)
    except ValueError:
        return None


def _inside(answers: Mapping[str, object]) -> Inside | None:
    """Addresses, routes and sysctls inside; None when none of them was read."""
    addresses, routes, sysctls = (answers.get(name) for name in ("addr.json", "route.json", "sysctl.txt"))
    sockets = answers.get("proc-net.txt")
    if addresses is None and routes is None and sysctls is None and sockets is None:
        return None
    from netdash.core.parse_ip import parse_links, parse_routes
    from netdash.core.parse_proc import parse_proc_routes, parse_sysctls

    def parsed(parse: Callable[[object], T], answer: object) -> T | None:
        try:
            return None if answer is None else parse(decoded(answer))
        except ValueError:
            return None

    found = parsed(lambda answer: parse_routes(answer, None), routes)
    if found is None and isinstance(sockets, str):
        found = parse_proc_routes(sockets)
    links = parsed(lambda answer: parse_links(None, answer), addresses)
    pairs = tuple(parse_sysctls(sysctls).items()) if isinstance(sysctls, str) else ()
    return None if links is None and found is None and not pairs else Inside(links, found, pairs)


def _parse_networks(answer: object) -> tuple[Network, ...]:
    return tuple(network for raw in items(answer) if (network := parse_network(mapping(raw))))


def _bridges(networks: tuple[Network, ...], links: tuple[Link, ...] | None) -> tuple[Network, ...]:
    """Podman does not say a network's bridge, and a bridge may have been renamed: the device with the gateway's
    address is the one."""
    names = {link.name for link in links or ()}
    owners = {one.ip: link.name for link in links or () if link.kind == "bridge" for one in link.addresses}
    return tuple(
        replace(network, bridge=next((owners[ip] for ip in network.gateways if ip in owners), network.bridge))
        if network.bridge and names and network.bridge not in names
        else network
        for network in networks
    )


def _proxies_with_sockets(proxies: tuple[Proxy, ...], listeners: tuple[Listener, ...] | None) -> tuple[Proxy, ...]:
    """Sockets by pid; None where the owners of sockets could not be read."""
    if listeners is None or (listeners and not any(one.pid for one in listeners)):
        return proxies
    held: dict[int | None, list[Listener]] = {}
    for listener in listeners:
        held.setdefault(listener.pid, []).append(listener)
    return tuple(replace(proxy, listeners=tuple(held.get(proxy.pid, ()))) for proxy in proxies)


def _elsewhere(engine: Engine | None, networks: tuple[Network, ...] | None, links: tuple[Link, ...] | None) -> bool:
    """Whether a rootless engine's bridges, and so its rules, are in another network namespace than the one read."""
    if engine is None or not engine.rootless or networks is None or links is None:
        return False
    names = {link.name for link in links}
    bridges = {network.bridge for network in networks if network.bridge}
    return bool(bridges) and not bridges & names


def _hostname(recording: Recording) -> str | None:
    name = mapping(recording.answers.get("docker/info.json")).get("Name")
    return name if isinstance(name, str) and name else None
