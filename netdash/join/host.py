"""Recording -> Host: the one place where two sources meet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from itertools import compress
from operator import is_not
from typing import TYPE_CHECKING, TypeVar

from netdash.bundle.recording import Recording
from netdash.join.networks import other_namespace, with_gateways
from netdash.join.sources import Sources, malformed, parse_inside
from netdash.model.engine_state import KERNEL, other_kernel
from netdash.model.host import (
    IP,
    Container,
    Failure,
    Host,
    Inside,
    Link,
    Listener,
    Network,
    Port,
    Proxy,
    Route,
    Ruleset,
)
from netdash.model.memory import CachedMap, Unchanged, same
from netdash.model.records import dataclass, replace
from netdash.model.source import KEPT, SOURCES, WAITING, Source
from netdash.parse.docker import created, parse_inspected, parse_listed, resolve_shared
from netdash.parse.json_values import Json, mapping, objects, text

if TYPE_CHECKING:
    from netdash.drift.incremental import Comparing
    from netdash.join.host_ports import HostPorts
    from netdash.join.networks import VethPairs
    from netdash.kernel.devices import Entrance
    from netdash.model.kept import WaitingPort

T = TypeVar("T")
_NOTHING: Mapping[str, object] = {}


class _InnerAnswers:
    """What was read in the containers' namespaces: by container, the same object while nothing of it changes."""

    _FOLDER = "containers/"

    def __init__(self) -> None:
        self._answers: Mapping[str, object] = {}
        self._known: dict[str, Mapping[str, object]] = {}

    def update(self, recording: Recording) -> set[str]:
        """Gives the names of the containers of which something changed."""
        before, now = self._answers, recording.answers
        moved = [*compress(now, map(is_not, now.values(), map(before.get, now)))]
        moved += before.keys() - now.keys()
        size = len(self._FOLDER)
        names = {path[size:].rpartition("/")[0] for path in moved if path.startswith(self._FOLDER)}
        for name in names:
            self._known[name] = recording.container_answers(name)
        self._answers = now
        return names

    def of(self, name: str) -> Mapping[str, object]:
        return self._known.get(name, _NOTHING)


@dataclass(frozen=True, slots=True)
class _Joined:
    """A container as it was joined, and from what."""

    container: Container  # as the engine describes it
    inputs: tuple[object, ...]  # what else is known of its namespace
    seen: Container  # with what was read inside
    evidence: frozenset[object]  # for its veths
    veths: tuple[str | None, ...]  # by endpoint
    joined: Container


