"""Host + changes -> the host as it would be read after them. Pure: nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from netdash.change.containers import changed_containers
from netdash.change.links import Devices, added, carried, hairpinned, mastered, removed, switched
from netdash.change.model import (
    AddressChange,
    CannotModel,
    ChainChange,
    Change,
    HairpinChange,
    LinkChange,
    MasterChange,
    PolicyChange,
    PolicyRuleChange,
    ProcessEnd,
    QdiscRemoval,
    RouteChange,
    RuleChange,
    SysctlChange,
    TrackedRemoval,
)
from netdash.change.routes import changed_policy, changed_routes, written
from netdash.change.rules import changed_rules
from netdash.join.derived import derived
from netdash.model.host import Container, Endpoint, Host, Inside
from netdash.model.index import namespace_owner, sharing
from netdash.model.records import replace
from netdash.trace.container_namespace import namespaces_of

T = TypeVar("T")

__all__ = ["CannotModel", "apply"]


def apply(host: Host, changes: Sequence[Change], compare: bool = True) -> Host:
    """The changes one after the other. `compare` False leaves `drift` unknown, which costs less. Raises CannotModel."""
    for change in changes:
        host = _applied(host, change)
    return derived(host, compare)


def _applied(host: Host, change: Change) -> Host:
    match change:
        case RuleChange() | PolicyChange() | ChainChange():
            return _rules(host, change)
        case SysctlChange():
            return _sysctl(host, change)
        case RouteChange():
            return _route(host, change)
        case PolicyRuleChange():
            return _policy(host, change)
        case LinkChange():
            return _link(host, change)
        case AddressChange():
            return _address(host, change)
        case MasterChange() | HairpinChange():
            return _port(host, change)
        case QdiscRemoval() | TrackedRemoval() | ProcessEnd():
            return removed_state(host, change)
        case _:
            return changed_containers(host, change)


def _read(value: T | None, what: str) -> T:
    if value is None:
        raise CannotModel(f"{what} were not read: what the change makes of them is not known")
    return value


# --- what is in a network namespace: this host's, or a container's ----------------------------------------------------


def _inside(host: Host, container: str) -> tuple[Container, Inside]:
    """The container whose network namespace it is, and what was read in it."""
    found = next((other for other in host.containers or () if other.id == container), None)
    if found is None:
        raise CannotModel(f"there is no container {container[:12]}")
    owner = sharing(host, found)
    if not owner.running or owner.inside is None:
        raise CannotModel(f"{found.name}: its network namespace was not read")
    return owner, owner.inside


def _with_inside(host: Host, owner: Container, inside: Inside) -> Host:
    """For all that share the namespace."""
    return replace(
        host,
        containers=tuple(
            replace(container, inside=inside)
            if container.id == owner.id or namespace_owner(container) == owner.name
            else container
            for container in host.containers or ()
        ),
    )


def _rules(host: Host, change: RuleChange | PolicyChange | ChainChange) -> Host:
    if change.chain.container is None:
        return replace(host, ruleset=changed_rules(_read(host.ruleset, "the rules"), change))
    owner, inside = _inside(host, change.chain.container)
    ruleset = changed_rules(_read(inside.ruleset, f"{owner.name}'s rules"), change)
    return _with_inside(host, owner, replace(inside, ruleset=ruleset))


def _sysctl(host: Host, change: SysctlChange) -> Host:
    if change.container is None:
        sysctls = _read(host.sysctls, "the sysctls")
        return replace(host, sysctls=written(sysctls, change.name, change.value, host.links or ()))
    owner, inside = _inside(host, change.container)
    links = _read(inside.links, f"{owner.name}'s devices")
    changed = written(dict(inside.sysctls), change.name, change.value, links)
    return _with_inside(host, owner, replace(inside, sysctls=tuple(changed.items())))


def _route(host: Host, change: RouteChange) -> Host:
    if change.container is None:
        links = _read(host.links, "the devices")
        return replace(host, routes=changed_routes(_read(host.routes, "the routes"), links, host.policy, change))
    owner, inside = _inside(host, change.container)
    links, routes = _read(inside.links, "the devices"), _read(inside.routes, "the routes")
    return _with_inside(host, owner, replace(inside, routes=changed_routes(routes, links, inside.policy, change)))


def _policy(host: Host, change: PolicyRuleChange) -> Host:
    if change.container is None:
        return replace(host, policy=changed_policy(_read(host.policy, "the policy rules"), change))
    owner, inside = _inside(host, change.container)
    policy = changed_policy(_read(inside.policy, f"{owner.name}'s policy rules"), change)
    return _with_inside(host, owner, replace(inside, policy=policy))


# --- devices, and the other ends of their veths -----------------------------------------------------------------------


def _link(host: Host, change: LinkChange) -> Host:
    if change.container is not None:
        return _link_inside(host, change.device, change.container, change.up)
    if any(network.parent == change.device for network in host.networks or ()):
        raise CannotModel(f"{change.device} carries a container network: what becomes of that is not modelled")
    devices = _devices(host)
    other = _other_end(host, change.device)
    there = None if other is None else _device_inside(host, *other)
    changed = switched(devices, change.device, change.up, None if there is None else there[1].link(there[2]).up)
    host = _with_devices(host, changed, change)
    if there is None:
        return host
    owner, inner, name = there
    return _with_inner_devices(host, owner, carried(inner, name, change.up))


def _address(host: Host, change: AddressChange) -> Host:
    edit = added if change.add else removed
    if change.container is None:
        devices = edit(_devices(host), change.device, change.address)
        return replace(host, links=devices.links, routes=devices.routes)
    owner, inside = _inside(host, change.container)
    devices = Devices(_read(inside.links, "the devices"), _read(inside.routes, "the routes"))
    return _with_inner_devices(host, owner, edit(devices, change.device, change.address))


def _port(host: Host, change: MasterChange | HairpinChange) -> Host:
    if isinstance(change, MasterChange):
        devices = mastered(_devices(host), change.device, change.bridge)
    else:
        devices = hairpinned(_devices(host), change.device, change.on)
    return replace(host, links=devices.links, routes=devices.routes)


def _devices(host: Host) -> Devices:
    return Devices(_read(host.links, "the devices"), _read(host.routes, "the routes"))


def _with_devices(host: Host, devices: Devices, change: LinkChange) -> Host:
    """Neighbours of a device that goes down are forgotten, and what its bridge has learned of it."""
    host = replace(host, links=devices.links, routes=devices.routes)
    if change.up:
        return host
    if host.neighbours is not None:
        host = replace(
            host, neighbours=tuple(neighbour for neighbour in host.neighbours if neighbour.dev != change.device)
        )
    if host.bridging is not None and host.bridging.fdb is not None:
        fdb = tuple(entry for entry in host.bridging.fdb if entry.port != change.device or entry.fixed)
        host = replace(host, bridging=replace(host.bridging, fdb=fdb))
    return host


def _other_end(host: Host, veth: str) -> tuple[Container, Endpoint] | None:
    """The container's end of a veth of this host."""
    ends = ((container, end) for container in host.containers or () if container.running for end in container.endpoints)
    return next((pair for pair in ends if pair[1].veth == veth), None)


