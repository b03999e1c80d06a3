"""Host ports: what is published, what holds it, and what else listens on the host."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

from netdash.kernel.devices import Entrance
from netdash.kernel.sockets import ByPort, by_port, holds, inside, scope_of
from netdash.model.host import IP, Binding, Container, Holder, Listener, Port, Proxy, Rule, Ruleset
from netdash.model.index import owners_of
from netdash.model.kept import WaitingPort
from netdash.model.memory import exchanged
from netdash.model.processes import HOLDERS, OWN_PROXY
from netdash.model.records import dataclass, replace

if TYPE_CHECKING:
    from netdash.trace.nat_rules import DestinationNat

ANY: dict[int, IP] = {4: IPv4Address(0), 6: IPv6Address(0)}
_ENGINE_HOLDERS = HOLDERS - {OWN_PROXY}


@dataclass(frozen=True, slots=True)
class _Owner:
    """A container with what each of its ports asks for: there may be thousands."""

    container: Container
    sockets: ByPort
    api_addresses: frozenset[IP | None]  # the addresses that the API tells


_Key = tuple[str, IP, int]
"""Protocol, address and port of this host."""


@dataclass(frozen=True, slots=True)
class _Published:
    """The ports of one container, and what is asked of all of them together: there may be thousands."""

    container: Container
    ports: tuple[Port, ...]
    unsure: bool  # whether rules that cannot be told may decide
    numbers: frozenset[tuple[str, int]]
    taken: frozenset[_Key]  # by the ports that are live, and by the proxies
    down: frozenset[_Key]
    order: tuple[tuple[object, ...], ...]  # of the ports

    @classmethod
    def of(cls, container: Container, ports: tuple[Port, ...]) -> _Published:
        return cls(
            container,
            ports,
            any(port.unsure for port in ports),
            frozenset((port.proto, port.host_port) for port in ports),
            frozenset(_key(value) for port in ports for value in (port.live and port, port.proxy) if value),
            frozenset(_key(port) for port in ports if not port.live),
            tuple(map(_order, ports)),
        )


class HostPorts:
    """Asks the rules for each published port where its packets go, as they come in by the uplink: the target is read
    from the rule, or from the proxy, never from the container's first network."""

    def __init__(
        self,
        way: Entrance,
        ruleset: Ruleset | None,
        proxies: tuple[Proxy, ...] | None,
        listeners: tuple[Listener, ...] | None,
        before: HostPorts | None = None,
    ) -> None:
        """`before`: the one of the host before, from which the ports are taken that nothing has changed for."""
        self._holding = holding = [proxy for proxy in proxies or () if proxy.holds_port]
        holding.sort(key=lambda proxy: (bool(proxy.listeners), -proxy.pid))  # of several at one port the last stays
        self._proxies_known = proxies is not None
        self._proxies_at: dict[tuple[str, int | None], list[Proxy]] = {}
        for proxy in holding:
            self._proxies_at.setdefault((proxy.proto, proxy.host_port), []).append(proxy)
        self._proxy_of: dict[int | None, Proxy] = {proxy.pid: proxy for proxy in holding}
        self.ruleset = ruleset
        self._listeners = listeners
        self._by_port = by_port(listeners or ())
        self._nat: DestinationNat | None = None
        if ruleset:
            from netdash.trace.nat_rules import DestinationNat  # not before: the screen shows containers first

            self._nat = DestinationNat(ruleset)
        self._targets = self._nat.targets() if self._nat else ()
        self._rules_whole = ruleset is not None and ruleset.complete
        self._entrance = way
        self._known: dict[str, _Published] = {}
        self._read = (way, self._rules_whole, self._proxies_known, listeners is None)
        if before is not None and before.ruleset and ruleset:
            self._take_over(before, before.ruleset, ruleset)

    def ports(self, containers: tuple[Container, ...], waiting: tuple[WaitingPort, ...] = ()) -> tuple[Port, ...]:
        """By protocol, port and address; a container's ports first where others share the number. A container that is
        the same object as last time is not looked at again: the positions and counters of its rules may be old."""
        before = self._known
        self._known = {
            container.id: known
            if (known := before.get(container.id)) is not None and known.container is container
            else _Published.of(container, tuple(self._published(container)))
            for container in containers
        }
        published = [published for published in self._known.values() if published.ports]
        taken: set[_Key] = set().union(*[other.taken for other in published])
        more = [*self._by_netdash(taken, containers), *self._translated(published, taken, containers)]
        taken = taken.union([_key(port) for port in more], *(other.down for other in published))
        more += (*self._others(taken, containers), *self._waiting(waiting, containers))
        found = [pair for other in published for pair in zip(other.order, other.ports, strict=True)]
        found += zip(map(_order, more), more, strict=True)
        found.sort(key=itemgetter(0))
        return tuple([port for _, port in found])

    def _take_over(self, before: HostPorts, old: Ruleset, new: Ruleset) -> None:
        from netdash.trace.nat_rules import changes

        changed = changes(old, new) if before._read == self._read else None
        if changed is None:
            return
        sockets = chain(*exchanged(before._listeners or (), self._listeners or ()))
        proxies = chain(*exchanged(before._holding, self._holding))
        touched = {(listener.proto, listener.port) for listener in sockets} | {
            (proxy.proto, proxy.host_port) for proxy in proxies
        }
        touched |= changed
        self._known = {
            identity: known
            for identity, known in before._known.items()
            if not known.unsure and known.numbers.isdisjoint(touched)
        }

    def _proxy(self, proto: str, host_ip: IP, port: int) -> Proxy | None:
        """Of several at one port the last."""
        here = self._proxies_at.get((proto, port), ())
        return next((proxy for proxy in reversed(here) if proxy.host_ip == host_ip), None)

    # --- published ports ----------------------------------------------------------------------------------------------

    def _published(self, container: Container) -> Iterator[Port]:
        bindings = container.bindings if container.running else container.configured
        addresses = frozenset(binding.host_ip for binding in bindings)
        owner = _Owner(container, by_port(container.listeners or ()), addresses)
        six_told = {(binding.proto, binding.host_port) for binding in bindings if binding.host_ip == ANY[6]}
        six = any(address.version == 6 for end in container.endpoints for address in end.addresses)
        for binding in bindings:
            if binding.host_port is None:
                continue
            host_ip = binding.host_ip or ANY[4]
            if container.running:
                yield self._live(owner, binding, host_ip, binding.host_port)
                if six and host_ip == ANY[4] and (binding.proto, binding.host_port) not in six_told:
                    yield from self._also_by_ipv6(owner, binding, binding.host_port)
            else:
                yield self._down(container.id, (binding.proto, host_ip, binding.host_port), binding.container_port)

    def _also_by_ipv6(self, owner: _Owner, binding: Binding, host_port: int) -> Iterator[Port]:
        """Podman tells 0.0.0.0 for a port without an address; netavark's rules translate IPv6 too on a dual stack."""
        port = self._live(owner, binding, ANY[6], host_port)
        if port.dnat and not port.unsure and not _foreign(owner.container, port.target_ip):
            yield port

    def _down(self, container_id: str, key: _Key, container_port: int) -> Port:
        return Port(
            *key,
            container_port=container_port,
            target_ip=None,
            dnat=None,
            proxy=None,
            listening=False,
            listener=None,
            scope=scope_of(key[1]),
            container_id=container_id,
            holder=self._holder(*key, None, None),
            live=False,
        )

    def _live(self, owner: _Owner, binding: Binding, host_ip: IP, host_port: int) -> Port:
        container = owner.container
        proxy = self._proxy(binding.proto, host_ip, host_port) or self._relayed(owner, binding, host_ip)
        bound = proxy.host_ip if proxy else host_ip
        dnat, unsure, (target, port) = self._dnat(binding.proto, bound, host_port)
        if target is None and proxy is not None and not unsure and (self._nat is None or self._rules_whole):
            target, port = proxy.container_ip, proxy.container_port
        if target is None and self._nat is None:
            target = _only_address(container, host_ip)  # rules unread: likely where there is one address
        port = port or binding.container_port
        listener, listening = _inside(container, binding.proto, target, port, owner.sockets)
        if target is None and (unsure or (self._nat is not None and not self._rules_whole)):
            listener, listening = None, None  # packets may go to another
        return Port(
            proto=binding.proto,
            host_ip=host_ip,
            host_port=host_port,
            container_port=binding.container_port,
            target_ip=target,
            dnat=dnat,
            proxy=proxy,
            listening=listening,
            listener=listener.command if listener else None,
            scope=scope_of(host_ip),
            container_id=container.id,
            holder=self._holder(binding.proto, bound, host_port, dnat, proxy, bool(unsure) or not self._rules_whole),
            unsure=unsure,
            dnat_from_here=self._nat.from_here(self._entrance, binding.proto, bound, host_port)
            if dnat and self._nat
            else None,
        )

    def _relayed(self, owner: _Owner, binding: Binding, host_ip: IP) -> Proxy | None:
        """The proxy that a rootless engine runs for this binding, in its own namespace and so on another address:
        RootlessKit hands over there what it takes at the address that the API tells."""
        found = [
            proxy
            for proxy in self._proxies_at.get((binding.proto, binding.host_port), ())
            if (proxy.container_port, proxy.host_ip.version) == (binding.container_port, host_ip.version)
            and not _foreign(owner.container, proxy.container_ip)
            and proxy.host_ip not in owner.api_addresses
        ]
        return found[0] if len(found) == 1 else None

    def _dnat(
        self, proto: str, host_ip: IP, host_port: int
    ) -> tuple[Rule | None, tuple[Rule, ...], tuple[IP | None, int | None]]:
        """The rule that translates, those that may do something else before it, and to what it translates."""
        if self._nat is None:
            return None, (), (None, None)
        found = self._nat.coming_in(self._entrance, proto, host_ip, host_port)
        return found.rule, found.unsure, found.target

    def _holder(
        self, proto: str, host_ip: IP, port: int, dnat: Rule | None, proxy: Proxy | None, may_translate: bool = False
    ) -> Holder | None:
        """`may_translate`: that no rule has the port is not certain."""
        if self._listeners is None:
            return Holder(proxy.command, proxy.pid, proxy.command) if proxy else None
        for listener in self._by_port.get((proto, port), ()):
            if holds(listener, host_ip):
                return _holder_of(listener, proxy)
        if proxy is not None:
            return Holder(proxy.command, proxy.pid, proxy.command)
        if dnat is None and (may_translate or self._nat is None or not self._proxies_known):
            return None  # where the engine is, somebody may hold it
        return Holder("rule" if dnat else "nobody")

    # --- the others ---------------------------------------------------------------------------------------------------

    def _translated(
        self, published: list[_Published], taken: set[_Key], containers: tuple[Container, ...]
    ) -> Iterator[Port]:
        """DNAT rules of one exact port that no engine published: written by hand, or left over."""
        owners = cache(lambda: owners_of(containers))
        numbers = {(proto, port) for proto, _, port in taken}
        if self._nat is None:
            return
        from netdash.trace.nat_rules import destination, translated

        known = {id(port.dnat.matches) for other in published for port in other.ports if port.dnat}
        for rule, asked in self._targets:
            if asked is None and id(rule.matches) in known:
                continue  # the port that it is for is published
            proto, port, dst = destination(rule)
            if port is None and asked is not None:
                proto, port = asked
            if proto is None or port is None or (proto, port) in numbers:
                continue
            host_ip = dst or ANY[6 if rule.family == "ip6" else 4]
            target, target_port = translated(rule, port)
            holder = self._holder(proto, host_ip, port, rule, None)
            key = proto, host_ip, port
            yield _forwarded(key, target, target_port or port, owners().get(target) if target else None, holder, rule)

    def _by_netdash(self, taken: set[_Key], containers: tuple[Container, ...]) -> Iterator[Port]:
        """Ports that netdash forwards by a proxy of its own, which the engine knows nothing of."""
        own = [proxy for proxy in self._holding if proxy.command == OWN_PROXY and self._is_last(proxy)]
        owners = owners_of(containers) if own else {}
        for proxy in own:
            if (key := _key(proxy)) not in taken:
                target, holder = proxy.container_ip, Holder("netdash", proxy.pid, OWN_PROXY)
                yield _forwarded(key, target, proxy.container_port, owners.get(target), holder, proxy=proxy)

    def _waiting(self, waiting: tuple[WaitingPort, ...], containers: tuple[Container, ...]) -> Iterator[Port]:
        """Ports of netdash's forwards that are closed, but for those whose proxies are known."""
        by_id = {container.id: container for container in containers} if waiting else {}
        for waiting_port in waiting:
            owner = by_id.get(waiting_port.container_id)
            proxy = self._proxy(*_key(waiting_port))
            if proxy is None or (owner is not None and _foreign(owner, proxy.container_ip)):
                down = self._down(waiting_port.container_id, _key(waiting_port), waiting_port.container_port)
                yield replace(down, waiting=True)

    def _others(self, taken: set[_Key], containers: tuple[Container, ...]) -> Iterator[Port]:
        """Other host listeners; a host-network container is told by its first process, a proxy tells where it leads."""
        by_pid = {
            container.pid: container for container in containers if container.pid and container.network_mode == "host"
        }
        seen: set[tuple[str, IP, int, str | None, bool]] = set()
        for listener in self._listeners or ():
            key = (listener.proto, listener.ip, listener.port)
            if key in taken and not listener.device:
                continue
            known = (*key, listener.device, listener.dual)
            if known in seen or self._is_proxys(listener, taken):
                continue
            seen.add(known)
            owner, proxy = by_pid.get(listener.pid or 0), self._proxy(*key)
            yield Port(
                proto=listener.proto,
                host_ip=listener.ip,
                host_port=listener.port,
                container_port=proxy.container_port if proxy else listener.port if owner else None,
                target_ip=proxy.container_ip if proxy else None,
                dnat=None,
                proxy=proxy,
                listening=None if proxy else True,
                listener=None if proxy else listener.program,
                scope=scope_of(listener.ip, listener.device),
                container_id=owner.id if owner else None,
                holder=_holder_of(listener, proxy),
                dual=listener.dual,
                device=listener.device,
            )

    def _is_proxys(self, listener: Listener, taken: set[_Key]) -> bool:
        """Whether it is the socket of a proxy that is known: old ones bind :: for 0.0.0.0."""
        own = self._proxy_of.get(listener.pid)
        return own is not None and own.host_port == listener.port and self._is_last(own) and _key(own) in taken

    def _is_last(self, proxy: Proxy) -> bool:
        return self._proxy(*_key(proxy)) is proxy


