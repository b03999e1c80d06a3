"""The stable JSON of every command: one object with "schema": 1. What is not known is null, and `unknown` says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from netdash.join.drops import finding_of, networks_of
from netdash.join.networks import Peer, peers
from netdash.model.engine_state import Drift
from netdash.model.host import (
    Container,
    Endpoint,
    Holder,
    Host,
    Interface,
    Link,
    Neighbour,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Route,
    Rule,
    RulesNote,
)
from netdash.model.index import Index, index_of, sharing
from netdash.model.kept import old_of
from netdash.model.kernel_state import Drop
from netdash.model.packet import Flow
from netdash.trace.summary import Inbound, Outbound, asked_of, inbound, obstacle, outbound, traceable
from netdash.view import columns_flows, columns_kernel, unavailable
from netdash.view.answer import broken, sentence
from netdash.view.table import View
from netdash.view.text import clean

SCHEMA = 1
Json = Mapping[str, object]
Entry = Callable[[Index, Any], Json]
_SHOWN = ("docker", "links", "routes", "neighbours", "rules", "proxies", "listeners", "sysctls", "container")


def dumps(value: Json, indent: int | None = 2) -> str:
    """Printable ASCII only, whatever the locale is; without a final newline."""
    return json.dumps(value, indent=indent, ensure_ascii=True).replace("\x7f", "\\u007f")


def list_view(host: Host, view: View, things: Iterable[object]) -> Json:
    """A list under the view's own name, null when it could not be read. Rules come with what a tool could not show,
    routes with the policy rules, links with the neighbours, each under a key of its own."""
    index = index_of(host)
    lists: dict[str, list[Json]] = {view.name: []}
    if view.name in _BESIDE:
        lists[_BESIDE[view.name]] = []
    for thing in things:
        lists[_LISTS[type(thing)]].append(_RECORDS[type(thing)](index, thing))
    readable: dict[str, object] = dict(lists)
    if not view.known(host):
        readable[view.name] = None
    if view.name == "rules" and host.ruleset is None:
        readable["notes"] = None
    if view.name == "routes" and host.policy is None:
        readable["policy"] = None
    if view.name == "links" and host.neighbours is None:
        readable["neighbours"] = None
    return {"schema": SCHEMA, **readable, **_namespace(host), "unknown": unknown(host, view.sources)}


def record(host: Host, thing: object) -> Json:
    """One entry of a list."""
    return _RECORDS[type(thing)](index_of(host), thing)


def _namespace(host: Host) -> Json:
    """`namespace`, only where the kernel's answers are of another network namespace than netdash's own."""
    process = host.process
    return (
        {"namespace": {"pid": process.pid, "command": process.command}}
        if process and unavailable.namespace(host)
        else {}
    )


_BESIDE = {"rules": "notes", "routes": "policy", "links": "neighbours"}
_LISTS: Mapping[type, str] = {
    Container: "containers",
    Port: "ports",
    Network: "networks",
    Rule: "rules",
    RulesNote: "notes",
    Route: "routes",
    PolicyRule: "policy",
    Proxy: "proxies",
    Link: "links",
    Neighbour: "neighbours",
    Drift: "drift",
    Flow: "flows",
    Drop: "drops",
}


def show(host: Host, container: Container) -> Json:
    """All that is known of one container; the ways are those of the namespace that it uses."""
    index = index_of(host)
    owner = sharing(host, container)
    return {
        "schema": SCHEMA,
        "container": {**_head(container), **_state(index, container)},
        "addresses": _addresses(index, owner),
        "published": _published_ports(index, owner),
        "inbound": [_inbound(host, path, at < MOST_TRACED) for at, path in enumerate(inbound(host, container))],
        "outbound": [_outbound(path) for path in outbound(host, container)],
        "links": [_link_to(peer) for peer in peers(host, container)],
        **_namespace(host),
        "unknown": unknown(host, _SHOWN),
    }


def unknown(host: Host, sources: Sequence[str]) -> dict[str, str]:
    """Reason by source, for what was not read or is not read yet."""
    found = {
        failure.source: "; ".join(filter(None, (failure.reason, failure.remedy)))
        for failure in unavailable.missing(host, sources)
    }
    return found | {source: "not read yet" for source in sources if source in host.pending}


# --- containers -------------------------------------------------------------------------------------------------------


def _head(container: Container) -> dict[str, object]:
    return {"id": container.short_id, **_fields(container, "name image state compose")}


def _state(index: Index, container: Container) -> dict[str, object]:
    """`kept` only of the old container of one that netdash made anew; `until` null where that is not known."""
    kept = {"of": old_of(container), "until": index.kept_until.get(container.id)}
    return {
        **_fields(container, "service health"),
        "exit_code": None if container.running else container.exit_code,
        **_fields(container, "pid network_mode shares_with left_behind"),
        **({"kept": kept} if kept["of"] else {}),
    }


def _container(index: Index, container: Container) -> Json:
    return {
        **_head(container),
        **_state(index, container),
        "addresses": _addresses(index, container),
        "published": _published_ports(index, container),
    }


def _published_ports(index: Index, container: Container) -> list[dict[str, object]] | None:
    return None if index.host.ports is None else [_published(port) for port in index.ports(container.id)]


def _addresses(index: Index, container: Container) -> list[Json]:
    """One entry an address; a network without an address yet (a container that does not run) has none."""
    return [_address(index, end, own) for end in container.endpoints for own in end.addresses]


def _address(index: Index, end: Endpoint, own: Interface) -> Json:
    network = index.network(end)
    gateway = next((ip for ip in end.gateways if ip.version == own.version), None)
    return {
        "network": end.network,
        "driver": network.driver if network else None,
        "bridge": network.bridge if network else None,
        "ip": str(own.ip),
        "prefix": own.network.prefixlen,
        "gateway": _text(gateway),
        "mac": end.mac,
        "veth": end.veth,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _fields(record: object, names: str) -> dict[str, object]:
    """These attributes of a record under their own names: addresses as text, tuples as lists."""
    return {name: _plain(getattr(record, name)) for name in names.split()}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


# --- ports, rules, proxies --------------------------------------------------------------------------------------------


def _published(port: Port) -> dict[str, object]:
    return {
        **_fields(port, "proto host_ip host_port container_port target_ip"),
        "dnat": rule_entry(port.dnat),
        "proxy": _proxy_entry(port.proxy),
        "listening": port.listening,
        "scope": port.scope.value,
        "live": port.live,
    }


def port_entry(index: Index, port: Port) -> Json:
    """A line of the ledger: a published port's keys, its container's name, and who holds the port."""
    return {
        **_published(port),
        "container": index.name(port.container_id),
        "holder": _holder(port.holder),
        "dual_stack": port.dual,
        "device": port.device,
    }


def _holder(holder: Holder | None) -> Json | None:
    return None if holder is None else _fields(holder, "kind pid command")


def rule_entry(rule: Rule | None) -> Json | None:
    if rule is None:
        return None
    counted = _fields(rule, "text packets bytes backend not_understood")
    return {**_fields(rule, "family table chain"), "rule": rule.position, **counted}


def _proxy_entry(proxy: Proxy | None) -> dict[str, object] | None:
    if proxy is None:
        return None
    ends = _fields(proxy, "host_ip host_port container_ip container_port")
    return {"pid": proxy.pid, "command": proxy.program, **ends, "stopped": proxy.stopped}


def _proxy(index: Index, proxy: Proxy) -> Json:
    owner = index.owners.get(proxy.container_ip) if proxy.user is None else None
    sockets = None if proxy.listeners is None else [f"{held.proto} {held.ip} {held.port}" for held in proxy.listeners]
    return {
        **(_proxy_entry(proxy) or {}),
        "proto": proxy.proto,
        "container": owner.name if owner else None,
        "memory": proxy.rss,
        "sockets": sockets,
    }


# --- networks, routes, links ------------------------------------------------------------------------------------------


def _network(index: Index, network: Network) -> Json:
    gateways = index.gateways(network)
    members = [
        container.name
        for container in index.containers.values()
        if any(index.network(end) is network for end in container.endpoints)
    ]
    return {
        "id": network.id[:12],
        **_fields(network, "name driver scope bridge parent subnets"),
        "gateways": None if gateways is None else [str(ip) for ip in gateways],
        **_fields(network, "internal ipv6 icc masquerade snat_to host_binding"),
        "gateway_modes": dict(zip(("ipv4", "ipv6"), network.gateway_modes, strict=True)),
        "compose": network.compose,
        "containers": members if index.containers_known else None,
    }


def _route_entry(route: Route) -> dict[str, object]:
    dst = "default" if route.default else str(route.dst)
    return {"dst": dst, **_fields(route, "gateway dev prefsrc metric")}


def _route(_: Index, route: Route) -> Json:
    hops = [{"gateway": _text(ip), "dev": dev} for ip, dev in route.hops]
    return {**_route_entry(route), **_fields(route, "family table kind protocol scope linkdown"), "nexthops": hops}


def _link(index: Index, link: Link) -> Json:
    container = index.veths.get(link.name)
    own = _fields(link, "index name kind up state mtu mac master addresses")
    return {**own, "container": container.name if container else None}


# --- ways out and neighbours ------------------------------------------------------------------------------------------

MOST_TRACED = 256  # ports of one container


def _inbound(host: Host, path: Inbound, traced: bool) -> Json:
    """Beside an entry of `published`: by what it comes in, and why its packets or their answers do not arrive."""
    return {
        "proto": path.port.proto,
        "host_ip": str(path.port.host_ip),
        "host_port": path.port.host_port,
        "network": path.network,
        "bridge": path.bridge,
        "veth": path.veth,
        "dnat_from_here": path.port.dnat_from_here,
        "proxy_when": path.proxy_when or None,
        "unsure": [rule_entry(rule) for rule in path.port.unsure],
        "broken": broken(asked_of(host, path.port)) if traced and traceable(host) else None,
    }


def _outbound(path: Outbound) -> Json:
    lacks = obstacle(path.trace) if path.trace else None
    return {
        "network": path.network,
        "source": _text(path.source),
        "nat": rule_entry(path.nat),
        "route": None if path.route is None else _route_entry(path.route),
        "uplink": path.uplink.name if path.uplink else None,
        "leaves_as": _text(path.leaves_as),
        "leaves": path.leaves.value,
        "why": "; ".join(filter(None, (path.why, sentence(path.trace, lacks) if path.trace and lacks else ""))) or None,
        "default": path.default,
        "unsure": [rule_entry(rule) for rule in path.unsure],
        "broken": None if path.trace is None else broken([(path.trace, lacks)]),
    }


def _link_to(peer: Peer) -> Json:
    first = peer.names[0] if peer.names else None
    return {"name": first, **_fields(peer, "names container network ip"), "blocked": peer.blocked or None}


def _drift(index: Index, drift: Drift) -> Json:
    """`rule`: the live one's entry; of a missing one the place and the text that it should have."""
    network = index.networks.get(drift.network_id or "")
    return {
        "kind": drift.kind.value,
        "rule": rule_entry(drift.rule) or _missing_rule(drift),
        "container": index.name(drift.container_id),
        "port": drift.binding and _fields(drift.binding, "proto host_ip host_port container_port"),
        "network": network.name if network else None,
        "why": drift.why,
    }


