"""The kernel's tracked connections joined to containers, ports and proxies: one record each, as people see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

from netdash.join.proxied import Half, Joined, ProxySockets, are_as_open, joined
from netdash.kernel.conntrack_entries import never_answered
from netdash.kernel.devices import Entrance, entrance_of
from netdash.model.host import IP, Container, Ends, Host, Port, Proxy, TrackedFlow
from netdash.model.index import index_of, sharing
from netdash.model.kernel_state import ProxySocket, Tracking
from netdash.model.memory import same
from netdash.model.packet import Flow, FlowEnd, Trouble
from netdash.model.records import replace
from netdash.parse.conntrack import parse_entry


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def flows(host: Host) -> tuple[Flow, ...]:
    """What stands out first, then what concerns containers, then the host's own; else in the kernel's order."""
    found = _joining(_Context(host)).all(host.flows, host.traffic.proxied) if host.flows else ()
    return tuple(sorted(found, key=lambda flow: (flow.trouble is None, not flow.containers)))


class _Context:
    """Equal to another where nothing changed that connections are joined with."""

    def __init__(self, host: Host) -> None:
        self.host = host
        rules = host.ruleset.shape or host.ruleset if host.ruleset is not None else None
        self._parts = (host.containers, host.ports, host.proxies, host.links, host.routes, host.sysctls, rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Context) and same(self._parts, other._parts)

    def __hash__(self) -> int:
        return hash(tuple(map(id, self._parts)))


@lru_cache(maxsize=2)
def _joining(context: _Context) -> _Joining:
    return _Joining(context.host)


def of_container(host: Host, container: Container) -> Callable[[Flow], bool]:
    """Whether a connection is the container's: of those that share a namespace with it, it has all, and those that an
    entry from before its port keeps away from it."""
    ids = {sharing(host, container).id, container.id}
    ports = [port for port in host.ports or () if port.live and port.container_id in ids]

    def kept_away(flow: Flow) -> bool:
        return flow.trouble is Trouble.STALE and any(passes_by(flow.entry, port) for port in ports)

    return lambda flow: not ids.isdisjoint(flow.containers) or kept_away(flow)


def connections(host: Host, container: Container) -> tuple[Flow, ...] | None:
    """The container's; None where they were not read. Of one whose card is on screen they may be read alone."""
    owner = sharing(host, container)
    if host.flows is not None:
        return _by_container(host).get(owner.id, ())
    used = host.traffic.used
    own = {address.ip for end in owner.endpoints for address in end.addresses}
    if used is None or own.isdisjoint(used.addresses):
        return None
    return tuple(flow for flow in _of_one(host) if owner.id in flow.containers)


@lru_cache(maxsize=2)
def _by_container(host: Host) -> dict[str, tuple[Flow, ...]]:
    found: dict[str, list[Flow]] = {}
    for flow in flows(host):
        for identity in flow.containers:
            found.setdefault(identity, []).append(flow)
    return {identity: tuple(own) for identity, own in found.items()}


@lru_cache(maxsize=2)
def _of_one(host: Host) -> tuple[Flow, ...]:
    used = host.traffic.used
    return tuple(_joining(_Context(host)).all(used.flows, None)) if used is not None else ()


def passes_by(flow: TrackedFlow, port: Port) -> bool:
    """Whether a connection for a published port goes elsewhere than the port's rule leads: it is from before the rule,
    and rules of nat are asked for the first packet only."""
    ends = flow.original
    if port.dnat is None or port.target_ip is None or (flow.proto, ends.dport) != (port.proto, port.host_port):
        return False
    bound = port.host_ip == ends.dst or (
        port.host_ip.is_unspecified and ends.dst is not None and port.host_ip.version == ends.dst.version
    )
    return bound and (flow.reply.src, flow.reply.sport) != (port.target_ip, port.container_port)