class Builder:
    """Builds hosts one after the other and works only on what changed: an answer that is the same object as last time
    is not parsed again. Keeps nothing but that memory; not for use by two threads.

    What a kind of answer needs is imported when the first of that kind comes: the screen shows containers before."""

    def __init__(self, compare: bool = True) -> None:
        """`compare`: the rules with those that the engine should have written."""
        self._compares = compare
        self._sources = Sources()
        self._listed, self._inspected, self._not_inspected = CachedMap(), CachedMap(), CachedMap()
        self._inner = _InnerAnswers()
        self._joined_before: dict[str, _Joined] = {}
        self._veth_pairs: VethPairs | None = None
        self._publishing = Unchanged(_of_ports)
        self._joined_all: tuple[Container, ...] = ()
        self._uncounted: tuple[Port, ...] = ()
        self._entrance: Entrance | None = None
        self._host_ports: HostPorts | None = None
        self._comparing: Comparing | None = None

    def build(self, recording: Recording) -> Host:
        """The host of this recording. What is malformed becomes a failure of its source, never an exception."""
        kernel = recording.text(KERNEL)
        if other := other_kernel(kernel):
            recording = self._sources.once("engine alone", _engine_alone, recording, other)
        failures = dict(recording.failures)
        links = self._sources.links(recording, failures)
        engine = self._sources.engine(recording, failures)
        networks = self._sources.networks(recording, links, engine, failures)
        containers = self._joined(recording, links, networks, failures)
        process = self._sources.process(recording)
        proxies, forged, listeners = self._sources.sockets(recording, process, failures)
        tracking, flows = self._sources.flows(recording, process, failures)
        routes, policy = self._sources.routes(recording, failures)
        ruleset = self._sources.ruleset(recording, failures)
        wrong = other_namespace(recording.live, engine, process, kernel, networks, links)
        if wrong:
            ruleset, tracking, flows = None, None, None
            failures |= {source: replace(wrong, source=source) for source in (Source.RULES, Source.FLOWS)}
            if proxies is not None and (process is not None or recording.live):
                proxies, forged = None, ()
                failures[Source.PROXIES] = replace(wrong, source=Source.PROXIES)
        waiting = self._sources.parsed(recording, WAITING) or ()
        ports = self._ports(containers, links, routes, ruleset, proxies, listeners, waiting)
        host = Host(
            name=recording.hostname or _hostname(recording),
            taken=recording.taken,
            live=recording.live,
            engine=engine,
            containers=containers,
            networks=networks,
            links=links,
            routes=routes,
            policy=policy,
            neighbours=self._sources.neighbours(recording, failures),
            ruleset=ruleset,
            proxies=proxies,
            listeners=listeners,
            ports=ports,
            sysctls=self._sources.parsed(recording, "host/sysctl.txt"),
            bridging=self._sources.bridging(recording, failures),
            flows=flows,
            tracking=tracking,
            traffic=self._sources.traffic(recording, process, bool(wrong)),
            counters=self._sources.counters(recording, failures),
            conntrack_counts=self._sources.parsed(recording, "host/conntrack-stats.txt"),
            ipsets=self._sources.parsed(recording, "rules/ipset.txt"),
            ipsec=self._sources.parsed(recording, "ip/xfrm.txt"),
            qdiscs=self._sources.parsed(recording, "rules/tc.txt"),
            privileged=recording.privileged,
            kept_until=self._sources.parsed(recording, KEPT) or {},
            pending=recording.pending,
            heard=recording.heard,
            failures=failures,
            forged=forged,
            process=process,
            other_kernel=other,
        )
        return self._compared(host, failures)

    def _compared(self, host: Host, failures: dict[str, Failure]) -> Host:
        """The host with what the engine should have written and is not so."""
        if not self._compares or host.containers is None or host.networks is None or host.ruleset is None:
            return host
        from netdash.drift.incremental import Comparing

        self._comparing = self._comparing or Comparing()
        drift, reasons = self._comparing.compare(host, self._uncounted)
        failures.update(reasons)
        return replace(host, drift=drift)

    # --- where sources meet -------------------------------------------------------------------------------------------

    def _joined(
        self,
        recording: Recording,
        links: tuple[Link, ...] | None,
        networks: tuple[Network, ...] | None,
        failures: dict[str, Failure],
    ) -> tuple[Container, ...] | None:
        listed = recording.answers.get("docker/containers.json")
        inspected = recording.answers.get("docker/inspect.json")
        if listed is None and inspected is None:
            return None
        if inspected is None and not recording.live:
            failures.setdefault("docker: inspect", Failure("docker: inspect", "not in this recording"))
        try:
            parsed = self._sources.once("containers", self._parse_containers, listed, inspected)
        except ValueError as error:
            failures[Source.DOCKER] = malformed(Source.DOCKER, error)
            return None
        if networks is not None:
            parsed = self._sources.once(
                "gateways", with_gateways, parsed, recording.answers.get("docker/networks.json")
            )
        from netdash.join.networks import VethPairs

        veth_pairs = self._sources.once(
            "veth_pairs",
            lambda links, networks, netns, fdb: VethPairs(links, networks, netns, fdb, self._veth_pairs),
            links,
            networks,
            recording.answers.get("ip/netns.json"),
            recording.answers.get("ip/bridge-fdb.json"),
        )
        inner = self._inner.update(recording)
        moved = frozenset() if veth_pairs is self._veth_pairs else veth_pairs.changed
        before, self._veth_pairs = self._joined_before, veth_pairs
        again = [
            container
            for container in parsed
            if (known := before.get(container.id)) is None
            or known.container is not container
            or (container.shares_with or container.name in inner)
            or (moved is None or not moved.isdisjoint(known.evidence))
        ]
        owners = {container.name: container for container in parsed} if again else {}
        made = {it.id: self._join(it, veth_pairs, before.get(it.id), owners) for it in again}
        self._joined_before = {container.id: made.get(container.id) or before[container.id] for container in parsed}
        if not same(self._joined_all, joined := tuple([known.joined for known in self._joined_before.values()])):
            self._joined_all = joined
        return self._joined_all

    def _join(
        self, container: Container, veth_pairs: VethPairs, before: _Joined | None, owners: Mapping[str, Container]
    ) -> _Joined:
        """The container with its veths and listeners; the same object as last time when nothing of it changed."""
        inner = self._inner.of(container.name) if container.running else _NOTHING
        owner = _Owner.of(container, owners, self._inner) if container.shares_with else None
        inputs = (inner, *((owner.container, owner.namespace) if owner else ()))
        if before is None or before.container is not container or not same(before.inputs, inputs):
            seen = replace(
                container,
                listeners=_inner_listeners(container, inner),
                default_gateways=_inner_gateways(inner),
                inside=parse_inside(inner),
            )
            if owner is not None and owner.lost(container, inner.get(_NETNS)):
                seen = replace(seen, left_behind=True, inside=seen.inside or Inside((), (), ()))
        else:
            seen = before.seen
        from netdash.join.networks import evidence_of

        veths = veth_pairs.veths(seen)
        if before is not None and before.seen is seen and before.veths == veths:
            return before
        joined = _wired(seen, veths)
        joined = before.joined if before is not None and before.joined == joined else joined
        return _Joined(container, inputs, seen, evidence_of(seen), veths, joined)

    def _parse_containers(self, listed: object, inspected: object) -> tuple[Container, ...]:
        """Inspected containers, and the listed ones that have not been inspected yet, as the engine lists them:
        Docker the newest first, Podman the oldest. One that an event named stands where the next list has it."""
        once, oldest = self._sources.once, _oldest_first(listed)
        details = once("inspected", partial(_in_order, self._inspected, parse_inspected), inspected, oldest)
        listing = once("listed", partial(_in_order, self._listed, lambda raw: raw), listed, oldest)
        alone = [raw for identity, raw in listing.items() if identity not in details]
        known = details | {listed.id: listed for listed in self._not_inspected(parse_listed, alone) if listed}
        fresh = [detail for identity, detail in details.items() if identity not in listing]  # they came after the list
        found = [*map(known.__getitem__, listing)]
        return resolve_shared([*found, *fresh] if oldest else [*fresh, *found])

    def _ports(
        self,
        containers: tuple[Container, ...] | None,
        links: tuple[Link, ...] | None,
        routes: tuple[Route, ...] | None,
        ruleset: Ruleset | None,
        proxies: tuple[Proxy, ...] | None,
        listeners: tuple[Listener, ...] | None,
        waiting: tuple[WaitingPort, ...],
    ) -> tuple[Port, ...] | None:
        if containers is None and listeners is None:
            return None
        from netdash.join.host_ports import HostPorts
        from netdash.kernel.devices import entrance_of

        found = self._sources.once("entrance", entrance_of, links, routes)
        entrance = self._entrance if found == self._entrance and self._entrance else found
        self._entrance = entrance
        containers = self._publishing.of(containers or ())
        held = self._host_ports = self._sources.once(
            "host_ports",
            lambda *_: HostPorts(entrance, ruleset, proxies, listeners, self._host_ports),
            *(entrance, ruleset and ruleset.shape, ruleset.unread if ruleset else (), proxies, listeners),
        )
        ports = self._sources.once("ports", lambda *_: held.ports(containers, waiting), held, containers, waiting)
        self._uncounted = ports
        if ruleset is None:
            return ports
        from netdash.trace.nat_rules import recounted

        return self._sources.once("counted", recounted, ports, ruleset)