def _missing_rule(drift: Drift) -> Json:
    uncounted: Json = {"packets": None, "bytes": None, "backend": drift.backend, "not_understood": []}
    return {**_fields(drift, "family table chain"), "rule": None, "text": drift.text, **uncounted}


def _drop(index: Index, drop: Drop) -> Json:
    """`by`: DROP or REJECT of a rule, else its kind. `packets` and `per_second` are null where they are not known;
    `why` says why nothing is counted."""
    found = finding_of(index.host, drop)
    rule = drop.place if isinstance(drop.place, Rule) else None
    return {
        "kind": str(drop.kind),
        "by": columns_kernel.kind(drop),
        "where": columns_kernel.place(drop),
        "what": clean(rule.text, 300) if rule and not drop.why else columns_kernel.what(index.host, drop),
        "counter": drop.name or None,
        "device": drop.device or None,
        "packets": drop.count,
        "per_second": drop.rate,
        "rule": rule_entry(rule),
        "networks": [
            {"name": network.name, "subnets": [str(subnet) for subnet in network.subnets]}
            for network in networks_of(index.host, drop)
        ],
        "finding": found and {"code": found.code, "sentence": found.sentence},
        "why": drop.why or None,
    }


_RECORDS: Mapping[type, Entry] = {
    Container: _container,
    Port: port_entry,
    Network: _network,
    Rule: lambda _, rule: rule_entry(rule) or {},
    RulesNote: lambda _, note: {"text": note.text},
    Route: _route,
    PolicyRule: lambda _, rule: _fields(rule, "family priority text table"),
    Proxy: _proxy,
    Link: _link,
    Neighbour: lambda _, neighbour: _fields(neighbour, "ip dev mac state"),
    Drift: _drift,
    Drop: _drop,
    Flow: lambda index, flow: columns_flows.entry(index.host, flow, rule_entry),
}