class _Joining:
    """What all connections of one host are looked up in."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._index = index_of(host)
        self._entrance: Entrance = entrance_of(host.links, host.routes)
        self._local: dict[IP, bool] = {}
        self._known: dict[int, Flow] = {}  # by the entry's identity, which the flow keeps
        self._pairs: dict[str, str] = {}  # keys of the two halves that were seen to belong together
        self._ports: dict[tuple[str, int], list[Port]] = {}
        for port in host.ports or ():
            if port.live:
                self._ports.setdefault((port.proto, port.host_port), []).append(port)
        self._proxies: dict[tuple[str, int], list[Proxy]] = {}
        self._targets: dict[tuple[str, IP, int], list[Proxy]] = {}  # one for IPv4 and one for IPv6 lead to one target
        for proxy in host.proxies or ():
            self._proxies.setdefault((proxy.proto, proxy.host_port), []).append(proxy)
            target = (proxy.proto, proxy.container_ip, proxy.container_port)
            self._targets.setdefault(target, []).append(proxy)

    def all(self, entries: Iterable[TrackedFlow], sockets: Iterable[ProxySocket] | None) -> list[Flow]:
        """`sockets`: of userland proxies; None where they were not read."""
        found, taken, opened = [], dict[int, list[TrackedFlow]](), dict[tuple[str, IP, int], list[TrackedFlow]]()
        before, self._known = self._known, {}
        for entry in entries:
            known = before.get(id(entry))
            if known is not None and known.entry is entry:
                self._known[id(entry)] = known
                found.append(known)
                continue
            proxy, target = self._taken_by(entry), self._opened_for(entry)
            if proxy is not None:
                taken.setdefault(proxy.pid, []).append(entry)
            elif target is not None:
                opened.setdefault(target, []).append(entry)
            else:
                self._known[id(entry)] = self._flow(entry)
                found.append(self._known[id(entry)])
        proxied, pairs, self._pairs = ProxySockets(sockets, self._host.proxies or ()), self._pairs, {}
        for target, proxies in self._targets.items() if taken or opened else ():
            fronts = [proxied.front(proxy, entry) for proxy in proxies for entry in taken.get(proxy.pid, ())]
            backs = [proxied.back(entry) for entry in opened.get(target, ())]
            found += self._proxied(fronts, backs, pairs, proxied.read)
        return found

    # --- a userland proxy's two halves --------------------------------------------------------------------------------

    def _taken_by(self, entry: TrackedFlow) -> Proxy | None:
        """The proxy whose socket takes the connection: it is for a port of this host, and is not translated."""
        ends = entry.original
        if ends.dst is None or ends.dport is None or (entry.reply.src, entry.reply.sport) != (ends.dst, ends.dport):
            return None
        proxies = self._proxies.get((entry.proto, ends.dport), ()) if self._is_local(ends.dst) else ()
        exact = [proxy for proxy in proxies if proxy.host_ip == ends.dst]
        wild = (
            proxy for proxy in proxies if proxy.host_ip.is_unspecified and proxy.host_ip.version == ends.dst.version
        )
        return next(iter((*exact, *wild)), None)

    def _opened_for(self, entry: TrackedFlow) -> tuple[str, IP, int] | None:
        """Where a connection leads that this host opened to what a proxy leads to."""
        ends = entry.original
        if ends.dst is None or ends.dport is None or ends.src is None:
            return None
        target = (entry.proto, ends.dst, ends.dport)
        return target if target in self._targets and self._is_local(ends.src) else None

    def _proxied(self, fronts: list[Half], backs: list[Half], before: Mapping[str, str], read: bool) -> Iterator[Flow]:
        """One record a client's connection; the proxies' own that belong to none have one each."""
        by_key = {_key(back.entry): back for back in backs} if before else {}
        told = [
            Joined(front, back)
            for front in fronts
            if (back := by_key.get(before.get(_key(front.entry), ""))) is not None and are_as_open(front, back)
        ]
        taken = {id(half) for pair in told for half in (pair.front, pair.back)}
        rest, others = ([half for half in halves if id(half) not in taken] for halves in (fronts, backs))
        more, alone = joined(rest, others, read)
        for pair in (*told, *more):
            behind = pair.back.entry if pair.back is not None else None
            if behind is not None:
                self._pairs[_key(pair.front.entry)] = _key(behind)
            yield self._flow(pair.front.entry, pair.front.proxy, behind, pair.among)
        yield from (self._flow(back.entry) for back in alone)

    # --- one connection -----------------------------------------------------------------------------------------------

    def _flow(
        self, entry: TrackedFlow, proxy: Proxy | None = None, behind: TrackedFlow | None = None, among: int = 0
    ) -> Flow:
        asked, answered = entry.original, entry.reply
        server = self._end(answered.src, answered.sport, entry.proto)
        if proxy is not None:
            server = self._end(proxy.container_ip, proxy.container_port, proxy.proto)
        moved = (answered.dst, answered.dport) != (asked.src, asked.sport) and answered.dst is not None
        return Flow(
            key=_key(entry),
            entry=entry,
            client=self._end(asked.src, asked.sport, entry.proto),
            asked=self._end(asked.dst, asked.dport, entry.proto),
            server=server,
            source=(answered.dst, answered.dport) if moved and answered.dst is not None else None,
            proxy=proxy,
            behind=behind,
            behind_among=among,
            trouble=self._trouble(entry) or (self._trouble(behind) if behind is not None else None),
        )

    def _end(self, ip: IP | None, port: int | None, proto: str) -> FlowEnd:
        if ip is None:
            return FlowEnd(None, port)
        owner = self._index.owners.get(ip)
        if owner is not None:
            return FlowEnd(ip, port, owner.id)
        here = self._is_local(ip)
        return FlowEnd(ip, port, self._on_host(proto, ip, port) if here and port is not None else None, here)

    def _on_host(self, proto: str, ip: IP, number: int) -> str | None:
        """The container that uses the host's namespace and has the port there."""
        for port in self._ports.get((proto, number), ()):
            container = self._index.containers.get(port.container_id or "")
            wild = port.host_ip.is_unspecified and (port.dual or port.host_ip.version == ip.version)
            if container is not None and container.network_mode == "host" and (wild or port.host_ip == ip):
                return container.id
        return None

    def _is_local(self, ip: IP) -> bool:
        known = self._local.get(ip)
        if known is None:
            known = self._local[ip] = bool(self._entrance.takes(ip))
        return known

    def _trouble(self, entry: TrackedFlow) -> Trouble | None:
        ends: Ends = entry.original
        if entry.proto == "udp" and ends.dport is not None and ends.dst is not None and self._is_local(ends.dst):
            ports = self._ports.get((entry.proto, ends.dport), ())
            works = entry.replied and entry.reply.src == ends.dst  # a proxy of this host answers all the same
            if not works and self._from_outside(entry) and any(passes_by(entry, port) for port in ports):
                return Trouble.STALE
        return Trouble.UNANSWERED if never_answered(self._host, entry) else None

    def _from_outside(self, entry: TrackedFlow) -> bool:
        """Rules of the engine do not translate what this host and, where a proxy runs, containers send there."""
        src = entry.original.src
        return src is not None and not self._is_local(src) and src not in self._index.owners