def _oldest_first(listed: object) -> bool:
    times = [when for raw in objects(listed) or () if (when := created(mapping(raw))) is not None]
    return len(times) > 1 and times[0] < times[-1]


def _in_order(each: CachedMap, parse: Callable[[Json], T | None], answer: object, oldest: bool) -> dict[str, T]:
    """The containers of one kind of answer, by id; those that do not say when they were made are the last."""
    found = each(
        lambda raw: (created(mapping(raw)), text(mapping(raw).get("Id")), parse(mapping(raw))), objects(answer) or ()
    )
    found.sort(key=lambda row: (row[0] is None, (row[0] or 0.0) * (1 if oldest else -1)))
    return {identity: value for _, identity, value in found if identity and value}


def _of_ports(container: Container) -> tuple[object, ...]:
    """What of a container bears on the host's ports."""
    return (
        *(container.id, container.running, container.bindings, container.configured, container.endpoints),
        *(container.listeners, container.inside, container.pid, container.network_mode),
    )


_NETNS = "netns.txt"


@dataclass(frozen=True, slots=True)
class _Owner:
    """The container whose namespace another shares. `namespace`: the answer netns.txt, None where it was not read."""

    container: Container
    namespace: object

    @classmethod
    def of(cls, container: Container, owners: Mapping[str, Container], inner: _InnerAnswers) -> _Owner | None:
        owner = owners.get(container.shares_with or "")
        if owner is None or owner is container:
            return None
        return cls(owner, inner.of(owner.name).get(_NETNS) if owner.running else None)

    def lost(self, container: Container, namespace: object) -> bool:
        """Whether the namespace that it has is another one by now: a container that is started gets a new one."""
        if not container.running or self.container.network_mode.startswith("container:"):
            return False
        if self.container.state in ("exited", "created", "dead"):
            return True
        known = isinstance(namespace, str) and isinstance(self.namespace, str)
        return known and self.container.running and namespace != self.namespace