def _forwarded(
    key: _Key,
    target: IP | None,
    port: int,
    owner: Container | None,
    holder: Holder | None,
    dnat: Rule | None = None,
    proxy: Proxy | None = None,
) -> Port:
    """A port that no engine published. `port`: of `target`, which is an address of `owner`."""
    listener, listening = _inside(owner, key[0], target, port)
    return Port(
        *key,
        container_port=port,
        target_ip=target,
        dnat=dnat,
        proxy=proxy,
        listening=listening,
        listener=listener.command if listener else None,
        scope=scope_of(key[1]),
        container_id=owner.id if owner else None,
        holder=holder,
    )


def _only_address(container: Container, host_ip: IP) -> IP | None:
    ips = [address.ip for end in container.endpoints for address in end.addresses if address.version == host_ip.version]
    return ips[0] if len(ips) == 1 else None


def _foreign(container: Container, target: IP | None) -> bool:
    """Whether packets go to an address that is not the container's: what listens inside says nothing of it."""
    return target is not None and all(address.ip != target for end in container.endpoints for address in end.addresses)


def _inside(
    container: Container | None, proto: str, target: IP | None, port: int, sockets: ByPort | None = None
) -> tuple[Listener | None, bool | None]:
    if container is None or _foreign(container, target):
        return None, None
    return inside(container, proto, target, port, sockets)


def _holder_of(listener: Listener, proxy: Proxy | None) -> Holder:
    command = listener.program or (proxy.command if proxy else None)
    pid = listener.pid or (proxy.pid if proxy else None)
    return Holder(command if command in _ENGINE_HOLDERS else "process", pid, command, listener.user is not None)


def _key(thing: Port | Proxy | WaitingPort) -> _Key:
    return thing.proto, thing.host_ip, thing.host_port


def _order(port: Port) -> tuple[object, ...]:
    place = port.proto, port.host_port, port.host_ip.version, int(port.host_ip)
    return (*place, port.container_id is None, not port.live, port.device or "")