def _key(entry: TrackedFlow) -> str:
    ends, zone = entry.original, entry.zones[0]
    number = ends.sport if entry.icmp_id is None else entry.icmp_id
    return f"{entry.proto} {ends.src} {number} {ends.dst} {ends.dport}{f' zone {zone}' if zone else ''}"


class LiveEntries:
    """Connections as netlink tells them, again and again; what did not change is the same object. Two readings of a
    connection that is counted tell its rate."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, TrackedFlow]] = {}  # by the identity of the bytes, which are kept
        self._counted: dict[tuple[object, ...], tuple[float, int]] = {}  # when, and how many bytes

    def read(self, tracking: Tracking) -> tuple[TrackedFlow, ...]:
        before, self._known = self._known, {}
        counted, self._counted = self._counted, {}
        found = []
        for body, began in tracking.entries:
            known = before.get(id(body))
            if known is not None and known[0] is body:
                flow: TrackedFlow | None = known[1]
            else:
                flow = parse_entry(body, tracking.at)
                if flow is not None and flow.age is None and began is not None:
                    flow = replace(flow, age=int(tracking.at - began))
            if flow is not None:
                flow = self._rated(flow, tracking.dumped, counted) if flow.counts is not None else flow
                self._known[id(body)] = (body, flow)
                found.append(flow)
        return tuple(found)

    def _rated(
        self, flow: TrackedFlow, at: float, before: Mapping[tuple[object, ...], tuple[float, int]]
    ) -> TrackedFlow:
        key, size = (flow.proto, flow.original, flow.icmp_id, flow.zones), flow.bytes or 0
        last = before.get(key)
        if last is not None and last[0] < at and last[1] <= size:
            flow = replace(flow, rate=(size - last[1]) / (at - last[0]))
            last = None
        self._counted[key] = last or (at, size)
        return flow