def _engine_alone(recording: Recording, why: str) -> Recording:
    """Without what was read of another kernel than the engine's: next to its containers it would be told of them."""
    reason, remedy = f"the engine is not on this machine: {why}", "run netdash where the engine runs"
    kept = {path: answer for path, answer in recording.answers.items() if path.startswith("docker/")}
    lost: dict[str, Failure] = {name: Failure(name, reason, remedy) for name in SOURCES if name != Source.DOCKER}
    failures = {source: why for source, why in recording.failures.items() if source.partition(":")[0] not in lost}
    pending = recording.pending - lost.keys()
    return replace(recording, answers=kept, failures={**failures, **lost}, pending=pending)


def _wired(container: Container, veths: tuple[str | None, ...]) -> Container:
    if not any(veths):
        return container
    pairs = zip(container.endpoints, veths, strict=True)
    return replace(container, endpoints=tuple(replace(endpoint, veth=veth) for endpoint, veth in pairs))


def _inner_listeners(container: Container, answers: Mapping[str, object]) -> tuple[Listener, ...] | None:
    for file in ("listeners.txt", "proc-net.txt"):
        answer = answers.get(file)
        if isinstance(answer, str) and (file == "listeners.txt" or "/net/tcp" in answer):
            from netdash.parse.proc import parse_listeners, parse_proc_net

            with contextlib.suppress(ValueError):
                return (parse_listeners if file == "listeners.txt" else parse_proc_net)(answer)
            return None
    return None if container.running else ()


def _inner_gateways(answers: Mapping[str, object]) -> frozenset[IP] | None:
    """Next hops of the default IPv4 routes inside; None when they were not read."""
    routes, sockets = answers.get("route.json"), answers.get("proc-net.txt")
    if routes is None:
        if not isinstance(sockets, str):
            return None
        from netdash.parse.proc import parse_proc_gateways

        return parse_proc_gateways(sockets)
    from netdash.parse.iproute import parse_routes

    try:
        found = parse_routes(objects(routes), None)
    except ValueError:
        return None
    return frozenset(route.gateway for route in found if route.default and route.gateway)


def _hostname(recording: Recording) -> str | None:
    name = mapping(recording.answers.get("docker/info.json")).get("Name")
    return name if isinstance(name, str) and name else None
