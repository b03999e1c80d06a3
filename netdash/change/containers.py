"""Containers that stop, start, restart, come, go, join and leave networks, and the restart of the engine: their
addresses, veths, proxies and rules as the engine makes them anew."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.change.attachment import attached, detached, fresh_endpoint, fresh_inside
from netdash.change.engine_rules import EngineRules
from netdash.change.links import Devices, switched, unplugged
from netdash.change.model import (
    AttachmentChange,
    CannotModel,
    ContainerChange,
    ContainerEdit,
    ContainerRepublish,
    ContainerRun,
    EngineRestart,
    NetworkRemoval,
)
from netdash.change.routes import written
from netdash.join.host_ports import ANY
from netdash.model.engine_state import Binding
from netdash.model.host import Container, Endpoint, Host, Listener, Network
from netdash.model.index import namespace_owner
from netdash.model.records import replace

EngineChange = ContainerChange | ContainerRun | ContainerRepublish | AttachmentChange | NetworkRemoval | EngineRestart


def changed_containers(host: Host, change: EngineChange) -> Host:
    """Raises CannotModel for what the engine refuses, or netdash has no model of."""
    match change:
        case ContainerChange():
            return _edited(host, _named(host, change.container), change.edit)
        case ContainerRun():
            return _run(host, change)
        case ContainerRepublish():
            return _republished(host, _named(host, change.container), change.bindings)
        case AttachmentChange():
            return _rejoined(host, _named(host, change.container), change)
        case NetworkRemoval():
            return _without_network(host, change.network)
        case EngineRestart():
            return _restarted(host)


def _named(host: Host, identity: str) -> Container:
    found = next((container for container in host.containers or () if container.id == identity), None)
    if found is None:
        raise CannotModel(f"there is no container {identity[:12]}")
    return found


def _with(host: Host, container: Container) -> Host:
    return replace(
        host, containers=tuple(container if other.id == container.id else other for other in host.containers or ())
    )


def _edited(host: Host, container: Container, edit: ContainerEdit) -> Host:
    if edit in (ContainerEdit.PAUSE, ContainerEdit.UNPAUSE):
        asked, state = ("running", "paused") if edit is ContainerEdit.PAUSE else ("paused", "running")
        if container.state != asked:
            raise CannotModel(f"{container.name} is {container.state}, not {asked}")
        return _with(host, replace(container, state=state))
    _modelled(host, container)
    if edit is ContainerEdit.REMOVE:
        host = _stopped(host, container)
        return replace(host, containers=tuple(other for other in host.containers or () if other.id != container.id))
    if edit is ContainerEdit.STOP:
        return _stopped(host, container)
    if edit is ContainerEdit.START and container.running:
        return host
    return _started(host, container)


def _modelled(host: Host, container: Container) -> None:
    if container.network_mode == "host":
        raise CannotModel(f"{container.name} is on the host's network: which sockets are its own is not known")
    if container.shares_with:
        raise CannotModel(f"{container.name} shares the network of {container.shares_with}: that is not modelled")
    followers = [
        other.name for other in host.containers or () if other.running and namespace_owner(other) == container.name
    ]
    if followers:
        raise CannotModel(f"{followers[0]} shares the network of {container.name}: what becomes of it is not modelled")


def _stopped(host: Host, container: Container) -> Host:
    if not container.running:
        return host
    host = detached(host, EngineRules(host), container)
    return _with(host, down(container))


def down(container: Container) -> Container:
    """As the engine tells of one that does not run."""
    return replace(
        container,
        state="exited",
        pid=None,
        endpoints=tuple(replace(end, addresses=(), veth=None) for end in container.endpoints),
        bindings=(),
        listeners=(),
        default_gateways=None,
        inside=None,
        left_behind=False,
    )


def _started(host: Host, container: Container) -> Host:
    """Anew, with a new network namespace. One that ran has its addresses again, and listens as it did; of others
    it is taken that they listen on the ports that they publish."""
    rules = EngineRules(host)
    if container.running:
        host = _with(detached(host, rules, container), down(container))
        return _again(host, rules, container)
    if any(binding.host_port is None for binding in container.configured):
        raise CannotModel(f"the engine chooses a port of {container.name} when it starts")
    ends: list[Endpoint] = []
    for end in container.endpoints:
        network = _network(host, end.network_id, end.network)
        ends.append(replace(fresh_endpoint(host, network, tuple(ends)), names=end.names, links=end.links))
    started = _listening(replace(container, state="running", endpoints=tuple(ends)), container.configured, host)
    return attached(host, rules, replace(started, inside=fresh_inside(host, started)))


def _again(host: Host, rules: EngineRules, container: Container) -> Host:
    """One that ran, and was taken off: its default route leads where its published ports came from."""
    again = replace(container, state="running", left_behind=False)
    inside = fresh_inside(host, again, container.inside, rules.leading(container))
    return attached(host, rules, replace(again, inside=inside))


def _network(host: Host, *words: str) -> Network:
    for word in words:
        for network in host.networks or ():
            if word and word in (network.id, network.name):
                return network
    raise CannotModel(f"there is no network {words[-1]}")


def _listening(container: Container, asked: tuple[Binding, ...], host: Host) -> Container:
    """With these published ports, as the engine tells them, and something that listens on each; without any, what
    listens is not known."""
    ports = dict.fromkeys((binding.proto, binding.container_port) for binding in asked)
    listeners = tuple(Listener(proto, ANY[6], port, dual=True) for proto, port in ports) or None
    return replace(container, bindings=tuple(_bindings(asked, host)), configured=asked, listeners=listeners)


def _bindings(asked: tuple[Binding, ...], host: Host) -> Iterator[Binding]:
    """One without an address is bound to all of IPv4, and of IPv6 where this host has it."""
    six = any(address.version == 6 for link in host.links or () for address in link.addresses)
    for binding in asked:
        if binding.host_ip is not None:
            yield binding
            continue
        for ip in (ANY[4], ANY[6]) if six else (ANY[4],):
            yield replace(binding, host_ip=ip)


def _run(host: Host, change: ContainerRun) -> Host:
    network = _network(host, change.network)
    if network.driver != "bridge":
        raise CannotModel(f"a container on {network.name}, a network of the driver {network.driver}, is not modelled")
    if any(container.name == change.name for container in host.containers or ()):
        raise CannotModel(f"there is a container {change.name} already", "name it: docker run --name NAME …")
    plain = Container(
        id=f"new {change.name}",
        name=change.name,
        image=change.image,
        state="running",
        health=None,
        exit_code=None,
        started_at=None,
        finished_at=None,
        pid=None,
        network_mode=network.name,
        shares_with=None,
        endpoints=(fresh_endpoint(host, network, ()),),
        bindings=(),
        configured=(),
        exposed=(),
        compose=None,
        service=None,
        listeners=(),
    )
    made = _listening(plain, change.bindings, host)
    host = replace(host, containers=(made, *(host.containers or ())))
    return attached(host, EngineRules(host), replace(made, inside=fresh_inside(host, made)))


def _republished(host: Host, container: Container, more: tuple[Binding, ...]) -> Host:
    _modelled(host, container)
    rules = EngineRules(host)
    host = _with(detached(host, rules, container), down(container))
    bindings = (*container.bindings, *_bindings(more, host))
    return _again(host, rules, replace(container, bindings=bindings, configured=(*container.configured, *more)))


def _rejoined(host: Host, container: Container, change: AttachmentChange) -> Host:
    """On one network more, or less."""
    _modelled(host, container)
    network = _network(host, change.network)
    on = [end for end in container.endpoints if network.id == end.network_id or network.name == end.network]
    if bool(on) is change.connect:
        raise CannotModel(f"{container.name} is {'already' if on else 'not'} on {network.name}")
    left = tuple(end for end in container.endpoints if end not in on)
    if not container.running:
        end = replace(fresh_endpoint(host, network, ()), addresses=())
        return _with(host, replace(container, endpoints=(*left, end) if change.connect else left))
    ends = (*left, fresh_endpoint(host, network, ())) if change.connect else left
    rules = EngineRules(host)
    host = _with(detached(host, rules, container), down(container))
    again = replace(container, endpoints=ends)
    inside = fresh_inside(host, again, container.inside, None, keep=True)
    return attached(host, rules.after(host), replace(again, inside=inside))


def _without_network(host: Host, identity: str) -> Host:
    """The engine takes its bridge and its rules away."""
    network = _network(host, identity)
    if any(
        end.network_id == network.id
        for container in host.containers or ()
        if container.running
        for end in container.endpoints
    ):
        raise CannotModel(f"{network.name} has containers: the engine does not remove it")
    if network.driver != "bridge":
        raise CannotModel(f"{network.name}, a network of the driver {network.driver}, is not modelled")
    if host.ruleset is not None:
        host = replace(host, ruleset=EngineRules(host).without_network(host.ruleset, network))
    if host.links is not None and network.bridge:
        devices = unplugged(Devices(host.links, host.routes or ()), network.bridge)
        host = replace(host, links=devices.links, routes=host.routes and devices.routes)
    return replace(host, networks=tuple(other for other in host.networks or () if other is not network))


# --- the engine -------------------------------------------------------------------------------------------------------


def _restarted(host: Host) -> Host:
    """What runs runs again. The engine turns forwarding on, puts its bridges up, and writes all of its rules."""
    rules = EngineRules(host)
    running = [
        container for container in host.containers or () if container.running and container.network_mode != "host"
    ]
    running = [container for container in running if not container.shares_with]
    host = detached(host, rules, *running)
    for other in running:
        host = _with(host, down(other))
    host = _bridges_up(_forwarding(host, rules))
    if host.ruleset is not None:
        host = replace(host, ruleset=rules.anew(host.ruleset, ()))
    rules = rules.with_chains()
    for other in running:
        host = _again(host, rules, other)
    return host


def _forwarding(host: Host, rules: EngineRules) -> Host:
    """Where the engine itself turns forwarding on, it lets the policy of FORWARD drop."""
    name = "net.ipv4.ip_forward"
    if host.sysctls is None or host.sysctls.get(name) != "0":
        return host
    if rules.native:
        raise CannotModel(f"{name} is 0: the engine does not start with its nftables backend then")
    host = replace(host, sysctls=written(host.sysctls, name, "1", host.links or ()))
    return host if host.ruleset is None else replace(host, ruleset=rules.closed(host.ruleset))


def _bridges_up(host: Host) -> Host:
    if host.links is None or host.routes is None:
        return host
    devices = Devices(host.links, host.routes)
    for network in host.networks or ():
        link = next((link for link in devices.links if link.name == network.bridge), None)
        if link is not None and not link.up:
            devices = switched(devices, link.name, up=True, connected=None)
    return replace(host, links=devices.links, routes=devices.routes)