def _device_inside(host: Host, container: Container, end: Endpoint) -> tuple[Container, Devices, str] | None:
    """None where nothing was read inside."""
    space = namespaces_of(host).of(container)
    inside = container.inside
    if space is None or inside is None or inside.links is None or inside.routes is None:
        return None
    return container, Devices(inside.links, inside.routes), space.device(end)


def _link_inside(host: Host, device: str, container: str, up: bool) -> Host:
    owner, inside = _inside(host, container)
    devices = Devices(_read(inside.links, "the devices"), _read(inside.routes, "the routes"))
    space = namespaces_of(host).of(owner)
    veth = next((end.veth for end in owner.endpoints if space is not None and space.device(end) == device), None)
    here = None if host.links is None else Devices(host.links, host.routes or ())
    connected = here.link(veth).up if here is not None and veth is not None else None
    host = _with_inner_devices(host, owner, switched(devices, device, up, connected))
    if here is None or veth is None:
        return host
    here = carried(here, veth, up)
    return replace(host, links=here.links, routes=host.routes and here.routes)


def _with_inner_devices(host: Host, owner: Container, devices: Devices) -> Host:
    found = next(container for container in host.containers or () if container.id == owner.id)
    if found.inside is None:
        return host
    return _with_inside(host, owner, replace(found.inside, links=devices.links, routes=devices.routes))


# --- what is taken away beside rules and devices: a queue, entries of conntrack, a process ----------------------------


def removed_state(host: Host, change: QdiscRemoval | TrackedRemoval | ProcessEnd) -> Host:
    """Raises CannotModel where it is not there, or was not read."""
    match change:
        case QdiscRemoval():
            return _without_queue(host, change.device)
        case TrackedRemoval():
            return _forgotten(host, change)
        case ProcessEnd():
            return _ended(host, change.pid)


def _without_queue(host: Host, device: str) -> Host:
    if host.qdiscs is None or device not in host.qdiscs:
        raise CannotModel(f"no queue of {device} was read that could be taken away")
    return replace(host, qdiscs={name: text for name, text in host.qdiscs.items() if name != device})


def _forgotten(host: Host, change: TrackedRemoval) -> Host:
    if host.flows is None:
        raise CannotModel("the connections were not read")
    left = tuple(flow for flow in host.flows if (flow.proto, flow.original.dport) != (change.proto, change.port))
    return replace(host, flows=left)


def _ended(host: Host, pid: int) -> Host:
    """Its sockets are closed. A container's program ends its container: that is not modelled."""
    if host.listeners is None or all(listener.pid != pid for listener in host.listeners):
        raise CannotModel(f"no socket of the process {pid} was read")
    if any(
        pid == container.pid or any(own.pid == pid for own in container.listeners or ())
        for container in host.containers or ()
    ):
        raise CannotModel(f"the process {pid} is of a container: what becomes of that is not modelled")
    return replace(
        host,
        listeners=tuple(listener for listener in host.listeners if listener.pid != pid),
        proxies=None if host.proxies is None else tuple(proxy for proxy in host.proxies if proxy.pid != pid),
    )
